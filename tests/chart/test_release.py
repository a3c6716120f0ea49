"""The chart installed by Helm itself, as a tenant who watches two namespaces of a cluster and may see no other."""

import re

import pytest

from .conftest import CHART, Api
from .test_install import MAY, may, questions, succeeds

ACCOUNT = "system:serviceaccount:operators:weighbridge"


@pytest.fixture(scope="module")
def notes(api: Api) -> str:
    """What `helm install` tells."""
    api.namespaces("fraud", "search", "other")
    values = ("--set", "watchNamespaces={fraud,search}")
    done = api.helm("install", "weighbridge", CHART, "--namespace", "operators", "--create-namespace", *values)
    return succeeds(done).partition("NOTES:")[2]


@pytest.mark.parametrize(("verb", "what"), questions(MAY))
def test_the_operator_works_where_it_watches_and_nowhere_else(api: Api, notes: str, verb: str, what: str) -> None:
    assert may(api, ACCOUNT, verb, what, "-n", "fraud")
    assert may(api, ACCOUNT, verb, what, "-n", "search")
    assert not may(api, ACCOUNT, verb, what, "-n", "other")
    assert not may(api, ACCOUNT, verb, what, "-n", "operators")
    assert not may(api, ACCOUNT, verb, what, "--all-namespaces")


def test_the_next_step_in_the_notes_works_as_written(api: Api, notes: str) -> None:
    step = re.search(r"^NAMESPACE=fraud$.*?^EOT$", notes, re.DOTALL | re.MULTILINE)
    assert step
    assert "modelregistry.weighbridge.dev/mlflow created" in succeeds(api.run("bash", "-c", step[0]))
    assert "mlflow" in succeeds(api.kubectl("get", "modelregistries", "-n", "fraud", "-o", "name"))
    assert 'kubectl wait -n "$NAMESPACE" --for=condition=Ready modelregistry/mlflow' in notes


def test_what_people_made_outlives_the_release(api: Api, notes: str) -> None:
    registry = """{apiVersion: weighbridge.dev/v1alpha1, kind: ModelRegistry, metadata: {name: kept, namespace: search},
                   spec: {mlflow: {url: "https://mlflow.example.com"}}}"""
    succeeds(api.kubectl("apply", "-f", "-", stdin=registry))
    succeeds(api.helm("uninstall", "weighbridge", "--namespace", "operators", "--no-hooks"))  # no kubelet runs their Job
    succeeds(api.kubectl("get", "validatingadmissionpolicybinding", "weighbridge-approvals"))
    assert "kept" in succeeds(api.kubectl("get", "modelregistries", "-n", "search", "-o", "name"))
    assert (
        succeeds(api.kubectl("get", "rolebindings,deployments,services,poddisruptionbudgets", "-n", "operators", "-o", "name"))
        == ""
    )
