"""The feeds of the settings: two tables, one for each delivery policy.

There are two classes on purpose: so a setting of the other policy is an unknown name, which
the loader explains. Must not know how feeds are served.
"""

from __future__ import annotations

from collections import Counter
from itertools import combinations
from typing import Annotated, Literal

from pydantic import AfterValidator, Discriminator, model_validator

from tickfan.broker.base import FeedSource
from tickfan.config.kinds import (
    Age,
    AgeOrEmpty,
    BindPattern,
    FeedName,
    NameOrEmpty,
    SchemaFile,
    problems,
    refuse,
    whole,
)
from tickfan.config.section import Section
from tickfan.config.sections import Interval
from tickfan.core.cursor import LOSSLESS_FEEDS_MAX
from tickfan.core.spec import Delivery, FeedOverlap, FeedSpec, check_overlaps

FEEDS_MAX = 64
BINDINGS_MAX = 64


def _bind(patterns: tuple[str, ...]) -> tuple[str, ...]:
    if not 1 <= len(patterns) <= BINDINGS_MAX or len(set(patterns)) < len(patterns):
        refuse(f"1 to {BINDINGS_MAX} different patterns")
    return patterns


RetentionBytes = Annotated[int, whole(2**20, 2**50, "bytes")]
# RabbitMQ (osiris) takes segments of at most 3 GB.
SegmentBytes = Annotated[int, whole(2**20, 3_000_000_000, "bytes")]


def _check_retention(segment_bytes: int, retention_bytes: int) -> None:
    if segment_bytes > retention_bytes:
        why = (
            f"is {segment_bytes}, above retention_bytes ({retention_bytes}): "
            "RabbitMQ drops whole segments, so nothing would be dropped in time"
        )
        problems([("segment_bytes", why)])


class _Feed(Section):
    """What both policies have."""

    name: FeedName
    bind: Annotated[tuple[BindPattern, ...], AfterValidator(_bind)]
    exchange: NameOrEmpty = ""
    channels_max: Annotated[int, whole(1, 10_000_000, "channels")] = 100_000
    prefetch: Annotated[int, whole(1, 65_535, "messages")] = 1000
    schema_file: SchemaFile = ""


class ConflatedFeed(_Feed):
    """A feed of latest values."""

    delivery: Literal[Delivery.CONFLATED]
    interval_ms: Interval = 100
    length_max: Annotated[int, whole(1, 100_000_000, "messages")] = 100_000
    # The stream beside it, made and read only with ``warm``.
    warm: AgeOrEmpty = ""
    queue: NameOrEmpty = ""
    retention_age: Age = "1h"
    retention_bytes: RetentionBytes = 256 * 2**20
    segment_bytes: SegmentBytes = 16 * 2**20

    def spec(self) -> FeedSpec:
        """The feed as the hub knows it."""
        return FeedSpec(
            name=self.name,
            bind=self.bind,
            delivery=self.delivery,
            interval_ms=self.interval_ms,
            channels_max=self.channels_max,
            is_warm=bool(self.warm),
        )

    def source(self, exchange: str, queue_prefix: str) -> FeedSource:
        """The feed as a broker knows it; the arguments fill in for what it leaves empty."""
        return FeedSource(
            spec=self.spec(),
            exchange=self.exchange or exchange,
            queue=(self.queue or f"{queue_prefix}{self.name}.warm") if self.warm else "",
            warm=self.warm or None,
            retention_age=self.retention_age,
            retention_bytes=self.retention_bytes,
            segment_bytes=self.segment_bytes,
            prefetch=self.prefetch,
            length_max=self.length_max,
        )

    @model_validator(mode="after")
    def _retention_works(self) -> ConflatedFeed:
        _check_retention(self.segment_bytes, self.retention_bytes)
        return self


class LosslessFeed(_Feed):
    """A feed of every update in order."""

    delivery: Literal[Delivery.LOSSLESS]
    flush_ms: Annotated[int, whole(0, 1000, "milliseconds; 0 flushes each update")] = 10
    queue_updates_max: Annotated[int, whole(1, 10_000_000, "updates")] = 10_000
    queue_bytes_max: Annotated[int, whole(2**16, 2**30, "bytes")] = 4 * 2**20
    history_bytes_max: Annotated[int, whole(2**20, 2**36, "bytes")] = 64 * 2**20
    state_bytes_max: Annotated[int, whole(2**20, 2**36, "bytes")] = 64 * 2**20
    queue: NameOrEmpty = ""
    warm: AgeOrEmpty = "1m"
    retention_age: Age = "1h"
    retention_bytes: RetentionBytes = 2 * 2**30
    segment_bytes: SegmentBytes = 64 * 2**20

    def spec(self) -> FeedSpec:
        """The feed as the hub knows it."""
        return FeedSpec(
            name=self.name,
            bind=self.bind,
            delivery=self.delivery,
            flush_ms=self.flush_ms,
            queue_updates_max=self.queue_updates_max,
            queue_bytes_max=self.queue_bytes_max,
            history_bytes_max=self.history_bytes_max,
            state_bytes_max=self.state_bytes_max,
            channels_max=self.channels_max,
        )

    def source(self, exchange: str, queue_prefix: str) -> FeedSource:
        """The feed as a broker knows it; the arguments fill in for what it leaves empty."""
        return FeedSource(
            spec=self.spec(),
            exchange=self.exchange or exchange,
            queue=self.queue or queue_prefix + self.name,
            warm=self.warm or None,
            retention_age=self.retention_age,
            retention_bytes=self.retention_bytes,
            segment_bytes=self.segment_bytes,
            prefetch=self.prefetch,
            length_max=0,
        )

    @model_validator(mode="after")
    def _retention_works(self) -> LosslessFeed:
        _check_retention(self.segment_bytes, self.retention_bytes)
        return self


FeedSettings = Annotated[ConflatedFeed | LosslessFeed, Discriminator("delivery")]


def _fit_together(feeds: tuple[FeedSettings, ...]) -> tuple[FeedSettings, ...]:
    if not 1 <= len(feeds) <= FEEDS_MAX:
        refuse(f"1 to {FEEDS_MAX} feeds")
    found: list[tuple[str, str]] = []
    for name, count in Counter(feed.name for feed in feeds).items():
        if count > 1:
            found.append(("", f"{count} feeds are named {name!r}: each needs a name of its own"))
    lossless = sum(feed.delivery is Delivery.LOSSLESS for feed in feeds)
    if lossless > LOSSLESS_FEEDS_MAX:
        found.append(("", f"{lossless} feeds are lossless, allowed: at most {LOSSLESS_FEEDS_MAX}"))
    for pair in combinations([feed.spec() for feed in feeds], 2):
        try:
            check_overlaps(pair)
        except FeedOverlap as overlap:
            found.append(("", str(overlap)))
    if found:
        problems(found)
    return feeds


Feeds = Annotated[tuple[FeedSettings, ...], AfterValidator(_fit_together)]

DEFAULT_FEEDS: tuple[ConflatedFeed | LosslessFeed, ...] = (
    ConflatedFeed(name="quotes", bind=("quotes.#",), delivery=Delivery.CONFLATED),
    LosslessFeed(name="trades", bind=("trades.#",), delivery=Delivery.LOSSLESS),
    LosslessFeed(name="book", bind=("book.#",), delivery=Delivery.LOSSLESS),
    LosslessFeed(name="tokens", bind=("tokens.#",), delivery=Delivery.LOSSLESS),
)
