"""What clients say is what the servers read: ours, HTTP's, RabbitMQ's."""

from __future__ import annotations

import msgpack
import pytest

from loadtest.bench.greeting import is_confirmed, request, subscription
from loadtest.bench.load import LoadSpec

CHANNELS = ["trades.A", "trades.B"]


def spec(wire: str, interval_ms: int | None = None) -> LoadSpec:
    """Clients of this wire."""
    return LoadSpec(1, "/path", wire, interval_ms=interval_ms)


def frames(data: bytes) -> list[tuple[int, bytes]]:
    """Opcode and body of each client frame, which a zero mask leaves readable."""
    found, at = [], 0
    while at < len(data):
        assert data[at + 1] & 0x80, "a client masks (RFC 6455, 5.1)"
        size, body = data[at + 1] & 0x7F, at + 2
        if size == 126:
            size, body = int.from_bytes(data[body : body + 2], "big"), body + 2
        assert data[body : body + 4] == bytes(4)
        found.append((data[at] & 0xF, data[body + 4 : body + 4 + size]))
        at = body + 4 + size
    return found


@pytest.mark.parametrize(
    ("wire", "protocol"),
    [("rows", "tickfan.msgpack.v1"), ("stomp", "v12.stomp"), ("frames", None)],
)
def test_websockets_are_asked_for(wire: str, protocol: str | None) -> None:
    """With the subprotocol that the server needs to know the format."""
    head, *lines = request(spec(wire), CHANNELS).decode().split("\r\n")

    assert head == "GET /path HTTP/1.1"
    assert "Upgrade: websocket" in lines
    found = [line for line in lines if line.startswith("Sec-WebSocket-Protocol: ")]
    assert found == ([f"Sec-WebSocket-Protocol: {protocol}"] if protocol else [])


def test_event_streams_name_their_channels_in_the_path() -> None:
    """A peer's stream has none to name."""
    text = request(spec("sse", interval_ms=100), CHANNELS)

    assert text.startswith(
        b"GET /path?snapshot=0&channels=trades.A,trades.B&interval_ms=100 HTTP/1.1\r\n"
    )
    assert request(spec("events"), []).startswith(b"GET /path HTTP/1.1\r\n")


@pytest.mark.parametrize("count", [2, 100])
def test_a_row_client_subscribes_in_one_frame(count: int) -> None:
    """Binary, of either length of head."""
    channels = [f"trades.T{index}" for index in range(count)]
    [(opcode, body)] = frames(subscription(spec("rows", interval_ms=100), channels))

    assert opcode == 2
    assert msgpack.unpackb(body) == {
        "op": "subscribe",
        "channels": channels,
        "snapshot": False,
        "interval_ms": 100,
    }


def test_a_stomp_client_connects_and_subscribes_to_each_channel() -> None:
    """Each subscription with an id and a receipt of its own."""
    sent = frames(subscription(spec("stomp"), CHANNELS))

    assert [opcode for opcode, _ in sent] == [1, 1, 1]
    assert [body.partition(b"\n")[0] for _, body in sent] == [
        b"CONNECT",
        b"SUBSCRIBE",
        b"SUBSCRIBE",
    ]
    assert b"\nid:1\n" in sent[2][1]
    assert b"\nreceipt:1\n" in sent[2][1]
    assert b"\ndestination:/exchange/prices/trades.B\n" in sent[2][1]
    assert all(body.endswith(b"\n\n\0") for _, body in sent)


def test_a_stomp_client_is_there_with_its_last_receipt() -> None:
    """Before, a message may pass its queue by."""
    receipts = [b"RECEIPT\nreceipt-id:%d\n\n\0\n" % index for index in range(2)]

    assert not is_confirmed("stomp", CHANNELS, b"CONNECTED\n\n\0")
    assert not is_confirmed("stomp", CHANNELS, receipts[0])
    assert is_confirmed("stomp", CHANNELS, b"".join(receipts))


def test_a_refused_subscription_is_said() -> None:
    """With the broker's own words."""
    with pytest.raises(ConnectionError, match="no exchange"):
        is_confirmed("stomp", CHANNELS, b"ERROR\nmessage:not_found\n\nno exchange 'prices'\0\n")


@pytest.mark.parametrize("wire", ["rows", "sse", "frames", "events", "bytes"])
def test_others_are_there_with_the_answer(wire: str) -> None:
    """Whoever has no subscription to send sends nothing."""
    assert is_confirmed(wire, CHANNELS, b"")
    assert (subscription(spec(wire), CHANNELS) != b"") == (wire == "rows")
