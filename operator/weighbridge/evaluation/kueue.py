"""Kueue as an evaluation's Job knows it: the labels that put it into a queue, and what the Workload that stands for it says.

Kueue is asked for nothing else: it admits the Job by taking `suspend` away, and takes it back by setting it.
"""

from collections.abc import Mapping
from typing import Any

QUEUE = "kueue.x-k8s.io/queue-name"
PRIORITY = "kueue.x-k8s.io/priority-class"
JOB_UID = "kueue.x-k8s.io/job-uid"
"""Label of a Workload."""
VERSIONS = ("kueue.x-k8s.io/v1beta2", "kueue.x-k8s.io/v1beta1")
"""Of Workloads, newest first."""
_LONGEST = 300


def words(workload: Mapping[str, Any]) -> str:
    """Why a Workload is not running, in Kueue's own words; empty where it says nothing."""
    found = {each["type"]: each for each in workload.get("status", {}).get("conditions", ())}
    said = []
    if found.get("Evicted", {}).get("status") == "True":
        said.append(_text(found["Evicted"]))
    for kind in ("QuotaReserved", "Admitted"):
        if found.get(kind, {}).get("status") == "False":
            said.append(_text(found[kind]))
            break
    return "; ".join(dict.fromkeys(said))


def _text(condition: Mapping[str, Any]) -> str:
    return f"{condition.get('reason', '')}: {condition.get('message', '')}".strip(": ")[:_LONGEST]
