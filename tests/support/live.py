"""The real service inside a test: in this process, on a real socket.

Must not know what is tested.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgpack
import orjson
from aiohttp import TCPConnector, WSMsgType
from aiohttp.test_utils import TestServer

from loadtest.rig.waiting import DEADLINE_S, until
from tests.support.tls import trusting
from tickfan.app import Service
from tickfan.broker.base import Message
from tickfan.config import load
from tickfan.parts import Parts
from tickfan.transports.server import Runner

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence

    from aiohttp import ClientResponse, ClientWebSocketResponse
    from aiohttp.test_utils import TestClient
    from aiohttp.web import Application, Request

    AnyClient = TestClient[Request, Application]
    MakeClient = Callable[..., Awaitable[AnyClient]]


PARTS = Parts()
"""Those of the service itself."""


class Live:
    """A running service and a client for it."""

    def __init__(
        self,
        service: Service,
        client: AnyClient,
        admin: AnyClient,
        trust: ssl.SSLContext | None = None,
    ) -> None:
        """``trust`` of a client, where the service has TLS with a test's certificate."""
        self.trust = trust
        self.service = service
        self.hub = service.hub
        self.client = client
        self.admin = admin
        self.session = client.session

    def url(self, path: str) -> str:
        # A string, so that aiohttp's client does not decode %23 to a fragment.
        return str(self.client.make_url("/")).rstrip("/") + path

    async def publish(self, channel: str, data: Any, **fields: Any) -> None:
        """Publish one update through the broker."""
        feed = self.service.feeds.covering(channel)
        assert feed is not None
        message = Message(channel, orjson.dumps(data), **fields)
        await self.service.broker.publish(feed.name, message)

    async def publish_batch(self, feed: str, entries: list[dict[str, Any]]) -> None:
        """Publish a batch of ``{"channel": ..., "data": ...}``."""
        message = Message(entries[0]["channel"], orjson.dumps(entries), batch=True)
        await self.service.broker.publish(feed, message)

    async def publish_all(self, names: Sequence[str]) -> None:
        """One update for each of many channels of a feed."""
        feed = self.service.feeds.covering(names[0])
        assert feed is not None
        for start in range(0, len(names), 1000):
            entries = [{"channel": name, "data": 0} for name in names[start : start + 1000]]
            await self.publish_batch(feed.name, entries)

    @contextlib.asynccontextmanager
    async def counted_turns(self) -> AsyncIterator[Counter[str]]:
        """How many turns of the loop began while an answer was being made (``making``)."""
        loop = asyncio.get_running_loop()
        turns: Counter[str] = Counter()
        is_over = False

        def count() -> None:
            turns["making"] += bool(len(self.service.making))
            if not is_over:
                loop.call_soon(count)

        count()
        try:
            yield turns
        finally:
            is_over = True

    @contextlib.asynccontextmanager
    async def sse(self, query: str, **kwargs: Any) -> AsyncIterator[Events]:
        async with self.session.get(self.url(f"/v1/sse?{query}"), **kwargs) as response:
            assert response.status == 200, await response.text()
            yield Events(response)

    @contextlib.asynccontextmanager
    async def ndjson(self, query: str, **kwargs: Any) -> AsyncIterator[Lines]:
        async with self.session.get(self.url(f"/v1/ndjson?{query}"), **kwargs) as response:
            assert response.status == 200, await response.text()
            yield Lines(response)

    @contextlib.asynccontextmanager
    async def ws(
        self, subprotocol: str = "tickfan.msgpack.v1", **kwargs: Any
    ) -> AsyncIterator[Talk]:
        async with self.session.ws_connect(
            self.url("/v1/ws"), protocols=[subprotocol], max_msg_size=0, **kwargs
        ) as socket:
            talk = Talk(socket)
            welcome = await talk.next()
            assert welcome["t"] == "welcome"
            yield talk


class Reader:
    """Events of one stream as dicts with an ``event``; updates have event ``update``."""

    async def next(self) -> dict[str, Any]:
        raise NotImplementedError

    async def read_until(self, event: str) -> list[dict[str, Any]]:
        """Everything up to and with the first of the named event."""
        seen = []
        while True:
            seen.append(await self.next())
            if seen[-1]["event"] == event:
                return seen

    async def updates(self, count: int) -> list[dict[str, Any]]:
        """The next ``count`` updates, whatever else comes between."""
        found: list[dict[str, Any]] = []
        while len(found) < count:
            event = await self.next()
            if event["event"] == "update":
                found.append(event)
        return found


class Events(Reader):
    """An SSE response, read by a small parser of its own (WHATWG HTML, 9.2.6)."""

    def __init__(self, response: ClientResponse) -> None:
        self.response = response

    async def next(self) -> dict[str, Any]:
        event: dict[str, Any] = {"event": "update"}
        data: list[str] = []
        while True:
            line = await asyncio.wait_for(self.response.content.readline(), DEADLINE_S)
            if not line:
                raise EOFError("the stream has ended")
            text = line.decode().rstrip("\n")
            if not text:
                if data:
                    return {**event, **orjson.loads("\n".join(data))}
                continue
            name, _, value = text.partition(":")
            value = value.removeprefix(" ")
            if name == "data":
                data.append(value)
            elif name == "id":
                event["cursor"] = value
            elif name in ("event", "retry"):
                event[name] = value


class Lines(Reader):
    """An NDJSON response."""

    def __init__(self, response: ClientResponse) -> None:
        self.response = response

    async def next(self) -> dict[str, Any]:
        line = await asyncio.wait_for(self.response.content.readline(), DEADLINE_S)
        if not line:
            raise EOFError("the stream has ended")
        return {"event": "update", **orjson.loads(line)}


class Talk(Reader):
    """A WebSocket conversation, in the subprotocol's encoding."""

    def __init__(self, socket: ClientWebSocketResponse) -> None:
        self.socket = socket
        self.messages: list[dict[str, Any]] = []  # as they came, batches whole
        self._rows: list[dict[str, Any]] = []

    async def say(self, **message: Any) -> None:
        if self.socket.protocol == "tickfan.json.v1":
            await self.socket.send_str(orjson.dumps(message).decode())
        else:
            await self.socket.send_bytes(msgpack.packb(message))

    async def receive(self) -> dict[str, Any]:
        """The next message; raises EOFError when the socket closes."""
        message = await asyncio.wait_for(self.socket.receive(), DEADLINE_S)
        if message.type not in (WSMsgType.TEXT, WSMsgType.BINARY):
            raise EOFError(f"the socket has ended: {message.type!r} {self.socket.close_code}")
        text = message.type is WSMsgType.TEXT
        decoded = orjson.loads(message.data) if text else msgpack.unpackb(message.data)
        assert isinstance(decoded, dict)
        self.messages.append(decoded)
        return decoded

    async def next(self) -> dict[str, Any]:
        while not self._rows:
            message = await self.receive()
            if message["t"] != "updates":
                return {"event": message["t"], "cursor": message.get("c"), **message}
            self._rows = [_row(row, message) for row in message["u"]]
            if "c" in message:
                self._rows[-1]["cursor"] = message["c"]
        return self._rows.pop(0)


def _row(row: list[Any], message: Mapping[str, Any]) -> dict[str, Any]:
    names = ("channel", "seq", "ts", "data", "prev", "type")
    update = {"event": "update", **dict(zip(names, row, strict=False))}
    if message.get("snapshot"):
        update["snapshot"] = True
    return update


class _Server(TestServer):
    """With the service's own handlers."""

    async def _make_runner(self, **kwargs: Any) -> Runner:
        return Runner(self.app, **kwargs)


@contextlib.asynccontextmanager
async def live(
    make_client: MakeClient,
    settings: Mapping[str, str] | None = None,
    parts: Parts = PARTS,
    header_timeout_s: float = DEADLINE_S,
) -> AsyncIterator[Live]:
    """Run the service on ``memory://`` without a market.

    ``make_client`` is pytest-aiohttp's ``aiohttp_client``; ``settings`` are
    environment variables without their ``TICKFAN_``.
    """
    environ = {"TICKFAN_BROKER__URL": "memory://", "TICKFAN_STREAM__CLOSING_TIMEOUT_S": "0.5"}
    # How much of the loop's time a client takes depends on how busy the machine is.
    environ |= dict.fromkeys(
        ("TICKFAN_STREAM__COST_MS_PER_S_MAX", "TICKFAN_HTTP__COST_MS_PER_ADDRESS_PER_S_MAX"), "0"
    )
    environ |= {f"TICKFAN_{name}": value for name, value in (settings or {}).items()}
    service = Service(load(None, environ), parts)
    trust = None
    if service.tls is not None:
        trust = trusting(Path(service.tls.certificate.files[0]).with_name("ca.pem"))
    async with service.running():
        server = _Server(service.public, scheme="http" if trust is None else "https")
        # As tickfan.lifecycle has it; that of tests sets handler_cancellation too.
        await server.start_server(
            shutdown_timeout=0.1, auto_decompress=False,
            header_timeout_s=header_timeout_s, tls=service.tls,
        )  # fmt: skip
        connector = None if trust is None else TCPConnector(ssl=trust)
        client = await make_client(server, connector=connector)
        admin = await make_client(service.admin)
        if settings is None or "BROKER__URL" not in settings:  # else: a broker that is not there
            await until(lambda: not service.feeds.is_starting)
        try:
            yield Live(service, client, admin, trust)
        finally:
            await client.close()
