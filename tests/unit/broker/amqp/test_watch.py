"""tickfan.broker.amqp.watch; with a broker: tests/integration/test_amqp_topology.py."""

from __future__ import annotations

from typing import Any

import pytest
from aiormq.exceptions import ChannelAccessRefused, ChannelNotFoundEntity

from tickfan.broker.amqp.watch import ExchangeWatch, Unbound
from tickfan.broker.base import TopologyError

WITNESS = "tickfan.watch.prices"


class Exchanges:
    """A broker's exchanges, and a link whose channels declare them."""

    def __init__(self, *refused: str) -> None:
        self.names: set[str] = set()
        self._refused = refused

    async def channel(self) -> Any:
        """One more channel, which is this."""
        return self

    async def close(self) -> None:
        """Agree."""

    async def exchange_bind(self, **_more: Any) -> None:
        """Agree."""

    async def exchange_declare(self, name: str, *, passive: bool = False, **_more: Any) -> None:
        """As RabbitMQ does."""
        if name.startswith(self._refused) and not passive:
            raise ChannelAccessRefused("ACCESS_REFUSED")
        if passive and name not in self.names:
            raise ChannelNotFoundEntity(f"NOT_FOUND - no exchange {name!r} in vhost '/'")
        self.names.add(name)


async def test_an_exchange_that_is_there_all_the_time() -> None:
    """Nothing is lost, however often one looks and connects."""
    link: Any = Exchanges()
    watch = ExchangeWatch("prices", may_make=True, may_witness=True)
    for _ in range(3):
        await watch.begin(link)
        await watch.check(link)
    assert (watch.was_lost, watch.losses) == (False, 0)
    assert link.names == {"prices", WITNESS}


@pytest.mark.parametrize("is_there_again", [True, False])
async def test_each_replica_finds_its_witness_gone(is_there_again: bool) -> None:
    """The first to look goes on under another name, so the second finds it gone, too."""
    link: Any = Exchanges()
    watches = [ExchangeWatch("prices", may_make=True, may_witness=True) for _ in range(2)]
    for watch in watches:
        await watch.begin(link)
    for losses in (1, 2):
        link.names = {"prices"} if is_there_again else set()
        for watch in watches:
            with pytest.raises(Unbound, match="exchange 'prices' was deleted"):
                await watch.check(link)
            await watch.begin(link)
            assert (watch.was_lost, watch.losses) == (True, losses)
            watch.was_lost = False
            await watch.check(link)


async def test_it_was_deleted_while_nobody_was_connected() -> None:
    """The next connection finds out."""
    link: Any = Exchanges()
    watch = ExchangeWatch("prices", may_make=True, may_witness=True)
    await watch.begin(link)
    link.names = {"prices"}
    await watch.begin(link)
    assert (watch.was_lost, watch.losses) == (True, 1)


async def test_where_nothing_may_be_made() -> None:
    """No witness; an exchange that is missing is named, and counts as lost if it was there."""
    link: Any = Exchanges()
    watch = ExchangeWatch("prices", may_make=False, may_witness=False)
    with pytest.raises(TopologyError, match="does not exist"):
        await watch.begin(link)
    link.names = {"prices"}
    await watch.begin(link)
    assert (watch.was_lost, link.names) == (False, {"prices"})
    link.names = set()
    with pytest.raises(Unbound):
        await watch.check(link)
    assert watch.was_lost


async def test_where_only_a_witness_may_be_made() -> None:
    """The exchange is somebody else's; that it was made again shows all the same."""
    link: Any = Exchanges()
    watch = ExchangeWatch("prices", may_make=False, may_witness=True)
    with pytest.raises(TopologyError, match="does not exist"):
        await watch.begin(link)
    link.names = {"prices"}
    await watch.begin(link)
    assert (watch.was_lost, link.names) == (False, {"prices", WITNESS})
    link.names = {"prices"}
    with pytest.raises(Unbound, match="made again"):
        await watch.check(link)
    assert watch.was_lost


async def test_a_witness_that_is_refused_is_named_once() -> None:
    """The feed goes on without."""
    link: Any = Exchanges(WITNESS)
    told: list[str] = []
    watch = ExchangeWatch("prices", may_make=True, may_witness=True, warn=told.append)
    for _ in range(2):
        await watch.begin(link)
        await watch.check(link)
    [sentence] = told
    assert sentence.startswith("exchange 'prices' cannot be watched")
    assert sentence.endswith("(ACCESS_REFUSED)")
    assert not watch.was_lost
