"""The simulated market: the same seed, the same prices; every book adds up."""

from __future__ import annotations

import asyncio
import re
from decimal import Decimal
from itertools import islice
from random import Random
from typing import TYPE_CHECKING, Any

import orjson
import pytest

from loadtest.rig.waiting import DEADLINE_S
from tests.unit.market.bookreader import Reader
from tickfan.broker.base import BrokerDown, Message, Unroutable
from tickfan.config import Settings
from tickfan.core.errors import Refusal
from tickfan.core.pattern import is_channel_name
from tickfan.core.spec import Delivery, FeedSpec
from tickfan.market.instruments import INSTRUMENTS
from tickfan.market.routes import Routes
from tickfan.market.simulated import (
    APP_ID,
    BATCH_FROM_RATE,
    BATCH_UPDATES_MAX,
    DONE,
    SENTENCE,
    TOKENS_CHANNEL,
    Market,
    Meter,
    Tick,
    run,
    updates_in,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

NUMBER = re.compile(r"[0-9]+(\.[0-9]+)?")


@pytest.fixture
def routes() -> Routes:
    return Routes(Settings().feed_specs())


def steps(market: Market, count: int) -> list[Tick]:
    return [market.step() for _ in range(count)]


def strings(value: Any) -> Iterator[Any]:
    """Every leaf of a value."""
    if isinstance(value, dict | list):
        for entry in value.values() if isinstance(value, dict) else value:
            yield from strings(entry)
    else:
        yield value


def test_a_seed_is_a_market() -> None:
    """The same seed gives the same updates, another seed others."""
    assert steps(Market(7), 2000) == steps(Market(7), 2000)
    assert steps(Market(7), 2000) != steps(Market(8), 2000)


def test_every_channel_is_named_and_used() -> None:
    """The market publishes to exactly the channels that it names, all of them valid."""
    market = Market(1, rate=100)
    names = set(market.channels())
    assert {tick.channel for tick in steps(market, 20_000)} == names
    assert all(map(is_channel_name, names))
    assert {"quotes.BTC-USD", "quotes.EUR/USD", "trades.AAPL", "book.ETH-USD"} <= names


def test_quotes_look_real() -> None:
    """Bid below ask, the digits of the instrument, no float, near the start after long."""
    market = Market(3)
    things = {thing.symbol: thing for thing in INSTRUMENTS}
    for tick in steps(market, 60_000):
        kind, _, symbol = tick.channel.partition(".")
        if kind != "quotes":
            continue
        thing = things[symbol]
        assert all(
            isinstance(value, str) and NUMBER.fullmatch(value) for value in tick.data.values()
        )
        bid, ask = Decimal(tick.data["bid"]), Decimal(tick.data["ask"])
        assert 0 < bid < ask < bid + bid / 50
        assert -bid.as_tuple().exponent == thing.digits  # type: ignore[operator]
        assert abs(bid.scaleb(thing.digits) / thing.start - 1) < Decimal("0.25")
        assert Decimal(tick.data["bid_size"]) > 0


def test_trades_count_up() -> None:
    """Trade ids rise by one; the price is the quote's; the side says which."""
    market = Market(4)
    trades = [tick for tick in steps(market, 5000) if tick.channel.startswith("trades.")]
    assert [tick.data["id"] for tick in trades] == list(range(1, len(trades) + 1))
    assert {tick.data["side"] for tick in trades} == {"buy", "sell"}


def test_no_floats() -> None:
    """Nothing that the market says is a float."""
    for tick in steps(Market(5), 5000):
        assert not any(isinstance(leaf, float) for leaf in strings(tick.data))


def test_books_of_the_market() -> None:
    """Every book channel begins with a snapshot and stays uncrossed."""
    readers: dict[str, Reader] = {}
    for tick in steps(Market(6), 30_000):
        if tick.channel.startswith("book."):
            reader = readers.setdefault(tick.channel, Reader())
            reader.take(tick.data, tick.type)
            state = reader.state()
            assert Decimal(state["bids"][0][0]) < Decimal(state["asks"][0][0])
    assert len(readers) == len(INSTRUMENTS)


def test_a_lost_delta_makes_a_snapshot() -> None:
    """forget_books: the next update of each book is a full state."""
    market = Market(6)
    steps(market, 5000)
    market.forget_books()
    first = {tick.channel: tick.type for tick in reversed(steps(market, 5000))}
    books = {type_ for channel, type_ in first.items() if channel.startswith("book.")}
    assert books == {"snapshot"}


def test_tokens_are_one_sentence_again_and_again() -> None:
    """The token channel is the sentence, then done, then the sentence."""
    tokens = (tick for tick in steps(Market(1, rate=1), 3000) if tick.channel == TOKENS_CHANNEL)
    told = list(islice(tokens, 2 * len(SENTENCE) + 2))
    words = [tick.data.get("token") for tick in told]
    assert words == [*SENTENCE, None, *SENTENCE, None]
    assert [tick.type for tick in told].index(DONE) == len(SENTENCE)


def test_pace_does_not_drift() -> None:
    """However unevenly the clock is asked, what is due sums up to rate x time."""
    rng, meter, now, due = Random(1), Meter(333.3, 50.0), 50.0, 0
    for _ in range(10_000):
        now += rng.random() * 0.05
        due += meter.due(now)
    assert due == int((now - 50.0) * 333.3)


def test_pace_does_not_hurry_after_a_stall() -> None:
    """After an hour's stall at most a second's worth is due, then the old meter."""
    meter = Meter(100, 0.0)
    assert meter.due(3600.0) == 100
    assert meter.due(3600.5) == 50


@pytest.mark.parametrize("rate", [0.1, 3, 1000, 50_000])
def test_pace_waits_until_the_next(rate: float) -> None:
    """After the wait that it names, at least one update is due."""
    meter = Meter(rate, 0.0)
    meter.due(10.0)
    assert meter.due(10.0 + meter.wait(10.0) + 1e-6) >= 1


class Sent:
    """A publish callback that keeps what it gets."""

    def __init__(self) -> None:
        self.messages: list[tuple[str, Message]] = []

    async def __call__(self, feed: str, message: Message) -> None:
        self.messages.append((feed, message))

    def updates(self) -> int:
        return sum(updates_in(message) for _, message in self.messages)


async def test_run_counts(routes: Routes) -> None:
    """Exactly so many updates as asked for, each to the feed that covers its channel."""
    sent = Sent()
    async with asyncio.timeout(DEADLINE_S):
        await run(sent, routes, rate=1900, seed=1, count=300)
    assert sent.updates() == len(sent.messages) == 300
    for feed, message in sent.messages:
        assert feed == message.routing_key.split(".")[0]
        assert message.ts is not None
        assert not message.batch
        assert message.app_id == APP_ID


async def test_run_batches_quotes_at_high_rates(routes: Routes) -> None:
    """At a high rate quotes share messages of one feed; nothing else does."""
    sent = Sent()
    async with asyncio.timeout(DEADLINE_S):
        await run(sent, routes, rate=20_000, seed=1, count=5000)
    assert sent.updates() == 5000
    batches = [message for _, message in sent.messages if message.batch]
    assert max(map(updates_in, batches)) <= BATCH_UPDATES_MAX
    assert len(sent.messages) < 4000
    for message in batches:
        entries = orjson.loads(message.body)
        assert message.routing_key == entries[0]["channel"]
        assert message.app_id == APP_ID
        assert all(entry.keys() == {"channel", "data", "ts"} for entry in entries)
        assert all(entry["channel"].startswith("quotes.") for entry in entries)


async def test_run_ends_after_seconds(routes: Routes) -> None:
    """A time limit ends it, also where the next update would be due much later."""
    sent, begin = Sent(), asyncio.get_running_loop().time()
    async with asyncio.timeout(DEADLINE_S):
        await run(sent, routes, rate=0.1, seconds=0.2)
    assert asyncio.get_running_loop().time() - begin >= 0.19
    assert not sent.messages


async def test_run_leaves_out_what_no_feed_covers() -> None:
    """A configuration with one of the market's feeds gets that one."""
    routes = Routes([FeedSpec("mine", ("trades.#",), Delivery.LOSSLESS)])
    sent = Sent()
    async with asyncio.timeout(DEADLINE_S):
        await run(sent, routes, rate=BATCH_FROM_RATE, count=100)
    assert {feed for feed, _ in sent.messages} == {"mine"}
    assert len(sent.messages) == 100


async def test_run_needs_a_feed() -> None:
    """Where no feed covers anything of the market, it says which patterns there are."""
    routes = Routes([FeedSpec("mine", ("weather.#",), Delivery.CONFLATED)])
    with pytest.raises(Refusal, match=r"weather\.#"):
        await run(Sent(), routes, rate=10)


async def test_run_goes_on_after_failures(routes: Routes) -> None:
    """Failures are told one by one; a book that lost a delta starts with a snapshot."""
    failures: list[str] = []
    readers: dict[str, Reader] = {}
    rng = Random(2)

    async def publish(feed: str, message: Message) -> None:
        if rng.random() < 0.1:
            raise Unroutable("nobody listens")
        if feed == "book":
            data = orjson.loads(message.body)
            readers.setdefault(message.routing_key, Reader()).take(data, message.type)

    async with asyncio.timeout(DEADLINE_S):
        await run(
            publish, routes, rate=20_000, seed=9, count=3000,
            on_failure=lambda feed, error: failures.append(f"{feed}: {error}"),
        )  # fmt: skip
    assert len(failures) > 50
    assert "book: nobody listens" in failures


async def test_run_without_a_listener_for_failures(routes: Routes) -> None:
    """A failure that nobody listens to ends the run: nothing is lost silently."""

    async def publish(feed: str, message: Message) -> None:
        raise BrokerDown("no connection")

    with pytest.raises(BrokerDown):
        await run(publish, routes, rate=1000, count=10)
