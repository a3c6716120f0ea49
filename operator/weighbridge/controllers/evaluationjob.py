"""EvaluationJob: asks the registries, looks at the Job and, when it is complete, at what its reporter handed over."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from ..api.base import Key
from ..api.evaluationjob import EvaluationJob, Resolved, Results
from ..api.modelregistry import ModelRegistry
from ..core.evaluationfacts import EvaluationFacts, JobFacts, ResultProblem
from ..core.evaluationjob import FRESH, RECHECK, RETRY_CREATE, decide, refused_creation
from ..core.facts import Fact, Pending
from ..core.names import JOB_LABEL, job_name
from ..core.plan import Plan
from ..evaluation.job import job_facts, report
from ..evaluation.manifest import job_manifest
from .ports import Ports, Store


class EvaluationJobController:
    """One evaluation of one model version."""

    kind = EvaluationJob

    def __init__(self, evaluator_image: str, reporter_image: str) -> None:
        self._evaluator_image, self._reporter_image = evaluator_image, reporter_image

    def group(self, resource: EvaluationJob) -> str:
        return str(resource.key)

    async def observe(self, resource: EvaluationJob, ports: Ports) -> EvaluationFacts:
        namespace = resource.metadata.namespace
        refs = [resource.spec.model.registry_ref.name, *(ref.registry_ref.name for ref in resource.spec.datasets)]
        registries = {name: ports.store.registry(namespace, name) for name in refs}
        model: Fact[Any] = Pending()
        datasets: tuple[Fact[Any], ...] = tuple(Pending() for _ in resource.spec.datasets)
        if resource.status.job is None or (resource.status.job.started_at is None and resource.status.verdict is None):
            age = RECHECK if resource.status.phase == "Refused" else RETRY_CREATE if refused_creation(resource) else FRESH
            found = registries[resource.spec.model.registry_ref.name]
            model = ports.registries.model(found, resource.spec.model, resource.key, max_age=age) if found else Pending()
            datasets = tuple(
                ports.registries.dataset(found, ref, resource.key, max_age=age)
                if (found := registries[ref.registry_ref.name])
                else Pending()
                for ref in resource.spec.datasets
            )
        job, handed = await self._job(resource, ports)
        return EvaluationFacts(
            registries=registries,
            model=model,
            datasets=datasets,
            job=job,
            report=handed,
            failure=ports.failure(resource.key),
        )

    async def _job(self, resource: EvaluationJob, ports: Ports) -> tuple[JobFacts | None, Results | ResultProblem | None]:
        if resource.status.job is None:
            return None, None
        namespace, name = resource.metadata.namespace, job_name(resource)
        body = await ports.cluster.get("batch/v1", "Job", namespace, name)
        if body is None:
            return None, None
        facts = job_facts(body, resource)
        if resource.status.verdict is not None or facts.state == "Running":
            return facts, None
        pods = await ports.cluster.list("v1", "Pod", namespace, {"batch.kubernetes.io/job-name": name})
        digest = resource.status.resolved.model.digest if resource.status.resolved else ""
        handed = report(pods, digest) if facts.state in ("Complete", "Failed") else None
        return job_facts(body, resource, pods), handed

    def decide(self, resource: EvaluationJob, observed: EvaluationFacts, now: datetime) -> Plan:
        return decide(resource, observed, now, self._manifest)

    def _manifest(self, job: EvaluationJob, resolved: Resolved, registry: ModelRegistry, name: str) -> Mapping[str, Any]:
        images = {"evaluator_image": self._evaluator_image, "reporter_image": self._reporter_image}
        return job_manifest(job, resolved, registry, name=name, **images)

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
                job.key
                for job in store.evaluations(namespace)
                if job.status.verdict is None
                and name in {job.spec.model.registry_ref.name, *(ref.registry_ref.name for ref in job.spec.datasets)}
            ]
        return ()
