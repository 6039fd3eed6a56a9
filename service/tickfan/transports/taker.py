"""The protocol of a connection after aiohttp has let it go.

Must not know what is said on it.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Protocol, cast

if TYPE_CHECKING:
    from tickfan.transports.addresses import Address
    from tickfan.transports.line import Line


class Owner(Protocol):
    """The server that has let connections go, and still knows them."""

    taken: set[Taker]


class Taker(asyncio.Protocol):
    """The protocol of a connection after aiohttp. What the client sends is dropped."""

    __slots__ = ("address", "server", "transport")

    address: Address | None
    transport: Line
    server: Owner

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The connection is ours."""
        self.transport = cast("Line", transport)

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is closed."""
        del exc
        self.server.taken.discard(self)
        address, self.address = self.address, None
        if address is not None:
            address.table.close_socket(address)
