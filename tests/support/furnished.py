"""A RabbitMQ in which not all is as it should be: users of few rights, a fanout exchange.

Must not know what is tested.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from loadtest.rig.rabbitmq import RabbitNode

TOPIC, FANOUT = "x-topic", "x-fanout"


def furnish(node: RabbitNode) -> None:
    """Let a node that has not been started begin with users and exchanges.

    ``stranger`` may not enter the vhost, ``reader`` may read and nothing else; the password
    of both is ``secret``.
    """
    definitions = node.directory / "definitions.json"
    definitions.write_text(json.dumps(_DEFINITIONS))
    node.config = f"load_definitions = {definitions}\n"


def _user(name: str, password: str, tags: str = "") -> dict[str, str]:
    return {"name": name, "password": password, "tags": tags}


def _rights(user: str, configure: str, write: str, read: str) -> dict[str, str]:
    rights = {"configure": configure, "write": write, "read": read}
    return {"user": user, "vhost": "/", **rights}


def _exchange(name: str, kind: str) -> dict[str, Any]:
    flags = {"durable": True, "auto_delete": False, "internal": False}
    return {"name": name, "vhost": "/", "type": kind, **flags, "arguments": {}}


# With definitions nothing is made by itself, not even guest.
_DEFINITIONS = {
    "vhosts": [{"name": "/"}],
    "users": [
        _user("guest", "guest", "administrator"),
        _user("stranger", "secret"),
        _user("reader", "secret"),
    ],
    "permissions": [_rights("guest", ".*", ".*", ".*"), _rights("reader", "^$", "^$", ".*")],
    "exchanges": [_exchange(TOPIC, "topic"), _exchange(FANOUT, "fanout")],
}


def login(node: RabbitNode, user: str, password: str, vhost: str = "") -> str:
    """The node's address for somebody else."""
    return f"amqp://{user}:{password}@127.0.0.1:{node.port}/{vhost}"
