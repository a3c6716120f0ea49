"""One HTTP connection to the API server, with whatever credentials the surroundings give: the only module that knows the
Kubernetes client library.

It sends raw requests, because the library's models cost memory and hide what goes over the wire. Every request has a content type
and a time limit. Trouble leaves as `ClusterError` with public text; it must not decide anything.
"""

import asyncio
import json
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import aiohttp
from kubernetes.aio.client.api_client import ApiClient
from kubernetes.aio.client.configuration import Configuration
from kubernetes.aio.config import ConfigException, load_incluster_config, load_kube_config
from kubernetes.aio.config.incluster_config import SERVICE_TOKEN_FILENAME

from .. import __version__
from ..controllers.ports import ClusterError
from .refusal import Unavailable, refusal, subject
from .tracing import OFF, Span, Tracer

Observer: TypeAlias = Callable[[str, int | None, float], None]
"""Told of every request: verb, HTTP status of the answer or None, seconds."""
TIMEOUT = 10.0
"""Seconds for one request; no request of ours is longer than a page of a list."""
_VERBS = {"POST": "create", "PATCH": "patch", "DELETE": "delete"}
"""What writes are called in roles."""
_TOKEN_FILE = Path(SERVICE_TOKEN_FILENAME)
_NAMESPACE_FILE = _TOKEN_FILE.with_name("namespace")


@dataclass(frozen=True)
class Access:
    """How to reach the API server, for a client other than this one. Secrets do not print."""

    server: str
    ca_file: str | None
    verify: bool
    authorization: str = field(repr=False)
    """Value of the Authorization header; empty where a certificate or nothing is used."""
    certificate_file: str | None
    key_file: str | None
    proxy: str | None


@dataclass(frozen=True)
class Surroundings:
    """Where credentials come from: the kubeconfig if one is named, else the pod's service account, else the usual file."""

    kubeconfig: str | None = None
    """Path of a kubeconfig, as in KUBECONFIG."""
    own_namespace: str | None = None
    """The namespace the operator runs in, as in POD_NAMESPACE; None: as the credentials say."""

    async def namespace(self) -> str:
        """The namespace the operator runs in. Raises ClusterError."""
        if self.own_namespace:
            return self.own_namespace
        _, namespace = await self.load()
        return namespace

    async def access(self) -> Access:
        """Fresh credentials. Raises ClusterError."""
        configuration, _ = await self.load()
        return Access(
            server=configuration.host,
            ca_file=configuration.ssl_ca_cert,
            verify=configuration.verify_ssl,
            authorization=await configuration.get_api_key_with_prefix("BearerToken", alias="authorization") or "",
            certificate_file=configuration.cert_file,
            key_file=configuration.key_file,
            proxy=configuration.proxy,
        )

    async def load(self) -> tuple[Any, str]:
        """The client library's configuration, and the namespace it names. Raises ClusterError where there is none."""
        configuration = Configuration()
        in_cluster = self.kubeconfig is None and _in_a_pod()
        try:
            if in_cluster:
                load_incluster_config(client_configuration=configuration)  # type: ignore[no-untyped-call]
                return configuration, _NAMESPACE_FILE.read_text(encoding="utf-8").strip()
            loader = await load_kube_config(  # type: ignore[no-untyped-call]
                self.kubeconfig, client_configuration=configuration, persist_config=False
            )
            return configuration, loader.current_context.get("context", {}).get("namespace") or "default"
        except (ConfigException, OSError) as error:
            where = "the pod's service account" if in_cluster else "the kubeconfig"
            raise ClusterError("NoCredentials", f"{where} does not tell how to reach the API server: check KUBECONFIG") from error


class Connection:
    """Sends requests; opens itself on the first one and again, with fresh credentials, when they are not taken any more."""

    def __init__(self, surroundings: Surroundings, tracer: Tracer = OFF, observe: Observer = lambda *_: None) -> None:
        self._surroundings, self._tracer, self._observe = surroundings, tracer, observe
        self._client: Any = None
        self._opening = asyncio.Lock()

    async def close(self) -> None:
        """Lets go of the sockets."""
        if self._client is not None:
            await self._client.close()

    async def request(
        self,
        method: str,
        path: str,
        *,
        query: Sequence[tuple[str, str]] = (),
        body: Any = None,
        content_type: str = "application/json",
        timeout: float = TIMEOUT,  # noqa: ASYNC109 - a limit of the transport, which also ends the socket
    ) -> dict[str, Any]:
        """The answer's body. Raises the errors of `refusal` for every answer that is not a success."""
        headers = {"Accept": "application/json", "Content-Type": content_type}
        limit = aiohttp.ClientTimeout(total=timeout, sock_connect=min(timeout, 5.0))

        async def send(client: Any) -> Any:
            _, url, all_headers, payload, _ = await client.param_serialize(
                method, path, query_params=list(query), header_params=headers, body=body, auth_settings=["BearerToken"]
            )
            response = await client.call_api(method, url, all_headers, payload, _request_timeout=limit)
            return response, await response.read()

        with self._span(method, path) as span:
            client = await self._open()
            started, status = time.monotonic(), None
            try:
                response, data = await send(client)
                status = response.status
                if response.status == 401:
                    # The request was not processed, so sending any verb again is safe.
                    response, data = await send(await self._reopen(client))
                    status = response.status
            except (aiohttp.ClientError, OSError, TimeoutError) as error:
                raise Unavailable("ApiServerUnavailable", "the API server does not answer") from error
            finally:
                self._observe(method, status, time.monotonic() - started)
            span.tell({"http.response.status_code": response.status})
            answer = _json(data)
            if not 200 <= response.status < 300:
                raise refusal(response.status, answer or {}, response.headers.get("Retry-After"), method, path)
            if answer is None:
                raise Unavailable("ApiServerUnavailable", "the API server sent something that is not JSON")
            return answer

    def _span(self, method: str, path: str) -> AbstractContextManager[Span]:
        if method not in _VERBS:
            return OFF.span("", {})
        verb, what = _VERBS[method], subject(path)
        about = {"weighbridge.verb": verb, "weighbridge.resource": what.resource, "weighbridge.name": what.name}
        return self._tracer.span(f"{verb} {what.resource}", {**about, "k8s.namespace.name": what.namespace})

    async def _open(self) -> Any:
        async with self._opening:
            if self._client is None:
                self._client = await self._connect()
            return self._client

    async def _reopen(self, stale: Any) -> Any:
        async with self._opening:
            if self._client is stale:
                self._client = await self._connect()
                await stale.close()
            return self._client

    async def _connect(self) -> Any:
        configuration, _ = await self._surroundings.load()
        client = ApiClient(configuration)
        client.user_agent = f"weighbridge/{__version__}"
        return client


def _in_a_pod() -> bool:
    return _TOKEN_FILE.is_file()


def _json(data: bytes) -> dict[str, Any] | None:
    try:
        answer = json.loads(data)
    except ValueError:
        return None
    return answer if isinstance(answer, dict) else None
