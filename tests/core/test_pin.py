"""The identity of content."""

from datetime import UTC, datetime, timedelta, timezone

from hypothesis import given
from hypothesis import strategies as st

from weighbridge.core.pin import dataset_digest, fingerprint, model_digest

FILES = st.dictionaries(st.text(max_size=20), st.integers(0, 2**63), max_size=8)
PIN = {
    "name": "m",
    "version": "1",
    "created_at": datetime(2026, 1, 1, 12, tzinfo=UTC),
    "source": "s",
    "run_id": "r",
    "fingerprint": "f",
}
DATA = {"path": "p", "revision": "r", "uri": "u", "fingerprint": "f"}


@given(FILES, st.binary(max_size=20), st.randoms())
def test_order_of_files_does_not_matter(files: dict[str, int], description: bytes, random: object) -> None:
    shuffled = list(files.items())
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert fingerprint(dict(shuffled), description) == fingerprint(files, description)


@given(FILES, FILES, st.binary(max_size=20), st.binary(max_size=20))
def test_equal_only_for_equal_content(a: dict[str, int], b: dict[str, int], first: bytes, second: bytes) -> None:
    assert (fingerprint(a, first) == fingerprint(b, second)) == ((a, first) == (b, second))


def test_names_cannot_imitate_other_lists() -> None:
    assert fingerprint({'a" 1\n"b': 2}) != fingerprint({"a": 1, "b": 2})


def test_every_field_counts() -> None:
    changed = [PIN | {key: value} for key, value in {k: f"{v}x" for k, v in PIN.items() if k != "created_at"}.items()]
    changed.append(PIN | {"created_at": PIN["created_at"] + timedelta(milliseconds=1)})
    digests = {model_digest(**each) for each in (PIN, *changed)}
    assert len(digests) == len(PIN) + 1
    assert len({dataset_digest(**each) for each in (DATA, *(DATA | {key: "x"} for key in DATA))}) == len(DATA) + 1


def test_time_zone_and_microseconds_do_not_count() -> None:
    elsewhere = PIN["created_at"].astimezone(timezone(timedelta(hours=9))) + timedelta(microseconds=999)
    assert model_digest(**PIN) == model_digest(**PIN | {"created_at": elsewhere})


def test_digests_stay_what_they_are() -> None:
    """Pins are kept in status for years: another way to compute them would be drift everywhere."""
    assert (
        fingerprint({"MLmodel": 5, "d/x": 0}, b"hello") == "sha256:bef1b8d525cb88f032b90a0ea37c5803d1d771d10b37edb4f4c1557ab871c652"
    )
    assert model_digest(**PIN) == "sha256:859fded4b8f78f67679a7ce49d8211c61e4798cd7193cf7d542aeb8dbaa8d025"
    assert dataset_digest(**DATA) == "sha256:8b43b44dff672185de7a0289d13c24d59f8f1ae43864868a899a066c06c5b5f1"
