"""What the load tests take for a gap. k6's chains are the same rules in JavaScript."""

from __future__ import annotations

from loadtest.locust.chains import Chains, Update

CHANNEL = "trades.A"


def lossless(seq: int, prev: int | None) -> Update:
    """A lossless update."""
    return Update(CHANNEL, seq, 0, prev)


def conflated(seq: int) -> Update:
    """A conflated update."""
    return Update(CHANNEL, seq, 0)


def test_chain() -> None:
    """An unbroken chain is no gap, whatever the holes in seq; the first may follow anything."""
    chains = Chains()

    assert chains.take(lossless(10, 5)) is None
    assert chains.take(lossless(30, 10)) is None
    assert chains.is_lossless(CHANNEL)


def test_begins_with_none() -> None:
    """A channel whose first update has no prev is lossless from its second on."""
    chains = Chains()

    assert chains.take(lossless(10, None)) is None
    assert chains.take(lossless(11, 10)) is None
    assert chains.take(lossless(13, 12)) is not None


def test_lost_doubled_and_unchained() -> None:
    """A missing, a doubled and an unchained update are gaps."""
    for broken in (lossless(30, 20), lossless(10, 5), lossless(30, None)):
        chains = Chains()
        chains.take(lossless(10, 5))

        assert chains.take(broken) is not None


def test_one_gap_is_one() -> None:
    """After a gap the chain goes on from there."""
    chains = Chains()
    chains.take(lossless(10, 5))
    chains.take(lossless(30, 20))

    assert chains.take(lossless(40, 30)) is None


def test_snapshot() -> None:
    """Live updates follow the snapshot."""
    chains = Chains()
    chains.take(lossless(10, 5), is_snapshot=True)

    assert chains.take(lossless(30, 20)) is not None


def test_conflated() -> None:
    """A conflated seq may jump or come twice, and never goes back."""
    chains = Chains()

    assert [chains.take(conflated(seq)) for seq in (1, 9, 9)] == [None] * 3
    assert chains.take(conflated(8)) is not None


def test_reconnected() -> None:
    """Another connection goes on with lossless channels and afresh with the others."""
    chains = Chains()
    chains.take(lossless(10, 5))
    chains.take(Update("quotes.A", 50, 0))
    chains.reconnected()

    assert chains.take(Update("quotes.A", 1, 0)) is None
    assert chains.take(lossless(30, 20)) is not None


def test_forget() -> None:
    """After a reset anything may follow."""
    chains = Chains()
    chains.take(lossless(10, 5))
    chains.forget()

    assert chains.take(lossless(3, 1)) is None
