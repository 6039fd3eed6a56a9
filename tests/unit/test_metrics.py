"""The metrics: what is counted, under names that follow Prometheus's rules."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from service.core.closing import REASONS
from service.metrics import registry
from tests.support.live import until
from tests.support.raw import connect, request

if TYPE_CHECKING:
    from tests.support.fixtures import MakeLive
    from tests.support.live import Live

NAME = re.compile(r"tickfan(_[a-z]+)+")


def families(live: Live) -> dict[str, Any]:
    service = live.service
    own = registry(service.hub, service.connections, service.formats.encodings)
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
    await until(lambda: service.hub.tally.closes)

    own = {name: family for name, family in families(service).items() if "tickfan" in name}
    assert len(own) >= 20
    for name, family in own.items():
        assert NAME.fullmatch(name), name
        assert family.documentation, name
        assert not name.endswith(("_ms", "_count", "_sum", "_total")), name
        for sample in family.samples:
            assert sample.name.endswith("_total") == (family.type == "counter"), sample.name
            assert set(sample.labels) <= {"feed", "format", "reason", "recovered", "encoder"}
            # Nothing that a client or a publisher has named.
            assert not {"trades.A", "127.0.0.1"} & set(sample.labels.values())


async def test_updates_are_counted_from_broker_to_client(service: Live) -> None:
    """In, folded, encoded once for each wire format, out."""
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
