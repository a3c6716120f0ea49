"""The identity of content."""

from datetime import UTC, datetime, timedelta, timezone

from hypothesis import given
from hypothesis import strategies as st

from weighbridge.core.pin import MOST_READ_BYTES, MOST_READ_FILES, dataset_digest, fingerprint, model_digest, read_for_proof

FILES = st.dictionaries(st.text(max_size=20), st.integers(0, 2**63), max_size=8)
PIN = {
    "name": "m",
    "version": "1",
    "created_at": datetime(2026, 1, 1, 12, tzinfo=UTC),
    "source": "s",
    "run_id": "r",
    "fingerprint": "f",
}
CONTENTS = st.dictionaries(st.text(max_size=20), st.text("0123456789abcdef", min_size=64, max_size=64), max_size=4)
DATA = {"path": "p", "revision": "r", "uri": "u", "fingerprint": "f"}


@given(FILES, CONTENTS, st.randoms())
def test_order_of_files_does_not_matter(files: dict[str, int], contents: dict[str, str], random: object) -> None:
    shuffled = list(files.items())
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert fingerprint(dict(shuffled), contents) == fingerprint(files, contents)


@given(FILES, FILES, CONTENTS, CONTENTS)
def test_equal_only_for_equal_content(a: dict[str, int], b: dict[str, int], first: dict[str, str], second: dict[str, str]) -> None:
    said = [{path: known[path] for path in files if path in known} for files, known in ((a, first), (b, second))]
    assert (fingerprint(a, first) == fingerprint(b, second)) == ((a, said[0]) == (b, said[1]))


def test_names_cannot_imitate_other_lists() -> None:
    assert fingerprint({'a" 1 -\n"b': 2}, {}) != fingerprint({"a": 1, "b": 2}, {})


@given(st.dictionaries(st.text(max_size=20), st.integers(0, 2 * MOST_READ_BYTES), max_size=80))
def test_what_is_read_is_bounded_and_the_smallest(files: dict[str, int]) -> None:
    chosen = read_for_proof(files)
    assert len(chosen) <= MOST_READ_FILES
    assert sum(files[path] for path in chosen) <= MOST_READ_BYTES
    left = [size for path, size in files.items() if size and path not in chosen]
    assert not left or len(chosen) == MOST_READ_FILES or sum(files[path] for path in chosen) + min(left) > MOST_READ_BYTES
    assert all(files[path] <= min(left, default=MOST_READ_BYTES) for path in chosen)


def test_the_description_is_read_however_many_smaller_files_there_are() -> None:
    assert "MLmodel" in read_for_proof({"MLmodel": 5000} | {f"code/{number}.py": 1 for number in range(99)})


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
        fingerprint({"MLmodel": 5, "d/x": 0}, {"MLmodel": "ab" * 32})
        == "sha256:ffc49e80e46fb635b3507f30027cd59a5d2f5fe79bbe68babe4c7ad0d2ed56d2"
    )
    assert model_digest(**PIN) == "sha256:859fded4b8f78f67679a7ce49d8211c61e4798cd7193cf7d542aeb8dbaa8d025"
    assert dataset_digest(**DATA) == "sha256:8b43b44dff672185de7a0289d13c24d59f8f1ae43864868a899a066c06c5b5f1"
