"""tickfan.broker.amqp.deliveries"""

from __future__ import annotations

from tests.unit.broker.amqp.fakes import message
from tickfan.broker.amqp.deliveries import fingerprint_of, from_queue, from_stream


def test_every_property_arrives() -> None:
    """From a queue without, from a stream with its place."""
    made = message(
        7, b"[]", "t.b", content_type="application/json", type="snapshot",
        message_id="m", ts=5, batch=True,
    )  # fmt: skip
    queued = from_queue("f", made)
    assert queued[:7] == ("f", "t.b", b"[]", "application/json", "snapshot", 5, True)
    assert (queued.offset, queued.fingerprint) == (None, None)
    streamed = from_stream("f", made, 7)
    assert streamed == queued._replace(offset=7, fingerprint=fingerprint_of(made))


def test_a_fingerprint_does_not_depend_on_the_place() -> None:
    """A stream and a queue that hold the same message agree; the id and the time count."""
    assert fingerprint_of(message(7, message_id="m")) == fingerprint_of(
        message(None, message_id="m")
    )
    assert fingerprint_of(message(message_id="m")) != fingerprint_of(message(message_id="n"))
    assert fingerprint_of(message(ts=1)) != fingerprint_of(message(ts=2))
