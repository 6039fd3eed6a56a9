"""The Python client of Tickfan: live prices as an async iterator.

    async with tickfan_client.connect("http://localhost:8080") as client:
        await client.subscribe(["quotes.#"], interval_ms=500)
        async for update in client:
            print(update.channel, update.data)

Holds nothing of the service: the two share a protocol, not code.
"""

from tickfan_client.client import Client, connect
from tickfan_client.errors import (
    Closed,
    ProtocolError,
    Refused,
    TickfanClientError,
    Unreachable,
)
from tickfan_client.events import Event, Update

__all__ = [
    "Client",
    "Closed",
    "Event",
    "ProtocolError",
    "Refused",
    "TickfanClientError",
    "Unreachable",
    "Update",
    "connect",
]
