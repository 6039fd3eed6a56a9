"""All settings in one frozen value.

Must not know files or the environment (that is ``load``).
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Self

from pydantic import SecretStr, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from tickfan.broker.base import FIRST, FeedSource
from tickfan.config import brokerurl
from tickfan.config.access import AccessSettings, Keys
from tickfan.config.feeds import DEFAULT_FEEDS, Feeds
from tickfan.config.kinds import problems
from tickfan.config.sections import (
    BrokerSettings,
    HttpSettings,
    LogSettings,
    MarketSettings,
    PublishSettings,
    StopSettings,
    StreamSettings,
)
from tickfan.core.spec import Delivery, FeedSpec
from tickfan.wire import schema

if TYPE_CHECKING:
    from pydantic_settings import PydanticBaseSettingsSource

    from tickfan.wire.schema import Schema

SOCKETS_BESIDE_STREAMS = 4
"""So many sockets at least are not for streams that have come in."""

REVOCATIONS = "revocations"
"""What the list of revocations is called: the name of its reader, and its routing key."""

REVOCATIONS_BYTES = 64 * 2**20
REVOCATIONS_SEGMENT_BYTES = 4 * 2**20
REVOCATIONS_AGE = "2Y"
"""Longer than any token is good. It does not follow from access.token_age_max_s: a stream
keeps the arguments that it was made with, and who changed the setting would be locked out."""


class Settings(BaseSettings):
    """Everything that can be set. ``Settings()`` are the defaults.

    A call with a wrong value raises pydantic's ``ValidationError``, whose text hides the
    values. :func:`tickfan.config.load` raises :class:`ConfigError` instead.
    """

    model_config = SettingsConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    http: HttpSettings = HttpSettings()
    stream: StreamSettings = StreamSettings()
    broker: BrokerSettings = BrokerSettings()
    publish: PublishSettings = PublishSettings()
    access: AccessSettings = AccessSettings()
    market: MarketSettings = MarketSettings()
    log: LogSettings = LogSettings()
    stop: StopSettings = StopSettings()
    keys: Keys = ()
    feeds: Feeds = DEFAULT_FEEDS

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003 - the base's signature
        init_settings: PydanticBaseSettingsSource,
        *_others: PydanticBaseSettingsSource,
        **_more: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Only what is given: the process's environment is read by ``load`` alone."""
        return (init_settings,)

    @property
    def lacks_broker(self) -> bool:
        """Whether nothing says where prices come from: no broker, and no simulated market."""
        return not (self.broker.url.get_secret_value() or self.market.enabled)

    @property
    def anonymous_reads(self) -> tuple[str, ...]:
        """What a client without a token may read: all, until there is a key."""
        if self.access.anonymous is not None:
            return self.access.anonymous
        return () if self.keys else ("#",)

    @property
    def audits_anonymous(self) -> bool:
        """Whether the audit log names clients without a token, too: where there is a key."""
        wanted = self.log.audit_anonymous
        return wanted == "always" or (wanted == "auto" and bool(self.keys))

    @property
    def sockets_max(self) -> int:
        """``http.sockets_max``, or what it is by default: a tenth more than there may be streams.

        The others are for requests that are no streams, and for streams that are told that they
        cannot come in: a socket over its limit hears no ``closing``.
        """
        streams = self.stream.connections_max
        return self.http.sockets_max or streams + max(streams // 10, SOCKETS_BESIDE_STREAMS)

    def with_room(self, sockets: int) -> Settings:
        """The same settings, with room for so many sockets, and so for fewer streams."""
        streams = sockets - max(sockets // 11, SOCKETS_BESIDE_STREAMS)
        fewer = min(self.stream.connections_max, max(1, streams))
        return self.model_copy(
            update={
                "http": self.http.model_copy(update={"sockets_max": sockets}),
                "stream": self.stream.model_copy(update={"connections_max": fewer}),
            }
        )

    def feed_specs(self) -> tuple[FeedSpec, ...]:
        """The feeds as the hub knows them, in the file's order."""
        return tuple(feed.spec() for feed in self.feeds)

    def feed_schemas(self) -> dict[str, Schema]:
        """The schemas of the feeds that have one, read now.

        Raises :class:`SchemaError` if a file has changed since it was checked, and is none now.
        """
        found: dict[str, Schema] = {}
        for feed in self.feeds:
            if feed.schema_file:
                try:
                    found[feed.name] = schema.read(feed.schema_file)
                except schema.SchemaError as error:
                    where = f"feed {feed.name!r}: schema_file: {feed.schema_file}"
                    raise schema.SchemaError(f"{where}: {error}") from None
        return found

    def feed_sources(self) -> tuple[FeedSource, ...]:
        """The feeds as a broker knows them, in the file's order."""
        broker = self.broker
        return tuple(feed.source(broker.exchange, broker.queue_prefix) for feed in self.feeds)

    def revocation_source(self) -> FeedSource:
        """The list of revocations as a broker knows it: a stream that is no feed.

        Its exchange is its own: who publishes prices cannot revoke. Its queue has a name that
        no feed's can have.
        """
        prefix = self.broker.queue_prefix
        return FeedSource(
            spec=FeedSpec(REVOCATIONS, (REVOCATIONS,), Delivery.LOSSLESS),
            exchange=f"{prefix}access",
            queue=f"{prefix}access.{REVOCATIONS}",
            warm=FIRST,
            retention_age=REVOCATIONS_AGE,
            retention_bytes=REVOCATIONS_BYTES,
            segment_bytes=REVOCATIONS_SEGMENT_BYTES,
            prefetch=100,
            length_max=0,
        )

    def all_sources(self) -> tuple[FeedSource, ...]:
        """All that a service with these settings reads from its broker."""
        return (*self.feed_sources(), *((self.revocation_source(),) if self.keys else ()))

    def masked(self) -> dict[str, Any]:
        """Every setting as plain values, secrets masked: fit to be shown."""
        shown: dict[str, Any] = _plain(self.model_dump())
        return shown

    def to_toml(self) -> str:
        """Every setting as TOML, secrets masked; one without a value is a comment."""
        lines: list[str] = []
        for name, value in self.masked().items():
            many = isinstance(value, list)
            for table in value if many else [value]:
                lines += ["", f"[[{name}]]" if many else f"[{name}]"]
                lines += [
                    f"# {key} =" if item is None else f"{key} = {_toml(item)}"
                    for key, item in table.items()
                ]
        return "\n".join(lines[1:]) + "\n"

    @model_validator(mode="after")
    def _market_is_alone(self) -> Self:
        if self.market.enabled and not self.broker.is_memory:
            why = (
                "is true (--demo says so, too), and broker.url names a RabbitMQ: invented prices "
                "never stand beside real ones. Set it to false, or take broker.url away; "
                "`tickfan publish --simulated` sends the market to a RabbitMQ for tests"
            )
            problems([("market.enabled", why)])
        return self

    @model_validator(mode="after")
    def _sockets_fit(self) -> Self:
        sockets, streams = self.http.sockets_max, self.stream.connections_max
        if 0 < sockets < streams + SOCKETS_BESIDE_STREAMS:
            why = (
                f"is {sockets}: it must be {SOCKETS_BESIDE_STREAMS} or more above "
                f"stream.connections_max ({streams}), or a client over that could not be told so. "
                "0 is a tenth above it"
            )
            problems([("http.sockets_max", why)])
        return self

    @model_validator(mode="after")
    def _bodies_fit(self) -> Self:
        if self.http.body_bytes_max > self.broker.message_bytes_max:
            why = (
                f"is {self.http.body_bytes_max}, above broker.message_bytes_max "
                f"({self.broker.message_bytes_max}): what is published would be refused as poison"
            )
            problems([("http.body_bytes_max", why)])
        return self

    @model_validator(mode="after")
    def _intervals_fit(self) -> Self:
        longest = self.stream.intervals_ms[-1]
        why = f"above the longest of stream.intervals_ms ({longest}), to which it must round up"
        found = [
            (f"feed {feed.name!r}: interval_ms", f"is {feed.interval_ms}, {why}")
            for feed in self.feeds
            if feed.delivery is Delivery.CONFLATED and feed.interval_ms > longest
        ]
        if found:
            problems(found)
        return self


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, SecretStr):
        secret = value.get_secret_value()
        return brokerurl.masked(secret) if "://" in secret else "***" if secret else ""
    return value.value if isinstance(value, Delivery) else value


def _toml(value: Any) -> str:
    # JSON's strings, numbers, booleans and arrays are TOML's (TOML 1.0).
    return json.dumps(value, ensure_ascii=False)
