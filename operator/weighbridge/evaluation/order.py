"""What the operator tells the reporter about a full report: whose it is, and what to compare it with.

Place and credentials are variables of their own.
"""

from typing import Annotated

from pydantic import Field, ValidationError

from ..api.base import ApiModel


class Wanted(ApiModel):
    """A paired test against the champion's samples."""

    metric: str
    slice: str | None = None
    """Part of the data; without one, the whole."""
    every: bool = False
    """On each slice that the result has of this metric, in place of `slice`."""
    margin: Annotated[float, Field(ge=0, allow_inf_nan=False)]
    """The regression to test against, in the metric's unit."""


class Order(ApiModel):
    """Where a report goes, and whose it is. It holds no credentials."""

    namespace: str
    evaluation_job: str
    uid: str
    """Of the EvaluationJob."""
    attempt: str
    """Name of the Kubernetes Job."""
    subject: str
    """Digest of what was weighed."""
    model: str = ""
    """Address of the model, for people."""
    parent_run: str = ""
    """The run that made the model, where the model lies in the same registry."""
    champion: str = ""
    """Address of the champion's full report, `runs:/<run>`; empty where it has none."""
    champion_sha256: str = ""
    """SHA-256 of its `sha256sums.txt`, as it was when it was written."""
    wanted: tuple[Wanted, ...] = ()
    """The paired tests; none without rules that ask for them."""

    @property
    def tags(self) -> dict[str, str]:
        """What a run is found again by, and what people see."""
        own = {
            "weighbridge.dev/namespace": self.namespace,
            "weighbridge.dev/evaluation-job": self.evaluation_job,
            "weighbridge.dev/uid": self.uid,
            "weighbridge.dev/attempt": self.attempt,
            "weighbridge.dev/subject": self.subject,
            "weighbridge.dev/model": self.model,
            "mlflow.runName": self.evaluation_job,
            "mlflow.parentRunId": self.parent_run,
        }
        return {key: value for key, value in own.items() if value}


def read_order(text: str) -> Order | None:
    """The order in the reporter's environment; None where it is none of ours."""
    try:
        return Order.model_validate_json(text)
    except ValidationError:
        return None
