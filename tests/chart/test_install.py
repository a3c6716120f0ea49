"""manifests/install.yaml on a real API server: it installs, its pod is `restricted`, its account may what it needs and no more,
and the samples are taken."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from .conftest import ROOT, Api

NAMESPACE = "weighbridge-system"
ACCOUNT = f"system:serviceaccount:{NAMESPACE}:weighbridge"
SAMPLES = sorted((ROOT / "manifests" / "samples").glob("*.yaml"))

MAY = """
get list watch modelregistries.weighbridge.dev
get list watch evaluationjobs.weighbridge.dev
get list watch modelversions.weighbridge.dev
get list watch modelapprovals.weighbridge.dev
patch modelapprovals.weighbridge.dev/status
patch modelregistries.weighbridge.dev/status
patch evaluationjobs.weighbridge.dev/status
patch modelversions.weighbridge.dev/status
create evaluationjobs.weighbridge.dev
patch modelversions.weighbridge.dev
get list watch create delete jobs.batch
list pods
get list watch patch deployments.apps
get secrets
create events.events.k8s.io
"""
MAY_NOT = """
create update patch delete modelregistries.weighbridge.dev
update patch delete evaluationjobs.weighbridge.dev
create update delete approve modelversions.weighbridge.dev
create update patch delete modelapprovals.weighbridge.dev
update patch deletecollection jobs.batch
create update patch delete pods
create pods/exec
get pods/log
create update delete deletecollection deployments.apps
patch deployments.apps/scale
list watch create update patch delete secrets
get list configmaps
update patch delete events.events.k8s.io
get list create serviceaccounts
create serviceaccounts/token
get create update patch leases.coordination.k8s.io
create update patch bind escalate roles.rbac.authorization.k8s.io
"""
CLUSTER_MAY_NOT = """
get list watch namespaces
get list watch nodes
get list watch customresourcedefinitions.apiextensions.k8s.io
impersonate users
create bind escalate clusterroles.rbac.authorization.k8s.io
create clusterrolebindings.rbac.authorization.k8s.io
"""


def questions(table: str) -> list[tuple[str, str]]:
    lines = [line.split() for line in table.split("\n") if line]
    return [(verb, line[-1]) for line in lines for verb in line[:-1]]


def may(api: Api, account: str, verb: str, what: str, *where: str) -> bool:
    """What the API server's own authorizer says."""
    resource, _, subresource = what.partition("/")
    part = (f"--subresource={subresource}",) if subresource else ()
    done = api.kubectl("auth", "can-i", verb, resource, *part, *where, "--as", account)
    answer = done.stdout.strip()
    assert answer in {"yes", "no"}, done.stderr
    return answer == "yes"


def succeeds(done: Any) -> str:
    assert done.returncode == 0, done.stderr
    return str(done.stdout)


@pytest.fixture(scope="module")
def installed(api: Api) -> Api:
    """What a user does, and no more."""
    succeeds(api.kubectl("apply", "--server-side", "-f", ROOT / "manifests" / "install.yaml"))
    succeeds(api.kubectl("wait", "--for=condition=Established", "crd", "--all", "--timeout=30s"))
    return api


def test_it_applies_again_without_a_change(installed: Api) -> None:
    assert installed.kubectl("diff", "--server-side", "-f", ROOT / "manifests" / "install.yaml").stdout == ""


def test_it_applies_the_plain_way_too(installed: Api) -> None:
    """Without --server-side each whole object goes into an annotation, which has a limit."""
    succeeds(installed.kubectl("apply", "--dry-run=server", "-f", ROOT / "manifests" / "install.yaml"))
    assert all(path.stat().st_size < 200_000 for path in (ROOT / "crds").glob("*.weighbridge.dev.yaml"))


def test_the_namespace_takes_the_pod_as_restricted(installed: Api) -> None:
    deployment = yaml.safe_load(succeeds(installed.kubectl("get", "deployment", "weighbridge", "-n", NAMESPACE, "-o", "yaml")))
    pod = deployment["spec"]["template"] | {"apiVersion": "v1", "kind": "Pod"}
    pod["metadata"] |= {"name": "weighbridge", "namespace": NAMESPACE}
    succeeds(installed.kubectl("create", "--dry-run=server", "-f", "-", stdin=yaml.safe_dump(pod)))

    del pod["spec"]["containers"][0]["securityContext"]
    refused = installed.kubectl("create", "--dry-run=server", "-f", "-", stdin=yaml.safe_dump(pod))
    assert 'violates PodSecurity "restricted' in refused.stderr


@pytest.mark.parametrize(("verb", "what"), questions(MAY))
def test_the_operator_may(installed: Api, verb: str, what: str) -> None:
    assert may(installed, ACCOUNT, verb, what, "-n", "default")


@pytest.mark.parametrize(("verb", "what"), questions(MAY_NOT))
def test_the_operator_may_not(installed: Api, verb: str, what: str) -> None:
    assert not may(installed, ACCOUNT, verb, what, "-n", "default")


@pytest.mark.parametrize(("verb", "what"), questions(CLUSTER_MAY_NOT))
def test_the_operator_may_not_touch_the_cluster(installed: Api, verb: str, what: str) -> None:
    assert not may(installed, ACCOUNT, verb, what, "--all-namespaces")


def test_in_its_own_namespace_only_its_own_lease(installed: Api) -> None:
    def lease(verb: str, name: str) -> bool:
        done = installed.kubectl("auth", "can-i", verb, f"leases.coordination.k8s.io/{name}", "-n", NAMESPACE, "--as", ACCOUNT)
        return done.stdout == "yes\n"

    assert may(installed, ACCOUNT, "create", "leases.coordination.k8s.io", "-n", NAMESPACE)
    for verb in ("get", "patch"):
        assert lease(verb, "weighbridge")
        assert not lease(verb, "kube-scheduler")
    assert not lease("delete", "weighbridge")


@pytest.mark.parametrize("sample", SAMPLES, ids=[path.stem for path in SAMPLES])
def test_a_sample_is_short_and_taken(installed: Api, sample: Path) -> None:
    assert len(sample.read_text(encoding="utf-8").splitlines()) < 25
    succeeds(installed.kubectl("apply", "--validate=strict", "-f", sample))


def test_there_is_a_sample_of_every_kind(installed: Api) -> None:
    samples = [yaml.safe_load(path.read_text(encoding="utf-8")) for path in SAMPLES]
    kinds = {each["kind"] for each in samples if each["apiVersion"].startswith("weighbridge.dev/")}
    listed = succeeds(installed.kubectl("api-resources", "--api-group=weighbridge.dev", "--no-headers"))
    assert kinds == {line.split()[-1] for line in listed.splitlines()}


def test_a_misspelt_sample_is_refused_at_apply(installed: Api) -> None:
    """Else the tests above would say nothing."""
    text = (ROOT / "manifests" / "samples" / "modelversion.yaml").read_text(encoding="utf-8")
    refused = installed.kubectl("apply", "--validate=strict", "-f", "-", stdin=text.replace("stage:", "stagge:"))
    assert 'unknown field "spec.stagge"' in refused.stderr


def test_the_account_can_write_status_and_pointer_by_server_side_apply(installed: Api) -> None:
    """The rights in use, not only on paper."""
    succeeds(installed.kubectl("create", "deployment", "fraud-serving", "--image=server:1"))
    succeeds(installed.kubectl("apply", "-f", ROOT / "manifests" / "samples" / "modelregistry.yaml"))
    operator = ("apply", "--server-side", "--field-manager=weighbridge", "--as", ACCOUNT, "-f", "-")
    kind = {
        "apiVersion": "weighbridge.dev/v1alpha1",
        "kind": "ModelRegistry",
        "metadata": {"name": "mlflow", "namespace": "default"},
    }

    status = yaml.safe_dump(kind | {"status": {"serverVersion": "3.17.2"}})
    succeeds(installed.kubectl(*operator, "--subresource=status", stdin=status))
    refused = installed.kubectl(*operator, stdin=yaml.safe_dump(kind | {"spec": {"mlflow": {"url": "https://else.example.com"}}}))
    assert "cannot patch resource" in refused.stderr

    def pointer(name: str, **more: Any) -> str:
        server = {"name": "server", "env": [{"name": "MODEL_URI", "value": "models:/fraud-detector/7"}], **more}
        labels = {"app": name}
        template = {"metadata": {"labels": labels}, "spec": {"containers": [server]}}
        metadata = {"name": name, "namespace": "default"}
        spec = {"selector": {"matchLabels": labels}, "template": template}
        return yaml.safe_dump({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": spec})

    succeeds(installed.kubectl(*operator, stdin=pointer("fraud-serving")))
    assert "cannot create resource" in installed.kubectl(*operator, stdin=pointer("gone", image="server:1")).stderr
