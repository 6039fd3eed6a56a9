"""The count of encodings."""

from __future__ import annotations

from tickfan.wire.base import Encodings


def test_the_total_is_the_sum() -> None:
    """Of all encoders."""
    encodings = Encodings()
    assert encodings.total == 0
    encodings.json_objects, encodings.json_rows, encodings.msgpack_rows = 1, 20, 300
    assert encodings.total == 321
