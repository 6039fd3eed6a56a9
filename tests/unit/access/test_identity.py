"""What an identity says of itself, and of what it may not do."""

from __future__ import annotations

from tickfan.access.identity import Identity
from tickfan.core.scope import NONE, Scope

READS = Scope(["trades.A", "quotes.#"])


def test_without_a_token_one_is_asked_for() -> None:
    """A refusal says what goes without."""
    anonymous = Identity(READS)
    assert anonymous.is_anonymous
    assert anonymous.expires_ms is None
    refusal = anonymous.cannot_read("trades.#")
    assert (refusal.code, refusal.item) == ("unauthorized", "trades.#")
    assert refusal.message == (
        "'trades.#' needs a token; without one a client may read trades.A, quotes.#"
    )
    assert Identity(NONE).cannot_read("a").message.endswith("may read nothing")


def test_with_a_token_it_is_said_what_it_allows() -> None:
    """For reading and for publishing."""
    alice = Identity(READS, Scope(["quotes.A"]), subject="alice", expires_at=1_800_000_000.5)
    assert not alice.is_anonymous
    assert alice.expires_ms == 1_800_000_000_500
    refusal = alice.cannot_read("trades.#")
    assert (refusal.code, refusal.item) == ("forbidden", "trades.#")
    assert refusal.message == "the token may read trades.A, quotes.#; not 'trades.#'"
    refusal = alice.cannot_write("quotes.B")
    assert (refusal.code, refusal.item) == ("publish_forbidden", "quotes.B")
    assert refusal.message == "the token may publish to quotes.A; not to 'quotes.B'"
