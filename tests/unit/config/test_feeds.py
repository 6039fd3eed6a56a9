"""tickfan.config.feeds"""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from tickfan.config.feeds import DEFAULT_FEEDS, ConflatedFeed, Feeds, LosslessFeed
from tickfan.core.spec import Delivery

FEEDS: TypeAdapter[tuple[ConflatedFeed | LosslessFeed, ...]] = TypeAdapter(Feeds)


def feed(name: str, *bind: str, delivery: str = "lossless", **more: object) -> dict[str, Any]:
    return {"name": name, "bind": bind, "delivery": delivery, **more}


def context(*feeds: dict[str, Any]) -> dict[str, Any]:
    with pytest.raises(ValidationError) as caught:
        FEEDS.validate_python(feeds)
    return dict(caught.value.errors()[0]["ctx"])


def test_the_four_feeds_that_ship_fit_together() -> None:
    """The defaults pass their own examination."""
    assert FEEDS.validate_python([each.model_dump() for each in DEFAULT_FEEDS]) == DEFAULT_FEEDS


def test_a_conflated_feed_becomes_spec_and_source() -> None:
    """What is empty is filled in from the broker's section."""
    [made] = FEEDS.validate_python(
        [feed("fx", "fx.#", delivery="conflated", interval_ms=250, length_max=7, prefetch=5)]
    )
    source = made.source("prices", "tickfan.")
    assert source.spec == made.spec()
    assert source.spec.delivery is Delivery.CONFLATED
    assert (source.spec.interval_ms, source.spec.bind) == (250, ("fx.#",))
    assert (source.exchange, source.length_max, source.prefetch) == ("prices", 7, 5)
    assert source.queue == ""


def test_a_lossless_feed_becomes_spec_and_source() -> None:
    """Every setting arrives where it is used."""
    [made] = FEEDS.validate_python(
        [
            feed(
                "trades", "t.#", exchange="own", flush_ms=1, queue_updates_max=2,
                queue_bytes_max=2**17, history_bytes_max=2**21, channels_max=3, warm="",
                retention_age="2h", retention_bytes=2**30, segment_bytes=2**25,
            )
        ]
    )  # fmt: skip
    source = made.source("prices", "pre.")
    spec = source.spec
    assert (spec.flush_ms, spec.queue_updates_max, spec.queue_bytes_max) == (1, 2, 2**17)
    assert (spec.history_bytes_max, spec.channels_max) == (2**21, 3)
    assert (source.exchange, source.queue, source.warm) == ("own", "pre.trades", None)
    assert (source.retention_age, source.retention_bytes) == ("2h", 2**30)
    assert source.segment_bytes == 2**25


def test_a_feed_may_name_its_stream() -> None:
    """For a stream that is there already."""
    [made] = FEEDS.validate_python([feed("trades", "t.#", queue="theirs")])
    assert made.source("prices", "pre.").queue == "theirs"


def test_every_overlap_and_double_name_is_told() -> None:
    """Not just the first."""
    found = context(feed("a", "x.#"), feed("b", "x.y"), feed("b", "*.y"))
    sentences = [sentence for _, sentence in found["problems"]]
    assert sentences[0] == "2 feeds are named 'b': each needs a name of its own"
    assert [sentence[:16] for sentence in sentences[1:]] == ["feed 'b' binds '"] * 3


def test_a_cursor_holds_sixteen_lossless_feeds() -> None:
    """One more is refused."""
    many = [feed(f"f{number}", f"f{number}.#") for number in range(17)]
    assert context(*many)["problems"] == [("", "17 feeds are lossless, allowed: at most 16")]
    assert len(FEEDS.validate_python(many[:16])) == 16


@pytest.mark.parametrize("bind", [[], ["a", "a"]])
def test_bindings_are_some_and_different(bind: list[str]) -> None:
    """A feed without channels is a mistake."""
    assert context(feed("a", *bind)) == {"allowed": "1 to 64 different patterns"}


def test_there_is_at_least_one_feed() -> None:
    """A service without feeds serves nobody."""
    assert context() == {"allowed": "1 to 64 feeds"}


def test_a_conflated_feed_has_a_stream_only_with_warm() -> None:
    """Named after the feed, with bounds of its own; without ``warm`` there is none."""
    rest = {"delivery": "conflated", "queue": "mine", "retention_age": "2h"}
    [cold, own] = FEEDS.validate_python(
        [feed("a", "a.#", **rest), feed("b", "b.#", warm="5m", **rest)]
    )
    [shipped] = FEEDS.validate_python([feed("c", "c.#", delivery="conflated", warm="1h")])
    assert (cold.source("x", "pre.").queue, cold.source("x", "pre.").warm) == ("", None)
    assert (own.source("x", "pre.").queue, own.source("x", "pre.").warm) == ("mine", "5m")
    source = shipped.source("x", "pre.")
    assert (source.queue, source.retention_age) == ("pre.c.warm", "1h")
    assert (source.retention_bytes, source.segment_bytes) == (2**28, 2**24)
    assert own.source("x", "pre.").retention_age == "2h"


@pytest.mark.parametrize("delivery", ["lossless", "conflated"])
def test_segments_must_not_exceed_the_retention(delivery: str) -> None:
    """RabbitMQ drops whole segments, of either policy's stream."""
    found = context(feed("a", "a", delivery=delivery, retention_bytes=2**20))
    assert found["problems"][0][0] == "segment_bytes"
