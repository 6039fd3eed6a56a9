"""Bearer tokens: a signed JWT (RFC 7519) to an identity, or why not.

The profile is that of RFC 9068, as far as it concerns a service that only checks tokens, with
the practices of RFC 8725. Must not know by which way a token came, nor where keys come from.
"""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING, Any, NamedTuple

import orjson
from joserfc import jws
from joserfc.errors import JoseError, UnsupportedAlgorithmError
from joserfc.util import urlsafe_b64decode

from tickfan.access.identity import Identity
from tickfan.access.keys import ALGORITHMS
from tickfan.core.errors import Refusal
from tickfan.core.scope import NONE, Scope

if TYPE_CHECKING:
    from collections.abc import Callable

    from tickfan.access.keys import Keys

HEADER_NAMES = frozenset(("alg", "kid", "typ", "cty"))
"""What the header of a token may say. ``crit``, ``jku``, ``jwk``, ``x5u`` and ``x5c`` are not
among them: a token does not bring its own key, nor rules that are not known here."""

TYPES = frozenset(("", "jwt", "at+jwt"))
"""The types (``typ``), in small letters; RFC 9068, section 2.1, and older issuers."""

SCOPE_MAX = 256
"""Patterns of one claim."""

SUBJECT_CHARS_MAX = 255
"""As a `sub` of OpenID Connect (Core 1.0, section 2). It is in each line of the audit log."""

_WRONG = "the token is not valid here: "
_NO_KEY = "it is signed with no key of that issuer (iss, alg, kid) that is known here"

CONNECTIONS_MAX = 1_000_000
INTERVAL_MS_MAX = 60_000


class TokenRules(NamedTuple):
    """What is demanded of each token.

    ``audience`` is the name of this service. ``leeway_s`` is how far the clocks of an issuer
    and of this machine may differ. ``age_max_s`` bounds how long after its issue a token is
    good, whatever its ``exp`` says.
    """

    audience: str
    token_bytes_max: int
    leeway_s: float
    age_max_s: float


class UnknownKey(Refusal):
    """A token that names a key that is not here. Its ``issuer`` may have a new one."""

    def __init__(self, issuer: str) -> None:
        super().__init__("bad_token", _WRONG + _NO_KEY)
        self.issuer = issuer


class _OneAlgorithm(jws.JWSRegistry):
    """Knows a key's own algorithm alone.

    The library warns of EdDSA at each use, because RFC 9864 has a new name for it
    (Ed25519). Issuers still write the old one.
    """

    def get_alg(self, name: str) -> Any:
        if not self.allowed or name not in self.allowed:
            raise UnsupportedAlgorithmError(name)
        return self.algorithms[name]


REGISTRIES = {name: _OneAlgorithm(algorithms=[name]) for name in ALGORITHMS}


class Tokens:
    """Checks tokens against keys. ``keys`` may be replaced while it is used."""

    def __init__(self, keys: Keys, rules: TokenRules, wall: Callable[[], float]) -> None:
        """``wall`` is the time in seconds since 1970 UTC."""
        self.keys = keys
        self._rules = rules
        self._wall = wall

    def identify(self, token: str) -> Identity:
        """Who the token says that its bearer is.

        Raises :class:`Refusal`: ``bad_token``, or ``expired`` for one that was good. The
        sentence says what is wrong and never repeats the token.
        """
        if len(token) > self._rules.token_bytes_max:
            raise _bad(f"it has {len(token)} characters; at most {self._rules.token_bytes_max} go")
        return self._identity(self._signed(token))

    def _signed(self, token: str) -> dict[str, Any]:
        """The claims of a token whose signature is right."""
        parts = token.split(".")
        if len(parts) != 3 or not token.isascii():
            raise _bad("a JWT has three parts, joined by dots")
        header, claims = _object(parts[0], "header"), _object(parts[1], "claims")
        if unknown := header.keys() - HEADER_NAMES:
            raise _bad(f"its header must not have {min(unknown)!r:.40}")
        algorithm, key_id, type_ = (header.get(name, "") for name in ("alg", "kid", "typ"))
        if not (isinstance(algorithm, str) and isinstance(key_id, str) and isinstance(type_, str)):
            raise _bad("alg, kid and typ of its header must be texts")
        if type_.lower().removeprefix("application/") not in TYPES:
            raise _bad(f"its type is {type_!r:.40}; JWT and at+jwt are taken")
        issuer = claims.get("iss")
        if not isinstance(issuer, str) or not issuer:
            raise _bad("the claim iss is missing")
        # The claims are not believed yet: they only say which keys are to be tried.
        keys = self.keys.of(issuer, algorithm, key_id)
        if not keys:
            raise UnknownKey(issuer)
        for key in keys:
            try:
                signed = jws.deserialize_compact(
                    token, key.jose, registry=REGISTRIES[key.algorithm]
                )
            except (JoseError, ValueError, TypeError):
                continue
            return _claims(signed.payload)
        raise _bad(_NO_KEY)

    def _identity(self, claims: dict[str, Any]) -> Identity:
        rules, now = self._rules, self._wall()
        audience = claims.get("aud")
        named = [audience] if isinstance(audience, str) else audience
        if not isinstance(named, list) or rules.audience not in named:
            raise _bad(f"the claim aud must name {rules.audience!r}")
        subject = claims.get("sub")
        if not isinstance(subject, str) or not 0 < len(subject) <= SUBJECT_CHARS_MAX:
            raise _bad(f"the claim sub must be a text of 1 to {SUBJECT_CHARS_MAX} characters")
        expires_at = _time(claims, "exp", is_needed=True)
        issued_at = _time(claims, "iat", is_needed=True)
        not_before = _time(claims, "nbf")
        if max(issued_at, not_before) > now + rules.leeway_s:
            raise _bad("it is not valid yet (nbf, iat); look at the clocks of both machines")
        expires_at = min(expires_at, issued_at + rules.age_max_s)
        if expires_at + rules.leeway_s <= now:
            raise Refusal("expired", "the token has expired; come back with a new one")
        token_id = claims.get("jti", "")
        if not isinstance(token_id, str) or len(token_id) > SUBJECT_CHARS_MAX:
            raise _bad(f"the claim jti must be a text of at most {SUBJECT_CHARS_MAX} characters")
        return Identity(
            reads=_scope(claims, "channels"),
            writes=_scope(claims, "publish"),
            subject=subject,
            issuer=claims["iss"],
            token_id=token_id,
            issued_at=issued_at,
            expires_at=expires_at,
            interval_ms_min=_whole(claims, "interval_ms_min", INTERVAL_MS_MAX) or 0,
            connections_max=_whole(claims, "connections_max", CONNECTIONS_MAX),
        )


def _bad(why: str) -> Refusal:
    return Refusal("bad_token", _WRONG + why)


def _object(part: str, name: str) -> dict[str, Any]:
    """A part of a token, before its signature is checked."""
    try:
        return _claims(urlsafe_b64decode(part.encode()))
    except (ValueError, TypeError):
        raise _bad(f"its {name} cannot be decoded") from None


def _claims(payload: bytes) -> dict[str, Any]:
    try:
        claims = orjson.loads(payload)
    except orjson.JSONDecodeError:
        claims = None
    if not isinstance(claims, dict):
        raise _bad("its header and its claims must be JSON objects")
    return claims


def _time(claims: dict[str, Any], name: str, *, is_needed: bool = False) -> float:
    """A time of the claims, in seconds since 1970 UTC (RFC 7519, section 2); 0: there is none."""
    value = claims.get(name)
    if value is None and not is_needed:
        return 0.0
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 < value < inf:
        raise _bad(f"the claim {name} must be a time in seconds since 1970")
    return float(value)


def _whole(claims: dict[str, Any], name: str, most: int) -> int | None:
    value = claims.get(name)
    if value is None:
        return None
    if type(value) is not int or not 0 <= value <= most:
        raise _bad(f"the claim {name} must be a whole number from 0 to {most}")
    return value


def _scope(claims: dict[str, Any], name: str) -> Scope:
    """The patterns of a claim: a list, or one text with spaces between them."""
    value = claims.get(name)
    if value is None:
        return NONE
    texts = value.split() if isinstance(value, str) else value
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        raise _bad(f"the claim {name} must be a list of channel names and patterns")
    if len(texts) > SCOPE_MAX:
        raise _bad(f"the claim {name} has {len(texts)} patterns; at most {SCOPE_MAX} go")
    try:
        return Scope(texts)
    except Refusal as refusal:
        raise _bad(f"the claim {name}: {refusal.message}") from None
