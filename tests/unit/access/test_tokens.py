"""What a token must say, and what is refused: by name, and without repeating it."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from joserfc import jws
from joserfc.jwk import ECKey, OctKey, OKPKey, RSAKey

from tests.support.updates import LAW
from tickfan.access.keys import Key, Keys
from tickfan.access.tokens import SCOPE_MAX, TokenRules, Tokens
from tickfan.core.errors import Refusal

NOW = 1_800_000_000.0
ISSUER = "https://login.test/"
RULES = TokenRules("tickfan", token_bytes_max=4096, leeway_s=10, age_max_s=86_400)
SECRET = OctKey.import_key("0123456789abcdef0123456789abcdef")
RSA, EC, OKP = (
    RSAKey.generate_key(2048), ECKey.generate_key("P-256"), OKPKey.generate_key("Ed25519"),
)  # fmt: skip
PAIRS: dict[str, Any] = {
    "HS256": SECRET, "RS256": RSA, "ES256": EC, "EdDSA": OKP, "Ed25519": OKP,
}  # fmt: skip
TOKENS = Tokens(
    Keys(Key(ISSUER, algorithm, algorithm, key) for algorithm, key in PAIRS.items()),
    RULES,
    lambda: NOW,
)
CLAIMS = {
    "iss": ISSUER, "aud": "tickfan", "sub": "alice", "iat": NOW - 5, "exp": NOW + 600,
    "jti": "t1", "channels": ["quotes.#", "trades.A"], "publish": ["quotes.A"],
    "interval_ms_min": 500, "connections_max": 3,
}  # fmt: skip


class AnyHeader(jws.JWSRegistry):
    """Signs whatever stands in a header."""

    def check_header(self, header: Any) -> None:
        pass

    def get_alg(self, name: str) -> Any:
        return self.algorithms[name]


def signed(
    claims: dict[str, Any] | str = CLAIMS, algorithm: str = "RS256", key: Any = None, **header: Any
) -> str:
    protected = {"alg": algorithm, **header}
    payload = claims if isinstance(claims, str) else json.dumps(claims)
    key = key or PAIRS[algorithm]
    return jws.serialize_compact(protected, payload, key, registry=AnyHeader())


def without(name: str) -> dict[str, Any]:
    return {claim: value for claim, value in CLAIMS.items() if claim != name}


def refused(token: str) -> Refusal:
    with pytest.raises(Refusal) as caught:
        TOKENS.identify(token)
    assert token not in caught.value.message
    assert caught.value.item is None
    return caught.value


@pytest.mark.parametrize("algorithm", PAIRS)
def test_a_token_says_who_it_is(algorithm: str) -> None:
    """Each algorithm, with the key of its own."""
    for header in ({}, {"kid": algorithm}, {"typ": "at+jwt"}, {"typ": "application/AT+JWT"}):
        identity = TOKENS.identify(signed(algorithm=algorithm, **header))
        assert (identity.subject, identity.issuer, identity.token_id) == ("alice", ISSUER, "t1")
        assert (identity.issued_at, identity.expires_at) == (NOW - 5, NOW + 600)
        assert [pattern.text for pattern in identity.reads] == ["quotes.#", "trades.A"]
        assert [pattern.text for pattern in identity.writes] == ["quotes.A"]
        assert (identity.interval_ms_min, identity.connections_max) == (500, 3)


def test_what_a_token_does_not_say_it_does_not_allow() -> None:
    """No channels, no publishing; an interval and a number of connections as for all."""
    claims = {name: CLAIMS[name] for name in ("iss", "aud", "sub", "exp", "iat")}
    identity = TOKENS.identify(signed(claims))
    assert not identity.reads.patterns
    assert not identity.writes.patterns
    assert (identity.interval_ms_min, identity.connections_max) == (0, None)
    assert identity.token_id == ""


def test_one_text_may_hold_several_patterns() -> None:
    """As the claim `scope` of OAuth does."""
    identity = TOKENS.identify(signed({**CLAIMS, "channels": "quotes.A trades.#"}))
    assert [pattern.text for pattern in identity.reads] == ["quotes.A", "trades.#"]


@pytest.mark.parametrize(
    ("claims", "why"),
    [
        (without("iss"), "iss is missing"),
        ({**CLAIMS, "iss": "https://other.test/"}, "no key of that issuer"),
        ({**CLAIMS, "iss": ["x"]}, "iss is missing"),
        (without("aud"), "aud must name 'tickfan'"),
        ({**CLAIMS, "aud": ["a", "b"]}, "aud must name"),
        ({**CLAIMS, "aud": "tickfan2"}, "aud must name"),
        (without("sub"), "sub must be"),
        ({**CLAIMS, "sub": ""}, "sub must be"),
        ({**CLAIMS, "sub": "x" * 256}, "sub must be"),
        (without("exp"), "exp must be"),
        (without("iat"), "iat must be"),
        ({**CLAIMS, "exp": "2030"}, "exp must be"),
        ({**CLAIMS, "exp": True}, "exp must be"),
        ({**CLAIMS, "exp": -1}, "exp must be"),
        ({**CLAIMS, "nbf": NOW + 11}, "not valid yet"),
        ({**CLAIMS, "iat": NOW + 11}, "not valid yet"),
        ({**CLAIMS, "jti": 7}, "jti must be"),
        ({**CLAIMS, "channels": "a..b"}, "channels: 'a..b'"),
        ({**CLAIMS, "channels": [1]}, "channels must be"),
        ({**CLAIMS, "channels": {"a": 1}}, "channels must be"),
        ({**CLAIMS, "publish": ["a"] * (SCOPE_MAX + 1)}, "has 257 patterns"),
        ({**CLAIMS, "interval_ms_min": 1.5}, "interval_ms_min must be"),
        ({**CLAIMS, "interval_ms_min": 60_001}, "interval_ms_min must be"),
        ({**CLAIMS, "connections_max": True}, "connections_max must be"),
        ({**CLAIMS, "connections_max": -1}, "connections_max must be"),
        ("[]", "must be JSON objects"),
        ("{", "must be JSON objects"),
        ('{"exp": NaN}', "must be JSON objects"),
    ],
)
def test_wrong_claims(claims: dict[str, Any] | str, why: str) -> None:
    """Each is named."""
    refusal = refused(signed(claims))
    assert refusal.code == "bad_token"
    assert why in refusal.message


def test_expired_has_a_code_of_its_own() -> None:
    """By exp, or because it is older than any token may be; the leeway is for clocks."""
    assert TOKENS.identify(signed({**CLAIMS, "exp": NOW - 9})).expires_at == NOW - 9
    assert refused(signed({**CLAIMS, "exp": NOW - 10})).code == "expired"
    old = {**CLAIMS, "iat": NOW - 86_400 - 10, "exp": NOW + 10**9}
    assert refused(signed(old)).code == "expired"
    young = TOKENS.identify(signed({**old, "iat": NOW - 400}))
    assert young.expires_at == NOW + 86_000


@pytest.mark.parametrize(
    "header",
    [
        {"crit": ["exp"]}, {"jku": "https://evil.test/keys"}, {"x5u": "https://evil.test/x"},
        {"x5c": []}, {"jwk": RSA.as_dict(private=False)}, {"zip": "DEF"},
        {"typ": "dpop+jwt"}, {"typ": 1}, {"kid": ["RS256"]},
    ],
)  # fmt: skip
def test_a_header_brings_no_key_and_no_rules(header: dict[str, Any]) -> None:
    """Although the signature is right."""
    assert refused(signed(**header)).code == "bad_token"


def encoded(value: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


def test_no_token_chooses_how_it_is_checked() -> None:
    """`none`, a public key as a secret, a key of another issuer or algorithm."""
    body = encoded(CLAIMS)
    unsigned = [f"{encoded({'alg': name})}.{body}." for name in ("none", "None", "", "HS512")]
    mixed = OctKey.import_key(str(RSA.as_dict(private=False)["n"]))
    for token in (
        *unsigned,
        signed(algorithm="HS256", key=mixed),
        signed(algorithm="RS256", key=RSAKey.generate_key(2048)),
        signed(algorithm="RS256", kid="HS256"),
        signed(algorithm="EdDSA", kid="RS256"),
    ):
        assert "signed with no key" in refused(token).message
    head, body, tail = signed().split(".")
    other = encoded({**CLAIMS, "sub": "root"})
    assert "signed with no key" in refused(f"{head}.{other}.{tail}").message
    assert "signed with no key" in refused(f"{head}.{body}.{tail[:-8]}").message


@pytest.mark.parametrize(
    "token", ["", ".", "a.b", "a.b.c", "...", "é.b.c", "\udcff.x.y", f"{encoded(1)}.{encoded(2)}."]
)
def test_what_is_no_token(token: str) -> None:
    """It has no three parts, or they are no JSON objects."""
    with pytest.raises(Refusal, match="not valid here"):
        TOKENS.identify(token)


def test_an_oversize_token_is_not_looked_at() -> None:
    """It may come with each request."""
    assert "at most 4096" in refused(signed({**CLAIMS, "x": "y" * 4096})).message


@LAW
@given(st.one_of(st.text(), st.from_regex(r"[A-Za-z0-9_-]{0,40}(\.[A-Za-z0-9_-]{0,60}){2}")))
def test_any_text_is_refused_by_name(token: str) -> None:
    """Nothing but a refusal comes out."""
    with pytest.raises(Refusal) as caught:
        TOKENS.identify(token)
    assert caught.value.code == "bad_token"


@LAW
@given(data=st.data())
def test_no_change_of_a_token_is_taken(data: st.DataObject) -> None:
    """One character is another one: it is refused, or says the same (base64 has spare bits)."""
    token = signed()
    at = data.draw(st.integers(0, len(token) - 1))
    other = data.draw(st.sampled_from("AZaz09-_."))
    changed = token[:at] + other + token[at + 1 :]
    try:
        said: object = TOKENS.identify(changed)
    except Refusal as refusal:
        said = refusal.code
    assert said in ("bad_token", TOKENS.identify(token))


def test_keys_may_be_replaced() -> None:
    """As when an issuer has new ones."""
    tokens = Tokens(Keys(), RULES, lambda: NOW)
    with pytest.raises(Refusal):
        tokens.identify(signed())
    tokens.keys = Keys([Key(ISSUER, "RS256", "", RSA)])
    assert tokens.identify(signed(kid="any")).subject == "alice"
