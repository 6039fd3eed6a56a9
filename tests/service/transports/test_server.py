"""What aiohttp refuses by itself, and what it hands over, through a raw socket."""

from __future__ import annotations

import ast
import asyncio
import contextlib
import gc
import inspect
import itertools
import logging
import os
import re
from collections import Counter
from functools import partial
from typing import TYPE_CHECKING, Any

import orjson
import pytest
from aiohttp import http_exceptions, web

from loadtest.rig.waiting import DEADLINE_S, until
from tests.service.transports.faults import NO_TUNE
from tests.support.memory import timers_set
from tests.support.raw import connect, request, upgrade
from tickfan.transports import server
from tickfan.transports.door import listen
from tickfan.transports.server import HEAD_BYTES_MAX, Runner, Site

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from tests.support.fixtures import MakeLive
    from tests.support.live import Live

KEPT_S = 1000.0
SUBSCRIBE = b'{"op":"subscribe","channels":["quotes.A"]}'
KINDS = {
    "sse": request("/v1/sse?channels=quotes.A"),
    "ndjson": request("/v1/ndjson?channels=quotes.A"),
    # The command comes with the handshake, although a client should wait.
    "ws": upgrade() + bytes((0x81, 0x80 | len(SUBSCRIBE))) + bytes(4) + SUBSCRIBE,
}


@pytest.mark.parametrize(
    ("data", "word"),
    [
        (b"GET /?channels=" + b"a" * 9000 + b" HTTP/1.1\r\nHost: x\r\n\r\n", "POST"),
        (b"GET / HTTP/1.1\r\nHost: x\r\nBad Header: y\r\n\r\n", "as an HTTP request"),
    ],
    ids=["a long URL", "a bad header"],
)
async def test_a_request_that_cannot_be_read_gets_json(data: bytes, word: str) -> None:
    """400, a coded error that says what to do, and the connection is closed."""
    runner = Runner(web.Application(), header_timeout_s=DEADLINE_S, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    reader, writer = await asyncio.open_connection(*runner.addresses[0])
    try:
        writer.write(data)
        answer = await asyncio.wait_for(reader.read(), DEADLINE_S)
    finally:
        writer.close()
        await runner.cleanup()
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b" 400 " in head.partition(b"\r\n")[0]
    assert b"application/json" in head
    error = orjson.loads(body)["error"]
    assert error["code"] == "bad_request"
    assert word in error["message"]


def fill(file: int) -> bool:
    """Write until the kernel takes no more; whether it took none at all."""
    for written in itertools.count():
        try:
            os.write(file, bytes(1024))
        except BlockingIOError:
            return not written
    return False


async def test_who_sends_no_http_and_reads_nothing_is_cut() -> None:
    """Its answer waits behind what the kernel still holds, and would hold up a stop."""
    runner = Runner(web.Application(), header_timeout_s=1, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    assert runner.server is not None
    connections = partial(getattr, runner.server, "connections")
    try:
        async with connect(runner.addresses[0][1], receive_bytes=2048) as wire:
            await until(connections)
            [handler] = connections()
            refusals = itertools.count()
            file = handler.transport.get_extra_info("socket").fileno()
            await until(lambda: fill(file) and next(refusals) == 20)
            wire.send(b"no HTTP at all\r\n\r\n")
            await until(lambda: not connections())
    finally:
        await runner.cleanup()


@contextlib.asynccontextmanager
async def _small(header_timeout_s: float) -> AsyncIterator[tuple[int, asyncio.Event]]:
    """A server of ours with / and /wait, which answers at once, or once it is let."""
    go = asyncio.Event()

    async def answer(request: web.Request) -> web.Response:
        if request.path == "/wait":
            await go.wait()
        return web.Response(text=f"<{request.path}>")

    app = web.Application()
    app.router.add_route("*", "/{any:.*}", answer)
    runner = Runner(app, header_timeout_s=header_timeout_s, access_log=None)
    await runner.setup()
    sockets = listen("127.0.0.1", 0, backlog=50, reuse_port=False)
    await Site(runner, sockets, None).start()
    try:
        yield runner.addresses[0][1], go
    finally:
        go.set()
        await runner.cleanup()


@pytest.mark.parametrize("requests", [0, 1, 2], ids=["first", "second", "third"])
async def test_each_request_has_a_time_for_its_headers(requests: int) -> None:
    """Also on a kept connection, whose idle time is an hour: bytes that trickle gain nothing."""
    async with _small(2) as (port, _), connect(port) as wire:
        for _ in range(requests):
            wire.send(request("/"))
            await wire.up_to(b"</>")
        wire.send(b"GET / HTTP/1.1\r\nHost: x\r\n")
        ended = asyncio.ensure_future(wire.rest())
        while not ended.done():
            wire.send(b"X: y\r\n")
            await asyncio.wait({ended}, timeout=0.05)
        with contextlib.suppress(ConnectionError):  # a byte was on its way
            assert await ended == b""


async def test_a_kept_connection_may_be_idle_for_longer_than_headers_may_take() -> None:
    """What is awaited begins with its first byte; an answer that takes long cuts nobody."""
    async with _small(2) as (port, go), connect(port) as wire:
        wire.send(request("/"))
        await wire.up_to(b"</>")
        # The timers of both would have fired when this one has.
        async with connect(port) as silent:
            assert await silent.rest() == b""
        wire.send(request("/wait") + b"GET / HTTP/1.1\r\n")
        async with connect(port) as silent:
            assert await silent.rest() == b""
        go.set()
        await wire.up_to(b"</wait>")
        wire.send(b"Host: x\r\n\r\n")
        await wire.up_to(b"</>")


@pytest.mark.parametrize("requests", [0, 1], ids=["first", "second"])
async def test_headers_have_a_size_together(requests: int) -> None:
    """Lines that aiohttp takes one by one; the answer names what is too large."""
    async with _small(DEADLINE_S) as (port, _), connect(port) as wire:
        for _ in range(requests):
            wire.send(request("/"))
            await wire.up_to(b"</>")
        wire.send(b"GET / HTTP/1.1\r\nHost: x\r\n")
        line = b": " + b"y" * 8000 + b"\r\n"
        ended = asyncio.ensure_future(wire.rest())
        for number in range(HEAD_BYTES_MAX // len(line) + 1):
            # One after the other, as from a slow network.
            assert not ended.done()
            wire.send(b"X-%d" % number + line)
            await asyncio.wait({ended}, timeout=0.01)
        answer = await ended
    assert answer.startswith(b"HTTP/1.1 431 Request Header Fields Too Large\r\n")
    assert orjson.loads(answer.partition(b"\r\n\r\n")[2])["error"]["code"] == "headers_too_large"


async def test_too_many_headers_are_refused() -> None:
    """aiohttp counts them."""
    many = {f"X_{number}": "y" for number in range(200)}
    async with _small(DEADLINE_S) as (port, _), connect(port, request("/", **many)) as wire:
        assert (await wire.head())[0] == 400


async def test_large_bodies_are_no_headers() -> None:
    """In one piece with their headers, or behind; the next request begins anew."""
    head = request("/", method="POST", Content_Length=str(2 * HEAD_BYTES_MAX))
    async with _small(DEADLINE_S) as (port, _), connect(port) as wire:
        for _ in range(3):
            wire.send(head + bytes(2 * HEAD_BYTES_MAX))
            await wire.up_to(b"</>")
        wire.send(head)
        for _ in range(2):
            wire.send(bytes(HEAD_BYTES_MAX))
            await asyncio.sleep(0)
        await wire.up_to(b"</>")


async def test_requests_that_are_sent_ahead_are_bounded() -> None:
    """Some are answered in their order; who sends on and on behind one is cut."""
    async with _small(DEADLINE_S) as (port, go):
        async with connect(port, request("/wait") + request("/next") * 20) as wire:
            go.set()
            for name in (b"</wait>", *[b"</next>"] * 20):
                await wire.up_to(name)
        go.clear()
        async with connect(port, request("/wait")) as wire:
            ended = asyncio.ensure_future(wire.rest())
            part = b"GET / HTTP/1.1\r\nX: " + b"y" * 8000
            for _ in range(100):
                wire.send(part)
                part = b"\r\nY: " + b"y" * 8000
                await asyncio.wait({ended}, timeout=0.01)
                if ended.done():
                    break
            with contextlib.suppress(ConnectionError):
                assert await ended == b""


def held() -> Counter[str]:
    """What there is of aiohttp, of tasks and of timers."""
    found: Counter[str] = Counter(tasks=len(asyncio.all_tasks()), timers=timers_set())
    names = (str(type(each)) for each in gc.get_objects())
    found.update(name for name in names if "aiohttp" in name or "multidict" in name)
    return found


@pytest.mark.parametrize("kind", KINDS)
async def test_an_idle_connection_holds_nothing_of_aiohttp(
    make_live: MakeLive, kind: str, over: dict[str, str]
) -> None:
    """No task, no timer, no request with its headers: only the transport and our few objects."""
    service = await make_live(**over)
    async with contextlib.AsyncExitStack() as stack:

        async def come() -> None:
            wire = await stack.enter_async_context(connect(service, KINDS[kind]))
            await wire.up_to(b"snapshot_end")

        await come()  # what is made once is there
        gc.collect()
        before = held()
        for _ in range(20):
            await come()
        await until(lambda: len(asyncio.all_tasks()) <= before["tasks"])
        gc.collect()
        more = {name: count for name, count in (held() - before).items() if count >= 20}
        assert more == {}
        assert service.client.server.runner is not None
        assert service.client.server.runner.server is not None
        assert len(service.client.server.runner.server.connections) >= 21


@pytest.mark.parametrize("kind", ["sse", "ndjson"])
async def test_who_goes_is_noticed_whatever_was_sent_behind(
    make_live: MakeLive, kind: str, over: dict[str, str]
) -> None:
    """aiohttp stops to read after some requests that wait; who takes over goes on."""
    service = await make_live(**over)
    async with connect(service, KINDS[kind] + request("/v1/channels") * 200) as wire:
        await wire.up_to(b"snapshot_end")
        assert service.service.connected == 1
    await until(lambda: not service.service.connected)
    assert service.service.tally.closes == {(kind, "left"): 1}


async def test_a_taker_that_fails_leaves_no_connection(make_live: MakeLive) -> None:
    """A connection is aiohttp's, or somebody's, or closed."""
    service = await make_live(parts=NO_TUNE)
    async with connect(service, upgrade()) as wire:
        await wire.head()
        assert await wire.rest() == b""


async def test_who_goes_before_it_is_told_to_continue_is_no_error(
    service: Live, caplog: pytest.LogCaptureFixture
) -> None:
    """Anybody can do that, as often as they like: no stack trace for each."""
    asks = request(
        "/v1/sse", method="POST", Expect="100-continue", Content_Length="2", Connection="close"
    )
    for _ in range(10):
        reader, writer = await asyncio.open_connection("127.0.0.1", service.client.port)
        writer.write(asks)
        writer.write_eof()  # it is here when the answer is written
        assert await asyncio.wait_for(reader.read(), DEADLINE_S) == b""
        writer.close()
    runner = service.client.server.runner
    assert runner is not None
    assert runner.server is not None
    connections = partial(getattr, runner.server, "connections")
    await until(lambda: not connections())
    assert caplog.records == []


class Plain:
    """aiohttp's own server with nothing of ours, and what its insides were like at a request."""

    def __init__(self) -> None:
        self.logged: list[object] = []
        app = web.Application()
        app.router.add_get("/look", self._look)
        app.router.add_get("/cancel", self._cancel)
        app.router.add_get("/lose", self._lose)
        self.runner = web.AppRunner(
            app, access_log=None, logger=_Heard(self.logged), handler_cancellation=True,
            keepalive_timeout=KEPT_S,
        )  # fmt: skip
        self.seen: dict[str, Any] = {}

    async def ask(self, path: str, behind: bytes = b"", **headers: str) -> bytes:
        """What comes for a request, and for what is sent behind it, until the end."""
        reader, self.writer = await asyncio.open_connection(*self.runner.addresses[0])
        self.writer.write(request(path, **headers) + behind)
        return await asyncio.wait_for(reader.read(), DEADLINE_S)

    async def idle(self) -> Any:
        """The handler of a connection that has asked for nothing."""
        _, self.writer = await asyncio.open_connection(*self.runner.addresses[0])
        await until(lambda: bool(self.server.connections))
        return self.server.connections[0]

    @property
    def server(self) -> web.Server:
        """aiohttp's."""
        assert self.runner.server is not None
        return self.runner.server

    async def _look(self, request: web.Request) -> web.StreamResponse:
        handler: Any = request.protocol
        self.seen = {name: getattr(handler, name, None) for name in FIELDS}
        self.seen["begun"] = [request.writer.output_size]
        response = web.StreamResponse()
        response.force_close()
        await response.prepare(request)
        self.seen["begun"].append(request.writer.output_size)
        self.seen["handler"] = handler
        return response

    async def _cancel(self, _request: web.Request) -> web.Response:
        raise asyncio.CancelledError

    async def _lose(self, request: web.Request) -> web.Response:
        handler, transport = request.protocol, request.transport
        assert transport is not None
        handler.transport = None
        handler.connection_lost(None)
        try:
            await asyncio.sleep(DEADLINE_S)
        except asyncio.CancelledError:
            self.seen["open"] = not transport.is_closing()
            self.seen["_manager"] = inside(handler, "_manager")
            transport.close()
            raise
        return web.Response()


def inside(thing: object, name: str) -> Any:
    """What aiohttp does not promise to keep. Nobody else asks: that it is there is tested here."""
    return getattr(thing, name)


class _Heard(logging.LoggerAdapter[logging.Logger]):
    """A log that keeps what its failures were."""

    def __init__(self, heard: list[object]) -> None:
        super().__init__(logging.getLogger("tests"))
        self._heard = heard

    def exception(self, msg: object, *args: object, exc_info: Any = True, **more: Any) -> None:
        self._heard.append(exc_info)


FIELDS = (
    "_current_request", "_loop", "_manager", "_message_tail", "_request_count", "_upgraded",
    "_waiter", "transport",
)  # fmt: skip


@pytest.fixture
async def plain() -> AsyncIterator[Plain]:
    plain = Plain()
    await plain.runner.setup()
    await web.TCPSite(plain.runner, "127.0.0.1", 0).start()
    yield plain
    plain.writer.close()
    await plain.runner.cleanup()


async def _looked(plain: Plain) -> dict[str, Any]:
    assert b" 200 " in await plain.ask(
        "/look", b"behind", Upgrade="websocket", Connection="Upgrade"
    )
    return plain.seen


async def _field(plain: Plain, name: str) -> Any:
    return (await _looked(plain))[name]


def _takes(function: Callable[..., Any], *names: str) -> bool:
    """Whether a function can be called as we call it, or is called as ours is made."""
    return list(inspect.signature(function).parameters) == ["self", *names]


async def _protocol(plain: Plain) -> bool:
    return isinstance(await _field(plain, "handler"), web.RequestHandler)


async def _output_size(plain: Plain) -> bool:
    before, after = await _field(plain, "begun")
    return bool(before == 0 < after)


async def _handler_loop(plain: Plain) -> bool:
    return await _field(plain, "_loop") is asyncio.get_running_loop()


async def _manager(plain: Plain) -> bool:
    return await _field(plain, "_manager") is plain.server


async def _keepalive_timeout(plain: Plain) -> bool:
    handler = await plain.idle()
    timer, kept_s = (inside(handler, name) for name in ("_keepalive_handle", "_keepalive_timeout"))
    assert isinstance(timer, asyncio.TimerHandle)
    waits_s = timer.when() - asyncio.get_running_loop().time()
    return bool(kept_s == KEPT_S and KEPT_S - DEADLINE_S < waits_s <= KEPT_S)


async def _request_count(plain: Plain) -> bool:
    before = inside(await plain.idle(), "_request_count")
    plain.writer.close()
    return bool(before == 0 and await _field(plain, "_request_count") == 1)


async def _message_tail(plain: Plain) -> bool:
    return bool(await _field(plain, "_message_tail") == b"behind")


async def _waiter(plain: Plain) -> bool:
    handler = await plain.idle()
    await until(lambda: inside(handler, "_waiter") is not None)
    plain.writer.close()
    is_future = isinstance(inside(handler, "_waiter"), asyncio.Future)
    return is_future and await _field(plain, "_waiter") is None


async def _close(plain: Plain) -> bool:
    handler = await plain.idle()
    transport = handler.transport
    handler.close()
    return _takes(web.RequestHandler.close) and not transport.is_closing()


async def _current_request(plain: Plain) -> bool:
    waits = inside(await plain.idle(), "_current_request")
    plain.writer.close()
    current = await _field(plain, "_current_request")
    return waits is None and isinstance(current, web.BaseRequest)


async def _upgraded(plain: Plain) -> bool:
    before = inside(await plain.idle(), "_upgraded")
    plain.writer.close()
    return before is False and bool(await _field(plain, "_upgraded"))


async def _data_received(plain: Plain) -> bool:
    await plain.idle()
    return _takes(web.RequestHandler.data_received, "data")


async def _site_server(plain: Plain) -> bool:
    await plain.idle()
    [site] = plain.runner.sites
    [sock] = inside(site, "_server").sockets
    return bool(sock.getsockname() == plain.runner.addresses[0])


async def _connection_lost(plain: Plain) -> bool:
    await plain.ask("/lose")
    return plain.seen == {"open": True, "_manager": None}


async def _connection_made(plain: Plain) -> bool:
    await plain.idle()
    return _takes(web.RequestHandler.connection_made, "transport")


async def _handle_error(plain: Plain) -> bool:
    answer = await plain.ask("/look", Bad_Header="\0")
    takes = _takes(web.RequestHandler.handle_error, "request", "status", "exc", "message")
    return takes and b" 400 " in answer


async def _log_exception(plain: Plain) -> bool:
    await plain.ask("/look", Bad_Header="\0")
    return isinstance(plain.logged[0], http_exceptions.HttpProcessingError)


async def _set_parser(plain: Plain) -> bool:
    await plain.idle()
    return _takes(web.RequestHandler.set_parser, "parser", "data_received_cb")


async def _start(plain: Plain) -> bool:
    return await plain.ask("/cancel") == b"" and plain.logged == []


async def _transport(plain: Plain) -> bool:
    return isinstance(await _field(plain, "transport"), asyncio.Transport)


async def _call(plain: Plain) -> bool:
    await plain.idle()
    return _takes(web.Server.__call__) and type(plain.server()) is web.RequestHandler


async def _class(plain: Plain) -> bool:
    class Ours(web.Server):
        added: int

    await plain.idle()
    plain.server.__class__ = Ours
    assert isinstance(plain.server, Ours)
    plain.server.added = 1
    return len(plain.server.connections) == 1


async def _kwargs(plain: Plain) -> bool:
    await plain.idle()
    given: dict[str, Any] = inside(plain.server, "_kwargs")
    made = web.RequestHandler(plain.server, loop=asyncio.get_running_loop(), **given)
    return made.logger is given["logger"]


async def _server_loop(plain: Plain) -> bool:
    await plain.idle()
    return inside(plain.server, "_loop") is asyncio.get_running_loop()


async def _connections(plain: Plain) -> bool:
    handler = await plain.idle()
    return plain.server.connections == [handler]


async def _pre_shutdown(plain: Plain) -> bool:
    handler = await plain.idle()
    await until(lambda: inside(handler, "_waiter") is not None)
    waiter = inside(handler, "_waiter")
    plain.server.pre_shutdown()
    return bool(waiter.cancelled())


async def _make_server(plain: Plain) -> bool:
    await plain.idle()
    make = inside(web.AppRunner, "_make_server")
    return inspect.iscoroutinefunction(make) and _takes(make) and type(plain.server) is web.Server


async def _processing_error(plain: Plain) -> bool:
    await plain.idle()
    return issubclass(http_exceptions.BadStatusLine, http_exceptions.HttpProcessingError)


async def _line_too_long(plain: Plain) -> bool:
    await plain.ask("/look?" + "a" * 9000)
    return isinstance(plain.logged[0], http_exceptions.LineTooLong)


INSIDES: dict[str, Callable[[Plain], Awaitable[bool]]] = {
    "BaseRequest.protocol": _protocol,
    "BaseRequest.writer.output_size": _output_size,
    "RequestHandler._current_request": _current_request,
    "RequestHandler._keepalive_timeout": _keepalive_timeout,
    "RequestHandler._loop": _handler_loop,
    "RequestHandler._manager": _manager,
    "RequestHandler._message_tail": _message_tail,
    "RequestHandler._request_count": _request_count,
    "RequestHandler._upgraded": _upgraded,
    "RequestHandler._waiter": _waiter,
    "RequestHandler.close": _close,
    "RequestHandler.connection_lost": _connection_lost,
    "RequestHandler.connection_made": _connection_made,
    "RequestHandler.data_received": _data_received,
    "RequestHandler.handle_error": _handle_error,
    "RequestHandler.log_exception": _log_exception,
    "RequestHandler.set_parser": _set_parser,
    "RequestHandler.start": _start,
    "RequestHandler.transport": _transport,
    "Server.__call__": _call,
    "Server.__class__": _class,
    "Server._kwargs": _kwargs,
    "Server._loop": _server_loop,
    "Server.connections": _connections,
    "Server.pre_shutdown": _pre_shutdown,
    "AppRunner._make_server": _make_server,
    "BaseSite._server": _site_server,
    "http_exceptions.HttpProcessingError": _processing_error,
    "http_exceptions.LineTooLong": _line_too_long,
}


@pytest.mark.parametrize("name", INSIDES)
async def test_aiohttp_still_has_this_inside(plain: Plain, name: str) -> None:
    """No version promises to keep it: an upgrade fails here by its name, not in production."""
    assert await INSIDES[name](plain), f"aiohttp's {name} is not what transports/server.py needs"


def test_each_inside_is_named_and_held() -> None:
    """The module's list is that of the checks, and nothing private is used beside it."""
    named = re.findall(r"(?m)^``(\S+)``", server.__doc__ or "")
    assert named == list(INSIDES)
    tree = ast.parse(inspect.getsource(server))
    used = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    private = re.compile(r"_[a-z]\w*")
    assert set(filter(private.fullmatch, used)) == set(
        filter(private.fullmatch, (name.rpartition(".")[2] for name in named))
    )
