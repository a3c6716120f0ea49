"""Serving: which workload a version claims, which field of it names the model, and how the version proves that it serves."""

from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from .base import ApiModel, Cel, Duration, Name, rules

_POD_KINDS = "['Deployment', 'StatefulSet', 'Rollout']"
_ONE_FIELD = (
    "[has(self.env), has(self.argument), has(self.image), has(self.imageVolume), has(self.selector), has(self.configMap),"
    " has(self.fieldPath)].exists_one(given, given)"
)
_KNOWN = (
    "{'Deployment': 'apps/v1', 'StatefulSet': 'apps/v1', 'Service': 'v1', 'Rollout': 'argoproj.io/v1alpha1',"
    " 'InferenceService': 'serving.kserve.io/v1beta1'}"
)
_NAMES_VERSION = "self.value.contains('{uri}') || self.value.contains('{version}') || self.value.contains('{digest}')"
_KNOWN_WORDS = (
    "!self.value.replace('{uri}', '').replace('{name}', '').replace('{version}', '').replace('{digest}', '')"
    ".matches('[{][A-Za-z_]+[}]')"
)


class TargetRef(ApiModel):
    """A serving workload of the same namespace."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            Cel(
                f"!(self.kind in {_KNOWN}) || {_KNOWN}[self.kind] == self.apiVersion",
                "this kind is known with another apiVersion: Deployment and StatefulSet apps/v1, Service v1,"
                " Rollout argoproj.io/v1alpha1, InferenceService serving.kserve.io/v1beta1",
            ),
            Cel("!self.apiVersion.startsWith('weighbridge.dev/')", "a target is a workload, not an object of weighbridge.dev"),
        )
    )

    api_version: Annotated[str, Field(min_length=2, max_length=128, pattern=r"^([a-z0-9.-]+/)?v[a-z0-9]+$")] = "apps/v1"
    """API version of the workload."""
    kind: Annotated[str, Field(min_length=1, max_length=63, pattern=r"^[A-Z][A-Za-z0-9]*$")] = "Deployment"
    """Kind of the workload: Deployment, StatefulSet, Service, Rollout (Argo), InferenceService (KServe), or another one with
    `pointer.fieldPath`."""
    name: Name
    """Name of the workload."""


class ConfigMapKey(ApiModel):
    """A key of a ConfigMap of the same namespace."""

    name: Name
    """Name of the ConfigMap."""
    key: Annotated[str, Field(min_length=1, max_length=253, pattern=r"^[-._a-zA-Z0-9]+$")]
    """Key in its data."""


class Pointer(ApiModel):
    """The one field of the workload that names the model; the operator owns it and nothing else there."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            Cel(_ONE_FIELD, "name exactly one field: env, argument, image, imageVolume, selector, configMap or fieldPath"),
            Cel(
                "(has(self.env) || has(self.argument) || has(self.image)) == has(self.container)",
                "name the container for env, argument and image, and for nothing else",
            ),
            Cel(
                "!(has(self.image) || has(self.imageVolume)) || self.value != '{uri}'",
                "a registry's address is no image: write value, such as registry.example.com/fraud:{version}",
            ),
            Cel(
                "!has(self.selector) || !(self.value.contains('{uri}') || self.value.contains('{digest}'))",
                "a label takes no registry address and no digest: write value, such as v{version}",
            ),
            Cel(_NAMES_VERSION, "the value must name the version: use {uri}, {version} or {digest}"),
            Cel(_KNOWN_WORDS, "the value has a word in braces that is none of {uri}, {name}, {version} and {digest}"),
        )
    )

    container: Annotated[str, Field(min_length=1, max_length=63)] | None = None
    """Name of the container, for env, argument and image."""
    env: Annotated[str, Field(min_length=1, max_length=128, pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")] | None = None
    """Environment variable that names the model to serve. The container must declare it; a declaration without value will do."""
    argument: Annotated[str, Field(min_length=1, max_length=128, pattern=r"^-{1,2}[A-Za-z0-9][-A-Za-z0-9_.]*$")] | None = None
    """Argument that names the model, such as `--model`: written as `--model=VALUE` or as two arguments, as the container has it."""
    image: Literal[True] | None = None
    """The container's image is the model."""
    image_volume: Annotated[str, Field(min_length=1, max_length=63)] | None = None
    """Name of the pod's OCI image volume whose image is the model."""
    selector: Annotated[str, Field(min_length=1, max_length=316, pattern=r"^[A-Za-z0-9][-A-Za-z0-9_./]*$")] | None = None
    """Service: label in its selector that picks the pods of one version (blue/green)."""
    config_map: ConfigMapKey | None = None
    """Key of a ConfigMap that names the model. The pods are restarted with each change, by an annotation of the pod template."""
    field_path: Annotated[str, Field(max_length=256, pattern=r"^spec(\.[A-Za-z][-A-Za-z0-9_]*){1,8}$")] | None = None
    """Path of a field, for kinds other than Deployment, StatefulSet, Rollout and Service: `spec.predictor.model.storageUri`."""
    value: Annotated[str, Field(min_length=1, max_length=512)] = "{uri}"
    """Template of the value over the pin: {uri}, {name}, {version}, {digest}."""

    @property
    def shown(self) -> str:
        """The field, as messages call it."""
        match self:
            case Pointer(env=str(name)) | Pointer(argument=str(name)) | Pointer(field_path=str(name)):
                return name
            case Pointer(image=True):
                return f"the image of container {self.container}"
            case Pointer(image_volume=str(name)):
                return f"the image of volume {name}"
            case Pointer(selector=str(name)):
                return f"selector {name}"
            case Pointer(config_map=ConfigMapKey() as where):
                return f"{where.key} of ConfigMap {where.name}"
        return "the pointer"


class HttpGet(ApiModel):
    """A request that the new version must answer."""

    path: Annotated[str, Field(max_length=512, pattern=r"^/[^\s]*$")] = "/"
    """Path of the request."""
    port: Annotated[int, Field(ge=1, le=65535)]
    """Port of the pod, or of the Service."""


class Identity(ApiModel):
    """Asks the endpoint itself which model it serves, beyond what its pods were told."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            Cel("self.protocol != 'OpenInference' || has(self.model)", "OpenInference asks for one model: name it in model"),
        )
    )

    protocol: Literal["MLflow", "OpenAI", "OpenInference"]
    """MLflow: the scoring server answers as one. OpenAI: `/v1/models` names `value` as `root` or `id`. OpenInference: the model of
    this name is ready and, where the server names versions, serves `value`."""
    port: Annotated[int, Field(ge=1, le=65535)]
    """Port of the pod, or of the Service."""
    model: Annotated[str, Field(min_length=1, max_length=253, pattern=r"^[^\s/?#%]+$")] | None = None
    """Name under which the server knows the model; OpenAI: only this entry counts."""
    value: Annotated[str, Field(min_length=1, max_length=512)] | None = None
    """What the server must answer, a template like the pointer's; default: OpenAI the pointer's value, OpenInference {version}."""


class Invariant(ApiModel):
    """A fixed input whose answer must stay within fixed bounds, whatever any average says."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            Cel("has(self.min) || has(self.max) || has(self.equals)", "an invariant needs a bound: min, max or equals"),
            Cel("!has(self.min) || !has(self.max) || self.min <= self.max", "min is above max: nothing could pass"),
            Cel("!has(self.equals) || (!has(self.min) && !has(self.max))", "equals goes without min and max"),
        )
    )

    name: Annotated[str, Field(min_length=1, max_length=63, pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$")]
    """Name in messages."""
    path: Annotated[str, Field(max_length=512, pattern=r"^/[^\s]*$")] = "/invocations"
    """Where the input is posted."""
    port: Annotated[int, Field(ge=1, le=65535)]
    """Port of the pod, or of the Service."""
    body: Annotated[str, Field(min_length=2, max_length=8192)]
    """The input: a JSON document, posted as application/json."""
    answer: Annotated[str, Field(max_length=256, pattern=r"^(/([^/~\s]|~[01])*)*$")] = ""
    """JSON pointer (RFC 6901) to the value in the answer, such as `/predictions/0`."""
    min: float | None = None
    """Least number that passes."""
    max: float | None = None
    """Largest number that passes."""
    equals: Annotated[str, Field(max_length=256)] | None = None
    """Text that passes."""


class Probe(ApiModel):
    """Proof that the new version answers, asked of each of its pods, before it counts as serving and from then on."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            Cel(
                "has(self.httpGet) || has(self.identity) || (has(self.invariants) && size(self.invariants) > 0)",
                "a probe asks something: name httpGet, identity or invariants",
            ),
            Cel("!has(self.expect) || has(self.httpGet)", "expect goes with httpGet"),
        )
    )

    http_get: HttpGet | None = None
    """Each new pod must answer this request with status 200."""
    expect: Annotated[str, Field(max_length=256)] | None = None
    """Text that the answer must contain."""
    identity: Identity | None = None
    """Who the endpoint says it is."""
    invariants: Annotated[
        tuple[Invariant, ...],
        Field(max_length=8, json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]}),
    ] = ()
    """Fixed inputs with the answers that may come."""
    service: Name | None = None
    """Ask through this Service of the namespace instead of pod by pod; needed where the target's pods are not known."""
    period: Annotated[Duration, Cel("duration(self) >= duration('5s')", "probe every 5s at the most")] = "1m"
    """How often it is asked again while the version serves."""
    failure_window: Duration = "30s"
    """How long answers must be wrong, without a right one between, until a version that serves has failed. Silence is no answer."""


class Serving(ApiModel):
    """A workload that this version claims while it is in the stage."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            Cel(
                f"!(self.targetRef.kind in {_POD_KINDS}) || !(has(self.pointer.selector) || has(self.pointer.fieldPath))",
                "this kind is pointed at a model by env, argument, image, imageVolume or configMap",
            ),
            Cel("self.targetRef.kind != 'Service' || has(self.pointer.selector)", "a Service is pointed at pods by selector"),
            Cel(
                f"self.targetRef.kind in {_POD_KINDS} || self.targetRef.kind == 'Service' || has(self.pointer.fieldPath)",
                "this kind is not known: name the field that names the model in pointer.fieldPath",
            ),
        )
    )

    stage: Literal["Staging", "Production"] = "Production"
    """The stage in which the version claims the workload."""
    target_ref: TargetRef
    """The workload to point at this version."""
    pointer: Pointer
    """The field of the workload that names the model."""
    ready_condition: Annotated[str, Field(min_length=1, max_length=316, pattern=r"^[A-Za-z][-A-Za-z0-9_./]*$")] = "Ready"
    """Condition by which a workload of a kind that is not known tells that its newest spec serves."""
    progress_deadline: Duration = "10m"
    """Longest time from re-pointing to proof; after it the rollout has failed."""
    probe: Probe | None = None
    """Proof that the new version answers, beyond the workload's own readiness."""
