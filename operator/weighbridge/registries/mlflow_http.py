"""How requests get to an MLflow server and back: MLflow's own transport, bounded in time and size, every trouble with its own
reason.

`MlflowClient` is not used: it folds 429, 5xx, time-outs and login pages into one INTERNAL_ERROR and takes its settings from the
environment of the process. `http_request` below it keeps the status code, and what it takes from the environment or from other
connections (workspace, cookies, netrc, proxies, redirects) is taken out again here. Must not know what a model is.

Where requests go: only to the origin of the ModelRegistry, redirects are not followed. Plain HTTP connects to the very address
that was checked; with TLS the certificate must match the name before anything is sent. So a name that changes its address after
the check cannot lead the operator, or its credentials, elsewhere.
"""

import contextlib
import os
import threading
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from .addresses import Network, allowed
from .base import RegistryFailed
from .credentials import Credentials
from .mlflow_answer import LARGEST_ANSWER, PASSWORD, TOKEN, USERNAME, Answer, Shape, judged
from .mlflow_wire import SETTINGS, Watch, never_connected, no_tls, prepare, watched

if TYPE_CHECKING:
    from requests import PreparedRequest, Response

_NO_PROXIES: Mapping[str, None] = {"http": None, "https": None, "all": None}
_NOT_OURS = ("Cookie", "X-MLFLOW-WORKSPACE", "x-databricks-traffic-id")
_LOADING = threading.Lock()
"""MLflow's modules import each other in circles: two threads that load it at once see halves of them."""


class MlflowHttp:
    """One server with one set of credentials. Threads may share it."""

    def __init__(self, url: str, credentials: Credentials | None, request_timeout: float, allow: tuple[Network, ...]) -> None:
        """Loads MLflow, which takes a second and 35 MB the first time. Raises RegistryFailed(SecretIncomplete)."""
        # Before the import: MLflow would start a thread that reports usage to its vendor.
        os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
        with _LOADING:
            from mlflow.utils.rest_utils import MlflowHostCreds

        self._url = urlsplit(url.rstrip("/"))
        make: Callable[..., Any] = MlflowHostCreds
        self._creds = make(host=url.rstrip("/"), **_accepted(credentials))
        self._timeout = request_timeout
        self._allow = allow

    def inquiry(self, seconds: float) -> "Inquiry":
        """Requests that belong together and must be done after that many seconds."""
        return Inquiry(self, time.monotonic() + seconds)

    def send(self, method: str, path: str, deadline: float, shape: Shape, **content: Any) -> Answer:
        """One request. `deadline` is a time of the monotonic clock. Raises RegistryFailed for everything that is no
        answer of MLflow."""
        from mlflow.exceptions import MlflowException

        prepare()
        for address in allowed(self.host, self._port, self._allow):
            patience = min(self._timeout, deadline - time.monotonic())
            if patience <= 0:
                raise self._unavailable("did not answer everything in time; if it is only slow, raise spec.requestTimeout")
            with watched(time.monotonic() + patience) as watch:
                try:
                    response = self._request(method, path, patience, str(address), content)
                except MlflowException as error:
                    if never_connected(error):
                        continue  # nothing was sent: the next address of the name may do
                    raise self._broken(error) from error
                with contextlib.closing(response):
                    return self._answer(response, watch, shape)
        raise self._unavailable(f"refuses connections on port {self._port}; is it running, and is a NetworkPolicy in the way?")

    @property
    def host(self) -> str:
        return self._url.hostname or ""

    @property
    def _port(self) -> int:
        return self._url.port or (443 if self._url.scheme == "https" else 80)

    def _request(self, method: str, path: str, patience: float, address: str, content: Mapping[str, Any]) -> "Response":
        from mlflow.utils.rest_utils import http_request
        from requests.auth import AuthBase

        netloc, plain = self._url.netloc, self._url.scheme == "http"
        bracketed = f"[{address}]" if ":" in address else address

        class OnlyThisConnection(AuthBase):
            """The last word before the request goes out; that there is one also keeps requests from reading ~/.netrc."""

            def __call__(self, request: "PreparedRequest") -> "PreparedRequest":
                for name in _NOT_OURS:
                    request.headers.pop(name, None)
                if plain:
                    request.headers["Host"] = netloc
                    there = urlsplit(request.url or "")
                    port = f":{there.port}" if there.port else ""
                    request.url = there._replace(netloc=f"{bracketed}{port}").geturl()
                return request

        send: Callable[..., Response] = http_request
        return send(
            self._creds,
            path,
            method,
            timeout=patience,
            allow_redirects=False,
            proxies=dict(_NO_PROXIES),
            auth=OnlyThisConnection(),
            stream=True,
            **SETTINGS,
            **content,
        )

    def _answer(self, response: "Response", watch: Watch, shape: Shape) -> Answer:
        body = self._read(response, watch, shape)
        return judged(self._url.netloc, response.status_code, response.headers, body, shape)

    def _read(self, response: "Response", watch: Watch, shape: Shape) -> bytes:
        from urllib3.exceptions import HTTPError

        most = LARGEST_ANSWER if response.status_code != 200 or shape.file is None else min(shape.file, LARGEST_ANSWER)
        body = bytearray()
        try:
            # Whatever one look at the connection brings: `iter_content` would wait for a full part, for as long as bytes drip in.
            while len(body) <= most and (part := response.raw.read1(64 * 1024, decode_content=True)):
                body += part
        except (HTTPError, OSError, ValueError) as error:
            if not watch.cut:
                raise self._unavailable("broke off in the middle of an answer") from error
        if watch.cut:
            raise self._unavailable("sends its answers too slowly; if it is only slow, raise spec.requestTimeout")
        if len(body) > LARGEST_ANSWER:
            raise RegistryFailed(
                "RegistryMisconfigured",
                f"{self.host} answers with more than {LARGEST_ANSWER >> 20} MiB, as MLflow never does; check the URL",
            )
        return bytes(body)

    def _broken(self, error: BaseException) -> RegistryFailed:
        if no_tls(error):
            return RegistryFailed(
                "RegistryMisconfigured",
                f"{self.host} speaks no TLS on port {self._port}, or with a certificate that the operator does not trust; check "
                "spec.mlflow.url",
            )
        return self._unavailable("did not answer in time or broke the connection; is it running and reachable?")

    def _unavailable(self, what: str) -> RegistryFailed:
        return RegistryFailed("RegistryUnavailable", f"{self.host} {what}")


class Inquiry:
    """Requests of one question, with a common deadline."""

    def __init__(self, http: MlflowHttp, deadline: float) -> None:
        self._http, self._deadline = http, deadline

    @property
    def host(self) -> str:
        """For messages: which server said so."""
        return self._http.host

    def get(self, path: str, shape: Shape, /, **parameters: str) -> Answer:
        """A read whose answer is a JSON object. Raises RegistryFailed."""
        return self._http.send("GET", path, self._deadline, shape, params=parameters)

    def post(self, path: str, shape: Shape, body: Mapping[str, Any]) -> Answer:
        """A search or a write; the answer is a JSON object. Raises RegistryFailed."""
        return self._http.send("POST", path, self._deadline, shape, json=body)

    def bytes(self, path: str, size: int, /, **parameters: str) -> Answer:
        """A read whose answer is a file or, with another status than 200, an error. Of a file that is larger than `size` only a
        little more than that is read. Raises RegistryFailed."""
        return self._http.send("GET", path, self._deadline, Shape(file=size), params=parameters)


def _accepted(credentials: Credentials | None) -> dict[str, str]:
    if credentials is None:
        return {}
    username, password, token = (credentials.get(key, "") for key in (USERNAME, PASSWORD, TOKEN))
    found = {"username": username, "password": password} if username and password else {"token": token} if token else {}
    if not found:
        raise RegistryFailed(
            "SecretIncomplete", f"the Secret of the ModelRegistry has neither {TOKEN} nor both {USERNAME} and {PASSWORD}; add them"
        )
    if not all(value.isprintable() for value in found.values()) or not token.isascii():
        raise RegistryFailed("SecretIncomplete", f"{' and '.join(sorted(found))} in the Secret has characters no request can carry")
    return found
