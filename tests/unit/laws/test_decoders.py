"""Every decoder keeps its law for nearly good input; the long form is ``make fuzz``."""

from __future__ import annotations

import pytest

from tests.fuzz.decoders import DECODERS
from tests.fuzz.effort import bounded
from tests.fuzz.run import Found, try_many, try_one

EXAMPLES = 50
"""For each decoder; always the same ones, so that a failure is of the change that is tested."""


@pytest.mark.parametrize("name", DECODERS)
def test_what_mutations_begin_from_keeps_the_law(name: str) -> None:
    """Good input, and the bombs among it."""
    for seed in DECODERS[name].seeds:
        try_one(name, seed)


@pytest.mark.parametrize("name", DECODERS)
def test_nearly_good_input_keeps_the_law(name: str) -> None:
    """Only the errors that are documented come out, at a bounded cost."""
    try_many(name, EXAMPLES, seed=1)


def test_a_broken_law_is_told_with_the_smallest_input(monkeypatch: pytest.MonkeyPatch) -> None:
    """And with what repeats it."""
    decoder = DECODERS["type"]

    def fails(data: bytes) -> None:
        assert b"\xff" not in data

    monkeypatch.setitem(DECODERS, "type", decoder._replace(check=fails))
    with pytest.raises(Found, match=r"type: AssertionError") as caught:
        try_many("type", 2000, seed=1)
    data = caught.value.data
    assert data == b"\xff"
    assert f'make fuzz ARGS="--only type --input {data.hex()}"' in str(caught.value)
    with pytest.raises(Found):
        try_one("type", data)


def test_effort_is_counted() -> None:
    """Calls and memory, each by what the input is worth."""
    with pytest.raises(AssertionError, match="calls for 10 bytes"), bounded(10):
        assert [abs(number) for number in range(30_000)]
    with pytest.raises(AssertionError, match="bytes held for 10 bytes"), bounded(10):
        assert bytearray(3 * 2**20)
    with pytest.raises(AssertionError, match="bytes held for 10 bytes"), bounded(10):
        raise ValueError(bytearray(3 * 2**20))
    with bounded(2**20):
        assert bytearray(3 * 2**20)
