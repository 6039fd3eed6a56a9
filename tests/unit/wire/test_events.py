"""tickfan.wire.events: what each event says, held against docs/protocol.md."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import pytest

from tests.support.updates import conflated_feed, lossless_feed, update
from tickfan.core.closing import REASONS, Reason
from tickfan.core.cursor import Place, parse
from tickfan.core.errors import Refusal
from tickfan.core.feed import Upstream
from tickfan.core.pattern import Pattern
from tickfan.core.update import GAP
from tickfan.wire import events
from tickfan.wire.inbound import RESERVED_TYPES

PROTOCOL = (Path(__file__).parents[3] / "docs" / "protocol.md").read_text()
UPDATES = "updates"
"""The one event that is made elsewhere: its rows are encoded once, and joined."""
HELPERS = ("answering", "marked")


def documented() -> list[str]:
    """The events that the document has a row for, from top to bottom."""
    tables = re.findall(r"(?m)^\| (?:event|t) \| fields.*\n\|[-|]+\n((?:\|.*\n)+)", PROTOCOL)
    assert len(tables) == 2, "the document has a table of events, and one of those of WebSockets"
    return [re.split(r"[|`\s]+", row)[1] for table in tables for row in table.splitlines()]


def functions() -> list[str]:
    """The public functions of the module, from top to bottom."""
    return [
        name
        for name, value in vars(events).items()
        if inspect.isfunction(value) and not name.startswith("_") and name not in HELPERS
    ]


def test_each_event_of_the_protocol_has_its_function() -> None:
    """In the document's order, and no other: a function is an event, or a form of one."""
    found = functions()
    names = [name for name in documented() if name != UPDATES]
    assert [name for name in found if name in names] == names
    strays = [
        name
        for name in found
        if name not in names and not any(name.startswith(f"{event}_") for event in names)
    ]
    assert not strays, f"docs/protocol.md names no event for {strays}"


def test_no_publisher_can_send_what_looks_like_our_own() -> None:
    """Each event but the update itself is a name that no update's type may have."""
    assert set(documented()) - {"update"} <= RESERVED_TYPES


def test_subscribed() -> None:
    """Each kind of feed says what is true of it; a pattern stands as it was asked for."""
    lossless, conflated = lossless_feed(), conflated_feed()
    pattern = Pattern("a.#")
    in_feed = events.subscribed_lossless(lossless, recovered=None)
    assert list(events.subscribed_pattern(pattern, in_feed, "none").items()) == [
        ("channel", "a.#"), ("feed", "trades"), ("delivery", "lossless"), ("upstream", "starting"),
        ("recovered", None), ("history_start", None), ("snapshot", "none"),
    ]  # fmt: skip
    lossless.history.append(update(lossless, "a.b", seq=7))
    in_feed = events.subscribed_lossless(lossless, recovered=True)
    assert (in_feed["history_start"], in_feed["recovered"]) == (7, True)
    in_feed = events.subscribed_conflated(conflated, 250)
    granted = events.subscribed_pattern(pattern, in_feed, "latest")
    assert list(granted.items()) == [
        ("channel", "a.#"), ("feed", "quotes"), ("delivery", "conflated"),
        ("upstream", "starting"), ("interval_ms", 250), ("snapshot", "latest"),
    ]  # fmt: skip
    fields = events.subscribed("e", 5, [granted])
    assert list(fields.items()) == [
        ("epoch", "e"), ("server_time", 5), ("channels", [granted]),
    ]  # fmt: skip
    assert list(events.subscribed_first("e-1", fields).items()) == [
        ("connection", "e-1"), *fields.items(),
    ]  # fmt: skip


def test_what_is_granted_of_a_stale_feed_says_since_when() -> None:
    """A client that comes during an outage has heard no ``status``; of a live one there is none."""
    feed = conflated_feed()
    feed.upstream, feed.since_ms = Upstream.STALE, 1_700_000_000_000
    assert events.subscribed_conflated(feed, 250)["since"] == 1_700_000_000_000
    feed.upstream = Upstream.LIVE
    assert "since" not in events.subscribed_conflated(feed, 250)


def test_invented_prices_are_marked_and_others_are_as_they_were() -> None:
    """One field, and only where it is true."""
    fields = {"epoch": "e"}
    assert events.marked(fields, is_simulated=True) == {"epoch": "e", "simulated": True}
    assert events.marked(fields, is_simulated=False) == fields == {"epoch": "e"}


def test_an_update_by_delivery_and_type() -> None:
    """``prev`` is on lossless ones also when null; ``type`` only where it says something."""
    assert list(events.update(update(conflated_feed(), "q", {"bid": "1.5"}, ts=9)).items()) == [
        ("channel", "q"), ("seq", 1), ("ts", 9), ("data", {"bid": "1.5"}),
    ]  # fmt: skip
    feed = lossless_feed()
    assert events.update(update(feed, "t", 1, seq=5))["prev"] is None
    assert list(events.update(update(feed, "t", 2, seq=8, type_="done")).items()) == [
        ("channel", "t"), ("seq", 8), ("ts", 0), ("data", 2), ("prev", 5), ("type", "done"),
    ]  # fmt: skip


def test_a_gap_takes_its_place_in_the_chain() -> None:
    """A client that checks ``prev`` can step over it."""
    feed = lossless_feed()
    update(feed, "t", 1, seq=5)
    gap = update(feed, "t", "bad_json", seq=6, ts=3, type_=GAP)
    assert list(events.gap(gap).items()) == [
        ("channel", "t"), ("seq", 6), ("prev", 5), ("ts", 3), ("reason", "bad_json"),
    ]  # fmt: skip


def test_status() -> None:
    """``heard`` is null before the first message; values are unconfirmed after an outage alone."""
    feed = conflated_feed()
    assert list(events.status(feed).items()) == [
        ("feed", "quotes"), ("upstream", "starting"), ("since", feed.since_ms), ("heard", None),
    ]  # fmt: skip
    feed.upstream, feed.since_ms, feed.heard_ms = Upstream.STALE, 5, 4
    update(feed, "a")
    update(feed, "b").channel.version = 3
    feed.confirmed_after = 2
    assert events.status(feed) == {
        "feed": "quotes", "upstream": "stale", "since": 5, "heard": 4, "unconfirmed": 1,
    }  # fmt: skip
    both = [feed, lossless_feed()]
    assert events.status_of_all(both) == {"upstream": {"quotes": "stale", "trades": "starting"}}
    assert list(events.heartbeat(9, both).items()) == [
        ("server_time", 9), ("upstream", {"quotes": "stale", "trades": "starting"}),
    ]  # fmt: skip


def test_reset() -> None:
    """It also says from where the rest can be read, if anything is held."""
    feed = lossless_feed()
    for fields, reason in (
        (events.reset(feed, "recreated"), "recreated"),
        (events.reset_on_resume(feed, None), "unknown_feed"),
    ):
        assert list(fields.items()) == [
            ("feed", "trades"), ("reason", reason), ("oldest", None),
        ]  # fmt: skip
    oldest = update(feed, seq=7)
    feed.history.append(oldest)
    feed.first_seq = 7
    fields = events.reset_on_resume(feed, Place(7, "another"))
    assert fields["reason"] == "recreated"
    assert parse(fields["oldest"]) == {"trades": Place(7, oldest.fingerprint or "")}


@pytest.mark.parametrize("reason", REASONS.values(), ids=REASONS)
def test_closing(reason: Reason) -> None:
    """Every reason can be told; only those below 4500 name a time to come back."""
    assert list(events.closing(reason, 5).items()) == [
        ("reason", reason.name), ("code", reason.code), ("message", reason.message),
        ("retry_ms", 5 if reason.code < 4500 else None),
    ]  # fmt: skip


def test_an_error_names_the_item_where_there_is_one() -> None:
    """An empty item is one."""
    assert list(events.error(Refusal("no_feed", "why")).items()) == [
        ("code", "no_feed"), ("message", "why"),
    ]  # fmt: skip
    assert events.error(Refusal("no_feed", "why", ""))["item"] == ""


def test_answers_on_a_websocket() -> None:
    """They begin with the command's id, if the client gave one; 0 and an empty text are some."""
    welcome = events.welcome("e-1", "p", "e", 5, message_bytes_max=1, updates_bytes_max=3)
    assert list(welcome.items()) == [
        ("connection", "e-1"), ("protocol", "p"), ("epoch", "e"), ("server_time", 5),
        ("limits", {"message_bytes_max": 1, "updates_bytes_max": 3}),
    ]  # fmt: skip
    assert events.unsubscribed([Pattern("a.*"), Pattern("b")]) == {"channels": ["a.*", "b"]}
    assert events.snapshot_end() == {}
    assert events.answering(None, events.pong(5)) == {"server_time": 5}
    for given in (0, "", 7, "x"):
        assert list(events.answering(given, events.pong(5)).items()) == [
            ("id", given), ("server_time", 5),
        ]  # fmt: skip
