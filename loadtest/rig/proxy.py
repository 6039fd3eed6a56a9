"""A TCP proxy that fails on purpose: cut, half-open, delayed, throttled.

Must not know what runs through it.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from types import TracebackType


PIECE_BYTES_MAX = 65_536


class FaultProxy:
    """Forwards 127.0.0.1:``port`` to a target until told otherwise.

    ``delay_s`` is added to each piece in both directions, ``pieces`` counts them.
    ``bytes_per_s`` (None: no limit) throttles each direction of each connection.
    Both may be changed while data flows.
    """

    def __init__(self, target_port: int, target_host: str = "127.0.0.1") -> None:
        self.port = 0
        self.delay_s = 0.0
        self.bytes_per_s: int | None = None
        self.pieces = 0
        self._target = (target_host, target_port)
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._refusing = False
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._server is not None
        self._server.close()
        await self.cut()

    async def cut(self, *, refuse: bool = False) -> None:
        """End every connection at once; ``refuse`` ends new ones too until :meth:`resume`."""
        self._refusing = refuse
        connections = list(self._connections)
        for task in connections:
            task.cancel()
        await asyncio.gather(*connections, return_exceptions=True)

    def half_open(self) -> None:
        """Keep every connection open, forward nothing: a dead peer behind a live socket."""
        self._flowing.clear()

    def resume(self) -> None:
        """Forward again, take connections again."""
        self._refusing = False
        self._flowing.set()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        # Cancelled by cut(): an end like any other, of no interest to the server.
        with suppress(OSError, asyncio.CancelledError):
            if not self._refusing:
                await self._forward(reader, writer)
        writer.transport.abort()
        self._connections.discard(task)

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection(*self._target)
        pumps = [
            asyncio.ensure_future(self._pump(reader, far_writer)),
            asyncio.ensure_future(self._pump(far_reader, writer)),
        ]
        try:
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for pump in pumps:
                pump.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)
            far_writer.transport.abort()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(self._piece_max()):
            await self._flowing.wait()
            if self.bytes_per_s:
                await asyncio.sleep(len(data) / self.bytes_per_s)
            if self.delay_s:
                await asyncio.sleep(self.delay_s)
            self.pieces += 1
            writer.write(data)
            await writer.drain()

    def _piece_max(self) -> int:
        """Bytes taken at once: twenty pieces a second at least, so that a throttle is smooth."""
        return min(PIECE_BYTES_MAX, max(1, (self.bytes_per_s or 2**30) // 20))
