"""Which entries of a set of keys count."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from joserfc.jwk import ECKey, OctKey, RSAKey

from tickfan.access.jwks import SET_KEYS_MAX, BadSet, Issued, keys_of

RSA = RSAKey.generate_key(2048).as_dict(private=False)
EC = ECKey.generate_key("P-256").as_dict(private=False)
ISSUED = [Issued("me", "RS256")]


def entries(*keys: Any) -> bytes:
    return orjson.dumps({"keys": keys})


def test_keys_of_the_algorithm_count_and_others_are_passed_over() -> None:
    """A set may hold keys of other uses, and kinds that nobody knows."""
    found = keys_of(
        entries(
            {**RSA, "kid": "a"}, {**RSA, "kid": "b", "alg": "RS256", "use": "sig"},
            {**RSA, "kid": "c", "alg": "RS512"}, {**RSA, "kid": "d", "use": "enc"},
            {**EC, "kid": "e"}, {"kty": "new", "kid": "f"}, 7, {},
            OctKey.generate_key(256).as_dict(),
        ),
        ISSUED,
    )  # fmt: skip
    assert [(key.issuer, key.algorithm, key.key_id) for key in found] == [
        ("me", "RS256", "a"), ("me", "RS256", "b"),
    ]  # fmt: skip


def test_one_set_may_serve_several_issuers_and_algorithms() -> None:
    """Each key for each issuer whose algorithm it has."""
    issued = [*ISSUED, Issued("you", "RS256"), Issued("me", "ES256")]
    found = keys_of(entries(RSA, EC), issued)
    assert [(key.issuer, key.algorithm) for key in found] == [
        ("me", "RS256"), ("you", "RS256"), ("me", "ES256"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b"<html>", "no JSON"),
        (b"[]", "no set of keys"),
        (b'{"keys": {}}', "no set of keys"),
        (b'{"keys": []}', "no key for RS256"),
        (entries(EC), "no key for RS256"),
        (entries(*[RSA] * (SET_KEYS_MAX + 1)), "has 65 keys; at most 64"),
        (b"\xff", "no JSON"),
        (b"[" * 100_000, "no JSON"),
    ],
)
def test_what_is_no_set_says_why(body: bytes, why: str) -> None:
    """An issuer's error page, for example."""
    with pytest.raises(BadSet, match=why):
        keys_of(body, ISSUED)
