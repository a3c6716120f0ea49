"""Whose decision it is when somebody clicks in Argo CD, on a real API server with the chart's policy: Argo CD's own account
decides, and only where an administrator has listed it and given it the rights of `approvals-rbac.yaml`."""

import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import yaml

from tests.apiserver import ApiServer, Identity
from tests.argocd.customizations import TREE, action_cases
from tests.argocd.lua import Script
from tests.argocd.stories import ACCOUNT
from tests.chart.conftest import ROOT, Api, Object, Rendered

RBAC = ROOT / "manifests" / "argocd" / "approvals-rbac.yaml"
CONTROLLER = "system:serviceaccount:argocd:argocd-application-controller"
LISTED = "approvals.serviceAccounts={argocd/argocd-server}"
CASES = {case.action: case for case in action_cases() if case.action in ("approve", "reject")}
POLICY = ("ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding")
LIST = {"apiVersion": "v1", "kind": "List"}


def of(action: str) -> Object:
    """The ModelApproval that the action creates."""
    case = CASES[action]
    script = Script((TREE / "ModelVersion" / "actions" / action / "action.lua").read_text(encoding="utf-8"))
    (output,) = script(case.object)
    assert output["operation"] == "create"
    found: Object = output["resource"]
    return found


def rights(*resources: str) -> list[Object]:
    """The manifest, without the rules for other resources than these."""
    role, binding = yaml.safe_load_all(RBAC.read_text(encoding="utf-8"))
    kept = [rule for rule in role["rules"] if set(rule["resources"]) <= set(resources)]
    assert len(kept) == len(resources)
    return [{**role, "rules": kept}, binding]


@pytest.fixture(scope="module")
def server() -> Iterator[ApiServer]:
    """One that knows Argo CD's accounts."""
    with ApiServer([Identity.service_account("argocd", name.rsplit(":")[-1]) for name in (ACCOUNT, CONTROLLER)]) as server:
        yield server


def test_it_is_admitted_only_where_the_account_is_listed_and_has_the_rights(
    server: ApiServer, template: Callable[..., Rendered]
) -> None:
    admin = Api(server.kubeconfig(), server.kubectl.parent)

    def apply(*objects: Object) -> None:
        done = admin.kubectl("apply", "--server-side", "-f", "-", stdin=json.dumps({**LIST, "items": objects}))
        assert done.returncode == 0, done.stderr

    def decide(action: str, user: str = ACCOUNT, **spec: Any) -> str:
        """What the API server says against it."""
        made = of(action)
        body = json.dumps({**made, "spec": made["spec"] | spec})
        api = Api(server.kubeconfig(user), server.kubectl.parent)
        return api.kubectl("create", "--dry-run=server", "--validate=strict", "-f", "-", stdin=body).stderr

    def until(counts: Callable[[], bool]) -> None:
        """A change counts a moment after it is there."""
        deadline = time.monotonic() + 30
        while not counts() and time.monotonic() < deadline:
            pass

    def after(change: list[Object]) -> list[str]:
        """What it says of both actions when a change counts: something else than before."""
        before = decide("approve")
        apply(*change)
        until(lambda: decide("approve") != before)
        return [decide(action) for action in CASES]

    admin.namespaces("ns")
    apply(*template(LISTED).of("CustomResourceDefinition", *POLICY))
    done = admin.kubectl("wait", "--for=condition=Established", "crd", "--all", "--timeout=30s")
    assert done.returncode == 0, done.stderr
    until(lambda: "nobody decides for somebody else" in decide("approve", "admin"))
    assert all("cannot create resource" in decide(action) for action in CASES)
    said = after(rights("modelapprovals"))
    assert all("ask for the verb approve on modelversions.weighbridge.dev" in each for each in said)
    assert after(rights("modelapprovals", "modelversions")) == ["", ""]
    assert "nobody decides for somebody else" in decide("approve", approver="jane")
    # A sync is done with another account, so a decision in Git is nobody's.
    assert "cannot create resource" in decide("approve", CONTROLLER, approver=CONTROLLER)
    assert all("a service account is no person" in each for each in after(template().of(*POLICY)))
