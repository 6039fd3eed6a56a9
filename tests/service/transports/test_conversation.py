"""One client's commands and our answers, through real sockets."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import msgpack
import orjson
import pytest
from structlog.testing import capture_logs
from websockets.asyncio.client import connect as websocket
from websockets.typing import Subprotocol

from loadtest.rig.waiting import DEADLINE_S, until
from tests.service.transports.faults import NO_CONNECTIONS, NO_SUBSCRIPTIONS
from tests.service.transports.opened import handshake
from tests.support.raw import CLOSE, PING, PONG, TEXT, connect, upgrade
from tickfan.core.feed import Upstream
from tickfan.fanout.finding import LOOKS_AT_ONCE

if TYPE_CHECKING:
    from tests.support.fixtures import MakeLive
    from tests.support.live import Live, Talk
    from tests.support.raw import Wire
    from tickfan.parts import Parts

BOTH = pytest.mark.parametrize("subprotocol", ["tickfan.msgpack.v1", "tickfan.json.v1"])

MALFORMED: dict[str, tuple[Any, str, str | None]] = {
    "no map": (["subscribe"], "bad_message", None),
    "nothing": ({}, "unknown_op", "op"),
    "unknown op": ({"op": "buy"}, "unknown_op", "op"),
    "unknown field": ({"op": "subscribe", "chanels": ["quotes.A"]}, "bad_field", "chanels"),
    "until is for HTTP": ({"op": "subscribe", "until": "done"}, "bad_field", "until"),
    "no channels": ({"op": "subscribe"}, "bad_field", "channels"),
    "empty channels": ({"op": "subscribe", "channels": []}, "bad_field", "channels"),
    "channels of numbers": ({"op": "subscribe", "channels": [1]}, "bad_field", "channels"),
    "channels as text": ({"op": "unsubscribe", "channels": "quotes.A"}, "bad_field", "channels"),
    "interval as text": (
        {"op": "subscribe", "channels": ["quotes.A"], "interval_ms": "1"},
        "bad_field", "interval_ms",
    ),
    "interval as truth": (
        {"op": "subscribe", "channels": ["quotes.A"], "interval_ms": True},
        "bad_field", "interval_ms",
    ),
    "snapshot as number": (
        {"op": "subscribe", "channels": ["quotes.A"], "snapshot": 1}, "bad_field", "snapshot",
    ),
    "cursor as number": (
        {"op": "subscribe", "channels": ["trades.A"], "cursor": 1}, "bad_field", "cursor",
    ),
    "foreign cursor": (
        {"op": "subscribe", "channels": ["trades.A"], "cursor": "abc"}, "bad_cursor", "cursor",
    ),
    "bad pattern": ({"op": "unsubscribe", "channels": ["quotes."]}, "bad_pattern", "quotes."),
    "nothing granted": (
        {"op": "subscribe", "channels": ["weather.X"]}, "no_feed", "weather.X",
    ),
}  # fmt: skip


async def quiet(talk: Talk) -> list[dict[str, Any]]:
    """Everything that came before the answer to a ping."""
    mark = f"quiet-{len(talk.messages)}"
    await talk.say(op="ping", id=mark)
    seen = []
    while (event := await talk.next()).get("id") != mark:
        seen.append(event)
    return seen


@BOTH
async def test_a_conversation_from_welcome_to_close(
    make_live: MakeLive, subprotocol: str, over: dict[str, str]
) -> None:
    """Welcome, a grant, a snapshot, live updates, all in the subprotocol's encoding."""
    service = await make_live(**over)
    await service.publish("quotes.A", {"bid": "1"})
    async with service.ws(subprotocol) as talk:
        welcome = talk.messages[0]
        await talk.say(op="subscribe", id=7, channels=["quotes.A", "trades.*"])
        opening = await talk.read_until("snapshot_end")
        await service.publish("trades.A", {"price": "2"})
        await service.publish("trades.A", "x", type="trade_bust")
        first, second = await talk.updates(2)
        await talk.socket.close()
        await until(lambda: not service.service.connected)

    assert talk.socket.protocol == subprotocol
    assert welcome["protocol"] == subprotocol
    assert welcome["epoch"] == service.service.subscriptions.epoch
    assert welcome["limits"] == {
        "message_bytes_max": 16384, "updates_bytes_max": 32768, "channels_per_connection_max": 500,
        "wildcards_per_connection_max": 100, "commands_per_s_max": 100,
    }  # fmt: skip
    assert [event["event"] for event in opening] == ["subscribed", "update", "snapshot_end"]
    assert (opening[0]["id"], opening[-1]["id"]) == (7, 7)
    assert opening[1]["snapshot"] is True
    assert opening[-1]["c"].startswith("1~trades.")
    assert (first["data"], first["prev"]) == ({"price": "2"}, None)
    assert (second["type"], second["prev"]) == ("trade_bust", first["seq"])
    assert second["cursor"].startswith("1~trades.")
    assert service.service.tally.closes == {
        ("ws.msgpack" if "msgpack" in subprotocol else "ws.json", "left"): 1
    }


@BOTH
async def test_a_subscribe_grants_what_it_can(service: Live, subprotocol: str) -> None:
    """A refused channel is refused alone, by name; the connection lives on."""
    async with service.ws(subprotocol) as talk:
        await talk.say(op="subscribe", id="s", channels=["quotes.A", "weather.X", "quotes.."])
        subscribed, end, first, second = [await talk.next() for _ in range(4)]
        await service.publish("quotes.A", 1)
        [update] = await talk.updates(1)

    assert [grant["channel"] for grant in subscribed["channels"]] == ["quotes.A"]
    assert (end["event"], end["id"]) == ("snapshot_end", "s")
    assert (first["event"], first["code"], first["item"]) == ("error", "no_feed", "weather.X")
    assert (second["code"], second["item"]) == ("bad_pattern", "quotes..")
    assert first["id"] == second["id"] == "s"
    assert update["data"] == 1


@BOTH
async def test_many_refusals_are_no_sign_of_a_slow_client(service: Live, subprotocol: str) -> None:
    """Some by name and the rest by number, also behind a snapshot that takes its time."""
    for number in range(500):
        await service.publish(f"quotes.S{number}", "x" * 2000)
    bad = [f"weather.{number}" for number in range(400)]
    async with service.ws(subprotocol) as talk:
        await talk.say(op="subscribe", id=1, channels=["quotes.#", *bad])
        seen = [await talk.next() for _ in range(1 + 500 + 1 + 33)]
        await talk.say(op="subscribe", id=2, channels=["a.b"] * 501)
        many = await talk.next()
        assert await quiet(talk) == []
    errors = [event for event in seen if event["event"] == "error"]
    assert [error["item"] for error in errors[:-1]] == bad[:32]
    assert (errors[-1]["code"], errors[-1]["id"]) == ("more_refused", 1)
    assert errors[-1]["message"].startswith("368 more")
    assert (many["code"], many["id"], many["item"]) == ("too_many_channels", 2, "a.b")


@BOTH
async def test_a_malformed_command_is_answered_and_the_connection_lives_on(
    service: Live, subprotocol: str
) -> None:
    """Each with its code, the item and the client's own mark."""
    async with service.ws(subprotocol) as talk:
        for name, (message, code, item) in MALFORMED.items():
            if isinstance(message, dict):
                await talk.say(id=name, **message)
            else:
                data = msgpack.packb(message)
                if subprotocol == "tickfan.json.v1":
                    await talk.socket.send_str(orjson.dumps(message).decode())
                else:
                    await talk.socket.send_bytes(data)
            error = await talk.next()
            assert (error["event"], error["code"], error.get("item")) == ("error", code, item), name
            assert error.get("id") == (name if isinstance(message, dict) else None)
        assert await quiet(talk) == []
    assert not len(service.service.directory)


@BOTH
async def test_a_frame_of_the_wrong_kind_or_no_encoding_is_answered(
    service: Live, subprotocol: str
) -> None:
    """Text where binary is spoken, broken encodings, bombs: an error each."""
    async with service.ws(subprotocol) as talk:
        if subprotocol == "tickfan.json.v1":
            await talk.socket.send_bytes(b'{"op":"ping"}')
            wrong = await talk.next()
            await talk.socket.send_str("{")
        else:
            await talk.socket.send_str('{"op":"ping"}')
            wrong = await talk.next()
            await talk.socket.send_bytes(b"\xdd\xff\xff\xff\xff")
        broken = await talk.next()
        assert await quiet(talk) == []
    assert (wrong["code"], broken["code"]) == ("wrong_frame", "bad_message")
    assert subprotocol in wrong["message"]
    others = {"tickfan.json.v1", "tickfan.msgpack.v1"} - {subprotocol}
    assert wrong["message"].endswith(f"ask for the subprotocol {others.pop()}")


async def test_an_oversize_message_is_refused_and_a_huge_one_closes(make_live: MakeLive) -> None:
    """Up to four times the limit by name; above it aiohttp does not even read it: 1009."""
    service = await make_live(HTTP__MESSAGE_BYTES_MAX="1024")
    async with connect(service, upgrade()) as wire:
        await handshake(wire)
        await wire.frame()
        wire.send_frame(TEXT, b" " * 1025)
        error = orjson.loads((await wire.frame()).body)
        wire.send_frame(TEXT, b'{"op":"ping"}')
        assert orjson.loads((await wire.frame()).body)["t"] == "pong"
        wire.send_frame(TEXT, b" " * 4097)
        frame = await wire.frame()
        assert await wire.rest() == b""

    assert (error["code"], "1025 bytes; at most 1024" in error["message"]) == (
        "message_too_big", True,
    )  # fmt: skip
    assert (frame.opcode, frame.code) == (CLOSE, 1009)
    await until(lambda: service.service.tally.closes == {("ws.json", "bad_request"): 1})


@BOTH
async def test_what_is_unsubscribed_comes_no_more(service: Live, subprotocol: str) -> None:
    """Not even what was marked or queued before; the rest goes on."""
    async with service.ws(subprotocol) as talk:
        await talk.say(op="subscribe", channels=["quotes.A", "quotes.B", "trades.A", "trades.B"])
        await talk.read_until("snapshot_end")
        await service.publish("quotes.A", "marked, not sent yet")
        await talk.say(op="unsubscribe", id=1, channels=["quotes.A", "trades.A", "never.was"])
        answer = await talk.read_until("unsubscribed")
        for channel in ("quotes.A", "trades.A", "trades.B", "quotes.B"):
            await service.publish(channel, "after")
        rest = await talk.updates(2)
        assert await quiet(talk) == []  # quotes.A would have come in one batch with quotes.B

    assert answer[-1]["channels"] == ["quotes.A", "trades.A", "never.was"]
    assert answer[-1]["id"] == 1
    assert [event["channel"] for event in rest] == ["trades.B", "quotes.B"]


@BOTH
async def test_a_large_subscription_is_whole_and_answers_stay_in_order(
    service: Live, subprotocol: str
) -> None:
    """It is looked for in many turns of the loop; what is said behind it waits."""
    names = [f"quotes.n.{number}" for number in range(LOOKS_AT_ONCE + 500)]
    await service.publish_all(names)
    async with service.ws(subprotocol) as talk:
        await talk.say(op="subscribe", id=1, channels=["*.n.#"])
        await talk.say(op="ping", id=2)
        await talk.say(op="subscribe", id=3, channels=["*.*.*"], interval_ms=200, snapshot=False)
        await talk.say(op="unsubscribe", id=4, channels=["*.n.#"])
        await talk.say(op="ping", id=5)
        seen: list[dict[str, Any]] = []
        while not seen or seen[-1].get("id") != 5:
            seen.append(await talk.next())
        answers = [(one["event"], one["id"]) for one in seen if "id" in one]
        assert [answer for answer in answers if answer[0] != "snapshot_end"] == [
            ("subscribed", 1), ("pong", 2), ("subscribed", 3), ("unsubscribed", 4), ("pong", 5),
        ]  # fmt: skip
        if ("snapshot_end", 1) not in answers:
            seen += await talk.read_until("snapshot_end")
        assert [one["channel"] for one in seen if one["event"] == "update"] == names
        await service.publish("quotes.n.7", "after")
        await service.publish("quotes.n.new", "after")
        came = {one["channel"]: one["data"] for one in await talk.updates(2)}
    assert came == {"quotes.n.7": "after", "quotes.n.new": "after"}


async def test_a_client_that_goes_during_its_search_leaves_nothing(service: Live) -> None:
    """Neither an audience nor work that goes on."""
    await service.publish_all([f"quotes.n.{number}" for number in range(20_000)])
    command = b'{"op":"subscribe","channels":["#","*.#","#.*"]}'
    for _ in range(5):
        async with connect(service, upgrade()) as wire:
            await handshake(wire)
            await wire.frame()
            wire.send_frame(TEXT, command)
            await until(lambda: len(service.service.background) > 0)
    await until(lambda: len(service.service.background) == 0)
    await until(lambda: service.service.tally.closes.total() == 5)
    assert len(service.service.directory) == 0


async def test_another_interval_moves_the_channel(service: Live) -> None:
    """A second subscribe replaces the first: one copy, at the new rhythm."""
    async with service.ws() as talk:
        for interval_ms, granted in ((60_000, 60_000), (1, 100)):
            await talk.say(op="subscribe", channels=["quotes.A"], interval_ms=interval_ms)
            opening = await talk.read_until("snapshot_end")
            assert opening[0]["channels"][0]["interval_ms"] == granted
            assert len(service.service.directory) == 1
        await service.publish("quotes.A", "soon")
        assert [event["data"] for event in await talk.updates(1)] == ["soon"]

        # A channel of several subscriptions comes once, at the shortest.
        await talk.say(op="subscribe", channels=["quotes.*"], interval_ms=200)
        await talk.read_until("snapshot_end")
        await service.publish("quotes.A", "once")
        await service.publish("quotes.B", "wild")
        seen = await talk.updates(2)
        await service.publish("quotes.B", "again")  # at the longer interval's next tick
        seen += await talk.updates(1)
    assert sorted(event["data"] for event in seen[:2]) == ["once", "wild"]
    assert seen[2]["data"] == "again"


async def test_a_cursor_goes_with_the_first_subscribe(service: Live) -> None:
    """It recovers then; later it is refused by name, and nothing is granted."""
    async with service.ws() as talk:
        await talk.say(op="subscribe", channels=["trades.A"])
        await talk.read_until("snapshot_end")
        for number in range(3):
            await service.publish("trades.A", number)
        first = (await talk.updates(3))[0]
        after_all = talk.messages[-1]["c"]
        await talk.say(op="subscribe", id="x", channels=["book.A"], cursor=after_all)
        late = await talk.next()
    assert (late["event"], late["code"], late["id"]) == ("error", "late_cursor", "x")
    assert first["data"] == 0

    await service.publish("trades.A", "missed")
    async with service.ws() as talk:
        await talk.say(op="subscribe", channels=["trades.A", "book.A"], cursor=after_all)
        subscribed = await talk.next()
        recovered = {grant["channel"]: grant["recovered"] for grant in subscribed["channels"]}
        assert recovered == {"trades.A": True, "book.A": None}
        assert [event["data"] for event in await talk.updates(1)] == ["missed"]


async def test_of_several_faults_the_first_is_told(make_live: MakeLive) -> None:
    """How many channels there are, then the cursor, whether it is late, then each channel."""
    service = await make_live(STREAM__CHANNELS_PER_CONNECTION_MAX="2")
    many, bad, cursor = ["a..b", "nobody", "c"], ["a..b", "nobody"], "1~trades.0.AAAAAAAAAAA"
    told: list[list[str]] = []
    async with service.ws() as talk:

        async def say(channels: list[str], cursor: str | None) -> None:
            await talk.say(op="subscribe", channels=channels, cursor=cursor)
            told.append([one["code"] for one in await quiet(talk) if one["event"] == "error"])

        for channels, place in ((many, "x"), (bad, "x"), (many, None), (bad, cursor)):
            await say(channels, place)
        await say(["trades.A"], None)
        await say(bad, cursor)
        await say(["nobody", "trades.B"], None)
        await say(["nobody", "trades.C"], None)
    assert told == [
        ["too_many_channels"], ["bad_cursor"], ["too_many_channels"], ["bad_channel", "no_feed"],
        [], ["late_cursor"], ["no_feed"], ["too_many_channels", "too_many_channels"],
    ]  # fmt: skip


async def test_who_does_not_answer_a_ping_is_closed(make_live: MakeLive) -> None:
    """closing: no_pong and 4007; any sign of life counts, also a command."""
    service = await make_live(STREAM__PING_S="1", STREAM__PONG_TIMEOUT_S="0.5")
    async with connect(service, upgrade()) as silent, connect(service, upgrade()) as alive:
        for wire in (silent, alive):
            await handshake(wire)
            await wire.frame()
        assert await alive.frame() == (PING, b"")
        alive.send_frame(PONG, b"")
        assert await silent.frame() == (PING, b"")
        last = orjson.loads((await silent.frame()).body)
        assert await alive.frame() == (PING, b"")
        alive.send_frame(TEXT, b'{"op":"ping"}')
        assert (await alive.frame()).opcode == TEXT
        close = await silent.frame()

    assert (last["t"], last["reason"], last["code"]) == ("closing", "no_pong", 4007)
    assert (close.opcode, close.code, close.body[2:]) == (CLOSE, 4007, b"no_pong")
    assert service.service.tally.closes["ws.json", "no_pong"] == 1


@BOTH
async def test_draining_says_so_and_closes_with_its_code(service: Live, subprotocol: str) -> None:
    """closing: drain with the cursor, then 4003; nothing comes after it."""
    async with service.ws(subprotocol) as talk:
        await talk.say(op="subscribe", channels=["trades.A"])
        await talk.read_until("snapshot_end")
        await service.publish("trades.A", 1)
        [update] = await talk.updates(1)
        await service.service.drain(0)
        await service.publish("trades.A", "late")
        end = await talk.next()
        with pytest.raises(EOFError):
            await talk.next()

    assert (end["event"], end["reason"], end["code"]) == ("closing", "drain", 4003)
    assert end["c"] == update["cursor"]
    assert end["retry_ms"]
    assert talk.socket.close_code == 4003


async def test_before_the_start_only_lossless_subscriptions_wait(make_live: MakeLive) -> None:
    """A conflated one is granted and says that it is not live; a lossless one: starting.

    Also on a replica that is full: who is in is not one too many.
    """
    settings = {"BROKER__URL": "amqp://guest:guest@127.0.0.1:1", "STREAM__CONNECTIONS_MAX": "1"}
    service = await make_live(**settings)
    async with service.ws() as talk:
        await talk.say(op="subscribe", channels=["quotes.A"])
        [subscribed, _] = await talk.read_until("snapshot_end")
        assert subscribed["channels"][0]["upstream"] == "starting"
        await talk.say(op="subscribe", channels=["trades.A"])
        [end] = await talk.read_until("closing")
        with pytest.raises(EOFError):
            await talk.next()
    assert (end["reason"], talk.socket.close_code) == ("starting", 4000)


@pytest.mark.parametrize(
    ("parts", "command"),
    [
        (NO_CONNECTIONS, {}),
        (NO_SUBSCRIPTIONS, {"op": "subscribe", "channels": ["quotes.A"]}),
        (
            NO_SUBSCRIPTIONS,
            {"op": "subscribe", "channels": ["trades.A"], "cursor": "1~trades.0.AAAAAAAAAAA"},
        ),
    ],
    ids=["welcome", "subscribe", "resume"],
)
async def test_a_failure_is_told(
    make_live: MakeLive, parts: Parts, command: dict[str, Any]
) -> None:
    """closing: internal and 4008, never a bare cut."""
    service = await make_live(parts=parts)
    await service.publish("trades.A", 1)
    with capture_logs() as logs:
        async with connect(service, upgrade()) as wire:
            await handshake(wire)
            if command:
                await wire.frame()
                wire.send_frame(TEXT, orjson.dumps(command))
            end = orjson.loads((await wire.frame()).body)
            assert (await wire.frame()).code == 4008
            wire.send_frame(CLOSE, b"\x0f\xa8")
            assert await wire.rest() == b""
    assert (end["t"], end["reason"], end["code"]) == ("closing", "internal", 4008)
    errors = [line["event"] for line in logs if line["log_level"] == "error"]
    assert errors == ["a conversation failed"]
    assert not service.service.connected


AHEAD = b'{"op":"subscribe","id":1,"channels":["trades.A"],"cursor":"1~trades.5.AAAAAAAAAAA"}'


def conversation(service: Live) -> Any:
    """The server's side of the only connection."""
    runner = service.client.server.runner
    assert runner is not None
    assert runner.server is not None
    [found] = runner.server.connections
    return found


async def test_commands_wait_behind_one_that_waits_for_its_replica(service: Live) -> None:
    """They are done in their order; of what comes meanwhile no more is taken than of a message."""
    async with connect(service, upgrade()) as wire:
        await handshake(wire)
        await wire.frame()
        served = conversation(service)
        wire.send_frame(TEXT, AHEAD)
        wire.send_frame(TEXT, b'{"op":"ping","id":2}')
        for _ in range(600):
            wire.send_frame(PONG, b"x" * 125)
        await until(lambda: not served.transport.is_reading())
        for number in range(7):  # now this replica has read as far: it is another stream
            await service.publish("trades.A", number)
        marks = []
        while 2 not in marks:
            marks.append(orjson.loads((await wire.frame()).body).get("id"))
        assert 1 in marks
        await until(served.transport.is_reading)
        wire.send_frame(CLOSE, b"")
        await wire.rest()
    await until(lambda: service.service.tally.closes == {("ws.json", "left"): 1})


async def wait_ahead(wire: Wire) -> None:
    """Come in, and ask to resume where this replica has not read yet: the command waits."""
    await handshake(wire)
    await wire.frame()
    wire.send_frame(TEXT, b'{"op":"ping"}')
    await wire.frame()
    before = asyncio.all_tasks()
    wire.send_frame(TEXT, AHEAD)
    await until(lambda: asyncio.all_tasks() - before, "a command that waits has a task")


async def test_a_connection_waits_for_a_cursor_once(service: Live) -> None:
    """Another one, after all was unsubscribed, is judged at once; a late one is refused so."""
    service.service.admission.behind_s = 3600.0
    awaited = service.service.feeds["trades"].awaited
    told: list[dict[str, Any]] = []

    async def answer(number: int) -> dict[str, Any]:
        while not told or told[-1].get("id") != number:
            told.append(orjson.loads((await wire.frame()).body))
        return told[-1]

    async with connect(service, upgrade()) as wire:
        await wait_ahead(wire)
        await until(lambda: len(awaited) == 1)
        for number in range(7):
            await service.publish("trades.A", number)
        assert (await answer(1))["t"] == "subscribed"
        further = AHEAD.replace(b"1~trades.5.", b"1~trades.zzzzz.")
        wire.send_frame(TEXT, further.replace(b'"id":1', b'"id":2'))
        assert (await answer(2))["code"] == "late_cursor"
        wire.send_frame(TEXT, b'{"op":"unsubscribe","id":3,"channels":["trades.A"]}')
        wire.send_frame(TEXT, further.replace(b'"id":1', b'"id":4'))
        [grant] = (await answer(4))["channels"]
        assert grant["recovered"] is False
        assert not len(awaited)


async def test_who_leaves_while_its_command_waits_is_let_go(service: Live) -> None:
    """Nothing is granted to it later."""
    tasks = len(asyncio.all_tasks())
    async with connect(service, upgrade()) as wire:
        await wait_ahead(wire)
    await until(lambda: len(asyncio.all_tasks()) <= tasks)
    assert not len(service.service.directory)
    assert service.service.tally.closes == {("ws.json", "lost"): 1}


@pytest.mark.parametrize("behind", [0, 600], ids=["alone", "behind commands"])
async def test_who_is_sent_away_while_its_command_waits_may_say_goodbye(
    make_live: MakeLive, behind: int
) -> None:
    """Its answer to our close frame is read, also behind many commands; nothing is cut."""
    service = await make_live(STREAM__CLOSING_TIMEOUT_S="30")
    async with connect(service, upgrade()) as wire:
        await wait_ahead(wire)
        served = conversation(service)
        for _ in range(behind):
            wire.send_frame(PONG, b"x" * 125)
        await until(lambda: served.transport.is_reading() == (not behind))
        await service.service.drain(0)
        assert (await wire.frame()).opcode == TEXT
        assert (await wire.frame()).code == 4003
        wire.send_frame(CLOSE, b"\x0f\xa3")
        assert await wire.rest() == b""


async def test_who_waits_for_a_feed_that_goes_down_is_sent_elsewhere(service: Live) -> None:
    """This replica will not catch up; another may have what the cursor names."""
    async with connect(service, upgrade()) as wire:
        await wait_ahead(wire)
        service.hub.upstream(service.service.feeds["trades"], Upstream.STALE, "gone", 0)
        end = orjson.loads((await wire.frame()).body)
        assert (await wire.frame()).code == 4000
    assert (end["t"], end["reason"]) == ("closing", "starting")


async def test_who_says_goodbye_and_reads_no_more_is_cut(
    make_live: MakeLive, over: dict[str, str]
) -> None:
    """Its close frame is answered behind bytes that it never takes."""
    service = await make_live(**over)
    async with connect(service, upgrade(), receive_bytes=4096) as wire:
        await handshake(wire)
        wire.send_frame(TEXT, b'{"op":"subscribe","channels":["trades.A"]}')
        await wire.up_to(b"snapshot_end")
        transport = conversation(service).transport
        while transport.get_write_buffer_size() < 10_000:
            await service.publish("trades.A", "x" * 50_000)
            await asyncio.sleep(0.001)
        wire.send_frame(CLOSE, b"\3\xe8")
        runner: Any = service.client.server.runner
        await until(lambda: not runner.server.connections)
    assert service.service.tally.closes == {("ws.json", "left"): 1}


async def test_a_client_that_never_answers_the_close_is_cut(service: Live) -> None:
    """Goodbye takes closing_timeout_s, not for ever."""
    async with connect(service, upgrade()) as wire:
        await handshake(wire)
        await wire.frame()
        began = asyncio.get_running_loop().time()
        await service.service.drain(0)
        assert (await wire.frame()).opcode == TEXT
        assert (await wire.frame()).opcode == CLOSE
        assert await wire.rest() == b""  # our own close frame is never sent
        assert asyncio.get_running_loop().time() - began < 5


@BOTH
async def test_bursts_fit_a_client_that_takes_32_kib(service: Live, subprotocol: str) -> None:
    """coder/websocket takes no larger message: it would be cut, come back and get it again."""
    is_json = subprotocol == "tickfan.json.v1"
    read, say = (orjson.loads, orjson.dumps) if is_json else (msgpack.unpackb, msgpack.packb)
    url = service.url("/v1/ws").replace("http", "ws")
    async with (
        asyncio.timeout(DEADLINE_S),
        websocket(url, subprotocols=[Subprotocol(subprotocol)], max_size=2**15) as client,
    ):
        command = say({"op": "subscribe", "channels": ["trades.#", "quotes.#"]})
        await client.send(command, text=is_json)
        while read(await client.recv())["t"] != "snapshot_end":
            pass
        # A burst as it comes, a large tick, and snapshots.
        trades = [{"channel": f"trades.{n % 7}", "data": "x" * 1000} for n in range(100)]
        await service.publish_batch("trades", trades)
        quotes = [{"channel": f"quotes.{n}", "data": "x" * 750} for n in range(600)]
        await service.publish_batch("quotes", quotes)
        rows: list[Any] = []
        while len(rows) < 700:
            rows += read(await client.recv()).get("u", ())
        assert sorted(row[0] for row in rows) == sorted(one["channel"] for one in trades + quotes)
        await client.send(command, text=is_json)
        snapshots = 0
        while snapshots < 600:
            message = read(await client.recv())
            snapshots += len(message.get("u", ())) * message.get("snapshot", 0)


async def test_a_large_snapshot_is_read_before_more_is_asked_for(service: Live) -> None:
    """To join another one to it would hold the loop; who reads gets both, one after the other."""
    names = [f"quotes.{number}" for number in range(4 * LOOKS_AT_ONCE)]
    await service.publish_all(names)
    async with connect(service, upgrade(), receive_bytes=2048) as wire:
        await handshake(wire)
        for number in range(4):
            command = {"op": "subscribe", "channels": ["quotes.#"], "id": number}
            wire.send_frame(TEXT, orjson.dumps(command))
        wire.send_frame(TEXT, b'{"op":"unsubscribe","channels":["quotes.#"],"id":4}')
        [connection] = service.service.connections
        await until(lambda: connection.unread > LOOKS_AT_ONCE, "the first snapshot waits")
        backlog = connection.subscriber.backlog
        assert backlog is not None
        assert len(backlog.openings) == 1
        told: list[int] = []
        channels = [0] * 4
        while len(told) < 5:
            message = orjson.loads((await wire.frame()).body)
            if message["t"] in ("subscribed", "unsubscribed"):
                told.append(message["id"])
            elif message["t"] == "updates":
                channels[told[-1]] += len(message["u"])
    assert told == [0, 1, 2, 3, 4]
    # Until it is unsubscribed each has all; the last one is unsubscribed when little is left.
    assert channels[:3] == [len(names)] * 3
    assert len(names) - LOOKS_AT_ONCE <= channels[3] <= len(names)
