"""OpenTelemetry traces from the request to the last batch: ids and numbers only, never an address (R23).

Without `MAILRECALL_OTLP_ENDPOINT` nothing is recorded. The trace crosses from process to process as a W3C traceparent:
in the outbox row, and from there in a header of the task.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from opentelemetry import trace
from opentelemetry.trace import Span, SpanKind, Status, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from mailrecall.settings import Settings

_PROPAGATOR = TraceContextTextMapPropagator()
_TRACEPARENT = "traceparent"
_EXPORT_TIMEOUT = 5.0
"""Seconds that a collector may take; what it does not take is dropped, and no work waits for it."""


def configure(settings: Settings, application: str) -> None:
    """Record this process's spans, where the settings name a collector; a process does this once, after it forked."""
    if not settings.otlp_endpoint:
        return
    # the exporter takes long to import, and most installations have no collector
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter  # noqa: PLC0415
    from opentelemetry.sdk.resources import SERVICE_NAME, Resource  # noqa: PLC0415
    from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415
    from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415
    from opentelemetry.sdk.trace.sampling import ParentBasedTraceIdRatio  # noqa: PLC0415

    provider = TracerProvider(
        resource=Resource.create({SERVICE_NAME: f"mailrecall-{application}"}),
        sampler=ParentBasedTraceIdRatio(settings.trace_ratio),
    )
    exporter = OTLPSpanExporter(f"{settings.otlp_endpoint.rstrip('/')}/v1/traces", timeout=_EXPORT_TIMEOUT)
    provider.add_span_processor(BatchSpanProcessor(exporter))
    trace.set_tracer_provider(provider)


def flush() -> None:
    """Hand over what was recorded, before a process ends that does not end by itself."""
    shutdown = getattr(trace.get_tracer_provider(), "shutdown", None)
    if shutdown is not None:
        shutdown()


def current() -> str | None:
    """Return the traceparent of what happens now; None when nobody traces it."""
    carrier: dict[str, str] = {}
    _PROPAGATOR.inject(carrier)
    return carrier.get(_TRACEPARENT)


@contextmanager
def span(
    name: str, *, kind: SpanKind, parent: str | None, attributes: Mapping[str, int | str] | None = None
) -> Iterator[Span]:
    """Record what the block does as a span.

    Args:
        name: of the kind of thing done, such as a task's or a route's; nothing that differs from one time to the next.
        kind: whether it serves a request or consumes a message.
        parent: the traceparent it belongs to; None, or one that cannot be read, begins a trace.
        attributes: ids and numbers; never an address.
    """
    context = _PROPAGATOR.extract({_TRACEPARENT: parent} if parent else {})
    tracer = trace.get_tracer("mailrecall")
    with tracer.start_as_current_span(
        name, context, kind, dict(attributes or {}), record_exception=False, set_status_on_exception=False
    ) as opened:
        try:
            yield opened
        except Exception as error:
            # the kind alone: an error's text can quote a row
            opened.set_status(Status(StatusCode.ERROR, type(error).__name__))
            raise


def trace_id() -> str | None:
    """Return the id of the trace that is being recorded, for logs."""
    context = trace.get_current_span().get_span_context()
    return trace.format_trace_id(context.trace_id) if context.is_valid else None
