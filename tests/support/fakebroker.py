"""A broker that speaks AMQP and agrees to all, until a test has it break the protocol.

For what RabbitMQ never does. Must not know what is tested.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pamqp.frame
from pamqp import commands

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from pamqp.base import Frame

_OPENING = [
    commands.Connection.Tune(channel_max=2047, frame_max=131_072, heartbeat=0),
    commands.Connection.OpenOk(),
]


class FakeBroker:
    """Answers each method by the first answer that the specification has for it."""

    def __init__(self, product: str = "", cut_at: type[Frame] | None = None) -> None:
        """``product``: what it says that it is. It cuts the connection at a ``cut_at``."""
        self.port = 0
        self.asked: list[str] = []
        """The names of all methods that it was asked for."""
        self._cut_at = cut_at
        self._start = commands.Connection.Start(
            mechanisms="PLAIN",
            locales="en_US",
            server_properties={"capabilities": {}} | ({"product": product} if product else {}),
        )
        self.connections = 0
        self.consumers: list[tuple[asyncio.StreamWriter, int]] = []
        """Where somebody consumes: the connection, and the channel."""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection to its end."""
        self.connections += 1
        opening = iter(_OPENING)
        try:
            await reader.readexactly(8)  # the protocol's header
            writer.write(pamqp.frame.marshal(self._start, 0))
            while True:
                head = await reader.readexactly(7)
                rest = await reader.readexactly(int.from_bytes(head[3:7], "big") + 1)
                _, channel, asked = pamqp.frame.unmarshal(head + rest)
                self.asked.append(asked.name)
                if self._cut_at is not None and isinstance(asked, self._cut_at):
                    return
                answer = self._answer(asked, opening)
                if answer is not None:
                    writer.write(pamqp.frame.marshal(answer, channel))
                if isinstance(asked, commands.Basic.Consume):
                    self.consumers.append((writer, channel))
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    def _answer(self, asked: Any, opening: Any) -> Any:
        if isinstance(asked, commands.Connection.StartOk | commands.Connection.Open):
            return next(opening)
        if isinstance(asked, commands.Queue.Declare):
            return commands.Queue.DeclareOk(asked.queue or "own", 0, 1)
        if isinstance(asked, commands.Basic.Consume):
            return commands.Basic.ConsumeOk("c")
        if isinstance(asked, commands.Basic.Cancel):
            return commands.Basic.CancelOk("c")
        if not getattr(asked, "synchronous", False):
            return None
        group, _, name = asked.valid_responses[0].partition(".")
        return getattr(getattr(commands, group), name)()


@asynccontextmanager
async def fake_broker(broker: FakeBroker | None = None) -> AsyncIterator[FakeBroker]:
    """One that listens."""
    broker = broker or FakeBroker()
    server = await asyncio.start_server(broker.serve, "127.0.0.1", 0)
    broker.port = server.sockets[0].getsockname()[1]
    try:
        yield broker
    finally:
        server.close()
