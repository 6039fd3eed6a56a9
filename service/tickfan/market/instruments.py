"""What the simulated market trades, and prices as whole numbers of ticks.

Prices and sizes are integers here and decimal strings outside, so no float
ever touches one. Must not know how they move.
"""

from __future__ import annotations

from typing import NamedTuple


class Instrument(NamedTuple):
    """One thing to trade. Prices are in ticks of 10 to the power ``-digits``.

    ``start`` is the first price, ``spread`` the usual distance of bid and ask
    and ``jump`` the greatest move of one quote, all in ticks. ``lot`` is the
    usual size at a price, in units of 10 to the power ``-size_digits``.
    ``weight`` is how often it changes, relative to the others.
    """

    symbol: str
    start: int
    digits: int
    spread: int
    jump: int
    lot: int
    size_digits: int
    weight: int

    def price(self, ticks: int) -> str:
        """A price as a decimal string: 10850 ticks of two digits is ``108.50``."""
        return decimal(ticks, self.digits)

    def size(self, units: int) -> str:
        """A size as a decimal string, with trailing zeros kept."""
        return decimal(units, self.size_digits)


def decimal(units: int, digits: int) -> str:
    """``units`` x 10 to the power ``-digits``, exactly; ``units`` is not negative."""
    if digits == 0:
        return str(units)
    whole, rest = divmod(units, 10**digits)
    return f"{whole}.{rest:0{digits}d}"


INSTRUMENTS = (
    Instrument("BTC-USD", 914_205, 1, 2, 6, 4_000, 4, 10),
    Instrument("ETH-USD", 304_120, 2, 4, 9, 35_000, 4, 8),
    Instrument("SOL-USD", 14_231, 2, 1, 3, 12_000, 2, 5),
    Instrument("XRP-USD", 21_940, 4, 2, 5, 900_000, 2, 4),
    Instrument("DOGE-USD", 16_025, 5, 3, 6, 2_500_000, 2, 3),
    Instrument("EUR/USD", 115_930, 5, 2, 3, 1_500_000, 0, 9),
    Instrument("GBP/USD", 131_420, 5, 3, 4, 1_000_000, 0, 6),
    Instrument("USD/JPY", 156_310, 3, 2, 4, 1_500_000, 0, 7),
    Instrument("USD/CHF", 80_710, 5, 3, 3, 750_000, 0, 3),
    Instrument("AUD/USD", 64_890, 5, 2, 3, 900_000, 0, 4),
    Instrument("AAPL", 26_854, 2, 2, 3, 300, 0, 8),
    Instrument("MSFT", 48_712, 2, 3, 4, 200, 0, 6),
    Instrument("NVDA", 18_652, 2, 1, 3, 700, 0, 9),
    Instrument("AMZN", 22_269, 2, 2, 3, 300, 0, 5),
    Instrument("GOOGL", 29_281, 2, 2, 3, 250, 0, 5),
    Instrument("META", 59_032, 2, 5, 6, 100, 0, 4),
    Instrument("TSLA", 40_398, 2, 4, 6, 200, 0, 7),
    Instrument("JPM", 30_306, 2, 3, 3, 150, 0, 2),
    Instrument("XAU/USD", 407_735, 2, 12, 15, 400, 0, 5),
    Instrument("WTI-USD", 5_944, 2, 1, 2, 900, 0, 3),
)
