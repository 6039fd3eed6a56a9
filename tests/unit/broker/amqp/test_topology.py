"""What is asked for when a stream is made."""

from __future__ import annotations

from tests.support.broker import LOSSLESS, source
from tickfan.broker.amqp.topology import stream_arguments


def test_stream_arguments() -> None:
    """A stream is made with all three of its bounds."""
    feed = source(LOSSLESS, retention_age="1h", retention_bytes=7, segment_bytes=3)
    assert stream_arguments(feed) == {
        "x-queue-type": "stream",
        "x-max-age": "1h",
        "x-max-length-bytes": 7,
        "x-stream-max-segment-size-bytes": 3,
    }
