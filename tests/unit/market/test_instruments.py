"""What is traded: exact decimals, names that can be channels, prices that stay positive."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.updates import LAW
from tickfan.core.pattern import is_channel_name
from tickfan.market.instruments import INSTRUMENTS, Instrument, decimal
from tickfan.market.orderbook import LEVELS


@given(units=st.integers(0, 10**15), digits=st.integers(0, 8))
@LAW
def test_decimal_is_exact(units: int, digits: int) -> None:
    """A price as text is the number of ticks, exactly, with all its digits."""
    text = decimal(units, digits)
    assert Decimal(text).scaleb(digits) == units
    whole, point, rest = text.partition(".")
    assert (len(rest), bool(point)) == (digits, digits > 0)
    assert whole == str(int(whole)), "no leading zeros, and never an empty whole part"


@pytest.mark.parametrize(
    ("units", "digits", "text"),
    [(10850, 2, "108.50"), (5, 5, "0.00005"), (0, 2, "0.00"), (0, 0, "0"), (100, 2, "1.00")],
)
def test_decimal_keeps_zeros(units: int, digits: int, text: str) -> None:
    """As a price is written: trailing zeros stay, and there is a zero before the point."""
    assert decimal(units, digits) == text


def test_prices_and_sizes_have_digits_of_their_own() -> None:
    """A price counts ticks, a size counts units."""
    thing = Instrument("X", 100, 3, 1, 1, 10, 1, 1)
    assert (thing.price(1500), thing.size(1500)) == ("1.500", "150.0")


def test_symbols_differ() -> None:
    """Two instruments never share a channel."""
    symbols = [thing.symbol for thing in INSTRUMENTS]
    assert len(set(symbols)) == len(symbols)


@pytest.mark.parametrize("thing", INSTRUMENTS, ids=lambda thing: thing.symbol)
def test_an_instrument_can_be_traded(thing: Instrument) -> None:
    """Its channels have names, it moves, and no level of its book comes near zero."""
    assert all(is_channel_name(f"{kind}.{thing.symbol}") for kind in ("quotes", "trades", "book"))
    assert "." not in thing.symbol, "a symbol is one word: quotes.* matches it"
    assert min(thing.spread, thing.jump, thing.lot, thing.weight) >= 1
    # The market pulls a price back at 2 % from its start.
    assert thing.start * 0.75 > LEVELS + thing.spread + 100 * thing.jump
