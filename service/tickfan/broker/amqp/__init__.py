"""RabbitMQ over AMQP 0-9-1: the only room that imports aio-pika and aiormq.

Must not know the hub, nor what is in a message's body.
"""

from tickfan.broker.amqp.broker import AmqpBroker
from tickfan.broker.amqp.connection import AmqpOptions

__all__ = ["AmqpBroker", "AmqpOptions"]
