"""Looks whether RabbitMQ has, and grants, what the feeds need. Nothing is changed there.

What exists is asked for by passive declarations. These tell neither types nor rights. So each
thing is also declared with an argument that is never valid: RabbitMQ checks the right, then
compares with what exists, then looks at the arguments, and always refuses. The rights to bind
are seen by taking back a binding that nobody has made, those on a queue that does not exist by
its deletion. Must not know what a feed does with its messages.
"""

from __future__ import annotations

import asyncio
import os
from dataclasses import replace
from typing import TYPE_CHECKING

from aiormq.exceptions import (
    AMQPError,
    ChannelAccessRefused,
    ChannelClosed,
    ChannelNotFoundEntity,
)
from yarl import URL

from tickfan.broker.amqp.advice import EXCHANGE, STREAM, explained, left_out, not_permitted
from tickfan.broker.amqp.causes import reason
from tickfan.broker.amqp.connection import Hosts, LinkLost
from tickfan.broker.amqp.properties import OFFSET_HEADER
from tickfan.broker.amqp.topology import stream_arguments
from tickfan.broker.amqp.watch import WITNESS_PREFIX
from tickfan.broker.base import Finding, Verdict

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

    from aiormq.abc import AbstractChannel

    from tickfan.broker.amqp.connection import AmqpOptions, Link
    from tickfan.broker.base import FeedSource

    Ask = Callable[[AbstractChannel], Awaitable[object]]

CHANNELS_MIN = 8
"""What a feed's connection needs at most."""
# Refused after all else has been compared: of an exchange by its type, of a queue by its value.
_BAD_EXCHANGE = {"alternate-exchange": 0}
_BAD_QUEUE = {"x-queue-leader-locator": "nowhere"}


async def survey(sources: Sequence[FeedSource], options: AmqpOptions) -> AsyncIterator[Finding]:
    """What there is to say, one thing after the other; it ends where nobody can be asked."""
    dialled = await asyncio.gather(*(_dial(url, options) for url in options.urls))
    links = [link for link, _ in dialled if link is not None]
    try:
        for _, finding in dialled:
            is_needless = finding.verdict is Verdict.WRONG and links
            yield finding._replace(verdict=Verdict.WARNING) if is_needless else finding
        if links and not links[0].peer.startswith("RabbitMQ"):
            text = f"{links[0].host} is not RabbitMQ: it might make what RabbitMQ refuses to make"
            yield Finding(Verdict.UNSEEN, f"{text}, so it is asked for nothing more")
        elif links:
            async for finding in _Survey(links[0], options).of(sources):
                yield finding
    except (AMQPError, OSError, RuntimeError) as error:
        text = f"the connection was lost: {reason(error)}. The rest was not looked at"
        yield Finding(Verdict.WRONG, text)
    finally:
        for link in links:
            await link.close()


async def _dial(address: str, options: AmqpOptions) -> tuple[Link | None, Finding]:
    """A connection to one host, if it can be had, and what to say of it."""
    url = URL(address)
    try:
        link = await Hosts(replace(options, urls=(address,)), "check").dial()
    except LinkLost as lost:
        return None, Finding(Verdict.WRONG, f"{lost.cause} ({lost})")
    vhost = url.path.removeprefix("/") or "/"
    text = f"{link.host}: connected as {url.user or 'guest'} to vhost {vhost!r}, {link.peer}"
    if link.channels_max < CHANNELS_MIN:
        few = f"{text}. Its channel_max is {link.channels_max}: {CHANNELS_MIN} are needed"
        return link, Finding(Verdict.WARNING, few)
    return link, Finding(Verdict.OK, text)


class _Survey:
    """Asks over one connection."""

    def __init__(self, link: Link, options: AmqpOptions) -> None:
        self._link = link
        self._makes_exchange = options.may_make("exchange")
        self._makes_witness = self._makes_exchange or options.may_make("witness")
        self._makes_streams = options.may_make("streams")
        # Of a queue that nobody has, and of a binding that nobody has made.
        self._nobodys = f"tickfan-check-{os.urandom(6).hex()}"

    async def of(self, sources: Sequence[FeedSource]) -> AsyncIterator[Finding]:
        """All findings, exchanges first."""
        for exchange in dict.fromkeys(source.exchange for source in sources):
            yield await self._exchange(exchange)
            if self._makes_witness and (finding := await self._witness(exchange)):
                yield finding
        for source in sources:
            if source.queue:
                async for finding in self._stream(source):
                    yield finding
            if not source.spec.is_lossless:
                yield await self._own_queue(source)

    async def _exchange(self, exchange: str) -> Finding:
        what = f"exchange {exchange!r}"
        exists = await self._exists(
            lambda channel: channel.exchange_declare(exchange, passive=True)
        )
        if not exists and not self._makes_exchange:
            text = f"{what} does not exist. {left_out(EXCHANGE, 'exchange')}"
            return Finding(Verdict.WRONG, text)
        error = await self._refusal(
            lambda channel: channel.exchange_declare(
                exchange, exchange_type="topic", durable=True, arguments=dict(_BAD_EXCHANGE)
            )
        )
        if isinstance(error, ChannelAccessRefused):
            if exists:
                text = f"{what} exists; its type shows only to who may configure it"
                return Finding(Verdict.UNSEEN, text)
            return Finding(Verdict.WRONG, str(explained(error, what, EXCHANGE)))
        if not exists:
            return Finding(Verdict.LATER, what)
        if error is not None and "inequivalent arg 'type'" in str(error):
            return Finding(Verdict.WRONG, str(explained(error, what, EXCHANGE)))
        return Finding(Verdict.OK, f"{what} is a topic exchange")

    async def _witness(self, exchange: str) -> Finding | None:
        """Whether an exchange that is deleted, and made again at once, will be noticed."""
        name = WITNESS_PREFIX + exchange
        errors = [
            await self._refusal(
                lambda channel: channel.exchange_declare(
                    name,
                    exchange_type="fanout",
                    durable=True,
                    auto_delete=True,
                    internal=True,
                    arguments=dict(_BAD_EXCHANGE),
                )
            ),
            await self._refusal(
                lambda channel: channel.exchange_unbind(
                    destination=exchange, source=name, routing_key=self._nobodys
                )
            ),
        ]
        for error in errors:
            if isinstance(error, ChannelAccessRefused):
                text = f"exchange {exchange!r} cannot be watched: one that is deleted and made "
                return Finding(Verdict.WARNING, f"{text}again at once may go unnoticed ({error})")
        return None

    async def _stream(self, source: FeedSource) -> AsyncIterator[Finding]:
        what = f"feed {source.spec.name!r}: queue {source.queue!r}"
        try:
            exists = await self._exists(
                lambda channel: channel.queue_declare(source.queue, passive=True)
            )
        except ChannelClosed as down:
            yield Finding(Verdict.WRONG, str(explained(down, what, STREAM)))
            return
        error = await self._refusal(
            lambda channel: channel.queue_declare(
                source.queue, durable=True, arguments={**stream_arguments(source), **_BAD_QUEUE}
            )
        )
        finding = self._judge(what, error, exists=exists)
        if finding.verdict is not Verdict.WRONG:
            # Of a queue of another type a message would be taken.
            may_read = not exists or finding.verdict is Verdict.OK
            refusal = await self._reading(source) if may_read else None
            if isinstance(refusal, ChannelAccessRefused):
                finding = Finding(Verdict.WRONG, str(explained(refusal, what, STREAM)))
        yield finding
        if finding.verdict is not Verdict.WRONG:
            yield await self._binding(source, source.queue, what, is_new=not exists)

    def _judge(self, what: str, error: ChannelClosed | None, *, exists: bool) -> Finding:
        """What is to be thought of a stream for whose declaration RabbitMQ has said this."""
        is_refused = isinstance(error, ChannelAccessRefused)
        if not exists:
            if self._makes_streams and not is_refused:
                return Finding(Verdict.LATER, f"{what}, {STREAM}")
            advice = not_permitted(STREAM) if is_refused else left_out(STREAM, "streams")
            return Finding(Verdict.WRONG, f"{what} does not exist. {advice}")
        if is_refused:
            text = f"{what} exists; what it is shows only to who may configure it"
            return Finding(Verdict.UNSEEN, text)
        if error is None or next(iter(_BAD_QUEUE)) in str(error):
            return Finding(Verdict.OK, f"{what} is a stream as the settings have it")
        if self._makes_streams or "'durable'" in str(error) or "'x-queue-type'" in str(error):
            return Finding(Verdict.WRONG, str(explained(error, what, STREAM)))
        return Finding(Verdict.UNSEEN, f"{what} exists, not as the settings have it: {error}")

    async def _binding(self, source: FeedSource, queue: str, what: str, *, is_new: bool) -> Finding:
        """Whether the queue can be bound. RabbitMQ tells nobody by AMQP whether it is."""
        patterns = ", ".join(source.spec.bind)
        to = f"to exchange {source.exchange!r} for {patterns}"
        if not self._makes_streams:
            return Finding(Verdict.UNSEEN, f"{what} must be bound {to}: AMQP does not tell")
        error = await self._unbind(source, queue)
        if not isinstance(error, ChannelAccessRefused):
            return Finding(Verdict.OK, f"{what} can be bound {to}")
        text = f"{what} cannot be bound {to} by this user, and must be bound already ({error})"
        return Finding(Verdict.WRONG if is_new else Verdict.UNSEEN, text)

    async def _own_queue(self, source: FeedSource) -> Finding:
        """Whether a conflated feed may make, bind and read a queue that RabbitMQ names."""
        name = f"amq.gen-{self._nobodys}"
        what = f"feed {source.spec.name!r}: its own queue (amq.gen-...)"
        for error in (
            await self._refusal(lambda channel: channel.queue_delete(name)),
            await self._unbind(source, name),
            await self._refusal(lambda channel: channel.basic_consume(name, _ignore)),
        ):
            if isinstance(error, ChannelAccessRefused):
                return Finding(Verdict.WRONG, str(explained(error, what, "bound")))
        return Finding(Verdict.OK, f"{what} can be made, bound and read")

    async def _reading(self, source: FeedSource) -> ChannelClosed | None:
        """Ask for the stream's next message, and go."""

        async def read(channel: AbstractChannel) -> None:
            await channel.basic_qos(prefetch_count=1)
            await channel.basic_consume(source.queue, _ignore, arguments={OFFSET_HEADER: "next"})

        return await self._refusal(read)

    async def _unbind(self, source: FeedSource, queue: str) -> ChannelClosed | None:
        return await self._refusal(
            lambda channel: channel.queue_unbind(queue, source.exchange, self._nobodys)
        )

    async def _exists(self, passively: Ask) -> bool:
        """Whether it exists, by a passive declaration. Raises what is said of one that is down."""
        error = await self._refusal(passively)
        if error is None:
            return True
        if isinstance(error, ChannelNotFoundEntity) and " - no " in str(error):
            return False
        raise error

    async def _refusal(self, ask: Ask) -> ChannelClosed | None:
        """What RabbitMQ says to this, on a channel of its own; None: yes."""
        channel = await self._link.channel()
        try:
            await ask(channel)
        except ChannelClosed as error:
            return error
        await channel.close()
        return None


async def _ignore(_message: object) -> None:
    """Take a message that nobody needs: it is not acked, and stays where it is."""
