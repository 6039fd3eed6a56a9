"""One feed's own connection: opened, watched, and opened again when it is lost.

RabbitMQ closes a connection for one message that it cannot deliver, and a feed may be slow.
On a connection of its own a feed harms no other. It is a plain connection under a supervisor
of ours, and not aio-pika's robust one. After a cut the robust one consumes again with its
first arguments, which repeats or loses messages of a stream. Must not know what a feed does
with its connection.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, NoReturn

import structlog

from tickfan.broker.amqp.causes import reason
from tickfan.broker.amqp.connection import Backoff, Hosts, LinkLost, answer, raise_if_cancelled

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from aiormq.abc import AbstractChannel

    from tickfan.broker.amqp.connection import AmqpOptions, Link
    from tickfan.broker.amqp.feed import AmqpFeed

_log = structlog.get_logger()


class Supervisor:
    """Keeps one feed connected."""

    def __init__(self, feed: AmqpFeed, options: AmqpOptions, turn_s: float) -> None:
        """``turn_s``: how long deliveries may hold the loop at a time."""
        self._feed = feed
        self._options = options
        self._hosts = Hosts(options, f"feed {feed.name}", turn_s)

    async def run(self) -> NoReturn:
        """Serve the feed until cancelled, through any outage."""
        loop = asyncio.get_running_loop()
        backoff = Backoff(self._options)
        while True:
            try:
                link = await self._hosts.dial()
            except LinkLost as lost:
                raise_if_cancelled()
                self._feed.down(str(lost), lost.cause)
                await asyncio.sleep(backoff.next())
                continue
            began = loop.time()
            await self._until_lost(link)
            wait_s = backoff.after(loop.time() - began)
            await asyncio.sleep(self._options.backoff_first_s if self._feed.is_stepping else wait_s)

    async def _until_lost(self, link: Link) -> None:
        """Use this connection in a task of its own.

        A task group of Python 3.11 may keep a cancellation of its task to itself, if a
        task in it fails in that moment. The feed would then be served for ever.
        """
        use = asyncio.create_task(self._use(link))
        try:
            await asyncio.wait({use})
        except asyncio.CancelledError:
            use.cancel()
            await asyncio.wait({use})
            if not use.cancelled() and (error := use.exception()):
                _log.debug("ended while it was stopped", feed=self._feed.name, why=reason(error))
            raise
        use.result()

    async def _use(self, link: Link) -> None:
        """Consume over this connection until it is lost or we are cancelled."""
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._watch(link))
                group.create_task(self._probe(link))
                group.create_task(self._feed.serve(link))
                group.create_task(self._feed.guard(link))
        except* LinkLost:
            pass  # the watch has told the feed
        finally:
            await link.close()

    async def _watch(self, link: Link) -> NoReturn:
        """Tell at once when the connection is lost, and end its use.

        This is the only task that does so. The others just stop, so that nothing is torn
        down before it is told.
        """
        why = await link.gone()
        self._feed.cut(why, is_crash=link.is_crash)
        raise LinkLost(why)

    async def _probe(self, link: Link) -> None:
        """Ask the peer something harmless each second: a dead one says nothing.

        AMQP's own heartbeat takes up to three times 25 s to notice.
        """
        channel: AbstractChannel | None = None
        while not link.is_lost:
            try:
                if channel is None:
                    channel = await self._answer(link, link.channel())
                await self._answer(link, channel.basic_qos(prefetch_count=0))
            except LinkLost as lost:
                link.abort(str(lost))
            except Exception as error:  # noqa: BLE001 - a dying link ends calls with any error
                raise_if_cancelled()
                _log.debug("probe failed", why=reason(error))
                channel = None
            await asyncio.sleep(self._options.probe_interval_s)

    async def _answer(self, link: Link, call: Coroutine[Any, Any, Any]) -> Any:
        return await answer(call, self._options.probe_timeout_s, lambda: link.incoming.taken)
