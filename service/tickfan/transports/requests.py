"""Reads the request of a stream, from its URL or its JSON body.

Must not know what becomes of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson

from tickfan.core.errors import Refusal
from tickfan.session.grants import REQUEST_FIELDS, Request, parse_request
from tickfan.transports.credentials import TICKET
from tickfan.transports.parameters import (
    IGNORED,
    check_encoding,
    check_query,
    whole_number,
    yes_or_no,
)

if TYPE_CHECKING:
    from aiohttp import web

_QUERY_NAMES = sorted((*REQUEST_FIELDS, "last_event_id", TICKET))


async def read_request(request: web.Request, *, snapshot: bool, channels_max: int) -> Request:
    """The subscription that a GET's query or a POST's JSON body asks for.

    The id of the last event wins over ``cursor``. ``snapshot`` is the default.
    Raises :class:`Refusal` that names the field.
    """
    fields = await _body(request) if request.method == "POST" else _query(request)
    fields.setdefault("snapshot", snapshot)
    if last_event_id := _last_event_id(request):
        fields["cursor"] = last_event_id
    return parse_request(fields, channels_max)


def _last_event_id(request: web.Request) -> str:
    """The id of the last event that the client has seen; empty if it says none.

    The header ``Last-Event-ID`` wins: it is what a browser knows best (WHATWG HTML,
    9.2.4). Libraries that cannot set it add a parameter to the URL that they were
    given. So the last such parameter is the newest.
    """
    in_url = [value for name, value in request.query.items() if _is_event_id(name) and value]
    return request.headers.get("Last-Event-ID") or (in_url[-1] if in_url else "")


_ID_CHARS = len("lasteventid")


def _is_event_id(name: str) -> bool:
    """Whether a parameter is the id of the last event, by the name that some library gives it.

    ``last_event_id`` is ours, ``lastEventId`` is that of event-source-polyfill,
    ``Last-Event-ID`` and ``lastEventID`` are those of Mercure, and ``evs_last_event_id``
    is that of eventsource-polyfill.
    """
    return len(name) >= _ID_CHARS and (
        name.lower().replace("-", "").replace("_", "") in ("lasteventid", "evslasteventid")
    )


def _query(request: web.Request) -> dict[str, Any]:
    query = request.query
    check_query(request, *_QUERY_NAMES, *filter(_is_event_id, query))
    fields: dict[str, Any] = {}
    # Repeated or separated by commas: users of EventSource write either.
    channels = [part for value in query.getall("channels", []) for part in value.split(",") if part]
    if not channels:
        raise Refusal(
            "no_channels",
            "say which channels, as in ?channels=quotes.BTC-USD,trades.* (write # as %23)",
            "channels",
        )
    fields["channels"] = channels
    if "interval_ms" in query:
        fields["interval_ms"] = _interval_ms(query["interval_ms"])
    if "snapshot" in query:
        fields["snapshot"] = yes_or_no(query["snapshot"])
        if fields["snapshot"] is None:
            raise Refusal("bad_field", "snapshot must be 1 or 0", "snapshot")
    if cursor := query.getall("cursor", [""])[-1]:
        fields["cursor"] = cursor
    if "until" in query:
        fields["until"] = query["until"]
    return fields


def _interval_ms(text: str) -> int:
    number = whole_number(text)
    if number is None:
        raise Refusal(
            "bad_field",
            f"interval_ms must be a whole number of milliseconds, not {text[:40]!r}",
            "interval_ms",
        )
    return number


async def _body(request: web.Request) -> dict[str, Any]:
    ignored = [
        name for name in request.query if not (name.startswith(IGNORED) or _is_event_id(name))
    ]
    if ignored:
        raise Refusal(
            "bad_field",
            f"{ignored[0][:80]!r} goes into the JSON body of a POST, not into its URL",
            ignored[0][:80],
        )
    check_encoding(request)
    try:
        fields = orjson.loads(await request.read())
    except orjson.JSONDecodeError as error:
        raise Refusal("bad_json", f"the body is not JSON: {error}") from None
    if not isinstance(fields, dict):
        raise Refusal("bad_json", 'the body must be an object, as in {"channels": ["quotes.#"]}')
    check_names(fields, REQUEST_FIELDS)
    return fields


def check_count(request: Request, channels_max: int) -> None:
    """Raise :class:`Refusal` for more channels than a connection may have at all.

    None of them has been looked at then.
    """
    if len(request.channels) > channels_max:
        raise Refusal(
            "too_many_channels",
            f"{len(request.channels)} channels at once; a connection has at most {channels_max}: "
            "use a wildcard, or a second connection",
            request.channels[channels_max][:80],
        )


def check_names(fields: dict[str, Any], allowed: tuple[str, ...]) -> None:
    """Raise :class:`Refusal` for a field that is not known: most are misspelled."""
    for name in fields:
        if name not in allowed:
            raise Refusal(
                "bad_field",
                f"{name[:80]!r} is not a field; they are {', '.join(allowed)}",
                name[:80],
            )
