"""What more than one room's tests need: a RabbitMQ, real and private, and a good order.

Must not know what is tested.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from loadtest.rig.rabbitmq import RabbitNode, find_server
from tests.support import browser

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_USED = pytest.StashKey[str]()
LONGEST = (
    "integration/test_survival.py", "integration/test_proxies.py",
    "integration/test_amqp_faults.py", "integration/test_amqp_cluster.py",
    "chart/test_image.py", "integration/test_page.py", "integration/test_bench.py",
    "integration/test_publish_outage.py", "integration/test_amqp_traps.py",
    "integration/test_service.py", "loadtest/test_k6.py", "loadtest/test_locust.py",
    "integration/test_amqp_warm.py", "integration/test_amqp_undeliverable.py",
    "integration/test_amqp_stream.py", "integration/test_broker_causes.py",
    "unit/laws/test_any_order.py", "integration/test_amqp_topology.py",
    "integration/test_amqp_publisher.py", "integration/test_tail.py", "chart/test_settings.py",
    "chart/test_count.py", "integration/test_proxy_restarts.py", "service/test_lifecycle.py",
)  # fmt: skip
"""The files that take twenty seconds and more.

In a parallel run a worker takes one file after the other, in the order of the tests. These
start first, the longest at the head. So a worker does not begin one when the others are done.
"""


class Rabbit(NamedTuple):
    """A RabbitMQ that tests may use, but not stop."""

    url: str
    version: str


@pytest.fixture(scope="session")
def rabbitmq(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Rabbit]:
    """A RabbitMQ: the one of TICKFAN_TEST_AMQP_URL, else a private node for the session."""
    url = os.environ.get("TICKFAN_TEST_AMQP_URL")
    if url:
        request.config.stash[_USED] = "that of TICKFAN_TEST_AMQP_URL"
        yield Rabbit(url, "external")
        return
    require_rabbitmq()
    node = RabbitNode(tmp_path_factory.mktemp("rabbitmq"))
    try:
        node.start()
        request.config.stash[_USED] = f"{node.version}, a private node"
        yield Rabbit(node.url, node.version)
    finally:
        node.close()


@pytest.fixture(scope="session")
def _mortal(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RabbitNode]:
    require_rabbitmq()
    node = RabbitNode(tmp_path_factory.mktemp("mortal-rabbitmq"))
    try:
        yield node
    finally:
        node.close()


@pytest.fixture
def mortal_rabbitmq(_mortal: RabbitNode) -> RabbitNode:
    """A running node that may be stopped, killed, frozen: for the next test it runs again.

    Its data stay. So each test has exchanges and streams of its own.
    """
    if _mortal.is_up:
        _mortal.resume()
    else:
        _mortal.start()
    return _mortal


@pytest.fixture
def own_rabbitmq(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RabbitNode]:
    """A node of the test's own, not started yet: for settings, or for the time before a start."""
    require_rabbitmq()
    node = RabbitNode(tmp_path_factory.mktemp("own-rabbitmq"))
    try:
        yield node
    finally:
        node.close()


def require_rabbitmq() -> None:
    """Skip without an installed RabbitMQ; under CI=true fail."""
    if find_server() is not None:
        return
    sentence = "RabbitMQ is not installed: run `make test` as root, or set TICKFAN_TEST_AMQP_URL"
    if os.environ.get("CI") == "true":
        pytest.fail(sentence)
    pytest.skip(sentence)


@pytest.fixture
def figures(record_property: Callable[[str, object], None]) -> Callable[[str], None]:
    """Keep what a test measured: it is shown at the end of the run."""

    def keep(text: str) -> None:
        record_property("figures", text)

    return keep


def pytest_sessionfinish(session: pytest.Session) -> None:
    """End the browser. In a worker of a parallel run: say to the one that reports what was used."""
    browser.close()
    used = session.config.stash.get(_USED, None)
    output = getattr(session.config, "workeroutput", None)
    if output is not None and used is not None:
        output["rabbitmq"] = used


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Bring the long files to the front; all else stays as it was found."""
    places = {f"tests/{name}": place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: places.get(item.nodeid.partition("::")[0], len(places)))


class Workers:
    """Hooks of a parallel run (pytest-xdist)."""

    def pytest_testnodedown(self, node: Any) -> None:
        """Take what a worker has said."""
        used = getattr(node, "workeroutput", {}).get("rabbitmq")
        if used is not None:
            node.config.stash[_USED] = used


def pytest_configure(config: pytest.Config) -> None:
    """Listen to workers, if there may be any."""
    if config.pluginmanager.hasplugin("xdist"):
        config.pluginmanager.register(Workers())


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """Say which RabbitMQ the tests ran against, and what they measured."""
    for reports in terminalreporter.stats.values():
        for report in reports:
            for name, text in getattr(report, "user_properties", ()):
                if name == "figures" and getattr(report, "when", "") == "call":
                    terminalreporter.write_line(f"{report.nodeid.partition('::')[2]}: {text}")
    used = config.stash.get(_USED, None)
    if used is not None:
        terminalreporter.write_line(f"RabbitMQ: {used}")
