"""RabbitMQ over TLS, with certificates on both sides."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from loadtest.rig.rabbitmq import RabbitNode, free_port
from loadtest.rig.waiting import until
from tests.support import amqp
from tests.support.broker import CONFLATED, Recorder, running, source
from tests.support.tls import make_certificates
from tickfan.broker.amqp import AmqpBroker
from tickfan.broker.base import Message
from tickfan.core.feed import Upstream

if TYPE_CHECKING:
    from pathlib import Path


async def test_tls(own_rabbitmq: RabbitNode, tmp_path: Path) -> None:
    """amqps with a CA and a client certificate; without them it says what is wrong."""
    made = make_certificates(tmp_path)
    port = free_port()
    own_rabbitmq.config = (
        f"listeners.ssl.1 = 127.0.0.1:{port}\n"
        f"ssl_options.cacertfile = {made.ca}\n"
        f"ssl_options.certfile = {made.server_cert}\n"
        f"ssl_options.keyfile = {made.server_key}\n"
        "ssl_options.verify = verify_peer\n"
        "ssl_options.fail_if_no_peer_cert = true\n"
    )
    own_rabbitmq.start()
    feed = source(CONFLATED)
    name = feed.spec.name
    right = amqp.options(
        f"amqps://guest:guest@127.0.0.1:{port}/",
        tls_ca_file=made.ca,
        tls_cert_file=made.client_cert,
        tls_key_file=made.client_key,
    )
    sink = Recorder()
    broker = AmqpBroker([feed], sink, right)
    async with running(broker):
        await until(lambda: sink.is_live(name))
        await broker.publish(name, Message(f"{name}.a", b"1"))
        await until(lambda: sink.bodies(name) == [b"1"])
    for wrong, word in (
        (replace(right, tls_ca_file=None), "certificate verify failed"),
        (replace(right, tls_cert_file=None, tls_key_file=None), ""),
        (replace(right, tls_ca_file=str(tmp_path / "none.pem")), "No such file"),
    ):
        sink = Recorder()
        async with running(AmqpBroker([feed], sink, wrong)):
            await until(lambda sink=sink: sink.states)  # type: ignore[misc]
        assert sink.state(name) is Upstream.STARTING
        assert word in sink.why(name)
    sink = Recorder()
    lax = replace(right, tls_ca_file=None, tls_verify=False)
    async with running(AmqpBroker([feed], sink, lax)):
        await until(lambda: sink.is_live(name))
