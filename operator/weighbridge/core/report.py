"""What an evaluation's status says of its full report. The numbers count whatever became of it."""

from ..api.evaluationjob import EvaluationJob
from ..api.report import Report
from ..api.results import Results

_WHY = {
    "ReportInvalid": "the engine's report holds what is not taken",
    "ReportTooLarge": "the engine's report is too large",
    "ReportRefused": "the MLflow server refused it; see reportCredentialsSecretRef of the ModelRegistry",
    "ReportUnsupported": "the MLflow server does not serve artifacts itself",
    "ReportFailed": "the MLflow server did not take it",
    "ReportTimedOut": "the MLflow server did not take it in time",
    "ReportUnfinished": "the reporter was stopped before it was written",
    "SamplesInvalid": "it is written, but its samples break their contract",
}
"""What became of the full report, by its problem."""


def reported(job: EvaluationJob, results: Results) -> Results:
    """The results with what became of the full report: nothing where none was asked for, a problem where nothing was said of it."""
    if job.spec.report is None:
        return results.model_copy(update={"report": None})
    return results if results.report is not None else results.model_copy(update={"report": Report(problem="ReportUnfinished")})


def without(report: Report) -> str:
    """What is wrong with the report, for people."""
    return f"full report: {report.problem}, {_WHY.get(report.problem, 'see the log of the reporter')}"
