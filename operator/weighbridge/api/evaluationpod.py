"""The Job of an evaluation: what users may ask of its pod, and what they are told of it."""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from .base import ApiModel, Cel, rules

Quantity = Annotated[str, Field(max_length=32, pattern=r"^[0-9]+(\.[0-9]+)?(m|k|Ki|M|Mi|G|Gi|T|Ti)?$")]
Space = Annotated[str, Field(max_length=16, pattern=r"^[1-9][0-9]{0,5}(Mi|Gi|Ti)$")]
"""Space for files: whole Mi, Gi or Ti."""
LabelName = Annotated[str, Field(min_length=1, max_length=63, pattern=r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$")]
"""Name of an object that a label must hold."""
_NO_PART = 'devices such as nvidia.com/gpu are whole: write "1"'
_SCRATCH = "the limit on ephemeral-storage follows from scratch: set that"
_NO_QUEUE = "queuePriorityClassName is a priority in a queue: set queueName too"


class Resources(ApiModel):
    """Resources of the engine's container."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            Cel("self.limits.all(name, !name.contains('/') || self.limits[name].matches('^[0-9]+$'))", _NO_PART),
            Cel("!('ephemeral-storage' in self.limits)", _SCRATCH),
        )
    )

    limits: Annotated[dict[str, Quantity], Field(max_length=16)] = {}
    """Limits, e.g. `nvidia.com/gpu: "1"`, `memory: 4Gi`."""
    requests: Annotated[dict[str, Quantity], Field(max_length=16)] = {}
    """Requests; default: the limits. `ephemeral-storage` reserves space on the node's disk, of which little is reserved else."""


class Toleration(ApiModel):
    key: Annotated[str, Field(max_length=316)] | None = None
    operator: Literal["Equal", "Exists"] = "Equal"
    value: Annotated[str, Field(max_length=63)] | None = None
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None = None


class Scheduling(ApiModel):
    """Where and when the evaluation pod may run."""

    model_config = ConfigDict(json_schema_extra=rules(Cel("!has(self.queuePriorityClassName) || has(self.queueName)", _NO_QUEUE)))

    node_selector: Annotated[dict[str, Annotated[str, Field(max_length=63)]], Field(max_length=16)] = {}
    """Labels the node must have. In a queue of Kueue leave it to the queue's flavors which GPU it is."""
    tolerations: Annotated[tuple[Toleration, ...], Field(max_length=16)] = ()
    """Taints the pod tolerates."""
    priority_class_name: Annotated[str, Field(max_length=253)] | None = None
    """Priority class of the pod."""
    queue_name: LabelName | None = None
    """Kueue's LocalQueue the Job waits in. It is created suspended and runs once Kueue admits it."""
    queue_priority_class_name: LabelName | None = None
    """Kueue's WorkloadPriorityClass of the Job."""


class JobState(ApiModel):
    """The Kubernetes Job of the evaluation's current or last attempt."""

    name: Annotated[str, Field(max_length=63)]
    """Name of the Job."""
    attempt: Annotated[int, Field(ge=1)] = 1
    """Which attempt it is: one Job each, the next only after the one before is gone."""
    uid: Annotated[str, Field(max_length=64)] | None = None
    """Of the Job, once it was seen."""
    waiting_since: datetime | None = None
    """Since when it waits for its queue, a node or its image; absent while it runs."""
    image_missing_since: datetime | None = None
    """Since when its image cannot be pulled."""
    started_at: datetime | None = None
    """When its pod started."""
    finished_at: datetime | None = None
    """When it ended."""
    next_attempt_at: datetime | None = None
    """When this attempt may begin; only until it has."""
    image: Annotated[str, Field(max_length=512)] = ""
    """Image of the engine that really ran, with its digest."""
    last_failure: Annotated[str, Field(max_length=64)] | None = None
    """Reason why the attempt before this one broke."""
