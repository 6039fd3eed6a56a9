"""``/v1/admin/revocations``: revoke tokens at all replicas, and see which are revoked.

Must not know how the other replicas learn of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tickfan.access.revocations import REVOCATIONS_MAX
from tickfan.api.admin.bodies import revocations_of
from tickfan.api.admin.context import ADMIN, NOTES
from tickfan.api.context import json_response
from tickfan.api.queries import limit_of, number_of
from tickfan.broker.base import Message, PublishError
from tickfan.config.settings import REVOCATIONS
from tickfan.core.errors import Refusal
from tickfan.transports.parameters import check_encoding, check_query

if TYPE_CHECKING:
    from aiohttp import web

    from tickfan.access.revocationlist import RevocationList
    from tickfan.access.revocations import Revocation, Revocations
    from tickfan.api.admin.context import Admin

LIMIT = 100
LIMIT_MAX = 1000


async def revoke(request: web.Request) -> web.Response:
    """Revoke tokens; the answer comes when the broker has confirmed.

    It says how many connections this replica has ended. The others do the same at once.
    """
    admin = request.app[ADMIN]
    shared = _list(admin)
    check_query(request)

    async def publish(body: bytes) -> None:
        assert admin.broker is not None  # where there is a list
        await admin.broker.publish(REVOCATIONS, Message(REVOCATIONS, body))

    check_encoding(request)
    found = revocations_of(await request.read(), admin.clock.wall_ms())
    known = shared.known
    request[NOTES]["revocations"] = [_shown(each, known) for each in found]
    for revocation in found:
        if known.is_over(revocation):
            raise Refusal(
                "bad_field",
                "tokens that were issued before then have all expired (access.token_age_max_s)",
                "before",
            )
    known.forget()
    if len(known) + len(found) > REVOCATIONS_MAX:
        raise Refusal(
            "too_many_revocations",
            f"{len(known)} revocations hold, and at most {REVOCATIONS_MAX} may: revoke all tokens "
            "by issued_before, or those of an issuer",
        )
    try:
        ended = await shared.revoke(found, publish)
    except PublishError as error:
        raise Refusal(error.code, str(error)) from None
    request[NOTES]["count"] = ended
    fields = {"revoked": [_shown(each, known) for each in found], "ended": ended}
    return json_response(fields, 201)


async def list_revocations(request: web.Request) -> web.Response:
    """Those that hold, in the order in which they came."""
    shared = _list(request.app[ADMIN])
    check_query(request, "limit", "after")
    limit = limit_of(request, LIMIT, LIMIT_MAX)
    known = shared.known
    page = list(known.after(number_of(request, "after"), limit + 1))
    request[NOTES]["count"] = len(page[:limit])
    fields = {
        "revocations": [_shown(held.revocation, known) for held in page[:limit]],
        "next": page[limit - 1].number if len(page) > limit else None,
        "count": len(known),
        "upstream": shared.upstream_state.value,
        "since": shared.since_ms,
    }
    return json_response(fields)


def _list(admin: Admin) -> RevocationList:
    if admin.revocations is None:
        raise Refusal(
            "admin_off",
            "there is nothing to revoke: the service has no key of tokens (keys)",
        )
    return admin.revocations


def _shown(revocation: Revocation, known: Revocations) -> dict[str, Any]:
    shown: dict[str, Any] = {}
    if revocation.token_id:
        shown["jti"] = revocation.token_id
    elif revocation.subject:
        shown |= {"subject": revocation.subject, "before": revocation.before_ms}
    else:
        shown["issued_before"] = revocation.before_ms
    if revocation.issuer:
        shown["issuer"] = revocation.issuer
    return {**shown, "expires": known.expires_ms(revocation)}
