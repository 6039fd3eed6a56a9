"""``tickfan token``: a token for a first try, signed with a key of the settings.

Tokens of customers come from a login service. Must not know the service, nor any other
command.
"""

from __future__ import annotations

import time
import uuid
from typing import TYPE_CHECKING, Any, NamedTuple

from tickfan.access.issuing import can_sign, sign
from tickfan.clock import Clock
from tickfan.commands import FAILED, OK, WRONG
from tickfan.commands.shared import say, settings_from, show
from tickfan.core.errors import Refusal
from tickfan.parts import build_gate

if TYPE_CHECKING:
    from pathlib import Path

NO_KEY = (
    "no key of the settings can sign: a public key, or one that is fetched, only checks tokens. "
    "For a first try give the service and this command a secret (`openssl rand -hex 32`): "
    """TICKFAN_KEYS='[{"issuer": "me", "algorithm": "HS256", "key": "..."}]'"""
)


class Wish(NamedTuple):
    """What the token shall say. ``seconds`` is how long it is good."""

    subject: str
    channels: list[str]
    publish: list[str]
    seconds: int
    interval_ms_min: int | None = None
    connections_max: int | None = None


def token(config: Path | None, wish: Wish) -> int:
    """Print the token; 2 if the settings have no key for it, or the service would refuse it."""
    settings = settings_from(config)
    loaded = (each.loaded() for each in settings.keys if not each.jwks_url)
    keys = [key for key in loaded if can_sign(key)]
    if not keys:
        say(NO_KEY)
        return WRONG
    now = int(time.time())
    claims: dict[str, Any] = {
        "aud": settings.access.audience,
        "sub": wish.subject,
        "iat": now,
        "exp": now + wish.seconds,
        "jti": uuid.uuid4().hex,
        "channels": wish.channels,
        "publish": wish.publish,
        "interval_ms_min": wish.interval_ms_min,
        "connections_max": wish.connections_max,
    }
    signed = sign(keys[0], {name: value for name, value in claims.items() if value is not None})
    try:
        build_gate(settings, Clock(time.monotonic)).identify(signed)
    except Refusal as refusal:
        say(refusal.message)
        return WRONG
    return OK if show(f"{signed}\n") else FAILED
