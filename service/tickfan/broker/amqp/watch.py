"""Whether a feed's exchange is still the one that its queue was bound to.

RabbitMQ tells nobody that an exchange was deleted. One that is made again under the same
name looks like the old one, but all bindings are gone. So a small exchange, the witness, hangs
on it: the witness deletes itself together with the last exchange that it feeds (auto-delete).
A witness that is gone says that the exchange was deleted, even if one of that name is there.
Nothing is ever published to a witness. Must not know queues, nor what a feed does about a loss.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from aiormq.exceptions import ChannelClosed

from tickfan.broker.amqp.consumer import ConsumerLost
from tickfan.broker.amqp.topology import has_exchange, prepare_exchange
from tickfan.broker.base import TopologyError

if TYPE_CHECKING:
    from collections.abc import Callable

    from aiormq.abc import AbstractChannel

    from tickfan.broker.amqp.connection import Link

WITNESS_PREFIX = "tickfan.watch."


class Unbound(ConsumerLost):
    """The exchange or a binding is gone: what is published does not reach the queue."""

    cause = "exchange deleted"


class ExchangeWatch:
    """Looks after one feed's exchange, over any number of connections.

    All replicas begin with the same witness. Who finds it gone goes on with a new name of its
    own, because another replica may not have looked yet, and must find it gone, too.
    """

    def __init__(
        self,
        exchange: str,
        *,
        may_make: bool,
        may_witness: bool,
        warn: Callable[[str], None] = lambda _why: None,
    ) -> None:
        """``may_make``: the exchange may be made here; ``may_witness``: so may its witness.

        ``warn`` is told why there can be no witness.
        """
        self.was_lost = False
        """Whether the exchange was gone since this was last set to False."""
        self.losses = 0
        """How often it was gone."""
        self._exchange = exchange
        self._warn = warn
        self._may_make = may_make
        self._may_witness = may_witness
        self._is_known = False
        self._witness = WITNESS_PREFIX + exchange

    async def begin(self, link: Link) -> None:
        """Make the exchange and its witness, or check that it exists; note if it was gone.

        Raises :class:`TopologyError`.
        """
        try:
            was_there = await prepare_exchange(link.channel, self._exchange, declare=self._may_make)
        except TopologyError:
            self._note(is_lost=self._is_known)
            raise
        if self._may_witness:
            channel = await link.channel()
            if not await has_exchange(channel, self._witness):
                was_there = False
                channel = await link.channel()
            self._note(is_lost=self._is_known and not was_there)
            await self._make_witness(channel)
        else:
            self._note(is_lost=self._is_known and not was_there)
        self._is_known = True

    async def check(self, channel: AbstractChannel) -> None:
        """Raise :class:`Unbound` if the exchange is another one than at the beginning."""
        if not await has_exchange(channel, self._exchange):
            self._note(is_lost=True)
            raise Unbound(f"exchange {self._exchange!r} was deleted")
        if self._may_witness and not await has_exchange(channel, self._witness):
            self._note(is_lost=True)
            raise Unbound(f"exchange {self._exchange!r} was deleted, and made again")

    def _note(self, *, is_lost: bool) -> None:
        if not is_lost:
            return
        self.losses += not self.was_lost
        self.was_lost = True
        self._witness = f"{WITNESS_PREFIX}{self._exchange}.{os.urandom(4).hex()}"

    async def _make_witness(self, channel: AbstractChannel) -> None:
        try:
            await channel.exchange_declare(
                self._witness, exchange_type="fanout", durable=True, auto_delete=True, internal=True
            )
            await channel.exchange_bind(destination=self._exchange, source=self._witness)
            await channel.close()
        except ChannelClosed as error:
            self._may_witness = False
            self._warn(
                f"exchange {self._exchange!r} cannot be watched: one that is deleted and made "
                f"again at once may go unnoticed ({error})"
            )
