"""One update, before anybody has encoded it."""

from __future__ import annotations

from tests.support.updates import lossless_feed, update
from tickfan.core.update import GAP, SNAPSHOT, UPDATE


def test_a_new_update_has_no_bytes() -> None:
    """The wires encode on first need, each for itself."""
    one = update(lossless_feed())
    assert (one.as_json_object, one.as_json_row, one.as_msgpack_row) == (None, None, None)


def test_only_a_gap_is_a_gap() -> None:
    """A publisher's own types are none."""
    feed = lossless_feed()
    kinds = (UPDATE, SNAPSHOT, GAP, "done")
    assert [update(feed, type_=kind).is_gap for kind in kinds] == [False, False, True, False]


def test_prices_stay_out_of_the_repr() -> None:
    """A log line names the channel and the seq."""
    assert repr(update(lossless_feed(), "a.b", "secret", seq=7)) == "<Update a.b 7>"
