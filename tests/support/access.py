"""Identities and tokens for tests. Must not know what is tested."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

from joserfc import jwt
from joserfc.jwk import OctKey

from tickfan.access.identity import Identity
from tickfan.core.scope import ALL

if TYPE_CHECKING:
    from tests.support.live import Live
    from tickfan.access.revocationlist import RevocationList

ANYBODY = Identity(reads=ALL, writes=ALL)
"""A client without a token, of a service that allows all."""

ISSUER = "https://login.test/"
SECRET = "a-secret-of-the-tests-0123456789abcdef"

GUARDED = {"KEYS": json.dumps([{"issuer": ISSUER, "algorithm": "HS256", "key": SECRET}])}
"""Settings of a service that takes the tokens of :func:`token`."""


def standard_claims() -> dict[str, Any]:
    """What each token needs, but for its issuer."""
    now = time.time()
    return {"aud": "tickfan", "sub": "alice", "iat": now, "exp": now + 600}


def token(**claims: Any) -> str:
    """A token that a :data:`GUARDED` service takes; a claim that is None is left out."""
    wished = {"iss": ISSUER, **standard_claims(), **claims}
    given = {name: value for name, value in wished.items() if value is not None}
    return jwt.encode({"alg": "HS256"}, given, OctKey.import_key(SECRET))


def bearer(**claims: Any) -> dict[str, str]:
    """The header of a request that brings :func:`token`."""
    return {"Authorization": f"Bearer {token(**claims)}"}


def revocations_of(live: Live) -> RevocationList:
    """The list of revocations of a :data:`GUARDED` service."""
    revocations = live.service.revocations
    assert revocations is not None
    return revocations
