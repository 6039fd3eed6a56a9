"""The arithmetic of sizes: what must hold whatever the figures are."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadtest.bench.capacity import (
    Figures,
    Workload,
    ingest,
    market_max,
    replicas_a_node,
    screen,
    screens_max,
    size,
)
from tests.support.updates import LAW

FIGURES = Figures(
    write_us=8, own_us=20, update_us=0.25, update_bytes=80, lossless_bytes=200, screen_kib=60,
    screens_core=0.5, start_mib=60, message_us=30, ingest_us=4, broker_us=20, connect_us=250,
)  # fmt: skip
LOAD = Workload()
screens_counts = st.integers(1, 50_000_000)
zone_counts = st.integers(1, 5)


def test_a_screen_by_hand() -> None:
    """Ten channels that all change in a second's interval, and two updates that never wait."""
    load = Workload(
        conflated_channels=10, interval_ms=1000, quotes_per_s=100, quotes_channels=100,
        lossless_channels=1, trades_per_s=2, trades_channels=1, flush_ms=0, packet_bytes=90,
    )  # fmt: skip
    one = screen(FIGURES, load)

    assert (one.updates, one.writes) == (12, 3)
    assert one.cpu_us == (20 + 9 * 0.25) + 2 * 20
    assert one.bytes == 10 * 80 + 2 * 200 + 3 * 90


def test_a_channel_that_changes_often_comes_once_an_interval() -> None:
    """Conflation bounds a screen, whatever the market does."""
    fast = replace(LOAD, quotes_per_s=1_000_000, trades_per_s=0)
    assert screen(FIGURES, fast).updates == pytest.approx(50 * 4)


def test_a_screen_that_sees_no_change_costs_nothing() -> None:
    """Nor does one whose channels change less than once an interval get empty writes."""
    assert screen(FIGURES, replace(LOAD, quotes_per_s=0, trades_per_s=0)).cpu_us == 0
    rare = replace(LOAD, quotes_per_s=100, trades_per_s=0)
    assert screen(FIGURES, rare).writes == pytest.approx(50 * 100 / 10_000)


def test_a_longer_wait_shares_writes_and_loses_no_update() -> None:
    """Lossless updates that wait for each other."""
    now, later = screen(FIGURES, LOAD), screen(FIGURES, replace(LOAD, flush_ms=100))
    assert later.updates == now.updates
    assert later.writes < now.writes
    assert later.cpu_us < now.cpu_us


def test_a_team_never_costs_more_than_its_members_alone() -> None:
    """And the larger the less, down to the write itself."""
    costs = [screen(FIGURES, replace(LOAD, team=team)).cpu_us for team in (1, 2, 20, 10**9)]
    assert costs == sorted(costs, reverse=True)
    assert costs[-1] == pytest.approx(screen(FIGURES, LOAD).writes * FIGURES.write_us)


@LAW
@given(screens_counts, zone_counts)
def test_with_a_zone_lost_the_others_carry_all(screens: int, zones: int) -> None:
    """Within busy_max, and within the limit of connections."""
    load = replace(LOAD, zones=zones)
    found = size(screens, FIGURES, load)
    left = found.replicas * (zones - 1) // zones if zones > 1 else found.replicas

    assert found.replicas % zones == 0
    carried = ingest(FIGURES, load) + screens / left * screen(FIGURES, load).cpu_us / 1e6
    assert found.busy_zone_lost == pytest.approx(carried)
    assert found.busy <= found.busy_zone_lost <= load.busy_max + 1e-9
    assert screens <= left * load.connections_max
    assert found.screens_each * found.replicas >= screens


@LAW
@given(screens_counts)
def test_no_replica_is_too_many(screens: int) -> None:
    """One fewer in each zone would not do."""
    found = size(screens, FIGURES, LOAD)
    most, _ = screens_max(FIGURES, LOAD)
    fewer = found.replicas // LOAD.zones - 1

    assert fewer * (LOAD.zones - 1) * most < screens


def test_where_cores_would_do_connections_bound() -> None:
    """A quiet market: descriptors are what a replica runs out of."""
    quiet = replace(LOAD, quotes_per_s=100, trades_per_s=0)
    assert screens_max(FIGURES, quiet) == (quiet.connections_max, "connections")
    assert size(10**6, FIGURES, quiet).bound_by == "connections"


def test_few_screens_are_bound_by_the_zones_alone() -> None:
    """One replica in each, and a core that has nearly nothing to do."""
    few = size(100, FIGURES, Workload(zones=2))
    assert (few.replicas, few.bound_by) == (2, "zones")
    assert few.busy_zone_lost < 0.2


def test_rabbitmq_sends_everything_to_each_replica() -> None:
    """By hand: 22,000 updates/s, 20 a message, 130 bytes each."""
    found = size(1_000_000, FIGURES, LOAD)

    assert found.broker_messages == found.replicas * 1100
    assert found.broker_gbit == pytest.approx(found.replicas * 22_000 * 130 * 8 / 1e9)
    assert found.broker_cores == pytest.approx(found.replicas * 1100 * 20 / 1e6)
    assert found.broker_nodes >= found.broker_gbit / 10 / 0.6


def test_a_market_too_fast_for_a_process_is_refused_with_the_way_out() -> None:
    """No number of replicas helps there."""
    single = replace(LOAD, per_message=1)
    with pytest.raises(ValueError, match=r"needs 0\.75 of its core.*more updates in a message"):
        size(1, FIGURES, replace(single, busy_max=0.7))
    assert ingest(FIGURES, single) == pytest.approx(22_000 * 34 / 1e6)


def test_the_bounds_by_hand() -> None:
    """Of one replica's reading, and of one node's sending."""
    assert market_max(FIGURES, replace(LOAD, per_message=1)) == pytest.approx(0.8e6 / 34)
    # 1,100 messages/s at 20 us are 0.022 of a core; 22,000 x 130 bytes are 22.88 Mbit/s.
    assert replicas_a_node(FIGURES, LOAD) == int(min(8 / 0.022, 10_000 / 22.88) * 0.6)


def test_what_a_lost_zone_brings_by_hand() -> None:
    """A half more of screens each, to let in with a fifth of a core; and all that memory."""
    load = replace(LOAD, slow_share=0.01, slow_mib=4, feed_mib=128, busy_max=0.8)
    found = size(100_000, FIGURES, load)
    more, there = 100_000 / found.replicas / 2, 100_000 / found.replicas * 1.5

    assert found.reconnect_s == pytest.approx(more * 250e-6 / 0.2)
    assert found.memory_mib == pytest.approx(60 + 128 + there * (60 / 1024 + 0.04))
