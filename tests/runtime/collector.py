"""A collector of traces: takes OTLP over HTTP, and keeps what it was sent."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web
from aiohttp.test_utils import TestServer
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest, ExportTraceServiceResponse


@dataclass(frozen=True)
class Sent:
    """A span as it arrived."""

    name: str
    trace: str
    id: str
    parent: str
    failed: bool
    said: str
    """Text of its status."""
    events: int
    about: Mapping[str, Any]
    seconds: float


@dataclass
class Collector:
    """What has come in so far."""

    url: str = ""
    requests: list[ExportTraceServiceRequest] = field(default_factory=list)
    headers: list[Mapping[str, str]] = field(default_factory=list)
    """Of every request, those that were refused too."""
    refuses: bool = False

    async def take(self, request: web.Request) -> web.Response:
        body = await request.read()
        self.headers.append(dict(request.headers))
        if self.refuses:
            return web.Response(status=400, text="canary4711")
        self.requests.append(ExportTraceServiceRequest.FromString(body))
        return web.Response(body=ExportTraceServiceResponse().SerializeToString(), content_type="application/x-protobuf")

    def resource(self) -> dict[str, Any]:
        return _attributes(self.requests[0].resource_spans[0].resource.attributes)

    def spans(self, name: str = "") -> list[Sent]:
        """All, or those of a name."""
        found = [
            span
            for request in self.requests
            for resource in request.resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ]
        return [
            Sent(
                span.name,
                span.trace_id.hex(),
                span.span_id.hex(),
                span.parent_span_id.hex(),
                span.status.code == 2,
                span.status.message,
                len(span.events),
                _attributes(span.attributes),
                (span.end_time_unix_nano - span.start_time_unix_nano) / 1e9,
            )
            for span in found
            if name in {"", span.name}
        ]

    def text(self) -> str:
        return "\n".join(str(request) for request in self.requests)


def _attributes(attributes: Any) -> dict[str, Any]:
    return {each.key: each.value.int_value or each.value.string_value for each in attributes}


@asynccontextmanager
async def collector() -> AsyncIterator[Collector]:
    """One at work; its URL is what OTEL_EXPORTER_OTLP_ENDPOINT is set to."""
    one = Collector()
    app = web.Application()
    app.router.add_post("/v1/traces", one.take)
    async with TestServer(app) as server:
        one.url = str(server.make_url("")).rstrip("/")
        yield one
