"""Which texts are keys, and which keys a token is checked with."""

from __future__ import annotations

import json
import warnings

import pytest
from joserfc.jwk import ECKey, OctKey, OKPKey, RSAKey

from tickfan.access.keys import ALGORITHMS, BadKey, Key, Keys, key_from_jwk, key_from_text

SECRET = "0123456789abcdef0123456789abcdef"
RSA, EC, OKP = (
    RSAKey.generate_key(2048), ECKey.generate_key("P-256"), OKPKey.generate_key("Ed25519"),
)  # fmt: skip
OF_ALGORITHM: dict[str, RSAKey | ECKey | OKPKey] = {
    "RS256": RSA,
    "ES256": EC,
    "EdDSA": OKP,
    "Ed25519": OKP,
}


def pem(key: RSAKey | ECKey | OKPKey) -> str:
    return key.as_pem(private=False).decode()


@pytest.mark.parametrize("algorithm", OF_ALGORITHM)
def test_a_public_key_is_a_pem_or_a_jwk(algorithm: str) -> None:
    """Both give the same key; the kid of a JWK is its name, if the settings give none."""
    key = OF_ALGORITHM[algorithm]
    from_pem = key_from_text(pem(key), "me", algorithm, "k1")
    jwk = {**key.as_dict(private=False), "kid": "k2"}
    from_jwk = key_from_text(json.dumps(jwk), "me", algorithm)
    assert from_pem.jose.thumbprint() == from_jwk.jose.thumbprint() == key.thumbprint()
    assert (from_pem.key_id, from_jwk.key_id) == ("k1", "k2")
    assert key_from_text(json.dumps(jwk), "me", algorithm, "k3").key_id == "k3"


def test_a_secret_is_itself_or_a_jwk() -> None:
    """With as many bytes as the hash."""
    plain = key_from_text(f"{SECRET}\n", "me", "HS256")
    assert isinstance(plain.jose, OctKey)
    assert plain.jose.raw_value == SECRET.encode()
    jwk = OctKey.import_key(SECRET).as_dict()
    assert key_from_text(json.dumps(jwk), "me", "HS256").jose.thumbprint() == (
        plain.jose.thumbprint()
    )


@pytest.mark.parametrize(
    ("algorithm", "text", "why"),
    [
        ("HS256", "short", "at least 32 bytes"),
        ("HS256", pem(RSA), "this is a PEM"),
        ("HS256", json.dumps({"kty": "oct", "k": "c2hvcnQ"}), "at least 32 bytes"),
        ("RS256", SECRET, "is a PEM"),
        ("RS256", pem(EC), "no key for RS256"),
        ("ES256", pem(RSA), "no key for ES256"),
        ("ES256", pem(ECKey.generate_key("P-384")), "the curve P-256, not P-384"),
        ("EdDSA", pem(OKPKey.generate_key("X25519")), "the curve Ed25519, not X25519"),
        ("RS256", "-----BEGIN PUBLIC KEY-----\nnothing\n-----END PUBLIC KEY-----", "no key for"),
        ("RS256", "{", "no JSON object"),
        ("RS256", json.dumps({"kty": "RSA"}), "no key for RS256"),
        ("RS256", json.dumps(EC.as_dict(private=False)), "of the type RSA, not EC"),
        ("RS256", json.dumps({**RSA.as_dict(private=False), "alg": "RS512"}), "for RS512"),
        ("RS256", json.dumps({**RSA.as_dict(private=False), "use": "enc"}), "not for signatures"),
    ],
)
def test_what_is_no_key_says_why(algorithm: str, text: str, why: str) -> None:
    """And never repeats the key."""
    with pytest.raises(BadKey) as caught:
        key_from_text(text, "me", algorithm)
    assert why in str(caught.value)
    assert SECRET not in str(caught.value)
    assert "BEGIN PUBLIC" not in str(caught.value).replace("(-----BEGIN PUBLIC KEY-----)", "")


def test_a_weak_rsa_key_is_refused() -> None:
    """RFC 7518 demands 2,048 bits."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the library warns, too
        weak = RSAKey.generate_key(1024)
    with pytest.raises(BadKey, match="2048 bits"):
        key_from_text(pem(weak), "me", "RS256")


def test_an_entry_without_a_kid_has_no_name() -> None:
    """Nor one whose kid is no text."""
    jwk = RSA.as_dict(private=False)
    assert key_from_jwk({**jwk, "kid": 7}, "me", "RS256").key_id == ""


def test_a_token_is_checked_with_keys_of_its_issuer_and_algorithm_alone() -> None:
    """A key without a name may serve each name; a token without one is tried with all."""
    named, other, plain = (
        Key("me", "RS256", "a", RSA), Key("me", "RS256", "b", RSA), Key("me", "ES256", "", EC),
    )  # fmt: skip
    keys = Keys([named, other, plain, Key("you", "RS256", "a", RSA)])
    assert len(keys) == 4
    assert list(keys.of("me", "RS256", "a")) == [named]
    assert list(keys.of("me", "RS256", "")) == [named, other]
    assert list(keys.of("me", "ES256", "x")) == [plain]
    assert not keys.of("me", "HS256", "")
    assert not keys.of("nobody", "RS256", "a")
    assert not Keys()


def test_each_algorithm_has_a_kind_of_key() -> None:
    """Those of the settings are those that keys know."""
    assert {"HS256", *OF_ALGORITHM} == set(ALGORITHMS)
