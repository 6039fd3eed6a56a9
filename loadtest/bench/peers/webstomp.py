"""RabbitMQ's own way to browsers: a second private node, with its Web-STOMP plugin.

Broker and server are one process here: all its time is the cost, taking in and
queueing included. Must not know what is measured.
"""

from __future__ import annotations

from pathlib import Path
from typing import Self

from loadtest.bench.amqp import Publisher
from loadtest.rig.rabbitmq import RabbitNode, find_server, free_port

PLUGIN = "rabbitmq_web_stomp"
EXCHANGE = "prices"
# Cowboy would hang up on clients that only listen for a minute.
_CONFIG = """
web_stomp.tcp.ip = 127.0.0.1
web_stomp.tcp.port = {port}
web_stomp.ws_opts.idle_timeout = 3600000
stomp.listeners.tcp = none
"""


def missing() -> str | None:
    """Why it cannot be run here, in a sentence; None if it can."""
    server = find_server()
    if server is None:
        return "RabbitMQ is not installed"
    if not any((Path(server).parents[1] / "plugins").glob(f"{PLUGIN}-*")):
        return f"this RabbitMQ comes without {PLUGIN}"
    return None


class WebStomp:
    """One node, on the cores that its starter may use.

    ``amqp_port`` is where to publish, to the exchange that the clients'
    destinations name; ``port`` where they connect.
    """

    def __init__(self, directory: Path) -> None:
        self.port = free_port()
        directory.mkdir(parents=True)
        self._node = RabbitNode(directory, _CONFIG.format(port=self.port), (PLUGIN,))
        self.amqp_port = self._node.port

    @property
    def pid(self) -> int:
        """The process whose time counts."""
        return self._node.pid

    def __enter__(self) -> Self:
        try:
            self._node.start()
            publisher = Publisher(self.amqp_port, EXCHANGE)
            publisher.declare()
            publisher.close()
        except BaseException:
            self._node.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._node.close()
