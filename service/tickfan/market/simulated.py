"""A made-up market for demonstrations and tests: the same seed, the same prices.

:class:`Market` is pure: each step gives one update, whatever the clock says.
:func:`run` paces it. Must not know what carries the messages.
"""

from __future__ import annotations

import asyncio
from itertools import accumulate
from random import Random
from typing import TYPE_CHECKING, Any, NamedTuple

import orjson

from tickfan.broker.base import Message, PublishError
from tickfan.clock import now_ms
from tickfan.core.errors import Refusal
from tickfan.core.update import SNAPSHOT
from tickfan.market.instruments import INSTRUMENTS, Instrument
from tickfan.market.orderbook import OrderBook

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, Sequence

    from tickfan.market.routes import Routes

BATCH_FROM_RATE = 2_000
"""Updates a second from which quotes travel in batches; below, one message each."""
BATCH_UPDATES_MAX = 64
TURN_MESSAGES = 100
"""Messages published in one turn of the loop at most."""
TICK_S = 0.01
"""How often the clock is looked at; what is due since goes out together."""
CATCH_UP_S = 1.0
"""After a longer stall the missed updates are skipped: a market does not hurry."""

TOO_LONG_S = 3600.0

APP_ID = "tickfan-simulated"
"""Of each message: who finds such prices in a RabbitMQ sees that nobody ever paid them."""

TOKENS_CHANNEL = "tokens.demo"
DONE = "done"
SENTENCE = (
    "Each", "word", "of", "this", "sentence", "is", "one", "update", "of", "a", "lossless",
    "channel,", "none", "is", "skipped,", "none", "comes", "twice,", "and", "after", "the",
    "last", "comes", "done.",
)  # fmt: skip
TOKEN_EVERY_MIN = 20
TOKENS_A_SECOND = 5
_TRADES, _BOOK = 0.18, 0.30  # of all market updates: 18 % trades, 12 % books, the rest quotes


class Tick(NamedTuple):
    """One update to publish; ``type`` is None for a plain one."""

    channel: str
    data: Any
    type: str | None = None


class _Line:
    """One instrument as it moves: the price, the last trade, the book."""

    def __init__(self, instrument: Instrument, rng: Random) -> None:
        self.instrument = instrument
        self.bid = instrument.start
        self.ask = instrument.start + instrument.spread
        self.last = instrument.start
        self.book = OrderBook(instrument, rng)

    def move(self, rng: Random) -> None:
        """One step of a random walk that is pulled back toward its start."""
        thing = self.instrument
        away = self.bid - thing.start
        step = rng.randint(-thing.jump, thing.jump)
        # At 2 % from the start every other step goes home, so a demo that runs
        # for weeks still shows prices that look right.
        if rng.random() * thing.start < abs(away) * 25:
            step = -abs(step) if away > 0 else abs(step)
        self.bid += step
        self.ask = self.bid + max(1, thing.spread + rng.randint(-1, 1))


class Market:
    """All instruments; :meth:`step` gives one update after another.

    ``rate`` is the updates a second that the driver aims at; it only sets
    how slowly the demonstration of tokens goes.
    """

    def __init__(
        self,
        seed: int = 1,
        *,
        rate: float = 100.0,
        instruments: Sequence[Instrument] = INSTRUMENTS,
    ) -> None:
        self._rng = Random(seed)
        self._lines = [_Line(instrument, self._rng) for instrument in instruments]
        self._weights = list(accumulate(line.instrument.weight for line in self._lines))
        self._trade_id = 0
        self._steps = 0
        self._token = 0
        self._token_every = max(TOKEN_EVERY_MIN, round(rate / TOKENS_A_SECOND))

    def channels(self) -> list[str]:
        """Every channel that the market can publish."""
        symbols = [line.instrument.symbol for line in self._lines]
        return [
            *(f"{kind}.{symbol}" for kind in ("quotes", "trades", "book") for symbol in symbols),
            TOKENS_CHANNEL,
        ]

    def step(self) -> Tick:
        """The next update."""
        self._steps += 1
        if self._steps % self._token_every == 0:
            return self._next_token()
        rng = self._rng
        line = rng.choices(self._lines, cum_weights=self._weights)[0]
        kind = rng.random()
        if kind < _TRADES:
            return self._trade(line)
        if kind < _BOOK:
            return self._book(line)
        return self._quote(line)

    def forget_books(self) -> None:
        """Make every book's next update a snapshot: a delta may have been lost."""
        for line in self._lines:
            line.book.forget()

    def _quote(self, line: _Line) -> Tick:
        line.move(self._rng)
        thing, randint = line.instrument, self._rng.randint
        least, most = max(1, thing.lot // 4), thing.lot * 3
        data = {
            "bid": thing.price(line.bid),
            "ask": thing.price(line.ask),
            "bid_size": thing.size(randint(least, most)),
            "ask_size": thing.size(randint(least, most)),
            "last": thing.price(line.last),
        }
        return Tick(f"quotes.{thing.symbol}", data)

    def _trade(self, line: _Line) -> Tick:
        thing = line.instrument
        is_buy = self._rng.random() < 0.5
        line.last = line.ask if is_buy else line.bid
        self._trade_id += 1
        data = {
            "price": thing.price(line.last),
            "size": thing.size(self._rng.randint(1, thing.lot)),
            "side": "buy" if is_buy else "sell",
            "id": self._trade_id,
        }
        return Tick(f"trades.{thing.symbol}", data)

    def _book(self, line: _Line) -> Tick:
        is_snapshot, data = line.book.update(line.bid, line.ask)
        return Tick(f"book.{line.instrument.symbol}", data, SNAPSHOT if is_snapshot else None)

    def _next_token(self) -> Tick:
        at = self._token
        self._token = (at + 1) % (len(SENTENCE) + 1)
        if at == len(SENTENCE):
            return Tick(TOKENS_CHANNEL, {"tokens": at}, DONE)
        return Tick(TOKENS_CHANNEL, {"token": SENTENCE[at]})


class Meter:
    """How many updates are due, counted from the start, so that nothing drifts."""

    def __init__(self, rate: float, now: float) -> None:
        """``rate`` in updates a second; ``now`` and later times in seconds."""
        self._rate = rate
        self._start = now
        self._given = 0

    def due(self, now: float) -> int:
        """Take what is due at ``now``."""
        due = int((now - self._start) * self._rate) - self._given
        most = max(1, int(CATCH_UP_S * self._rate))
        if due > most:
            self._start, self._given, due = now, 0, most
            return due
        self._given += due
        return due

    def wait(self, now: float) -> float:
        """Seconds until the next update is due, at least :data:`TICK_S`."""
        return max(TICK_S, self._start + (self._given + 1) / self._rate - now)


async def run(  # noqa: PLR0913 - the knobs of the publish command
    publish: Callable[[str, Message], Awaitable[None]],
    routes: Routes,
    *,
    rate: float,
    seed: int = 1,
    count: int | None = None,
    seconds: float | None = None,
    on_failure: Callable[[str, PublishError], None] | None = None,
) -> None:
    """Publish the market to the feeds that cover its channels.

    ``rate`` is updates a second, over all channels. Ends after ``count``
    updates or ``seconds``, else runs until cancelled. Channels that no feed
    covers are left out. A :class:`PublishError` goes to ``on_failure`` and the
    market goes on, its books starting again with snapshots; without it the
    error ends the run.

    Raises :class:`Refusal` (``no_feed``) if no feed covers any of its channels.
    """
    market = Market(seed, rate=rate)
    feeds = _feeds(market, routes)
    clock = asyncio.get_running_loop().time
    begin = clock()
    meter = Meter(rate, begin)
    left = count if count is not None else -1
    while left != 0 and (seconds is None or clock() - begin < seconds):
        due = meter.due(clock())
        if left > 0:
            due = min(due, left)
            left -= due
        ts = now_ms()
        due_now = messages(market, feeds, due, ts, in_batches=rate >= BATCH_FROM_RATE)
        for number, (feed, message) in enumerate(due_now):
            if number % TURN_MESSAGES == 0:
                # The embedded broker never suspends: let others have the loop.
                await asyncio.sleep(0)
            try:
                await publish(feed, message)
            except PublishError as error:
                if on_failure is None:
                    raise
                market.forget_books()
                on_failure(feed, error)
        rest = seconds - (clock() - begin) if seconds is not None else TOO_LONG_S
        await asyncio.sleep(min(meter.wait(clock()), max(0.0, rest)) if left != 0 else 0)


def _feeds(market: Market, routes: Routes) -> dict[str, str]:
    """The market's channels to their feeds; those that no feed covers are absent."""
    feeds: dict[str, str] = {}
    for channel in market.channels():
        try:
            feeds[channel] = routes.feed_of(channel)
        except Refusal as refusal:
            last = refusal
    if not feeds:
        raise last
    return feeds


def messages(
    market: Market, feeds: dict[str, str], updates: int, ts: int, *, in_batches: bool
) -> Iterator[tuple[str, Message]]:
    """The next ``updates`` updates as (feed, message); quotes may share one message.

    ``ts`` is the publisher's time in ms. A batch names its channels inside; its
    routing key is its first channel, which says whose feed it is. Each update
    is made when it is asked for, so that a failure can still turn the next one
    of a book into a snapshot.
    """
    batches: dict[str, list[dict[str, Any]]] = {}
    while updates > 0:
        tick = market.step()
        feed = feeds.get(tick.channel)
        if feed is None:
            continue
        updates -= 1
        if not in_batches or not tick.channel.startswith("quotes."):
            body = orjson.dumps(tick.data)
            yield feed, Message(tick.channel, body, type=tick.type, ts=ts, app_id=APP_ID)
            continue
        batch = batches.setdefault(feed, [])
        batch.append({"channel": tick.channel, "data": tick.data, "ts": ts})
        if len(batch) == BATCH_UPDATES_MAX:
            yield feed, _batch(batches.pop(feed), ts)
    for feed, batch in batches.items():
        yield feed, _batch(batch, ts)


def _batch(batch: list[dict[str, Any]], ts: int) -> Message:
    return Message(batch[0]["channel"], orjson.dumps(batch), ts=ts, batch=True, app_id=APP_ID)


def updates_in(message: Message) -> int:
    """How many updates a message of this module carries."""
    return len(orjson.loads(message.body)) if message.batch else 1
