"""What comes in from publishers: exact in both encodings, or refused by name."""

from __future__ import annotations

import contextlib
import gzip
import json
import math
import sys
import time
import zlib
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import msgpack
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.updates import INTEGER_MAX, LAW, NASTY, TEXTS, VALUES
from tickfan.core.errors import Poison
from tickfan.core.update import MESSAGE_UPDATES_MAX
from tickfan.wire.inbound import (
    DEPTH_MAX,
    RESERVED_TYPES,
    Item,
    check_type,
    decode,
    footprint,
    is_messagepack,
    measures,
    weigh,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

JSON, MSGPACK = "application/json", "application/msgpack"
TS = 1_763_596_800_000
QUICK_S = 0.05
"""The loop may not be held for longer by any one body; the quickest of five runs counts."""


def data_of(body: bytes, content_type: str = JSON) -> Any:
    """The data of a message that is one update."""
    (item,) = decode("a.b", body, content_type, batch=False)
    assert isinstance(item, Item)
    assert (item.channel, item.ts) == ("a.b", None)
    return item.data


def reason_of(body: bytes, content_type: str | None = JSON, *, batch: bool = False) -> str:
    """Why the whole message is refused."""
    with pytest.raises(Poison) as poison:
        decode("a.b", body, content_type, batch=batch)
    assert len(poison.value.detail) < 400
    return poison.value.reason


def nested(depth: int, content_type: str) -> bytes:
    """Arrays in arrays, so many that the innermost is at ``depth``."""
    if content_type == JSON:
        return b"[" * depth + b"]" * depth
    return b"\x91" * (depth - 1) + b"\x90"


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "bad_json"), (b" ", "bad_json"), (b"{", "bad_json"), (b"1 2", "bad_json"),
        (b"[1]]", "bad_json"), (b"\xef\xbb\xbf", "bad_json"), (b"'a'", "bad_json"),
        (b"\xef\xbb\xbf\xef\xbb\xbf1", "bad_json"), (b"1\xef\xbb\xbf", "bad_json"),
        (b"\xef\xbb\xbf9007199254740993", "bad_number"),
        (b"[1,]", "bad_json"), (b"{1:2}", "bad_json"), (b"01", "bad_json"), (b"+1", "bad_json"),
        (b"NaN", "bad_json"), (b"Infinity", "bad_json"), (b"[-Infinity]", "bad_json"),
        (b"1e400", "bad_json"), (b"-1e400", "bad_json"), (b"1" * 400, "bad_json"),
        (b'"\xff"', "bad_json"), (b'"\\ud800"', "bad_json"), (b'"\xed\xa0\x80"', "bad_json"),
        (b'"\\udc00\\ud800"', "bad_json"), (b'"\n"', "bad_json"), (b"\0", "bad_json"),
        (b"9007199254740993", "bad_number"), (b"-9007199254740993", "bad_number"),
        (b"[9007199254740993]", "bad_number"), (b'{"a":-9007199254740993}', "bad_number"),
        (b'{"a":[1,{"b":18446744073709551615}]}', "bad_number"),
        (b"18446744073709551616", "bad_number"), (b"-18446744073709551616", "bad_number"),
        (b'["1",123456789012345678901234567890]', "bad_number"),
        (b'{"1234567890123456789":12345678901234567890}', "bad_number"),
        (b"[1.5,-12345678901234567890]", "bad_number"),
        (b"[1e5,12345678901234567890]", "bad_number"),
        (b"[" + b"1" * 300 + b"]", "bad_number"), (b"-" + b"9" * 300, "bad_number"),
        (b"123456789.123456789", "bad_number"), (b'{"p":[-0.100000000000000005]}', "bad_number"),
        (b"12345678901234567890e5", "bad_number"), (b"123456789012345678e-3", "bad_number"),
        (b"12345678901234567890.0", "bad_number"), (b"1.12345678901234567890E1", "bad_number"),
        (b"0." + b"1" * 300, "bad_number"), (b"-0.00000000001234567890123456789", "bad_number"),
        (b'["12345678901234567",33.333333333333333333333333333]', "bad_number"),
        (b'{"__proto__":1}', "bad_key"), (b'[{"a":[{"__proto__":{}}]}]', "bad_key"),
        (b'{"\\u005f_proto__":1}', "bad_key"), (b'{"__pr\\u006Fto_\\u005F":1}', "bad_key"),
        (b'{"p":1.5,"__proto__":9007199254740993}', "bad_key"),
        (b'{"p":12345678901234.125,"__proto__":1}', "bad_key"),
        (nested(65, JSON), "too_deep"), (nested(200, JSON), "too_deep"),
        (b"[" * 1023 + b"1234567890123456" + b"]" * 1023, "too_deep"),
        (b"[" * 2000 + b"]" * 2000, "bad_json"), (b"[" * 1_000_000, "bad_json"),
    ],
)  # fmt: skip
def test_poisonous_json(body: bytes, reason: str) -> None:
    """Each is refused for its own reason."""
    assert reason_of(body) == reason


@pytest.mark.parametrize(
    "text",
    [
        "9007199254740992", "-9007199254740992", "9007199254740991", "-0", "0", "1e20", "1E+300",
        "-1.5e300", "1e-400", "0.30000000000000004", "0.10000000000000001", "1763596800.1234567",
        "12345678.123456789", "-1.2345678901234567e-300", "9007199254740993e0", "1e22",
        "1.000000000000000000", "0.100000000000000000", "100000000000000000000.0",
        "0.0000000000000000000000000000012345678901234567", "12345678901234567000.0e-7",
        '{"proto__": "__proto__"}', '["__proto__", "\\u005f_proto__"]', '{"__proto___": 1}',
        '{"\\\\u005f_proto__": 1, "a_b": "\\u00e9"}', '{"constructor": {"prototype": 1}}',
        '"12345678901234567890"', '{"12345678901234567890": 1}', '["\\"12345678901234567890", 1]',
        '["\\\\", 12345678901234567000.0]', '"\\\\\\"12345678901234567890"',
        '"-9007199254740993"', "[1234567890123456, 0.1]", '"\\ud83d\\ude00 \\u0000"',
    ],
)  # fmt: skip
def test_wholesome_json(text: str) -> None:
    """Digits in strings and keys are no numbers; zeros at the ends count for no digits."""
    data = data_of(text.encode())
    assert data == json.loads(text)
    check_law(data)


def has_proto(value: Any) -> bool:
    """Whether the key is anywhere in it."""
    if isinstance(value, list):
        return any(map(has_proto, value))
    return isinstance(value, dict) and ("__proto__" in value or any(map(has_proto, value.values())))


PROTO_KEYS = st.sampled_from(["__proto__", "__proto", "proto__", "_", "\\", "a", "constructor"])


@settings(LAW, max_examples=200)
@given(
    value=st.recursive(
        st.just("__proto__") | st.just(1.5) | st.none(),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(PROTO_KEYS, inner, max_size=3),
        max_leaves=8,
    ),
    escaped=st.sets(st.sampled_from("_proto")),
)
def test_a_key_of_javascripts_own_is_found_anywhere(value: Any, escaped: set[str]) -> None:
    """However it is escaped, and in MessagePack; as text it is as good as any other."""
    text = json.dumps(value)
    for letter in escaped:
        text = text.replace(letter, f"\\u00{ord(letter):02x}")
    assert json.loads(text) == value
    for body, kind in ((text.encode(), JSON), (msgpack.packb(value), MSGPACK)):
        if has_proto(value):
            assert reason_of(body, kind) == "bad_key"
        else:
            assert data_of(body, kind) == value


@settings(LAW, max_examples=300)
@given(
    digits=st.integers(1, 10**22), exponent=st.integers(-60, 60), zeros=st.integers(0, 20),
    as_exponent=st.booleans(), sign=st.sampled_from(["", "-"]), beside=st.sampled_from(["", "1,"]),
)  # fmt: skip
def test_the_rule_of_numbers(
    digits: int, exponent: int, zeros: int, as_exponent: bool, sign: str, beside: str
) -> None:
    """Up to 15 digits are kept, up to 17 become the nearest double, more are refused."""
    exact = Decimal(f"{sign}{digits}").scaleb(exponent)
    text = f"{exact:e}" if as_exponent else f"{exact:f}"
    if not as_exponent:
        text += "0" * zeros if "." in text else ".0" + "0" * zeros
    significant = len(str(digits).rstrip("0"))
    body = f"[{beside}{text}]".encode()
    if significant > 17:
        assert reason_of(body) == "bad_number"
        return
    found = data_of(body)[-1]
    assert type(found) is float
    assert found == float(text)
    if significant <= 15:
        assert Decimal(repr(found)) == exact


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "bad_msgpack"), (b"\xc1", "bad_msgpack"), (b"\x01\x02", "bad_msgpack"),
        (b"\x92\x01", "bad_msgpack"), (b"\xa5abc", "bad_msgpack"), (b"\x81", "bad_msgpack"),
        (b"\xdb\xff\xff\xff\xff", "bad_msgpack"), (b"\xdd\xff\xff\xff\xff", "bad_msgpack"),
        (b"\xdf\xff\xff\xff\xff", "bad_msgpack"), (b"\xc6\xff\xff\xff\xff", "bad_msgpack"),
        (b"\xa1\xff", "bad_msgpack"), (b"\xa3\xed\xa0\x80", "bad_msgpack"),
        (b"\xc4\x01x", "bad_value"), (b"\xc4\x00", "bad_value"), (b"\x91\xc4\x00", "bad_value"),
        (b"\xd4\x05x", "bad_value"), (b"\xc7\x00\x05", "bad_value"),
        (b"\xc7\x00\xff", "bad_msgpack"), (b"\xd6\xff\x00\x00\x00\x01", "bad_value"),
        (msgpack.packb(msgpack.Timestamp(1, 2)), "bad_value"),
        (b"\xc7\x0c\xff" + b"\xff" * 12, "bad_msgpack"),
        (b"\x81\x01\x02", "bad_key"), (b"\x81\xc0\x02", "bad_key"),
        (b"\x81\x90\x02", "bad_msgpack"), (b"\x81\xc3\x02", "bad_key"),
        (b"\x81\xc4\x00\x02", "bad_key"), (b"\x91\x81\xcb" + b"\0" * 8 + b"\x02", "bad_key"),
        (b"\x81\xd6\xff\x00\x00\x00\x01\x02", "bad_key"), (b"\x81\xd4\x05x\x02", "bad_key"),
        (msgpack.packb(math.nan), "bad_number"), (msgpack.packb([math.inf]), "bad_number"),
        (msgpack.packb({"a": -math.inf}), "bad_number"), (b"\xca\x7f\xc0\0\0", "bad_number"),
        (msgpack.packb(INTEGER_MAX + 1), "bad_number"),
        (msgpack.packb([-INTEGER_MAX - 1]), "bad_number"),
        (msgpack.packb({"a": [2**64 - 1]}), "bad_number"), (msgpack.packb(-(2**63)), "bad_number"),
        (nested(65, MSGPACK), "too_deep"), (nested(1000, MSGPACK), "too_deep"),
        (nested(100_000, MSGPACK), "bad_msgpack"), (b"\x91" * 100_000, "bad_msgpack"),
        (b"\x81\xa1a" * 65 + b"\xc0", "too_deep"),
        (msgpack.packb({"__proto__": 1}), "bad_key"),
        (msgpack.packb([{"a": {"__proto__": {}}}]), "bad_key"),
    ],
)  # fmt: skip
def test_poisonous_msgpack(body: bytes, reason: str) -> None:
    """Each is refused for its own reason."""
    assert reason_of(body, MSGPACK) == reason


@pytest.mark.parametrize(
    ("value", "instead"),
    [(b"binary", "base64"), (msgpack.Timestamp(1, 2), "ms"), (msgpack.ExtType(5, b"x"), "text")],
)
def test_a_foreign_value_is_refused_alone_and_told_what_to_send(value: Any, instead: str) -> None:
    """What JSON does not have: its neighbours in the batch go on."""
    entries = [{"channel": "a", "data": each} for each in (1, {"deep": [value]}, 2)]
    before, bad, after = batch_of(entries, MSGPACK)
    assert [before, after] == [Item("a", 1, None), Item("a", 2, None)]
    assert isinstance(bad, Poison)
    assert (bad.reason, bad.channel) == ("bad_value", "a")
    assert bad.detail.startswith("MessagePack's ")
    assert bad.detail.index(instead) > bad.detail.index("send ")


@pytest.mark.parametrize(
    ("body", "content_type", "encoding", "hint"),
    [
        (gzip.compress(b"[1]", mtime=0), JSON, None, "looks like gzip: send the body uncompressed"),
        (gzip.compress(b"\x91\x01", mtime=0), MSGPACK, None, "looks like gzip"),
        (gzip.compress(b"[1]", mtime=0), JSON, "GZIP", "content_encoding is 'GZIP'"),
        (zlib.compress(b"[1]"), None, "deflate", "content_encoding is 'deflate': send the body"),
        ("[1]".encode("utf-16"), JSON, None, "looks like UTF-16: send UTF-8"),
        ("[1]".encode("utf-16-le"), JSON, "utf-8", "looks like UTF-16"),
        ("[1]".encode("utf-16-be"), JSON, "", "looks like UTF-16"),
        (b"{", JSON, "utf-8", None),
        (b"\xc1", MSGPACK, "binary", None),
    ],
)
def test_a_body_that_is_encoded_otherwise_is_told_what_to_send(
    body: bytes, content_type: str | None, encoding: str | None, hint: str | None
) -> None:
    """By what its publisher calls it, else by its first bytes."""
    with pytest.raises(Poison) as poison:
        decode("a.b", body, content_type, batch=False, encoding=encoding)
    assert poison.value.reason == ("bad_msgpack" if content_type == MSGPACK else "bad_json")
    if hint is None:
        assert "send" not in poison.value.detail
    else:
        assert hint in poison.value.detail


def test_a_body_counts_and_not_what_its_encoding_is_called() -> None:
    """What can be decoded is decoded: some libraries always write an encoding."""
    for encoding in ("utf-8", "binary", "gzip"):
        (item,) = decode("a.b", b"[1]", JSON, batch=False, encoding=encoding)
        assert item == Item("a.b", [1], None)


@pytest.mark.parametrize("content_type", [JSON, MSGPACK])
def test_the_deepest(content_type: str) -> None:
    """64 levels are as deep as it goes; what is in the innermost is no level."""
    check_law(data_of(nested(DEPTH_MAX, content_type), content_type))
    innermost = b"1" if content_type == JSON else b"\x01"
    if content_type == JSON:
        body = b'{"a":' * DEPTH_MAX + innermost + b"}" * DEPTH_MAX
    else:
        body = b"\x81\xa1a" * DEPTH_MAX + innermost
    check_law(data_of(body, content_type))
    assert reason_of(nested(DEPTH_MAX + 1, content_type), content_type) == "too_deep"


def quickest(body: bytes, content_type: str) -> float:
    """Seconds to decode or refuse, the best of five: others use this machine too."""
    times = []
    for _ in range(5):
        began = time.perf_counter()
        with contextlib.suppress(Poison):
            decode("a", body, content_type, batch=False)
        times.append(time.perf_counter() - began)
    return min(times)


@pytest.mark.parametrize("size", [4_096, 16_384, 1_048_576])
@pytest.mark.parametrize(
    "header",
    [b"\xdd%b", b"\xdf%b\xa1a", b"\xdc\xff\xff", b"\xde\xff\xff\xa1a", b"\xdd\x00\x00\x10\x00"],
)
def test_msgpack_bombs(size: int, header: bytes) -> None:
    """Headers that promise more than there is cost nothing to speak of."""
    one = header.replace(b"%b", size.to_bytes(4, "big"))
    bombs = [
        (one * size)[:size],
        # Just under the parser's own limit of nesting, and then a long tail.
        (one * 1000)[: size // 2] + b"\xc0" * (size // 2),
    ]
    assert all(quickest(bomb, MSGPACK) < QUICK_S for bomb in bombs)


@pytest.mark.parametrize(
    "body",
    [
        b"0." + b"1" * 1_000_000 + b"e0",
        b"[" + b"1" * 300 + b"." + b"1" * 1_000_000 + b"]",
        b"1e-" + b"0" * 1_000_000 + b"1",
        b'"' + b"1" * 1_000_000 + b'"',
        b'"' + b'\\"' * 500_000 + b'",1234567890123456',
        b"[" * 1_000_000,
        b"\xef\xbb\xbf" * 333_333,
    ],
)
def test_json_bombs(body: bytes) -> None:
    """Long numbers and strings take time in proportion: a megabyte, some milliseconds."""
    assert quickest(body, JSON) < QUICK_S


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        (None, b"[1]"), ("", b"[1]"), ("application/json; charset=utf-8", b"[1]"),
        ("Application/JSON", b"[1]"), ("text/plain", b"[1]"), ("application/octet-stream", b"[1]"),
        ('application/json;charset="UTF-8"', b"[1]"), ("application/vnd.acme.trade+json", b"[1]"),
        ("Application/Trade+JSON ; charset=utf-8", b"[1]"), (JSON, b"\xef\xbb\xbf[1]"),
        (None, b"\xef\xbb\xbf [1]\r\n"),
        ("application/x-msgpack", b"\x91\x01"), (" application/vnd.msgpack ;x=y", b"\x91\x01"),
    ],
)  # fmt: skip
def test_content_types(content_type: str | None, body: bytes) -> None:
    """JSON unless it says MessagePack, by any of its names."""
    (item,) = decode("a", body, content_type, batch=False)
    assert item == Item("a", [1], None)


def test_other_content_types() -> None:
    """What is neither is not guessed at."""
    for content_type in (
        "text/csv",
        "application/xml",
        ";",
        "application/json+",
        "json",
        "application/json\ufffd",
        "x" * 1000,
    ):
        assert reason_of(b"1", content_type) == "bad_content_type"


def same(one: Any, other: Any) -> bool:
    """Equal to the last sign and type: 1 is not 1.0 and 0.0 not -0.0."""
    return repr(one) == repr(other)


def check_law(data: Any) -> None:
    """Whatever was accepted can be said in both encodings, and comes back as it was."""
    text = orjson.dumps(data)
    assert same(json.loads(text), data)
    assert same(orjson.loads(text), data)
    packed = msgpack.packb(data)
    assert same(msgpack.unpackb(packed), data)
    assert same(data_of(text), data)
    assert same(data_of(packed, MSGPACK), data)


@settings(LAW, max_examples=200)
@given(value=VALUES)
def test_all_that_both_can_say_is_accepted(value: Any) -> None:
    """As JSON of any style and as MessagePack, unchanged."""
    assert same(data_of(json.dumps(value).encode()), value)
    assert same(data_of(json.dumps(value, ensure_ascii=False, indent=1).encode()), value)
    assert same(data_of(msgpack.packb(value), MSGPACK), value)
    check_law(value)


@settings(LAW, max_examples=300)
@given(value=VALUES | st.lists(st.sampled_from([1.5, 0.1, 2.0]) | VALUES, max_size=40))
def test_a_body_counts_for_what_it_takes_in_messagepack(value: Any) -> None:
    """Short floats are three times as long there: a bound in bytes would be none."""
    body = json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
    assert len(msgpack.packb(value)) <= weigh(body)


def memory_of(value: Any) -> int:
    """What CPython takes for a value, in bytes, the collector's share included."""
    size = sys.getsizeof(value) + 16 * isinstance(value, list | dict)
    if isinstance(value, dict):
        # A key of ordinary length is shared by all that have it.
        return size + sum(memory_of(entry) for entry in value.values())
    return size + sum(map(memory_of, value)) if isinstance(value, list) else size


PRICES = [f"{1000 + n / 7:.2f}" for n in range(40)]
SHAPES: dict[str, Any] = {
    "a trade": {"price": "1.50", "size": "2000", "side": "buy", "id": 123456},
    "a book": {"bids": [[price, price] for price in PRICES], "asks": []},
    "a book of objects": [{"price": price, "size": price} for price in PRICES],
    "a wide row": dict(zip(map(str, range(40)), PRICES, strict=True)),
    "floats": [n / 10 for n in range(200)],
    "short texts": [str(n) for n in range(200)],
    "nothing in lists": [[[[]]]] * 40,
    "nothing in objects": [{}] * 40,
    "a long text": "x" * 2_000,
    "a long text with one sign of another plane": "x" * 2_000 + "\U0001f4b9",
}


@pytest.mark.parametrize("name", SHAPES)
def test_a_footprint_is_what_values_take_in_memory(name: str) -> None:
    """A bound in bytes bounds memory, whatever the shape: with three encodings of the text."""
    text = orjson.dumps(SHAPES[name])
    taken = memory_of(orjson.loads(text)) + 3 * len(text)
    assert taken <= 1.1 * footprint(text)
    assert footprint(text) <= 3 * taken


@settings(LAW, max_examples=300)
@given(value=st.lists(VALUES, min_size=3))
def test_no_value_takes_much_more_than_its_footprint(value: list[Any]) -> None:
    """The law behind the figures: no shape gets round the count."""
    text = orjson.dumps(value)
    assert memory_of(orjson.loads(text)) + 3 * len(text) <= 1.5 * footprint(text) + 200


def counted(body: bytes, kind: str | None = None) -> Sequence[tuple[int, int]]:
    """What the entries of a batch count for."""
    items = decode("quotes.a", body, kind, batch=True)
    found = measures(body, items)
    assert len(found) == len(items)
    return found


def wrapped(*data: Any) -> list[dict[str, Any]]:
    return [{"channel": "quotes.a", "data": each} for each in data]


@pytest.mark.parametrize("kind", [None, MSGPACK])
def test_an_entry_of_a_batch_counts_for_its_own_data(kind: str | None) -> None:
    """Not for what the batch has around it, and in MessagePack as in JSON."""
    pack = orjson.dumps if kind is None else msgpack.packb
    trade = SHAPES["a trade"]
    alone = orjson.dumps(trade)
    entries = counted(pack(wrapped(*[trade] * 50)), kind)
    assert len(entries) == 50
    for size, held in entries:
        assert weigh(alone) <= size <= 2 * weigh(alone)
        assert footprint(alone) <= held <= 1.4 * footprint(alone)
    assert not counted(pack([]), kind)


@pytest.mark.parametrize("kind", [None, MSGPACK])
@pytest.mark.parametrize(
    "small",
    [1, None, {"a": 1}, 2**60, "x" * 200, [[]]],
    ids=["one", "null", "flat", "poison", "text", "nested"],
)
def test_no_entry_hides_among_others(kind: str | None, small: Any) -> None:
    """A large one counts for all of itself, however many small or bad ones are beside it."""
    pack = orjson.dumps if kind is None else msgpack.packb
    book = SHAPES["a book"]
    row = {f"k{number}": "channel" for number in range(300)}
    for large in (book, row, "x" * 5_000, {"channel": "x" * 5_000}):
        alone = orjson.dumps(large)
        for batch in (wrapped(large, *[small] * 300), [*wrapped(large), *[0] * 300]):
            size, held = counted(pack(batch), kind)[0]
            assert size >= weigh(alone)
            assert held >= footprint(alone)


def test_messagepack_is_not_counted_by_what_looks_like_json_in_it() -> None:
    """Texts that make its bytes look like a flat batch of JSON take nothing off."""
    data = ['{"channel"', *[7] * 300]
    body = msgpack.packb([*wrapped(data, data), *wrapped(["[", *data])])
    real = footprint(orjson.dumps(data))
    assert all(held >= real for _, held in counted(body, MSGPACK))


@pytest.mark.parametrize(
    ("kind", "does"),
    [
        (None, False),
        ("application/json", False),
        (MSGPACK, True),
        ("Application/X-MsgPack;a", True),
        ("application/json; schema=msgpack", False),
        ("application/vnd.msgpack.trade+json", False),
    ],
)
def test_which_bodies_are_messagepack(kind: str | None, does: bool) -> None:
    """As they are decoded."""
    assert is_messagepack(kind) is does


HOSTILE = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | TEXTS
    | st.sampled_from([INTEGER_MAX, INTEGER_MAX + 1, -INTEGER_MAX - 1, 10**25]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=10,
)  # fmt: skip

TOKENS = st.sampled_from(
    ["[", "]", "{", "}", ",", ":", '"', "\\", " ", "-", "+", ".", "e", "E", "0", "1",
     "12345678901234567890", "9007199254740993", "9007199254740992", "true", "null", "NaN",
     '"a":', '"12345678901234567890"', "\\ud800", "\n", "\0", "é", "[" * 66, "]" * 66]
)  # fmt: skip


def is_sayable(value: Any) -> bool:
    """Whether both encodings can say it, by definition."""
    if isinstance(value, list):
        return all(map(is_sayable, value))
    if isinstance(value, dict):
        return "__proto__" not in value and all(map(is_sayable, value.values()))
    if isinstance(value, float):
        return math.isfinite(value)
    return not isinstance(value, int) or abs(value) <= INTEGER_MAX


@settings(LAW, max_examples=200)
@given(value=HOSTILE)
def test_json_is_accepted_exactly_if_both_can_say_it(value: Any) -> None:
    """No long integer slips through as a rounded float, and nothing else is refused."""
    try:
        data = data_of(json.dumps(value).encode())
    except Poison:
        assert not is_sayable(value)
    else:
        assert is_sayable(value)
        assert same(data, value)


@settings(LAW, max_examples=300)
@given(body=st.lists(TOKENS, max_size=12).map(lambda parts: "".join(parts).encode()))
def test_any_json_text_keeps_the_law(body: bytes) -> None:
    """Whatever is pieced together is poison, or obeys the law."""
    try:
        data = data_of(body)
    except Poison:
        return
    check_law(data)


@settings(LAW, max_examples=300)
@given(
    value=VALUES,
    at=st.integers(0, 200),
    byte=st.sampled_from(range(256)),
    tail=st.binary(max_size=8),
)
def test_any_msgpack_bytes_keep_the_law(value: Any, at: int, byte: int, tail: bytes) -> None:
    """A body with a byte turned or a tail grown is poison, or obeys the law."""
    packed = bytearray(msgpack.packb(value) + tail)
    packed[at % len(packed)] = byte
    for body in (bytes(packed), tail):
        try:
            data = data_of(body, MSGPACK)
        except Poison:
            continue
        check_law(data)


def batch_of(entries: Any, content_type: str = JSON) -> list[Item | Poison]:
    """What comes of a batch."""
    body = json.dumps(entries).encode() if content_type == JSON else msgpack.packb(entries)
    return list(decode("whatever it is", body, content_type, batch=True))


@pytest.mark.parametrize("content_type", [JSON, MSGPACK])
def test_a_bad_entry_spoils_no_other(content_type: str) -> None:
    """Each bad one is poison in its place, with its channel, so that its readers get a gap."""
    deep: Any = 1
    for _ in range(DEPTH_MAX + 1):
        deep = [deep]
    entries: list[Any] = [
        {"channel": "good.1", "data": {"p": "1.5"}},
        {"channel": "big", "data": [INTEGER_MAX + 1]},
        {"channel": "deep", "data": deep},
        {"channel": "proto", "data": {"__proto__": 1}},
        {"channel": "good.2", "data": None, "ts": 0},
        {"channel": "late", "data": 1, "ts": -1},
        {"channel": "later", "data": 1, "ts": INTEGER_MAX + 1},
        {"channel": "yes", "data": 1, "ts": True},
        {"channel": "half", "data": 1, "ts": 1.5},
        {"channel": "nested", "data": 1, "ts": deep},
        {"channel": "good.3", "data": deep[0], "ts": TS, "extra": 1},
        {"channel": "not a name", "data": 1},
        {"channel": "", "data": 1},
        {"channel": 7, "data": 1},
        {"channel": "empty"},
        {"data": 1},
        [],
        None,
        "text",
        {"channel": "good.4", "data": 1, "ts": None},
    ]
    found = batch_of(entries, content_type)
    assert [(one.channel, one.ts) for one in found if isinstance(one, Item)] == [
        ("good.1", None), ("good.2", None), ("good.3", TS), ("good.4", None),
    ]  # fmt: skip
    bad = [one for one in found if isinstance(one, Poison)]
    assert [(one.reason, one.channel) for one in bad] == [
        ("bad_number", "big"), ("too_deep", "deep"), ("bad_key", "proto"),
        ("bad_ts", "late"), ("bad_ts", "later"),
        ("bad_ts", "yes"), ("bad_ts", "half"), ("bad_ts", "nested"),
        ("bad_channel", "not a name"), ("bad_channel", ""),
        ("bad_channel", None), ("bad_batch", None), ("bad_batch", None), ("bad_batch", None),
        ("bad_batch", None), ("bad_batch", None),
    ]  # fmt: skip
    assert [isinstance(one, Item) for one in found].index(False) == 1, "in its place"


@pytest.mark.parametrize("content_type", [JSON, MSGPACK])
def test_an_entrys_time_is_taken_as_it_is_meant(content_type: str) -> None:
    """In seconds, as a text, as a float: as in the header."""
    times = [TS, TS // 1000, TS * 1000, str(TS), TS / 1000, "2025-11-20T00:00:00Z"]
    found = batch_of([{"channel": "a", "data": 1, "ts": ts} for ts in times], content_type)
    assert found == [Item("a", 1, TS)] * len(times)


@pytest.mark.parametrize(
    "time",
    [
        b"1763596800000000123", b'"1763596800000000123"', b"1763596800000000000",
        b"1763596800.000000123", b"1763596800000.00000123", b"1.763596800000000123e9",
    ],
)  # fmt: skip
def test_an_entrys_time_may_have_many_digits(time: bytes) -> None:
    """Nanoseconds, and seconds with nine decimals, as Java's Jackson writes an Instant.

    The data beside it is held to the rule for numbers.
    """
    good, bad = decode(
        "a",
        b'[{"channel":"a","data":1.5,"ts":%b},{"channel":"a","data":[%b],"ts":%b}]'
        % (time, time.replace(b'"', b""), time),
        JSON,
        batch=True,
    )
    assert good == Item("a", 1.5, TS)
    assert isinstance(bad, Poison)
    assert bad.reason == "bad_number"


@pytest.mark.parametrize("time", [b"9" * 20, b"1763596800." + b"1" * 100, b"17635968000000001234"])
def test_digits_without_an_end_are_no_time(time: bytes) -> None:
    """They are refused alone."""
    (bad,) = decode("a", b'[{"channel":"a","data":1,"ts":%b}]' % time, JSON, batch=True)
    assert isinstance(bad, Poison)
    assert bad.reason == "bad_ts"


def test_an_entrys_time_may_be_messagepacks_own() -> None:
    """What JavaScript's encoder makes of a Date; one before 1970 is refused alone."""
    times = [msgpack.Timestamp(TS // 1000, 0), msgpack.Timestamp(-1, 0)]
    good, bad = batch_of([{"channel": "a", "data": 1, "ts": ts} for ts in times], MSGPACK)
    assert good == Item("a", 1, TS)
    assert isinstance(bad, Poison)
    assert bad.reason == "bad_ts"


def test_a_long_integer_is_found_in_its_entry() -> None:
    """Also one that the parser rounds to a float, beside a float that is none."""
    found = batch_of(
        [{"channel": name, "data": data} for name, data in
         (("a", 10**25), ("b", 1e25), ("c", "10000000000000000000"), ("d", -(10**25)))]
    )  # fmt: skip
    assert [isinstance(one, Poison) for one in found] == [True, False, False, True]
    assert found[1] == Item("b", 1e25, None)


def test_a_hostile_channel_is_only_poison() -> None:
    """A channel that cannot even be printed is refused like any other."""
    entry = b'{"channel":' + b"[" * 1000 + b"]" * 1000 + b',"data":1}'
    (found,) = decode("a", b"[" + entry + b"]", JSON, batch=True)
    assert isinstance(found, Poison)
    assert (found.reason, found.channel) == ("bad_channel", None)


@pytest.mark.parametrize("entries", [{}, 1, None, "text", {"channel": "a", "data": 1}])
def test_a_batch_is_an_array(entries: Any) -> None:
    """Anything else is refused whole."""
    with pytest.raises(Poison, match="not an array") as poison:
        batch_of(entries)
    assert poison.value.reason == "bad_batch"


def test_batches_have_a_size() -> None:
    """None, and up to what a seq has room for; one more is refused whole."""
    entry = {"channel": "a", "data": 1}
    assert batch_of([]) == []
    assert len(batch_of([entry] * MESSAGE_UPDATES_MAX)) == MESSAGE_UPDATES_MAX
    with pytest.raises(Poison, match="1025 updates in one message; at most 1024"):
        batch_of([entry] * (MESSAGE_UPDATES_MAX + 1))


@pytest.mark.parametrize("routing_key", ["", "a b", "a..b", "x" * 129, "quotes.#"])
def test_a_routing_key_is_a_channel(routing_key: str) -> None:
    """But for a batch, whose entries name theirs."""
    with pytest.raises(Poison) as poison:
        decode(routing_key, b"1", JSON, batch=False)
    assert poison.value.reason == "bad_channel"
    assert decode(routing_key, b"[]", JSON, batch=True) == []


@pytest.mark.parametrize(
    ("given", "expected"),
    [(None, "update"), ("update", "update"), ("snapshot", "snapshot"), ("done", "done"),
     ("x" * 32, "x" * 32), ("a_1", "a_1")],
)  # fmt: skip
def test_good_types(given: str | None, expected: str) -> None:
    """The publisher's own words, and ``update`` for none."""
    assert check_type(given) == expected


OUR_EVENTS = (
    "welcome", "subscribed", "unsubscribed", "snapshot_end", "updates", "gap", "reset", "status",
    "heartbeat", "closing", "pong", "error",
)  # fmt: skip


@pytest.mark.parametrize(
    "type_",
    [
        *OUR_EVENTS,
        *sorted(RESERVED_TYPES),
        "",
        "x" * 33,
        "Done",
        "a-b",
        "a b",
        "a\n",
        "é",
        "\u0661",
        *(text for text in NASTY if not text.isdigit()),
    ],
)
def test_bad_types(type_: str) -> None:
    """Our own event names, EventSource's, and what could end a line."""
    with pytest.raises(Poison, match="reserved, or does not match") as poison:
        check_type(type_)
    assert poison.value.reason == "bad_type"
