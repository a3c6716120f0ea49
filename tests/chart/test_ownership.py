"""What stays of an install belongs to it: another release takes it over only where it is told to, as the pages say."""

from collections.abc import Iterator

import pytest

from .conftest import CHART, ROOT, Api
from .test_install import succeeds

CRD = ("get", "crd", "modelversions.weighbridge.dev", "-o", "jsonpath={.metadata.annotations}")


@pytest.fixture
def empty(api: Api) -> Iterator[Api]:
    yield api
    for release, namespace in (("weighbridge", "first"), ("other", "second"), ("weighbridge", "weighbridge-system")):
        api.helm("uninstall", release, "--namespace", namespace, "--no-hooks")
    api.kubectl(
        "delete", "crd,validatingadmissionpolicy,validatingadmissionpolicybinding,clusterrole", "-l", "app.kubernetes.io/version"
    )
    api.kubectl("delete", "-f", ROOT / "crds")


def test_what_a_release_left_goes_to_another_name_by_take_ownership(empty: Api) -> None:
    empty.namespaces("first", "second")
    first, second = ("weighbridge", CHART, "--namespace", "first"), ("other", CHART, "--namespace", "second")
    succeeds(empty.helm("install", *first))
    succeeds(empty.helm("uninstall", "weighbridge", "--namespace", "first", "--no-hooks"))
    succeeds(empty.helm("install", *first))
    succeeds(empty.helm("uninstall", "weighbridge", "--namespace", "first", "--no-hooks"))
    assert "invalid ownership metadata" in empty.helm("install", *second).stderr
    succeeds(empty.helm("install", *second, "--take-ownership"))
    assert '"meta.helm.sh/release-name":"other"' in succeeds(empty.kubectl(*CRD))


def test_helm_takes_over_what_was_applied(empty: Api) -> None:
    succeeds(empty.kubectl("apply", "--server-side", "-f", ROOT / "manifests" / "install.yaml"))
    release = ("weighbridge", CHART, "--namespace", "weighbridge-system", "--take-ownership")
    conflicts = "--force-conflicts" in empty.helm("install", "--help").stdout  # Helm 4, which applies at the server
    succeeds(empty.helm("install", *release, *(("--force-conflicts",) if conflicts else ())))
    assert '"meta.helm.sh/release-name":"weighbridge"' in succeeds(empty.kubectl(*CRD))
