"""The WebSocket door, through real sockets."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgpack
import orjson
import pytest

from tests.service.transports.opened import handshake
from tests.support.live import Talk
from tests.support.raw import BINARY, TEXT, connect, request, upgrade

if TYPE_CHECKING:
    from tests.support.fixtures import MakeLive
    from tests.support.live import Live


@pytest.mark.parametrize(
    ("offered", "chosen"),
    [
        (None, None),
        ("tickfan.json.v1", "tickfan.json.v1"),
        ("tickfan.json.v1, tickfan.msgpack.v1", "tickfan.json.v1"),
        ("graphql-ws,tickfan.msgpack.v1", "tickfan.msgpack.v1"),
        ("foo\ntickfan.json.v1", "tickfan.json.v1"),
        ("foo\nbar, tickfan.json.v1\ntickfan.msgpack.v1", "tickfan.json.v1"),
        ("\ntickfan.json.v1,", "tickfan.json.v1"),
        (" , ", None),
    ],
)
async def test_the_subprotocol_is_the_clients_first_that_we_speak(
    service: Live, offered: str | None, chosen: str | None
) -> None:
    """In one header line or several (RFC 9110, section 5.3).

    Without any: MessagePack, and none is named in the answer (RFC 6455, section 4.2.2).
    """
    async with connect(service, upgrade(offered)) as wire:
        headers = await handshake(wire)
        frame = await wire.frame()

    assert headers.get("sec-websocket-protocol") == chosen
    assert frame.opcode == (TEXT if chosen == "tickfan.json.v1" else BINARY)
    decode = orjson.loads if frame.opcode == TEXT else msgpack.unpackb
    assert decode(frame.body)["protocol"] == (chosen or "tickfan.msgpack.v1")


@pytest.mark.parametrize("offered", ["mqtt, graphql-ws", "mqtt\ngraphql-ws"])
async def test_an_unknown_subprotocol_is_refused_by_name(service: Live, offered: str) -> None:
    """Not a socket that speaks what the client cannot read."""
    async with connect(service, upgrade(offered)) as wire:
        status, headers = await wire.head()
        body = orjson.loads(await wire.up_to(b"\n"))
    assert status == 400
    assert headers["content-type"].startswith("application/json")
    assert body["error"]["code"] == "bad_subprotocol"
    assert "tickfan.msgpack.v1" in body["error"]["message"]


async def test_a_subprotocol_that_is_no_text_is_refused_by_name(service: Live) -> None:
    """A header may hold any bytes."""
    async with connect(service, upgrade("mqtt").replace(b"mqtt", b"m\xff\xed\xa0\x80")) as wire:
        status, _ = await wire.head()
        body = orjson.loads(await wire.up_to(b"\n"))
    assert (status, body["error"]["code"]) == (400, "bad_subprotocol")


async def test_a_key_that_is_no_text_is_refused(service: Live) -> None:
    """By its name, not as a fault of the service."""
    async with connect(service, upgrade(Sec_WebSocket_Key="KEY").replace(b"KEY", b"\xff")) as wire:
        status, _ = await wire.head()
        body = orjson.loads(await wire.up_to(b"\n"))
    assert (status, body["error"]["code"]) == (400, "bad_request")
    assert body["error"]["item"] == "Sec-WebSocket-Key"


async def test_a_connection_header_in_several_lines_is_an_upgrade(service: Live) -> None:
    """Some proxies write a line of their own."""
    async with connect(service, upgrade(Connection="keep-alive\nUpgrade")) as wire:
        await handshake(wire)


@pytest.mark.parametrize(
    ("handshake", "status", "code", "part"),
    [
        (upgrade(Sec_WebSocket_Key="x"), 400, "bad_request", "'x'"),
        (upgrade(Sec_WebSocket_Version="99"), 426, "upgrade_required", "must be 13"),
        (upgrade(Sec_WebSocket_Version="8"), 426, "upgrade_required", "not '8'"),
        (upgrade(version="1.0"), 426, "upgrade_required", "proxy_http_version 1.1"),
        (upgrade(Content_Length="4") + b"\x88\0\0\0", 400, "bad_request", "has no body"),
        (
            upgrade(Transfer_Encoding="chunked") + b"1\r\nx\r\n0\r\n\r\n",
            400, "bad_request", "has no body",
        ),
    ],
)  # fmt: skip
async def test_a_broken_handshake_is_refused_by_name(
    service: Live, handshake: bytes, status: int, code: str, part: str
) -> None:
    """No 101 (RFC 6455, section 4.2; RFC 9110, section 7.8), and what is behind is HTTP again."""
    behind = b"" if b"HTTP/1.0" in handshake else request("/nowhere")
    async with connect(service, handshake + behind) as wire:
        got, headers = await wire.head()
        error = orjson.loads(await wire.up_to(b"\n"))["error"]
        if behind:
            assert (await wire.head())[0] == 404
    assert (got, error["code"]) == (status, code)
    assert part in error["message"]
    # RFC 6455, section 4.4: the version that is spoken.
    assert (headers.get("sec-websocket-version") == "13") is (status == 426)
    assert not service.service.tally.connects


async def test_an_empty_body_is_none(service: Live) -> None:
    """Some clients write a length of nothing."""
    async with connect(service, upgrade(Content_Length="0")) as wire:
        await handshake(wire)


@pytest.mark.parametrize("method", ["POST", "PUT", "HEAD", "OPTIONS"])
async def test_only_a_get_is_upgraded(service: Live, method: str) -> None:
    """RFC 6455, section 4.2.1."""
    async with connect(service, upgrade().replace(b"GET", method.encode())) as wire:
        assert (await wire.head())[0] == 405


async def test_no_compression_even_if_offered(service: Live) -> None:
    """A compressor for each client would leave no frame to share."""
    offer = "permessage-deflate; client_max_window_bits"
    async with connect(service, upgrade(Sec_WebSocket_Extensions=offer)) as wire:
        headers = await handshake(wire)
        assert (await wire.frame()).opcode == TEXT
    assert "sec-websocket-extensions" not in headers


async def test_a_newcomer_while_draining_or_overloaded_is_told(make_live: MakeLive) -> None:
    """Instead of a welcome: closing with the reason, and its close code."""
    service = await make_live(STREAM__CONNECTIONS_MAX="1")
    async with service.ws():
        for reason, code in (("overload", 4006), ("drain", 4003)):
            if reason == "drain":
                service.service.refuse_new()
            async with service.session.ws_connect(
                service.url("/v1/ws"), protocols=["tickfan.json.v1"]
            ) as socket:
                message = await Talk(socket).receive()
                await socket.receive()
            assert (message["t"], message["reason"], message["code"]) == ("closing", reason, code)
            assert socket.close_code == code
            assert service.service.tally.closes["ws.json", reason] == 1


async def test_plain_http_is_pointed_elsewhere(service: Live) -> None:
    """426 in JSON."""
    async with connect(service, request("/v1/ws")) as wire:
        status, _ = await wire.head()
        error = orjson.loads(await wire.up_to(b"\n"))["error"]
    assert (status, error["code"]) == (426, "upgrade_required")
    assert "/v1/sse" in error["message"]
