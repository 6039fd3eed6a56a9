"""Tokens through all doors: what they allow, and what is never said."""

from __future__ import annotations

import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import orjson
import pytest
from aiohttp import WSMsgType
from aiohttp.test_utils import make_mocked_request
from structlog.testing import capture_logs

from loadtest.rig.waiting import until
from tests.support.access import GUARDED, SECRET, bearer, token
from tests.support.live import Talk
from tickfan.core.errors import Refusal
from tickfan.transports.credentials import bearer as bearer_of
from tickfan.transports.credentials import offered

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.support.fixtures import MakeLive
    from tests.support.live import Live

JSON = "tickfan.json.v1"


@pytest.fixture
async def guarded(make_live: MakeLive) -> Live:
    """A service with a key and a value in each of some channels."""
    live = await make_live(**GUARDED)
    for name in ("quotes.A", "quotes.B", "trades.A", "trades.B"):
        await live.publish(name, {"price": 1})
    return live


async def answered(live: Live, path: str, **options: Any) -> tuple[int, dict[str, str], Any]:
    method = options.pop("method", "GET")
    async with live.session.request(method, live.url(path), **options) as response:
        return response.status, dict(response.headers), await response.json()


@asynccontextmanager
async def talking(live: Live, *protocols: str, **options: Any) -> AsyncIterator[Talk]:
    url = live.url("/v1/ws")
    async with live.session.ws_connect(url, protocols=(JSON, *protocols), **options) as socket:
        yield Talk(socket)


@pytest.mark.parametrize("address", ["/v1/sse", "/v1/ndjson"])
async def test_a_stream_needs_a_token_that_includes_what_it_asks_for(
    guarded: Live, address: str
) -> None:
    """401 without, 403 for more, and the answer says what is allowed."""
    status, headers, body = await answered(guarded, f"{address}?channels=trades.A")
    assert (status, body["error"]["code"]) == (401, "unauthorized")
    assert headers["WWW-Authenticate"] == 'Bearer realm="tickfan"'
    mine = bearer(channels=["trades.A", "quotes.*"])
    for asked, item in (("trades.%23", "trades.#"), ("trades.A,trades.B", "trades.B")):
        status, headers, body = await answered(guarded, f"{address}?channels={asked}", headers=mine)
        assert (status, body["error"]["code"]) == (403, "forbidden")
        assert body["error"]["item"] == item
        assert body["error"]["message"] == (f"the token may read trades.A, quotes.*; not '{item}'")
        assert 'error="insufficient_scope"' in headers["WWW-Authenticate"]
    async with guarded.session.get(
        guarded.url(f"{address}?channels=trades.A,quotes.*"), headers=mine
    ) as response:
        assert response.status == 200
        assert b"snapshot_end" in await response.content.readuntil(b"snapshot_end")
    assert guarded.service.tally.refusals == {"unauthorized": 1, "forbidden": 2}


@pytest.mark.parametrize(
    ("claims", "code"), [({"aud": "x"}, "bad_token"), ({"exp": 1_700_000_000}, "expired")]
)
async def test_a_wrong_token_is_refused_before_anything_else(
    guarded: Live, claims: dict[str, Any], code: str
) -> None:
    """On each address, although a body has not come yet; it is not taken for anonymous."""
    wrong = bearer(**claims)
    for path, method in (
        ("/v1/sse?channels=trades.A", "GET"),
        ("/v1/ndjson", "POST"),
        ("/v1/ws", "GET"),
        ("/v1/channels", "GET"),
        ("/v1/channels/trades.A", "POST"),
    ):
        status, headers, body = await answered(guarded, path, method=method, headers=wrong)
        assert (status, body["error"]["code"]) == (401, code), path
        assert headers["WWW-Authenticate"] == 'Bearer realm="tickfan", error="invalid_token"'


async def test_rest_shows_what_may_be_read(guarded: Live) -> None:
    """Lists, values, histories, and the bindings that a refusal names."""
    mine = bearer(channels=["trades.A", "weather.#"])
    _, _, body = await answered(guarded, "/v1/channels", headers=mine)
    assert [each["channel"] for each in body["channels"]] == ["trades.A"]
    assert [(each["feed"], each["bind"]) for each in body["feeds"]] == [("trades", ["trades.#"])]
    _, _, body = await answered(guarded, "/v1/channels")
    assert (body["channels"], body["feeds"]) == ([], [])
    for path in ("trades.A", "trades.A/history"):
        status, _, _ = await answered(guarded, f"/v1/channels/{path}", headers=mine)
        assert status == 200
    for path in ("trades.B", "trades.B/history", "quotes.A", "none.X"):
        status, _, body = await answered(guarded, f"/v1/channels/{path}", headers=mine)
        assert (status, body["error"]["code"]) == (403, "forbidden")
        assert "bind" not in body["error"]["message"]
    status, _, body = await answered(guarded, "/v1/channels/weather.X", headers=mine)
    assert (status, body["error"]["code"]) == (404, "no_feed")
    assert body["error"]["message"].endswith("the feeds bind: trades.#")


async def test_a_token_publishes_to_its_channels_alone(guarded: Live) -> None:
    """It may read none of them."""
    mine = bearer(publish=["quotes.*"])
    status, _, _ = await answered(
        guarded, "/v1/channels/quotes.A", method="POST", json=2, headers=mine
    )
    assert status == 201
    status, headers, body = await answered(
        guarded, "/v1/channels/trades.A", method="POST", json=2, headers=mine
    )
    assert (status, body["error"]["code"]) == (403, "publish_forbidden")
    assert 'error="insufficient_scope"' in headers["WWW-Authenticate"]
    status, _, body = await answered(guarded, "/v1/channels/quotes.A", method="POST", json=2)
    assert (status, body["error"]["code"]) == (401, "publish_unauthorized")
    status, _, _ = await answered(guarded, "/v1/channels/quotes.A", headers=mine)
    assert status == 403


async def test_some_patterns_may_be_read_without_a_token(make_live: MakeLive) -> None:
    """As the settings say."""
    live = await make_live(**GUARDED, ACCESS__ANONYMOUS='["quotes.#"]')
    async with live.sse("channels=quotes.A") as events:
        await events.read_until("snapshot_end")
    status, _, body = await answered(live, "/v1/sse?channels=%23")
    assert (status, body["error"]["code"]) == (401, "unauthorized")
    assert "without one a client may read quotes.#" in body["error"]["message"]


@pytest.mark.parametrize("how", ["header", "subprotocol", "command"])
async def test_a_websocket_takes_its_token_in_three_ways(guarded: Live, how: str) -> None:
    """The subprotocol of a token is never echoed."""
    mine = token(channels=["trades.A"])
    options: dict[str, Any] = {
        "header": {"headers": {"Authorization": f"bearer {mine}"}},
        "subprotocol": {},
        "command": {},
    }[how]
    protocols = [f"bearer.{mine}"] if how == "subprotocol" else []
    async with talking(guarded, *protocols, **options) as talk:
        assert talk.socket.protocol == JSON
        await talk.read_until("welcome")
        if how == "command":
            await talk.say(op="subscribe", channels=["trades.A"], id=1)
            refused = await talk.next()
            assert (refused["code"], refused["item"]) == ("unauthorized", "trades.A")
            await talk.say(op="auth", token=mine, id=2)
            said = await talk.next()
            assert said.pop("expires") > time.time() * 1000
            assert said == {
                "event": "authenticated", "t": "authenticated", "cursor": None, "id": 2,
                "subject": "alice", "channels": ["trades.A"],
                "interval_ms_min": 0, "dropped": [],
            }  # fmt: skip
        await talk.say(op="subscribe", channels=["trades.A", "trades.B"], id=3)
        told = await talk.read_until("error")
        assert told[0]["event"] == "subscribed"
        assert (told[-1]["code"], told[-1]["item"]) == ("forbidden", "trades.B")


@pytest.mark.parametrize(
    ("claims", "close"), [({"aud": "x"}, (4500, "bad_token")), ({"exp": 1}, (4004, "expired"))]
)
async def test_a_browser_reads_in_the_close_code_what_its_token_was(
    guarded: Live, claims: dict[str, Any], close: tuple[int, str]
) -> None:
    """A script cannot see the status of a handshake."""
    async with talking(guarded, f"bearer.{token(**claims)}") as talk:
        closing = (await talk.read_until("closing"))[-1]
        assert (closing["code"], closing["reason"]) == close
        message = await talk.socket.receive()
        assert message.type is WSMsgType.CLOSE
        assert (message.data, message.extra) == close
    assert guarded.service.tally.closes == {("ws.json", close[1]): 1}


async def test_two_tokens_are_one_too_many(guarded: Live) -> None:
    """It would have to be guessed which one counts."""
    for options in (
        {"headers": {**bearer(), "Sec-WebSocket-Protocol": f"{JSON}, bearer.{token()}"}},
        {"headers": {"Sec-WebSocket-Protocol": f"{JSON}, bearer.a, bearer.b"}},
    ):
        options["headers"] |= {
            "Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Version": "13",
            "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==",
        }  # fmt: skip
        status, _, body = await answered(guarded, "/v1/ws", **options)
        assert status == 400
        assert body["error"]["code"] in ("bad_request", "bad_subprotocol")
    request = make_mocked_request("GET", "/", headers=[("Authorization", "Bearer a")] * 2)
    with pytest.raises(Refusal, match="more than once"):
        bearer_of(request)


def test_an_unknown_subprotocol_is_named_without_the_token() -> None:
    """What is offered beside it may be echoed in an error."""
    headers = {"Sec-WebSocket-Protocol": "mqtt, bearer.abc"}
    request = make_mocked_request("GET", "/v1/ws", headers=headers)
    assert offered(request) == (["mqtt"], "abc")


def test_another_scheme_is_not_ours() -> None:
    """A proxy's password, for example."""
    request = make_mocked_request("GET", "/", headers={"Authorization": "Basic eDp5"})
    assert bearer_of(request) is None


async def test_who_sends_no_token_in_time_has_to_go(make_live: MakeLive) -> None:
    """Only where nothing may be read without one."""
    live = await make_live(**GUARDED, ACCESS__AUTH_TIMEOUT_S="1")
    async with talking(live) as silent, talking(live) as known:
        await known.say(op="auth", token=token(channels=["trades.A"]))
        await known.read_until("authenticated")
        closing = (await silent.read_until("closing"))[-1]
        assert (closing["code"], closing["retry_ms"]) == (4500, None)
        await known.say(op="ping")
        await known.read_until("pong")


@pytest.mark.parametrize("kind", ["sse", "ws"])
async def test_a_stream_ends_shortly_before_its_token(guarded: Live, kind: str) -> None:
    """With its cursor: the client comes back with a new one, and has lost nothing."""
    soon = {"channels": ["trades.#"], "exp": time.time() + 6.5}
    after = {"channels": ["trades.#"]}
    if kind == "sse":
        async with guarded.sse("channels=trades.%23", headers=bearer(**soon)) as events:
            await events.read_until("snapshot_end")
            closing = (await events.read_until("closing"))[-1]
        await guarded.publish("trades.A", {"price": 2})
        again = {**bearer(**after), "Last-Event-ID": closing["cursor"]}
        async with guarded.sse("channels=trades.%23", headers=again) as events:
            [missed] = await events.updates(1)
    else:
        async with talking(guarded, f"bearer.{token(**soon)}") as talk:
            await talk.say(op="subscribe", channels=["trades.#"])
            await talk.read_until("snapshot_end")
            closing = (await talk.read_until("closing"))[-1]
        await guarded.publish("trades.A", {"price": 2})
        async with talking(guarded, f"bearer.{token(**after)}") as talk:
            await talk.say(op="subscribe", channels=["trades.#"], cursor=closing["c"])
            [missed] = await talk.updates(1)
    assert (closing["code"], closing["reason"]) == (4004, "expired")
    assert closing["retry_ms"] > 0
    assert missed["data"] == {"price": 2}


async def test_a_new_token_in_time_keeps_the_socket(guarded: Live) -> None:
    """`auth` on a live WebSocket: nothing ends, nothing comes twice."""
    soon = token(channels=["trades.#"], exp=time.time() + 6.5)
    async with talking(guarded, f"bearer.{soon}") as talk:
        await talk.say(op="subscribe", channels=["trades.#"])
        await talk.read_until("snapshot_end")
        [connection] = guarded.service.connections
        ends_at = connection.leaves_at
        await talk.say(op="auth", token=token(channels=["trades.#", "quotes.#"]))
        await talk.read_until("authenticated")
        assert connection.leaves_at > ends_at + 500
        await guarded.publish("trades.A", {"price": 2})
        [update] = await talk.updates(1)
        assert update["data"] == {"price": 2}


async def test_a_narrower_token_drops_what_it_does_not_cover(guarded: Live) -> None:
    """Each with its reason; what is left goes on, and a slower tier is slower at once."""
    wide = token(channels=["#"])
    async with talking(guarded, f"bearer.{wide}") as talk:
        await talk.say(op="subscribe", channels=["trades.A", "trades.B", "quotes.A"])
        await talk.read_until("snapshot_end")
        narrow = token(channels=["trades.A", "quotes.*"], interval_ms_min=900)
        await talk.say(op="auth", token=narrow, id=7)
        said, refused = (await talk.read_until("error"))[-2:]
        assert (said["event"], said["dropped"], said["interval_ms_min"]) == (
            "authenticated", ["trades.B"], 900,
        )  # fmt: skip
        assert (refused["code"], refused["item"]) == ("forbidden", "trades.B")
        [connection] = guarded.service.connections
        assert [*connection.conflated] == [1000]
        await guarded.publish("trades.B", 1)
        await guarded.publish("trades.A", 2)
        [update] = await talk.updates(1)
        assert update["channel"] == "trades.A"
        await talk.say(op="auth", token=token(channels=[]))
        said = (await talk.read_until("authenticated"))[-1]
        assert said["dropped"] == ["trades.A", "quotes.A"]
        assert not connection.grants
        assert connection.lossless is None


async def test_a_wrong_token_on_a_live_socket_changes_nothing(guarded: Live) -> None:
    """It is told, and the old one goes on."""
    async with talking(guarded, f"bearer.{token(channels=['trades.A'])}") as talk:
        await talk.say(op="subscribe", channels=["trades.A"])
        await talk.read_until("snapshot_end")
        for wrong, code in ((token(aud="x"), "bad_token"), (7, "bad_field"), ("", "bad_field")):
            await talk.say(op="auth", token=wrong, id=1)
            refused = await talk.next()
            assert (refused["event"], refused["code"], refused["id"]) == ("error", code, 1)
        await guarded.publish("trades.A", 2)
        await talk.updates(1)


async def test_a_subject_has_a_number_of_streams(guarded: Live) -> None:
    """Its token says how many, in each replica. Another one may come; one that left makes room."""
    mine = bearer(channels=["quotes.A"], connections_max=2)
    query = "channels=quotes.A"
    async with guarded.sse(query, headers=mine) as first, guarded.ndjson(query, headers=mine):
        async with guarded.sse(query, headers=mine) as third:
            closing = (await third.read_until("closing"))[-1]
        assert (closing["code"], closing["reason"]) == (4010, "throttled")
        async with talking(guarded, f"bearer.{token(connections_max=2)}") as talk:
            assert (await talk.read_until("closing"))[-1]["code"] == 4010
        async with talking(guarded) as talk:
            await talk.say(op="auth", token=token(connections_max=2))
            assert (await talk.read_until("closing"))[-1]["code"] == 4010
        others = bearer(sub="bob", channels=["quotes.A"], connections_max=2)
        async with guarded.sse(query, headers=others) as events:
            await events.read_until("snapshot_end")
        await first.read_until("snapshot_end")
    await until(lambda: not guarded.service.connected, "all have left")
    async with guarded.sse(query, headers=mine) as events:
        await events.read_until("snapshot_end")


async def test_a_slower_tier_gets_fewer_values(guarded: Live) -> None:
    """The interval of the token, rounded up; a client may ask for less."""
    mine = bearer(channels=["quotes.#"], interval_ms_min=300)
    for asked, granted in (("", 500), ("&interval_ms=50", 500), ("&interval_ms=2000", 2000)):
        async with guarded.sse(f"channels=quotes.%23{asked}", headers=mine) as events:
            subscribed = await events.next()
            assert subscribed["channels"][0]["interval_ms"] == granted


async def test_nobody_waits_for_a_feed_that_he_may_not_read(guarded: Live) -> None:
    """A cursor from the future of another feed holds nobody up, and tells nothing of it."""
    cursor = (await _cursor(guarded, ["trades.#"])).replace("trades", "book")
    mine = {**bearer(channels=["trades.A"]), "Last-Event-ID": cursor}
    async with guarded.sse("channels=trades.A", headers=mine) as events:
        told = await events.read_until("snapshot_end")
    assert [event["event"] for event in told] == ["subscribed", "snapshot_end"]


async def _cursor(live: Live, channels: list[str]) -> str:
    headers = bearer(channels=channels)
    async with live.sse(f"channels={channels[0].replace('#', '%23')}", headers=headers) as events:
        cursor: str = (await events.read_until("snapshot_end"))[-1]["cursor"]
        return cursor


async def test_what_is_remembered_for_all_knows_no_token(guarded: Live) -> None:
    """Who may read more comes after who may read less, and the other way round."""
    for channels, status in ((["quotes.#"], 200), (["quotes.A"], 403), (["#"], 200), ([], 403)):
        async with guarded.session.get(
            guarded.url("/v1/sse?channels=quotes.%23"), headers=bearer(channels=channels)
        ) as response:
            assert response.status == status


async def test_a_token_is_in_no_log_and_no_answer(guarded: Live) -> None:
    """Neither a good one nor a wrong one, on whatever way it came."""
    good, wrong = token(channels=["trades.A"]), token(aud="x")
    said: list[Any] = []
    with capture_logs() as logs:
        for each in (good, wrong):
            headers = {"Authorization": f"Bearer {each}"}
            paths = ("/v1/channels", "/v1/sse?channels=trades.B", "/v1/ws")
            said += [await answered(guarded, path, headers=headers) for path in paths]
            async with talking(guarded, f"bearer.{each}") as talk:
                said += await talk.read_until("welcome" if each is good else "closing")
            async with talking(guarded) as talk:
                await talk.say(op="auth", token=each)
                await talk.say(op="auth", tokens=each)
                said += await talk.read_until("error")
    texts = f"{logs}{said}"
    for secret in (good, wrong, good.split(".")[2], wrong.split(".")[2], SECRET):
        assert secret not in texts
    assert orjson.loads(orjson.dumps(logs, default=str))
