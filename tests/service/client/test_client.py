"""The client over each transport, against a server that speaks the protocol."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import msgpack
import orjson
import pytest
from yarl import URL

import tickfan_client
from loadtest.rig.waiting import DEADLINE_S
from tests.service.client.fakeservice import FakeService, take
from tickfan_client import Client, Closed, Event, ProtocolError, Refused, Unreachable, Update
from tickfan_client.transport import Options
from tickfan_client.websocket import WebSocket

if TYPE_CHECKING:
    from pytest_aiohttp.plugin import AiohttpClient

    from tests.support.fixtures import MakeLive
    from tests.support.live import Live
    from tickfan_client.events import Received

QUOTE = {"channel": "quotes.A", "seq": 1, "ts": 1000, "data": {"last": "1.50"}}
TRADE = {"channel": "trades.A", "seq": 2048, "ts": 1001, "data": [1], "prev": 1024}
SUBSCRIBED = {"channels": [{"channel": "quotes.A", "delivery": "conflated"}]}


@pytest.fixture
def service() -> FakeService:
    return FakeService()


@pytest.fixture
async def url(service: FakeService, aiohttp_client: AiohttpClient) -> str:
    client = await aiohttp_client(service.app(), server_kwargs={"handler_cancellation": True})
    return str(client.make_url("/"))


@pytest.fixture
async def service_live(make_live: MakeLive) -> Live:
    """The service itself."""
    return await make_live()


def sse(*events: tuple[str | None, str | None, dict[str, Any]]) -> list[bytes]:
    """Events as (name, id, body)."""
    return [
        (f"event: {name}\n" if name else "").encode()
        + (f"id: {id_}\n" if id_ else "").encode()
        + b"data: "
        + orjson.dumps(body)
        + b"\n\n"
        for name, id_, body in events
    ]


def answer(id_: int = 1, **more: Any) -> dict[str, Any]:
    return {"t": "subscribed", "id": id_, **SUBSCRIBED, **more}


def rows(*values: list[Any], **more: Any) -> dict[str, Any]:
    return {"t": "updates", "u": list(values), **more}


# WebSocket


async def test_ws_updates(service: FakeService, url: str) -> None:
    """Snapshots, conflated rows, lossless rows and typed rows become updates, in order."""
    service.answers = [[
        answer(),
        rows(["quotes.A", 7, 1000, {"last": "1.5"}], snapshot=True),
        {"t": "snapshot_end", "id": 1, "c": "1~t.1.A"},
        rows(["quotes.A", 8, 1001, "x"], ["t.A", 2048, 1002, 5, 1024], c="1~t.2.B"),
        rows(["t.B", 3072, 1003, None, None, "done"]),
    ]]  # fmt: skip
    async with tickfan_client.connect(url) as client:
        granted = await client.subscribe(["quotes.#", "t.*"], interval_ms=500)
        assert granted == Event("subscribed", {"id": 1, **SUBSCRIBED})
        assert await take(client, 4) == [
            Update("quotes.A", 7, 1000, {"last": "1.5"}, is_snapshot=True),
            Update("quotes.A", 8, 1001, "x"),
            Update("t.A", 2048, 1002, 5, 1024),
            Update("t.B", 3072, 1003, None, None, "done"),
        ]
    assert service.commands == [
        {"op": "subscribe", "id": 1, "channels": ["quotes.#", "t.*"], "interval_ms": 500,
         "snapshot": True},
    ]  # fmt: skip


async def test_ws_cursor_moves_with_what_was_handed_out(service: FakeService, url: str) -> None:
    """The cursor of a message counts from its last row on, not before."""
    service.answers = [[answer(), rows(["t.A", 1, 0, 0], ["t.A", 2, 0, 0], c="after")]]
    async with tickfan_client.connect(url, cursor="before") as client:
        await client.subscribe(["t.A"])
        await take(client, 1)
        assert client.cursor == "before"
        await take(client, 1)
        assert client.cursor == "after"
    assert service.commands[0]["cursor"] == "before"


async def test_ws_cursor_goes_with_the_first_subscribe_only(service: FakeService, url: str) -> None:
    """A second subscription starts afresh."""
    service.answers = [[answer()], [answer(2)]]
    async with tickfan_client.connect(url, cursor="c") as client:
        await client.subscribe(["t.A"], snapshot=False)
        await client.subscribe(["t.B"])
    assert [command.get("cursor") for command in service.commands] == ["c", None]
    assert [command["snapshot"] for command in service.commands] == [False, True]


async def test_ws_subscribe_keeps_what_comes_before_its_answer(
    service: FakeService, url: str
) -> None:
    """Updates of an earlier subscription wait while a second one is answered."""
    row = ["quotes.A", 1, 0, 0]
    service.answers = [[answer()], [rows(row), answer(2)]]
    async with tickfan_client.connect(url) as client:
        await client.subscribe(["quotes.A"])
        await client.subscribe(["quotes.B"])
        assert await take(client, 1) == [Update("quotes.A", 1, 0, 0)]


async def test_ws_subscribe_while_another_task_iterates(service: FakeService, url: str) -> None:
    """The one who reads finds the answer for the one who asks."""
    service.answers = [[answer()], [answer(2), rows(["quotes.B", 1, 0, 0])]]
    async with tickfan_client.connect(url) as client:
        await client.subscribe(["quotes.A"])
        reader = asyncio.create_task(take(client, 1))
        await asyncio.sleep(0)
        async with asyncio.timeout(DEADLINE_S):
            granted = await client.subscribe(["quotes.B"])
        assert granted.body["id"] == 2
        assert await reader == [Update("quotes.B", 1, 0, 0)]


async def test_ws_refused(service: FakeService, url: str) -> None:
    """A subscription of which nothing is granted raises, and the connection lives on."""
    error = {"t": "error", "id": 1, "code": "bad_pattern", "message": "no", "item": "quotes."}
    service.answers = [[error], [answer(2)]]
    async with tickfan_client.connect(url) as client:
        with pytest.raises(Refused) as refused:
            await client.subscribe(["quotes."])
        assert (refused.value.code, refused.value.message, refused.value.item) == (
            "bad_pattern", "no", "quotes.",
        )  # fmt: skip
        assert (await client.subscribe(["quotes.A"])).name == "subscribed"


async def test_ws_partly_refused(service: FakeService, url: str) -> None:
    """A channel refused beside one that is granted is an event, not an exception."""
    error = {"t": "error", "id": 1, "code": "no_feed", "message": "no", "item": "x"}
    service.answers = [[error, answer()]]
    seen: list[str] = []
    async with tickfan_client.connect(
        url, on_event=lambda event: seen.append(event.name)
    ) as client:
        assert (await client.subscribe(["x", "quotes.A"])).name == "subscribed"
        await take(client.events(), 3)
    assert seen == ["welcome", "error", "subscribed"]


async def test_ws_events_in_order(service: FakeService, url: str) -> None:
    """events() yields updates and events alike, in the order in which they came."""
    service.answers = [[
        answer(), {"t": "gap", "channel": "t.A", "reason": "bad_json"}, rows(["t.A", 1, 0, 0]),
        {"t": "heartbeat", "c": "beat"},
    ]]  # fmt: skip
    async with tickfan_client.connect(url) as client:
        await client.subscribe(["t.A"])
        items = await take(client.events(), 5)
        assert client.cursor == "beat"
    names = [item.name if isinstance(item, Event) else item.channel for item in items]
    assert names == ["welcome", "subscribed", "gap", "t.A", "heartbeat"]


async def test_ws_closing(service: FakeService, url: str) -> None:
    """A closing message is an event, and then the end says what it said."""
    closing = {"t": "closing", "reason": "drain", "code": 4003, "message": "bye", "retry_ms": 750}
    service.answers = [[answer(), closing]]
    seen: list[Event] = []
    async with tickfan_client.connect(url, on_event=seen.append) as client:
        await client.subscribe(["quotes.A"])
        with pytest.raises(Closed) as closed:
            await take(client, 1)
    end = closed.value
    assert (end.reason, end.code, end.retry_ms, end.may_reconnect) == ("drain", 4003, 750, True)
    assert seen[-1].name == "closing"


async def test_ws_close_code_alone(service: FakeService, url: str) -> None:
    """A close frame without a closing message before it still tells its code."""
    service.answers = [[answer()]]
    service.close_code = 4503
    async with tickfan_client.connect(url) as client:
        await client.subscribe(["quotes.A"])
        with pytest.raises(Closed) as closed:
            await take(client, 1)
    assert (closed.value.code, closed.value.may_reconnect) == (4503, False)


async def test_closing_before_the_answer(service: FakeService, url: str) -> None:
    """An overloaded service closes instead of answering: subscribe says so."""
    service.answers = [[{"t": "closing", "reason": "overload", "code": 4006, "message": "full"}]]
    async with tickfan_client.connect(url) as client:
        with pytest.raises(Closed, match="overload"):
            await client.subscribe(["quotes.A"])


BOMB = b"\xdd\xff\xff\xff\xff" * 200
BAD = [
    BOMB,
    b"\x92\x01",
    msgpack.packb([1]),
    msgpack.packb({"u": []}),
    msgpack.packb({1: 2}),
    msgpack.packb({"t": "updates", "u": [[1]]}),
    msgpack.packb({"t": "updates"}),
    msgpack.packb({"t": "updates", "u": [[1, "a", None, 0]]}),
    msgpack.packb({"t": "updates", "u": [["a", 1, 1, 0, None, "update", True]]}),
    msgpack.packb({"t": "status", "x": msgpack.ExtType(5, b"x")}),
    msgpack.packb({"t": "status", "x": b"binary"}),
]


@pytest.mark.parametrize("message", BAD)
async def test_ws_nonsense(service: FakeService, url: str, message: bytes) -> None:
    """What is not of the protocol ends the iteration with a named error."""
    service.answers = [[answer(), message]]
    async with tickfan_client.connect(url) as client:
        await client.subscribe(["quotes.A"])
        with pytest.raises(ProtocolError):
            await take(client, 1)


async def test_ws_message_limit(service: FakeService, url: str) -> None:
    """A message over the limit ends the connection, not the memory."""
    service.answers = [[answer(), rows(["quotes.A", 1, 0, "x" * 5000])]]
    async with tickfan_client.connect(url, message_bytes_max=4000) as client:
        await client.subscribe(["quotes.A"])
        with pytest.raises(Closed):
            await take(client, 1)


# Server-Sent Events and NDJSON


async def test_sse_updates(service: FakeService, url: str) -> None:
    """Unnamed events are updates, the id is the cursor, other types are updates by name."""
    service.stream = [
        b"retry: 2000\n",
        *sse(
            ("subscribed", None, SUBSCRIBED),
            (None, None, QUOTE | {"snapshot": True}),
            ("snapshot_end", "c1", {}),
            (None, "c2", TRADE),
            ("done", "c3", TRADE | {"type": "done"}),
            ("heartbeat", "c4", {"ts": 5}),
        ),
    ]
    async with tickfan_client.connect(url, transport="sse") as client:
        granted = await client.subscribe(["quotes.#", "t+1"], interval_ms=250)
        assert granted.body == {**SUBSCRIBED, "retry_ms": 2000}
        assert await take(client, 2) == [
            Update("quotes.A", 1, 1000, {"last": "1.50"}, is_snapshot=True),
            Update("trades.A", 2048, 1001, [1], 1024),
        ]
        assert client.cursor == "c2"
        items = await take(client.events(), 2)
        assert items[0].type == "done"
        assert items[1] == Event("heartbeat", {"ts": 5, "retry_ms": 2000})
        assert client.cursor == "c4"
    request = service.requests[0]
    assert "%23" in request.path_qs
    assert dict(request.query) == {
        "channels": "quotes.#,t+1",
        "snapshot": "1",
        "interval_ms": "250",
    }
    assert request.headers["Accept-Encoding"] == "identity"


async def test_ndjson_updates(service: FakeService, url: str) -> None:
    """Lines are updates or events; a line's cursor is the client's."""
    lines = [{"event": "subscribed", **SUBSCRIBED}, QUOTE, TRADE | {"cursor": "c1"},
             {"event": "gap", "channel": "t", "cursor": "c2"}]  # fmt: skip
    body = b"".join(orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE) for line in lines)
    service.stream = [body[:50], body[50:51], body[51:]]
    async with tickfan_client.connect(url, transport="ndjson", cursor="c0") as client:
        assert (await client.subscribe(["trades.A"], snapshot=False)).body == SUBSCRIBED
        assert await take(client, 2) == [
            Update("quotes.A", 1, 1000, {"last": "1.50"}),
            Update("trades.A", 2048, 1001, [1], 1024),
        ]
        assert client.cursor == "c1"
        assert await take(client.events(), 1) == [Event("gap", {"channel": "t"})]
    assert service.requests[0].query["last_event_id"] == "c0"
    assert service.requests[0].query["snapshot"] == "0"


@pytest.mark.parametrize("transport", ["sse", "ndjson"])
async def test_many_channels_go_by_post(service: FakeService, url: str, transport: Any) -> None:
    """A list that does not fit a URL is sent as a JSON body, with all else."""
    channels = [f"quotes.INSTRUMENT-{number:05d}" for number in range(500)]
    service.stream = [
        sse(("subscribed", None, {}))[0] if transport == "sse" else b'{"event":"subscribed"}\n'
    ]
    async with tickfan_client.connect(url, transport=transport, cursor="c") as client:
        await client.subscribe(channels, interval_ms=100, snapshot=False)
    assert service.requests[0].method == "POST"
    assert service.bodies == [
        {"channels": channels, "interval_ms": 100, "snapshot": False, "cursor": "c"}
    ]


@pytest.mark.parametrize("transport", ["sse", "ndjson"])
async def test_http_refused(service: FakeService, url: str, transport: Any) -> None:
    """A JSON error before the stream is a refusal with its code and item."""
    service.status = 400
    service.error = {"code": "no_feed", "message": "no feed covers it", "item": "x.y"}
    async with tickfan_client.connect(url, transport=transport) as client:
        with pytest.raises(Refused) as refused:
            await client.subscribe(["x.y"])
    assert (refused.value.code, refused.value.item) == ("no_feed", "x.y")


async def test_http_second_subscription(service: FakeService, url: str) -> None:
    """A stream over HTTP takes one subscription; a second is refused in words."""
    service.stream = sse(("subscribed", None, {}))
    async with tickfan_client.connect(url, transport="sse") as client:
        await client.subscribe(["quotes.A"])
        with pytest.raises(tickfan_client.TickfanClientError, match="one subscription"):
            await client.subscribe(["quotes.B"])


async def test_http_cut(service: FakeService, url: str) -> None:
    """A response that ends without a closing event was lost; come back."""
    service.stream = sse(("subscribed", None, {}), (None, "c9", TRADE))
    service.ends = True
    async with tickfan_client.connect(url, transport="sse") as client:
        await client.subscribe(["trades.A"])
        await take(client, 1)
        with pytest.raises(Closed) as closed:
            await take(client, 1)
        assert client.cursor == "c9"
    assert (closed.value.reason, closed.value.may_reconnect) == ("lost", True)


async def test_done_ends_the_iteration(service: FakeService, url: str) -> None:
    """A stream that reached its asked-for end is no error."""
    closing = {"reason": "done", "code": 4504, "message": ""}
    service.stream = sse(("subscribed", None, {}), (None, None, QUOTE), ("closing", None, closing))
    service.ends = True
    async with tickfan_client.connect(url, transport="sse") as client:
        await client.subscribe(["tokens.demo"], until="done")
        assert [update.channel async for update in client] == ["quotes.A"]
    assert service.requests[0].query["until"] == "done"


@pytest.mark.parametrize("body", [b"data: {\n\n", b"data: [1]\n\n", b'data: {"channel":"a"}\n\n'])
async def test_sse_nonsense(service: FakeService, url: str, body: bytes) -> None:
    """What is not of the protocol is a named error, after all that came before it."""
    service.stream = [b"".join([*sse(("subscribed", None, {}), (None, None, QUOTE)), body])]
    async with tickfan_client.connect(url, transport="sse") as client:
        await client.subscribe(["quotes.A"])
        await take(client, 1)
        with pytest.raises(ProtocolError):
            await take(client, 1)


# All of them


@pytest.mark.parametrize("transport", ["ws", "sse", "ndjson"])
async def test_close_ends_an_iteration(service: FakeService, url: str, transport: Any) -> None:
    """close() from elsewhere ends a waiting iteration; the server sees us go."""
    service.answers = [[answer()]]
    first = {"sse": sse(("subscribed", None, {}))[0], "ndjson": b'{"event":"subscribed"}\n'}
    service.stream = [first.get(transport, b"")]
    async with tickfan_client.connect(url, transport=transport) as client:
        await client.subscribe(["quotes.A"])

        async def drain() -> list[Update]:
            return [update async for update in client]

        waiting = asyncio.create_task(drain())
        await asyncio.sleep(0)
        async with asyncio.timeout(DEADLINE_S):
            await client.close()
            assert await waiting == []
            await service.gone.wait()
        await client.close()


@pytest.mark.parametrize("transport", ["ws", "sse", "ndjson"])
async def test_unreachable(unused_tcp_port: int, transport: Any) -> None:
    """Nobody there: one sentence that says where and why."""
    client = tickfan_client.connect(f"http://127.0.0.1:{unused_tcp_port}", transport=transport)
    with pytest.raises(tickfan_client.Unreachable, match="connection refused") as error:
        async with client:
            await client.subscribe(["quotes.A"])
    assert str(unused_tcp_port) in str(error.value)


async def test_silence_is_loss(service: FakeService, url: str) -> None:
    """A connection without a sign of life for idle_timeout_s counts as lost."""
    service.answers = [[answer()]]
    async with tickfan_client.connect(url, idle_timeout_s=0.5) as client:
        await client.subscribe(["quotes.A"])
        with pytest.raises(Closed, match=r"silent for 0\.5 s"):
            await take(client, 1)


async def test_no_answer(service: FakeService, url: str) -> None:
    """A service that does not answer a subscription is named after the time-out."""
    async with tickfan_client.connect(url, connect_timeout_s=0.5) as client:
        with pytest.raises(tickfan_client.TickfanClientError, match="no answer"):
            await client.subscribe(["quotes.A"])


@pytest.mark.parametrize("bad", ["localhost:8080", "ftp://x", "", "http://"])
def test_bad_url(bad: str) -> None:
    """What is no address is refused with an example."""
    with pytest.raises(ValueError, match="http://localhost:8080"):
        tickfan_client.connect(bad)


class Counting(WebSocket):
    """Counts the messages that are taken from the connection."""

    taken = 0

    async def receive(self) -> list[Received]:
        self.taken += 1
        return await super().receive()


async def test_back_pressure(service: FakeService, url: str) -> None:
    """Nothing is read ahead: what is not asked for stays with the service."""
    service.answers = [[answer(), *(rows(["quotes.A", n, 0, 0]) for n in range(1000))]]
    options = Options(URL(url))
    transport = Counting(options)
    async with Client(transport, options, None, None) as client:
        await client.subscribe(["quotes.A"])
        before = transport.taken
        await take(client, 1)
        assert transport.taken == before + 1
        await asyncio.sleep(0)
        assert transport.taken == before + 1


@pytest.mark.parametrize("transport", ["ws", "sse", "ndjson"])
async def test_the_client_names_its_connection(service_live: Live, transport: Any) -> None:
    """As the service's log does; an operator finds the line by it."""
    url = service_live.url("/")
    async with tickfan_client.connect(url, transport=transport) as client:
        assert client.connection is None
        await client.subscribe(["quotes.#"])
        [connection] = service_live.service.connections
        assert client.connection == connection.id


@pytest.mark.parametrize("transport", ["ws", "sse", "ndjson"])
@pytest.mark.parametrize(("status", "may"), [(503, True), (502, True), (400, False), (404, False)])
async def test_a_status_says_whether_to_come_back(
    service: FakeService, url: str, transport: Any, status: int, may: bool
) -> None:
    """From 500 on it is no fault of the request."""
    service.status, service.error = status, {"code": "starting", "message": "come back"}
    with pytest.raises(Refused) as caught:
        async with tickfan_client.connect(url, transport=transport) as client:
            await client.subscribe(["quotes.A"])
    assert caught.value.may_reconnect is may


async def test_the_delay_that_was_told_holds_for_a_cut(service: FakeService, url: str) -> None:
    """The first line has it; a service that is killed says nothing more."""
    first = {"event": "subscribed", "channels": [], "retry_ms": 1234}
    service.stream, service.ends = [orjson.dumps(first) + b"\n"], True
    async with tickfan_client.connect(url, transport="ndjson") as client:
        await client.subscribe(["quotes.A"])
        with pytest.raises(Closed) as caught:
            await take(client, 1)
    assert (caught.value.reason, caught.value.retry_ms) == ("lost", 1234)
    assert caught.value.may_reconnect


async def test_nobody_there_may_be_there_later(unused_tcp_port: int) -> None:
    """Without a delay: nobody has told one."""
    with pytest.raises(Unreachable) as caught:
        async with tickfan_client.connect(f"http://127.0.0.1:{unused_tcp_port}"):
            pass
    assert (caught.value.may_reconnect, caught.value.retry_ms) == (True, None)
