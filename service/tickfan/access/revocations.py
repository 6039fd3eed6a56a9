"""Which tokens are revoked, and for how long that has to be known.

A revocation names tokens by what they say of themselves: their subject, their ``jti``, or
when they were issued. It never holds a token's text, since one token can be written in more
than one way. Must not know how it reaches other replicas, nor whom it concerns here.
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from tickfan.access.identity import Identity

REVOCATIONS_MAX = 10_000
"""So many may hold at the same time; no more are taken over HTTP."""

FORGET_EVERY_S = 60.0
"""How often it is looked which ones are over. To keep one longer does no harm."""


class Revocation(NamedTuple):
    """Revokes those of a subject, the one with an id (``jti``), or else all tokens.

    ``issuer`` empty: whoever has issued them. It concerns tokens that were issued before
    ``before_ms``, in ms since 1970 UTC. A token with an id is revoked whenever it was issued,
    as no other has this id: for it ``before_ms`` is the time of the revocation.
    """

    subject: str
    token_id: str
    issuer: str
    before_ms: int


class Held(NamedTuple):
    """A revocation that holds. ``number`` rises with each that came; it names a page."""

    number: int
    revocation: Revocation


class Revocations:
    """Those that hold. A later one takes the place of an earlier one that names the same."""

    def __init__(self, age_max_s: float, wall: Callable[[], float]) -> None:
        """``age_max_s``: so long after its issue no token is good any more.

        ``wall`` is the time in seconds since 1970 UTC.
        """
        # Whether all that were made before this process began have been read.
        self.are_known = False
        self._age_max_ms = age_max_s * 1000
        self._wall = wall
        self._held: dict[tuple[str, str, str], Held] = {}
        self._count = 0  # of all that ever came
        self._forgot_at = wall()

    def __len__(self) -> int:
        return len(self._held)

    def add(self, revocations: Iterable[Revocation]) -> None:
        """Let them hold until the tokens that they name have expired."""
        for revocation in revocations:
            key = revocation[:3]
            held = self._held.get(key)
            if held is None or held.revocation.before_ms < revocation.before_ms:
                self._held.pop(key, None)  # so that the order is that of the numbers
                self._count += 1
                self._held[key] = Held(self._count, revocation)
        if self._wall() - self._forgot_at >= FORGET_EVERY_S:
            self.forget()

    def refuses(self, identity: Identity) -> bool:
        """Whether the token that made the identity is revoked."""
        # Without an issuer there is no token: somebody anonymous, or publish.token.
        if not self._held or not identity.issuer:
            return False
        issued_ms = identity.issued_at * 1000
        for issuer in ("", identity.issuer):
            if identity.token_id and ("", identity.token_id, issuer) in self._held:
                return True
            for subject in ("", identity.subject):
                held = self._held.get((subject, "", issuer))
                if held is not None and issued_ms < held.revocation.before_ms:
                    return True
        return False

    def is_over(self, revocation: Revocation) -> bool:
        """Whether no token that it names can be good any more."""
        return revocation.before_ms + self._age_max_ms <= self._wall() * 1000

    def expires_ms(self, revocation: Revocation) -> int:
        """When it is over, in ms since 1970 UTC."""
        return int(revocation.before_ms + self._age_max_ms)

    def forget(self) -> None:
        """Drop those that are over."""
        self._forgot_at = self._wall()
        over = [key for key, held in self._held.items() if self.is_over(held.revocation)]
        for key in over:
            del self._held[key]

    def after(self, number: int, most: int) -> Iterator[Held]:
        """The first ``most`` of those that hold and came behind ``number``."""
        self.forget()
        return islice((held for held in self._held.values() if held.number > number), most)
