"""Who a client is, and what that allows.

Must not know how it is proven.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf

from tickfan.core.errors import Refusal
from tickfan.core.scope import NONE, Scope

ANONYMOUS = ""
"""The subject of clients without a token."""


@dataclass(frozen=True, slots=True)
class Identity:
    """What a token says of the client that sent it.

    ``subject`` and ``issuer`` together name a customer; both are empty for a client without a
    token. ``token_id`` is the token's ``jti``, empty if it has none. Times are seconds since
    1970 UTC; ``expires_at`` is infinite for a client without a token. ``interval_ms_min`` is
    the shortest interval that conflated channels come at. ``connections_max`` None: that of
    the settings.
    """

    reads: Scope
    writes: Scope = NONE
    subject: str = ANONYMOUS
    issuer: str = ""
    token_id: str = ""
    issued_at: float = 0.0
    expires_at: float = inf
    interval_ms_min: int = 0
    connections_max: int | None = None

    @property
    def is_anonymous(self) -> bool:
        """Whether nobody has said who it is."""
        return self.subject == ANONYMOUS

    @property
    def expires_ms(self) -> int | None:
        """When the token ends, in ms since 1970; None: there is none."""
        return None if self.expires_at == inf else int(self.expires_at * 1000)

    def cannot_read(self, text: str) -> Refusal:
        """The refusal of a name or a pattern that it may not read."""
        if self.is_anonymous:
            sentence = f"{text!r} needs a token; without one a client may read {self.reads}"
            return Refusal("unauthorized", sentence, text)
        return Refusal("forbidden", f"the token may read {self.reads}; not {text!r}", text)

    def cannot_write(self, text: str) -> Refusal:
        """The refusal of a channel that it may not publish to."""
        return Refusal(
            "publish_forbidden", f"the token may publish to {self.writes}; not to {text!r}", text
        )
