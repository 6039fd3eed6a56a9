"""tickfan.wire.unpacking: what it makes of good and bad bytes is tested in test_inbound.py."""

from __future__ import annotations

import struct
import time

import msgpack

from tickfan.wire.unpacking import unpack

QUICK_S = 0.05
"""The loop may not be held for longer by any one body; the quickest of five runs counts."""


def of_one_hash(count: int) -> bytes:
    """A map in MessagePack whose keys are different timestamps that all have one hash.

    CPython's hash of a tuple (Objects/tupleobject.c) is solved for the seconds here.
    """
    prime_1, prime_2, prime_5 = 11400714785074694791, 14029467366897019727, 2870177450012600261
    inverse_1, inverse_2 = pow(prime_1, -1, 2**64), pow(prime_2, -1, 2**64)
    keys: list[bytes] = []
    nanoseconds = 0
    while len(keys) < count:
        nanoseconds += 1
        turned = -nanoseconds * prime_2 * inverse_1 % 2**64
        turned = turned >> 31 | turned << 33
        seconds = (turned - prime_5) * inverse_2 % 2**64
        if seconds < 2**61 - 1:
            keys.append(b"\xc7\x0c\xff" + struct.pack(">IQ", nanoseconds, seconds))
    found = {hash(msgpack.unpackb(key)) for key in keys[:9]}
    assert len(found) == 1, "CPython makes hashes otherwise"
    return b"\xdf" + struct.pack(">I", count) + b"".join(key + b"\xc0" for key in keys)


def test_keys_of_one_hash() -> None:
    """They take time in proportion: 2,000 of them, 5 ms, and not their square."""
    body = of_one_hash(2_000)
    times = []
    for _ in range(5):
        began = time.perf_counter()
        (key,) = unpack(body)
        times.append(time.perf_counter() - began)
    assert min(times) < QUICK_S
    assert type(key) is msgpack.Timestamp, "to be refused by name"


def test_a_map_of_texts_is_as_it_was_sent() -> None:
    """Also beside one that has another key: the last of equal keys counts."""
    body = b"\x92\x83\xa1a\x01\xa1b\x02\xa1a\x03" + b"\x81\x05\x06"
    assert unpack(body) == [{"a": 3, "b": 2}, {5: None}]
