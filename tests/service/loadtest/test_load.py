"""Which channels a load client takes, and whether it got all of them."""

from __future__ import annotations

import socket
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from loadtest.bench.load import Client, LoadSpec, account

if TYPE_CHECKING:
    from collections.abc import Iterator

CHANNELS = [f"trades.T{index:03d}" for index in range(100)]
SPEC = LoadSpec(0, "/", "rows", channels=CHANNELS, each=3)


@contextmanager
def clients(count: int, *, layouts: int, seed: int = 0) -> Iterator[list[Client]]:
    """So many, each with 3 of the channels, connected to nobody who would answer."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        spec = replace(SPEC, port=port, layouts=layouts, seed=seed)
        found = [Client(spec, index) for index in range(count)]
        try:
            yield found
        finally:
            for client in found:
                client.sock.close()


def choices(found: list[Client]) -> set[tuple[str, ...]]:
    return {tuple(client.channels) for client in found}


@pytest.mark.parametrize(("layouts", "different"), [(1, 1), (4, 4), (0, 20)])
def test_so_many_layouts_are_chosen(layouts: int, different: int) -> None:
    """0: each client has its own."""
    with clients(20, layouts=layouts) as found:
        assert len(choices(found)) == different


@pytest.mark.parametrize("layouts", [1, 4])
def test_another_process_chooses_among_the_same_layouts(layouts: int) -> None:
    """So the clients that decode sit in the audiences of the others."""
    with clients(20, layouts=layouts) as one, clients(3, layouts=layouts, seed=1) as other:
        assert choices(other) <= choices(one)


def test_a_client_has_all_if_it_got_what_was_published_on_its_channels() -> None:
    """Neither fewer nor more; what was published on others does not count."""
    with clients(1, layouts=0) as [client]:
        final = {**dict.fromkeys(CHANNELS, 9), client.channels[0]: 4}
        client.counter.updates = 4 + 9 + 9
        assert client.is_complete(final)
        client.counter.updates -= 1
        assert not client.is_complete(final)


def test_clients_of_which_one_lacks_an_update_are_not_as_promised() -> None:
    """Each has its own sum to reach, so it is not the counts that must be equal."""
    with clients(3, layouts=0) as found:
        final = {channel: index for index, channel in enumerate(CHANNELS)}
        for client in found:
            client.counter.updates = sum(final[channel] for channel in client.channels)
        assert account(SPEC, found, final)["wrong"] == {}
        found[1].counter.updates -= 1
        assert account(SPEC, found, final)["wrong"] == {"clients without all": 1}
