"""tickfan.broker.amqp.feed"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.support.broker import CONFLATED, Recorder, source
from tickfan.broker.amqp.classic import ConflatedFeed
from tickfan.broker.amqp.connection import AmqpOptions
from tickfan.broker.base import Received
from tickfan.core.feed import Upstream

if TYPE_CHECKING:
    import pytest

OPTIONS = AmqpOptions(urls=("amqp://localhost/",))


def test_each_state_is_told_once() -> None:
    """A feed that was never live is starting; told again only with other words."""
    sink = Recorder()
    feed = ConflatedFeed(source(CONFLATED, "f"), sink, OPTIONS)
    for why in ("away", "away", "gone"):
        feed.down(why)
    feed.live()
    feed.live()
    feed.down("away")
    feed.live("without its past")
    assert sink.states == [
        ("f", Upstream.STARTING, "away"),
        ("f", Upstream.STARTING, "gone"),
        ("f", Upstream.LIVE, ""),
        ("f", Upstream.STALE, "away"),
        ("f", Upstream.LIVE, "without its past"),
    ]


def test_a_sink_that_raises_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """And does not reach the consumer."""
    sink = Recorder()
    feed = ConflatedFeed(source(CONFLATED, "f"), sink, OPTIONS)

    def deliver(*_: object) -> None:
        raise ValueError("no")

    monkeypatch.setattr(sink, "deliver", deliver)
    for _ in range(3):
        feed.hand_over(Received("f.a", b"1"))
    assert (feed.received, feed._failures) == (3, 3)
