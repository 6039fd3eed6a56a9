"""``/v1/admin/connections``: who is connected to this replica, and how to make them leave.

Must not know how a client is told that it has to go.
"""

from __future__ import annotations

from ipaddress import ip_address, ip_network
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple

from tickfan.api.admin.context import ADMIN, NOTES
from tickfan.api.context import json_response
from tickfan.api.queries import limit_of
from tickfan.core import closing
from tickfan.core.errors import Refusal
from tickfan.core.pattern import Pattern, pattern_of
from tickfan.fanout.subscriber import Phase
from tickfan.session.account import PATTERNS_TOLD
from tickfan.transports.parameters import check_query, whole_number
from tickfan.transports.remotes import parse

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from ipaddress import IPv4Network, IPv6Network

    from aiohttp import web

    from tickfan.api.admin.context import Admin
    from tickfan.session.membership import Connection

LIMIT = 100
LIMIT_MAX = 1000

FILTERS = ("subject", "issuer", "jti", "remote", "pattern")
REASONS = {"drain": closing.DRAIN, "forbidden": closing.FORBIDDEN}
"""Why a client has to go: the first lets it come back, the second does not."""


class Filter(NamedTuple):
    """Which connections are meant: those that fit all that is not None."""

    subject: str | None
    issuer: str | None
    jti: str | None
    remote: IPv4Network | IPv6Network | None
    pattern: Pattern | None

    def fits(self, connection: Connection) -> bool:
        """Whether a connection is meant."""
        identity = connection.identity
        if (
            self.subject not in (None, identity.subject)
            or self.issuer not in (None, identity.issuer)
            or self.jti not in (None, identity.token_id)
        ):
            return False
        if self.remote is not None:
            address = parse(connection.remote)
            if address is None or address not in self.remote:
                return False
        return self.pattern is None or any(
            self.pattern.overlaps(pattern_of(kept)) for kept in connection.grants
        )


async def list_connections(request: web.Request) -> web.Response:
    """Those that fit, in the order in which they came; ``after`` goes on behind one."""
    admin = request.app[ADMIN]
    check_query(request, *FILTERS, "limit", "after")
    fits = _filter(request).fits
    limit = limit_of(request, LIMIT, LIMIT_MAX)
    after = _number(admin, request.query.get("after", f"{admin.connections.epoch}-0"), "after")
    page: list[Connection] = []

    def take(connection: Connection) -> bool:
        page.append(connection)
        return len(page) <= limit

    await admin.background.run(_walk(admin, fits, after, take))
    shown = page[:limit]
    request[NOTES]["count"] = len(shown)
    fields = {
        "connections": [_summary(connection, admin) for connection in shown],
        "next": shown[-1].id if len(page) > limit else None,
    }
    return json_response(fields)


async def show_connection(request: web.Request) -> web.Response:
    """All that is known of one connection."""
    admin = request.app[ADMIN]
    check_query(request)
    connection = _named(admin, request.match_info["id"])
    now, subscriber = admin.clock.time(), connection.subscriber
    request[NOTES]["count"] = 1
    fields = {
        **_summary(connection, admin),
        "grants": [
            {"channel": str(kept), "feed": grant.feed.name, "interval_ms": grant.interval_ms}
            for kept, grants in connection.grants.items()
            for grant in grants
        ],
        "may_read": [pattern.text for pattern in connection.identity.reads.patterns],
        "updates": subscriber.updates,
        "conflated": subscriber.conflated,
        "heard_s": round(now - connection.heard_at, 3),
    }
    return json_response(fields)


async def end_connections(request: web.Request) -> web.Response:
    """Let those go that fit; at least one filter has to be given."""
    admin = request.app[ADMIN]
    check_query(request, *FILTERS, "reason")
    if not any(name in request.query for name in FILTERS):
        raise Refusal("bad_field", f"say whom: give at least one of {', '.join(FILTERS)}", "query")
    fits, reason = _filter(request).fits, _reason(request)
    ended = 0

    def end(connection: Connection) -> bool:
        nonlocal ended
        connection.subscriber.end(reason)
        ended += 1
        return True

    await admin.background.run(_walk(admin, fits, 0, end))
    request[NOTES]["count"] = ended
    return json_response({"ended": ended, "reason": reason.name})


async def end_connection(request: web.Request) -> web.Response:
    """Let one go."""
    check_query(request, "reason")
    reason = _reason(request)
    _named(request.app[ADMIN], request.match_info["id"]).subscriber.end(reason)
    request[NOTES]["count"] = 1
    return json_response({"ended": 1, "reason": reason.name})


def _walk(
    admin: Admin,
    fits: Callable[[Connection], bool],
    after: int,
    do: Callable[[Connection], bool],
) -> Iterator[None]:
    """Do something with each that fits, as long as it returns True; pauses after each look."""
    for connection in tuple(admin.connections):
        if (
            connection.number > after
            and connection.subscriber.phase is not Phase.ENDED
            and fits(connection)
            and not do(connection)
        ):
            return
        yield


def _summary(connection: Connection, admin: Admin) -> dict[str, Any]:
    subscriber, identity = connection.subscriber, connection.identity
    updates, size = connection.waiting
    return {
        "id": connection.id,
        "subject": identity.subject,
        "issuer": identity.issuer,
        "jti": identity.token_id,
        "remote": connection.remote,
        "transport": subscriber.format.name,
        "age_s": round(admin.clock.time() - subscriber.opened_at, 3),
        "expires": identity.expires_ms,
        "channels": len(connection.grants),
        "patterns": [str(kept) for kept in islice(connection.grants, PATTERNS_TOLD)],
        "backlog": {"updates": updates, "bytes": size},
        "phase": subscriber.phase.value,
    }


def _named(admin: Admin, id_: str) -> Connection:
    number = _number(admin, id_, "id")
    for connection in admin.connections:
        if connection.number == number and connection.subscriber.phase is not Phase.ENDED:
            return connection
    raise Refusal("no_connection", f"this replica has no connection {id_[:80]!r} now", id_[:80])


def _number(admin: Admin, id_: str, field: str) -> int:
    """The number in the name of a connection of this replica."""
    epoch, _, digits = id_.rpartition("-")
    number = whole_number(digits)
    if number is None or epoch != admin.connections.epoch:
        raise Refusal(
            "no_connection",
            f"{field}: {id_[:80]!r} names no connection of this replica: they begin with "
            f"{admin.connections.epoch!r}, and another replica has others",
            id_[:80],
        )
    return number


def _reason(request: web.Request) -> closing.Reason:
    name = request.query.get("reason", "drain")
    if name not in REASONS:
        raise Refusal(
            "bad_field", f"reason must be {' or '.join(REASONS)}, not {name[:40]!r}", "reason"
        )
    return REASONS[name]


def _filter(request: web.Request) -> Filter:
    query = request.query
    remote, pattern = query.get("remote"), query.get("pattern")
    return Filter(
        query.get("subject"),
        query.get("issuer"),
        query.get("jti"),
        None if remote is None else _network(remote),
        None if pattern is None else Pattern(pattern),
    )


def _network(text: str) -> IPv4Network | IPv6Network:
    try:
        return ip_network(text, strict=False) if "/" in text else ip_network(ip_address(text))
    except ValueError:
        raise Refusal(
            "bad_field", f"remote must be an address or a network, not {text[:80]!r}", "remote"
        ) from None
