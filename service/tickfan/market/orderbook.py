"""One simulated order book: ten levels a side, told as snapshots and deltas.

A reader that takes the last snapshot and applies every delta since holds
exactly this book. Must not know who reads, nor what moves the price.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from random import Random

    from tickfan.market.instruments import Instrument

LEVELS = 10
"""Levels kept and told on each side."""

SNAPSHOT_EVERY = 50
"""Every so many updates of a book one is a full state: what a newcomer replays is short."""

BID, ASK = "bid", "ask"


class OrderBook:
    """Sizes at the best prices of one instrument. Prices in ticks, sizes in units."""

    def __init__(self, instrument: Instrument, rng: Random) -> None:
        self._instrument = instrument
        self._rng = rng
        self._sides: dict[str, dict[int, int]] = {BID: {}, ASK: {}}
        self._until_snapshot = 0

    def forget(self) -> None:
        """Make the next update a snapshot: a delta may have been lost."""
        self._until_snapshot = 0

    def update(self, bid: int, ask: int) -> tuple[bool, dict[str, Any]]:
        """Move to the given best prices; returns (is a snapshot, the data to publish).

        A snapshot is ``{"bids": [[price, size], …], "asks": …}``, best first; a
        delta ``{"changes": [[side, price, size], …]}``, where size ``0`` removes.
        """
        changes = [
            *self._move(BID, range(bid, bid - LEVELS, -1)),
            *self._move(ASK, range(ask, ask + LEVELS)),
        ]
        if self._until_snapshot == 0:
            self._until_snapshot = SNAPSHOT_EVERY - 1
            return True, self.state()
        self._until_snapshot -= 1
        return False, {"changes": changes}

    def state(self) -> dict[str, list[list[str]]]:
        """The book as a snapshot's data."""
        price, size = self._instrument.price, self._instrument.size
        bids, asks = self._sides[BID], self._sides[ASK]
        return {
            "bids": [[price(at), size(bids[at])] for at in sorted(bids, reverse=True)],
            "asks": [[price(at), size(asks[at])] for at in sorted(asks)],
        }

    def _move(self, side: str, prices: range) -> list[list[str]]:
        """Let one side stand at ``prices``; returns what changed."""
        old, new = self._sides[side], dict[int, int]()
        changes = [[side, self._instrument.price(at), "0"] for at in old if at not in prices]
        touched = self._rng.randrange(len(prices))
        for depth, at in enumerate(prices):
            if at in old and depth != touched:
                new[at] = old[at]
                continue
            new[at] = self._size(depth)
            if new[at] != old.get(at):
                changes.append([side, self._instrument.price(at), self._instrument.size(new[at])])
        self._sides[side] = new
        return changes

    def _size(self, depth: int) -> int:
        """More waits further from the price; never nothing."""
        lot = self._instrument.lot
        return self._rng.randint(max(1, lot // 4), lot * (2 + depth))
