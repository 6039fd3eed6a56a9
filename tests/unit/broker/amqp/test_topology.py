"""What is said when RabbitMQ has something else than the settings say."""

from __future__ import annotations

import pytest
from aiormq.exceptions import (
    ChannelAccessRefused,
    ChannelClosed,
    ChannelLockedResource,
    ChannelNotFoundEntity,
    ChannelPreconditionFailed,
)

from tests.support.broker import LOSSLESS, source
from tickfan.broker.amqp.topology import NoCopy, _explained, refused, stream_arguments
from tickfan.broker.base import TopologyError

INEQUIVALENT = "PRECONDITION_FAILED - inequivalent arg '{}' for queue 'q' in vhost '/': {}"


@pytest.mark.parametrize(
    ("argument", "rest", "words"),
    [
        (
            "x-max-age",
            "received the value '2h' of type 'longstr' but current is the value '1h' of type 'x'",
            ["x-max-age '1h'", "say '2h'", "retention_age"],
        ),
        (
            "x-max-length-bytes",
            "received the value '5' of type 'signedint' but current is none",
            ["without x-max-length-bytes", "may be no stream", "retention_bytes says '5'"],
        ),
        ("durable", "received 'true' but current is 'false'", ["its durable is 'false'"]),
    ],
)
def test_mismatch(argument: str, rest: str, words: list[str]) -> None:
    """It says what exists, what was wanted, which setting, and what to do."""
    error = ChannelPreconditionFailed(INEQUIVALENT.format(argument, rest))
    said = str(_explained(error, "queue 'q'", "a durable stream"))
    for word in [*words, "queue 'q'", "delete", "broker.declare = false"]:
        assert word in said


@pytest.mark.parametrize(
    ("error", "word"),
    [
        (ChannelNotFoundEntity("NOT_FOUND"), "does not exist"),
        (ChannelAccessRefused("ACCESS_REFUSED"), "Grant the permission"),
        (ChannelLockedResource("RESOURCE_LOCKED"), "another connection"),
        (ChannelPreconditionFailed("PRECONDITION_FAILED - odd"), "odd"),
        (ChannelClosed(500, "anything"), "anything"),
    ],
)
def test_other_refusals(error: ChannelClosed, word: str) -> None:
    """Every other refusal is named too."""
    assert word in str(_explained(error, "queue 'q'", "a durable stream"))


def test_stream_arguments() -> None:
    """A stream is made with all three of its bounds."""
    feed = source(LOSSLESS, retention_age="1h", retention_bytes=7, segment_bytes=3)
    assert stream_arguments(feed) == {
        "x-queue-type": "stream",
        "x-max-age": "1h",
        "x-max-length-bytes": 7,
        "x-stream-max-segment-size-bytes": 3,
    }


@pytest.mark.parametrize(
    ("text", "kind", "advice"),
    [
        ("queue 'q' does not have a replica on the local node", NoCopy, "add_replica"),
        ("stream queue 'q' does not have a running replica on the local node", NoCopy, "all nodes"),
        ("invalid arg 'x-stream-offset' for queue 'q'", TopologyError, "is not a stream"),
    ],
)
def test_why_a_stream_is_refused(text: str, kind: type[TopologyError], advice: str) -> None:
    """A node without a copy, as RabbitMQ 3.10 and 4.0 say it, is not a queue of another type."""
    error = refused(source(LOSSLESS), ChannelPreconditionFailed(f"PRECONDITION_FAILED - {text}"))
    assert type(error) is kind
    assert advice in str(error)
