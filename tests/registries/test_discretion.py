"""Credentials that a registry gives back stay here, in whatever shape."""

import base64
import logging
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import pytest

from weighbridge.api.references import Lineage
from weighbridge.registries.base import RegistryAbsent, RegistryFailed
from weighbridge.registries.credentials import Credentials
from weighbridge.registries.discretion import Discretion

TOKEN = "canary/token+4711'\\x"
BEARER = Discretion(Credentials({"MLFLOW_TRACKING_TOKEN": TOKEN}))
BASIC = Discretion(Credentials({"MLFLOW_TRACKING_USERNAME": "fraud-team-member", "MLFLOW_TRACKING_PASSWORD": TOKEN}))
PAIR = base64.b64encode(f"fraud-team-member:{TOKEN}".encode()).decode()


def fail(error: BaseException) -> Callable[[], Any]:
    def work() -> Any:
        raise error

    return work


@pytest.mark.parametrize("shape", [TOKEN, repr(TOKEN), quote(TOKEN), quote(TOKEN, safe=""), f"{{'a': {TOKEN!r}}}"])
def test_every_shape_is_hidden(shape: str) -> None:
    for discretion in (BEARER, BASIC):
        hidden = discretion.hide(f"before {shape} after")
        assert "4711" not in hidden
        assert hidden.startswith("before ")
        assert hidden.endswith(" after")


def test_basic_authorization_is_hidden_and_the_name_is_not() -> None:
    assert BASIC.hide(f"Basic {PAIR} of fraud-team-member") == "Basic (hidden) of fraud-team-member"


def test_public_sentences_are_looked_through() -> None:
    with pytest.raises(RegistryAbsent) as absent:
        BEARER.listen("model", fail(RegistryAbsent("ModelNotFound", f"there is no {TOKEN}")))
    with pytest.raises(RegistryFailed) as failed:
        BEARER.listen("model", fail(RegistryFailed("RateLimited", f"{TOKEN} waits", 17)))
    assert (absent.value.reason, absent.value.public) == ("ModelNotFound", "there is no (hidden)")
    assert (failed.value.reason, failed.value.public, failed.value.retry_after) == ("RateLimited", "(hidden) waits", 17)


@pytest.mark.parametrize("wrap", [ValueError, lambda text: RegistryFailed("RegistryUnavailable", "down")])
def test_a_traceback_is_logged_without_them(wrap: Callable[[str], Exception], caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)

    def work() -> None:
        raise wrap(TOKEN) from ConnectionError(f"bad line {TOKEN.encode()!r} {PAIR}")

    with pytest.raises(RegistryFailed) as failed:
        BASIC.listen("model", work)
    assert "ConnectionError: bad line b" in caplog.text, "the rest is there for who looks for the trouble"
    assert "4711" not in caplog.text + repr(failed.value)
    assert PAIR not in caplog.text
    assert failed.value.__cause__ is None


def test_an_answer_that_holds_them_is_no_answer() -> None:
    lineage = Lineage(code_source=f"https://me:{quote(TOKEN, safe='')}@git.example.com")
    with pytest.raises(RegistryFailed, match="gives back the credentials") as failed:
        BEARER.listen("model", lambda: lineage)
    assert failed.value.reason == "RegistryMisconfigured"
    assert BEARER.listen("model", lambda: Lineage(code_source="https://git.example.com")).code_source == "https://git.example.com"


@pytest.mark.parametrize("values", [None, {}, {"MLFLOW_TRACKING_PASSWORD": "fraud", "MLFLOW_TRACKING_USERNAME": "fraud"}])
def test_words_that_anything_may_be_called_are_not_looked_for(values: dict[str, str] | None) -> None:
    discretion = Discretion(Credentials(values) if values is not None else None)
    assert discretion.listen("model", lambda: "fraud") == "fraud"
    assert discretion.hide("the model fraud") == "the model fraud"


def test_libraries_do_not_print_strange_answers(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    Discretion(None)
    logging.getLogger("urllib3.connectionpool").warning("Failed to parse headers: %s", TOKEN)
    assert caplog.text == ""
