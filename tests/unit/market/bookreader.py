"""A reader of one order book, as a client would write it.

Must not know who publishes.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any


class Reader:
    """Takes snapshots and deltas; strict about both."""

    def __init__(self) -> None:
        self.sides: dict[str, dict[str, str]] | None = None

    def take(self, data: dict[str, Any], type_: str | None) -> None:
        if type_ == "snapshot":
            self.sides = {"bid": dict(data["bids"]), "ask": dict(data["asks"])}
            return
        assert type_ is None
        assert self.sides is not None, "the first message is a snapshot"
        for side, price, size in data["changes"]:
            if size == "0":
                del self.sides[side][price]  # a KeyError: removes what is not there
            else:
                assert self.sides[side].get(price) != size, "a change that changes nothing"
                self.sides[side][price] = size

    def state(self) -> dict[str, list[list[str]]]:
        assert self.sides is not None
        bids = sorted(self.sides["bid"].items(), key=lambda level: -Decimal(level[0]))
        asks = sorted(self.sides["ask"].items(), key=lambda level: Decimal(level[0]))
        return {"bids": [[*level] for level in bids], "asks": [[*level] for level in asks]}
