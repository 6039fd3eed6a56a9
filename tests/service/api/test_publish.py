"""Publishing over HTTP: through the broker, with its confirm."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import msgpack
import orjson
import pytest
from structlog.testing import capture_logs

from tests.support.access import GUARDED, bearer
from tests.support.bodies import SENT, Sent
from tests.support.raw import connect
from tickfan.broker.base import BrokerBlocked, BrokerDown, PublishError, Unconfirmed, Unroutable
from tickfan.broker.memory import MemoryBroker
from tickfan.parts import Parts

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.fixtures import MakeLive
    from tests.support.live import Live
    from tickfan.broker.base import Message, Sink
    from tickfan.config import Settings

JSON = {"Content-Type": "application/json"}
MSGPACK = {"Content-Type": "application/msgpack"}


async def post(
    live: Live, channel: str, body: bytes, headers: dict[str, str] | None = None
) -> tuple[int, Any]:
    url = live.url(f"/v1/channels/{channel}")
    async with live.session.post(url, data=body, headers=headers or JSON) as response:
        assert response.headers["Cache-Control"] == "no-store"
        return response.status, await response.json()


@pytest.mark.parametrize(
    "kind",
    [
        "application/json; charset=utf-8",
        "application/vnd.acme.trade+json",
        "Application/X+JSON; v=1",
    ],
)
async def test_json_by_any_of_its_names(service: Live, kind: str) -> None:
    """As publishers in .NET and Java write it, also with a byte order mark."""
    async with service.sse("channels=trades.A") as stream:
        await stream.read_until("snapshot_end")
        for body in (b'{"price": "1.5"}', b'\xef\xbb\xbf{"price": "1.5"}'):
            status, _ = await post(service, "trades.A", body, {"Content-Type": kind})
            assert status == 201
            assert (await stream.next())["data"] == {"price": "1.5"}


async def test_what_is_published_reaches_a_subscriber(service: Live) -> None:
    """JSON and MessagePack; the answer comes after the confirm."""
    async with service.sse("channels=trades.A/B") as stream:
        await stream.read_until("snapshot_end")
        status, answer = await post(service, "trades.A%2FB", b'{"price": "1.5"}')
        await post(service, "trades.A%2FB", msgpack.packb([1, None]), MSGPACK)
        await post(service, "trades.A%2FB?type=done", b"null")
        first, second, third = [await stream.next() for _ in range(3)]

    assert status == 201
    assert answer.pop("ts") == first["ts"]
    assert answer == {"channel": "trades.A/B", "feed": "trades", "confirmed": True}
    assert (first["data"], second["data"], third["data"]) == ({"price": "1.5"}, [1, None], None)
    assert third["event"] == "done"


@pytest.mark.parametrize(
    ("channel", "body", "headers", "status", "code"),
    [
        ("trades.A", b"{", JSON, 400, "bad_json"),
        ("trades.A", b"", JSON, 400, "bad_json"),
        ("trades.A", b"NaN", JSON, 400, "bad_json"),
        ("trades.A", b"9007199254740993", JSON, 400, "bad_number"),
        ("trades.A", b"[" * 70 + b"]" * 70, JSON, 400, "too_deep"),
        ("trades.A", b"\xc1", MSGPACK, 400, "bad_msgpack"),
        ("trades.A", msgpack.packb(b"x"), MSGPACK, 400, "bad_value"),
        ("trades.A", msgpack.packb(float("nan")), MSGPACK, 400, "bad_number"),
        (
            "trades.A", b"a=1", {"Content-Type": "application/x-www-form-urlencoded"},
            415, "unsupported_media_type",
        ),
        ("trades.A", b"1", JSON | {"Content-Encoding": "br"}, 415, "unsupported_media_type"),
        ("trades.A", b'"' + b"x" * 300_000 + b'"', JSON, 413, "too_large"),
        ("trades.A?type=closing", b"1", JSON, 400, "bad_type"),
        ("trades.A?type=error", b"1", JSON, 400, "bad_type"),
        ("trades.A?ts=yesterday", b"1", JSON, 400, "bad_ts"),
        ("trades.A?time=1", b"1", JSON, 400, "bad_field"),
        ("trades.A?type=Bad%0Aevent", b"1", JSON, 400, "bad_type"),
        ("trades.%23", b"1", JSON, 400, "bad_channel"),
        ("weather.X", b"1", JSON, 404, "no_feed"),
    ],
)  # fmt: skip
async def test_what_would_be_poison_is_refused_here(
    service: Live, channel: str, body: bytes, headers: dict[str, str], status: int, code: str
) -> None:
    """By name, before it reaches the broker."""
    found, answer = await post(service, channel, body, headers)
    assert (found, answer["error"]["code"]) == (status, code)
    assert answer["error"]["message"]
    assert not service.service.tally.messages_in
    assert not service.service.tally.poison


@pytest.mark.parametrize("sent", SENT)
async def test_the_rule_is_that_of_the_broker(service: Live, sent: Sent) -> None:
    """What the broker's messages may be is taken with its type and time; all else refused."""
    query = "&".join(
        f"{name}={quote(value)}"
        for name, value in (("type", sent.type), ("ts", sent.ts))
        if value is not None
    )
    headers = {} if sent.content_type is None else {"Content-Type": sent.content_type}
    url = service.url(f"/v1/channels/trades.A?{query}")
    async with service.session.post(
        url, data=sent.body, headers=headers, skip_auto_headers=["Content-Type"]
    ) as response:
        answer = await response.json()
    if sent.why is None:
        assert response.status == 201, answer
        async with service.session.get(service.url("/v1/channels/trades.A")) as latest:
            update = await latest.json()
        assert update["data"] == sent.data
        assert update.get("type", "update") == (sent.type or "update")
        assert update["ts"] == answer["ts"]
        assert sent.ts_ms in (None, update["ts"])
    else:
        refused = {"bad_content_type": (415, "unsupported_media_type")}
        assert (response.status, answer["error"]["code"]) == refused.get(sent.why, (400, sent.why))
        assert not service.service.tally.messages_in


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Origin": "https://elsewhere.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "https://elsewhere.example", "Sec-Fetch-Site": "cross-site"}, 403),
        ({"Origin": "http://127.0.0.1:1", "Sec-Fetch-Site": "same-site"}, 403),
        ({"Origin": "http://behind.proxy", "Sec-Fetch-Site": "same-origin"}, 201),
        ({"Origin": "{own}"}, 201),
        ({}, 201),
    ],
)
async def test_pages_of_other_sites_do_not_publish_without_a_token(
    service: Live, make_live: MakeLive, headers: dict[str, str], status: int
) -> None:
    """A browser sends text/plain anywhere without asking; with a token it cannot."""
    own = service.url("")
    given = {name: value.format(own=own) for name, value in headers.items()}
    found, answer = await post(service, "trades.A", b"1", {"Content-Type": "text/plain"} | given)
    assert found == status, answer
    token = "correct-horse-battery-staple"
    guarded = await make_live(PUBLISH__TOKEN=token)
    found, _ = await post(
        guarded, "trades.A", b"1", JSON | given | {"Authorization": f"Bearer {token}"}
    )
    assert found == 201


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (Unroutable("no queue is bound"), 502),
        (Unconfirmed("no confirm within 5 s"), 504),
        (BrokerDown("no connection"), 503),
        (BrokerBlocked("low on memory"), 503),
        (PublishError("something else"), 502),
    ],
)
async def test_the_brokers_no_is_told(
    make_live: MakeLive, error: PublishError, status: int
) -> None:
    """Whether it was published, was not, or is not known: a code each."""

    class Refusing(MemoryBroker):
        async def publish(self, feed: str, message: Message) -> None:
            raise error

    def build(settings: Settings, sink: Sink) -> Refusing:
        return Refusing(settings.feed_sources(), sink)

    service = await make_live(parts=Parts(broker=build))
    found, answer = await post(service, "trades.A", b"1")
    assert (found, answer["error"]["code"]) == (status, error.code)
    assert answer["error"]["message"] == str(error)
    assert answer["error"]["item"] == "trades.A"


async def test_with_a_token_only_its_holder_publishes(make_live: MakeLive) -> None:
    """401 (with WWW-Authenticate), 403, 201."""
    service = await make_live(PUBLISH__TOKEN="correct-horse-battery-staple")
    url = service.url("/v1/channels/quotes.A")
    async with service.session.post(url, json=1) as response:
        assert response.status == 401
        assert response.headers["WWW-Authenticate"] == 'Bearer realm="tickfan"'
        assert (await response.json())["error"]["code"] == "publish_unauthorized"
    for given, status in (
        ("Bearer correct-horse-battery-staple", 201),
        ("bearer correct-horse-battery-staple", 201),
        ("Bearer correct-horse-battery-stapl", 403),
        ("Bearer correct-horse-battery-staple ", 201),
        ("Basic correct-horse-battery-staple", 403),
        ("Bearer", 401),
        ("Bearer ", 401),
    ):
        code, _ = await post(service, "quotes.A", b"1", JSON | {"Authorization": given})
        assert code == status, given


async def test_any_bytes_may_come_as_a_token(make_live: MakeLive) -> None:
    """A header that is no UTF-8 is a wrong token, not a failure."""
    service = await make_live(PUBLISH__TOKEN="correct-horse-battery-staple")
    head = (
        b"POST /v1/channels/quotes.A HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n"
        b"Authorization: Bearer \xff\xe9\r\nContent-Type: application/json\r\n\r\n1"
    )
    async with connect(service, head) as wire:
        status, _ = await wire.head()
        assert status == 403
        assert orjson.loads(await wire.up_to(b"\n"))["error"]["code"] == "publish_forbidden"


async def test_any_bytes_may_come_as_an_origin(service: Live) -> None:
    """One that is no UTF-8 is another site's, not a failure."""
    head = (
        b"POST /v1/channels/quotes.A HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n"
        b"Origin: http://\xff\xe9\r\n\r\n1"
    )
    async with connect(service, head) as wire:
        status, _ = await wire.head()
        assert status == 403
        assert orjson.loads(await wire.up_to(b"\n"))["error"]["code"] == "origin_forbidden"


async def test_without_a_token_only_the_embedded_broker_takes_anybody(
    make_live: MakeLive,
) -> None:
    """On a real one publishing is off until a token is set."""
    service = await make_live(BROKER__URL="amqp://guest:guest@127.0.0.1:1")
    status, answer = await post(service, "quotes.A", b"1", JSON | {"Authorization": "Bearer x"})
    assert (status, answer["error"]["code"]) == (403, "publish_off")
    assert "TICKFAN_PUBLISH__TOKEN" in answer["error"]["message"]


async def test_data_must_fit_the_schema_of_its_feed(make_live: MakeLive, tmp_path: Path) -> None:
    """Over REST it is refused, with its path; past REST it is poison, and a gap for who reads."""
    file = tmp_path / "trade.json"
    file.write_text('{"type": "object", "properties": {"price": {"type": "string"}}}')
    feed = {"name": "trades", "bind": ["trades.#"], "delivery": "lossless"}
    feeds = orjson.dumps([feed | {"schema_file": str(file)}]).decode()
    live = await make_live(FEEDS=feeds)
    async with live.sse("channels=trades.A") as stream:
        await stream.read_until("snapshot_end")
        status, answer = await post(live, "trades.A", b'{"price": 1.5}')
        assert (status, answer["error"]["code"]) == (400, "bad_schema")
        assert answer["error"]["message"] == '/price: the value is not of type "string"'
        assert (await post(live, "trades.A", b'{"price": "1.5"}'))[0] == 201
        assert (await stream.next())["data"] == {"price": "1.5"}
        await live.publish("trades.A", {"price": 1})
        gap = await stream.next()
        assert (gap["event"], gap["reason"]) == ("gap", "bad_schema")
        await live.publish("trades.A", {"price": "2"})
        update = await stream.next()
        assert (update["data"], update["prev"]) == ({"price": "2"}, gap["seq"])
    metrics = await (await live.admin.get("/metrics")).text()
    assert 'tickfan_poison_total{feed="trades",reason="bad_schema"} 1.0' in metrics
    assert 'tickfan_refusals_total{code="bad_schema"} 1.0' in metrics


async def test_who_publishes_is_in_the_audit_log_where_there_is_a_key(make_live: MakeLive) -> None:
    """What was confirmed, and what was refused for who it was; nothing else."""
    live = await make_live(**GUARDED)
    url = live.url("/v1/channels/quotes.A")
    mine = bearer(publish=["quotes.A"], jti="t1")
    with capture_logs() as lines:
        for headers, body, status in (
            (mine, {"x": 1}, 201), (mine, {"__proto__": 1}, 400),
            (bearer(publish=["quotes.B"]), {}, 403), ({}, {}, 401),
        ):  # fmt: skip
            async with live.session.post(url, json=body, headers=headers) as response:
                assert response.status == status
    told = [line for line in lines if line["event"] in ("published", "access refused")]
    assert [(line["event"], line["subject"], line["jti"]) for line in told] == [
        ("published", "alice", "t1"), ("access refused", "alice", ""), ("access refused", "", ""),
    ]  # fmt: skip
    assert (told[0]["channel"], told[0]["remote"]) == ("quotes.A", "127.0.0.1")
    assert told[1]["refused"] == [{"item": "quotes.A", "code": "publish_forbidden"}]
    assert {line["transport"] for line in told[1:]} == {"rest"}
