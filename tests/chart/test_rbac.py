"""The promises about rights, one test each. A right more or less is a decision: it is made here too."""

from collections import defaultdict
from collections.abc import Callable, Iterable

import pytest

from .conftest import Object, Rendered

Template = Callable[..., Rendered]
NAMESPACED = ("watchNamespaces={fraud,search}",)

RIGHTS = {
    "weighbridge.dev/modelregistries": {"get", "list", "watch"},
    "weighbridge.dev/modelregistries/status": {"patch"},
    "weighbridge.dev/evaluationjobs": {"get", "list", "watch", "create"},
    "weighbridge.dev/evaluationjobs/status": {"patch"},
    "weighbridge.dev/modelversions": {"get", "list", "watch", "patch"},
    "weighbridge.dev/modelversions/status": {"patch"},
    "weighbridge.dev/modelapprovals": {"get", "list", "watch"},
    "weighbridge.dev/modelapprovals/status": {"patch"},
    "batch/jobs": {"get", "list", "watch", "create", "delete"},
    "/pods": {"list"},
    "apps/deployments": {"get", "list", "watch", "patch"},
    "apps/statefulsets": {"get", "list", "watch", "patch"},
    "/services": {"get", "list", "watch", "patch"},
    "/secrets": {"get"},
    "events.k8s.io/events": {"create"},
}
EDIT = {"create", "update", "patch", "delete", "deletecollection"}


def rights(roles: Iterable[Object]) -> dict[str, set[str]]:
    """`group/resource` to verbs."""
    found = defaultdict(set)
    for role in roles:
        for rule in role["rules"]:
            for group in rule["apiGroups"]:
                for resource in rule["resources"]:
                    found[f"{group}/{resource}"] |= set(rule["verbs"])
    return dict(found)


def named(objects: Iterable[Object]) -> dict[str, Object]:
    return {each["metadata"]["name"]: each for each in objects}


@pytest.mark.parametrize("values", [(), NAMESPACED], ids=["cluster-wide", "namespaced"])
def test_no_rule_holds_a_wildcard(template: Template, values: tuple[str, ...]) -> None:
    rules = [rule for role in template(*values).of("Role", "ClusterRole") for rule in role["rules"]]
    assert rules
    assert not [rule for rule in rules for words in rule.values() if "*" in "".join(words)]


def test_cluster_wide_the_operator_holds_exactly_these_rights(template: Template) -> None:
    rendered = template()
    role = named(rendered.of("ClusterRole"))["weighbridge"]
    assert rights([role]) == RIGHTS
    binding = rendered.one("ClusterRoleBinding")
    assert binding["roleRef"]["name"] == "weighbridge"
    assert binding["subjects"] == [{"kind": "ServiceAccount", "name": "weighbridge", "namespace": "operators"}]


@pytest.mark.parametrize(
    ("values", "taken", "added"),
    [
        (("servingTargets={Service}",), {"apps/deployments", "apps/statefulsets"}, {}),
        (
            ("servingTargets={Deployment,StatefulSet,Service,Rollout,InferenceService}",),
            set(),
            {
                "argoproj.io/rollouts": {"get", "list", "watch", "patch"},
                "serving.kserve.io/inferenceservices": {"get", "list", "watch", "patch"},
            },
        ),
        (
            ("genericTargets[0].apiGroup=example.com", "genericTargets[0].resource=modelservers"),
            set(),
            {"example.com/modelservers": {"get", "patch"}},
        ),
        (("configMapPointers=true",), set(), {"/configmaps": {"get", "patch"}}),
    ],
    ids=["a Service only", "those of others", "a generic one", "ConfigMaps"],
)
def test_each_kind_of_target_brings_its_own_rights_and_no_others(
    template: Template, values: tuple[str, ...], taken: set[str], added: dict[str, set[str]]
) -> None:
    role = named(template(*values).of("ClusterRole"))["weighbridge"]
    assert rights([role]) == {name: verbs for name, verbs in RIGHTS.items() if name not in taken} | added


@pytest.mark.parametrize("values", [(), NAMESPACED], ids=["cluster-wide", "namespaced"])
def test_workloads_of_kueue_are_read_only_if_switched_on(template: Template, values: tuple[str, ...]) -> None:
    rendered = template("kueue.enabled=true", *values)
    roles = [role for role in rendered.of("ClusterRole", "Role") if role["metadata"]["name"] == "weighbridge"]
    mine = [role for role in roles if role["metadata"].get("namespace") != "operators"]
    assert mine
    assert all(rights([role]) == RIGHTS | {"kueue.x-k8s.io/workloads": {"get", "list"}} for role in mine)


def test_namespaced_it_holds_the_same_rights_there_and_none_across_namespaces(template: Template) -> None:
    rendered = template(*NAMESPACED)
    assert rendered.of("ClusterRoleBinding") == []
    assert "weighbridge" not in named(rendered.of("ClusterRole"))
    roles = [role for role in rendered.of("Role") if role["metadata"]["name"] == "weighbridge"]
    assert [role["metadata"]["namespace"] for role in roles] == ["fraud", "search"]
    assert all(rights([role]) == RIGHTS for role in roles)
    assert sorted(each["metadata"]["namespace"] for each in rendered.of("RoleBinding")) == ["fraud", "operators", "search"]
    assert all(
        each["subjects"] == [{"kind": "ServiceAccount", "name": "weighbridge", "namespace": "operators"}]
        for each in rendered.of("RoleBinding")
    )


def test_a_tenant_can_install_without_any_right_on_the_cluster(template: Template) -> None:
    kinds = {each["kind"] for each in template(*NAMESPACED, "crds.install=false")}
    assert kinds == {"ServiceAccount", "Role", "RoleBinding", "Service", "Deployment", "PodDisruptionBudget"}


def test_the_rights_go_to_the_account_that_is_named(template: Template) -> None:
    rendered = template("serviceAccount.create=false", "serviceAccount.name=somebody", "namespaceOverride=platform")
    assert rendered.of("ServiceAccount") == []
    assert rendered.one("Deployment")["spec"]["template"]["spec"]["serviceAccountName"] == "somebody"
    for binding in rendered.of("RoleBinding", "ClusterRoleBinding"):
        assert binding["subjects"] == [{"kind": "ServiceAccount", "name": "somebody", "namespace": "platform"}]


def test_whoever_gives_the_rights_himself_gets_no_role_of_the_operator(template: Template) -> None:
    rendered = template("rbac.create=false", "uninstall.letGo=false")
    assert rendered.of("Role", "RoleBinding", "ClusterRoleBinding") == []
    assert all(name.startswith("weighbridge-aggregate-to-") for name in named(rendered.of("ClusterRole")))


@pytest.mark.parametrize("values", ["rbac.aggregate=false", "crds.install=false"])
def test_nobody_is_let_at_the_kinds_where_that_is_not_wanted(template: Template, values: str) -> None:
    assert list(named(template(values).of("ClusterRole"))) == ["weighbridge"]


def test_what_comes_after_the_release_may_list_and_patch_versions_and_nothing_else(hooks: Template) -> None:
    everywhere, tenant = hooks(), hooks(*NAMESPACED)
    expected = {"weighbridge.dev/modelversions": {"list", "patch"}}
    assert rights([everywhere.one("ClusterRole")]) == expected
    assert everywhere.of("Role", "RoleBinding") == []
    assert [role["metadata"]["namespace"] for role in tenant.of("Role")] == ["fraud", "search"]
    assert all(rights([role]) == expected for role in tenant.of("Role"))
    assert tenant.of("ClusterRole", "ClusterRoleBinding") == []
    for rendered in (everywhere, tenant):
        account = rendered.one("ServiceAccount")["metadata"]["name"]
        assert account != "weighbridge"
        for binding in rendered.of("RoleBinding", "ClusterRoleBinding"):
            assert binding["subjects"] == [{"kind": "ServiceAccount", "name": account, "namespace": "operators"}]


def test_in_its_own_namespace_it_holds_its_lease_and_nothing_else(template: Template) -> None:
    role = template().one("Role")
    assert role["metadata"]["namespace"] == "operators"
    assert rights([role]) == {"coordination.k8s.io/leases": {"get", "patch", "create"}}
    assert [rule["verbs"] for rule in role["rules"] if "resourceNames" not in rule] == [["create"]]
    assert [rule["resourceNames"] for rule in role["rules"] if "resourceNames" in rule] == [["weighbridge"]]


def test_each_release_has_a_lease_of_its_own(template: Template) -> None:
    rendered = template("fullnameOverride=other")
    (rule,) = (each for role in rendered.of("Role") for each in role["rules"] if "resourceNames" in each)
    (pod,) = rendered.one("Deployment")["spec"]["template"]["spec"]["containers"]
    assert rule["resourceNames"] == ["other"]
    assert {"name": "WEIGHBRIDGE_LEASE_NAME", "value": "other"} in pod["env"]


def test_without_leader_election_there_is_no_right_to_leases(template: Template) -> None:
    assert template("leaderElection.enabled=false", "replicas=1").of("Role", "RoleBinding") == []


@pytest.mark.parametrize(
    ("role", "expected"),
    [
        (
            "view",
            {
                f"weighbridge.dev/{kind}": {"get", "list", "watch"}
                for kind in ("modelregistries", "evaluationjobs", "modelversions", "modelapprovals")
            },
        ),
        ("edit", {f"weighbridge.dev/{kind}": EDIT for kind in ("evaluationjobs", "modelversions", "modelapprovals")}),
        ("admin", {"weighbridge.dev/modelregistries": EDIT, "weighbridge.dev/modelversions": {"approve"}}),
    ],
)
def test_people_get_the_kinds_through_the_clusters_own_roles(template: Template, role: str, expected: dict[str, set[str]]) -> None:
    mine = named(template().of("ClusterRole"))[f"weighbridge-aggregate-to-{role}"]
    marks = {key for key in mine["metadata"]["labels"] if key.startswith("rbac.authorization.k8s.io/")}
    assert marks == {f"rbac.authorization.k8s.io/aggregate-to-{role}"}
    assert rights([mine]) == expected
