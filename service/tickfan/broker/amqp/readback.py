"""Reading a warm stream back, from some time ago to the tail that it has now.

Must not know what a reader does with the past, nor where it goes on.
"""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from contextlib import suppress
from typing import TYPE_CHECKING

from tickfan.broker.amqp.advice import not_a_stream
from tickfan.broker.amqp.consumer import Consumer, ConsumerLost
from tickfan.broker.amqp.tail import find_tail

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tickfan.broker.amqp.connection import Link
    from tickfan.broker.amqp.tail import Seen
    from tickfan.broker.base import FeedSource, Received

SILENT_AFTER_S = 2.0
FINGERPRINTS_MAX = 50_000
"""Messages before the tail whose fingerprints are returned.

Those that were published while the tail was being learned, which takes a
second at most, should be among them.
"""


async def read_back(  # noqa: PLR0913 - the last two by name
    link: Link,
    source: FeedSource,
    since: str,
    take: Callable[[Received], None],
    *,
    find: Callable[[Link, FeedSource], Awaitable[Seen | None]] = find_tail,
    silent_after_s: float = SILENT_AFTER_S,
) -> Counter[str]:
    """Give ``take`` what the stream holds from ``since`` (``90s``) to its tail, in order.

    Nothing, if nothing is as young as that. Returns the fingerprints of the
    newest. Raises :class:`ConsumerLost` if the tail, which ``find`` tells, is not reached:
    nothing came for ``silent_after_s``.
    """
    tail = await find(link, source)
    fingerprints: deque[str] = deque(maxlen=FINGERPRINTS_MAX)
    if tail is None:
        return Counter()
    end = tail.offset
    reached = asyncio.Event()

    def handle(message: Received) -> None:
        offset = message.offset
        if offset is None:
            consumer.lose(not_a_stream(source))
            return
        if offset <= end:
            fingerprints.append(message.fingerprint())
            take(message)
        if offset >= end:
            reached.set()

    consumer = Consumer(await link.channel(), link.incoming, source.prefetch, handle)
    acking = asyncio.ensure_future(consumer.run())
    try:
        await consumer.read(source, since)
        while not reached.is_set():
            seen = consumer.received
            with suppress(TimeoutError):
                async with asyncio.timeout(silent_after_s):
                    await reached.wait()
            consumer.raise_if_lost()
            if consumer.received == seen and not reached.is_set() and not consumer.is_amid:
                if seen:
                    raise ConsumerLost(f"it fell silent before its tail, {end}")
                break  # nothing is as young as that
    finally:
        try:
            await consumer.detach()
        finally:
            await asyncio.gather(acking, return_exceptions=True)
    return Counter(fingerprints)
