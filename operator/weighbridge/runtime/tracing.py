"""Traces by OpenTelemetry, for who asks for them with its usual variables (docs/tracing.md).

The only module that knows OpenTelemetry, and it imports it only when traces are asked for. The others are given a `Tracer`, which
does nothing by default. A span carries names, outcomes and codes; never a URL, a body, a credential or the text of an exception.
Nothing here may wait for a collector or keep the operator from running.
"""

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from typing import TYPE_CHECKING, Protocol, TypeAlias

from .. import __version__
from ..controllers.ports import ClusterError
from . import logs

if TYPE_CHECKING:
    from opentelemetry import trace
    from opentelemetry.sdk.trace import ReadableSpan
    from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

Attributes: TypeAlias = Mapping[str, str | int]

FLUSH_SECONDS = 3.0
"""What is left of spans gets so long at the end; then they are lost."""
_ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
_PROTOCOLS = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
_SPOKEN = "http/protobuf"


class Span(Protocol):
    """Something that is going on."""

    def tell(self, attributes: Attributes) -> None:
        """More about it."""
        ...

    def fail(self, reason: str) -> None:
        """It did not work; `reason` is one stable word."""
        ...


class Tracer(Protocol):
    """Takes down what happens."""

    def root(self, name: str, attributes: Attributes) -> AbstractContextManager[Span]:
        """Begins a trace. What is begun in it, by tasks it starts too, belongs to it."""
        ...

    def span(self, name: str, attributes: Attributes) -> AbstractContextManager[Span]:
        """A part of what is going on; outside of a trace it is not taken down. A `ClusterError` that leaves it fails it."""
        ...

    def ended(self, name: str, seconds: float, attributes: Attributes, *, failed: str = "") -> None:
        """A part that took so long and is over now; `failed`: why, in one word."""
        ...

    def traceparent(self) -> str:
        """What is going on, for who goes on with it elsewhere (W3C Trace Context); empty where nothing is."""
        ...

    async def close(self) -> None:
        """Sends what is left, within `FLUSH_SECONDS`."""
        ...


class Off:
    """Takes nothing down."""

    def tell(self, attributes: Attributes) -> None: ...
    def fail(self, reason: str) -> None: ...
    def root(self, name: str, attributes: Attributes) -> AbstractContextManager[Span]:  # noqa: ARG002
        return _NOTHING

    def span(self, name: str, attributes: Attributes) -> AbstractContextManager[Span]:  # noqa: ARG002
        return _NOTHING

    def ended(self, name: str, seconds: float, attributes: Attributes, *, failed: str = "") -> None: ...
    def traceparent(self) -> str:
        return ""

    async def close(self) -> None: ...


OFF = Off()
_NOTHING: AbstractContextManager[Span] = nullcontext(OFF)


def tracer(environ: Mapping[str, str]) -> Tracer:
    """The tracer these variables of the process ask for. It is `OFF` where they ask for none, or cannot be followed: then a line of
    the log says why. OpenTelemetry reads the variables of the process for itself, too."""
    if not _wanted(environ):
        return OFF
    protocol = next((environ[name] for name in _PROTOCOLS if environ.get(name)), _SPOKEN)
    if protocol != _SPOKEN:
        return _off(f"{_PROTOCOLS[0]} or {_PROTOCOLS[1]} asks for another protocol than {_SPOKEN}, the only one spoken here")
    # What it has to say holds texts of exceptions, and headers with tokens where they cannot be read.
    library = logging.getLogger("opentelemetry")
    library.addHandler(logging.NullHandler())
    library.propagate = False
    try:
        made = _made()
    except ImportError:
        return _off("the packages for it are not installed: install the extra otel, or unset OTEL_EXPORTER_OTLP_ENDPOINT")
    except Exception:  # whatever the variables say, the operator runs
        return _off("one of the variables OTEL_* cannot be read: correct it (docs/tracing.md)")
    library.propagate = logs.LOG.isEnabledFor(logging.DEBUG)
    logs.event(logging.INFO, "traces on")
    return made


def _wanted(environ: Mapping[str, str]) -> bool:
    return (
        any(environ.get(name, "").strip() for name in _ENDPOINTS)
        and environ.get("OTEL_SDK_DISABLED", "").strip().lower() != "true"
        and environ.get("OTEL_TRACES_EXPORTER", "").strip().lower() != "none"
    )


def _off(why: str) -> Tracer:
    logs.event(logging.WARNING, "traces off", message=f"traces are asked for and not sent: {why}")
    return OFF


def _made() -> Tracer:
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import OTELResourceDetector, Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    ours = {"service.name": "weighbridge", "service.version": __version__}
    resource = Resource.create(ours).merge(OTELResourceDetector().detect())  # what users say wins
    # Not on exit: that would wait for a collector that does not answer.
    provider = TracerProvider(resource=resource, shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(_Delivery(OTLPSpanExporter())))  # type: ignore[arg-type]
    return _On(provider.get_tracer("weighbridge", __version__), provider.shutdown)


class _Delivery:
    """Hands spans on, in the exporter's own thread. Says once when they are not taken, and once when they are again."""

    def __init__(self, exporter: "SpanExporter") -> None:
        self._exporter = exporter
        self._taken = True

    def export(self, spans: "Sequence[ReadableSpan]") -> "SpanExportResult":
        result = self._exporter.export(spans)
        taken = result.name == "SUCCESS"
        if taken and not self._taken:
            logs.event(logging.INFO, "traces delivered again")
        elif self._taken and not taken:
            logs.event(
                logging.WARNING,
                "traces not delivered",
                message="the collector does not take them: check OTEL_EXPORTER_OTLP_ENDPOINT, its headers and that it is reachable",
            )
        self._taken = taken
        return result

    def shutdown(self) -> None:
        self._exporter.shutdown()

    def force_flush(self, timeout_millis: int = 30000) -> bool:
        return self._exporter.force_flush(timeout_millis)


class _Recording:
    def __init__(self, span: "trace.Span") -> None:
        self._span = span

    def tell(self, attributes: Attributes) -> None:
        self._span.set_attributes(attributes)

    def fail(self, reason: str) -> None:
        from opentelemetry.trace import StatusCode

        self._span.set_attribute("error.type", reason)
        self._span.set_status(StatusCode.ERROR)


class _On:
    """Takes down by OpenTelemetry, which remembers for each task what is going on."""

    def __init__(self, tracer: "trace.Tracer", shutdown: Callable[[], None]) -> None:
        self._tracer, self._shutdown = tracer, shutdown

    @contextmanager
    def root(self, name: str, attributes: Attributes) -> Iterator[Span]:
        from opentelemetry.context import Context

        with self._tracer.start_as_current_span(
            name, Context(), attributes=attributes, record_exception=False, set_status_on_exception=False
        ) as span:
            yield _Recording(span)

    @contextmanager
    def span(self, name: str, attributes: Attributes) -> Iterator[Span]:
        if not self._going_on():
            yield OFF
            return
        with self._tracer.start_as_current_span(
            name, attributes=attributes, record_exception=False, set_status_on_exception=False
        ) as span:
            recording = _Recording(span)
            try:
                yield recording
            except ClusterError as error:
                recording.fail(error.reason)
                raise

    def ended(self, name: str, seconds: float, attributes: Attributes, *, failed: str = "") -> None:
        if self._going_on():
            end = time.time_ns()
            span = self._tracer.start_span(name, attributes=attributes, start_time=end - int(seconds * 1e9))
            if failed:
                _Recording(span).fail(failed)
            span.end(end)

    def traceparent(self) -> str:
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        carrier: dict[str, str] = {}
        TraceContextTextMapPropagator().inject(carrier)
        return carrier.get("traceparent", "")

    async def close(self) -> None:
        loop = asyncio.get_running_loop()
        done = asyncio.Event()

        def shut_down() -> None:
            with suppress(Exception):
                self._shutdown()
            with suppress(RuntimeError):  # the loop is gone: nobody waits any more
                loop.call_soon_threadsafe(done.set)

        # A thread that the end of the process does not wait for.
        threading.Thread(target=shut_down, name="traces", daemon=True).start()
        with suppress(TimeoutError):
            async with asyncio.timeout(FLUSH_SECONDS):
                await done.wait()

    def _going_on(self) -> bool:
        from opentelemetry.trace import get_current_span

        return get_current_span().get_span_context().is_valid
