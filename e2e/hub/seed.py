"""Fills a Hub with the demo's classifier and its data, then serves it. Runs in the evaluator image, beside hubserver.py.

Repositories: `demo/tumour-classifier` (an MLflow model with a card), `demo/gated-classifier` (the same, handed out to nobody), the
dataset `demo/holdout` (training and held-out table), and, of the files beside this program, the language model `demo/next-word` and
the dataset `demo/questions`. The token `hf_demo_reader` may read all but the gated one.
"""

import argparse
import io
import json
import sys
import tempfile
from pathlib import Path

import mlflow
import pandas as pd
from hubserver import DATASETS, MODELS, Hub, Server
from mlflow.models import infer_signature
from train import TARGET, all_measurements, data

CLASSIFIER, GATED, HOLDOUT = "demo/tumour-classifier", "demo/gated-classifier", "demo/holdout"
LANGUAGE_MODEL = ("demo/next-word", ("model.onnx", "tokenizer.json", "tokenizer_config.json"))
QUESTIONS = ("demo/questions", ("next-word.yaml", "next-word.jsonl"))
READER = "hf_demo_reader"
CARD = {"base_model": "demo/base-classifier", "datasets": [HOLDOUT], "license": "apache-2.0", "library_name": "mlflow"}


def say(line: str) -> None:
    sys.stdout.write(f"seed: {line}\n")
    sys.stdout.flush()


def classifier(training: pd.DataFrame) -> dict[str, bytes]:
    """A trained classifier as MLflow writes it to a folder, with a card."""
    features, truth = training.drop(columns=TARGET), training[TARGET]
    model = all_measurements().fit(features, truth)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "model"
        mlflow.sklearn.save_model(
            model,
            str(root),
            serialization_format="skops",
            signature=infer_signature(features, model.predict(features)),
            pip_requirements=["mlflow", "scikit-learn"],
        )
        files = {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}
    return files | {"README.md": page("A classifier of breast tumours, trained on 30 measurements.", **CARD)}


def page(text: str, **metadata: object) -> bytes:
    """A README with its metadata; JSON is YAML too."""
    return f"---\n{json.dumps(metadata)}\n---\n{text}\n".encode()


def csv(table: pd.DataFrame) -> bytes:
    written = io.StringIO()
    table.to_csv(written, index=False)
    return written.getvalue().encode()


def fill(hub: Hub) -> None:
    """Every repository with one commit."""
    training, holdout = data()
    hub.add_token(READER, "demo-reader", read=["*"])
    hub.create_repo(DATASETS, HOLDOUT)
    tables = {"data/test.csv": csv(holdout), "data/train.csv": csv(training)}
    hub.commit(DATASETS, HOLDOUT, tables | {"README.md": page("Biopsies with their diagnosis.", license="cc-by-4.0")})
    say(f"dataset {HOLDOUT}: {len(training)} biopsies to train on, {len(holdout)} held out")
    files = classifier(training)
    for name, gated in ((CLASSIFIER, False), (GATED, "manual")):
        hub.create_repo(MODELS, name, gated=gated)
        say(f"model {name} at {hub.commit(MODELS, name, files)}{', gated' if gated else ''}")
    for kind, (name, beside) in ((MODELS, LANGUAGE_MODEL), (DATASETS, QUESTIONS)):
        hub.create_repo(kind, name)
        hub.commit(kind, name, {each: (Path(__file__).parent / each).read_bytes() for each in beside})
        say(f"{name} of {', '.join(beside)}")


def main() -> None:
    parser = argparse.ArgumentParser(description="Fills a Hub with the demo's classifier and its data, then serves it")
    parser.add_argument("--root", type=Path, required=True)
    parser.add_argument("--port", type=int, default=8080)
    options = parser.parse_args()
    hub = Hub(options.root)
    fill(hub)
    server = Server(hub, "0.0.0.0", options.port)
    say(f"serving on port {server.server_address[1]}")
    server.serve_forever()


if __name__ == "__main__":
    main()
