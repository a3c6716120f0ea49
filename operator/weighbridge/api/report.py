"""What an evaluation tells beside its verdict: where its full report lies, and how far it is while it runs."""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field

from .base import ApiModel, LocalRef

ReportProblem = Literal[
    "ReportInvalid", "ReportTooLarge", "ReportRefused", "ReportUnsupported", "ReportFailed", "ReportTimedOut", "ReportUnfinished",
    "SamplesInvalid",
]  # fmt: skip
"""Why a full report is not where it should be, or not all right."""


class ReportTo(ApiModel):
    """Where the full report of an evaluation goes."""

    registry_ref: LocalRef
    """ModelRegistry of kind mlflow, in this namespace. Its `reportCredentialsSecretRef` is what the report is written with."""


class Report(ApiModel):
    """The full report: all files the engine left, beside its result."""

    uri: Annotated[str, Field(max_length=512)] = ""
    """Where it lies: `runs:/<run>` of the ModelRegistry in `spec.report`; empty where it was not written."""
    sha256: Annotated[str, Field(max_length=64)] = ""
    """SHA-256 of its file `sha256sums.txt`, which lists every other file with its SHA-256."""
    bytes: Annotated[int, Field(ge=0)] = 0
    """Size of all its files together."""
    problem: Annotated[str, Field(max_length=64)] = ""
    """Why it is not there, or not all right: one stable word. The verdict counts all the same."""


class Progress(ApiModel):
    """How far a running evaluation is, as its engine says."""

    done: Annotated[int, Field(ge=0)]
    """Steps done."""
    total: Annotated[int, Field(ge=1)]
    """All steps."""
    percent: Annotated[int, Field(ge=0, le=100)]
    """Steps done, of a hundred."""
    word: Annotated[str, Field(max_length=16)] = ""
    """The same for `kubectl get`: `42 %`."""
    eta: datetime | None = None
    """When it will be done, if it goes on as fast as it went since its pod started."""
    at: datetime
    """When it was heard."""
