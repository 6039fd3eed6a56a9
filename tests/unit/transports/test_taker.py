"""A connection that aiohttp has let go, until it is closed."""

from __future__ import annotations

from typing import Any, cast

from tickfan.transports.taker import Taker


class Owner:
    """Knows what it has let go."""

    def __init__(self) -> None:
        self.taken: set[Taker] = set()


class Table:
    """Counts the sockets of an address."""

    def __init__(self) -> None:
        self.closed: list[object] = []

    def close_socket(self, address: object) -> None:
        self.closed.append(address)


class Address:
    """One that has an open socket."""

    def __init__(self, table: Table) -> None:
        self.table = table


def test_it_is_forgotten_and_counted_out_when_it_is_closed() -> None:
    """Once, also if it counts for nobody."""
    table, owner = Table(), Owner()
    for address in (Address(table), None):
        taker = Taker()
        taker.server, taker.address = owner, cast("Any", address)
        owner.taken.add(taker)
        taker.connection_made(cast("Any", "line"))
        assert taker.transport == cast("Any", "line")
        taker.connection_lost(None)
        assert not owner.taken
        assert taker.address is None
    assert len(table.closed) == 1
