"""An OpenTelemetry collector that keeps what it is sent (OTLP over HTTP), for tests."""

import gzip
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest


@dataclass(frozen=True, slots=True)
class Recorded:
    """One span."""

    trace_id: str
    span_id: str
    parent_id: str
    name: str
    service: str
    attributes: dict[str, str | int]


@dataclass(frozen=True, slots=True)
class Collector:
    """A running collector."""

    url: str
    spans: list[Recorded] = field(default_factory=list)

    def trace_of(self, name: str, **attributes: int) -> list[Recorded]:
        """Return all spans of the trace that has a span of this name with these attributes."""
        chosen = {
            span.trace_id
            for span in list(self.spans)
            if span.name == name and attributes.items() <= span.attributes.items()
        }
        return [span for span in list(self.spans) if span.trace_id in chosen]


@contextmanager
def collecting() -> Iterator[Collector]:
    """Collect until the block ends."""
    spans: list[Recorded] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.headers.get("Content-Encoding") == "gzip":
                body = gzip.decompress(body)
            spans.extend(_read(body))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield Collector(f"http://127.0.0.1:{server.server_port}", spans)
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _read(body: bytes) -> Iterator[Recorded]:
    for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
        (service,) = [a.value.string_value for a in resource.resource.attributes if a.key == "service.name"]
        for scope in resource.scope_spans:
            for span in scope.spans:
                attributes: dict[str, str | int] = {}
                for attribute in span.attributes:
                    value = attribute.value
                    is_text = value.HasField("string_value")
                    attributes[attribute.key] = value.string_value if is_text else value.int_value
                yield Recorded(
                    span.trace_id.hex(), span.span_id.hex(), span.parent_span_id.hex(), span.name, service, attributes
                )
