"""The client that users see: subscribe, iterate, close.

Nothing is read but when the user asks for it, so a slow user slows the
service's side of the connection, and never fills this process's memory.
Must not know how any transport speaks.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Any, Literal, Self

import aiohttp
from yarl import URL

from tickfan_client.errors import Closed, TickfanClientError, lost
from tickfan_client.events import DONE, Event, Received, Update, closed_of, refused_of
from tickfan_client.stream import EventStreamReader, HttpStream, NdjsonReader
from tickfan_client.transport import MESSAGE_BYTES_MAX, Options, Subscription, Transport
from tickfan_client.websocket import WebSocket

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
    from types import TracebackType

WAITING_MAX = 100_000
"""Items that may wait while :meth:`Client.subscribe` looks for its answer."""

Name = Literal["ws", "sse", "ndjson"]


def connect(  # noqa: PLR0913 - all by name
    url: str,
    *,
    transport: Name = "ws",
    cursor: str | None = None,
    headers: Mapping[str, str] | None = None,
    on_event: Callable[[Event], None] | None = None,
    connect_timeout_s: float = 10.0,
    idle_timeout_s: float = 60.0,
    message_bytes_max: int = MESSAGE_BYTES_MAX,
) -> Client:
    """A client for the service at ``url``; use it with ``async with``.

    ``cursor`` resumes lossless feeds where an earlier client was. ``on_event``
    is called with every event, before the iteration goes on.
    ``connect_timeout_s`` bounds getting any answer, ``idle_timeout_s`` is the
    longest silence before the connection counts as lost. Raises ValueError for
    a URL or a transport that is none.
    """
    base = URL(url)
    if base.scheme not in ("http", "https", "ws", "wss") or not base.host:
        raise ValueError(f"{url!r} is not an address such as http://localhost:8080")
    options = Options(
        base.with_query(None),
        headers or {},
        connect_timeout_s,
        idle_timeout_s,
        message_bytes_max,
    )
    return Client(_transport(transport, options), options, cursor, on_event)


def _transport(name: str, options: Options) -> Transport:
    match name:
        case "ws":
            return WebSocket(options)
        case "sse":
            return HttpStream(options, EventStreamReader(options.message_bytes_max))
        case "ndjson":
            return HttpStream(options, NdjsonReader(options.message_bytes_max))
        case _:
            raise ValueError(f"transport {name!r}: allowed are ws, sse, ndjson")


class Client:
    """One connection. Made by :func:`connect`; iterate it for its updates."""

    def __init__(
        self,
        transport: Transport,
        options: Options,
        cursor: str | None,
        on_event: Callable[[Event], None] | None,
    ) -> None:
        self._transport = transport
        self._options = options
        self._cursor = cursor
        self._connection: str | None = None
        self._retry_ms: int | None = None  # as the service has told it last
        self._on_event = on_event
        self._http: aiohttp.ClientSession | None = None
        self._waiting: deque[Received] = deque()
        self._reading = asyncio.Lock()
        self._asked: dict[int, _Asked] = {}
        self._subscriptions = 0
        self._end: TickfanClientError | None = None
        self._is_closed = False

    @property
    def cursor(self) -> str | None:
        """How far the caller has received, to give to the next :func:`connect`.

        It moves on as items are handed out, never before. Over WebSocket
        updates come in batches and the cursor moves with the last of each: who
        stops inside a batch gets its beginning again, with the same ``seq``.
        """
        return self._cursor

    @property
    def connection(self) -> str | None:
        """The service's name for this connection, as its log has it; None before it is told.

        Say it to the operator, who finds the line of this client by it.
        """
        return self._connection

    async def __aenter__(self) -> Self:
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=self._options.connect_timeout_s)
        self._http = aiohttp.ClientSession(timeout=timeout)
        try:
            await self._transport.open(self._http)
        except BaseException:
            await self.close()
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Leave. An iteration that waits elsewhere ends. Idempotent."""
        self._is_closed = True
        await self._transport.close()
        if self._http is not None:
            await self._http.close()

    async def subscribe(
        self,
        channels: Sequence[str],
        *,
        interval_ms: int | None = None,
        snapshot: bool = True,
        until: str | None = None,
    ) -> Event:
        """Ask for channels or patterns; returns the ``subscribed`` event.

        ``interval_ms``: news of a conflated channel that often, at most.
        ``snapshot``: begin with the latest values. ``until``: the type of
        update after which the stream ends (SSE and NDJSON). Channels that the service
        refuses beside others that it grants are named by ``error`` events.
        Raises :class:`Refused` if nothing was granted, and :class:`Closed`, also
        so after ``connect_timeout_s`` without an answer.
        """
        if isinstance(channels, str):
            raise TypeError("channels is a list of names, not one string")
        if self._http is None or self._is_closed:
            raise TickfanClientError("not connected: use the client inside of async with")
        self._subscriptions += 1
        id_ = self._subscriptions
        # A cursor goes with the first subscription only.
        cursor = self._cursor if id_ == 1 else None
        subscription = Subscription(id_, tuple(channels), interval_ms, snapshot, cursor, until)
        answer: asyncio.Future[Event] = asyncio.get_running_loop().create_future()
        self._asked[id_] = _Asked(answer, set(channels))
        try:
            await self._transport.subscribe(subscription)
            async with asyncio.timeout(self._options.connect_timeout_s):
                event = await self._answer(answer)
        except TimeoutError:
            raise lost(
                f"no answer to subscribe within {self._options.connect_timeout_s} s"
            ) from None
        finally:
            del self._asked[id_]
        if event.name == "error":
            raise refused_of(event.body)
        return event

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Update:
        while True:
            item = await self._item()
            if isinstance(item, Update):
                return item

    def events(self) -> AsyncIterator[Update | Event]:
        """Everything in order, updates and events alike, until the end.

        It and the iteration over the client read the same connection: each
        item comes out once. Both end when this client is closed, or when the
        service says ``done``; both raise :class:`Closed` when the connection
        ends otherwise, and :class:`ProtocolError`.
        """
        return _Items(self._item)

    async def _item(self) -> Update | Event:
        """Hand out the next item. Raises StopAsyncIteration at a proper end."""
        try:
            received = await self._next()
        except Closed as end:
            if self._is_closed or end.reason == DONE:
                raise StopAsyncIteration from None
            raise
        if received.cursor is not None:
            self._cursor = received.cursor
        if self._on_event is not None and isinstance(received.item, Event):
            self._on_event(received.item)
        return received.item

    async def _next(self) -> Received:
        """The next item; one caller reads, whoever else waits finds what it read."""
        while not self._waiting:
            async with self._reading:
                if not self._waiting:
                    await self._read()
        return self._waiting.popleft()

    async def _read(self) -> None:
        """Take in what the transport has next. Call with the lock held."""
        if self._end is not None:
            raise self._end
        try:
            async with asyncio.timeout(self._options.idle_timeout_s):
                received = await self._transport.receive()
        except TimeoutError:
            self._end = lost(f"silent for {self._options.idle_timeout_s} s", self._retry_ms)
            raise self._end from None
        except TickfanClientError as error:
            error.retry_ms = error.retry_ms or self._retry_ms
            self._end = error
            raise
        for one in received:
            self._waiting.append(one)
            if isinstance(one.item, Event):
                self._note(one.item)

    def _note(self, event: Event) -> None:
        """See to what an event means for this client itself."""
        if self._connection is None and isinstance(name := event.body.get("connection"), str):
            self._connection = name
        if isinstance(delay := event.body.get("retry_ms"), int):
            self._retry_ms = delay
        if event.name == "closing":
            self._end = closed_of(event.body)
        elif event.name in ("subscribed", "error") and self._asked:
            # Streams over HTTP have one subscription and name no id.
            asked = self._asked.get(event.body.get("id", min(self._asked)))
            if asked is not None:
                asked.take(event)

    async def _answer(self, answer: asyncio.Future[Event]) -> Event:
        """Wait for the answer, reading for it unless somebody else reads."""
        while not answer.done():
            read = asyncio.ensure_future(self._read_for(answer))
            either: set[asyncio.Future[Any]] = {answer, read}
            try:
                await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            finally:
                read.cancel()
                await asyncio.wait({read})
            if not read.cancelled() and (error := read.exception()) is not None:
                raise error
        return answer.result()

    async def _read_for(self, answer: asyncio.Future[Event]) -> None:
        async with self._reading:
            if not answer.done():
                if len(self._waiting) >= WAITING_MAX:
                    raise TickfanClientError(
                        f"{WAITING_MAX} items wait to be read; iterate before subscribing to more"
                    )
                await self._read()


class _Asked:
    """A subscription that waits for its answer; refusals may come one by one before it."""

    def __init__(self, answer: asyncio.Future[Event], channels: set[str]) -> None:
        self._answer = answer
        self._open = channels

    def take(self, event: Event) -> None:
        """See whether ``event`` settles it: ``subscribed``, or the last refusal."""
        item = event.body.get("item")
        if event.name == "error" and item in self._open and len(self._open) > 1:
            self._open.discard(item)
        elif not self._answer.done():
            self._answer.set_result(event)


class _Items:
    """Both kinds of items. No generator: leaving the loop early leaves nothing open."""

    def __init__(self, item: Callable[[], Awaitable[Update | Event]]) -> None:
        self._item = item

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Update | Event:
        return await self._item()
