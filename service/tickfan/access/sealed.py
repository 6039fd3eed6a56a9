"""Tickets and cookies: an identity that is sealed, for a browser to bring back.

Each replica with the same secret can open what another has sealed, and nobody else can read
it or make one. Both are a JWE (RFC 7516) with one fixed header. The key is derived for each
purpose, and the purpose stands inside, too: so a ticket is no cookie. Must not know by which
way they come, nor which tickets have been used.
"""

from __future__ import annotations

import os
from enum import Enum
from typing import TYPE_CHECKING, Any, NamedTuple

import orjson
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from joserfc import jwe
from joserfc.errors import JoseError
from joserfc.jwk import OctKey
from joserfc.util import json_b64encode

from tickfan.access.identity import Identity
from tickfan.core.errors import Refusal
from tickfan.core.scope import Scope

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

TICKET_S = 30.0
"""How long a ticket may wait for its use, in seconds: a page uses it at once."""

SEALED_BYTES_MAX = 4000
"""Browsers keep 4,096 bytes of a cookie, with its name and attributes (RFC 6265, section 6.1).
A ticket stands in a request line, of which servers and proxies take 8 KB."""

SECRET_BYTES_MIN = 32
"""Of a secret: as many as the keys that are made of it."""

_KEY_BYTES = 32
_ID_BYTES = 12
_HEADER = {"alg": "dir", "enc": "A256GCM"}
# The header and the empty key behind it. Nothing else is looked at: nobody chooses an algorithm.
_PREFIX = json_b64encode(_HEADER).decode() + ".."
_REGISTRY = jwe.JWERegistry(algorithms=list(_HEADER.values()))


class Purpose(Enum):
    """What something is sealed for. The value goes into the key, with the version of the form."""

    TICKET = "tickfan ticket 1"
    COOKIE = "tickfan cookie 1"


class Sealed(NamedTuple):
    """What was inside. ``origin`` is that of the page it was made for; empty: no page's.

    ``seal_id`` is its own name: no other ticket and no other cookie has it.
    """

    identity: Identity
    seal_id: str
    origin: str


class UsedTicket(Refusal):
    """A ticket that was good: it is used, or too old. With another one its page goes on."""

    def __init__(self, why: str) -> None:
        super().__init__("bad_ticket", f"the ticket {why}; POST /v1/tickets makes another one")


class Seals:
    """Seals and opens. The first secret seals, and all open: so they can be changed."""

    def __init__(self, secrets: Sequence[str], wall: Callable[[], float]) -> None:
        """``wall`` is the time in seconds since 1970 UTC."""
        self.wall = wall
        self._keys = {
            purpose: [_key(secret.encode(), purpose) for secret in secrets] for purpose in Purpose
        }

    def ticket(self, identity: Identity, origin: str) -> tuple[str, float]:
        """A ticket for a page of that origin, and after how many seconds it ends.

        Raises :class:`Refusal` (``too_large``).
        """
        life_s = min(TICKET_S, identity.expires_at - self.wall())
        return self._seal(Purpose.TICKET, identity, life_s, origin), life_s

    def cookie(self, identity: Identity, lead_s: float) -> tuple[str, float]:
        """A cookie, which counts until ``lead_s`` before the end of the token, and its life.

        The life is the token's, in seconds: so the browser still sends the cookie at its end,
        and is told why it does not count. Raises :class:`Refusal` (``too_large``).
        """
        left_s = identity.expires_at - self.wall()
        return self._seal(Purpose.COOKIE, identity, left_s - lead_s, ""), left_s

    def open(self, text: str, purpose: Purpose) -> Sealed:
        """What is inside.

        Raises :class:`Refusal`: of a ticket ``bad_ticket``, which is a :class:`UsedTicket` for
        one that is too old; of a cookie ``bad_token``, or ``expired`` at its end. The sentence
        never repeats it.
        """
        fields = self._opened(text, purpose)
        if fields is None or fields["for"] != purpose.value:
            if purpose is Purpose.TICKET:
                raise Refusal("bad_ticket", "the ticket is none that was made here")
            sentence = (
                "the cookie is none that was made here, or its secret (access.secret) is no longer "
                "known; DELETE /v1/tickets drops it, and a new ticket replaces it"
            )
            raise Refusal("bad_token", sentence)
        if fields["until_ms"] <= self._now_ms():
            if purpose is Purpose.TICKET:
                raise UsedTicket(f"is older than {TICKET_S:g} s")
            raise Refusal("expired", "the token behind the cookie has expired; get a new ticket")
        return Sealed(_identity(fields), fields["id"], fields["origin"])

    def _seal(self, purpose: Purpose, identity: Identity, life_s: float, origin: str) -> str:
        fields = {
            "for": purpose.value, "id": os.urandom(_ID_BYTES).hex(),
            "until_ms": self._now_ms() + int(life_s * 1000), "origin": origin, **_fields(identity),
        }  # fmt: skip
        text = jwe.encrypt_compact(
            _HEADER, orjson.dumps(fields), self._keys[purpose][0], registry=_REGISTRY
        )
        if len(text) > SEALED_BYTES_MAX:
            raise Refusal(
                "too_large",
                f"the token's claims would make a cookie of {len(text)} bytes, and browsers keep "
                f"{SEALED_BYTES_MAX}: a token with fewer patterns (channels, publish) fits",
            )
        return text

    def _now_ms(self) -> int:
        return int(self.wall() * 1000)

    def _opened(self, text: str, purpose: Purpose) -> dict[str, Any] | None:
        """The fields that somebody with one of the secrets has sealed; None: nobody has."""
        if len(text) > SEALED_BYTES_MAX or not text.startswith(_PREFIX) or not text.isascii():
            return None
        for key in self._keys[purpose]:
            try:
                plain = jwe.decrypt_compact(text, key, registry=_REGISTRY).plaintext
            except (JoseError, ValueError, TypeError):
                continue
            fields: dict[str, Any] = orjson.loads(plain or b"")
            return fields
        return None


def _key(secret: bytes, purpose: Purpose) -> OctKey:
    """The key of one purpose (HKDF, RFC 5869): to know one is not to know the secret."""
    derived = HKDF(SHA256(), _KEY_BYTES, salt=None, info=purpose.value.encode()).derive(secret)
    return OctKey.import_key(derived)


def _fields(identity: Identity) -> dict[str, Any]:
    """An identity by the names of the claims that it came from."""
    return {
        "iss": identity.issuer, "sub": identity.subject, "jti": identity.token_id,
        "iat": identity.issued_at, "exp": identity.expires_at,
        "channels": [pattern.text for pattern in identity.reads],
        "publish": [pattern.text for pattern in identity.writes],
        "interval_ms_min": identity.interval_ms_min,
        "connections_max": identity.connections_max,
    }  # fmt: skip


def _identity(fields: dict[str, Any]) -> Identity:
    return Identity(
        reads=Scope(fields["channels"]),
        writes=Scope(fields["publish"]),
        subject=fields["sub"],
        issuer=fields["iss"],
        token_id=fields["jti"],
        issued_at=fields["iat"],
        expires_at=fields["exp"],
        interval_ms_min=fields["interval_ms_min"],
        connections_max=fields["connections_max"],
    )
