"""The chart as text: what it renders, and which values it refuses. No cluster is asked."""

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from weighbridge import __version__
from weighbridge.evaluation.manifest import PORT
from weighbridge.settings import VARIABLES, read

from .conftest import CHART, ROOT, Object, Program, Rendered

Template = Callable[..., Rendered]
KEEP = {"helm.sh/resource-policy": "keep"}


def container(rendered: Rendered) -> Object:
    (only,) = rendered.one("Deployment")["spec"]["template"]["spec"]["containers"]
    return dict(only)


def settings(rendered: Rendered) -> dict[str, str]:
    return {each["name"]: each["value"] for each in container(rendered)["env"] if "value" in each}


@pytest.mark.parametrize(
    ("value", "named"),
    [
        ("watchNamespace={fraud}", "watchNamespace"),
        ("crds.instal=false", "instal"),
        ("log.level=loud", "log/level"),
        ("kueue.enabled=often", "kueue/enabled"),
        ("image.tags=1", "tags"),
        ("watchNamespaces={Fraud}", "watchNamespaces"),
        ("servingTargets={Pod}", "servingTargets"),
        ("genericTargets[0].apiGroup=*,genericTargets[0].resource=x", "genericTargets"),
        ("genericTargets[0].apiGroup=example.com,genericTargets[0].resource=*", "genericTargets"),
        ("watchNamespaces={fraud,fraud}", "watchNamespaces"),
        ("allowAddresses={localhost}", "allowAddresses"),
        ("leaderElection.leaseDuration=15", "leaseDuration"),
        ("leaderElection.leaseDuration=1h", "leaseDuration"),
        ("metrics.port=70000", "metrics/port"),
        ("image.digest=latest", "image/digest"),
        ("replicas=two", "replicas"),
        ("metrics.serviceMonitor.renderMode=perhaps", "renderMode"),
        ("metrics.serviceMonitor.interval=often", "interval"),
        ("podDisruptionBudget.minAvailable=1", "minAvailable"),
        ("networkPolicy.evaluations.namespaces={Fraud}", "namespaces"),
        ("extraEnv[0].name=WEIGHBRIDGE_HOLD,extraEnv[0].value=x", "extraEnv"),
        ("extraEnv[0].name=POD_NAMESPACE,extraEnv[0].value=x", "extraEnv"),
        ("extraEnv[0].name=MALLOC_ARENA_MAX,extraEnv[0].value=4", "extraEnv"),
        ("fullnameOverride=My_Scales", "fullnameOverride"),
        ("fullnameOverride=my.scales", "fullnameOverride"),
        ("uninstall.letgo=false", "letgo"),
    ],
)
def test_a_misspelt_value_is_refused_by_name(helm: Program, value: str, named: str) -> None:
    done = helm("template", "weighbridge", CHART, "--set", value)
    assert done.returncode != 0
    assert named in done.stderr.replace(".", "/")


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        (("leaderElection.enabled=false",), "replicas: 2 operators without an election"),
        (("serviceAccount.create=false",), "serviceAccount: create=false needs the name"),
        (("metrics.serviceMonitor.enabled=true", "metrics.podMonitor.enabled=true"), "enable one of them"),
        (("metrics.port=0", "metrics.serviceMonitor.enabled=true"), "there is nothing to scrape"),
        (("metrics.port=0", "prometheusRule.enabled=true"), "the alerts would say that the operator is down"),
        (("metrics.port=8081",), "each needs a port of its own"),
        (("networkPolicy.evaluations.enabled=true",), "name those with evaluations in networkPolicy.evaluations.namespaces"),
        ((r"podLabels.app\.kubernetes\.io/name=other",), "use nameOverride"),
        (("rbac.create=false",), "set uninstall.letGo=false"),
        (("leaderElection.leaseDuration=4s",), "4s is not from 5s to 5m"),
        (("leaderElection.leaseDuration=5m1s",), "5m1s is not from 5s to 5m"),
    ],
)
def test_values_that_contradict_each_other_are_refused_in_a_sentence(helm: Program, values: tuple[str, ...], sentence: str) -> None:
    done = helm("template", "weighbridge", CHART, *(part for value in values for part in ("--set", value)))
    assert done.returncode != 0
    assert sentence in done.stderr


def test_every_value_explains_itself() -> None:
    """The schema is what editors and Artifact Hub show. Whose parent says it all needs no words of its own."""

    def silent(schema: Object, path: str) -> list[str]:
        found = []
        for name, each in schema.get("properties", {}).items():
            own = "description" in each or name in {"enabled", "create"} or "description" in schema
            found += [] if own or each.get("properties") or name == "global" else [f"{path}{name}"]
            found += silent(each, f"{path}{name}.")
        return found

    schema = json.loads((CHART / "values.schema.json").read_text(encoding="utf-8"))
    known = {"podLabels", "podAnnotations", "nodeSelector", "tolerations", "affinity", "priorityClassName"}  # as in every pod
    known |= {"extraVolumes", "extraVolumeMounts", "securityContext", "log.format", "log.level"}
    assert [path for path in silent(schema, "") if path not in known] == []


def test_one_leads_and_one_stands_by_on_another_node_where_there_is_one(template: Template) -> None:
    rendered = template()
    spec = rendered.one("Deployment")["spec"]
    assert spec["replicas"] == 2
    (spread,) = spec["template"]["spec"]["topologySpreadConstraints"]
    assert (spread["topologyKey"], spread["whenUnsatisfiable"]) == ("kubernetes.io/hostname", "ScheduleAnyway")
    budget = rendered.one("PodDisruptionBudget")["spec"]
    assert budget["maxUnavailable"] == 1
    assert spread["labelSelector"] == budget["selector"] == spec["selector"]


def test_one_alone_is_never_in_the_way_of_a_drain(template: Template) -> None:
    assert template("replicas=1").of("PodDisruptionBudget") == []
    assert template("podDisruptionBudget.enabled=false").of("PodDisruptionBudget") == []


def test_without_leader_election_the_old_operator_goes_first(template: Template) -> None:
    alone = template("leaderElection.enabled=false", "replicas=1")
    assert alone.one("Deployment")["spec"]["strategy"] == {"type": "Recreate"}
    assert template().one("Deployment")["spec"]["strategy"] == {"type": "RollingUpdate"}


def test_every_setting_of_the_operator_is_a_value(template: Template) -> None:
    rendered = template(
        "watchNamespaces={fraud,search}",
        "servingTargets={Service,Rollout}",
        "hold=true",
        "kueue.enabled=true",
        r"allowAddresses={127.0.0.0/8,fe80::/10}",
        "metrics.port=9090",
        "health.port=9091",
        "webhook.enabled=true",
        "webhook.port=9092",
        "leaderElection.enabled=false",
        "replicas=1",
        "leaderElection.leaseDuration=30s",
        "log.format=text",
        "log.level=debug",
        "image.repository=example.com/operator",
        "image.tag=2.0",
        "evaluatorImage.repository=example.com/evaluator",
        "evaluatorImage.tag=3.0",
    )
    assert settings(rendered) == {
        "WEIGHBRIDGE_NAMESPACES": "fraud,search",
        "WEIGHBRIDGE_TARGETS": "Service,Rollout",
        "WEIGHBRIDGE_HOLD": "true",
        "WEIGHBRIDGE_KUEUE": "true",
        "WEIGHBRIDGE_ALLOW_ADDRESSES": "127.0.0.0/8,fe80::/10",
        "WEIGHBRIDGE_METRICS_ADDRESS": ":9090",
        "WEIGHBRIDGE_HEALTH_ADDRESS": ":9091",
        "WEIGHBRIDGE_WEBHOOK_ADDRESS": ":9092",
        "WEIGHBRIDGE_LEADER_ELECTION": "false",
        "WEIGHBRIDGE_LEASE_NAME": "weighbridge",
        "WEIGHBRIDGE_LEASE_DURATION": "30s",
        "WEIGHBRIDGE_LOG_FORMAT": "text",
        "WEIGHBRIDGE_LOG_LEVEL": "debug",
        "WEIGHBRIDGE_EVALUATOR_IMAGE": "example.com/evaluator:3.0",
        "WEIGHBRIDGE_REPORTER_IMAGE": "example.com/operator:2.0",
        "MALLOC_ARENA_MAX": "2",
    }
    assert container(rendered)["image"] == "example.com/operator:2.0"
    ports = {each["name"]: each["containerPort"] for each in container(rendered)["ports"]}
    assert ports == {"metrics": 9090, "health": 9091, "webhooks": 9092}


def test_webhooks_have_a_service_of_their_own_where_they_are_taken(template: Template) -> None:
    assert len(template("webhook.enabled=true").of("Service")) == len(template().of("Service")) + 1


@pytest.mark.parametrize(
    "values", [(), ("watchNamespaces={fraud}", "metrics.port=0", "allowAddresses={10.0.0.1/8}", "leaderElection.leaseDuration=5m")]
)
def test_the_operator_understands_what_it_is_given(template: Template, values: tuple[str, ...]) -> None:
    given = settings(template(*values))
    known = {variable.name for variable in VARIABLES}
    assert known - {name for name in given if name.startswith("WEIGHBRIDGE_")} == {"WEIGHBRIDGE_WEBHOOK_ADDRESS"}  # off by default
    assert {name for name in given if name.startswith("WEIGHBRIDGE_")} <= known
    read(given, {})


def test_without_values_the_operators_own_defaults_apply(template: Template) -> None:
    given = settings(template())
    defaults = {variable.name: variable.default for variable in VARIABLES if not variable.name.endswith("_IMAGE")}
    assert {name: given.get(name, ":0") for name in defaults} == defaults


def test_images_are_those_of_this_version(template: Template) -> None:
    rendered = template()
    assert container(rendered)["image"] == f"weighbridge/operator:{__version__}"
    assert settings(rendered)["WEIGHBRIDGE_REPORTER_IMAGE"] == f"weighbridge/operator:{__version__}"
    assert settings(rendered)["WEIGHBRIDGE_EVALUATOR_IMAGE"] == f"weighbridge/evaluator:{__version__}"


@pytest.mark.parametrize(
    ("values", "image"),
    [
        (("image.registry=registry.example.com/",), f"registry.example.com/weighbridge/operator:{__version__}"),
        (("image.registry=registry.example.com", "image.tag=v2"), "registry.example.com/weighbridge/operator:v2"),
        (("image.tag=v2", f"image.digest=sha256:{'0' * 64}"), f"weighbridge/operator@sha256:{'0' * 64}"),
    ],
)
def test_an_image_is_named_by_registry_tag_and_digest(template: Template, values: tuple[str, ...], image: str) -> None:
    rendered = template(*values)
    assert container(rendered)["image"] == settings(rendered)["WEIGHBRIDGE_REPORTER_IMAGE"] == image


def test_metrics_can_be_switched_off(template: Template) -> None:
    assert template().one("Service")["spec"]["ports"] == [{"name": "metrics", "port": 8080, "targetPort": "metrics"}]
    rendered = template("metrics.port=0")
    assert rendered.of("Service") == []
    assert [each["name"] for each in container(rendered)["ports"]] == ["health"]


def test_the_service_finds_the_pods(template: Template) -> None:
    rendered = template()
    selector = rendered.one("Service")["spec"]["selector"]
    assert selector.items() <= rendered.one("Deployment")["spec"]["template"]["metadata"]["labels"].items()


def crd_texts() -> dict[str, Any]:
    return {
        path.name.removesuffix(".yaml"): yaml.safe_load(path.read_text(encoding="utf-8"))
        for path in (ROOT / "crds").glob("*.weighbridge.dev.yaml")
    }


def test_crds_are_those_of_the_tree_and_stay_when_the_release_goes(template: Template) -> None:
    rendered = {each["metadata"]["name"]: each for each in template().of("CustomResourceDefinition")}
    assert len(rendered) >= 3
    assert all(each["metadata"].pop("annotations") == KEEP for each in rendered.values())
    assert rendered == crd_texts()


def test_crds_can_go_with_the_release_or_come_from_elsewhere(template: Template) -> None:
    going = {each["metadata"]["name"]: each for each in template("crds.keep=false").of("CustomResourceDefinition")}
    assert going == crd_texts()
    assert template("crds.install=false").of("CustomResourceDefinition") == []


def test_who_may_decide_is_asked_for_as_long_as_the_kinds_are_there(template: Template) -> None:
    """Without the policy approvals can be forged, and another release may go on with the kinds."""
    kinds = ("ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding")
    assert [each["metadata"]["annotations"] for each in template().of(*kinds)] == [KEEP, KEEP]
    assert not any("annotations" in each["metadata"] for each in template("crds.keep=false").of(*kinds))


def test_every_name_is_short_enough_for_its_kind(helm: Program) -> None:
    """Also for the Job that comes last: by then nobody could choose another release name."""
    done = helm("template", "a" * 53, CHART)
    assert done.returncode == 0, done.stderr
    named = [each for each in yaml.safe_load_all(done.stdout) if each and each["kind"] in ("Service", "Job", "Deployment")]
    assert {each["kind"] for each in named} == {"Service", "Job", "Deployment"}
    assert all(len(each["metadata"]["name"]) <= 63 for each in named)


def test_a_release_with_a_dot_gets_names_without(helm: Program) -> None:
    done = helm("template", "fraud.eu", CHART)
    assert done.returncode == 0, done.stderr
    rendered = Rendered(each for each in yaml.safe_load_all(done.stdout) if each)
    assert rendered.one("Deployment")["metadata"]["name"] == "fraud-eu-weighbridge"
    assert "." not in rendered.one("Service")["metadata"]["name"]
    read(settings(rendered), {})


def test_a_version_with_build_metadata_is_a_label(helm: Program, tmp_path: Path) -> None:
    chart = shutil.copytree(CHART, tmp_path / "weighbridge")
    about = (chart / "Chart.yaml").read_text(encoding="utf-8")
    (chart / "Chart.yaml").write_text(about.replace(__version__, f"{__version__}+build.5"), encoding="utf-8")
    done = helm("template", chart, "--show-only", "templates/serviceaccount.yaml")
    assert done.returncode == 0, done.stderr
    labels = yaml.safe_load(done.stdout)["metadata"]["labels"]
    assert labels["helm.sh/chart"] == f"weighbridge-{__version__}_build.5"
    assert labels["app.kubernetes.io/version"] == f"{__version__}_build.5"


def test_names_that_yaml_reads_otherwise_stay_names(helm: Program) -> None:
    values = "watchNamespaces={123,null,on},namespaceOverride=456,serviceAccount.name=789,priorityClassName=1e3"
    targets = "genericTargets[0].apiGroup=example.com,genericTargets[0].resource=true"
    policies = ("--set", "networkPolicy.enabled=true,networkPolicy.evaluations.enabled=true")
    done = helm("template", "123", CHART, "--set-string", f"{values},{targets}", *policies)
    assert done.returncode == 0, done.stderr
    rendered = Rendered(each for each in yaml.safe_load_all(done.stdout) if each)
    places = [each["metadata"]["namespace"] for each in rendered if "namespace" in each["metadata"]]
    assert set(places) == {"123", "null", "on", "456"}
    assert all(
        each["metadata"]["labels"]["app.kubernetes.io/instance"] == "123" for each in rendered.of("Role", "Job", "Deployment")
    )
    pod = rendered.one("Deployment")["spec"]["template"]["spec"]
    assert (pod["serviceAccountName"], pod["priorityClassName"]) == ("789", "1e3")
    subjects = [subject for each in rendered.of("RoleBinding") for subject in each["subjects"]]
    assert all(isinstance(each["name"], str) and isinstance(each["namespace"], str) for each in subjects)
    peers = {
        name
        for policy in rendered.of("NetworkPolicy")
        for rule in (*policy["spec"].get("ingress", ()), *policy["spec"]["egress"])
        for peer in (*rule.get("from", ()), *rule.get("to", ()))
        for name in (
            *peer["namespaceSelector"].get("matchLabels", {}).values(),
            *(value for each in peer["namespaceSelector"].get("matchExpressions", ()) for value in each["values"]),
        )
    }
    assert peers == {"123", "null", "on", "456", "kube-system"}
    asked = [resource for role in rendered.of("Role") for rule in role["rules"] for resource in rule["resources"]]
    assert all(isinstance(each, str) for each in asked)


@pytest.mark.parametrize(("chosen", "kind"), [("serviceMonitor", "ServiceMonitor"), ("podMonitor", "PodMonitor")])
def test_who_scrapes_finds_the_port_and_keeps_the_labels_of_versions(template: Template, chosen: str, kind: str) -> None:
    rendered = template(f"metrics.{chosen}.enabled=true", "webhook.enabled=true")
    spec = rendered.one(kind)["spec"]
    (endpoint,) = spec["endpoints" if kind == "ServiceMonitor" else "podMetricsEndpoints"]
    assert endpoint == {"port": "metrics", "path": "/metrics", "honorLabels": True}
    wanted = spec["selector"]["matchLabels"].items()
    candidates = rendered.of("Service") if kind == "ServiceMonitor" else [rendered.one("Deployment")["spec"]["template"]]
    (found,) = [each for each in candidates if wanted <= each["metadata"]["labels"].items()]
    ports = found["spec"]["ports"] if kind == "ServiceMonitor" else found["spec"]["containers"][0]["ports"]
    assert "metrics" in {port["name"] for port in ports}


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("metrics.serviceMonitor", "ServiceMonitor"),
        ("metrics.podMonitor", "PodMonitor"),
        ("prometheusRule", "PrometheusRule"),
    ],
)
def test_what_the_cluster_does_not_know_can_be_left_out(template: Template, path: str, kind: str) -> None:
    wish = (f"{path}.enabled=true", f"{path}.renderMode=skipIfMissing")
    assert template(*wish).of(kind) == []
    assert template(*wish, arguments=("--api-versions", f"monitoring.coreos.com/v1/{kind}")).one(kind)


def test_the_dashboard_is_the_file(helm: Program, tmp_path: Path) -> None:
    chart = shutil.copytree(CHART, tmp_path / "weighbridge")
    board = '{"title": "{{ not a template }}",\n "panels": []}\n'
    (chart / "files" / "dashboard.json").write_text(board, encoding="utf-8")
    done = helm("template", chart, "--set", "dashboard.enabled=true", "--show-only", "templates/dashboard.yaml")
    assert done.returncode == 0, done.stderr
    found = yaml.safe_load(done.stdout)
    assert json.loads(found["data"]["weighbridge.json"]) == json.loads(board)
    assert found["metadata"]["labels"]["grafana_dashboard"] == "1"


def test_network_policies_name_the_ports_there_are(template: Template) -> None:
    rendered = template("networkPolicy.enabled=true", "webhook.enabled=true")
    spec = rendered.one("NetworkPolicy")["spec"]
    deployment = rendered.one("Deployment")["spec"]
    assert spec["podSelector"] == deployment["selector"]
    named = {port["port"] for rule in spec["ingress"] for port in rule["ports"]}
    assert named == {port["name"] for port in container(rendered)["ports"]}
    assert len(template("networkPolicy.enabled=true", "metrics.port=0").one("NetworkPolicy")["spec"]["ingress"]) == 1


def test_evaluations_are_shut_in_where_they_run(template: Template) -> None:
    rendered = template("networkPolicy.evaluations.enabled=true", "watchNamespaces={fraud,search}")
    policies = rendered.of("NetworkPolicy")
    assert [each["metadata"]["namespace"] for each in policies] == ["fraud", "search"]
    (asks,) = policies[0]["spec"]["ingress"]
    assert asks["ports"] == [{"protocol": "TCP", "port": PORT}]
    assert asks["from"][0]["podSelector"] == rendered.one("Deployment")["spec"]["selector"]


def test_what_lets_go_is_never_taken_for_the_operator(template: Template, hooks: Template) -> None:
    """Else the Service, the budget and a network policy would find its pod."""
    selector = template().one("Deployment")["spec"]["selector"]["matchLabels"].items()
    assert not selector <= hooks().one("Job")["spec"]["template"]["metadata"]["labels"].items()


def test_what_lets_go_runs_where_the_operator_did(template: Template, hooks: Template) -> None:
    values = (
        "podLabels.team=ml",
        "podAnnotations.note=scales",
        "nodeSelector.pool=tools",
        "tolerations[0].operator=Exists",
        "affinity.podAffinity.requiredDuringSchedulingIgnoredDuringExecution[0].topologyKey=zone",
    )
    operator = template(*values).one("Deployment")["spec"]["template"]
    last = hooks(*values).one("Job")["spec"]["template"]
    assert last["metadata"]["labels"]["team"] == "ml"
    assert last["metadata"]["annotations"] == operator["metadata"]["annotations"]
    for field in ("nodeSelector", "tolerations", "affinity"):
        assert last["spec"][field] == operator["spec"][field]


def test_what_lets_go_reaches_the_api_server_where_all_else_is_denied(template: Template, hooks: Template) -> None:
    values = ("networkPolicy.enabled=true", "networkPolicy.egress.ports={8443}")
    assert hooks().of("NetworkPolicy") == []
    policy, job = hooks(*values).one("NetworkPolicy"), hooks(*values).one("Job")
    assert policy["metadata"]["namespace"] == job["metadata"]["namespace"]
    assert policy["spec"]["podSelector"]["matchLabels"].items() <= job["spec"]["template"]["metadata"]["labels"].items()
    assert int(policy["metadata"]["annotations"]["helm.sh/hook-weight"]) < int(
        job["metadata"]["annotations"]["helm.sh/hook-weight"]
    )
    assert "ingress" not in policy["spec"]
    operators = template(*values).one("NetworkPolicy")["spec"]["egress"]
    assert policy["spec"]["egress"] == operators[:2]  # DNS and these ports; no pods


def test_hooks_come_in_order_and_go_when_they_are_done(hooks: Template) -> None:
    found = [(int(each["metadata"]["annotations"]["helm.sh/hook-weight"]), each["kind"]) for each in hooks()]
    assert [kind for _, kind in sorted(found)] == ["ServiceAccount", "ClusterRole", "ClusterRoleBinding", "Job"]
    for each in hooks():
        assert each["metadata"]["annotations"]["helm.sh/hook"] == "post-delete"
        assert each["metadata"]["annotations"]["helm.sh/hook-delete-policy"] == "before-hook-creation,hook-succeeded"


@pytest.mark.parametrize(("lease", "settle"), [("5s", 30), ("15s", 30), ("1m30s", 180), ("2m", 240)])
def test_letting_go_outlasts_a_lease(hooks: Template, lease: str, settle: int) -> None:
    spec = hooks(f"leaderElection.leaseDuration={lease}").one("Job")["spec"]
    assert f"--settle={settle}s" in spec["template"]["spec"]["containers"][0]["args"]
    assert spec["activeDeadlineSeconds"] > settle


def test_the_description_of_the_chart_is_true() -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text(encoding="utf-8"))
    told = {each["name"]: each for each in yaml.safe_load(chart["annotations"]["artifacthub.io/crds"])}
    assert {name: (each["kind"], each["version"]) for name, each in told.items()} == {
        name: (crd["spec"]["names"]["kind"], crd["spec"]["versions"][0]["name"]) for name, crd in crd_texts().items()
    }
    images = [each["image"] for each in yaml.safe_load(chart["annotations"]["artifacthub.io/images"])]
    assert images == [f"weighbridge/operator:{__version__}", f"weighbridge/evaluator:{__version__}"]
    assert chart["version"] == chart["appVersion"] == __version__


def test_what_is_rendered_is_what_is_committed(helm: Program) -> None:
    done = subprocess.run([ROOT / "e2e" / "tools" / "render", "--check"], check=False, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
