"""tickfan.transports.budget: what one connection has used, and how long it waits."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tests.support.updates import LAW
from tickfan.transports.addresses import BURST_S, Addresses, Shares
from tickfan.transports.budget import (
    ADDRESS_COST,
    COMMANDS,
    CONNECTION_COST,
    SPELL_S,
    Allowance,
    Budget,
)

ALLOWANCE = Allowance(commands_per_s_max=8, cost_ms_per_s_max=200, throttled_timeout_s=30)
NOW = 1000.0


def test_what_comes_in_a_burst_may_come_at_once() -> None:
    """One frame more waits for its place; time pays."""
    budget = Budget()
    for _ in range(8 * int(BURST_S)):
        assert budget.wait(None, NOW)[1] == 0
        budget.charge(ALLOWANCE, NOW, 1, 0)
    assert budget.wait(None, NOW)[1] == 0
    budget.charge(ALLOWANCE, NOW, 4, 0)
    assert budget.wait(None, NOW) == (COMMANDS, 0.5)
    assert budget.wait(None, NOW + 0.5)[1] == 0


def test_a_cost_is_charged_afterwards() -> None:
    """However large: who has taken six seconds at 200 ms a second waits for 25 s."""
    budget = Budget()
    budget.charge(ALLOWANCE, NOW, 0, 6.0)
    reason, wait_s = budget.wait(None, NOW)
    assert reason == CONNECTION_COST
    assert abs(wait_s - (6.0 / 0.2 - BURST_S)) < 1e-6


def test_an_address_pays_for_all_its_clients() -> None:
    """Another connection of it waits, too."""
    addresses = Addresses(Shares(9, 9, 9, 9, 9, 500, 9), lambda _: False, lambda: NOW)
    client = addresses.open_stream("10.0.0.1")
    client.charge(5.0)
    assert Budget().wait(client, NOW) == (ADDRESS_COST, 5.0)
    assert Budget().wait(addresses.open_stream("10.0.0.2"), NOW)[1] == 0


@LAW
@given(st.lists(st.tuples(st.integers(0, 100), st.floats(0, 100)), max_size=20))
def test_without_limits_nobody_waits(used: list[tuple[int, float]]) -> None:
    """0 is none."""
    budget = Budget()
    for frames, cost_s in used:
        budget.charge(Allowance(0, 0, 1), NOW, frames, cost_s)
    assert budget.wait(None, NOW)[1] == 0


def test_a_spell_of_waits_ends_with_a_pause() -> None:
    """It lasts as long as each wait begins soon after the one before."""
    budget = Budget()
    assert budget.lasts(NOW, NOW + 1) == 0
    assert budget.lasts(NOW + 1 + SPELL_S, NOW + 5) == 1 + SPELL_S
    assert budget.lasts(NOW + 5.1 + SPELL_S, NOW + 9) == 0
