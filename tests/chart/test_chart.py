"""The chart as text: what it renders, and which values it refuses. No cluster is asked."""

import subprocess
from collections.abc import Callable
from typing import Any

import pytest
import yaml

from weighbridge import __version__
from weighbridge.settings import VARIABLES, read

from .conftest import CHART, ROOT, Object, Program, Rendered

Template = Callable[..., Rendered]
KEEP = {"helm.sh/resource-policy": "keep"}


def container(rendered: Rendered) -> Object:
    (only,) = rendered.one("Deployment")["spec"]["template"]["spec"]["containers"]
    return dict(only)


def settings(rendered: Rendered) -> dict[str, str]:
    return {each["name"]: each["value"] for each in container(rendered)["env"] if "value" in each}


@pytest.mark.parametrize("values", [(), ("watchNamespaces={fraud,search}", "crds.install=false")], ids=["default", "namespaced"])
def test_lints_without_a_warning(helm: Program, values: tuple[str, ...]) -> None:
    done = helm("lint", "--strict", CHART, *(part for value in values for part in ("--set", value)))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "WARNING" not in done.stdout


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
    ],
)
def test_a_misspelt_value_is_refused_by_name(helm: Program, value: str, named: str) -> None:
    done = helm("template", "weighbridge", CHART, "--set", value)
    assert done.returncode != 0
    assert named in done.stderr.replace(".", "/")


def test_stand_bys_need_leader_election(helm: Program, template: Template) -> None:
    alone = helm("template", "weighbridge", CHART, "--set", "replicas=2", "--set", "leaderElection.enabled=false")
    assert alone.returncode != 0
    assert "replicas" in alone.stderr
    assert template("replicas=2").one("Deployment")["spec"]["replicas"] == 2


def test_without_leader_election_the_old_operator_goes_first(template: Template) -> None:
    assert template("leaderElection.enabled=false").one("Deployment")["spec"]["strategy"] == {"type": "Recreate"}
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


@pytest.mark.parametrize("values", [(), ("watchNamespaces={fraud}", "metrics.port=0", "allowAddresses={10.0.0.0/8}")])
def test_the_operator_understands_what_it_is_given(template: Template, values: tuple[str, ...]) -> None:
    given = settings(template(*values))
    assert {variable.name for variable in VARIABLES} == {name for name in given if name.startswith("WEIGHBRIDGE_")}
    read(given, {})


def test_without_values_the_operators_own_defaults_apply(template: Template) -> None:
    given = settings(template())
    defaults = {variable.name: variable.default for variable in VARIABLES if not variable.name.endswith("_IMAGE")}
    assert {name: given[name] for name in defaults} == defaults


def test_images_are_those_of_this_version(template: Template) -> None:
    rendered = template()
    assert container(rendered)["image"] == f"weighbridge/operator:{__version__}"
    assert settings(rendered)["WEIGHBRIDGE_REPORTER_IMAGE"] == f"weighbridge/operator:{__version__}"
    assert settings(rendered)["WEIGHBRIDGE_EVALUATOR_IMAGE"] == f"weighbridge/evaluator:{__version__}"


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


def test_what_is_rendered_is_what_is_committed(helm: Program) -> None:
    done = subprocess.run([ROOT / "e2e" / "tools" / "render", "--check"], check=False, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
