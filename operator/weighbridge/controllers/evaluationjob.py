"""EvaluationJob: asks the registries, looks at the Job and, when it is complete, at what its reporter handed over."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from ..api.base import Key
from ..api.evaluationjob import EvaluationJob, Resolved, Results
from ..api.modelregistry import ModelRegistry
from ..api.references import ModelReference
from ..core.evaluationfacts import EvaluationFacts, Heard, JobFacts, ResultProblem
from ..core.evaluationjob import FRESH, RECHECK, RETRY_CREATE, decide, refused_creation
from ..core.facts import Fact, Pending
from ..core.names import JOB_LABEL, job_name
from ..core.plan import Plan
from ..core.subjects import Answers, Reference, ask, registry_names, registry_not_found, subjects
from ..evaluation.job import is_of, job_facts, report, running
from ..evaluation.manifest import job_manifest
from .ports import Ports, Store


class EvaluationJobController:
    """One evaluation of one model version."""

    kind = EvaluationJob

    def __init__(self, evaluator_image: str, reporter_image: str) -> None:
        self._evaluator_image, self._reporter_image = evaluator_image, reporter_image

    def group(self, resource: EvaluationJob, store: Store) -> str:  # noqa: ARG002
        return str(resource.key)

    def urgent(self, resource: EvaluationJob) -> bool:  # noqa: ARG002
        return False

    async def observe(self, resource: EvaluationJob, ports: Ports) -> EvaluationFacts:
        namespace = resource.metadata.namespace
        wanted = subjects(resource.spec)
        names = registry_names(resource.spec)
        registries = {name: found for name in names if (found := ports.store.registry(namespace, name)) is not None}
        job, handed, progress = await self._job(resource, ports)
        answers: tuple[Answers, ...] = tuple((Pending(),) for _ in wanted)
        known = resource.status.job
        if job is None and (known is None or (known.started_at is None and resource.status.verdict is None)):
            age = RECHECK if resource.status.phase == "Refused" else RETRY_CREATE if refused_creation(resource) else FRESH

            def question(reference: Reference) -> Fact[Any]:
                registry = registries.get(reference.registry_ref.name)
                if registry is None:
                    return registry_not_found(reference.registry_ref.name, ports.now())
                if isinstance(reference, ModelReference):
                    return ports.registries.model(registry, reference, resource.key, max_age=age)
                return ports.registries.dataset(registry, reference, resource.key, max_age=age)

            answers = tuple(ask(subject, question) for subject in wanted)
        return EvaluationFacts(
            registries=registries,
            answers=answers,
            job=job,
            report=handed,
            failure=ports.failure(resource.key),
            progress=progress,
        )

    async def _job(
        self, resource: EvaluationJob, ports: Ports
    ) -> tuple[JobFacts | None, Results | ResultProblem | None, Heard | None]:
        if resource.status.job is None:
            return None, None, None
        namespace, name = resource.metadata.namespace, job_name(resource)
        body = await ports.cluster.get("batch/v1", "Job", namespace, name)
        if body is None:
            return None, None, None
        facts = job_facts(body, resource)
        if resource.status.verdict is not None:
            return facts, None, None
        found = await ports.cluster.list("v1", "Pod", namespace, {"batch.kubernetes.io/job-name": name})
        pods = [pod for pod in found if is_of(pod, facts.uid)]
        if facts.state == "Running":
            return facts, None, self._progress(resource, pods, ports)
        digest = resource.status.resolved.model.digest if resource.status.resolved else ""
        handed = report(pods, digest) if facts.state in ("Complete", "Failed") else None
        return job_facts(body, resource, pods), handed, None

    def _progress(self, resource: EvaluationJob, pods: Sequence[Mapping[str, Any]], ports: Ports) -> Heard | None:
        """How far the running pod is, as it said last."""
        if (there := running(pods)) is None:
            return None
        uid, address = there
        return ports.progress.ask(resource.key, uid, address)

    def decide(self, resource: EvaluationJob, observed: EvaluationFacts, now: datetime) -> Plan:
        return decide(resource, observed, now, self._manifest)

    def _manifest(
        self, job: EvaluationJob, resolved: Resolved, registries: Mapping[str, ModelRegistry], name: str
    ) -> Mapping[str, Any]:
        images = {"evaluator_image": self._evaluator_image, "reporter_image": self._reporter_image}
        return job_manifest(job, resolved, registries, name=name, **images)

    def affected(self, kind: str, body: Mapping[str, Any], store: Store) -> Iterable[Key]:
        metadata = body["metadata"]
        namespace = metadata.get("namespace", "")
        if kind == "Job":
            return [
                Key("EvaluationJob", namespace, owner["name"])
                for owner in metadata.get("ownerReferences", ())
                if owner["kind"] == "EvaluationJob" and JOB_LABEL in metadata.get("labels", {})
            ]
        if kind == "ModelRegistry":
            name = metadata["name"]
            return [
                job.key for job in store.evaluations(namespace) if job.status.verdict is None and name in registry_names(job.spec)
            ]
        return ()
