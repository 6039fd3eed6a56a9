"""Three private RabbitMQ nodes that are one cluster, for tests.

Must not know what is tested.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from loadtest.rig.rabbitmq import RabbitNode

if TYPE_CHECKING:
    from pathlib import Path


_JOIN = """
cluster_formation.peer_discovery_backend = classic_config
cluster_formation.classic_config.nodes.1 = {first}
cluster_formation.classic_config.nodes.2 = {own}
"""


class RabbitCluster:
    """Nodes that each hold a copy of every stream. Each may be stopped or killed by itself."""

    def __init__(self, directory: Path, nodes: int = 3, config: str = "") -> None:
        """``config`` is appended to each node's rabbitmq.conf."""
        first = RabbitNode(directory / "0")
        self.nodes = [
            first,
            *(RabbitNode(directory / str(number), host=first) for number in range(1, nodes)),
        ]
        self._config = config

    @property
    def urls(self) -> list[str]:
        """Where to connect."""
        return [node.url for node in self.nodes]

    def start(self) -> None:
        """Start all nodes; the second and the following join the first."""
        first, *others = self.nodes
        first.config = self._config
        first.start()
        for node in others:
            node.config = self._config + _JOIN.format(first=first.name, own=node.name)
            node.start()

    def leader(self, queue: str) -> RabbitNode:
        """The node that leads this queue."""
        asked = next(node for node in self.nodes if node.is_up)
        table = asked.control("list_queues", "--quiet", "name", "leader")
        match = re.search(rf"^{re.escape(queue)}\t(\S+)$", table, re.MULTILINE)
        assert match is not None, table
        return next(node for node in self.nodes if node.name == match[1])

    def close(self) -> None:
        """End them all for good."""
        for node in reversed(self.nodes):
            node.close()
