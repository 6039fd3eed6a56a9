"""service.broker.amqp.deliveries"""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from service.broker.amqp.deliveries import from_queue, from_stream, mark_of, offset_of
from tests.unit.broker.amqp.fakes import message


def test_every_property_arrives() -> None:
    """From a queue without, from a stream with its place."""
    made = message(
        7, b"[]", "t.b", content_type="application/json", message_type="snapshot",
        message_id="m", headers={"ts": 5, "batch": True},
    )  # fmt: skip
    queued = from_queue("f", made)
    assert queued[:7] == ("f", "t.b", b"[]", "application/json", "snapshot", 5, True)
    assert (queued.offset, queued.fingerprint) == (None, None)
    streamed = from_stream("f", made, 7)
    assert streamed == queued._replace(offset=7, fingerprint=mark_of(made))


def test_a_fingerprint_does_not_depend_on_the_place() -> None:
    """A stream and a queue that hold the same message agree; the id and the time count."""
    assert mark_of(message(7, message_id="m")) == mark_of(message(None, message_id="m"))
    assert mark_of(message(message_id="m")) != mark_of(message(message_id="n"))
    assert mark_of(message(headers={"ts": 1})) != mark_of(message(headers={"ts": 2}))


@pytest.mark.parametrize("headers", [{"ts": "1"}, {"ts": -1}, {"ts": True}, {"ts": 2**60}])
def test_a_wrong_time_is_none(headers: dict[str, object]) -> None:
    """What is no number of milliseconds counts as absent."""
    assert from_queue("f", message(headers=headers)).ts is None


def test_the_timestamp_stands_in_for_the_header() -> None:
    """AMQP's own property, in seconds."""
    moment = datetime(2026, 11, 20, tzinfo=UTC)
    assert from_queue("f", message(timestamp=moment)).ts == int(moment.timestamp()) * 1000


def test_only_a_number_is_an_offset() -> None:
    """Anything else did not come from a stream."""
    assert offset_of(message(3)) == 3
    assert offset_of(message()) is None
    assert offset_of(message(headers={"x-stream-offset": "3"})) is None
