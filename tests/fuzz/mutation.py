"""Input that is nearly right: good input, cut, doubled, and mixed with what hurts decoders.

Must not know any decoder.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hypothesis import strategies as st

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hypothesis.strategies import SearchStrategy

BYTES_MAX = 16_384
"""As much as a WebSocket command may have; the rest is cut."""

NASTY = [
    # Text: control characters, what is no UTF-8, what is not the shortest UTF-8, surrogates.
    b"\0", b"\r", b"\n", b"\r\n\r\n", b"\x7f", b"\xff", b"\xc0\x80", b"\xed\xa0\x80", b"\xf5",
    b"\xef\xbb\xbf", b"\xff\xfe", b"\xe2\x80\xa8", b"\xf0\x9f\x98\x80", b"\\ud800", b"\\u0000",
    b"\xd9\xa3", b"\xc4\xb0", b"'", b'"', b"\\", b"\x1f\x8b", b"PK\x03\x04", b"BZh91AY&SY",
    # JSON: depth, numbers that no double keeps, keys twice and keys with a meaning.
    b"[" * 70, b"[" * 2000, b'{"a":' * 1100, b"]", b"}", b",", b":", b"NaN", b"-Infinity", b"1e999",
    b"-0", b"1e-400", b"9" * 17, b"9007199254740993", b"1" + b"0" * 400, b"0." + b"123456789" * 30,
    b'"__proto__":1,', b'"a":1,"a":2,', b'"channels":["#"],', b'"id":9e99,', b"null", b"true",
    # MessagePack: lengths that are not there, extensions, times, depth, keys that are no text.
    b"\xdc\xff\xff", b"\xdd\xff\xff\xff\xff", b"\xdd\0\0\0\x01", b"\xde\xff\xff", b"\x80", b"\x90",
    b"\xdf\x7f\xff\xff\xff", b"\xdb\xff\xff\xff\xff", b"\xc6\xff\xff\xff\xff", b"\xc4\x01a",
    b"\xc7\x0c\xff" + b"\xff" * 12, b"\xd6\xff\0\0\0\x01", b"\xd7\xff" + b"\xff" * 8, b"\xc1",
    b"\x91" * 70, b"\x91" * 1100, b"\x81\x01\x02", b"\xcb\x7f\xf8" + b"\0" * 6, b"\xca\x7f\x80\0\0",
    b"\xcf" + b"\xff" * 8, b"\xd3\x80" + b"\0" * 7, b"\x81\x81\x01\x01\x01", b"\xd9\x01\xff",
    # Frames, of WebSocket and of AMQP.
    b"\x81\xfe\0\x01", b"\x82\xff" + b"\xff" * 8, b"\x82\xff\0\0\0\0\x00\x01\0\0", b"\x89\x80",
    b"\x00\x80\0\0\0\0", b"\x88\x82\0\0\0\0\x03\xed", b"\x01\x80\0\0\0\0" * 40, b"\xce",
    b"\x01\0\x01\0\0\0\0\xce", b"\x03\0\x01\x7f\xff\xff\xff", b"\x02\0\x01\0\0\0\x0e",
    b"\x03\0\x01\0\0\0\0\xce", b"\x08\0\0\0\0\0\0\xce", b"\0\x3c\0\x3c", b"\x0fx-stream-offset",
    # Names, patterns, queries, cursors, lists of addresses.
    b".", b"..", b"*", b"#", b".#" * 60, b".*" * 60, b"#." * 63 + b"#", b"a" * 129, b"%00", b"%ff",
    b"%2", b"%23", b"%ED%A0%80", b"+", b"&", b"=", b";", b"/", b"&channels=", b"&_=", b"~",
    b"-" * 11, b"~a.zzzzzzzzzzz.AAAAAAAAAAA", b",", b", ,,", b"[::1]:",b"::ffff:10.0.0.1", b"::1%e",
    b"10.0.0.1" + b",10.0.0.1" * 40, b"1.2.3.4:99999", b"999.1.1.1", b"[[", b"0x7f.1", b"017.0.0.1",
    # Times and cells.
    b"2024-02-30", b"0001-01-01T00:00:00+23:59", b"9999-12-31T23:59:60Z", b"-1", b"1e18", b"1_000",
    b"24:00", b"1970-01-01", b"\t", b'""', b'"\n"', b"=1+1", b"inf", b"0.1", b"\xc2\xa0", b"\x1a",
    # Settings.
    b"[[feeds]]\n", b"[http]\n", b"port = 1\n", b"= = \n", b"'''", b"0x" + b"f" * 400,
    b"9" * 5000,
    b"{a = 1}", b'"\\ud800"', b"a.b.c = 1\n", b"amqp://a:b@[::1", b"amqps://h?x=1",
]  # fmt: skip
"""What hurts decoders, whichever: what means nothing to one is a byte like others to it."""

_KINDS = ("insert", "replace", "cut", "repeat", "set", "splice")


@st.composite
def mutated(draw: st.DrawFn, seeds: Sequence[bytes]) -> bytes:
    """One of the ``seeds`` with up to eight changes; it shrinks to a seed without any."""
    data = bytearray(draw(st.sampled_from(seeds)))
    for kind, where, size, what in draw(_EDITS):
        at = where % (len(data) + 1)
        piece = NASTY[what % len(NASTY)]
        if kind == "insert":
            data[at:at] = piece
        elif kind == "replace":
            data[at : at + len(piece)] = piece
        elif kind == "cut":
            del data[at : at + size]
        elif kind == "repeat":
            data[at:at] = data[at : at + size] * (what % 20)
        elif kind == "set":
            data[at : at + 1] = bytes((what & 0xFF,))
        else:
            other = seeds[what % len(seeds)]
            data[at:] = other[size % (len(other) + 1) :]
        del data[BYTES_MAX:]
    return bytes(data)


_EDITS: SearchStrategy[list[tuple[str, int, int, int]]] = st.lists(
    st.tuples(
        st.sampled_from(_KINDS), st.integers(0, 2**14), st.integers(1, 64), st.integers(0, 2**10)
    ),
    max_size=8,
)
