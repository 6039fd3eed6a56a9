"""The shapes of load, and what each has to reach (the table in docs/benchmarks.md).

Data only. Must not know how they are run.
"""

from __future__ import annotations

from dataclasses import dataclass, field

TRADE = ["trades.BTC-USD"]


def quotes(count: int) -> list[str]:
    """``count`` conflated channels."""
    return [f"quotes.T{index:04d}" for index in range(count)]


@dataclass(frozen=True)
class Shape:
    """A steady load: ``clients`` subscribers, ``rate`` updates a second in.

    ``each``: every client has so many of the channels, at random (0: all);
    ``layouts``: so many different choices there are (0: each client its own).
    ``batch``: updates in one AMQP message. ``decode``: clients that decode
    all they get. ``age_p99_ms``, ``cost_us``, ``of_nchan``, ``kb_s``: reaches.
    ``subscribe``: patterns instead of the channels.
    ``peers``: run the peers of this shape too.
    """

    name: str
    title: str
    clients: int
    rate: float
    channels: list[str] = field(default_factory=lambda: TRADE)
    subscribe: tuple[str, ...] = ()
    batch: int = 1
    each: int = 0
    layouts: int = 0
    lossless: bool = True
    interval_ms: int | None = None
    flush_ms: int = 10
    decode: int = 10
    quotes: bool = False
    sse: bool = False
    peers: tuple[str, ...] = ()
    age_p99_ms: float | None = None
    cost_us: float | None = None
    of_nchan: float | None = None
    kb_s: float | None = None


STEADY = (
    Shape("A", "500 x 200/s, one update a message", 500, 200, decode=20,
          age_p99_ms=20, of_nchan=0.7, sse=True,
          peers=("asyncio", "nchan", "ws", "stomp", "naive", "raw")),
    Shape("A0", "A with flush_ms = 0", 500, 200, flush_ms=0, decode=20,
          of_nchan=1.0, peers=("nchan", "raw")),
    Shape("B", "500 x 2,000/s", 500, 2000, decode=5, age_p99_ms=50, cost_us=0.5,
          sse=True, peers=("nchan", "ws", "raw")),
    Shape("C", "500 x 10,000/s, ten a message", 500, 10_000, batch=10, decode=3,
          age_p99_ms=50, cost_us=0.15, peers=("raw",)),
    Shape("D", "4,000 x 50 of 1,000 conflated, 50,000/s in, 100 ms", 4000, 50_000,
          quotes(1000), batch=100, each=50, lossless=False, interval_ms=100, decode=20,
          age_p99_ms=200, sse=True, peers=("raw",)),
    Shape("H", "1 x all of 1,000 tickers, 300 change each 500 ms", 1, 600, quotes(1000),
          subscribe=("quotes.#",), batch=300, lossless=False, interval_ms=500, decode=1,
          quotes=True, kb_s=60),
)  # fmt: skip

SPECIAL = ("E", "F", "G")

NAMES = ("A", "A0", "B", "C", "D", "G", "F", "E", "H")
