"""What webhooks prove and say. MLflow's signatures are made by MLflow's own function."""

import json
from datetime import UTC, datetime, timedelta

import pytest
from mlflow.webhooks.delivery import _generate_hmac_signature

from weighbridge.registries.webhooks import WINDOW, delivery

SECRET = "canary-webhook-4711"
NOW = datetime(2026, 1, 1, tzinfo=UTC)
BODY = json.dumps({"entity": "model_version_alias", "action": "created", "data": {"name": "fraud", "alias": "a", "version": "1"}})


def mlflow(body: str = BODY, at: datetime = NOW, secret: str = SECRET, number: str = "d-1") -> dict[str, str]:
    stamp = str(int(at.timestamp()))
    signature = _generate_hmac_signature(secret, number, stamp, body)
    return {"X-MLflow-Signature": signature, "X-MLflow-Delivery-Id": number, "X-MLflow-Timestamp": stamp}


def test_a_webhook_of_mlflow_is_believed_to_be_one_and_names_its_model() -> None:
    found = delivery("mlflow", SECRET, mlflow(), BODY.encode(), NOW)
    assert found is not None
    assert (found.id, found.names) == ("d-1", frozenset({"fraud"}))
    assert found.remember >= 2 * WINDOW, "longer than it can be taken for one of now"


@pytest.mark.parametrize("change", [{}, {"X-MLflow-Delivery-Id": "d-2"}, {"X-MLflow-Timestamp": str(int(NOW.timestamp()) + 1)}])
def test_signed_are_number_time_and_body(change: dict[str, str]) -> None:
    body = BODY if change else BODY.replace("fraud", "other")
    assert delivery("mlflow", SECRET, mlflow() | change, body.encode(), NOW) is None


@pytest.mark.parametrize(
    "headers",
    [
        {},
        mlflow(secret="guessed"),
        mlflow(secret=""),
        mlflow() | {"X-MLflow-Signature": ""},
        mlflow() | {"X-MLflow-Signature": mlflow()["X-MLflow-Signature"].removeprefix("v1,")},
        mlflow() | {"X-MLflow-Signature": mlflow()["X-MLflow-Signature"].replace("v1,", "v2,")},
        mlflow() | {"X-MLflow-Signature": "v1,\udcff"},
        mlflow(number=""),
        mlflow(number="x" * 129),
        {"X-Webhook-Secret": SECRET},
    ],
)
def test_what_is_not_signed_by_mlflow_is_none(headers: dict[str, str]) -> None:
    assert delivery("mlflow", SECRET, headers, BODY.encode(), NOW) is None


@pytest.mark.parametrize("stamp", ["", "now", "-1", "1e9", "99999999999999999999", "٣"])
def test_a_strange_time_is_none_even_where_it_is_signed(stamp: str) -> None:
    signature = _generate_hmac_signature(SECRET, "d-1", stamp, BODY)
    headers = {"X-MLflow-Signature": signature, "X-MLflow-Delivery-Id": "d-1", "X-MLflow-Timestamp": stamp}
    assert delivery("mlflow", SECRET, headers, BODY.encode(), NOW) is None


@pytest.mark.parametrize(("minutes", "taken"), [(-6, False), (-4.9, True), (4.9, True), (6, False)])
def test_old_deliveries_are_not_taken(minutes: float, taken: bool) -> None:
    headers = mlflow(at=NOW + timedelta(minutes=minutes))
    assert (delivery("mlflow", SECRET, headers, BODY.encode(), NOW) is not None) is taken


HUB = {"event": {"action": "update", "scope": "repo.content"}, "repo": {"type": "model", "name": "org/m", "id": "1"}}


def test_a_webhook_of_the_hub_is_known_by_its_content() -> None:
    headers = {"X-Webhook-Secret": SECRET}
    first = delivery("huggingFace", SECRET, headers, json.dumps(HUB).encode(), NOW)
    again = delivery("huggingFace", SECRET, headers, json.dumps(HUB).encode(), NOW)
    other = delivery("huggingFace", SECRET, headers, json.dumps(HUB | {"x": 1}).encode(), NOW)
    assert first is not None
    assert other is not None
    assert first == again
    assert first.id != other.id
    assert first.names == frozenset({"org/m"})


def test_a_renamed_repository_is_named_twice() -> None:
    body = json.dumps(HUB | {"movedTo": {"name": "org/new"}}).encode()
    found = delivery("huggingFace", SECRET, {"X-Webhook-Secret": SECRET}, body, NOW)
    assert found is not None
    assert found.names == frozenset({"org/m", "org/new"})


@pytest.mark.parametrize("headers", [{}, {"X-Webhook-Secret": ""}, {"X-Webhook-Secret": SECRET + "x"}, mlflow()])
def test_what_does_not_hold_the_hubs_secret_is_none(headers: dict[str, str]) -> None:
    assert delivery("huggingFace", SECRET, headers, b"{}", NOW) is None
    assert delivery("huggingFace", "", headers, b"{}", NOW) is None, "no secret is no password"


@pytest.mark.parametrize("body", ["", "no JSON", "[]", "7", "{}", '{"data": 7, "repo": 7}', '{"data": {"name": 7}}', "[" * 100_000])
def test_a_signed_body_without_a_name_is_about_everything(body: str) -> None:
    for headers, kind in ((mlflow(body), "mlflow"), ({"X-Webhook-Secret": SECRET}, "huggingFace")):
        found = delivery(kind, SECRET, headers, body.encode(), NOW)  # type: ignore[arg-type]
        assert found is not None
        assert found.names is None
