"""tickfan.api.making: parts to pieces."""

from __future__ import annotations

import gzip
import json
import random
from collections import deque
from typing import TYPE_CHECKING, Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.updates import LAW
from tickfan.api.compression import COMPRESS_BYTES
from tickfan.api.making import PACKED_AT_ONCE, PIECE_BYTES, Packer, json_list

if TYPE_CHECKING:
    from tickfan.transports.answers import Pending


class Charges:
    """Notes what is charged, as an answer's budget does."""

    def __init__(self) -> None:
        self.held = 0

    def charge(self, size: int) -> None:
        self.held += size


def packed(parts: list[bytes], *, gzipped: bool) -> tuple[list[bytes], int, bool]:
    """The pieces of these parts, how many steps they took, and whether they are compressed."""
    pieces: deque[bytes] = deque()
    charges = Charges()
    packer = Packer(pieces, cast("Pending", charges), is_wanted=gzipped)
    steps = sum(1 for _ in packer.steps(parts))
    assert charges.held == sum(map(len, pieces)), "each byte that is held is charged"
    assert all(pieces)
    return list(pieces), steps, packer.has_packed


@LAW
@given(
    st.lists(st.binary(max_size=50).map(lambda data: data * 1000), max_size=20),
    st.booleans(),
)
def test_no_byte_is_lost(parts: list[bytes], gzipped: bool) -> None:
    """Joined or compressed; what is small is not compressed."""
    pieces, _, is_packed = packed(parts, gzipped=gzipped)
    body = b"".join(pieces)
    due = b"".join(parts)
    assert (gzip.decompress(body) if is_packed else body) == due
    assert is_packed == (gzipped and len(due) >= COMPRESS_BYTES)


@pytest.mark.parametrize("gzipped", [True, False])
def test_small_parts_are_joined_and_large_ones_are_compressed_in_steps(gzipped: bool) -> None:
    """A part of a megabyte is compressed in more than 60 of them."""
    small = [random.Random(1).randbytes(1000)] * 1000
    pieces, steps, _ = packed(small, gzipped=False)
    assert len(pieces) == -(-1_000_000 // (PIECE_BYTES // 1000 * 1000 + 1000))
    assert steps == len(small)
    large = [random.Random(1).randbytes(2**20)]
    _, steps, _ = packed(large, gzipped=gzipped)
    assert steps == 1 + gzipped * (2**20 // PACKED_AT_ONCE)


@LAW
@given(
    st.lists(st.integers() | st.none(), max_size=5),
    st.dictionaries(st.text(), st.integers(-9, 9), max_size=2),
    st.dictionaries(st.text(), st.integers(-9, 9), max_size=2),
)
def test_a_list_among_fields_is_json(
    items: list[int | None], before: dict[str, Any], after: dict[str, Any]
) -> None:
    """None stands for a pause, which is no item."""
    before, after = ({f"{key}{sign}": value for key, value in fields.items()}
                     for fields, sign in ((before, "<"), (after, ">")))  # fmt: skip
    encoded = [b"" if item is None else str(item).encode() for item in items]
    text = b"".join(json_list(before, "items", encoded, after))
    numbers = [item for item in items if item is not None]
    assert text.endswith(b"}\n")
    assert json.loads(text) == {**before, "items": numbers, **after}
    assert list(json.loads(text)) == [*before, "items", *after]


def test_several_items_may_come_in_one_part() -> None:
    """Joined by commas."""
    text = b"".join(json_list({}, "items", [b"1,2", b"", b"3"], {}))
    assert json.loads(text) == {"items": [1, 2, 3]}
