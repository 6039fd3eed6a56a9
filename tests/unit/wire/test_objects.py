"""The JSON object of an update, encoded once."""

from __future__ import annotations

import json
import sys
import tracemalloc

from hypothesis import given

from tests.support.updates import LAW, conflated_feed, conflated_updates, lossless_feed, update
from tests.unit.wire.readers import expected, seen_in_object
from tickfan.core.update import GAP, Update
from tickfan.wire.base import Encodings
from tickfan.wire.objects import dumps_to_keep, encode_object, gap_fields


def test_fields_by_delivery_and_type() -> None:
    """``prev`` is on lossless ones also when null; ``type`` only where it says something."""
    quote = update(conflated_feed(), "q", {"bid": "1.5"}, ts=9)
    assert json.loads(encode_object(quote, Encodings())) == {
        "channel": "q", "seq": 1, "ts": 9, "data": {"bid": "1.5"},
    }  # fmt: skip
    feed = lossless_feed()
    first, second = update(feed, "t", 1, seq=5), update(feed, "t", 2, seq=8, type_="done")
    assert json.loads(encode_object(first, Encodings())) == {
        "channel": "t", "seq": 5, "ts": 0, "data": 1, "prev": None,
    }  # fmt: skip
    assert json.loads(encode_object(second, Encodings())) == {
        "channel": "t", "seq": 8, "ts": 0, "data": 2, "prev": 5, "type": "done",
    }  # fmt: skip


@LAW
@given(updates=conflated_updates(max_size=5))
def test_no_value_ends_a_line(updates: list[Update]) -> None:
    """The object is one line for every reader of lines, and is what it was."""
    for one in updates:
        body = encode_object(one, Encodings())
        assert not set(body) & {0x0A, 0x0D, 0x00}
        assert body.startswith(b"{")
        assert body.endswith(b"}")
        assert [seen_in_object(json.loads(body))] == expected([one])


def test_what_is_kept_is_no_larger_than_it_must_be() -> None:
    """A history full of small objects takes their bytes, not the encoder's buffers."""
    tracemalloc.start()
    try:
        kept = [dumps_to_keep({"channel": "a", "seq": number}) for number in range(1000)]
        taken, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert taken < sum(map(sys.getsizeof, kept)) + 50_000
    assert json.loads(kept[7]) == {"channel": "a", "seq": 7}


def test_it_is_kept_and_counted() -> None:
    """The bytes stay on the update, so that callers need not ask again."""
    encodings = Encodings()
    one = update(conflated_feed())
    assert encode_object(one, encodings) is one.as_json_object
    assert (encodings.json_objects, encodings.total) == (1, 1)


def test_a_gap_takes_its_place_in_the_chain() -> None:
    """A client that checks ``prev`` can step over it."""
    feed = lossless_feed()
    update(feed, "t", 1, seq=5)
    gap = update(feed, "t", "bad_json", seq=6, ts=3, type_=GAP)
    assert gap_fields(gap) == {
        "channel": "t", "seq": 6, "prev": 5, "ts": 3, "reason": "bad_json",
    }  # fmt: skip
