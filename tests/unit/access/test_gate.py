"""Who comes in with which token, and what counts as none."""

from __future__ import annotations

import time

import pytest

from tests.support.access import ANYBODY, ISSUER, SECRET, token
from tickfan.access.gate import PUBLISHER, Gate
from tickfan.access.identity import Identity
from tickfan.access.keys import Keys, key_from_text
from tickfan.access.revocations import Revocation, Revocations
from tickfan.access.sealed import TICKET_S, Seals, UsedTicket
from tickfan.access.tokens import TokenRules, Tokens
from tickfan.core import closing
from tickfan.core.errors import Refusal
from tickfan.core.scope import NONE

PUBLISH_TOKEN = "correct-horse-battery-staple"
KEYS = Keys([key_from_text(SECRET, ISSUER, "HS256")])
NOBODY = Identity(NONE)


def tokens() -> Tokens:
    return Tokens(KEYS, TokenRules("tickfan", 4096, 10, 86_400), time.time)


def test_without_keys_a_token_is_not_looked_at() -> None:
    """So it was before there were keys; a proxy may add its own."""
    gate = Gate(ANYBODY, None, "")
    assert not gate.is_guarded
    assert not gate.takes_publishers
    assert gate.identify("anything") is ANYBODY


def test_the_token_of_the_settings_publishes_everywhere() -> None:
    """It reads what anybody reads; no token of an issuer can be taken for it."""
    for gate in (Gate(NOBODY, None, PUBLISH_TOKEN), Gate(NOBODY, tokens(), PUBLISH_TOKEN)):
        publisher = gate.identify(PUBLISH_TOKEN)
        assert publisher.writes.is_all
        assert publisher.reads is NONE
        assert (publisher.subject, publisher.issuer) == (PUBLISHER, "")
        assert gate.takes_publishers


def test_with_keys_a_wrong_token_is_refused() -> None:
    """It is not taken for anonymous."""
    gate = Gate(ANYBODY, tokens(), "")
    assert gate.is_guarded
    assert gate.takes_publishers
    assert gate.identify(token(sub="bob")).subject == "bob"
    for wrong in ("", "\udcff", PUBLISH_TOKEN, token(aud="x")):
        with pytest.raises(Refusal) as caught:
            gate.identify(wrong)
        assert caught.value.code == "bad_token"


def test_a_revoked_token_is_refused_and_publish_token_is_not() -> None:
    """As long as nobody knows whether one is revoked, each is told to wait."""
    revocations = Revocations(1000, time.time)
    gate = Gate(ANYBODY, tokens(), PUBLISH_TOKEN, revocations=revocations)
    alice, bob = (gate.identify(token(sub=name)) for name in ("alice", "bob"))
    publisher = gate.identify(PUBLISH_TOKEN)
    for known in (ANYBODY, publisher):
        assert gate.stops(known) is None
    assert gate.stops(alice) is closing.STARTING
    with pytest.raises(Refusal) as caught:
        gate.admit(alice)
    assert caught.value.code == "starting"

    revocations.are_known = True
    assert gate.stops(alice) is None
    gate.admit(alice)

    revocations.add([Revocation("alice", "", "", int(time.time() * 1000) + 1000)])
    assert gate.stops(alice) is closing.FORBIDDEN
    with pytest.raises(Refusal, match="it has been revoked") as caught:
        gate.admit(alice)
    assert caught.value.code == "bad_token"
    for allowed in (bob, publisher, ANYBODY):
        gate.admit(allowed)


def sealing(keys: Tokens | None = None) -> Gate:
    import time

    return Gate(NOBODY, keys or tokens(), PUBLISH_TOKEN, seals=Seals(["s" * 32], time.time))


def test_a_ticket_is_used_once_and_a_cookie_again() -> None:
    """Both are those of the token that they were made of."""
    gate = sealing()
    alice = gate.identify(token())
    text, life_s = gate.make_ticket(alice, "https://page")
    assert life_s == TICKET_S
    ticket = gate.open_ticket(text)
    assert ticket.origin == "https://page"
    assert gate.spend(ticket) == alice
    with pytest.raises(UsedTicket):
        gate.spend(gate.open_ticket(text))
    cookie, _ = gate.make_cookie(alice, 5)
    assert [gate.open_cookie(cookie) for _ in range(2)] == [alice, alice]


def test_a_ticket_is_made_for_whoever_has_a_token() -> None:
    """Neither for somebody without one, nor for the publisher of the settings."""
    gate = sealing()
    for identity, code in ((NOBODY, "unauthorized"), (gate.identify(PUBLISH_TOKEN), "forbidden")):
        with pytest.raises(Refusal) as caught:
            gate.make_ticket(identity, "")
        assert caught.value.code == code


@pytest.mark.parametrize("has_keys", [False, True])
def test_where_tickets_are_off_it_is_said_what_they_need(*, has_keys: bool) -> None:
    """A secret, and before that a key of tokens: a secret alone makes none."""
    import time

    keyless = Gate(ANYBODY, None, "", seals=Seals(["s" * 32], time.time))
    gate = Gate(NOBODY, tokens(), "") if has_keys else keyless
    assert not gate.takes_cookies
    for ask in (lambda: gate.make_ticket(ANYBODY, ""), lambda: gate.open_ticket("x")):
        with pytest.raises(Refusal) as caught:
            ask()
        assert caught.value.code == "tickets_off"
        assert "access.secret" in caught.value.message
        assert ("[[keys]]" in caught.value.message) is not has_keys
