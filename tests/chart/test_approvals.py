"""Who may decide on a ModelVersion, on a real API server with several people: the admission policy as the chart installs it."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import yaml

from tests.apiserver import ApiServer, Identity
from tests.chart.conftest import Api, Object, Rendered

TOOL, OTHER = Identity.service_account("argocd", "argocd-server"), Identity.service_account("ci", "robot")
PEOPLE = ("ann", "ben", "eve")
"""ann may decide on everything, ben on fraud-8 alone, eve may create ModelApprovals and no more."""
KINDS = ("CustomResourceDefinition", "ClusterRole", "ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding")
Decide = Callable[..., str]


def done(api: Api, *arguments: str, stdin: str | None = None) -> str:
    ran = api.kubectl(*arguments, stdin=stdin)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


def role(name: str, user: str, *rules: Object) -> list[Object]:
    group = "rbac.authorization.k8s.io"
    metadata = {"name": name, "namespace": "default"}
    subject = {"apiGroup": group, "kind": "User", "name": user}
    binding = {"roleRef": {"apiGroup": group, "kind": "Role", "name": name}, "subjects": [subject]}
    return [
        {"apiVersion": f"{group}/v1", "kind": "Role", "metadata": metadata, "rules": list(rules)},
        {"apiVersion": f"{group}/v1", "kind": "RoleBinding", "metadata": metadata, **binding},
    ]


def may(verbs: list[str], resource: str, **more: Any) -> Object:
    return {"apiGroups": ["weighbridge.dev"], "resources": [resource], "verbs": verbs, **more}


@pytest.fixture(scope="module")
def server(template: Callable[..., Rendered]) -> Iterator[ApiServer]:
    """One with the kinds, their policy with one listed service account, and the people."""
    create, approve = may(["get", "create", "patch", "update", "delete"], "modelapprovals"), may(["approve"], "modelversions")
    look = may(["get"], "modelapprovals/status")  # kubectl looks before it patches
    who = [Identity(each, ("system:authenticated",)) for each in PEOPLE]
    with ApiServer([*who, TOOL, OTHER]) as server:
        api = Api(server.kubeconfig(), server.kubectl.parent)
        objects = template("approvals.serviceAccounts={argocd/argocd-server}").of(*KINDS)
        rights = [
            *role("ann", "ann", create, approve, look),
            *role("ben", "ben", create, may(["approve"], "modelversions", resourceNames=["fraud-8"])),
            *role("eve", "eve", create),
            *role("tool", TOOL.name, create, approve),
            *role("other", OTHER.name, create, approve),
        ]
        # JSON: a bare y is no string to every reader of YAML.
        listed = {"apiVersion": "v1", "kind": "List", "items": [*objects, *rights]}
        done(api, "apply", "--server-side", "-f", "-", stdin=json.dumps(listed))
        done(api, "wait", "--for=condition=Established", "crd", "--all", "--timeout=30s")
        # The policy counts a moment after it is there.
        while api.kubectl("create", "--dry-run=server", "-f", "-", stdin=manifest("probe", "nobody")).returncode == 0:
            pass
        yield server


def manifest(name: str, approver: str, version: str = "fraud-7", **change: Any) -> str:
    spec = {"modelVersionRef": {"name": version}, "stage": "Production", "decision": "Approve", "subjectHash": f"sha256:{'0' * 64}"}
    metadata = {"name": name, "namespace": "default"}
    body = {"apiVersion": "weighbridge.dev/v1alpha1", "kind": "ModelApproval", "metadata": metadata}
    return yaml.safe_dump({**body, "spec": {**spec, "approver": approver, **change}})


@pytest.fixture
def decide(server: ApiServer) -> Decide:
    """Decides as a user in the name of an approver; what the API server says against it."""

    def decide(user: str, approver: str, version: str = "fraud-7", decision: str = "Approve") -> str:
        api = Api(server.kubeconfig(user), server.kubectl.parent)
        text = manifest(f"by-{user.replace(':', '-')}", approver, version, decision=decision)
        return api.kubectl("create", "--dry-run=server", "-f", "-", stdin=text).stderr

    return decide


@pytest.mark.parametrize("decision", ["Approve", "Reject"])
@pytest.mark.parametrize(
    ("user", "version"), [("ann", "fraud-7"), ("ben", "fraud-8"), (TOOL.name, "fraud-7"), ("admin", "fraud-7")]
)
def test_who_may_decides_for_themselves(decide: Decide, user: str, version: str, decision: str) -> None:
    assert decide(user, user, version, decision) == ""


@pytest.mark.parametrize("decision", ["Approve", "Reject"])
@pytest.mark.parametrize(
    ("user", "approver", "says"),
    [
        ("ann", "ben", "nobody decides for somebody else: set spec.approver to ann"),
        ("admin", "ann", "set spec.approver to admin"),
        (
            "eve",
            "eve",
            "you may not approve or reject ModelVersion fraud-7: ask for the verb approve on modelversions.weighbridge.dev",
        ),
        ("ben", "ben", "you may not approve or reject ModelVersion fraud-7"),
        ("eve", "ann", "nobody decides for somebody else"),
        (OTHER.name, OTHER.name, "a service account is no person"),
        (TOOL.name, "ann", "nobody decides for somebody else"),
    ],
)
def test_nobody_else_does_and_is_told_why(decide: Decide, user: str, approver: str, says: str, decision: str) -> None:
    assert says in decide(user, approver, decision=decision)


def test_a_decision_stays_what_it_was_and_only_the_operator_says_whether_it_counts(server: ApiServer) -> None:
    ann = Api(server.kubeconfig("ann"), server.kubectl.parent)
    done(ann, "create", "-f", "-", stdin=manifest("once", "ann"))
    for change in ({"decision": "Reject"}, {"approver": "ben"}, {"comment": "later"}, {"subjectHash": f"sha256:{'1' * 64}"}):
        patch = yaml.safe_dump({"spec": change})
        refused = ann.kubectl("patch", "modelapproval", "once", "-n", "default", "--type=merge", "-p", patch)
        assert "a decision is immutable" in refused.stderr
    status = ("--subresource=status", "--type=merge", "-p", '{"status": {"counted": true}}')
    assert "cannot patch resource" in ann.kubectl("patch", "modelapproval", "once", "-n", "default", *status).stderr
    done(ann, "delete", "modelapproval", "once", "-n", "default")


def test_without_a_list_every_service_account_is_refused(template: Callable[..., Rendered]) -> None:
    policy = template().one("ValidatingAdmissionPolicy")
    assert policy["spec"]["failurePolicy"] == "Fail"
    assert any(each["expression"].endswith("variables.user in []") for each in policy["spec"]["validations"])
    assert template("crds.install=false").of("ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding") == []


@pytest.mark.parametrize("name", ["argocd-server", "argocd/argocd-server'", "system:serviceaccount:a:b", "a/b/c"])
def test_what_is_no_service_account_cannot_be_listed(helm: Callable[..., Any], name: str) -> None:
    refused = helm("template", "weighbridge", "charts/weighbridge", "--set", f"approvals.serviceAccounts={{{name}}}")
    assert "approvals.serviceAccounts" in refused.stderr.replace("/", ".")
