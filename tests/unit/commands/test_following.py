"""tickfan.commands.following: how long it waits before it comes back."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tests.support.updates import LAW
from tickfan.commands.following import DELAY_S_MAX, Outage


def test_the_service_says_how_long_to_wait() -> None:
    """It has spread its clients itself; later tries in vain wait longer."""
    outage = Outage(is_known=True)
    assert outage.wait_s(700) == 0.7
    assert 0.7 <= outage.wait_s(700) <= 2.1
    assert 1.4 <= outage.wait_s(700) <= 4.2


def test_without_a_word_it_waits_one_to_three_seconds() -> None:
    """And not all clients the same."""
    waits = [Outage().wait_s(None) for _ in range(200)]
    assert all(1 <= wait <= 3 for wait in waits)
    assert max(waits) - min(waits) > 1


@LAW
@given(st.lists(st.none() | st.integers(1, 600_000), min_size=1, max_size=40))
def test_a_wait_has_a_bound(asked: list[int | None]) -> None:
    """Half a minute, unless the service asks for more; and never none at all."""
    outage = Outage()
    for retry_ms in asked:
        assert 0 < outage.wait_s(retry_ms) <= max(DELAY_S_MAX, 1.5 * (retry_ms or 0) / 1000)
    assert outage.tries == len(asked)
