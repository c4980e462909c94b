"""A cable between two programs that can be cut, and mended: bytes pass as they are.

Namespaces and packet filters need rights that not every machine gives. So the cable is a program
that listens and passes on. `stall` is a network that loses every packet: nothing arrives and no
peer notices. `refuse` is a peer that is gone: connections break, new ones are refused.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from tests.dynamodb import free_port

_PIECE = 65_536


class Link:
    """A cable to a port of 127.0.0.1."""

    def __init__(self, target: int) -> None:
        self.port = free_port()
        """Where to connect instead of the target."""
        self._target = target
        self._flows = asyncio.Event()
        self._flows.set()
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.Task[None]] = set()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def stall(self) -> None:
        """Nothing passes from now on; what comes meanwhile arrives after `flow`."""
        self._flows.clear()

    def flow(self) -> None:
        self._flows.set()

    async def accept(self) -> None:
        """Listen, for the first time or again after `refuse`."""
        self._server = await asyncio.start_server(self._carry, "127.0.0.1", self.port)

    async def refuse(self) -> None:
        """Nothing listens any more."""
        if self._server is not None:
            self._server.close()
        for task in self._open:
            task.cancel()
        if self._open:
            await asyncio.wait(self._open)
        self._server = None

    async def _carry(self, near: asyncio.StreamReader, back: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._open.add(task)
        ends = [back]
        try:
            await self._flows.wait()
            answer, far = await asyncio.open_connection("127.0.0.1", self._target)
            ends.append(far)
            async with asyncio.TaskGroup() as both:
                ways = (self._pass(near, far), self._pass(answer, back))
                tasks = [both.create_task(way, name="link") for way in ways]
                await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
                for way in tasks:
                    way.cancel()
        except (OSError, asyncio.CancelledError):
            for end in ends:
                end.transport.abort()
        finally:
            self._open.discard(task)
            for end in ends:
                end.close()

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while piece := await reader.read(_PIECE):
                await self._flows.wait()
                writer.write(piece)
                await writer.drain()


@asynccontextmanager
async def linked(target: int) -> AsyncIterator[Link]:
    """A cable that is whole."""
    link = Link(target)
    await link.accept()
    try:
        yield link
    finally:
        await link.refuse()
