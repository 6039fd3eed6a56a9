"""What a WebSocket client may send: decoded with limits, named when wrong."""

from __future__ import annotations

import tracemalloc
from typing import Any

import msgpack
import pytest

from tickfan.core.errors import Refusal
from tickfan.transports.commands import (
    check_command,
    command_id,
    decode_json,
    decode_msgpack,
    patterns_of,
)

BOMBS = {
    "nested arrays": b"\xdc\x10\x00" * 5000,
    "nested arrays of 32 bits": b"\xdd\x00\x00\x10\x00" * 3000,
    "an array of four thousand million": b"\xdd\xff\xff\xff\xff",
    "a map of four thousand million": b"\xdf\xff\xff\xff\xff",
    "nested maps": b"\x81\xa1a" * 5000,
    "nested short arrays": b"\x91" * 16_000,
    "a string of four thousand million": b"\xdb\xff\xff\xff\xff",
    "binary": msgpack.packb({"op": b"ping"}),
    "a binary key": msgpack.packb({b"op": "ping"}),
    "a number as key": msgpack.packb({1: "ping"}),
    "an extension": msgpack.packb({"op": msgpack.ExtType(5, b"x")}),
    "a timestamp": msgpack.packb({"op": msgpack.Timestamp(1)}),
    "cut short": msgpack.packb({"op": "ping"})[:-1],
    "two at once": msgpack.packb({"op": "ping"}) * 2,
    "no UTF-8": b"\x81\xa2op\xa2\xff\xfe",
    "a reserved byte": b"\xc1",
    "nothing": b"",
    "too many keys": msgpack.packb({str(number): 1 for number in range(17)}),
}


@pytest.mark.parametrize("name", BOMBS)
def test_a_bad_body_is_refused_by_name_and_for_little(name: str) -> None:
    """A few bytes of headers cannot ask for megabytes."""
    tracemalloc.start()
    try:
        with pytest.raises(Refusal) as caught:
            check_command(decode_msgpack(BOMBS[name]))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert caught.value.code == "bad_message"
    assert peak < 1_000_000


@pytest.mark.parametrize(
    "data", [b'{"op":"ping"}', b' {"op": "subscribe", "channels": ["quotes.#"]}\n', b"[1]"]
)
def test_json_in_a_binary_frame_is_pointed_to_its_protocol(data: bytes) -> None:
    """A client that asked for no subprotocol speaks MessagePack without knowing it."""
    with pytest.raises(Refusal, match=r"ask for the subprotocol tickfan\.json\.v1") as caught:
        check_command(decode_msgpack(data))
    assert caught.value.code == "bad_message"


def test_many_channels_fit_one_command() -> None:
    """The limits leave room for what a client may need."""
    channels = [f"quotes.S{number}" for number in range(2000)]
    command = {"op": "subscribe", "id": "x", "channels": channels, "cursor": "1~" + "a" * 900}
    assert decode_msgpack(msgpack.packb(command)) == command


@pytest.mark.parametrize("text", ["", "{", "nul", '{"op": "ping"}x', '{"op": NaN}', "\ud800"])
def test_bad_json_is_refused_by_name(text: str) -> None:
    """Whatever the text frame held."""
    with pytest.raises(Refusal) as caught:
        decode_json(text)
    assert caught.value.code == "bad_message"


@pytest.mark.parametrize(
    ("message", "code", "item"),
    [
        ([], "bad_message", None),
        (None, "bad_message", None),
        ("subscribe", "bad_message", None),
        ({}, "unknown_op", "op"),
        ({"op": "explode"}, "unknown_op", "op"),
        ({"op": ["ping"]}, "unknown_op", "op"),
        ({"op": "ping", "channels": ["a"]}, "bad_field", "channels"),
        ({"op": "subscribe", "channel": "quotes.A"}, "bad_field", "channel"),
        ({"op": "subscribe", "channels": ["quotes.A"], "until": "done"}, "bad_field", "until"),
        ({"op": "ping", "id": 1.5}, "bad_field", "id"),
        ({"op": "ping", "id": True}, "bad_field", "id"),
        ({"op": "ping", "id": 2**60}, "bad_field", "id"),
        ({"op": "ping", "id": "x" * 65}, "bad_field", "id"),
        ({"op": "ping", "id": {"a": 1}}, "bad_field", "id"),
    ],
)
def test_a_malformed_command_is_named(message: Any, code: str, item: str | None) -> None:
    """The code for a program, the item for a person."""
    with pytest.raises(Refusal) as caught:
        check_command(message)
    assert (caught.value.code, caught.value.item) == (code, item)


@pytest.mark.parametrize("mark", [None, 0, -7, 2**53, "", "x" * 64])
def test_an_id_is_a_whole_number_or_a_short_text(mark: str | int | None) -> None:
    """It comes back as it was sent."""
    message = {"op": "ping", "id": mark}
    assert check_command(message) == "ping"
    assert command_id(message) == mark


@pytest.mark.parametrize("channels", [None, "quotes.A", [1], {"quotes.A": 1}])
def test_what_is_unsubscribed_is_a_list_of_names(channels: Any) -> None:
    """As in a subscribe."""
    with pytest.raises(Refusal) as caught:
        patterns_of({"channels": channels})
    assert (caught.value.code, caught.value.item) == ("bad_field", "channels")
    assert [pattern.text for pattern in patterns_of({"channels": ["a.#", "b"]})] == ["a.#", "b"]
