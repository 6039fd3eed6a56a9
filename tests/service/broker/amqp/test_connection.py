"""A connection to a host that says nothing."""

from __future__ import annotations

import asyncio
import socket

import pytest

from loadtest.rig.waiting import DEADLINE_S
from tests.support import amqp
from tickfan.broker.amqp.connection import (
    Hosts,
    LinkLost,
)


async def test_a_silent_host_is_given_up() -> None:
    """A host that takes the connection and says nothing is left after the time-out."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        options = amqp.options(f"amqp://u:secret@127.0.0.1:{port}/", connect_timeout_s=0.1)
        with pytest.raises(LinkLost, match=str(port)) as lost:
            await asyncio.wait_for(Hosts(options, "test").dial(), DEADLINE_S)
    assert "secret" not in str(lost.value)
