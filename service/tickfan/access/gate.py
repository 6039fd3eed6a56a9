"""Who comes in: with which token, or without one.

Must not know by which way a token came, nor connections.
"""

from __future__ import annotations

import hmac
from typing import TYPE_CHECKING

from tickfan.access.identity import Identity
from tickfan.access.tokens import UnknownKey
from tickfan.core import closing
from tickfan.core.errors import Refusal
from tickfan.core.scope import ALL

if TYPE_CHECKING:
    from tickfan.access.jwks import KeySets
    from tickfan.access.revocations import Revocations
    from tickfan.access.tokens import Tokens
    from tickfan.core.closing import Reason

PUBLISHER = "publish.token"
"""The subject of whoever sends the setting of that name. It has no issuer, so no token has it."""


class Gate:
    """Makes identities of tokens, and of their absence."""

    def __init__(
        self,
        anonymous: Identity,
        tokens: Tokens | None,
        publish_token: str,
        key_sets: KeySets | None = None,
        revocations: Revocations | None = None,
    ) -> None:
        """``tokens`` None: there is no key, and a token is not looked at.

        ``publish_token`` is a secret that allows to publish to every channel; empty: none does.
        ``key_sets`` fetches keys, once it runs.
        ``revocations`` None: no token can be revoked.
        """
        self.anonymous = anonymous
        self.key_sets = key_sets
        self._tokens = tokens
        self._revocations = revocations
        self._publish_token = publish_token.encode()
        self._publisher = Identity(anonymous.reads, ALL, PUBLISHER)

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
