"""Each ticket counts once, for as long as it would be good."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.updates import LAW
from tickfan.access.sealed import TICKET_S, UsedTicket
from tickfan.access.spent import SpentTickets
from tickfan.core.errors import Refusal

NOW = 1_800_000_000.0


def test_a_ticket_counts_once() -> None:
    """Until it would not be good any more; then it is forgotten."""
    spent = SpentTickets()
    spent.spend("a", NOW)
    spent.spend("b", NOW + 1)
    for late_s in (0, 1, TICKET_S - 0.1):
        with pytest.raises(UsedTicket, match="has been used, and counts once"):
            spent.spend("a", NOW + late_s)
    spent.spend("c", NOW + TICKET_S)
    assert len(spent) == 2  # b is remembered still


def test_when_no_more_can_be_remembered_a_ticket_is_refused() -> None:
    """It is not used by that. What was used is not forgotten in its place."""
    spent = SpentTickets(most=2)
    spent.spend("a", NOW)
    spent.spend("b", NOW)
    with pytest.raises(Refusal) as caught:
        spent.spend("c", NOW + 1)
    assert caught.value.code == "overload"
    assert "2 tickets were used within 30 s" in caught.value.message
    for used in "ab":
        with pytest.raises(UsedTicket):
            spent.spend(used, NOW + 1)
    spent.spend("c", NOW + TICKET_S)
    assert len(spent) == 1


@LAW
@given(st.lists(st.tuples(st.sampled_from("abcd"), st.floats(0, 20)), max_size=60))
def test_as_one_that_forgets_nothing(uses: list[tuple[str, float]]) -> None:
    """The same answers as a list of all uses gives, and never more than the bound."""
    spent, all_uses, now = SpentTickets(most=3), dict[str, float](), NOW
    for ticket, after_s in uses:
        now += after_s
        alive = {name for name, until in all_uses.items() if until > now}
        is_new, is_full = ticket not in alive, len(alive) >= 3
        try:
            spent.spend(ticket, now)
        except UsedTicket:
            assert not is_new
        except Refusal:
            assert is_new
            assert is_full
        else:
            assert is_new
            assert not is_full
            all_uses[ticket] = now + TICKET_S
        assert len(spent) <= 3
