"""Starts what is measured: the relays, the service with its table, each on a core of its own."""

from __future__ import annotations

import os
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType

import aiohttp

from agent.simulator.carrier import Twilio, call_fields
from agent.simulator.twiml_reader import RelayInvitation
from benchmarks.callers import Calls, Subject, figures
from benchmarks.model_stub import ModelStub
from benchmarks.reference import MODEL
from benchmarks.service import (
    ROOT,
    Place,
    Program,
    Server,
    free_port,
    on_cores_apart,
    running,
    serving,
)

CALLER = "+15550100011"
"""A known caller, routed to a use case that is not the process's own: that takes most reading."""
_PROFILES = {CALLER: "apartmentSearchUseCase"}
_TOKEN = "run-token"  # noqa: S105 - of servers that live for this run
_KEYS = {
    "AWS_REGION": "us-east-1",
    "AWS_ACCESS_KEY_ID": "AKIDBENCHMARK",
    "AWS_SECRET_ACCESS_KEY": "benchmark",
    "AWS_EC2_METADATA_DISABLED": "true",
}


@dataclass(frozen=True, slots=True)
class Service:
    """The service that runs, and Twilio's side of it."""

    server: Server
    twilio: Twilio
    subject: Subject


@dataclass(slots=True)
class Rig:
    """What all measurements share.

    Args:
        folder: For the files of all processes.
        model: The model of all subjects, which serves already.
        model_url: Where it does.
        http: For webhooks; without a limit of connections.
        beside: Another checkout, for the subjects `beside-sqlite` and `beside-dynamodb`.
    """

    folder: Path
    model: ModelStub
    model_url: str
    http: aiohttp.ClientSession
    beside: Path | None = None
    _folders: list[Path] = field(default_factory=list)

    @asynccontextmanager
    async def subject(self, name: str) -> AsyncIterator[Subject]:
        """Start a subject by its name; it ends with the context."""
        if name in {"reference", "nothing"}:
            async with self._relay(name) as subject:
                yield subject
        else:
            async with self.service(name) as service:
                yield service.subject

    async def play(self, calls: Calls) -> dict[str, float]:
        """Play calls; returns their figures."""
        self.model.answered.clear()
        played = await calls.play()
        for error, count in played.errors.most_common(3):
            print(f"  {calls.subject.name}: {count} times {error}", file=sys.stderr, flush=True)
        return figures(played, self.model, asks_model=calls.subject.asks_model)

    @asynccontextmanager
    async def _relay(self, name: str) -> AsyncIterator[Subject]:
        port = free_port()

        async def ring(number: int) -> RelayInvitation:
            fields = call_fields(CallSid=f"CA{number:032x}")
            return RelayInvitation(f"ws://127.0.0.1:{port}/", {}, {}, "", fields)

        model = {"AWS_ENDPOINT_URL_BEDROCK_RUNTIME": self.model_url}
        place = Place(self._folder(name), ROOT, {**os.environ, **_KEYS, **model})
        ready, script = f"http://127.0.0.1:{port}/health/ready", f"{ROOT}/benchmarks/reference.py"
        async with running(place, ready, script, name, str(port)) as pid:
            with on_cores_apart(pid):
                twilio = Twilio(self.http, f"http://127.0.0.1:{port}", "")
                yield Subject(name, pid, twilio, ring, asks_model=name == "reference")

    @asynccontextmanager
    async def service(
        self,
        name: str,
        *,
        delay_ms: float = 0.0,
        samples: Path | None = None,
        further: Mapping[str, str] = MappingProxyType({}),
    ) -> AsyncIterator[Service]:
        """Start a service.

        Args:
            name: `sqlite` or `dynamodb`, after `beside-` of the other checkout.
            delay_ms: How long DynamoDB takes for an answer.
            samples: Where to write samples of the processor's time, see `sampler`.
            further: Environment variables.
        """
        folder = self._folder(name)
        is_beside = self.beside is not None and name.startswith("beside")
        environment = {
            **_KEYS,
            "AWS_ENDPOINT_URL_BEDROCK_RUNTIME": self.model_url,
            "MODEL_IDENTIFIER": MODEL,
            "MAX_CALLS": "5000",
            **further,
        }
        sampler = (f"{ROOT}/benchmarks/sampler.py", str(samples))
        async with AsyncExitStack() as stack:
            if name.endswith("dynamodb"):
                url = await stack.enter_async_context(self._table(folder, delay_ms))
                environment |= {"TABLE_NAME": "calls", "AWS_ENDPOINT_URL_DYNAMODB": url}
            program = Program(
                self.beside if is_beside and self.beside else ROOT,
                sampler if samples else ("-m", "agent"),
            )
            starting = serving(folder, _TOKEN, _PROFILES, program, **environment)
            server = await stack.enter_async_context(starting)
            stack.enter_context(on_cores_apart(server.process.pid))
            twilio = Twilio(self.http, server.base, _TOKEN)

            async def ring(number: int) -> RelayInvitation:
                relay = await twilio.until_taken(f"+1555{number:07d}")
                return replace(relay, action="")  # what follows a call is not measured

            yield Service(server, twilio, Subject(name, server.process.pid, twilio, ring))

    @asynccontextmanager
    async def _table(self, folder: Path, delay_ms: float) -> AsyncIterator[str]:
        port = free_port()
        url, script = f"http://127.0.0.1:{port}", f"{ROOT}/benchmarks/table_stub.py"
        async with running(
            Place(folder, ROOT, dict(os.environ)), url, script, str(port), str(delay_ms)
        ):
            yield url

    def _folder(self, name: str) -> Path:
        folder = self.folder / f"{len(self._folders)}-{name}"
        folder.mkdir()
        self._folders.append(folder)
        return folder
