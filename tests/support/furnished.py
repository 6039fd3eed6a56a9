"""A RabbitMQ in which not all is as it should be: users of few rights, a fanout exchange.

Must not know what is tested.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import aio_pika

if TYPE_CHECKING:
    from loadtest.rig.rabbitmq import RabbitNode

TOPIC, FANOUT = "x-topic", "x-fanout"


def furnish(node: RabbitNode) -> None:
    """Make users and exchanges in a node that has been started.

    ``stranger`` may not enter the vhost, ``reader`` may read and nothing else; the password
    of both is ``secret``.
    """
    for command in (
        ("add_user", "stranger", "secret"),
        ("add_user", "reader", "secret"),
        ("set_permissions", "reader", "^$", "^$", ".*"),
    ):
        node.control(*command)
    asyncio.run(_make_exchanges(node.url))


async def _make_exchanges(url: str) -> None:
    connection = await aio_pika.connect(url)
    async with connection, connection.channel() as channel:
        await channel.declare_exchange(TOPIC, "topic", durable=True)
        await channel.declare_exchange(FANOUT, "fanout", durable=True)


def login(node: RabbitNode, user: str, password: str, vhost: str = "") -> str:
    """The node's address for somebody else."""
    return f"amqp://{user}:{password}@127.0.0.1:{node.port}/{vhost}"
