"""EvaluationJob: asks the registries, looks at the Job and, when it is complete, at what its reporter handed over."""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Any

from ..api.base import Key
from ..api.evaluationjob import Champion, EvaluationJob, Resolved
from ..api.modelregistry import ModelRegistry
from ..api.references import ModelReference
from ..api.results import Results
from ..core.engines import BUILT_IN, Engine
from ..core.evaluationend import RECHECK
from ..core.evaluationfacts import Earlier, EvaluationFacts, Heard, JobFacts, ResultProblem
from ..core.evaluationjob import FRESH, RETRY_CREATE, decide, refused_creation
from ..core.facts import Fact, Pending
from ..core.incumbent import asked, incumbent
from ..core.names import JOB_LABEL, job_name
from ..core.plan import Plan
from ..core.subjects import Answers, Reference, ask, registry_names, registry_not_found, subjects
from ..evaluation.job import is_of, job_facts, report, running, still_there
from ..evaluation.kueue import JOB_UID, VERSIONS
from ..evaluation.manifest import job_manifest
from .ports import Cluster, ClusterError, Ports, Store
from .rivals import rivals

_JOB_NAME = "batch.kubernetes.io/job-name"
"""Label of a Job's pods."""


class EvaluationJobController:
    """One evaluation of one model version."""

    kind = EvaluationJob

    def __init__(
        self, evaluator_image: str, reporter_image: str, *, kueue: bool = False, engines: Mapping[str, Engine] = BUILT_IN
    ) -> None:
        """`kueue`: whether Workloads may be read."""
        self._evaluator_image, self._reporter_image, self._kueue = evaluator_image, reporter_image, kueue
        self._engines = engines

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
        named = resource.status.champion.evaluation if resource.status.champion is not None else ""
        if job is None and resource.status.verdict is None and (known is None or not (known.uid or known.started_at)):
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
            incumbent=_incumbent(resource, ports.store) if asked(resource.spec) and known is None else None,
            reusable=ports.store.evaluations(namespace) if resource.spec.reuse and known is None else (),
            image=self._image(resource),
            champion=ports.store.evaluation(namespace, named) if named else None,
            earlier=await self._earlier(resource, ports),
            progress=progress,
        )

    async def _job(
        self, resource: EvaluationJob, ports: Ports
    ) -> tuple[JobFacts | None, Results | ResultProblem | None, Heard | None]:
        if resource.status.job is None:
            return None, None, None
        namespace, name = resource.metadata.namespace, resource.status.job.name
        body = await ports.cluster.get("batch/v1", "Job", namespace, name)
        if body is None:
            return None, None, None
        facts = job_facts(body, resource)
        if resource.status.verdict is not None:
            return facts, None, None
        found = await ports.cluster.list("v1", "Pod", namespace, {_JOB_NAME: name})
        pods = [pod for pod in found if is_of(pod, facts.uid)]
        workload = await self._workload(ports.cluster, namespace, facts) if self._kueue and facts.state == "Queued" else None
        facts = job_facts(body, resource, pods, workload, self._engines)
        digest = resource.status.resolved.model.digest if resource.status.resolved else ""
        progress = self._progress(resource, pods, ports) if facts.state == "Running" else None
        return facts, report(pods, digest) if facts.state == "Complete" else None, progress

    async def _workload(self, cluster: Cluster, namespace: str, job: JobFacts) -> Mapping[str, Any] | None:
        """What stands for the Job in Kueue. Without it the evaluation goes on as well, and says less."""
        for version in VERSIONS:
            with suppress(ClusterError):
                found = await cluster.list(version, "Workload", namespace, {JOB_UID: job.uid})
                return found[0] if found else None
        return None

    async def _earlier(self, resource: EvaluationJob, ports: Ports) -> Earlier:
        state, namespace = resource.status.job, resource.metadata.namespace
        if state is None or state.next_attempt_at is None or resource.status.verdict is not None:
            return Earlier()
        name = job_name(resource, state.attempt - 1)
        body = await ports.cluster.get("batch/v1", "Job", namespace, name)
        facts = job_facts(body, resource) if body is not None else None
        # By label, since the Job may have gone without its pods.
        pods = await ports.cluster.list("v1", "Pod", namespace, {_JOB_NAME: name})
        return Earlier(uid=facts.uid if facts is not None and facts.ours else "", pods=still_there(pods))

    def _progress(self, resource: EvaluationJob, pods: Sequence[Mapping[str, Any]], ports: Ports) -> Heard | None:
        """How far the running pod is, as it said last."""
        if (there := running(pods)) is None:
            return None
        uid, address = there
        return ports.progress.ask(resource.key, uid, address)

    def _image(self, resource: EvaluationJob) -> str:
        """Reference of the image that its engine runs."""
        engine = self._engines.get(resource.spec.evaluator.engine)
        return engine.image_for(resource.spec.evaluator, self._evaluator_image) if engine is not None else ""

    def decide(self, resource: EvaluationJob, observed: EvaluationFacts, now: datetime) -> Plan:
        return decide(resource, observed, now, self._manifest, self._engines)

    def _manifest(
        self, job: EvaluationJob, resolved: Resolved, registries: Mapping[str, ModelRegistry], name: str
    ) -> Mapping[str, Any]:
        images = {"evaluator_image": self._evaluator_image, "reporter_image": self._reporter_image}
        return job_manifest(job, resolved, registries, name=name, engines=self._engines, **images)

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


def _incumbent(job: EvaluationJob, store: Store) -> Champion:
    """What the evaluation would be compared with now."""
    namespace = job.metadata.namespace
    owners = {each.uid for each in job.metadata.owner_references}
    owner = next((each for each in store.versions(namespace) if each.metadata.uid in owners), None)
    others = rivals(owner, store) if owner is not None else ()
    return incumbent(job, owner, others, lambda name: store.evaluation(namespace, name))
