"""Order books: a late joiner's book equals the publisher's, however it comes in."""

from __future__ import annotations

import asyncio
from random import Random
from typing import TYPE_CHECKING, Any

import pytest

from tickfan.broker.base import Message
from tickfan.market.instruments import INSTRUMENTS
from tickfan.market.orderbook import OrderBook

if TYPE_CHECKING:
    from tests.support.fixtures import MakeLive
    from tests.support.live import Live, Reader

CHANNEL = "book.X"


class Book:
    """A reader's book: the last full state with every change since."""

    def __init__(self) -> None:
        self.sides: dict[str, dict[str, str]] | None = None
        self.last: int | None = None

    def apply(self, update: dict[str, Any]) -> None:
        if self.last is not None:
            assert update["prev"] == self.last, "the chain is broken"
        self.last = update["seq"]
        data = update["data"]
        if update.get("type") == "snapshot":
            self.sides = {"bid": dict(data["bids"]), "ask": dict(data["asks"])}
            return
        if self.sides is None:
            return  # nothing to apply changes to yet
        for side, price, size in data["changes"]:
            if size == "0":
                self.sides[side].pop(price, None)
            else:
                self.sides[side][price] = size

    def equals(self, publisher: OrderBook) -> bool:
        state = publisher.state()
        return self.sides == {"bid": dict(state["bids"]), "ask": dict(state["asks"])}


class Publisher:
    """Publishes a book's random walk."""

    def __init__(self, service: Live, seed: int) -> None:
        self._service = service
        self._rng = Random(seed)
        instrument = next(iter(INSTRUMENTS))
        self.book = OrderBook(instrument, self._rng)
        self._bid = instrument.start
        self.seq: int | None = None

    async def publish(self, count: int) -> None:
        for _ in range(count):
            self._bid += self._rng.randint(-2, 2)
            is_full, data = self.book.update(self._bid, self._bid + 3)
            await self._service.publish(CHANNEL, data, type="snapshot" if is_full else None)
        self.seq = self._service.service.feeds["book"].channels[CHANNEL].seq


async def _read(reader: Reader, book: Book, until_seq: int | None) -> None:
    while book.last != until_seq:
        event = await reader.next()
        if "seq" in event:
            book.apply(event)


@pytest.mark.parametrize("wire", ["sse", "ws", "ndjson"])
@pytest.mark.parametrize("seed", range(6))
async def test_a_late_joiners_book_equals_the_publishers(
    make_live: MakeLive, wire: str, seed: int
) -> None:
    """Snapshot, everything since, then live: at any place in the book's life."""
    service = await make_live()
    rng = Random(seed)
    publisher = Publisher(service, seed)
    await publisher.publish(rng.choice([1, 7, 49, 50, 51, 130]))
    book = Book()

    open_wire = {"sse": service.sse, "ndjson": service.ndjson}
    async with service.ws() if wire == "ws" else open_wire[wire](f"channels={CHANNEL}") as reader:
        if wire == "ws":
            await reader.say(op="subscribe", channels=[CHANNEL])  # type: ignore[attr-defined]
        # Also while it joins: what is published in between is neither lost nor doubled.
        joining = asyncio.create_task(publisher.publish(rng.randint(0, 20)))
        opening = await reader.read_until("snapshot_end")
        await joining
        for event in opening:
            if "seq" in event:
                assert event["snapshot"] is True
                book.apply(event)
        granted = next(event for event in opening if event["event"] == "subscribed")
        assert granted["channels"][0]["snapshot"] == "state"
        await publisher.publish(rng.randint(1, 120))
        await _read(reader, book, publisher.seq)

    assert book.equals(publisher.book)


async def test_without_a_full_state_it_says_none(make_live: MakeLive) -> None:
    """Changes alone are no book: `snapshot: none`, and the next full state comes live."""
    service = await make_live()
    await service.publish(CHANNEL, {"changes": []})
    async with service.sse(f"channels={CHANNEL}") as events:
        opening = await events.read_until("snapshot_end")
    assert opening[0]["channels"][0]["snapshot"] == "none"
    assert len(opening) == 2


async def test_a_gap_ends_a_state_until_the_next(make_live: MakeLive) -> None:
    """A book with a hole cannot be built, so nobody is given one."""
    service = await make_live()
    publisher = Publisher(service, 1)
    await publisher.publish(10)
    feed = service.service.feeds["book"]
    await service.service.broker.publish("book", Message(CHANNEL, b"{not json"))
    assert feed.channels[CHANNEL].state is None
    assert feed.state_size == 0
    publisher.book.forget()
    await publisher.publish(5)
    async with service.sse(f"channels={CHANNEL}") as events:
        opening = await events.read_until("snapshot_end")
    book = Book()
    for event in opening:
        if "seq" in event:
            book.apply(event)
    assert book.equals(publisher.book)


async def test_states_are_bounded_by_bytes(make_live: MakeLive) -> None:
    """Over the feed's bound a state is forgotten, and the count comes back to nothing."""
    service = await make_live()
    feed = service.service.feeds["book"]
    for number in range(200):
        await service.publish(f"book.{number}", {"bids": [], "asks": []}, type="snapshot")
    full = feed.state_size
    assert 0 < full <= feed.spec.state_bytes_max
    for number in range(200):
        feed.drop_state(feed.channels[f"book.{number}"])
    assert feed.state_size == 0


async def test_after_a_resume_there_is_no_second_state(make_live: MakeLive) -> None:
    """An exact continuation needs no snapshot: the book goes on from where it was."""
    service = await make_live()
    publisher = Publisher(service, 3)
    await publisher.publish(20)
    book = Book()
    async with service.sse(f"channels={CHANNEL}") as events:
        opening = await events.read_until("snapshot_end")
        for event in opening:
            if "seq" in event:
                book.apply(event)
        cursor = opening[-1]["cursor"]
    await publisher.publish(70)
    async with service.sse(f"channels={CHANNEL}", headers={"Last-Event-ID": cursor}) as events:
        granted = await events.next()
        assert granted["channels"][0]["recovered"] is True
        assert granted["channels"][0]["snapshot"] == "none"
        await _read(events, book, publisher.seq)
    assert book.equals(publisher.book)


@pytest.mark.parametrize("wire", ["sse", "ndjson"])
async def test_an_end_that_is_in_the_snapshot_ends_the_stream(
    make_live: MakeLive, wire: str
) -> None:
    """until=done: closed there, and 204 for whoever comes back with that cursor."""
    service = await make_live()
    await service.publish("tokens.u1", "a", type="snapshot")
    await service.publish("tokens.u1", "b")
    await service.publish("tokens.u1", "c", type="done")
    await service.publish("tokens.u2", "of another answer")
    opened = service.sse if wire == "sse" else service.ndjson
    query = "channels=tokens.u1&until=done"
    async with opened(query) as events:
        seen = await events.read_until("closing")
    assert [event["data"] for event in seen if "data" in event] == ["a", "b", "c"]
    assert seen[-1]["reason"] == "done"
    cursor = next(event["cursor"] for event in seen if event["event"] == "snapshot_end")
    async with service.session.get(
        service.url(f"/v1/{wire}?{query}"), headers={"Last-Event-ID": cursor}
    ) as answer:
        assert answer.status == 204
