"""Who comes in: with which token, ticket or cookie, or without one.

Must not know by which way they came, nor connections.
"""

from __future__ import annotations

import hmac
from typing import TYPE_CHECKING

from tickfan.access.identity import Identity
from tickfan.access.sealed import Purpose
from tickfan.access.spent import SpentTickets
from tickfan.access.tokens import UnknownKey
from tickfan.core import closing
from tickfan.core.errors import Refusal
from tickfan.core.scope import ALL

if TYPE_CHECKING:
    from tickfan.access.jwks import KeySets
    from tickfan.access.revocations import Revocations
    from tickfan.access.sealed import Sealed, Seals
    from tickfan.access.tokens import Tokens
    from tickfan.core.closing import Reason

PUBLISHER = "publish.token"
"""The subject of whoever sends the setting of that name. It has no issuer, so no token has it."""


class Gate:
    """Makes identities of tokens, of what browsers have in their place, and of their absence."""

    def __init__(  # noqa: PLR0913 - made in one place
        self,
        anonymous: Identity,
        tokens: Tokens | None,
        publish_token: str,
        key_sets: KeySets | None = None,
        revocations: Revocations | None = None,
        seals: Seals | None = None,
    ) -> None:
        """``tokens`` None: there is no key, and a token is not looked at.

        ``publish_token`` is a secret that allows to publish to every channel; empty: none does.
        ``key_sets`` fetches keys, once it runs.
        ``revocations`` None: no token can be revoked.
        ``seals`` None: there are no tickets and no cookies.
        """
        self.anonymous = anonymous
        self.key_sets = key_sets
        self._tokens = tokens
        self._revocations = revocations
        self._publish_token = publish_token.encode()
        self._publisher = Identity(anonymous.reads, ALL, PUBLISHER)
        self._seals = seals if tokens is not None else None
        self._spent = SpentTickets()

    @property
    def is_guarded(self) -> bool:
        """Whether there are keys: tokens count, and wrong ones are refused."""
        return self._tokens is not None

    @property
    def takes_publishers(self) -> bool:
        """Whether some token can allow to publish."""
        return self.is_guarded or bool(self._publish_token)

    @property
    def missing(self) -> list[str]:
        """Issuers whose keys have not come yet: nobody knows who their tokens are."""
        sets = () if self.key_sets is None else self.key_sets.missing
        return [issuer for each in sets for issuer in each.issuers]

    @property
    def takes_cookies(self) -> bool:
        """Whether there are tickets, and so cookies."""
        return self._seals is not None

    def identify(self, token: str) -> Identity:
        """Whose token it is.

        Without keys any token but ``publish.token`` counts as none. Raises
        :class:`~tickfan.core.errors.Refusal`: ``bad_token``, ``expired``, and ``starting`` if
        the keys of its issuer have not come yet. Whether it may come in now, :meth:`stops` and
        :meth:`admit` say.
        """
        # A header may hold any bytes; those that are no UTF-8 are kept as surrogates.
        given = token.encode(errors="surrogateescape")
        if self._publish_token and hmac.compare_digest(given, self._publish_token):
            return self._publisher
        if self._tokens is None:
            return self.anonymous
        try:
            return self._tokens.identify(token)
        except UnknownKey as unknown:
            if unknown.issuer in self.missing:
                raise Refusal(
                    "starting", "the keys of the token's issuer have not come yet; come back"
                ) from None
            raise

    async def identify_soon(self, token: str) -> Identity:
        """As :meth:`identify`; a key that is not known here is looked for at its issuer.

        It takes as long as an issuer's answer may.
        """
        try:
            return self.identify(token)
        except UnknownKey as unknown:
            if self.key_sets is None or not await self.key_sets.look_again(unknown.issuer):
                raise
        return self.identify(token)

    def stops(self, identity: Identity) -> Reason | None:
        """Why the bearer of a token, which was good, may not go on now.

        ``starting``: it is not known yet which tokens are revoked. ``forbidden``: this one is.
        """
        revocations = self._revocations
        if revocations is None or not identity.issuer:  # publish.token is no token of an issuer
            return None
        if not revocations.are_known:
            return closing.STARTING
        return closing.FORBIDDEN if revocations.refuses(identity) else None

    def admit(self, identity: Identity) -> None:
        """Let a request of an identity go on, also of one that no token brought here.

        Raises :class:`~tickfan.core.errors.Refusal`: ``starting``, ``bad_token``.
        """
        reason = self.stops(identity)
        if reason is closing.STARTING:
            raise Refusal(
                "starting", "the service is still reading which tokens are revoked; come back"
            )
        if reason is not None:
            raise Refusal("bad_token", "the token is not valid here: it has been revoked")

    def make_ticket(self, identity: Identity, origin: str) -> tuple[str, float]:
        """A ticket for a page of that origin (empty: for any), and how many seconds it lives.

        Raises :class:`Refusal`: ``tickets_off``; ``unauthorized`` for somebody without a token;
        ``forbidden`` for ``publish.token``, which is nobody's; ``too_large``.
        """
        seals = self._sealing()
        if identity.is_anonymous:
            raise Refusal(
                "unauthorized", "a ticket is made of a token: send Authorization: Bearer <token>"
            )
        if not identity.issuer:
            raise Refusal("forbidden", "publish.token makes no tickets: they are for readers")
        return seals.ticket(identity, origin)

    def open_ticket(self, ticket: str) -> Sealed:
        """Whose ticket it is, and of which origin. It is not used by that.

        Raises :class:`Refusal`: ``bad_ticket``, ``tickets_off``.
        """
        return self._sealing().open(ticket, Purpose.TICKET)

    def spend(self, ticket: Sealed) -> Identity:
        """Use an opened ticket. Raises :class:`Refusal`: ``bad_ticket``, ``overload``."""
        self._spent.spend(ticket.seal_id, self._sealing().wall())
        return ticket.identity

    def make_cookie(self, identity: Identity, lead_s: float) -> tuple[str, float]:
        """A cookie, which counts until ``lead_s`` before the token's end; seconds to that end."""
        return self._sealing().cookie(identity, lead_s)

    def open_cookie(self, cookie: str) -> Identity:
        """Whose cookie it is. Raises :class:`Refusal`: ``bad_token``, ``expired``."""
        return self._sealing().open(cookie, Purpose.COOKIE).identity

    def _sealing(self) -> Seals:
        if self._seals is not None:
            return self._seals
        lacks = (
            "access.secret (TICKFAN_ACCESS__SECRET), the same in all replicas"
            if self.is_guarded
            else "a key of tokens ([[keys]]) and access.secret: now there are no tokens"
        )
        raise Refusal("tickets_off", f"tickets and cookies are off here; they need {lacks}")
