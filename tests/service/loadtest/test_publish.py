"""The publisher publishes between ``go`` and ``pause``, and counts on after it."""

from __future__ import annotations

import re
import socket

from loadtest.bench.machine import Child
from loadtest.bench.publish import PublishSpec


def numbers(connection: socket.socket, most: int) -> list[int]:
    """The publisher's numbers, in order, until number ``most`` has come."""
    data = b""
    while f'"n":{most},'.encode() not in data:
        data += connection.recv(1 << 16)
    return [int(found) for found in re.findall(rb'"n":(\d+),', data)]


def test_a_pause_is_one() -> None:
    """What follows the next ``go`` goes on where it stopped; also a paused one can be ended."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        spec = PublishSpec(server.getsockname()[1], ["trades.X"], 2000, target="http", path="/")
        with Child("loadtest.bench.publish", spec.text()) as child:
            child.read()
            connection, _ = server.accept()
            with connection:
                connection.settimeout(30)
                child.tell("go")
                connection.recv(1, socket.MSG_PEEK)
                first = child.ask("pause")["updates"]
                assert child.ask("mark")["updates"] == first
                assert numbers(connection, first) == list(range(1, first + 1))

                child.tell("go")
                connection.recv(1, socket.MSG_PEEK)
                second = child.ask("pause")["updates"]
                last = child.ask("stop")
                assert last["updates"] == last["final"]["trades.X"] == second
                assert numbers(connection, second) == list(range(first + 1, second + 1))
