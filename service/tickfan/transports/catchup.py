"""Waits until this replica has read as far as a client's cursor.

Must not know clients, nor what they are told.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tickfan.core import closing
from tickfan.core.feed import Upstream

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Iterable, Mapping

    from tickfan.core.closing import Reason
    from tickfan.core.cursor import Place
    from tickfan.core.feed import Feed
    from tickfan.core.feeds import Feeds

BEHIND_S = 4.5
"""How long a replica may lag behind a cursor.

A half-open link to the broker is found within ``probe_interval_s`` + ``probe_timeout_s``
(4 s by default), and a cursor of a stream that is no more is answered within 5 s."""


async def caught_up(
    loop: asyncio.AbstractEventLoop,
    feeds: Feeds,
    places: Mapping[str, Place],
    is_draining: Callable[[], bool],
    behind_s: float = BEHIND_S,
) -> Reason | None:
    """Wait until this replica has read as far as ``places``, or ``behind_s``; why not to go on.

    A client that comes from another replica may be ahead of this one. Its cursor is judged
    when the feed is live and has had the time in which a dead link would have shown, and
    not before. What is not there by then is lost.
    """
    deadline = loop.time() + behind_s
    while behind := feeds.behind(places):
        if is_draining():
            return closing.DRAIN
        if any(feed.upstream is not Upstream.LIVE for feed in behind):
            return closing.STARTING
        if loop.time() >= deadline:
            return None
        await _progress(loop, behind, places, deadline)
    return None


async def _progress(
    loop: asyncio.AbstractEventLoop,
    behind: Iterable[Feed],
    places: Mapping[str, Place],
    deadline: float,
) -> None:
    """Wait until one of the feeds has been read so far, or something has changed."""
    told: asyncio.Future[None] = loop.create_future()

    def tell() -> None:
        if not told.done():
            told.set_result(None)

    timer = loop.call_at(deadline, tell)
    waits = [(feed.awaited, feed.awaited.add(places[feed.name].seq, tell)) for feed in behind]
    try:
        await told
    finally:
        timer.cancel()
        for awaited, wait in waits:
            awaited.remove(wait)
