"""What the AMQP broker's tests share: options with short waits, the way through a proxy.

Must not know what is tested.
"""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import aio_pika
from yarl import URL

from loadtest.rig.proxy import FaultProxy
from tickfan.broker.amqp import AmqpOptions
from tickfan.config.sections import BrokerSettings


def options(*urls: str, **settings: Any) -> AmqpOptions:
    """The options of the settings' defaults, but with short waits."""
    names = {field.name for field in fields(AmqpOptions)} & set(BrokerSettings.model_fields)
    section = BrokerSettings()
    defaults = {name: getattr(section, name) for name in names}
    files = dict.fromkeys(("tls_ca_file", "tls_cert_file", "tls_key_file"))
    waits = {"backoff_first_s": 0.05, "backoff_max_s": 0.5}
    return AmqpOptions(urls=urls, **{**defaults, **files, **waits, **settings})


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
