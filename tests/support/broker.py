"""A sink that remembers, and brokers that run for the length of a test.

Must not know which broker it serves.
"""

from __future__ import annotations

import asyncio
import uuid
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any, NamedTuple

from tickfan.broker.base import FeedSource, Message, PublishError
from tickfan.core.feed import Upstream
from tickfan.core.spec import Delivery as Policy
from tickfan.core.spec import FeedSpec

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tickfan.broker.base import Broker, Received

LOSSLESS, CONFLATED = Policy.LOSSLESS, Policy.CONFLATED


class Delivered(NamedTuple):
    """What a sink was told of one message."""

    feed: str
    routing_key: str
    body: bytes
    content_type: str | None
    type: str | None
    ts: int | None
    batch: bool
    offset: int | None
    fingerprint: str | None
    wrong: str | None = None


class Recorder:
    """A :class:`tickfan.broker.base.Sink` that keeps everything."""

    def __init__(self) -> None:
        self.deliveries: list[Delivered] = []
        self.states: list[tuple[str, Upstream, str]] = []
        self.resets: list[tuple[str, str]] = []

    def deliver(self, feed: str, message: Received, fingerprint: str | None = None) -> None:
        """Keep it."""
        self.deliveries.append(
            Delivered(
                feed, message.routing_key, message.body, message.content_type, message.type,
                message.ts, message.batch, message.offset, fingerprint,
                None if message.wrong is None else message.wrong.reason,
            )
        )  # fmt: skip

    def upstream(self, feed: str, state: Upstream, why: str) -> None:
        """Keep it."""
        self.states.append((feed, state, why))

    def reset(self, feed: str, reason: str) -> None:
        """Keep it."""
        self.resets.append((feed, reason))

    def is_live(self, feed: str) -> bool:
        """Whether the feed was last said to be live."""
        return self.state(feed) is Upstream.LIVE

    def state(self, feed: str) -> Upstream | None:
        """What was last said of the feed."""
        return next((state for name, state, _ in reversed(self.states) if name == feed), None)

    def why(self, feed: str) -> str:
        """What was last said of the feed, in words."""
        return next((why for name, _, why in reversed(self.states) if name == feed), "")

    def bodies(self, feed: str) -> list[bytes]:
        """The bodies that came for the feed."""
        return [delivery.body for delivery in self.deliveries if delivery.feed == feed]

    def offsets(self, feed: str) -> list[int]:
        """The offsets that came for the feed."""
        return [d.offset for d in self.deliveries if d.feed == feed and d.offset is not None]


class Failing(Recorder):
    """A sink that raises for each delivery, as none should."""

    def deliver(self, feed: str, message: Received, fingerprint: str | None = None) -> None:
        """Keep it, and fail."""
        super().deliver(feed, message, fingerprint)
        raise ValueError(message.routing_key)


def source(policy: Policy, name: str | None = None, **settings: Any) -> FeedSource:
    """A feed of its own: fresh exchange, queue and routing keys (``<name>.#``)."""
    name = name or f"f{uuid.uuid4().hex[:12]}"
    bind = settings.pop("bind", (f"{name}.#",))
    own = {
        "exchange": f"x-{name}", "queue": f"q-{name}" if policy is LOSSLESS else "", "warm": None,
        "retention_age": "1h", "retention_bytes": 2 * 2**30, "segment_bytes": 64 * 2**20,
        "prefetch": 1000, "length_max": 100_000,
    }  # fmt: skip
    return FeedSource(FeedSpec(name, bind, policy), **{**own, **settings})


@asynccontextmanager
async def running(broker: Broker) -> AsyncIterator[asyncio.Task[None]]:
    """Run a broker; stop and close it at the end, failing if it had died."""
    task = asyncio.ensure_future(broker.run())
    try:
        yield task
        assert not task.done(), task
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        await broker.close()


class Load:
    """Publishes rising numbers to each feed in turn, each again until it is confirmed."""

    def __init__(self, broker: Broker, *feeds: FeedSource) -> None:
        self.confirmed = 0
        self._broker = broker
        self._feeds = feeds
        self._enough = asyncio.Event()
        self._task = asyncio.ensure_future(self._run())

    async def stop(self) -> None:
        """Publish no more."""
        self._enough.set()
        await self._task

    async def _run(self) -> None:
        while not self._enough.is_set():
            for feed in self._feeds:
                await self._publish(feed.spec.name)
            self.confirmed += 1
            await asyncio.sleep(0.002)  # its rhythm

    async def _publish(self, name: str) -> None:
        message = Message(f"{name}.a", b"%d" % self.confirmed)
        while True:
            try:
                await self._broker.publish(name, message)
            except PublishError:
                await asyncio.sleep(0.05)  # its rhythm while nobody answers
            else:
                return
