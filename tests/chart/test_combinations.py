"""Each file of values in charts/weighbridge/ci: it lints, and the API server takes every object it renders, field by field."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from .conftest import CHART, Api, Program, Rendered
from .test_install import succeeds

COMBINATIONS = sorted((CHART / "ci").glob("*-values.yaml"))
MONITORING = Path(__file__).parent / "crds"
"""Those of the Prometheus Operator."""
NAMES = [path.name.removesuffix("-values.yaml") for path in COMBINATIONS]


@pytest.fixture(scope="module")
def cluster(api: Api) -> Api:
    """With the namespaces and the strangers' kinds that the combinations speak of."""
    api.namespaces("operators", "fraud", "search", "monitoring", "platform")
    succeeds(api.kubectl("create", "-f", MONITORING))
    succeeds(api.kubectl("wait", "--for=condition=Established", "crd", "--all", "--timeout=30s"))
    return api


@pytest.mark.parametrize("values", COMBINATIONS, ids=NAMES)
def test_it_lints_without_a_warning(helm: Program, values: Path) -> None:
    done = helm("lint", "--strict", CHART, "--values", values)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "WARNING" not in done.stdout


@pytest.mark.parametrize("values", COMBINATIONS, ids=NAMES)
def test_the_api_server_knows_every_field(cluster: Api, template: Callable[..., Rendered], values: Path) -> None:
    rendered = template(arguments=("--values", values))
    create = ("create", "--dry-run=server", "--validate=strict", "-f", "-")
    # JSON: written as YAML a bare `n` in the CRDs would be read as a boolean.
    told = succeeds(cluster.kubectl(*create, stdin=json.dumps({"apiVersion": "v1", "kind": "List", "items": rendered})))
    assert len(told.splitlines()) == len(rendered)


def test_a_field_nobody_knows_is_noticed(cluster: Api, template: Callable[..., Rendered]) -> None:
    """Else the test above would say nothing."""
    (monitor,) = template("metrics.serviceMonitor.enabled=true", "crds.install=false").of("ServiceMonitor")
    monitor["spec"]["endpoints"][0]["honourLabels"] = True
    refused = cluster.kubectl("create", "--dry-run=server", "--validate=strict", "-f", "-", stdin=yaml.safe_dump(monitor))
    assert 'unknown field "spec.endpoints[0].honourLabels"' in refused.stderr


@pytest.mark.parametrize("values", COMBINATIONS, ids=NAMES)
def test_every_pod_is_restricted(cluster: Api, template: Callable[..., Rendered], values: Path) -> None:
    label = "pod-security.kubernetes.io/enforce=restricted"
    succeeds(cluster.kubectl("label", "namespace", "default", label, "--overwrite"))
    for each in template(arguments=("--values", values)).of("Deployment", "Job"):
        pod = each["spec"]["template"] | {"apiVersion": "v1", "kind": "Pod"}
        pod["metadata"] = {"name": each["metadata"]["name"], "namespace": "default"}
        succeeds(cluster.kubectl("create", "--dry-run=server", "-f", "-", stdin=yaml.safe_dump(pod)))


def test_helm_installs_and_upgrades_from_any_combination_to_any(cluster: Api) -> None:
    """As far as an API server can tell: no field that cannot change does."""
    release = ("weighbridge", CHART, "--namespace", "platform")
    succeeds(cluster.helm("install", *release, "--values", COMBINATIONS[NAMES.index("default")]))
    for name in ("monitoring", "hardened", "all-targets", "default"):
        succeeds(cluster.helm("upgrade", *release, "--reset-values", "--values", COMBINATIONS[NAMES.index(name)]))
