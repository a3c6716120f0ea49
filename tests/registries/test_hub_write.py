"""What is written to the Hub: a tag, a pull request, and never a branch."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml

from tests.registries.benches import LOCAL
from tests.registries.hubserver import MODELS, Hub, Server, serving
from weighbridge.api.base import LocalRef
from weighbridge.api.references import ModelReference
from weighbridge.core.facts import EvaluationResult, ModelSnapshot, WriteOrder
from weighbridge.core.offers import RESULTS_TAG
from weighbridge.registries.base import RegistryFailed
from weighbridge.registries.credentials import Credentials
from weighbridge.registries.hub import HubRegistry

NAME, OWNER, GUEST = "org/model", "hf_owner", "hf_guest"
VALUE = "0123456789ab"
RESULTS = (EvaluationResult("org/holdout", "a" * 40, "accuracy", 0.93), EvaluationResult("org/holdout", "a" * 40, "f1", 0.9))


@pytest.fixture
def hub(tmp_path: Path) -> Hub:
    hub = Hub(tmp_path)
    hub.add_token(OWNER, "owner", write=["*"])
    hub.add_token(GUEST, "guest")
    hub.create_repo(MODELS, NAME)
    hub.commit(MODELS, NAME, {"model.safetensors": b"weights"})
    return hub


@pytest.fixture
def server(hub: Hub) -> Iterator[Server]:
    with serving(hub) as server:
        yield server


def adapter(
    server: Server, token: str = OWNER, may_write: Callable[[], bool] = lambda: True, *, results: bool = True
) -> HubRegistry:
    credentials = Credentials({"HF_TOKEN": token}) if token else None
    url = f"http://127.0.0.1:{server.server_port}"
    return HubRegistry(url, credentials, request_timeout=20, allow=LOCAL, may_write=may_write, results=results)


def seen(server: Server, revision: str = "main", *, results: bool = True) -> ModelSnapshot:
    reference = ModelReference(registry_ref=LocalRef(name="r"), name=NAME, revision=revision)
    return adapter(server, GUEST, results=results).model(reference)


def offer(server: Server, value: str = VALUE) -> WriteOrder:
    return WriteOrder(seen(server).pin, {RESULTS_TAG: value}, None, RESULTS)


def failed(work: Callable[[], None]) -> RegistryFailed:
    with pytest.raises(RegistryFailed) as found:
        work()
    return found.value


def branches(hub: Hub) -> dict[str, str]:
    return hub.git(MODELS, NAME).references("refs/heads")


def test_results_become_one_pull_request(hub: Hub, server: Server) -> None:
    before, order = branches(hub), offer(server)
    adapter(server, GUEST).write(order)
    adapter(server, GUEST).write(order)
    (discussion,) = hub.discussions(MODELS, NAME)
    assert f"{RESULTS_TAG} {order.pin.digest[7:19]}:{VALUE}" in discussion["title"]
    assert branches(hub) == before
    assert seen(server).pin == order.pin
    assert dict(seen(server).tags) == {RESULTS_TAG: VALUE}
    assert dict(seen(server, results=False).tags) == {}
    git = hub.git(MODELS, NAME)
    head = git.references()["refs/pr/1"]
    path = f".eval_results/weighbridge-{order.pin.digest[7:19]}.yaml"
    entries = yaml.safe_load(git.read(git.files(head)[path])[1])
    assert [(each["dataset"], each["value"]) for each in entries] == [
        ({"id": "org/holdout", "task_id": "accuracy", "revision": "a" * 40}, 0.93),
        ({"id": "org/holdout", "task_id": "f1", "revision": "a" * 40}, 0.9),
    ]


@pytest.mark.parametrize("status", ["closed", "merged"])
def test_an_answered_offer_is_not_repeated(hub: Hub, server: Server, status: str) -> None:
    order = offer(server)
    adapter(server, GUEST).write(order)
    hub.set_discussion(MODELS, NAME, 1, status)
    adapter(server, GUEST).write(order)
    assert len(hub.discussions(MODELS, NAME)) == 1
    assert dict(seen(server, order.pin.version).tags) == {RESULTS_TAG: VALUE}


def test_merged_results_are_another_commit_with_the_same_weights(hub: Hub, server: Server) -> None:
    order = offer(server)
    adapter(server, GUEST).write(order)
    hub.set_discussion(MODELS, NAME, 1, "merged")
    after = seen(server)
    assert after.pin.files == order.pin.files
    assert after.pin.version != order.pin.version
    assert dict(after.tags) == {}


def test_new_results_are_a_new_offer(hub: Hub, server: Server) -> None:
    adapter(server, GUEST).write(offer(server))
    adapter(server, GUEST).write(offer(server, "ba9876543210"))
    assert len(hub.discussions(MODELS, NAME)) == 2
    assert dict(seen(server).tags) == {RESULTS_TAG: f"ba9876543210 {VALUE}"}


def test_the_offer_is_found_below_many_others(hub: Hub, server: Server) -> None:
    order = offer(server)
    adapter(server, GUEST).write(order)
    for number in range(150):
        hub.offer(MODELS, NAME, f"theirs {number}", {}, author="somebody", parent=order.pin.version)
    adapter(server, GUEST).write(order)
    assert len(hub.discussions(MODELS, NAME)) == 151


def test_owners_who_take_no_offers(hub: Hub, server: Server) -> None:
    order = offer(server)
    hub.change(MODELS, NAME, discussions_disabled=True)
    assert failed(lambda: adapter(server, GUEST).write(order)).reason == "WriteBackUnsupported"
    assert dict(seen(server).tags) == {}


def test_without_a_token_nothing_can_be_offered(hub: Hub, server: Server) -> None:
    order = offer(server)
    assert failed(lambda: adapter(server, "").write(order)).reason == "WriteBackUnsupported"
    assert hub.discussions(MODELS, NAME) == []


def test_results_nobody_asked_for_are_not_offered(hub: Hub, server: Server) -> None:
    adapter(server, results=False).write(offer(server))
    assert hub.discussions(MODELS, NAME) == []


def test_offers_ask_before_writing(hub: Hub, server: Server) -> None:
    order = offer(server)
    assert failed(lambda: adapter(server, GUEST, lambda: False).write(order)).reason == "NotLeading"
    assert hub.discussions(MODELS, NAME) == []


@pytest.mark.parametrize("token", [GUEST, ""])
def test_no_right_to_tag_is_nobodys_fault(hub: Hub, server: Server, token: str) -> None:
    order = WriteOrder(seen(server).pin, {}, "champion")
    assert failed(lambda: adapter(server, token).write(order)).reason == "WriteBackUnsupported"
    assert hub.git(MODELS, NAME).references("refs/tags") == {}


def test_moving_an_alias_asks_before_each_of_its_writes(hub: Hub, server: Server) -> None:
    first = seen(server).pin
    second = hub.commit(MODELS, NAME, {"model.safetensors": b"2"})
    hub.tag(MODELS, NAME, "champion", second)
    asked = list[int]()

    def once() -> bool:
        asked.append(1)
        return len(asked) < 2

    order = WriteOrder(first, {}, "champion")
    assert failed(lambda: adapter(server, OWNER, once).write(order)).reason == "NotLeading"
    assert hub.git(MODELS, NAME).references("refs/tags") == {}
    adapter(server).write(order)
    assert hub.git(MODELS, NAME).references("refs/tags") == {"refs/tags/champion": first.version}


def test_a_tag_made_by_somebody_else_meanwhile(hub: Hub, server: Server) -> None:
    pin, other = seen(server).pin, hub.commit(MODELS, NAME, {"model.safetensors": b"2"})

    def meanwhile() -> bool:
        hub.tag(MODELS, NAME, "champion", other)
        return True

    assert failed(lambda: adapter(server, OWNER, meanwhile).write(WriteOrder(pin, {}, "champion"))).reason == "WriteNotKept"
    assert hub.git(MODELS, NAME).references("refs/tags") == {"refs/tags/champion": other}


@pytest.mark.parametrize("alias", ["main", "..", "a..b", "a b", "-x", "refs/../x", "x.lock", "é"])
def test_aliases_that_can_be_no_tag(hub: Hub, server: Server, alias: str) -> None:
    before = hub.git(MODELS, NAME).references()
    assert failed(lambda: adapter(server).write(WriteOrder(seen(server).pin, {}, alias))).reason == "WriteRefused"
    assert hub.git(MODELS, NAME).references() == before


def test_alias_with_a_slash(hub: Hub, server: Server) -> None:
    pin = seen(server).pin
    for _ in range(2):
        adapter(server).write(WriteOrder(pin, {}, "deployed/prod-1.0"))
    assert seen(server).aliases == {"deployed/prod-1.0"}


@pytest.mark.parametrize("how", ["deleted", "lost"])
def test_nothing_is_written_when_the_commit_is_gone(hub: Hub, server: Server, how: str) -> None:
    pin = seen(server).pin
    if how == "deleted":
        hub.delete_repo(MODELS, NAME)
    else:
        hub.commit(MODELS, NAME, {"model.safetensors": b"2"}, orphan=True)
    assert failed(lambda: adapter(server).write(WriteOrder(pin, {}, "champion"))).reason == "VersionReplaced"


def test_access_lost_before_a_write(hub: Hub, server: Server) -> None:
    pin = seen(server).pin
    hub.change(MODELS, NAME, disabled=True)
    assert failed(lambda: adapter(server).write(WriteOrder(pin, {}, "champion"))).reason == "WriteForbidden"
