"""Nearly good HTTP and WebSocket, as bytes to a running service; more of it by ``make fuzz``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.fuzz.decoders import DECODERS
from tests.fuzz.doors import DOORS, service
from tests.fuzz.run import try_many, try_one

if TYPE_CHECKING:
    from collections.abc import Iterator

EXAMPLES = 100


@pytest.fixture(scope="module", autouse=True)
def _running() -> Iterator[None]:
    """The service of these laws ends with this module."""
    service()
    yield
    service().kill()
    service.cache_clear()


@pytest.mark.parametrize("name", DOORS)
def test_nearly_good_bytes_are_answered(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """No answer says that the service has failed, each connection ends, and nothing is logged."""
    monkeypatch.setitem(DECODERS, name, DOORS[name])
    for seed in DOORS[name].seeds:
        try_one(name, seed)
    try_many(name, EXAMPLES, seed=1)
