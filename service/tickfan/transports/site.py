"""Where an application listens: its server, behind a door of ours.

Must not know what is answered.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from aiohttp import web

from tickfan.transports.door import Door
from tickfan.transports.server import Runner, Server

if TYPE_CHECKING:
    import asyncio
    import socket

    from tickfan.transports.door import Limiter


class Site(web.BaseSite):
    """Where an application listens, with a door of ours."""

    __slots__ = ("limiter", "runner", "sockets")

    def __init__(
        self, runner: Runner, sockets: list[socket.socket], limiter: Limiter | None
    ) -> None:
        """``sockets`` listen already; without a ``limiter`` nobody is counted or turned away."""
        super().__init__(runner)
        self.runner = runner
        self.sockets = sockets
        self.limiter = limiter

    @property
    def name(self) -> str:
        """Its address."""
        host, port = self.sockets[0].getsockname()[:2]
        return f"http://{host}:{port}"

    async def start(self) -> None:
        """Take connections from now on."""
        await super().start()
        server = self.runner.server
        assert isinstance(server, Server)
        self._server = cast(
            "asyncio.AbstractServer",
            Door(self.sockets, server.handler, self.limiter, tls=server.tls),
        )
