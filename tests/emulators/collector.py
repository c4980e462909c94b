"""A collector for traces: takes what is sent to it over OTLP/HTTP, and keeps it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from aiohttp import web
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT"
"""The variable that names a collector."""


@dataclass(slots=True)
class Collector:
    """Takes what is posted to `/v1/traces`."""

    url: str = ""
    bodies: list[bytes] = field(default_factory=list)

    async def take(self, request: web.Request) -> web.Response:
        """One export."""
        self.bodies.append(await request.read())
        return web.Response(body=b"", content_type="application/x-protobuf")

    @property
    def spans(self) -> Iterator[Span]:
        """All that were sent."""
        for body in self.bodies:
            for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
                for scope in resource.scope_spans:
                    yield from scope.spans

    @property
    def names(self) -> list[str]:
        """Of all spans."""
        return [span.name for span in self.spans]

    @property
    def text(self) -> str:
        """All that was sent; texts are readable in it."""
        return "".join(body.decode("utf-8", "replace") for body in self.bodies)


@asynccontextmanager
async def collecting() -> AsyncIterator[Collector]:
    """One on loopback; ends on leaving."""
    collector = Collector()
    application = web.Application(client_max_size=64 * 2**20)
    application.add_routes([web.post("/v1/traces", collector.take)])
    runner = web.AppRunner(application)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        collector.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        yield collector
    finally:
        await runner.cleanup()
