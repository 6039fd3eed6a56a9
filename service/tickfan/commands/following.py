"""Follows a service through its restarts: connects again, and goes on where it was.

Must not know what is done with the items, nor any command.
"""

from __future__ import annotations

import asyncio
from time import monotonic
from typing import TYPE_CHECKING

from tickfan.clock import Clock
from tickfan_client import TickfanClientError, Unreachable

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable

    from tickfan_client import Client, Event, Update

RETRY_MS = 2000
"""How long to wait, about, where the service has not said so."""

DELAY_S_MAX = 30.0
"""The longest wait before another try, but for one that the service asks for."""

SPREAD = 0.5
"""By what share a wait may be shorter or longer, so that not all come back at once."""

_CLOCK = Clock(monotonic)


async def follow(
    connect: Callable[[str | None], Client],
    subscribe: Callable[[Client], Awaitable[object]],
    on_news: Callable[[str], None],
) -> AsyncGenerator[Update | Event, None]:
    """Everything that the service sends, until its end.

    ``connect`` makes a client that resumes at a cursor (None: afresh), and ``subscribe``
    asks on it for what is wanted. ``on_news`` is told when the connection is gone, and when
    it is back. Raises what says that it makes no sense to come back, and
    :class:`~tickfan_client.Unreachable` if nobody has ever answered: the address may be wrong.
    """
    clock = asyncio.get_running_loop().time
    outage = Outage()
    cursor: str | None = None
    while True:
        client = connect(cursor)
        try:
            async with client:
                await subscribe(client)
                if outage.tries:
                    on_news(f"connected again after {clock() - outage.since:.1f} s{_named(client)}")
                outage = Outage(is_known=True)
                async for item in client.events():
                    yield item
                return
        except TickfanClientError as error:
            is_stranger = isinstance(error, Unreachable) and not outage.is_known
            if is_stranger or not error.may_reconnect:
                raise
            outage.is_known = True  # also if it was only starting, and nothing was granted
            cursor = client.cursor
            wait_s = outage.wait_s(error.retry_ms)
            if outage.tries == 1:
                outage.since = clock()
                on_news(f"{error}{_named(client)}; coming back in {wait_s:.1f} s")
        await asyncio.sleep(wait_s)


class Outage:
    """A time without a connection. ``is_known``: the service has answered before."""

    def __init__(self, *, is_known: bool = False) -> None:
        self.is_known = is_known
        self.tries = 0
        self.since = 0.0

    def wait_s(self, retry_ms: int | None) -> float:
        """How long to wait before the next try, in seconds: longer each time.

        ``retry_ms`` is what the service asks for. It differs from client to client already.
        """
        first_s = (retry_ms or RETRY_MS) / 1000
        if retry_ms is None or self.tries:
            first_s = _CLOCK.spread(first_s, SPREAD)
        longer_s = first_s * 2.0 ** min(self.tries, 10)
        self.tries += 1
        return max(first_s, min(longer_s, DELAY_S_MAX))


def _named(client: Client) -> str:
    """Which connection it is, for the operator."""
    return f" (connection {client.connection})" if client.connection else ""
