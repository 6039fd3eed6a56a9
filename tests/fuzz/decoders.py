"""Every decoder of bytes that others send, with input to begin from, and its law.

A law says which errors may come out, and nothing else; that what comes in is read alike
however it is cut; that what is read can be said again. All take plain bytes, so that an
input which breaks one can be kept. Whatever else they need to choose, they choose by those bytes.

A new decoder gets a function here, with ``@decoder``. Both the long
form (``make fuzz``) and the short one (tests/unit/laws/test_decoders.py) take it from DECODERS.
"""

from __future__ import annotations

import asyncio
import base64
import hmac
import json
import random
import struct
import tempfile
import zlib
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import msgpack
import orjson
import pamqp.frame
import structlog
from aiohttp import StreamReader, WebSocketError
from aiohttp.base_protocol import BaseProtocol
from aiohttp.test_utils import make_mocked_request
from pamqp.body import ContentBody
from pamqp.commands import Basic
from pamqp.header import ContentHeader

from tests.fuzz.effort import bounded
from tests.support.access import ISSUER, SECRET
from tests.support.fanout import Fanout, skips_time
from tests.support.layouts import layouts
from tickfan.access.identity import Identity
from tickfan.access.keys import Keys, key_from_text
from tickfan.access.sealed import Purpose, Seals
from tickfan.access.tokens import TokenRules, Tokens
from tickfan.broker.amqp.incoming import Incoming
from tickfan.broker.amqp.properties import read_properties
from tickfan.broker.base import Received
from tickfan.config import ConfigError, load
from tickfan.core import cursor as cursors
from tickfan.core.errors import Poison, Refusal
from tickfan.core.pattern import Pattern, check_channel_name, is_channel_name
from tickfan.core.scope import Scope
from tickfan.core.times import MS_MAX, as_ms, of_timestamp
from tickfan.files.errors import BadRow, ReplayError
from tickfan.files.reader import Reader
from tickfan.session.grants import Request, parse_request
from tickfan.transports import commands
from tickfan.transports.frames import BINARY, CLOSE, CONTINUATION, PING, TEXT, FrameReader
from tickfan.transports.remotes import Remotes, parse
from tickfan.transports.requests import check_count, read_request
from tickfan.wire import events
from tickfan.wire.inbound import Item, check_type, decode, footprint, measures, weigh
from tickfan.wire.schema import Schema, SchemaError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    Check = Callable[[bytes], None]

BOMBS = (b"\xdc\x04\x00" * 1000, b"\xdd\0\0\x04\0" * 800, b"\xde\x04\0\xa1a" * 800, b"[" * 4000)
"""A few bytes that ask for megabytes, or for as many calls within calls."""
HEARTBEAT = b"\x08\x00\x00\x00\x00\x00\x00\xce"
TOLD_BYTES_MAX = 4096
"""Of one error, as a client or the log gets it."""
CHANNELS_MAX = 500


class Decoder(NamedTuple):
    """One law. ``seeds`` is input, mostly good, from which other input is made."""

    check: Check
    seeds: tuple[bytes, ...]


DECODERS: dict[str, Decoder] = {}


def decoder(name: str, *seeds: bytes) -> Callable[[Check], Check]:
    """Enter a law under its name."""

    def enter(check: Check) -> Check:
        DECODERS[name] = Decoder(check, seeds)
        return check

    return enter


def _random(data: bytes) -> random.Random:
    """Chance that is the same for the same bytes."""
    return random.Random(zlib.crc32(data))


def _cut(data: bytes) -> list[bytes]:
    chance = _random(data)
    pieces, at = [], 0
    while at < len(data):
        size = chance.choice((1, 1, 2, 3, 7, 100, 5000))
        pieces.append(data[at : at + size])
        at += size
    return pieces


def _told(refusal: Refusal) -> None:
    """Each client can be told of it, whichever encoding it has, and in few words."""
    said = events.error(refusal)
    assert len(orjson.dumps(said)) <= TOLD_BYTES_MAX
    assert msgpack.unpackb(msgpack.packb(said)) == said


def _short(text: str) -> None:
    assert len(text) <= TOLD_BYTES_MAX


def _poisoned(poison: Poison) -> None:
    _short(poison.detail)
    orjson.dumps([poison.reason, poison.channel])


def _asked(request: Request) -> None:
    """What is granted of a request, or refused."""
    check_count(request, CHANNELS_MAX)
    for pattern in request.patterns:
        if isinstance(pattern, Refusal):
            _told(pattern)
        else:
            assert Pattern(pattern.text) == pattern
    places = request.places()
    if places is not None:
        parts = [cursors.place(feed, at.seq, at.fingerprint) for feed, at in places.items()]
        assert cursors.parse("~".join((cursors.VERSION, *parts))) == places


# Clients: commands, frames, requests, names.

SUBSCRIBE: dict[str, Any] = {
    "op": "subscribe", "id": "a1", "channels": ["quotes.#", "trades.BTC-USD", "*.x.#"],
    "interval_ms": 250, "snapshot": True, "cursor": "1~trades.a1.AAAAAAAAAAA",
}  # fmt: skip
COMMANDS = (SUBSCRIBE, {"op": "unsubscribe", "id": 7, "channels": ["quotes.#"]}, {"op": "ping"})


def _command(message: Any) -> None:
    commands.command_id(message)
    op = commands.check_command(message)
    if op == "subscribe":
        fields = {name: value for name, value in message.items() if name not in {"op", "id"}}
        _asked(parse_request(fields, CHANNELS_MAX))
    elif op == "unsubscribe":
        commands.patterns_of(message)


@decoder("json-command", *map(orjson.dumps, COMMANDS), *BOMBS)
def json_command(data: bytes) -> None:
    """A WebSocket command in JSON: Refusal."""
    try:
        with bounded(len(data)):
            _command(commands.decode_json(data))
    except Refusal as refusal:
        _told(refusal)


@decoder("msgpack-command", *map(msgpack.packb, COMMANDS), *BOMBS)
def msgpack_command(data: bytes) -> None:
    """A WebSocket command in MessagePack: Refusal."""
    try:
        with bounded(len(data)):
            _command(commands.decode_msgpack(data))
    except Refusal as refusal:
        _told(refusal)


def _frame(kind: int, body: bytes, mask: bytes = b"\1\2\3\4", *, is_last: bool = True) -> bytes:
    size = len(body)
    if size < 126:
        head = bytes((kind | 0x80 * is_last, 0x80 | size))
    elif size < 2**16:
        head = bytes((kind | 0x80 * is_last, 0x80 | 126)) + struct.pack(">H", size)
    else:
        head = bytes((kind | 0x80 * is_last, 0x80 | 127)) + struct.pack(">Q", size)
    return head + mask + bytes(byte ^ mask[at % 4] for at, byte in enumerate(body))


def _frames(pieces: Sequence[bytes], size_max: int = 8192) -> list[Any]:
    reader, found = FrameReader(size_max), list[Any]()
    try:
        for piece in pieces:
            reader.add(piece)
            while (message := reader.next()) is not None:
                found.append(message)
            # A frame that is not whole is no longer than a message may be, and its head.
            assert len(reader) <= size_max + 14
    except WebSocketError as error:
        found.append((error.code, str(error)))
    return found


@decoder(
    "frames",
    _frame(TEXT, b'{"op": "ping"}') + _frame(PING, b"x") + _frame(BINARY, b"\x81\xa2op\xa4ping"),
    _frame(TEXT, "z\u00fc".encode()[:2], is_last=False) + _frame(PING, b"")
    + _frame(CONTINUATION, "z\u00fc".encode()[2:]) + _frame(CLOSE, b"\x03\xe8bye"),
    _frame(BINARY, b"b" * 300) + _frame(TEXT, b"t" * 126),
)  # fmt: skip
def frames(data: bytes) -> None:
    """WebSocket frames: the same messages and the same error, however the bytes are cut."""
    with bounded(len(data), calls=200):
        whole = _frames([data])
        assert _frames(_cut(data)) == whole


@decoder("frames-made", b"\x81\xa2op\xa4ping" * 40, b"", b"ab" * 5000)
def frames_made(data: bytes) -> None:
    """Messages that are put into frames, however they are cut up, come out as they were."""
    chance = _random(data)
    sent, expected = b"", []
    for message in (data[at : at + 3000] for at in range(0, min(len(data), 9000), 3000)):
        parts = _cut(message)[: 3 + chance.randrange(3)]
        parts.append(message[sum(map(len, parts)) :])
        for index, part in enumerate(parts):
            kind = CONTINUATION if index else BINARY
            sent += _frame(kind, part, chance.randbytes(4), is_last=index == len(parts) - 1)
            if index < len(parts) - 1 and chance.random() < 0.3:
                sent += _frame(PING, part[:9])
                expected.append((PING, part[:9]))
        expected.append((BINARY, message))
    assert _frames(_cut(sent)) == expected


async def _request(method: str, target: str, headers: dict[str, str], body: bytes) -> None:
    protocol = BaseProtocol(asyncio.get_running_loop())
    payload = StreamReader(protocol, 2**16)
    payload.feed_data(body)
    payload.feed_eof()
    asked = make_mocked_request(method, target, headers, payload=payload, client_max_size=2**18)
    _asked(await read_request(asked, snapshot=True, channels_max=CHANNELS_MAX))


@decoder(
    "query",
    b"channels=quotes.%23,trades.A%2FB&interval_ms=100&snapshot=1&until=done&_=9",
    b"channels=a&channels=b.*&cursor=1~trades.a1.AAAAAAAAAAA\n1~trades.a1.AAAAAAAAAAA",
    b"channels=a&lastEventId=1~q.1.-----------&evs_x=1\n",
)
def query(data: bytes) -> None:
    """The query of a stream, and behind a line break its Last-Event-ID: Refusal."""
    line, _, header = data.partition(b"\n")
    # What the HTTP parser lets through, as it gives it.
    target = "/v1/sse?" + bytes(byte for byte in line if 0x21 <= byte < 0x7F).decode()
    value = bytes(byte for byte in header if byte not in b"\r\n\0").decode(errors="replace")
    try:
        asyncio.run(_request("GET", target.replace("#", ""), {"Last-Event-ID": value}, b""))
    except Refusal as refusal:
        _told(refusal)


_FIELDS = {name: value for name, value in SUBSCRIBE.items() if name not in {"op", "id"}}


@decoder("body", orjson.dumps(_FIELDS), b'{"channels": ["a.#"], "until": "done"}')
def body(data: bytes) -> None:
    """The body of a POST for a stream: Refusal."""
    try:
        asyncio.run(_request("POST", "/v1/sse", {"Content-Type": "application/json"}, data))
    except Refusal as refusal:
        _told(refusal)


@decoder(
    "cursor", b"1", b"1~trades.a1.AAAAAAAAAAA~book.zz.-----------", b"1~a.2gosa7pa2gv.A-_aaaaaaaa"
)
def cursor(data: bytes) -> None:
    """A cursor: Refusal, or places that give the same cursor again."""
    text = data.decode(errors="surrogateescape")
    try:
        with bounded(len(data)):
            places = cursors.parse(text)
    except Refusal as refusal:
        _told(refusal)
        return
    trail = cursors.Trail()
    for feed, at in places.items():
        trail.set(feed, at)
    assert cursors.parse(trail.text()) == places
    assert len(trail.text()) <= cursors.CURSOR_BYTES_MAX


@decoder("pattern", b"quotes.#", b"*.BTC-USD.#\na.BTC-USD.b", b"a.b/c:d@e=f+g^h-i_j", b"#.#.*.#\nx")
def pattern(data: bytes) -> None:
    """Two names or patterns, by lines: Refusal; what overlaps does so both ways."""
    made = []
    for part in data.split(b"\n")[:2]:
        text = part.decode(errors="surrogateescape")
        try:
            assert check_channel_name(text) == text
        except Refusal as refusal:
            _told(refusal)
        try:
            with bounded(len(data)):
                made.append(Pattern(text))
        except Refusal as refusal:
            _told(refusal)
    for one in made:
        for other in made:
            with bounded(len(data), calls=400):
                overlaps = one.overlaps(other)
                assert overlaps == other.overlaps(one)
                if not other.is_wild:
                    assert one.matches(other.text) == overlaps


_PROXIES = Remotes(["10.0.0.0/8", "2001:db8::/32", "192.0.2.1"])


@decoder(
    "forwarded",
    b"203.0.113.9, 10.1.2.3",
    b"[2001:db8::7]:443,198.51.100.1:80\n::ffff:203.0.113.1, ,10.0.0.2",
    b"unknown, 10.0.0.1",
)
def forwarded(data: bytes) -> None:
    """X-Forwarded-For, by lines: always an address, and never longer than one."""
    lines = [line.decode(errors="surrogateescape") for line in data.split(b"\n")]
    with bounded(len(data)):
        found = _PROXIES.behind("10.0.0.1", lines)
    assert parse(found) is not None, found
    assert _PROXIES.behind("203.0.113.5", lines) == "203.0.113.5", "nobody whom we trust says so"
    for text in lines:
        address = parse(text)
        assert address is None or parse(str(address)) == address


_NOW = 1_763_596_800
_TOKENS = Tokens(
    Keys([key_from_text(SECRET, ISSUER, "HS256")]),
    TokenRules("tickfan", 8192, leeway_s=5, age_max_s=86_400),
    lambda: float(_NOW),
)
_CLAIMS = {"iss": ISSUER, "aud": "tickfan", "sub": "alice", "iat": _NOW, "exp": _NOW + 600}
_MORE = {"jti": "a", "channels": ["quotes.#"], "publish": [], "interval_ms_min": 100, "nbf": _NOW}


def _unrepeated(token: str, refusal: Refusal) -> None:
    assert len(token) < 40 or token not in refusal.message


def _signed(header: bytes, payload: bytes) -> str:
    """A token that is well signed, whatever is in it."""
    said = b".".join(base64.urlsafe_b64encode(part).rstrip(b"=") for part in (header, payload))
    mark = hmac.digest(SECRET.encode(), said, "sha256")
    return (said + b"." + base64.urlsafe_b64encode(mark).rstrip(b"=")).decode()


@decoder(
    "token",
    b'{"alg": "HS256"}\n' + orjson.dumps(_CLAIMS),
    b'{"alg": "HS256", "typ": "at+jwt", "kid": "k"}\n'
    + orjson.dumps({**_CLAIMS, **_MORE, "aud": ["x", "tickfan"]}),
    _signed(b'{"alg": "HS256"}', orjson.dumps(_CLAIMS)).encode(),
    b'{"alg": "none"}\n' + orjson.dumps(_CLAIMS),
)
def token(data: bytes) -> None:
    """A token, signed well whatever is in it, or as it is: Refusal, or whom it names."""
    header, _, payload = data.partition(b"\n")
    for text in (_signed(header, payload), data.decode(errors="surrogateescape")):
        try:
            with bounded(len(text), calls=100):
                found = _TOKENS.identify(text)
        except Refusal as refusal:
            _told(refusal)
            _unrepeated(text, refusal)
        else:
            assert found.issuer == ISSUER
            assert not found.is_anonymous
            assert found.expires_at is not None
            assert _NOW - 5 <= found.expires_at <= _NOW + 86_410


_SEALS = Seals([SECRET], lambda: float(_NOW))
_SEALED = Identity(
    Scope(["quotes.#"]), subject="alice", issuer=ISSUER, expires_at=float(_NOW + 600)
)
# As Seals has made them once: each time they are others.
_TICKET = (
    b"eyJhbGciOiJkaXIiLCJlbmMiOiJBMjU2R0NNIn0..eyZwUp_JvaO_XOpO.fvka3uySTOj-N13P3kpa9Rx3ztxfP8oS"
    b"Ntor1l2fu5_S_kOMp0tdsmyVFeHir4CXqj-c1MYxb8S7m7EPhhOwjcf-Y8kv_IHpDLNoiI7Wue5aWYyZOIFVX6Jod0"
    b"ulp1ybt4zLqz84kVFTI_M7sMyGvdfqbsVRi1ECZ8om-fatAJu025T2D3-bMf5bEBGoKtrIxP4DTApNXa_u29qqRrM3"
    b"qGbLGghIeHOavshO1QtaA2-Q0pPu5WEe0xQK9H6CyeHv4uGLKuSffOHCRJKk5DUiq9eiLd49bSwvioKBSH9wvoQZYB"
    b"D_7YkgcpUkx6EyeWYbNGdibaIut5Tl6EzORMDPlLYlZf5TX65EAdtaqMQ4l-Q.1GJ5D24mHM7OQp2nLZGz1Q"
)
_COOKIE = (
    b"eyJhbGciOiJkaXIiLCJlbmMiOiJBMjU2R0NNIn0..s0lbhzVKXhh79k95.VKlC5-jHhCmbJjQud6Qw5sQWRB2M6QJw"
    b"xKVrM6PCBiGjebPDWBu50u4BpyNp6y-37OkfzPZxC9LQyH8SDe07aCuMiroBTwdDDWX8QmNS24od7w6O-eatFTC5eo"
    b"U78OFdxJLreZDRqyS_-0AHvoEHYk5hwZGLw-NNOsz1RZAUyX2pczTyDVg_BeH701QBcajSh3Czb5l8CULSJrVrHyrC"
    b"cYQq-Lkg2t_bb2FYL5o5Fh1MM1Iiy6sk4P0uJUyXOCrpl_kPawgozcMDmmKmLlxXl5ctDrL_c9MxbRlaNJhl_rSNu0"
    b"ArqDLGPJ7ECfU-RMN34CWhlI7YcJ2NGlY_WcLH.mGZV-LUpQP1Wc5vpPpb_mQ"
)


@decoder("sealed", _TICKET, _COOKIE)
def sealed(data: bytes) -> None:
    """A ticket or a cookie: Refusal, or whom it was made for, which no other text opens."""
    text = data.decode(errors="surrogateescape")
    for purpose, made in ((Purpose.TICKET, _TICKET), (Purpose.COOKIE, _COOKIE)):
        try:
            with bounded(len(text), calls=200):
                found = _SEALS.open(text, purpose)
        except Refusal as refusal:
            _told(refusal)
            _unrepeated(text, refusal)
            assert data != made
        else:
            assert data == made
            assert found.identity == _SEALED


# RabbitMQ: frames, properties, bodies, messages.


def _delivery(tag: int, content: bytes, **properties: Any) -> bytes:
    header = ContentHeader(body_size=len(content), properties=Basic.Properties(**properties))
    sent = pamqp.frame.marshal(Basic.Deliver("consumer", tag, False, "prices", "t.a"), 1)
    sent += pamqp.frame.marshal(header, 1)
    for at in range(0, len(content), 50):
        sent += pamqp.frame.marshal(ContentBody(content[at : at + 50]), 1)
    return sent


_HEADERS = {"ts": 1_763_596_800_123, "batch": True, "x-stream-offset": 77, "n": None, "d": {"a": 1}}


def _read(pieces: Sequence[bytes]) -> tuple[list[Any], bytes, bool]:
    async def reading() -> tuple[list[Any], bytes, bool]:
        # In one turn, so that nothing hangs on a clock, and without signs of life.
        incoming = Incoming(turn_s=1e9, sign_every_s=1e9)
        taken, broken = list[Received](), list[str]()
        incoming.on_broken = broken.append
        incoming.route(1, taken.append)
        for piece in pieces:
            incoming.feed_data(piece)
        incoming.feed_eof()
        # How it is broken may be said in other words, by what came behind it.
        said = [(each._replace(wrong=None), str(each.wrong)) for each in taken]
        return said, b"" if broken else await incoming.read(), bool(broken)

    return asyncio.run(reading())


@decoder(
    "amqp-frames",
    _delivery(1, b'{"p": 1}', headers=_HEADERS, message_id="m", content_type="application/json")
    + HEARTBEAT + _delivery(2, b"x" * 120),
    pamqp.frame.marshal(Basic.QosOk(), 1) + _delivery(1, b"")
    + _delivery(2, b"[]", message_type="t"),
)  # fmt: skip
def amqp_frames(data: bytes) -> None:
    """A broker's bytes: the same deliveries and the same end, however they are cut."""
    whole = _read([data])
    assert _read(_cut(data)) == whole


@decoder(
    "properties",
    *(
        b"\xff\xe0" + _delivery(1, b"", **fields)[-len(_delivery(1, b"", **fields)) + 43 : -1]
        for fields in (
            {"headers": _HEADERS, "content_type": "application/json", "message_id": "m"},
            {"headers": {"ts": "2025-11-20T00:00:00Z", "batch": "1"}, "message_type": "t"},
        )
    ),
)
def properties(data: bytes) -> None:
    """The properties of a message, whatever their flags say: what can be read of them."""
    flags = int.from_bytes(data[:2], "big")
    with bounded(len(data)):
        kind, type_, id_, ts, _, offset, wrong, encoding = read_properties(
            data, 2, len(data), flags
        )
    for text in (kind, type_, id_, encoding):
        (text or "").encode()
    assert ts is None or 0 < ts <= MS_MAX or wrong is None
    assert offset is None or isinstance(offset, int)
    if wrong is not None:
        _poisoned(wrong)


_KINDS = (None, "application/json", "application/msgpack", "text/plain; charset=x", "a/b+json", "?")
_BATCH = [
    {"channel": "t.a", "data": {"p": "1.5"}, "ts": 1_763_596_800_123},
    {"channel": "t.b", "data": 1},
]


_FOREIGN: tuple[Any, ...] = (
    float("nan"), -float("inf"), 2**60, b"b", msgpack.ExtType(5, b"x"), msgpack.Timestamp(1, 2),
    {"__proto__": 1}, {1: 2}, [{b"k": 1}],
)  # fmt: skip
"""What JSON and MessagePack do not share."""


@decoder(
    "inbound",
    b'\x00{"price": "187.25", "size": 100, "n": [1.5, -2, null, true]}',
    b"\x02" + msgpack.packb({"price": "187.25", "n": [1.5, -2, None, True]}),
    b"\x08" + orjson.dumps(_BATCH),
    b"\x0a" + msgpack.packb(_BATCH),
    *(b"\x02" + msgpack.packb({"v": value}) for value in _FOREIGN),
    *(kind + bomb for bomb in BOMBS for kind in (b"\x00", b"\x02", b"\x0a")),
)
def inbound(data: bytes) -> None:
    """A message's body: Poison, or what both encodings say, exactly."""
    chosen, content = data[0] if data else 0, data[1:]
    batch = bool(chosen & 8)
    try:
        with bounded(len(data), calls=60):
            items = decode(
                "t.a", content, _KINDS[chosen & 7 if chosen & 7 < len(_KINDS) else 0],
                batch=batch, known=("t.b",), encoding="gzip" if chosen & 16 else None,
            )  # fmt: skip
    except Poison as poison:
        _poisoned(poison)
        return
    assert batch or len(items) == 1
    for item in items:
        if isinstance(item, Poison):
            _poisoned(item)
            continue
        assert isinstance(item, Item)
        assert is_channel_name(item.channel)
        assert item.ts is None or 0 < item.ts <= MS_MAX
        text = orjson.dumps(item.data)
        assert orjson.loads(text) == item.data
        assert msgpack.unpackb(msgpack.packb(item.data)) == item.data
        assert weigh(text) > 0
        assert footprint(text) > 0
    assert len(measures(content, items)) == len(items)


@decoder("time", b"1763596800123", b"2025-11-20T00:00:00.123+01:00", b"1.7635968e9", b"0")
def time(data: bytes) -> None:
    """A publisher's time, as text, and as a number of AMQP: Poison, or ms that are one."""
    given_to: list[tuple[Callable[[Any], int | None], Any]] = [
        (as_ms, data.decode(errors="replace")),
        (of_timestamp, int.from_bytes(data[:8], "big")),
        (as_ms, int.from_bytes(data[:8], "big", signed=True)),
        (as_ms, struct.unpack(">d", data[:8].ljust(8, b"\0"))[0]),
    ]
    for read, given in given_to:
        try:
            with bounded(len(data)):
                ms = read(given)
        except Poison as poison:
            _poisoned(poison)
        else:
            assert ms is None or (type(ms) is int and 0 < ms <= MS_MAX), given


@decoder(
    "ingest",
    b"t\0\0\x01\0" + b"trades.a\n" + b'{"price": 1}',
    b"\xff\0\0\x0c\0" + b"trades.a\n" + orjson.dumps(_BATCH).replace(b"t.a", b"trades.b"),
    b"s\0\0\x02\0" + b"quotes.a\n" + msgpack.packb({"a": 1}),
)
def ingest(data: bytes) -> None:
    """A message from the broker, whatever is in it: an update, a gap or a count, and no error."""
    options, rest = data[:5].ljust(5, b"\0"), data[5:]
    name, _, content = rest.partition(b"\n")
    feed = "quotes" if name.startswith(b"quotes") else "trades"

    async def deliver() -> None:
        fanout = Fanout(schemas={"trades": Schema(b'{"not": {"const": 1}}')})
        clients = [
            fanout.client(wire, "fast", "trades.#", "quotes.#") for wire in ("sse", "msgpack")
        ]
        message = Received(
            name.decode(errors="replace"), content, _KINDS[options[3] % len(_KINDS)],
            {116: "tick", 115: "snapshot", 114: "reset"}.get(options[0]), None,
            options[1] ** options[2] % MS_MAX or None, bool(options[3] & 8),
            options[4] if feed == "trades" else None,
        )  # fmt: skip
        before = fanout.tally.updates_in[feed] + sum(fanout.tally.poison.values())
        fanout.ingest.deliver(feed, message, message.fingerprint())
        fanout.publish("trades.after", "x", offset=300)
        await fanout.settle(1)
        assert fanout.tally.updates_in[feed] + sum(fanout.tally.poison.values()) >= before
        for client in clients:
            data = [each["data"] for each in client.named("update")]
            assert "x" in data, "who is beside it misses nothing"

    with structlog.testing.capture_logs():
        skips_time(deliver)()


@decoder("type", b"update", b"snapshot", b"tick_2", b"reset")
def type_(data: bytes) -> None:
    """The name of an event: Poison, or one that may stand in a line of SSE."""
    try:
        name = check_type(data.decode(errors="surrogateescape"))
    except Poison as poison:
        _poisoned(poison)
    else:
        assert name.isascii()
        assert name.replace("_", "").isalnum()


# Operators: schemas, settings, files of market data.


@decoder(
    "schema",
    b'{"type": "object", "required": ["p"], "properties": {"p": {"pattern": "^[0-9]+$"}}}',
    b'{"$defs": {"a": {"items": {"type": "number"}}},'
    b' "anyOf": [{"$ref": "#/$defs/a"}, {"const": 1}]}',
    b'{"$schema": "http://json-schema.org/draft-07/schema#", "format": "date-time", "not": false}',
)
def schema(data: bytes) -> None:
    """A file that should be a JSON Schema: SchemaError, or one that takes or refuses data."""
    try:
        made = Schema(data)
    except SchemaError as error:
        _short(str(error))
        return
    for value in (1, "x" * 1000, {"p": "1", "k" * 500: 2}, [[1.5, None], "2024-01-01"]):
        try:
            made.check(value)
        except Poison as poison:
            _poisoned(poison)


_FOLDER = tempfile.TemporaryDirectory(prefix="tickfan-fuzz-")
_FILE = Path(_FOLDER.name) / "input"


def _complained(error: ConfigError) -> None:
    assert error.problems
    for problem in error.problems:
        problem.encode(errors="backslashreplace")  # as it is shown


@decoder(
    "settings",
    b'[http]\nport = 8080\n[broker]\nurl = "amqp://u:p@h:5672/v"\ndeclare = ["streams"]\n'
    b'[[feeds]]\nname = "a"\nbind = ["a.#"]\ndelivery = "lossless"\nwarm = "1m"\n',
    b'[stream]\nintervals_ms = [10, 100]\nsnapshot = true\n[log]\nlevel = "debug"\n'
    b'[[feeds]]\nname = "q"\nbind = ["*.q"]\ndelivery = "conflated"\ninterval_ms = 50\n',
)
def settings(data: bytes) -> None:
    """The file of the settings: ConfigError, or settings that are written and read again."""
    _FILE.write_bytes(data)
    try:
        found = load(_FILE, {})
    except ConfigError as error:
        _complained(error)
        return
    text = found.to_toml()
    if "***" not in text:
        _FILE.write_text(text)
        assert load(_FILE, {}) == found


@decoder(
    "environment",
    b'HTTP__PORT=8080\nFEEDS=[{"name": "a", "bind": ["a.#"], "delivery": "lossless"}]',
    b"BROKER__URL=memory://\nSTREAM__INTERVALS_MS=[10, 100]\nSTREAM__SNAPSHOT=yes",
)
def environment(data: bytes) -> None:
    """TICKFAN_ variables, by lines: ConfigError."""
    given = {}
    for line in data.replace(b"\0", b"").decode(errors="surrogateescape").split("\n"):
        name, _, value = line.partition("=")
        given[f"TICKFAN_{name}"] = value
    try:
        load(None, given)
    except ConfigError as error:
        _complained(error)


_SAMPLES = layouts()


@decoder("replay", *(bytes((at,)) + each.path.read_bytes() for at, each in enumerate(_SAMPLES)))
def replay(data: bytes) -> None:
    """A file of market data, in one of many layouts: ReplayError, or rows that can be sent."""
    sample = _SAMPLES[data[0] % len(_SAMPLES) if data else 0]
    _FILE.write_bytes(data[1:])
    wanted = replace(sample.replay(), path=_FILE)
    try:
        with Reader(wanted) as reader:
            for row in islice(reader, 500):
                if isinstance(row, BadRow):
                    str(row).encode()
                    continue
                assert is_channel_name(row.channel)
                assert 0 < row.ts <= 2**53
                json.loads(orjson.dumps(row.data))
            reader.layout_found()
    except ReplayError as error:
        str(error).encode()
