"""Looks for input that breaks a law, and for the smallest that does.

Must not know any decoder by name.
"""

from __future__ import annotations

import hypothesis
from hypothesis import HealthCheck, Phase, given
from hypothesis import settings as hypothesis_settings

from tests.fuzz.decoders import DECODERS
from tests.fuzz.mutation import mutated


class Found(AssertionError):
    """A law is broken; ``data`` is the smallest input that was found to break it."""

    def __init__(self, name: str, data: bytes, error: BaseException) -> None:
        super().__init__(
            f"{name}: {type(error).__name__}: {str(error)[:500]}\n"
            f"  with {data[:200]!r}{'...' if len(data) > 200 else ''} ({len(data)} bytes)\n"
            f'  repeat it: make fuzz ARGS="--only {name} --input {data.hex()}"'
        )
        self.data = data
        self.error = error


def try_one(name: str, data: bytes) -> None:
    """Give one input to a decoder. Raises :class:`Found`."""
    try:
        DECODERS[name].check(data)
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt):
            raise
        raise Found(name, data, error) from error


def try_many(name: str, examples: int, seed: int) -> None:
    """Give so many mutated inputs to a decoder; always the same ones for a ``seed``.

    Raises :class:`Found` with the shortest input that could be made of a bad one.
    """

    @hypothesis.seed(seed)
    @hypothesis_settings(
        max_examples=examples,
        deadline=None,
        database=None,
        phases=(Phase.generate,),
        suppress_health_check=list(HealthCheck),
        report_multiple_bugs=False,
    )
    @given(mutated(DECODERS[name].seeds))
    def law(data: bytes) -> None:
        try_one(name, data)

    try:
        law()
    except Found as found:
        raise _shortest(name, found) from None


def _shortest(name: str, found: Found) -> Found:
    """Leave out of the input what can be left out: halves of it first, single bytes last.

    Hypothesis would make its choices small, and not the bytes that come of them.
    """
    size = len(found.data)
    while size:
        at = 0
        while at < len(found.data):
            data = found.data[:at] + found.data[at + size :]
            try:
                try_one(name, data)
            except Found as shorter:
                if type(shorter.error) is type(found.error):
                    found = shorter
                    continue
            at += size
        size //= 2
    return found
