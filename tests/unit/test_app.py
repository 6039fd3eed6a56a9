"""The composition root: what it wires, and what is left when it ends."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING

import pytest

from loadtest.rig.waiting import until
from tests.support.fanout import Fanout, skips_time, timers
from tickfan.app import Service
from tickfan.config import load
from tickfan.core import closing
from tickfan.fanout.replay import BURST_S
from tickfan.session.grants import Rules
from tickfan.transports.addresses import Shares
from tickfan.transports.admission import Limits
from tickfan.transports.budget import Allowance
from tickfan.wire.framing import PING_FRAME
from tickfan.wire.schema import SchemaError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


MEMORY = {"TICKFAN_BROKER__URL": "memory://"}


async def test_the_simulated_market_runs_on_the_embedded_broker() -> None:
    """What `make run` shows: every feed moves, and all of it ends."""
    before = len(asyncio.all_tasks())
    service = Service(load(None, {"TICKFAN_MARKET__RATE": "5000"}, is_demo=True))
    async with service.running():
        feeds = service.feeds.values()
        await until(lambda: all(feed.channels for feed in feeds), "updates on every feed")
    assert len(asyncio.all_tasks()) == before
    assert not service.tally.poison


@skips_time
async def test_nothing_is_left_running() -> None:
    """Neither a task nor a timer, also with clients that have not gone."""
    before = len(asyncio.all_tasks())
    service = Service(load(None, {**MEMORY, "TICKFAN_STOP__DRAIN_DELAY_S": "10"}))
    async with service.running():
        await until(lambda: not service.feeds.is_starting)
        service.draining.begin()
    assert len(asyncio.all_tasks()) == before
    assert timers(asyncio.get_running_loop()) == 0


@skips_time
async def test_each_time_of_a_connection_arrives() -> None:
    """Heartbeat, ping, its answer, a stall and an age: each comes when its own setting says."""
    times = {
        "HEARTBEAT_S": "7", "PING_S": "20", "PONG_TIMEOUT_S": "3", "STALL_TIMEOUT_S": "50",
        "MAX_CONNECTION_AGE_S": "1000", "FIRST_COMMAND_TIMEOUT_S": "40",
    }  # fmt: skip
    environ = {f"TICKFAN_STREAM__{name}": value for name, value in times.items()}
    service = Service(load(None, {**MEMORY, **environ}))
    fanout = Fanout()
    fanout.hub, fanout.connections = service.hub, service.connections
    fanout.subscriptions = service.subscriptions
    async with service.running():
        began = fanout.loop.time()

        async def moment(condition: Callable[[], object]) -> float:
            while not condition() and fanout.loop.time() < began + 100:
                await fanout.settle(0.1)
            return fanout.loop.time() - began

        quiet = fanout.client("json", "fast", "quotes.a")
        stalled = fanout.client("sse", "stalled", "quotes.a")
        silent = fanout.client("json", "fast").connection
        assert (silent.leaves_at - began, silent.leaves_as) == (40, closing.THROTTLED)
        assert 750 <= quiet.connection.leaves_at - began <= 1250
        # A beat of a second is the precision.
        assert 7 <= await moment(lambda: quiet.named("heartbeat")) < 8.5
        assert 20 <= await moment(lambda: PING_FRAME in quiet.pipe.received) < 21.5
        assert 23 <= await moment(lambda: quiet.reason) < 25.5
        assert quiet.reason is closing.NO_PONG
        assert 50 <= await moment(lambda: stalled.reason) < 51.5
        assert stalled.reason is closing.STALLED


async def test_each_limit_of_a_connection_arrives() -> None:
    """Each with a value of its own, at the admission and at the pace of resumes."""
    limits = {
        "STREAM__CONNECTIONS_MAX": "101", "HTTP__MESSAGE_BYTES_MAX": "2002",
        "STREAM__NOTSENT_LOWAT_BYTES": "3003", "STREAM__RETRY_MS": "4004",
        "STREAM__CLOSING_TIMEOUT_S": "5.5", "STREAM__SNAPSHOT": "false",
        "STREAM__REPLAYS_MAX": "66", "STREAM__REPLAY_BYTES_PER_S": "700000",
        "ACCESS__AUTH_TIMEOUT_S": "7.5",
        "STREAM__CHANNELS_PER_CONNECTION_MAX": "8", "STREAM__INTERVALS_MS": "[90, 10000]",
        "HTTP__SOCKETS_MAX": "30000", "HTTP__SOCKETS_PER_ADDRESS_MAX": "21",
        "STREAM__CONNECTIONS_PER_ADDRESS_MAX": "22", "HTTP__REQUESTS_PER_ADDRESS_PER_S_MAX": "23",
        "HTTP__HANDSHAKES_PER_S_MAX": "24", "HTTP__COST_MS_PER_ADDRESS_PER_S_MAX": "25",
        "STREAM__WILDCARDS_PER_CONNECTION_MAX": "7", "STREAM__COMMANDS_PER_S_MAX": "26",
        "PUBLISH__UPDATES_PER_ADDRESS_PER_S_MAX": "29",
        "STREAM__COST_MS_PER_S_MAX": "27", "STREAM__THROTTLED_TIMEOUT_S": "28",
    }  # fmt: skip
    service = Service(load(None, {f"TICKFAN_{name}": value for name, value in limits.items()}))
    assert service.admission.limits == Limits(
        connections_max=101, message_bytes_max=2002, notsent_lowat_bytes=3003, retry_ms=4004,
        closing_timeout_s=5.5, snapshot=False, auth_timeout_s=7.5,
        allowance=Allowance(26, 27, 28),
    )  # fmt: skip
    assert service.admission.rules == Rules((90, 10_000), 8, 7)
    assert service.limiter.addresses.shares == Shares(30_000, 21, 22, 23, 24, 25, 29)
    assert service.pace.readers_max == 66
    assert service.pace.allowed() == 700_000 * BURST_S


async def test_each_schema_arrives_at_its_feed(tmp_path: Path) -> None:
    """Read once more at the start; a file that has changed since is told by name."""
    path = tmp_path / "quote.json"
    path.write_text('{"type": "object"}')
    feeds = [
        {"name": name, "bind": [name], "delivery": delivery, "schema_file": file}
        for name, delivery, file in (
            ("a", "lossless", str(path)), ("b", "conflated", ""), ("c", "conflated", str(path)),
        )
    ]  # fmt: skip
    settings = load(None, {**MEMORY, "TICKFAN_FEEDS": json.dumps(feeds)})
    made = Service(settings).feeds
    assert [made[name].schema is None for name in "abc"] == [False, True, False]
    path.write_text("{")
    with pytest.raises(SchemaError, match=r"feed 'a': schema_file: .*quote.json: it is not JSON"):
        Service(settings)
