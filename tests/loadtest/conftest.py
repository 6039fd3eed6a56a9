"""The service that the load tests run against: the real one, with its market."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from loadtest.rig.process import ServiceProcess

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServiceProcess]:
    """A process of its own, on memory://, 200 updates a second."""
    settings = {"MARKET__ENABLED": "true", "MARKET__RATE": "200", "MARKET__SEED": "1"}
    with ServiceProcess(tmp_path_factory.mktemp("service"), settings) as service:
        yield service
