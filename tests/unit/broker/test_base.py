"""The contract's own few rules: ids, routing keys, which feed, and what errors say."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from tests.support.broker import LOSSLESS, source
from tests.support.updates import LAW
from tickfan.broker.base import (
    ROUTING_KEY_BYTES_MAX,
    BrokerBlocked,
    BrokerDown,
    Message,
    MessageIds,
    PublishError,
    SinkFailures,
    TopologyError,
    Unconfirmed,
    Unroutable,
    check_routing_key,
    find_source,
)
from tickfan.core.errors import TickfanError


@given(key=st.text(max_size=300))
@LAW
def test_a_routing_key_is_counted_in_bytes(key: str) -> None:
    """AMQP's short string holds 255 bytes of UTF-8, whatever that is in characters."""
    if len(key.encode()) <= 255:
        check_routing_key(Message(key, b""))
        return
    with pytest.raises(Unroutable, match="255 bytes"):
        check_routing_key(Message(key, b""))


@pytest.mark.parametrize("letter", ["a", "\u00e9", "\u20ac", "\U0001f4b9"])
def test_the_last_routing_key_that_fits(letter: str) -> None:
    """Up to the limit it goes; one byte more does not."""
    most = "." * (ROUTING_KEY_BYTES_MAX - len(letter.encode())) + letter
    check_routing_key(Message(most, b""))
    with pytest.raises(Unroutable):
        check_routing_key(Message("." + most, b""))


def test_ids_never_come_twice() -> None:
    """Not from one publisher, nor from two: fingerprints are told apart by them."""
    makers = [MessageIds() for _ in range(20)]
    ids = [maker.next() for _ in range(200) for maker in makers]
    assert len(set(ids)) == len(ids)
    assert all(len(each) <= 32 for each in ids), "they travel with every message"


def test_the_source_of_a_feed() -> None:
    """By its name; else the error names the feed and those that there are."""
    sources = {name: source(LOSSLESS, name) for name in ("trades", "book")}
    assert find_source(sources, "book") is sources["book"]
    with pytest.raises(PublishError, match=r"'quotes'.*trades, book") as caught:
        find_source(sources, "quotes")
    assert not isinstance(caught.value, Unroutable | Unconfirmed | BrokerDown)


def test_errors_of_publishing_are_told_apart() -> None:
    """Each has a code of its own (docs/protocol.md); one except clause catches all."""
    kinds = (PublishError, Unroutable, Unconfirmed, BrokerDown, BrokerBlocked)
    assert [kind.code for kind in kinds] == [
        "publish_failed", "unroutable", "unconfirmed", "broker_down", "broker_blocked",
    ]  # fmt: skip
    assert all(issubclass(kind, PublishError) for kind in kinds)
    # Another kind of trouble: to publish again would not help.
    assert issubclass(TopologyError, TickfanError)
    assert not issubclass(TopologyError, PublishError)


def test_a_feeds_source_is_bounded_by_default() -> None:
    """Nothing that RabbitMQ keeps for a feed may grow for ever."""
    feed = source(LOSSLESS)
    assert feed.retention_age
    assert 0 < feed.segment_bytes < feed.retention_bytes
    assert 0 < feed.prefetch < 2**16
    assert feed.length_max > 0


def test_what_a_sink_raises_is_logged_ever_more_rarely() -> None:
    """One that fails for each message must not fill the disk; the count says how many."""
    failures = SinkFailures()
    with capture_logs() as logs:
        for number in range(9):
            failures.note("f", ValueError(number))
    assert [(line["feed"], line["failures"], str(line["exc_info"])) for line in logs] == [
        ("f", 1, "0"), ("f", 2, "1"), ("f", 4, "3"), ("f", 8, "7"),
    ]  # fmt: skip
