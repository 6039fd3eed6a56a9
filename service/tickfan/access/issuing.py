"""Signs a token: for a first try, and for tests. Login services issue those of customers.

Must not know where a key is kept.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson
from joserfc import jws

from tickfan.access.tokens import REGISTRIES

if TYPE_CHECKING:
    from tickfan.access.keys import Key


def can_sign(key: Key) -> bool:
    """Whether it is a secret or a private key, and not one that only checks."""
    return bool(key.jose.is_private)


def sign(key: Key, claims: dict[str, Any]) -> str:
    """A token with these claims, and the issuer of the key."""
    header = {"alg": key.algorithm, "typ": "JWT"} | ({"kid": key.key_id} if key.key_id else {})
    payload = orjson.dumps({"iss": key.issuer, **claims})
    return jws.serialize_compact(header, payload, key.jose, registry=REGISTRIES[key.algorithm])
