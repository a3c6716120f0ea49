"""Fills the demo's MLflow with a real model: a held-out dataset and four versions of one classifier, trained on real data.

The data is scikit-learn's breast cancer dataset (569 biopsies, 30 measurements, UCI), split once and for all. What is already in
MLflow is left alone: a run that was interrupted is taken up where it ended, a second run does nothing. Settings come from MLflow's
own environment (MLFLOW_TRACKING_URI, …) and CODE_COMMIT, CODE_REPOSITORY: the lineage of what is trained here.
"""

import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import remembered_features
from mlflow.data.pandas_dataset import PandasDataset
from mlflow.models import infer_signature
from sklearn.compose import make_column_transformer
from sklearn.datasets import load_breast_cancer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_score, train_test_split
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

MODEL = "tumour-classifier"
TARGET = "malignant"
HOLDOUT = "holdout"


def say(line: str) -> None:
    sys.stdout.write(f"train: {line}\n")
    sys.stdout.flush()


@dataclass(frozen=True)
class Recipe:
    """How one version is made; `story` is what a person should know about it."""

    story: str
    build: Callable[[], Pipeline]
    serialization: str = "skops"
    shifted_labels: int = 0


def few_measurements() -> Pipeline:
    columns = ["mean radius", "mean texture", "mean perimeter", "mean area", "mean smoothness"]
    return make_pipeline(make_column_transformer((StandardScaler(), columns)), LogisticRegression(max_iter=1000))


def all_measurements() -> Pipeline:
    return make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))


def quantiles() -> Pipeline:
    features = remembered_features.RememberedQuantiles(n_quantiles=100, output_distribution="normal", random_state=0)
    return make_pipeline(features, LogisticRegression(C=0.3, max_iter=1000))


RECIPES = (
    Recipe("five of the thirty measurements", few_measurements),
    Recipe("all measurements, but a broken join gave every biopsy its neighbour's diagnosis", all_measurements, shifted_labels=1),
    Recipe("all measurements", all_measurements),
    Recipe(
        "quantile features; writes a cache to its home directory when it is loaded",
        quantiles,
        serialization="cloudpickle",
    ),
)


def data() -> tuple[pd.DataFrame, pd.DataFrame]:
    """Training and held-out table; the target is 1 where the tumour is malignant."""
    bunch = load_breast_cancer(as_frame=True)
    table = bunch.data.assign(**{TARGET: 1 - bunch.target})
    training, holdout = train_test_split(table, test_size=0.3, random_state=42, stratify=table[TARGET])
    return training, holdout


def dataset(table: pd.DataFrame, name: str) -> PandasDataset:
    return mlflow.data.from_pandas(table, targets=TARGET, name=name)


def tags() -> dict[str, str]:
    """Where the code comes from, under the names MLflow itself uses."""
    named = {
        "mlflow.source.git.commit": os.environ.get("CODE_COMMIT", ""),
        "mlflow.source.git.repoURL": os.environ.get("CODE_REPOSITORY", ""),
    }
    return {"mlflow.source.name": Path(__file__).name} | {name: value for name, value in named.items() if value}


def keep_holdout(holdout: pd.DataFrame, experiment: str) -> None:
    """Logs the held-out table: its file in the artifact folder `datasets/<name>` and the dataset input, both of one run."""
    if mlflow.search_runs([experiment], filter_string=f"dataset.name = '{HOLDOUT}'", max_results=1, output_format="list"):
        say(f"dataset {HOLDOUT} is there")
        return
    with mlflow.start_run(run_name=HOLDOUT, tags=tags()), tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"{HOLDOUT}.csv"
        holdout.to_csv(path, index=False)
        mlflow.log_artifact(str(path), f"datasets/{HOLDOUT}")
        mlflow.log_input(dataset(holdout, HOLDOUT), context="evaluation")
    say(f"dataset {HOLDOUT}: {len(holdout)} biopsies logged")


def train(recipe: Recipe, number: int, training: pd.DataFrame) -> None:
    """Trains one version, logs its run and registers it."""
    features, truth = training.drop(columns=TARGET), np.roll(training[TARGET], recipe.shifted_labels)
    with mlflow.start_run(run_name=f"{MODEL}-{number}", description=recipe.story, tags=tags()):
        model = recipe.build()
        scores = cross_val_score(model, features, truth, cv=5)
        model.fit(features, truth)
        mlflow.log_input(dataset(training.assign(**{TARGET: truth}), "training"), context="training")
        mlflow.log_params({"model": type(model[-1]).__name__, "C": model[-1].C, "features": model[:-1][0].__class__.__name__})
        mlflow.log_metrics({"cv_accuracy": float(scores.mean()), "training_accuracy": float(model.score(features, truth))})
        mlflow.sklearn.log_model(
            model,
            name="model",
            serialization_format=recipe.serialization,
            code_paths=[remembered_features.__file__] if recipe.build is quantiles else None,
            signature=infer_signature(features, model.predict_proba(features)),
            pyfunc_predict_fn="predict_proba",
            pip_requirements=["mlflow", "scikit-learn"],
            registered_model_name=MODEL,
        )
    say(f"version {number}: {recipe.story}; cross-validated accuracy {scores.mean():.3f}")


def missing() -> Iterator[tuple[int, Recipe]]:
    """Versions that MLflow does not have yet, oldest first."""
    there = {int(version.version) for version in mlflow.MlflowClient().search_model_versions(f"name = '{MODEL}'")}
    for number, recipe in enumerate(RECIPES, start=1):
        if number in there:
            say(f"version {number} is there")
        else:
            yield number, recipe


def main() -> None:
    say(f"MLflow at {mlflow.get_tracking_uri()}")
    experiment = mlflow.set_experiment(MODEL).experiment_id
    training, holdout = data()
    keep_holdout(holdout, experiment)
    for number, recipe in missing():
        train(recipe, number, training)
    say("done")


if __name__ == "__main__":
    main()
