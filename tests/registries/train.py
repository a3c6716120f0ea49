"""Trains, logs and registers as users do; runs with the Python of the MLflow server. Arguments: URL, model name, dataset name."""

import sys

import mlflow
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression

url, model, dataset = sys.argv[1:]
mlflow.set_tracking_uri(url)
frame = load_iris(as_frame=True).frame
with mlflow.start_run() as run:
    frame.to_csv("holdout.csv", index=False)
    mlflow.log_artifact("holdout.csv", f"datasets/{dataset}")
    mlflow.log_input(mlflow.data.from_pandas(frame, name=dataset, targets="target"), context="evaluation")
    mlflow.set_tags(
        {"mlflow.source.git.commit": "0123abc", "mlflow.source.git.repoURL": "https://user:canary@git.example.com/x.git?t=canary"}
    )
    mlflow.log_param("C", 0.5)
    mlflow.log_metrics({"accuracy": 0.97, "broken": float("nan"), "endless": float("inf")})
    trained = LogisticRegression(C=0.5, max_iter=500).fit(frame.drop(columns="target"), frame["target"])
    mlflow.sklearn.log_model(trained, name="model", registered_model_name=model)
print(run.info.run_id)
