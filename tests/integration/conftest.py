"""Fixtures of the integration tests: the service as a process, on a real RabbitMQ."""

from __future__ import annotations

import contextlib
import uuid
from typing import TYPE_CHECKING

import pytest

from loadtest.rig.process import ServiceProcess
from loadtest.rig.rabbitmq import RabbitNode
from tests.conftest import require_rabbitmq
from tests.support.fixtures import make_live, service
from tests.support.furnished import furnish

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.conftest import Rabbit

    MakeService = Callable[..., ServiceProcess]

__all__ = ["amqp", "furnished", "make_live", "make_service", "service"]


@pytest.fixture
def amqp(rabbitmq: Rabbit) -> dict[str, str]:
    """Settings for an exchange and queues of this test's own on the shared node."""
    mine = f"test-{uuid.uuid4().hex[:8]}"
    return {
        "BROKER__URL": rabbitmq.url,
        "BROKER__EXCHANGE": mine,
        "BROKER__QUEUE_PREFIX": f"{mine}.",
    }


@pytest.fixture
def make_service(tmp_path: Path) -> Iterator[MakeService]:
    """Makes services that end with the test; ``start()`` is up to it."""
    with contextlib.ExitStack() as stack:

        def make(settings: dict[str, str]) -> ServiceProcess:
            service = ServiceProcess(tmp_path, settings)
            stack.callback(service.kill)
            return service

        yield make


@pytest.fixture(scope="session")
def furnished(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RabbitNode]:
    """A node in which not all is as it should be; a test changes nothing in it."""
    require_rabbitmq()
    node = RabbitNode(tmp_path_factory.mktemp("furnished"))
    try:
        furnish(node)
        node.start()
        yield node
    finally:
        node.close()
