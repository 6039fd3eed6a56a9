"""tickfan.session.account: what the log says of a connection."""

from __future__ import annotations

from tests.support.fanout import Fanout, skips_time
from tickfan.session.account import PATTERNS_TOLD, account


@skips_time
async def test_the_first_patterns_are_told_and_the_number_of_all() -> None:
    """However many there are, the line stays short."""
    client = Fanout().client("json")
    assert account(client.connection) == {
        "connection": "epoch-1", "remote": "", "channels": 0, "patterns": [],
    }  # fmt: skip
    patterns = [f"quotes.{number}.#" for number in range(50)]
    client.subscribe(*patterns)
    client.unsubscribe("quotes.0.#")
    told = account(client.connection)
    assert (told["channels"], told["patterns"]) == (49, patterns[1 : PATTERNS_TOLD + 1])
