"""Reads the samples of a full report that lies on an MLflow server, and proves them by the SHA-256 the operator kept.

Nothing is stored: lines are read while they are hashed. No text of the server is repeated, nor credentials.
"""

import hashlib
import io
import json
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar
from urllib.parse import quote

import requests
from urllib3.exceptions import HTTPError

from .samples import MAX_BYTES, SAMPLES_FILE, Sample, SamplesInvalid, samples_in
from .server import ANSWER, API, FOLDER_NAME, PAUSES, SILENCE, SUMS_NAME, Server, served_at

Read = TypeVar("Read")
_ADDRESS = re.compile(r"runs:/([0-9A-Za-z_-]{1,64})")
_SUM = re.compile(rf"([0-9a-f]{{64}})  {FOLDER_NAME}/{re.escape(SAMPLES_FILE)}")
_CHUNK = 1 << 16


class Unproved(Exception):
    """There are no samples that could be proved; the text is one sentence for people. `final`: another try would find the same."""

    def __init__(self, text: str, *, final: bool = True) -> None:
        super().__init__(text)
        self.final = final


NO_REPORT = "the champion's evaluation has no full report"
_SILENT = "the champion's report cannot be read: the MLflow server does not answer"
_CHANGED = "the champion's report was changed after it was written"
_NOT_MLFLOW = "the champion's report cannot be read: what answers is no MLflow server"


def read_champion(server: Server, address: str, sha256: str, until: float, read: Callable[[Iterator[Sample]], Read]) -> Read:
    """What `read` makes of the samples in the report at `address`, whose list of sums has this SHA-256.

    `read` may be called again after a try that failed. `until` is a time of the monotonic clock, after which no more is read.
    Raises Unproved.
    """
    found = _ADDRESS.fullmatch(address)
    if found is None or not sha256:
        raise Unproved(NO_REPORT)
    for pause in (*PAUSES, None):
        try:
            return _Download(server, until).read(found[1], sha256, read)
        except Unproved as unproved:
            if unproved.final or pause is None or time.monotonic() + pause > until:
                raise
            time.sleep(pause)
    raise AssertionError("the last try returns or raises")


class _Download:
    """One try."""

    def __init__(self, server: Server, until: float) -> None:
        self._url, self._session, self._until = server.url.rstrip("/"), server.session(), until
        # A packed answer could be far larger than what was counted of it.
        self._session.headers["Accept-Encoding"] = "identity"

    def read(self, run: str, sha256: str, read: Callable[[Iterator[Sample]], Read]) -> Read:
        try:
            with self._session:
                artifacts = self._artifacts(run)
                sums = self._whole(f"{artifacts}/{quote(SUMS_NAME)}")
                if hashlib.sha256(sums).hexdigest() != sha256:
                    raise Unproved(_CHANGED)
                listed = [found[1] for line in sums.decode().splitlines() if (found := _SUM.fullmatch(line))]
                if len(listed) != 1:
                    raise Unproved(f"the champion's report has no {SAMPLES_FILE}")
                with self._open(f"{artifacts}/{quote(f'{FOLDER_NAME}/{SAMPLES_FILE}')}") as stream:
                    return _proved(stream, listed[0], read)
        except (requests.RequestException, HTTPError, OSError):
            raise Unproved(_SILENT, final=False) from None
        except (ValueError, KeyError, TypeError, AttributeError):
            raise Unproved(_NOT_MLFLOW) from None

    def _artifacts(self, run: str) -> str:
        answer: Any = json.loads(self._whole(f"{API}/runs/get", run_id=run))
        path = served_at(str(answer["run"]["info"]["artifact_uri"]))
        if path is None:
            raise Unproved("the champion's report cannot be read: the MLflow server keeps its artifacts elsewhere")
        return path

    def _whole(self, path: str, **query: str) -> bytes:
        """A short answer."""
        with self._open(path, **query) as stream:
            body = io.BufferedReader(stream, _CHUNK).read(ANSWER + 1)
        if len(body) > ANSWER:
            raise Unproved(_NOT_MLFLOW)
        return body

    @contextmanager
    def _open(self, path: str, **query: str) -> Iterator["_Stream"]:
        left = max(0.1, self._until - time.monotonic())
        timeout = min(SILENCE[0], left), min(SILENCE[1], left)
        with self._session.get(f"{self._url}{path}", params=query, timeout=timeout, allow_redirects=False, stream=True) as response:
            status = response.status_code
            if status in (401, 403):
                raise Unproved("the MLflow server refuses to show the champion's report to reportCredentialsSecretRef")
            if status == 404:
                raise Unproved("the champion's report is not on the MLflow server any more")
            if status >= 500 or status in (408, 429):
                raise Unproved(f"the champion's report cannot be read: the MLflow server answers with status {status}", final=False)
            if status != 200:
                raise Unproved(_NOT_MLFLOW)
            yield _Stream(response, self._until)


class _Stream(io.RawIOBase):
    """The body of an answer as it was sent, counted, hashed and bounded in time."""

    def __init__(self, response: requests.Response, until: float) -> None:
        super().__init__()
        self._response, self._until = response, until
        self._digest, self._size = hashlib.sha256(), 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if time.monotonic() > self._until:
            raise TimeoutError
        part: bytes = self._response.raw.read(len(buffer), decode_content=False)
        self._size += len(part)
        # One byte more than samples may have: that many are too many, and read no further.
        if self._size > MAX_BYTES + _CHUNK:
            raise Unproved(f"the champion's {SAMPLES_FILE} is larger than {MAX_BYTES >> 20} MiB")
        self._digest.update(part)
        buffer[: len(part)] = part
        return len(part)

    @property
    def sha256(self) -> str:
        return self._digest.hexdigest()


def _proved(stream: _Stream, sha256: str, read: Callable[[Iterator[Sample]], Read]) -> Read:
    """What was made of the stream; to the end of it first, as only the whole can be proved."""
    lines = io.BufferedReader(stream, _CHUNK)
    made: list[Read] = []
    invalid: SamplesInvalid | None = None
    try:
        made.append(read(samples_in(lines)))
    except SamplesInvalid as error:
        invalid = error
    while lines.read(_CHUNK):
        pass
    if stream.sha256 != sha256:
        raise Unproved(_CHANGED)
    if invalid is not None:
        raise Unproved(f"of the champion, {invalid}")
    return made[0]
