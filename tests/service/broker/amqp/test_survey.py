"""tickfan.broker.amqp.survey without RabbitMQ; with it: tests/integration/test_check_connect.py."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pamqp import commands

from loadtest.rig.rabbitmq import free_port
from tests.support import amqp
from tests.support.broker import CONFLATED, LOSSLESS, source
from tests.support.fakebroker import FakeBroker, fake_broker
from tickfan.broker.amqp.survey import survey
from tickfan.broker.base import Verdict

if TYPE_CHECKING:
    from tickfan.broker.base import Finding

FEEDS = [source(LOSSLESS, "l"), source(CONFLATED, "c")]


async def found(*ports: int) -> list[Finding]:
    """What is found at these ports of this machine."""
    urls = [f"amqp://guest:hunter2@127.0.0.1:{port}/" for port in ports]
    return [finding async for finding in survey(FEEDS, amqp.options(*urls))]


async def test_nobody_there() -> None:
    """Each host has its line, and that is all that can be said."""
    ports = free_port(), free_port()
    findings = await found(*ports)
    assert [finding.verdict for finding in findings] == [Verdict.WRONG] * 2
    for finding, port in zip(findings, ports, strict=True):
        assert finding.text.startswith(f"not connected: connection refused (127.0.0.1:{port}: ")
        assert "hunter2" not in finding.text


async def test_another_broker_is_not_asked_for_what_it_might_make() -> None:
    """Only of RabbitMQ it is known that it refuses the declarations that must not succeed."""
    async with fake_broker() as broker:
        findings = await found(broker.port)
    assert [finding.verdict for finding in findings] == [Verdict.OK, Verdict.UNSEEN]
    assert "is not RabbitMQ" in findings[1].text
    assert not [name for name in broker.asked if name.startswith(("Exchange", "Queue", "Basic"))]


async def test_a_connection_that_is_lost_meanwhile() -> None:
    """What was found stays, and it is said that it is not all."""
    cutting = FakeBroker("RabbitMQ", cut_at=commands.Exchange.Declare)
    async with fake_broker(cutting) as broker:
        findings = await found(broker.port)
    assert [finding.verdict for finding in findings] == [Verdict.OK, Verdict.WRONG]
    assert findings[1].text.startswith("the connection was lost: ")
    assert findings[1].text.endswith("The rest was not looked at")
