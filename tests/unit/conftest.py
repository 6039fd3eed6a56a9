"""Unit tests are pure: none opens a socket or starts a process.

Those that do lie in tests/service, at the same place of its tree.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

_OUTWARD = frozenset(
    ("socket.bind", "socket.connect", "subprocess.Popen", "os.fork", "os.posix_spawn")
)


class _Watch:
    """Notes what Python's audit events say of the running test. A hook cannot be taken away."""

    def __init__(self) -> None:
        self.found: set[str] | None = None

    def __call__(self, event: str, _arguments: tuple[object, ...]) -> None:
        if self.found is not None and event in _OUTWARD:
            self.found.add(event)


_WATCH = _Watch()
sys.addaudithook(_WATCH)


@pytest.fixture(autouse=True)
def _is_pure() -> Iterator[None]:
    """Fail a test that has reached for the world outside."""
    _WATCH.found = set()
    yield
    found, _WATCH.found = _WATCH.found, None
    assert not found, f"{sorted(found)}: move this test to tests/service"
