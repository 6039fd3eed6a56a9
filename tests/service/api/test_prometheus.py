"""The metrics: what is counted, under names that follow Prometheus's rules."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from loadtest.rig.waiting import until
from tests.support.fanout import Fanout, skips_time
from tests.support.raw import connect, request
from tickfan.api.context import CONTEXT
from tickfan.api.prometheus import UNRECOVERED_REASONS, registry
from tickfan.broker.base import Health, Received
from tickfan.clock import Clock, now_ms
from tickfan.core.closing import REASONS
from tickfan.core.feed import Upstream
from tickfan.ingest import Ingest

if TYPE_CHECKING:
    from tests.support.fixtures import MakeLive
    from tests.support.live import Live

NAME = re.compile(r"tickfan(_[a-z]+)+")
LABELS = {
    "code",
    "delivery",
    "encoder",
    "feed",
    "format",
    "le",
    "listener",
    "reason",
    "recovered",
    "result",
    "state",
}


def families(live: Live) -> dict[str, Any]:
    service = live.service
    own = registry(service.admin[CONTEXT])
    text = generate_latest(own).decode()
    return {family.name: family for family in text_string_to_metric_families(text)}


def value(live: Live, sample: str, **labels: str) -> float | None:
    """One sample's value; None if it is not there."""
    for family in families(live).values():
        for each in family.samples:
            if each.name == sample and each.labels == labels:
                found: float = each.value
                return found
    return None


async def test_names_follow_the_rules(service: Live) -> None:
    """Lower case, the unit last, ``_total`` for counters and for nothing else, help for all."""
    async with service.ws() as talk:
        await talk.say(op="subscribe", channels=["trades.A"])
        await talk.read_until("snapshot_end")
        await service.publish("trades.A", 2**60)
    await until(lambda: service.service.tally.closes)

    own = {name: family for name, family in families(service).items() if "tickfan" in name}
    assert len(own) >= 30
    for name, family in own.items():
        assert NAME.fullmatch(name), name
        assert family.documentation, name
        assert not name.endswith(("_ms", "_count", "_sum", "_total")), name
        for sample in family.samples:
            assert sample.name.endswith("_total") == (family.type == "counter"), sample.name
            assert set(sample.labels) <= LABELS
            # Nothing that a client or a publisher has named.
            assert not {"trades.A", "127.0.0.1"} & set(sample.labels.values())


async def test_updates_are_counted_from_broker_to_client(service: Live) -> None:
    """In, conflated, encoded once for each wire format, out."""
    async with service.sse("channels=trades.A") as one, service.ndjson("channels=trades.A") as two:
        for stream in (one, two):
            await stream.read_until("snapshot_end")
        for number in range(5):
            await service.publish("trades.A", number)
        for stream in (one, two):
            await stream.updates(5)
        for number in range(5):
            await service.publish("quotes.A", number)
        await service.publish("quotes.A", 2**60)

        assert value(service, "tickfan_connections", format="sse") == 1
        assert value(service, "tickfan_connects_total", format="ndjson") == 1
        assert value(service, "tickfan_audiences") == 2
        assert value(service, "tickfan_parked") == 0

    assert value(service, "tickfan_messages_in_total", feed="trades") == 5
    assert value(service, "tickfan_messages_in_total", feed="quotes") == 6
    assert value(service, "tickfan_updates_in_total", feed="quotes") == 5
    assert value(service, "tickfan_updates_conflated_total", feed="quotes") == 4
    assert value(service, "tickfan_poison_total", feed="quotes", reason="bad_number") == 1
    assert value(service, "tickfan_updates_out_total") == 10
    assert value(service, "tickfan_encodings_total", encoder="json_object") == 5
    assert value(service, "tickfan_channels", feed="quotes") == 1
    assert value(service, "tickfan_feed_live", feed="quotes") == 1
    assert (value(service, "tickfan_history_bytes", feed="trades") or 0) > 0
    assert (value(service, "tickfan_sent_bytes_total") or 0) > 0


async def test_a_feed_is_live_only_while_it_is_read(service: Live) -> None:
    """Every alert on a broker that is down rests on this sample."""
    for state, live in ((Upstream.STARTING, 0), (Upstream.LIVE, 1), (Upstream.STALE, 0)):
        service.hub.upstream(service.service.feeds["trades"], state, "", now_ms())
        assert value(service, "tickfan_feed_live", feed="trades") == live
        assert value(service, "tickfan_feed_live", feed="quotes") == 1


async def test_refusals_and_publishing_are_counted(make_live: MakeLive) -> None:
    """Every request that was refused, on whichever way, by the code that the client got."""
    live = await make_live(PUBLISH__TOKEN="correct-horse-battery-staple")

    def refused(code: str) -> float | None:
        return value(live, "tickfan_refusals_total", code=code)

    assert refused("no_feed") == 0, "a counter that begins with 1 has no increase"
    for path, status in (("/v1/sse?channels=weather.X", 404), ("/nowhere", 404), ("/v1/ws", 426)):
        async with live.session.get(live.url(path)) as answer:
            assert answer.status == status
    async with live.ws() as talk:
        await talk.say(op="subscribe", channels=["weather.A", "weather.B"])
        await talk.read_until("error")
        await talk.say(op="dance")
        while refused("unknown_op") != 1:
            await talk.read_until("error")
    assert refused("no_feed") == 3
    assert refused("not_found") == refused("upgrade_required") == 1

    url = live.url("/v1/channels/trades.X")
    token = {"Authorization": "Bearer correct-horse-battery-staple"}
    for headers, status in ((token, 201), ({}, 401)):
        async with live.session.post(url, json=1, headers=headers) as answer:
            assert answer.status == status
    assert value(live, "tickfan_published_total", feed="trades") == 1
    assert value(live, "tickfan_published_total", feed="quotes") == 0
    assert refused("publish_unauthorized") == 1


async def test_every_way_to_go_is_counted_by_its_reason(make_live: MakeLive) -> None:
    """The table of reasons is the label's set."""
    service = await make_live(STREAM__CONNECTIONS_MAX="1", STREAM__PING_S="1",
                              STREAM__PONG_TIMEOUT_S="0.1")  # fmt: skip

    def closes(format_: str, reason: str) -> float | None:
        return value(service, "tickfan_closes_total", format=format_, reason=reason)

    async with service.sse("channels=tokens.A&until=done") as stream:
        await stream.read_until("snapshot_end")
        async with service.ndjson("channels=quotes.A") as lines:
            await lines.read_until("closing")
        await service.publish("tokens.A", None, type="done")
        await stream.read_until("closing")
    async with connect(service, request("/v1/ndjson?channels=quotes.A")) as wire:
        await wire.up_to(b"snapshot_end")
        wire.cut()
    await until(lambda: not service.service.connected)
    async with service.ws() as talk:
        await talk.socket.close()
    async with service.ws("tickfan.json.v1", autoping=False):
        await until(lambda: closes("ws.json", "no_pong"))
    async with service.sse("channels=quotes.A") as stream:
        await stream.read_until("snapshot_end")
        await service.service.drain(0)
        await stream.read_until("closing")

    for pair in (
        ("ndjson", "overload"), ("sse", "done"), ("ndjson", "left"), ("ws.msgpack", "left"),
        ("ws.json", "no_pong"), ("sse", "drain"),
    ):  # fmt: skip
        assert closes(*pair) == 1, pair
    found = {sample.labels["reason"] for sample in families(service)["tickfan_closes"].samples}
    assert found <= set(REASONS)


@pytest.mark.parametrize("recovered", [True, False])
async def test_resumes_are_counted(service: Live, *, recovered: bool) -> None:
    """By whether all could be recovered."""
    await service.publish("trades.A", 1)
    async with service.ndjson("channels=trades.A") as lines:
        cursor = (await lines.read_until("snapshot_end"))[-1]["cursor"]
    if not recovered:
        cursor = cursor[:-11] + "AAAAAAAAAAA"
    async with service.ndjson(f"channels=trades.A&cursor={cursor}") as lines:
        assert (await lines.next())["channels"][0]["recovered"] is recovered
    assert value(service, "tickfan_resumes_total", recovered=str(recovered).lower()) == 1
    assert value(service, "tickfan_resumes_total", recovered=str(not recovered).lower()) == 0


def count(live: Live, histogram: str, **labels: str) -> float | None:
    return value(live, f"{histogram}_count", **labels)


async def test_the_first_update_is_timed_whatever_brought_it(service: Live) -> None:
    """By the shared path or by a snapshot; once a client."""
    await service.publish("quotes.A", 1)
    async with service.sse("channels=quotes.A") as snapshot, service.ws() as talk:
        await snapshot.updates(1)
        assert count(service, "tickfan_first_update_seconds") == 1
        await talk.say(op="subscribe", channels=["trades.A"])
        await talk.read_until("snapshot_end")
        assert count(service, "tickfan_first_update_seconds") == 1
        for number in range(3):
            await service.publish("trades.A", number)
            await talk.updates(1)
    assert count(service, "tickfan_first_update_seconds") == 2
    assert value(service, "tickfan_first_update_seconds_bucket", le="0.005") is not None
    assert value(service, "tickfan_first_update_seconds_bucket", le="+Inf") == 2


async def test_who_leaves_with_nothing_is_counted(service: Live) -> None:
    """Not who had an update, nor who was sent away, nor who asked for nothing."""
    async with service.ndjson("channels=trades.A") as lines:
        await lines.read_until("snapshot_end")
    await until(lambda: not service.service.connected)
    assert value(service, "tickfan_abandoned_total", format="ndjson") == 1
    assert count(service, "tickfan_stream_duration_seconds", format="ndjson") == 1

    async with service.ws():
        pass
    async with service.ndjson("channels=trades.A") as lines, service.sse("channels=book.A") as sse:
        await lines.read_until("snapshot_end")
        await sse.read_until("snapshot_end")
        await service.publish("trades.A", 1)
        await lines.updates(1)
        await lines.response.release()
        await until(lambda: service.service.connected == 1)
        await service.service.drain(0)
        await sse.read_until("closing")
    await until(lambda: not service.service.connected)
    assert value(service, "tickfan_abandoned_total", format="ndjson") == 1
    assert value(service, "tickfan_abandoned_total", format="sse") == 0
    assert value(service, "tickfan_abandoned_total", format="ws.msgpack") == 0
    assert count(service, "tickfan_stream_duration_seconds", format="sse") == 1


async def test_ages_are_those_of_the_publishers_clock(service: Live) -> None:
    """Seconds from its ts to the receipt, and to the write, for each client."""
    past = now_ms() - 4000
    # Of one audience: what is written once is counted for each.
    async with service.sse("channels=trades.A") as one, service.sse("channels=trades.A") as two:
        for stream in (one, two):
            await stream.read_until("snapshot_end")
        await service.publish("trades.A", 1, ts=past)
        for stream in (one, two):
            await stream.updates(1)
        await service.publish("trades.A", 2, ts=now_ms() + 60_000)  # a clock that is ahead
        for stream in (one, two):
            await stream.updates(1)
    ages = "tickfan_delivery_age_seconds"
    assert count(service, ages, delivery="lossless") == 4
    assert count(service, ages, delivery="conflated") == 0
    assert value(service, f"{ages}_bucket", delivery="lossless", le="2.5") == 2
    assert 8 <= (value(service, f"{ages}_sum", delivery="lossless") or 0) < 20
    lag = "tickfan_upstream_lag_seconds"
    assert count(service, lag, feed="trades") == 2
    assert value(service, f"{lag}_bucket", feed="trades", le="0.005") == 1
    assert 4 <= (value(service, f"{lag}_sum", feed="trades") or 0) < 10


def beside(live: Live) -> Ingest:
    """A second sink of the same service, to be given what no broker sends."""
    of = live.service
    return Ingest(of.hub, of.feeds, of.tally, Clock(of.loop.time), 1000)


async def test_a_message_without_a_time_says_nothing_of_the_way(service: Live) -> None:
    """Its ts is that of the receipt; nor does what is read back at the start, old on purpose."""
    await service.publish("trades.A", 1)
    ingest = Ingest(
        service.service.hub,
        service.service.feeds,
        service.service.tally,
        Clock(service.service.loop.time),
        1000,
    )
    service.service.feeds["quotes"].upstream = Upstream.STARTING
    ingest.deliver("quotes", Received("quotes.A", b"1", ts=0))
    for feed in ("quotes", "trades"):
        assert count(service, "tickfan_upstream_lag_seconds", feed=feed) == 0


async def test_changes_of_a_source_are_counted(service: Live) -> None:
    """Live again is a reconnect; the same news twice is none."""
    ingest = Ingest(
        service.service.hub,
        service.service.feeds,
        service.service.tally,
        Clock(service.service.loop.time),
        1000,
    )
    for state in (Upstream.STALE, Upstream.STALE, Upstream.LIVE):
        ingest.upstream("trades", state, "")
    assert value(service, "tickfan_feed_changes_total", feed="trades", state="stale") == 1
    assert value(service, "tickfan_feed_changes_total", feed="trades", state="live") == 2
    assert value(service, "tickfan_feed_changes_total", feed="quotes", state="live") == 1


@pytest.mark.parametrize("is_simulated", [True, False])
async def test_invented_prices_are_a_gauge(make_live: MakeLive, is_simulated: bool) -> None:
    """1 with the simulated market, 0 without: an alert goes by it."""
    service = await make_live(MARKET__ENABLED=str(is_simulated).lower())
    assert value(service, "tickfan_simulated_market") == is_simulated


async def test_what_the_broker_says_of_itself(service: Live) -> None:
    """Each feed from 0 on, and what has happened."""
    assert value(service, "tickfan_unbound_total", feed="trades") == 0
    assert value(service, "tickfan_broker_blocked") == 0
    health = Health(is_blocked=True, unbound={"trades": 2}, causes={})
    service.service.broker.health = lambda: health  # type: ignore[method-assign]
    assert value(service, "tickfan_broker_blocked") == 1
    assert value(service, "tickfan_unbound_total", feed="trades") == 2
    assert value(service, "tickfan_unbound_total", feed="quotes") == 0


@skips_time
async def test_what_waits_for_slow_clients_is_summed_up() -> None:
    """Lossless updates and their bytes, conflated values; a joiner is not slow."""
    fanout = Fanout()
    own = registry(fanout)

    def sample(name: str, **labels: str) -> float | None:
        return own.get_sample_value(name, labels)

    clients = [fanout.client("sse", "fast", "trades.a", "quotes.#") for _ in range(3)]
    for client in clients[:2]:
        client.clog()
    for number in range(5):
        fanout.publish("trades.a", ts=now_ms() - 9_000)
        fanout.publish(f"quotes.{number % 2}")
    await fanout.settle()
    assert sample("tickfan_slow_subscribers") == sample("tickfan_parked") == 2
    assert sample("tickfan_backlog_updates", delivery="lossless") == 10
    assert sample("tickfan_backlog_updates", delivery="conflated") == 4
    assert (sample("tickfan_backlog_bytes") or 0) > 10 * 128
    assert 9 <= (sample("tickfan_backlog_age_seconds") or 0) < 60

    for client in clients:
        client.pipe.become("fast")
    await fanout.settle()
    for name in ("slow_subscribers", "parked", "backlog_bytes", "backlog_age_seconds"):
        assert sample(f"tickfan_{name}") == 0, name


async def test_a_cursor_that_is_too_old_is_counted_with_the_reason(service: Live) -> None:
    """What the client is told in ``reset``."""
    await service.publish("trades.A", 1)
    async with service.ndjson("channels=trades.A") as lines:
        cursor = (await lines.read_until("snapshot_end"))[-1]["cursor"]
    async with service.ndjson(f"channels=trades.A&cursor={cursor[:-11]}AAAAAAAAAAA") as lines:
        reason = (await lines.read_until("reset"))[-1]["reason"]
    assert value(service, "tickfan_unrecovered_total", feed="trades", reason=reason) == 1
    assert reason in UNRECOVERED_REASONS


async def test_a_scrape_is_prometheus_text(service: Live) -> None:
    """The content type that Prometheus asks for, and a text that its parser takes."""
    answer = await service.admin.get("/metrics")
    assert answer.status == 200
    assert answer.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    names = {family.name for family in text_string_to_metric_families(await answer.text())}
    assert names >= {"tickfan_feed_live", "process_open_fds", "python_info"}
