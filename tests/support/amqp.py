"""What the AMQP broker's tests share: options with short waits, the way through a proxy.

Must not know what is tested.
"""

from __future__ import annotations

from typing import Any

import aio_pika
from yarl import URL

from loadtest.rig.proxy import FaultProxy
from tickfan.broker.amqp import AmqpOptions


def options(*urls: str, **settings: Any) -> AmqpOptions:
    """Options with short waits."""
    settings.setdefault("backoff_first_s", 0.05)
    settings.setdefault("backoff_max_s", 0.5)
    return AmqpOptions(urls=urls, **settings)


def proxy_to(url: str) -> FaultProxy:
    """A proxy to the broker."""
    target = URL(url)
    return FaultProxy(target.port or 5672, target.host or "")


def proxied(url: str, proxy: FaultProxy) -> str:
    """The same broker, through the proxy."""
    return str(URL(url).with_host("127.0.0.1").with_port(proxy.port))


async def delete(url: str, queue: str) -> None:
    """Delete a queue, as an operator would."""
    connection = await aio_pika.connect(url)
    async with connection, connection.channel() as channel:
        await channel.queue_delete(queue)
