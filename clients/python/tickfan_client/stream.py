"""The transports over one long HTTP response: Server-Sent Events and NDJSON.

They ask in the same way and differ in how the body is cut into items.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Protocol

import aiohttp
import orjson

from tickfan_client.errors import ProtocolError, Refused, TickfanClientError, Unreachable, lost
from tickfan_client.events import Event, Received, as_object, refused_of, update_of
from tickfan_client.eventstream import EventStream
from tickfan_client.lines import Lines
from tickfan_client.transport import AlreadySubscribed, why

if TYPE_CHECKING:
    from collections.abc import Iterator

    from yarl import URL

    from tickfan_client.transport import Options, Subscription

URL_CHARS_MAX = 4_000
"""Longer ones go by POST: proxies and servers allow some 8,000 in a request line."""

ERROR_BYTES_MAX = 65_536

EVENT_NAMES = frozenset({
    "closing", "error", "gap", "heartbeat", "pong", "reset",
    "snapshot_end", "status", "subscribed", "welcome",
})  # fmt: skip
"""The service's own; an event of any other name is an update of that type."""


class Reader(Protocol):
    """Cuts a body into items."""

    def feed(self, piece: bytes) -> Iterator[Received]:
        """The items that ``piece`` completes, one by one. Raises :class:`ProtocolError`."""


class EventStreamReader:
    """Items from Server-Sent Events: the id is the cursor."""

    path = "v1/sse"
    media_type = "text/event-stream"

    def __init__(self, bytes_max: int) -> None:
        self._events = EventStream(bytes_max)

    def feed(self, piece: bytes) -> Iterator[Received]:
        """See :class:`Reader`."""
        for event, data, last_id in self._events.feed(piece):
            body = _loads(data)
            if event in EVENT_NAMES:
                if self._events.retry_ms is not None:
                    body.setdefault("retry_ms", self._events.retry_ms)
                yield Received(Event(event, body), last_id or None)
            else:
                kind = None if event == "message" else event
                yield Received(update_of(body, kind), last_id or None)


class NdjsonReader:
    """Items from lines of JSON: ``event`` tells the events, ``cursor`` is in the line."""

    path = "v1/ndjson"
    media_type = "application/x-ndjson"

    def __init__(self, bytes_max: int) -> None:
        self._lines = Lines(bytes_max)

    def feed(self, piece: bytes) -> Iterator[Received]:
        """See :class:`Reader`."""
        for line in self._lines.feed(piece):
            if not line:
                continue
            body = _loads(line)
            cursor, event = body.pop("cursor", None), body.pop("event", None)
            yield Received(Event(event, body) if event else update_of(body), cursor)


def _loads(text: str | bytes) -> dict[str, Any]:
    try:
        return as_object(orjson.loads(text))
    except orjson.JSONDecodeError as error:
        raise ProtocolError(f"an item that is not JSON: {error}") from error


class HttpStream:
    """One request and its endless response; takes one subscription."""

    def __init__(self, options: Options, reader: EventStreamReader | NdjsonReader) -> None:
        self._options = options
        self._reader = reader
        self._http: aiohttp.ClientSession | None = None
        self._response: aiohttp.ClientResponse | None = None
        self._broken: ProtocolError | None = None

    async def open(self, http: aiohttp.ClientSession) -> None:
        """Nothing to do yet: the subscription is the request."""
        self._http = http

    async def subscribe(self, subscription: Subscription) -> None:
        """Make the request; raises :class:`Unreachable`, :class:`Refused`."""
        if self._response is not None:
            raise AlreadySubscribed
        assert self._http is not None
        url = self._options.url / self._reader.path
        headers = {
            "Accept": self._reader.media_type,
            "Accept-Encoding": "identity",
            **self._options.headers,
        }
        get = url.with_query(_query(subscription))
        try:
            async with asyncio.timeout(self._options.connect_timeout_s):
                if len(str(get)) <= URL_CHARS_MAX:
                    self._response = await self._http.get(get, headers=headers)
                else:
                    self._response = await self._http.post(
                        url, headers=headers, json=subscription.as_dict()
                    )
        except (aiohttp.ClientError, OSError) as error:
            raise Unreachable(f"no connection to {url}: {why(error)}") from error
        await self._check(url)

    async def receive(self) -> list[Received]:
        """The items of the next piece that completes any."""
        if self._response is None:
            raise TickfanClientError("nothing to read yet: subscribe first")
        while True:
            if self._broken is not None:
                raise self._broken
            try:
                piece = await self._response.content.readany()
            except (aiohttp.ClientError, OSError) as error:
                raise lost(why(error)) from error
            if not piece:
                raise lost("the response ended")
            items = []
            try:
                for item in self._reader.feed(piece):
                    items.append(item)  # noqa: PERF402 - what came before an error counts
            except ProtocolError as error:
                self._broken = error
            if items:
                return items

    async def close(self) -> None:
        """Cut the response: its stream has no end of its own."""
        if self._response is not None:
            self._response.close()

    async def _check(self, url: URL) -> None:
        response = self._response
        assert response is not None
        if response.status == 200:
            if response.content_type != self._reader.media_type:
                response.close()
                raise ProtocolError(
                    f"{url} answered with {response.content_type}, not {self._reader.media_type}"
                )
            return
        if response.status == 204:
            response.close()
            raise Refused("done", "the stream has already reached the end that was asked for")
        body: dict[str, Any] = {}
        try:
            body = as_object(orjson.loads(await response.content.read(ERROR_BYTES_MAX)))
        except (orjson.JSONDecodeError, ProtocolError, aiohttp.ClientError, OSError):
            body = {"message": f"{url} answered {response.status} {response.reason}"}
        finally:
            response.close()
        error = body.get("error")
        said = error if isinstance(error, dict) else body
        raise refused_of({"code": f"http_{response.status}", **said}, response.status)


def _query(subscription: Subscription) -> dict[str, str]:
    query = {
        "channels": ",".join(subscription.channels),
        "snapshot": "1" if subscription.snapshot else "0",
    }
    if subscription.interval_ms is not None:
        query["interval_ms"] = str(subscription.interval_ms)
    if subscription.cursor is not None:
        query["last_event_id"] = subscription.cursor
    if subscription.until is not None:
        query["until"] = subscription.until
    return query
