"""The keys that tokens are checked with: each belongs to one issuer, and has one algorithm.

So no token can choose how it is checked (RFC 8725, section 3.1). Must not know what a token
says, nor where a key is kept.
"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import orjson
from joserfc.errors import JoseError
from joserfc.jwk import OctKey, RSAKey, import_key

from tickfan.core.errors import TickfanError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from joserfc.jwk import ECKey, OKPKey

    JoseKey = OctKey | RSAKey | ECKey | OKPKey

ALGORITHMS = ("HS256", "RS256", "ES256", "EdDSA", "Ed25519")
"""Those of RFC 7518 (section 3.1) and RFC 8037 that may be configured. Ed25519 is the new
name of EdDSA with that curve (RFC 9864)."""

_KIND: dict[str, Literal["oct", "RSA", "EC", "OKP"]] = {
    "HS256": "oct", "RS256": "RSA", "ES256": "EC", "EdDSA": "OKP", "Ed25519": "OKP",
}  # fmt: skip
_CURVE = {"ES256": "P-256", "EdDSA": "Ed25519", "Ed25519": "Ed25519"}

SECRET_BYTES_MIN = 32
"""A shared secret has as many bits as its hash (RFC 7518, section 3.2)."""

RSA_BITS_MIN = 2048
"""RFC 7518, section 3.3."""


class BadKey(TickfanError):
    """A text that is no key, or none for its algorithm. The message does not hold the key."""


class Key(NamedTuple):
    """One key. ``key_id`` is the ``kid`` that tokens name it by; empty: it has none."""

    issuer: str
    algorithm: str
    key_id: str
    jose: JoseKey


class Keys:
    """All keys, by issuer. Replaced as a whole when an issuer's are fetched anew."""

    def __init__(self, keys: Iterable[Key] = ()) -> None:
        self._by_issuer: dict[str, list[Key]] = {}
        for key in keys:
            self._by_issuer.setdefault(key.issuer, []).append(key)

    def __bool__(self) -> bool:
        return bool(self._by_issuer)

    def __len__(self) -> int:
        return sum(map(len, self._by_issuer.values()))

    def of(self, issuer: str, algorithm: str, key_id: str) -> Sequence[Key]:
        """The keys of an issuer that may have signed a token with this header.

        A token that names a key is checked with the keys of that name, and with those that
        have none. One that names no key is checked with all of its algorithm.
        """
        return [
            key
            for key in self._by_issuer.get(issuer, ())
            if key.algorithm == algorithm and (not key_id or key.key_id in ("", key_id))
        ]


def key_from_text(text: str, issuer: str, algorithm: str, key_id: str = "") -> Key:
    """The key that a text holds: a PEM, a JWK as JSON, or for HS256 the secret itself.

    Raises :class:`BadKey`.
    """
    stripped = text.strip()
    if stripped.startswith("{"):
        return key_from_jwk(_object(stripped), issuer, algorithm, key_id)
    is_pem = stripped.startswith("-----BEGIN")
    if algorithm == "HS256":
        if is_pem:
            raise BadKey("HS256 takes a shared secret, and this is a PEM")
    elif not is_pem:
        raise BadKey(f"a key for {algorithm} is a PEM (-----BEGIN PUBLIC KEY-----) or a JWK")
    return _key(stripped, issuer, algorithm, key_id)


def key_from_jwk(jwk: dict[str, Any], issuer: str, algorithm: str, key_id: str = "") -> Key:
    """The key of a JWK (RFC 7517); ``key_id`` wins over its ``kid``. Raises :class:`BadKey`."""
    if jwk.get("alg", algorithm) != algorithm:
        raise BadKey(f"the key says that it is for {jwk['alg']!s:.20}, not for {algorithm}")
    if jwk.get("use", "sig") != "sig":
        raise BadKey("the key says that it is not for signatures")
    own_id = jwk.get("kid", "")
    nameless = {name: value for name, value in jwk.items() if name != "kid"}
    return _key(nameless, issuer, algorithm, key_id or (own_id if isinstance(own_id, str) else ""))


def _key(value: str | dict[str, Any], issuer: str, algorithm: str, key_id: str) -> Key:
    kind = _KIND[algorithm]
    if isinstance(value, dict) and value.get("kty") != kind:
        raise BadKey(f"{algorithm} takes a key of the type {kind}, not {value.get('kty')!s:.20}")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of keys that are refused by name below
            jose: JoseKey = import_key(value, kind)
    except (JoseError, ValueError, TypeError, KeyError, AttributeError) as error:
        # The library's own sentences may hold a value.
        raise BadKey(f"this is no key for {algorithm} ({type(error).__name__})") from None
    if isinstance(jose, OctKey):
        if len(jose.raw_value) < SECRET_BYTES_MIN:
            raise BadKey(
                f"a secret for HS256 has at least {SECRET_BYTES_MIN} bytes; "
                "`openssl rand -hex 32` makes a good one"
            )
        return Key(issuer, algorithm, key_id, jose)
    curve = jose.as_dict(private=False).get("crv")
    if curve != _CURVE.get(algorithm):
        raise BadKey(f"{algorithm} takes the curve {_CURVE[algorithm]}, not {curve!s:.20}")
    if isinstance(jose, RSAKey) and jose.raw_value.key_size < RSA_BITS_MIN:
        raise BadKey(f"an RSA key has at least {RSA_BITS_MIN} bits")
    return Key(issuer, algorithm, key_id, jose)


def _object(text: str) -> dict[str, Any]:
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError:
        value = None
    if not isinstance(value, dict):
        raise BadKey("the key begins as a JWK, and is no JSON object")
    return value
