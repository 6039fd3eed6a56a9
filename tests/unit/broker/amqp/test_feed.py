"""tickfan.broker.amqp.feed"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, cast

from aiormq.exceptions import AMQPError
from structlog.testing import capture_logs

from loadtest.rig.waiting import DEADLINE_S
from tests.support import amqp
from tests.support.broker import CONFLATED, Failing, Recorder, source
from tests.unit.broker.amqp.fakes import FakeChannel, FakeLink
from tickfan.broker.amqp.classic import ConflatedFeed
from tickfan.broker.amqp.outages import Outages
from tickfan.broker.base import Received
from tickfan.clock import Clock
from tickfan.core.feed import Upstream

if TYPE_CHECKING:
    from tickfan.broker.amqp.connection import Link

OPTIONS = amqp.options("amqp://localhost/")


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


def test_what_is_said_of_all_feeds_together() -> None:
    """Each change of a feed with its cause; live without its past is no outage."""
    outages = Outages(("f",), Clock(lambda: 0.0))
    feed = ConflatedFeed(source(CONFLATED, "f"), Recorder(), OPTIONS, outages)
    assert outages.causes() == {"f": None}
    feed.down("a sentence", "host unknown")
    assert outages.causes() == {"f": "host unknown"}
    feed.cut("another sentence")
    assert outages.causes() == {"f": "connection lost"}
    feed.cut("another one", is_crash=True)
    assert outages.causes() == {"f": "RabbitMQ failed"}
    feed.live("without its past")
    assert outages.causes() == {"f": ""}
    with capture_logs() as logs:
        outages.say()
    assert [line["why"] for line in logs if line["log_level"] == "warning"] == [
        "another one", "without its past",
    ]  # fmt: skip


def test_a_sink_that_raises_does_not_reach_the_consumer() -> None:
    """It is logged, and the delivery counts as received."""
    feed = ConflatedFeed(source(CONFLATED, "f"), Failing(), OPTIONS)
    with capture_logs() as logs:
        for _ in range(3):
            feed.hand_over(Received("f.a", b"1"))
    assert feed.received == 3
    assert [(line["event"], line["failures"]) for line in logs] == [
        ("sink failed", 1), ("sink failed", 2),
    ]  # fmt: skip


class _Refusing(FakeLink):
    """A link whose channel is refused just when whoever asked for it is told to stop."""

    async def channel(self, *, confirms: bool = False) -> FakeChannel:
        """Fail, and with the library's own error."""
        del confirms
        try:
            await asyncio.get_running_loop().create_future()
        except asyncio.CancelledError as cancelled:
            raise AMQPError("refused") from cancelled
        raise AssertionError


async def test_an_error_in_the_moment_of_the_stop_does_not_hide_it() -> None:
    """Else the feed tries again for ever, and the process does not end."""
    feed, link = ConflatedFeed(source(CONFLATED, "f"), Recorder(), OPTIONS), _Refusing([])
    serving = asyncio.create_task(feed.serve(cast("Link", link)))
    await asyncio.sleep(0)
    serving.cancel()
    await asyncio.wait({serving}, timeout=DEADLINE_S)
    link.is_lost = True  # which ends it in any case
    assert serving.cancelled()
