"""What the operator asked of the API server in the tests before, by the API server's own audit log: nothing it may not, and
everything it may. Says something only after all of them ran, so it is skipped where they did not."""

import json
import subprocess
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import pytest
import yaml

from e2e.helm import CHART, helm
from e2e.kube import ROOT
from e2e.test_7_delivery import TENANT, TENANTS_OPERATOR

LOG = "/var/log/kubernetes/audit.log"
FULL = ROOT / "e2e" / "serving" / "manifests" / "operator.yaml"
"""Values that switch on all there is."""
AFTER_A_CONFLICT = {
    ("get", f"weighbridge.dev/{kind}") for kind in ("modelregistries", "evaluationjobs", "modelversions", "modelapprovals")
}
"""Asked only when somebody changed the object in the very moment in which its status was written, which no run is sure to meet;
tests/runtime/test_reconciler.py brings it about."""
LAST = 20.0
"""Seconds before a pod's last request in which it may meet a refusal: what it needed was taken away with it."""


@dataclass(frozen=True)
class Request:
    """One line of the log."""

    account: str
    """Namespace of the operator that asked."""
    pod: str
    at: float
    verb: str
    resource: str
    """`group/resource` or `group/resource/subresource`; the path where it is none."""
    namespace: str
    code: int
    allowed: bool
    """By its rights; an answer may be 403 all the same, in a namespace that is going away."""


@pytest.fixture(scope="module")
def requests(request: pytest.FixtureRequest, begun: float) -> list[Request]:
    """Since this run of the tests began."""
    ran = {item.path.name for item in request.session.items}
    wanted = {path.name for path in Path(__file__).parent.glob("test_[1-7]_*.py")}
    if wanted - ran:
        pytest.skip(f"not all tests ran that make the operator do everything: {', '.join(sorted(wanted - ran))} missing")
    return list(_requests(begun))


def test_the_operator_is_never_refused(requests: list[Request]) -> None:
    assert len(requests) > 1000
    last: dict[str, float] = defaultdict(float)
    for each in requests:
        last[each.pod] = max(last[each.pod], each.at)
    refused = {
        (each.account, each.verb, each.resource, each.namespace)
        for each in requests
        if (each.code == 401 or not each.allowed) and last[each.pod] - each.at > LAST
    }
    assert refused == set()


def test_no_verb_is_granted_that_is_never_used(requests: list[Request]) -> None:
    used = {(each.verb, each.resource) for each in requests if each.code < 400 and each.account != TENANTS_OPERATOR}
    granted = {(verb, resource) for verb, resource in _granted()}
    assert granted - used - AFTER_A_CONFLICT == set()


def test_limited_to_a_namespace_it_reads_nothing_outside(requests: list[Request]) -> None:
    asked = {(each.namespace, each.resource) for each in requests if each.account == TENANTS_OPERATOR}
    outside = {(namespace, resource) for namespace, resource in asked if namespace != TENANT and not resource.startswith("/")}
    assert (TENANT, "weighbridge.dev/modelregistries") in asked
    assert outside <= {(TENANTS_OPERATOR, "coordination.k8s.io/leases")}


def _requests(begun: float) -> Iterator[Request]:
    docker = ROOT / "e2e" / "cluster" / "docker"
    (node,) = subprocess.run(
        [docker, "ps", "--filter=label=io.x-k8s.kind.role=control-plane", "--format={{.Names}}"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    with subprocess.Popen([docker, "exec", node, "cat", LOG], stdout=subprocess.PIPE, text=True) as reading:
        assert reading.stdout is not None
        for line in reading.stdout:
            entry = json.loads(line)
            at = datetime.fromisoformat(entry["requestReceivedTimestamp"]).timestamp()
            if at < begun:
                continue
            what = entry.get("objectRef", {})
            user = entry["user"]
            parts = [what["resource"], what["subresource"]] if what.get("subresource") else [what.get("resource", "")]
            yield Request(
                account=user["username"].split(":")[2],
                pod=next(iter(user.get("extra", {}).get("authentication.kubernetes.io/pod-name", ())), ""),
                at=at,
                verb=entry["verb"],
                resource=f"{what.get('apiGroup', '')}/{'/'.join(parts)}" if what else entry["requestURI"].partition("?")[0],
                namespace=what.get("namespace", ""),
                code=entry.get("responseStatus", {}).get("code", 0),
                allowed=entry.get("annotations", {}).get("authorization.k8s.io/decision") == "allow",
            )


def _granted() -> Iterator[tuple[str, str]]:
    rendered = helm("template", "weighbridge", str(CHART), "--values", str(FULL), namespace="weighbridge-system")
    for body in filter(None, yaml.safe_load_all(rendered)):
        if body["kind"] not in {"ClusterRole", "Role"} or body["metadata"]["name"] not in {"weighbridge", "weighbridge-leader"}:
            continue
        for rule in body["rules"]:
            for group in rule["apiGroups"]:
                for resource in rule["resources"]:
                    yield from ((verb, f"{group}/{resource}") for verb in rule["verbs"])
