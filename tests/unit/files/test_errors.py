"""The errors of files: one word for who catches them."""

from __future__ import annotations

from tickfan.core.errors import TickfanError
from tickfan.files.errors import BadRow, BadTime, ReplayError


def test_a_bad_row_is_an_error_of_its_file() -> None:
    """Who does not skip rows catches both; a bad time never leaves the room."""
    assert issubclass(BadRow, ReplayError)
    assert issubclass(ReplayError, TickfanError)
    assert not issubclass(BadTime, TickfanError)
