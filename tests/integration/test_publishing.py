"""The same message over AMQP and over REST, on a real RabbitMQ: one rule, one fate."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import aiormq
from pamqp.commands import Basic

from loadtest.rig.waiting import until
from tests.support.bodies import SENT

if TYPE_CHECKING:
    from tests.support.bodies import Sent
    from tests.support.fixtures import MakeLive
    from tests.support.live import Live

TOKEN = "correct-horse-battery-staple"
LAST = "trades.last"


async def over_rest(live: Live, channel: str, sent: Sent) -> str | None:
    """Publish it; the code of the refusal, if it was refused."""
    given = {"type": sent.type, "ts": sent.ts}
    query = "&".join(f"{name}={quote(text)}" for name, text in given.items() if text is not None)
    headers = {"Authorization": f"Bearer {TOKEN}"}
    if sent.content_type is not None:
        headers["Content-Type"] = sent.content_type
    async with live.session.post(
        live.url(f"/v1/channels/{channel}?{query}"),
        data=sent.body, headers=headers, skip_auto_headers=["Content-Type"],
    ) as response:  # fmt: skip
        answer = await response.json()
    if response.status == 201:
        return None
    code: str = answer["error"]["code"]
    return "bad_content_type" if code == "unsupported_media_type" else code


async def over_amqp(
    channel: aiormq.abc.AbstractChannel, exchange: str, key: str, sent: Sent
) -> None:
    """Publish it, and wait for the confirm."""
    properties = Basic.Properties(
        content_type=sent.content_type,
        message_type=sent.type,
        headers=None if sent.ts is None else {"ts": sent.ts},
    )
    await channel.basic_publish(
        sent.body, exchange=exchange, routing_key=key, properties=properties
    )


async def test_one_rule_for_both_ways(make_live: MakeLive, amqp: dict[str, str]) -> None:
    """What one way takes the other takes, with the same data, type and time; or neither does."""
    live = await make_live(**amqp, PUBLISH__TOKEN=TOKEN)
    await until(lambda: not live.service.feeds.is_starting)
    connection = await aiormq.connect(amqp["BROKER__URL"])
    channel = await connection.channel()
    async with live.ndjson("channels=trades.%23") as reader:
        await reader.read_until("snapshot_end")
        refused = []
        for index, sent in enumerate(SENT):
            await over_amqp(channel, amqp["BROKER__EXCHANGE"], f"trades.amqp.{index}", sent)
            refused.append(await over_rest(live, f"trades.rest.{index}", sent))
        assert await over_rest(live, LAST, SENT[0]) is None
        found: dict[str, dict[str, Any]] = {}
        while LAST not in found:
            event = await reader.next()
            if event["event"] in ("gap", "update"):
                found[event["channel"]] = event
    await connection.close()
    for index, sent in enumerate(SENT):
        by_amqp = found[f"trades.amqp.{index}"]
        by_rest = found.get(f"trades.rest.{index}")
        assert by_amqp.get("reason") == refused[index] == sent.why, sent
        if sent.why is not None:
            assert by_rest is None, sent
            continue
        assert by_rest is not None
        for update in (by_amqp, by_rest):
            assert update["data"] == sent.data, sent
            assert update.get("type", "update") == (sent.type or "update"), sent
            assert sent.ts_ms in (None, update["ts"]), sent
