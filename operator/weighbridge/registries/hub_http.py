"""How a Hub is asked: with huggingface_hub's session, headers and API, every question with a common deadline.

Answers are read as JSON without trust, since the package's own types break on what they do not expect. Writes go through `HfApi`.
Must not know what a model is. What requests may do is bounded in `hub_transport`.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING
from urllib.parse import urljoin, urlsplit

from .. import __version__
from .addresses import Network
from .base import RegistryFailed
from .credentials import Credentials
from .hub_answer import TOKEN, Answer, elsewhere, judged, not_hub

if TYPE_CHECKING:
    from httpx2 import Response
    from huggingface_hub import HfApi

    from .hub_transport import Channel

_MOST_HOPS = 4


class HubHttp:
    """One Hub with one token, or none. Threads may share it."""

    def __init__(self, url: str, credentials: Credentials | None, request_timeout: float, allow: tuple[Network, ...]) -> None:
        """Loads huggingface_hub, which takes a fifth of a second and 23 MB the first time. Raises
        RegistryFailed(SecretIncomplete)."""
        self._token = _accepted(credentials)
        from huggingface_hub import HfApi

        from .hub_transport import install, trusted

        install()
        self.url = url.rstrip("/")
        self._parts = urlsplit(self.url)
        self._timeout, self._allow = request_timeout, allow
        self._tls = trusted() if self._parts.scheme == "https" else None
        # False, not None: None would take the token of the process. The package's own User-Agent tells what is installed.
        self.api = HfApi(
            self.url, self._token or False, library_name="weighbridge", library_version=__version__,
            headers={"user-agent": f"weighbridge/{__version__}"},
        )  # fmt: skip

    @property
    def with_token(self) -> bool:
        return bool(self._token)

    @property
    def headers(self) -> dict[str, str]:
        """Headers of each request; a new dictionary each time."""
        from huggingface_hub.utils import build_hf_headers  # type: ignore[attr-defined]

        found: dict[str, str] = build_hf_headers(token=self._token or False, headers={"user-agent": f"weighbridge/{__version__}"})
        return found

    @contextmanager
    def inquiry(self, seconds: float) -> Iterator["Inquiry"]:
        """Requests that belong together and must be done after that many seconds."""
        from .hub_transport import Channel

        channel = Channel(
            self._parts, patience=self._timeout, deadline=time.monotonic() + seconds, allow=self._allow, tls=self._tls
        )
        try:
            yield Inquiry(self, channel)
        finally:
            channel.close()


class Inquiry:
    """Requests of one question."""

    def __init__(self, http: HubHttp, channel: "Channel") -> None:
        self._http, self._channel = http, channel

    @property
    def host(self) -> str:
        """For messages: which server said so."""
        return self._channel.host

    @property
    def url(self) -> str:
        """For messages: where people look."""
        return self._http.url

    @property
    def with_token(self) -> bool:
        return self._http.with_token

    def get(self, path: str, /, **parameters: str | Sequence[str]) -> Answer:
        """A read whose answer is JSON. Raises RegistryFailed."""
        return self._record(self.bytes(path, **parameters))

    def page(self, address: str) -> Answer:
        """A further page of a list, at the whole address that the page before it names. Raises RegistryFailed."""
        return self._record(self._send("GET", urljoin(f"{self._http.url}/", address), {}))

    def bytes(self, path: str, /, **parameters: str | Sequence[str]) -> Answer:
        """A read whose answer is a file or, with another status than 200, an error. Raises RegistryFailed."""
        return self._send("GET", self._http.url + path, parameters)

    def head(self, path: str) -> Answer:
        """Asks for a file without its content. The Hub names the commit and redirects to where the content is, which is another
        origin often: such an answer is the end. Raises RegistryFailed."""
        url = self._http.url + path
        for _ in range(_MOST_HOPS):
            answer = self._send("HEAD", url, {}, follow=False)
            if not 300 <= answer.status < 400 or "x-repo-commit" in answer.headers:
                return answer
            url = urljoin(url, answer.headers.get("location", ""))
        raise self._in_circles()

    def do(self, call: Callable[["HfApi"], object]) -> Answer:
        """A write. Its value is not looked at: what was written is read back. Raises RegistryFailed."""
        from huggingface_hub.errors import HfHubHTTPError

        try:
            with self._channel.current():
                call(self._http.api)
        except HfHubHTTPError as error:
            refused = error.response
        except (RegistryFailed, MemoryError):
            raise
        except Exception:  # whatever the package makes of nonsense
            raise not_hub(self.host, b"") from None
        else:
            return Answer(200, {})
        return self._answer(refused)

    def _send(self, method: str, url: str, parameters: "dict[str, str | Sequence[str]]", follow: bool = True) -> Answer:
        import httpx2
        from huggingface_hub import get_session

        if {".", ".."} & set(urlsplit(url).path.split("/")):
            raise ValueError("the path would lead out of itself")
        try:
            with self._channel.current():
                response = get_session().request(
                    method, url, headers=self._http.headers, params=parameters or None, follow_redirects=follow
                )
        except httpx2.TooManyRedirects:
            raise self._in_circles() from None
        except (httpx2.HTTPError, httpx2.InvalidURL):  # of a redirect: our own address is a good one
            raise elsewhere(self.host) from None
        if follow and 300 <= response.status_code < 400:
            raise elsewhere(self.host)
        return self._answer(response)

    def _answer(self, response: "Response") -> Answer:
        sent = "authorization" in response.request.headers
        return judged(self.host, response.status_code, response.headers, response.content, with_token=sent)

    def _record(self, answer: Answer) -> Answer:
        if answer.status == 200 and not isinstance(answer.value, dict | list):
            raise not_hub(self.host, answer.body)
        return answer

    def _in_circles(self) -> RegistryFailed:
        return RegistryFailed(
            "RegistryMisconfigured", f"{self.host} redirects in circles; check spec.huggingFace.url and what is in front of it"
        )


def _accepted(credentials: Credentials | None) -> str:
    if credentials is None:
        return ""
    token = credentials.get(TOKEN, "")
    if not token:
        raise RegistryFailed("SecretIncomplete", f"the Secret of the ModelRegistry has no {TOKEN}; add it")
    if not token.isprintable() or not token.isascii() or " " in token:
        raise RegistryFailed("SecretIncomplete", f"{TOKEN} in the Secret has characters no token has")
    return token
