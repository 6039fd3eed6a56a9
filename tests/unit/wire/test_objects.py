"""The JSON object of an update, encoded once."""

from __future__ import annotations

import json
import sys
import tracemalloc
from typing import TYPE_CHECKING

from hypothesis import given

from tests.support.updates import LAW, conflated_feed, conflated_updates, update
from tests.unit.wire.readers import expected, seen_in_object
from tickfan.wire.base import Encodings
from tickfan.wire.objects import dumps_to_keep, encode_object

if TYPE_CHECKING:
    from tickfan.core.update import Update


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
