"""What every registry adapter promises, tried on the real registry. A new adapter joins by a line in `benches.BENCHES`."""

from pathlib import Path

import pytest

from tests.registries.benches import Bench
from weighbridge.api.base import LocalRef
from weighbridge.api.references import DatasetReference
from weighbridge.core.facts import WriteOrder
from weighbridge.core.pin import dataset_digest, fingerprint, model_digest
from weighbridge.registries.base import RegistryAbsent, RegistryFailed

STATE = "weighbridge.dev/state"


def data(path: str, revision: str | None = None) -> DatasetReference:
    return DatasetReference(name="holdout", registry_ref=LocalRef(name="r"), path=path, revision=revision)


def sizes(folder: Path) -> dict[str, int]:
    return {str(each.relative_to(folder)): each.stat().st_size for each in folder.rglob("*") if each.is_file()}


def test_server_answers(bench: Bench) -> None:
    assert bool(bench.connect().server().version) == bench.tells_version


def test_alias_and_version_are_one_pin(bench: Bench) -> None:
    name, registry = bench.new_name(), bench.connect()
    bench.register(name)
    version = bench.register(name)
    bench.set_alias(name, "champion", version)
    by_version = registry.model(bench.by_version(name, version))
    by_alias = registry.model(bench.by_alias(name, "champion", registry="other"))
    assert by_version.pin.digest == by_alias.pin.digest
    assert (by_version.pin.registry, by_alias.pin.registry) == ("r", "other")
    assert by_alias.pin.version == version
    assert by_version.aliases == {"champion"}


def test_versions_differ(bench: Bench) -> None:
    name, registry = bench.new_name(), bench.connect()
    first, second = [registry.model(bench.by_version(name, bench.register(name))).pin for _ in range(2)]
    assert first.digest != second.digest
    assert first.created_at < second.created_at


def test_model_missing(bench: Bench) -> None:
    name = bench.new_name()
    for wanted in (bench.by_version(name, bench.no_versions[0]), bench.by_version(name, "abc"), bench.by_alias(name, "champion")):
        with pytest.raises(RegistryAbsent) as no:
            bench.connect().model(wanted)
        assert no.value.reason == "ModelNotFound"
        assert name in no.value.public


def test_version_missing(bench: Bench) -> None:
    name = bench.new_name()
    bench.register(name)
    for version in bench.no_versions:
        with pytest.raises(RegistryAbsent) as no:
            bench.connect().model(bench.by_version(name, version))
        assert no.value.reason == bench.version_missing
        assert name in no.value.public
        assert version in no.value.public


def test_alias_missing(bench: Bench) -> None:
    name = bench.new_name()
    bench.register(name)
    with pytest.raises(RegistryAbsent) as no:
        bench.connect().model(bench.by_alias(name, "champion"))
    assert no.value.reason == bench.alias_missing


def test_reference_of_another_registry(bench: Bench) -> None:
    name = bench.new_name()
    bench.register(name)
    for wanted in bench.unsupported(name):
        with pytest.raises(RegistryAbsent) as no:
            bench.connect().model(wanted)
        assert no.value.reason == "ReferenceUnsupported"


def test_recreated_is_another_pin(bench: Bench) -> None:
    name, registry = bench.new_name(), bench.connect()
    before = registry.model(bench.by_version(name, bench.register(name))).pin
    bench.delete_model(name)
    after = registry.model(bench.by_version(name, bench.register(name))).pin
    assert (before.version == after.version) == bench.numbers_return
    assert before.created_at != after.created_at
    assert before.digest != after.digest
    if not bench.numbers_return:
        with pytest.raises(RegistryAbsent) as no:
            registry.model(bench.by_version(name, before.version))
        assert no.value.reason == bench.version_missing


def test_overwritten_content_is_another_pin(bench: Bench) -> None:
    name, registry = bench.new_name(), bench.connect()
    version = bench.register(name)
    before = registry.model(bench.by_version(name, version)).pin
    bench.overwrite(name, version)
    after = registry.model(bench.by_version(name, version)).pin
    assert (before.created_at, before.source) == (after.created_at, after.source)
    assert (before.fingerprint == after.fingerprint) == bench.content_is_fixed
    assert (before.digest == after.digest) == bench.content_is_fixed


def test_removed_content(bench: Bench) -> None:
    name = bench.new_name()
    version = bench.register(name)
    bench.remove_content(name, version)
    with pytest.raises(RegistryAbsent) as no:
        bench.connect().model(bench.by_version(name, version))
    assert no.value.reason == bench.content_missing


def test_fingerprint_and_digest_can_be_recomputed_from_the_download(bench: Bench, tmp_path: Path) -> None:
    name = bench.new_name()
    pin = bench.connect().model(bench.by_version(name, bench.register(name))).pin
    folder = bench.download(pin, tmp_path)
    files = sizes(folder)
    assert fingerprint(files, bench.contents(folder, files)) == pin.fingerprint
    digest = model_digest(
        name=pin.name,
        version=pin.version,
        created_at=pin.created_at,
        source=pin.source,
        run_id=pin.run_id,
        fingerprint=pin.fingerprint,
    )
    assert digest == pin.digest


def test_dataset_is_pinned_to_its_files(bench: Bench, tmp_path: Path) -> None:
    name, registry = bench.new_name(), bench.connect()
    revision = bench.dataset(name, {"holdout.csv": b"a,b\n1,2\n"})
    pin = registry.dataset(data(name))
    assert registry.dataset(data(name, revision)) == pin
    assert (pin.name, pin.path, pin.revision) == ("holdout", name, revision)
    folder = bench.download(pin, tmp_path)
    files = sizes(folder)
    assert fingerprint(files, bench.contents(folder, files)) == pin.fingerprint
    assert dataset_digest(path=pin.path, revision=pin.revision, uri=pin.uri, fingerprint=pin.fingerprint) == pin.digest


def test_dataset_missing(bench: Bench) -> None:
    name = bench.new_name()
    for wanted in (data(name), data(name, "12345678")):
        with pytest.raises(RegistryAbsent) as no:
            bench.connect().dataset(wanted)
        assert no.value.reason == "DatasetNotFound"


def test_dataset_revision_missing(bench: Bench) -> None:
    name = bench.new_name()
    bench.dataset(name, {"holdout.csv": b"a"})
    with pytest.raises(RegistryAbsent) as no:
        bench.connect().dataset(data(name, "12345678"))
    assert no.value.reason == bench.dataset_revision_missing
    assert "12345678" in no.value.public


def test_dataset_without_its_files(bench: Bench) -> None:
    name = bench.new_name()
    bench.dataset(name, {"holdout.csv": b"a"})
    bench.remove_dataset_files(name)
    with pytest.raises(RegistryAbsent) as no:
        bench.connect().dataset(data(name))
    assert no.value.reason == "ArtifactMissing"


def test_write_is_kept_and_repeating_it_writes_nothing(bench: Bench) -> None:
    name, writes = bench.new_name(), list[str]()
    registry = bench.connect(may_write=lambda: writes.append("write") is None)
    first, second = bench.register(name), bench.register(name)
    bench.set_alias(name, "champion", first)
    bench.set_alias(name, "theirs", first)
    order = WriteOrder(registry.model(bench.by_version(name, second)).pin, {STATE: "Serving"}, "champion")
    kept = {STATE: "Serving"} if bench.keeps_tags else {}
    registry.write(order)
    assert bench.tags(name, second) == kept
    assert bench.aliases(name) == {"champion": second, "theirs": first}
    assert len(writes) == len(kept) + bench.writes_to_move_an_alias
    writes.clear()
    registry.write(order)
    assert writes == []
    seen = registry.model(bench.by_version(name, second))
    assert (dict(seen.tags), seen.aliases) == (kept, {"champion"})


def test_write_changes_only_what_differs(bench: Bench) -> None:
    name, writes = bench.new_name(), list[str]()
    registry = bench.connect(may_write=lambda: writes.append("write") is None)
    version = bench.register(name)
    pin = registry.model(bench.by_version(name, version)).pin
    registry.write(WriteOrder(pin, {"weighbridge.dev/a": "1", "weighbridge.dev/b": "1"}, None))
    writes.clear()
    registry.write(WriteOrder(pin, {"weighbridge.dev/a": "1", "weighbridge.dev/b": "2"}, None))
    assert len(writes) == int(bench.keeps_tags)
    assert bench.tags(name, version) == ({"weighbridge.dev/a": "1", "weighbridge.dev/b": "2"} if bench.keeps_tags else {})
    assert bench.aliases(name) == {}


def test_an_alias_that_another_hand_moves_between_look_and_write(bench: Bench) -> None:
    """Nothing can be written conditionally: it ends at the one or the other, and the next order settles it."""
    name, writes = bench.new_name(), list[str]()
    ours, theirs = bench.register(name), bench.register(name)
    bench.set_alias(name, "theirs", theirs)

    def meanwhile() -> bool:
        writes.append("write")
        if len(writes) == 1:
            bench.set_alias(name, "champion", theirs)
        return True

    order = WriteOrder(bench.connect().model(bench.by_version(name, ours)).pin, {STATE: "Serving"}, "champion")
    registry = bench.connect(may_write=meanwhile)
    if bench.writes_to_move_an_alias == 1:
        registry.write(order)
    else:  # an alias that is there already cannot be made
        with pytest.raises(RegistryFailed) as failed:
            registry.write(order)
        assert failed.value.reason == "WriteNotKept"
        assert bench.aliases(name) == {"champion": theirs, "theirs": theirs}
        registry.write(order)
    assert bench.aliases(name) == {"champion": ours, "theirs": theirs}


def test_own_writes_change_no_pin(bench: Bench) -> None:
    name, registry = bench.new_name(), bench.connect()
    version = bench.register(name)
    pin = registry.model(bench.by_version(name, version)).pin
    registry.write(WriteOrder(pin, {STATE: "Serving"}, "champion"))
    assert registry.model(bench.by_version(name, version)).pin == pin
    assert registry.model(bench.by_alias(name, "champion")).pin == pin


def test_nothing_is_written_without_the_right_to(bench: Bench) -> None:
    name = bench.new_name()
    version = bench.register(name)
    registry = bench.connect(may_write=lambda: False)
    pin = registry.model(bench.by_version(name, version)).pin
    with pytest.raises(RegistryFailed) as failed:
        registry.write(WriteOrder(pin, {"weighbridge.dev/a": "1"}, "champion"))
    assert failed.value.reason == "NotLeading"
    assert (bench.tags(name, version), bench.aliases(name)) == ({}, {})


def test_nothing_is_written_to_another_version_in_its_place(bench: Bench) -> None:
    name, registry = bench.new_name(), bench.connect()
    pin = registry.model(bench.by_version(name, bench.register(name))).pin
    bench.delete_model(name)
    with pytest.raises(RegistryFailed) as gone:
        registry.write(WriteOrder(pin, {"weighbridge.dev/a": "1"}, "champion"))
    version = bench.register(name)
    with pytest.raises(RegistryFailed) as replaced:
        registry.write(WriteOrder(pin, {"weighbridge.dev/a": "1"}, "champion"))
    assert (gone.value.reason, replaced.value.reason) == ("VersionReplaced", "VersionReplaced")
    assert (bench.tags(name, version), bench.aliases(name)) == ({}, {})
