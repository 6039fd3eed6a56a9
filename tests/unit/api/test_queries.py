"""tickfan.api.queries: what is asked of the endpoints, and found by name."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from aiohttp.test_utils import make_mocked_request

from tests.support.access import ANYBODY
from tests.support.fanout import Fanout, skips_time
from tickfan.api.queries import feed_of, find_channel, limit_of
from tickfan.core.errors import Refusal
from tickfan.core.scope import ALL

if TYPE_CHECKING:
    from collections.abc import Callable


def refusal(call: Callable[[], object]) -> tuple[str, str | None]:
    """The code and the item of what a call refuses."""
    with pytest.raises(Refusal) as caught:
        call()
    return caught.value.code, caught.value.item


@pytest.mark.parametrize("text", ["0", "11", "-1", "1e1", "", "1" * 30, "\u0661"])
def test_a_number_has_bounds(text: str) -> None:
    """Digits of ASCII, from 1 to the most; none is the default."""

    def limit(query: str) -> int:
        return limit_of(make_mocked_request("GET", f"/?{query}"), 7, 10)

    assert (limit(""), limit("limit=10")) == (7, 10)
    assert refusal(lambda: limit(f"limit={text}")) == ("bad_field", "limit")


@skips_time
async def test_what_is_not_there_is_told_apart() -> None:
    """No name, no feed, no value; and what is there is found."""
    feeds = (fanout := Fanout()).feeds
    fanout.publish("quotes.a", {"bid": 1})
    assert find_channel(feeds, "quotes.a", ANYBODY).name == "quotes.a"
    assert feed_of(feeds, "trades.x", ALL).name == "trades"
    assert refusal(lambda: find_channel(feeds, "a..b", ANYBODY)) == ("bad_channel", "a..b")
    assert refusal(lambda: find_channel(feeds, "x.a", ANYBODY)) == ("no_feed", "x.a")
    assert refusal(lambda: find_channel(feeds, "quotes.b", ANYBODY)) == ("no_value", "quotes.b")
