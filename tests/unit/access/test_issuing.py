"""What is signed here is taken here."""

from __future__ import annotations

import time

import pytest
from joserfc.jwk import RSAKey

from tests.support.access import ISSUER, SECRET, standard_claims
from tickfan.access.issuing import can_sign, sign
from tickfan.access.keys import Keys, key_from_text
from tickfan.access.tokens import TokenRules, Tokens

PRIVATE = RSAKey.generate_key(2048)


@pytest.mark.parametrize(
    ("algorithm", "text"),
    [("HS256", SECRET), ("RS256", PRIVATE.as_pem(private=True).decode())],
)
@pytest.mark.parametrize("key_id", ["", "k"])
def test_a_token_is_taken_by_whoever_has_the_key(algorithm: str, text: str, key_id: str) -> None:
    """Its issuer and its name are those of the key."""
    key = key_from_text(text, ISSUER, algorithm, key_id)
    assert can_sign(key)
    rules = TokenRules("tickfan", 4096, 10, 86_400)
    identity = Tokens(Keys([key]), rules, time.time).identify(sign(key, standard_claims()))
    assert (identity.issuer, identity.subject) == (ISSUER, "alice")


def test_a_public_key_signs_nothing() -> None:
    """It only checks."""
    assert not can_sign(key_from_text(PRIVATE.as_pem(private=False).decode(), ISSUER, "RS256"))
