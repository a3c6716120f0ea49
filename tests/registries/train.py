"""Trains, logs and registers as users do; runs with the Python of the MLflow server. Arguments: URL, model name, dataset name.
Beside the model there is `<model>-pickled`, the same as pickle and without a signature, and `<model>-scripted`, with code."""

import sys

import mlflow
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression


class Constant(mlflow.pyfunc.PythonModel):
    """A model made of code."""

    def predict(self, context, model_input, params=None):
        return [0] * len(model_input)


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
    mlflow.sklearn.log_model(
        trained,
        name="model",
        registered_model_name=model,
        serialization_format="skops",
        signature=mlflow.models.infer_signature(frame.drop(columns="target"), frame["target"]),
    )
    mlflow.sklearn.log_model(trained, name="pickled", registered_model_name=f"{model}-pickled", serialization_format="cloudpickle")
    mlflow.pyfunc.log_model(
        name="scripted", python_model=Constant(), registered_model_name=f"{model}-scripted", code_paths=[__file__]
    )
print(run.info.run_id)
