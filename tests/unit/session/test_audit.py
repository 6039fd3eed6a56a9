"""tickfan.session.audit: what is written, of whom, and how much of a flood."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import orjson
import pytest
from structlog.testing import capture_logs

from tests.support.access import ANYBODY
from tests.support.fanout import Client, Fanout, skips_time
from tickfan.core import closing
from tickfan.core.errors import Refusal
from tickfan.core.pattern import CHANNEL_CHARS_MAX
from tickfan.core.scope import Scope
from tickfan.session.audit import (
    ALIVE_S,
    LINES_MAX,
    LINES_PER_SUBJECT_MAX,
    REFUSED_NAMED_MAX,
    WINDOW_S,
    Audit,
)

if TYPE_CHECKING:
    from tickfan.access.identity import Identity

ANN = replace(ANYBODY, subject="ann", issuer="login", token_id="t1", expires_at=2e9)
BOB = replace(ANN, subject="bob", token_id="t2")
WHO = {
    "subject": "ann", "issuer": "login", "jti": "t1", "remote": "", "connection": "epoch-1",
    "transport": "ws.json", "log_level": "info",
}  # fmt: skip


def connect(fanout: Fanout, identity: Identity = ANN) -> Client:
    return Client(fanout, "json", "fast", None, identity)


def renew(fanout: Fanout, client: Client, identity: Identity) -> None:
    """As a transport does."""
    fanout.subscriptions.renew(
        client.connection, fanout.subscriptions.narrow(client.connection, identity)
    )
    fanout.connections.renew(client.connection, identity)


def events(lines: list[Any]) -> list[tuple[str, str]]:
    return [(line["event"], line.get("subject", "")) for line in lines]


@skips_time
async def test_a_connection_is_told_from_its_first_pattern_to_its_end() -> None:
    """Which patterns of which feed, at what interval; what is dropped; why it ended."""
    fanout = Fanout()
    with capture_logs() as lines:
        client = connect(fanout)
        client.subscribe("quotes.A", "quotes.B", "trades.#", interval_ms=40)
        fanout.publish("quotes.A")
        await fanout.settle(2)
        client.unsubscribe("trades.#", "nothing.at.all")
        client.unsubscribe("nothing.at.all")
        client.leave()
        client.leave()
    granted = [
        {"feed": "quotes", "interval_ms": 40, "patterns": ["quotes.A", "quotes.B"]},
        {"feed": "trades", "interval_ms": None, "patterns": ["trades.#"]},
    ]
    assert lines == [
        {**WHO, "event": "access granted", "granted": granted},
        {**WHO, "event": "access dropped", "why": "unsubscribed", "patterns": ["trades.#"],
         "feeds": ["quotes"]},
        {**WHO, "event": "connection ended", "reason": "left", "duration_s": 2.0, "updates": 1,
         "feeds": ["quotes"]},
    ]  # fmt: skip
    orjson.dumps(lines)


@skips_time
async def test_another_token_is_told_and_what_it_does_not_cover() -> None:
    """A narrower token drops, a slower one slows; another customer begins with what is left."""
    fanout = Fanout()
    with capture_logs() as lines:
        client = connect(fanout)
        client.subscribe("quotes.#", "trades.#")
        quotes = Scope(["quotes.#"])
        renew(fanout, client, replace(ANN, reads=quotes, interval_ms_min=80))
        assert events(lines[1:]) == [
            ("access dropped", "ann"), ("access granted", "ann"), ("token renewed", "ann"),
        ]  # fmt: skip
        assert (lines[1]["why"], lines[1]["patterns"]) == ("token", ["trades.#"])
        assert lines[1]["feeds"] == ["quotes"]
        slowed = [{"feed": "quotes", "interval_ms": 80, "patterns": ["quotes.#"]}]
        assert lines[2]["granted"] == slowed
        assert "previous_subject" not in lines[3]
        assert lines[3]["expires_ms"] == 2_000_000_000_000
        del lines[:]
        renew(fanout, client, replace(BOB, interval_ms_min=80))
        assert events(lines) == [("token renewed", "bob"), ("access granted", "bob")]
        assert (lines[0]["previous_subject"], lines[0]["previous_issuer"]) == ("ann", "login")
        assert lines[1]["granted"] == slowed
        client.leave()
        assert events(lines[2:]) == [("connection ended", "bob")]


@pytest.mark.parametrize("names_all", [False, True])
@skips_time
async def test_clients_without_a_token_are_named_where_that_is_wanted(names_all: bool) -> None:
    """Else a line begins with the token, and ends with it."""
    fanout = Fanout(names_all=names_all)
    with capture_logs() as lines:
        client = connect(fanout, ANYBODY)
        client.subscribe("quotes.#")
        assert events(lines) == [("access granted", "")] * names_all
        del lines[:]
        renew(fanout, client, ANN)
        assert events(lines) == [("token renewed", "ann"), ("access granted", "ann")]
        assert lines[0]["previous_subject"] == ""
        del lines[:]
        renew(fanout, client, ANYBODY)
        client.leave()
        named = [("access granted", ""), ("connection ended", "")] * names_all
        assert events(lines) == [("token renewed", ""), *named]


@skips_time
async def test_500_names_are_one_line_and_long_ones_stay_below_64_kib() -> None:
    """What one command asks for is together, as far as a reader of lines takes it."""
    fanout = Fanout()
    short = [f"quotes.name{number}" for number in range(500)]
    long = [f"quotes.{number:0{CHANNEL_CHARS_MAX - 7}}" for number in range(500)]
    for names, count in ((short, 1), (long, 2)):
        client = connect(fanout)
        with capture_logs() as lines:
            client.subscribe(*names)
        assert len(lines) == count
        told = [name for line in lines for part in line["granted"] for name in part["patterns"]]
        assert told == names
        assert all(type(name) is str for name in told)
        assert max(len(orjson.dumps(line)) for line in lines) < 2**16
        with capture_logs() as lines:
            client.unsubscribe(*names)
        assert len(lines) == count
        assert [name for line in lines for name in line["patterns"]] == names


def audit_of(fanout: Fanout) -> Audit:
    return Audit(fanout.loop, fanout.clock, "epoch", names_all=False)


def refusals(count: int, code: str = "forbidden") -> list[Refusal]:
    return [Refusal(code, "no", f"trades.{number}") for number in range(count)]


@skips_time
async def test_a_flood_of_refusals_is_told_with_its_number() -> None:
    """One subject has its share of lines, all together theirs; the rest is a number."""
    fanout = Fanout()
    audit = audit_of(fanout)
    with capture_logs() as lines:
        for _ in range(LINES_PER_SUBJECT_MAX + 5):
            audit.refused(ANN, "10.0.0.1", "ws.json", refusals(2), "epoch-1")
        audit.refused(BOB, "10.0.0.1", "sse", refusals(REFUSED_NAMED_MAX + 8))
        audit.refused(ANYBODY, "10.0.0.1", "sse", refusals(1, "unauthorized"))
        audit.refused(BOB, "10.0.0.1", "sse", refusals(1, "no_feed"))
    assert len(lines) == LINES_PER_SUBJECT_MAX + 1
    assert lines[0] == {
        "event": "access refused", "log_level": "info", "subject": "ann", "issuer": "login",
        "jti": "t1", "remote": "10.0.0.1", "connection": "epoch-1", "transport": "ws.json",
        "refused": [{"item": "trades.0", "code": "forbidden"},
                    {"item": "trades.1", "code": "forbidden"}],
        "refusals": 2,
    }  # fmt: skip
    assert len(lines[-1]["refused"]) == REFUSED_NAMED_MAX
    assert lines[-1]["refusals"] == REFUSED_NAMED_MAX + 8
    await fanout.settle(WINDOW_S)
    with capture_logs() as lines:
        audit.refused(ANN, "10.0.0.1", "sse", refusals(1))
    assert [(line["event"], line["refusals"]) for line in lines] == [
        ("more refusals", 10), ("access refused", 1),
    ]  # fmt: skip
    with capture_logs() as lines:
        for number in range(LINES_MAX + 7):
            audit.refused(replace(ANN, subject=f"{number}"), "10.0.0.1", "sse", refusals(1))
        audit.stop()
    assert len(lines) == LINES_MAX
    assert (lines[-1]["event"], lines[-1]["refusals"]) == ("more refusals", 8)


@skips_time
async def test_a_process_says_that_it_lives_while_somebody_is_there() -> None:
    """Not while nobody is whom the audit log names, and not after its end."""
    fanout = Fanout()
    fanout.audit.start()
    anybody, ann = connect(fanout, ANYBODY), connect(fanout)
    with capture_logs() as lines:
        await fanout.settle(2 * ALIVE_S + 1)
        alive = {"event": "audit alive", "epoch": "epoch", "connections": 1, "log_level": "info"}
        assert lines == [alive] * 2
        ann.leave()
        del lines[:]
        await fanout.settle(2 * ALIVE_S)
        connect(fanout)
        fanout.audit.stop()
        fanout.audit.stop()
        await fanout.settle(2 * ALIVE_S)
        assert lines == []
    fanout.connections.leave(anybody.connection, closing.LEFT)


@skips_time
async def test_who_publishes_over_rest_is_told() -> None:
    """The channel, and nothing of the body."""
    audit = audit_of(Fanout())
    with capture_logs() as lines:
        audit.published(ANN, "10.0.0.1", "trades.A")
        audit.published(ANYBODY, "10.0.0.1", "trades.A")
    assert lines == [
        {"event": "published", "log_level": "info", "subject": "ann", "issuer": "login",
         "jti": "t1", "remote": "10.0.0.1", "channel": "trades.A"}
    ]  # fmt: skip
