"""The sections of the settings. The reasons for each default stand in config/tickfan.toml.

Names end with their unit. Must not know where values come from.
"""

from __future__ import annotations

from ipaddress import ip_address
from itertools import pairwise
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, SecretStr, model_validator

from tickfan.config import brokerurl
from tickfan.config.kinds import (
    BrokerUrl,
    Declare,
    Flag,
    Host,
    Name,
    Network,
    Origin,
    Port,
    Prefix,
    ReadableFile,
    Token,
    problems,
    real,
    refuse,
    text,
    whole,
)
from tickfan.config.section import Section

INTERVAL_MS_MIN = 10
INTERVAL_MS_MAX = 60_000
INTERVALS_MAX = 16
"""Each interval of the ladder has a timer, and each connection an audience for each it uses."""

NETWORKS_MAX = 64
"""Each is looked at for each address that is not remembered."""

ORIGINS_MAX = 64
"""A list that grows beyond it is that of a proxy, which can check it by a rule."""

_KEY_ALONE = "a key needs its certificate"

Interval = Annotated[int, whole(INTERVAL_MS_MIN, INTERVAL_MS_MAX, "milliseconds")]


def _ladder(steps: tuple[int, ...]) -> tuple[int, ...]:
    if not 1 <= len(steps) <= INTERVALS_MAX or any(a >= b for a, b in pairwise(steps)):
        refuse(f"1 to {INTERVALS_MAX} rising integers (milliseconds)")
    return steps


_PATH_ALLOWED = 'a path that begins with /, or "" for stderr'


def _few(most: int, what: str) -> AfterValidator:
    def check(values: tuple[str, ...]) -> tuple[str, ...]:
        if len(values) > most:
            refuse(f"at most {most} {what}")
        return values

    return AfterValidator(check)


class HttpSettings(Section):
    """The two listeners, and what a request may cost."""

    host: Host = "127.0.0.1"
    port: Port = 8080
    admin_host: Host = "127.0.0.1"
    admin_port: Port = 8081
    admin_token: Token = SecretStr("")
    reuse_port: Flag = False
    trusted_proxies: Annotated[tuple[Network, ...], _few(NETWORKS_MAX, "networks")] = ()
    allowed_origins: Annotated[tuple[Origin, ...], _few(ORIGINS_MAX, "origins")] = ()
    tls_cert_file: ReadableFile = ""
    tls_key_file: ReadableFile = ""
    header_timeout_s: Annotated[float, real(1, 300, "seconds")] = 15
    keepalive_timeout_s: Annotated[float, real(1, 3600, "seconds")] = 75
    body_bytes_max: Annotated[int, whole(1024, 2**26, "bytes")] = 262_144
    message_bytes_max: Annotated[int, whole(1024, 2**22, "bytes")] = 16_384
    backlog: Annotated[int, whole(1, 65_535, "connections")] = 1024
    answer_timeout_s: Annotated[float, real(1, 3600, "seconds")] = 30
    answers_bytes_max: Annotated[int, whole(2**20, 2**34, "bytes")] = 67_108_864
    sockets_max: Annotated[int, whole(0, 1_100_000, "sockets")] = 0
    sockets_per_address_max: Annotated[int, whole(0, 1_000_000, "sockets")] = 2000
    handshakes_per_s_max: Annotated[int, whole(0, 100_000, "streams a second")] = 1000
    requests_per_address_per_s_max: Annotated[int, whole(0, 100_000, "requests a second")] = 500
    cost_ms_per_address_per_s_max: Annotated[int, whole(0, 1000, "milliseconds a second")] = 500

    @property
    def is_admin_local(self) -> bool:
        """Whether only this machine reaches the admin port."""
        try:
            return ip_address(self.admin_host).is_loopback
        except ValueError:
            return self.admin_host == "localhost"

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.port and (self.host, self.port) == (self.admin_host, self.admin_port):
            problems([("admin_port", f"is {self.port}, as http.port: two listeners, two ports")])
        if self.tls_key_file and not self.tls_cert_file:
            problems([("tls_key_file", f"is set without tls_cert_file: {_KEY_ALONE}")])
        return self


class StreamSettings(Section):
    """What one connection gets, and what it may ask for."""

    heartbeat_s: Annotated[float, real(1, 300, "seconds")] = 15
    ping_s: Annotated[float, real(1, 300, "seconds")] = 30
    pong_timeout_s: Annotated[float, real(0.1, 60, "seconds")] = 10
    retry_ms: Annotated[int, whole(100, 600_000, "milliseconds")] = 2000
    stall_timeout_s: Annotated[float, real(1, 3600, "seconds")] = 60
    closing_timeout_s: Annotated[float, real(0.1, 30, "seconds")] = 2
    notsent_lowat_bytes: Annotated[int, whole(1024, 2**22, "bytes")] = 16_384
    connections_max: Annotated[int, whole(1, 1_000_000, "connections")] = 20_000
    connections_per_address_max: Annotated[int, whole(0, 1_000_000, "connections")] = 1000
    updates_bytes_max: Annotated[int, whole(4096, 2**18, "bytes")] = 32_768
    channels_per_connection_max: Annotated[int, whole(1, 100_000, "channels and patterns")] = 500
    wildcards_per_connection_max: Annotated[int, whole(1, 100_000, "patterns")] = 100
    commands_per_s_max: Annotated[int, whole(0, 100_000, "frames a second")] = 100
    cost_ms_per_s_max: Annotated[int, whole(0, 1000, "milliseconds a second")] = 200
    throttled_timeout_s: Annotated[float, real(1, 3600, "seconds")] = 30
    first_command_timeout_s: Annotated[float, real(1, 3600, "seconds")] = 60
    bytes_per_connection_max: Annotated[int, whole(0, 2**50, "bytes")] = 0
    max_connection_age_s: Annotated[float, real(0, 604_800, "seconds")] = 0
    replays_max: Annotated[int, whole(1, 100_000, "replays")] = 100
    replay_bytes_per_s: Annotated[int, whole(65_536, 2**34, "bytes")] = 67_108_864
    intervals_ms: Annotated[tuple[Interval, ...], AfterValidator(_ladder)] = (
        50, 100, 200, 250, 500, 1000, 2000, 5000, 10_000, 30_000, 60_000,
    )  # fmt: skip
    snapshot: Flag = True


class BrokerSettings(Section):
    """The broker, and how it is reached and watched."""

    url: BrokerUrl = SecretStr("")
    exchange: Name = "prices"
    declare: Declare = True
    queue_prefix: Prefix = "tickfan."
    heartbeat_s: Annotated[int, whole(5, 300, "seconds")] = 25
    backoff_first_s: Annotated[float, real(0.05, 60, "seconds")] = 0.25
    backoff_max_s: Annotated[float, real(0.05, 300, "seconds")] = 3
    probe_interval_s: Annotated[float, real(0.1, 60, "seconds")] = 1
    probe_timeout_s: Annotated[float, real(0.1, 60, "seconds")] = 3
    publish_timeout_s: Annotated[float, real(0.1, 60, "seconds")] = 5
    message_bytes_max: Annotated[int, whole(1024, 2**27, "bytes")] = 1_048_576
    tls_ca_file: ReadableFile = ""
    tls_cert_file: ReadableFile = ""
    tls_key_file: ReadableFile = ""
    tls_verify: Flag = True

    @property
    def is_memory(self) -> bool:
        """Whether no RabbitMQ is named: what runs then is inside the process."""
        return self.url.get_secret_value() in ("", brokerurl.MEMORY)

    @property
    def urls(self) -> tuple[str, ...]:
        """One URL for each host, passwords in clear: to connect with, not to show."""
        return brokerurl.urls(self.url.get_secret_value())

    @model_validator(mode="after")
    def _fits(self) -> Self:
        found = []
        if self.backoff_max_s < self.backoff_first_s:
            why = f"is {self.backoff_max_s:g}, below backoff_first_s ({self.backoff_first_s:g})"
            found.append(("backoff_max_s", why))
        if self.tls_key_file and not self.tls_cert_file:
            found.append(("tls_key_file", f"is set without tls_cert_file: {_KEY_ALONE}"))
        url = self.url.get_secret_value()
        if url and not url.startswith("amqps://"):  # without any, that is what is told
            found += [
                (name, "is set, but broker.url is not amqps://")
                for name in ("tls_ca_file", "tls_cert_file", "tls_key_file")
                if getattr(self, name)
            ]
        if found:
            problems(found)
        return self


class PublishSettings(Section):
    """Publishing over HTTP."""

    token: Token = SecretStr("")
    updates_per_address_per_s_max: Annotated[int, whole(0, 100_000, "updates a second")] = 0


class MarketSettings(Section):
    """The simulated market: invented prices, which nobody gets without asking for them."""

    enabled: Flag = False
    seed: Annotated[int, whole(0, 2**63 - 1, "any")] | None = None
    rate: Annotated[float, real(0.1, 100_000, "updates a second")] = 200


class LogSettings(Section):
    """The log."""

    level: Literal["debug", "info", "warning", "error", "critical"] = "info"
    format: Literal["auto", "json", "console"] = "auto"
    audit_file: Annotated[str, text(_PATH_ALLOWED, r"(/[^\x00-\x1f\x7f]{1,4000})?")] = ""
    audit_anonymous: Literal["auto", "always", "never"] = "auto"


STOP_MARGIN_S = 1.0
"""Of ``stop.grace_s``, kept for the last steps: closing listeners and connections."""


class StopSettings(Section):
    """How the service goes."""

    grace_s: Annotated[float, real(1, 3600, "seconds")] = 25
    drain_s: Annotated[float, real(0, 3600, "seconds")] = 5
    drain_delay_s: Annotated[float, real(0, 3600, "seconds")] = 0

    @model_validator(mode="after")
    def _fits(self) -> Self:
        drain_s = self.drain_delay_s + self.drain_s
        if drain_s > self.grace_s - STOP_MARGIN_S:
            why = f"is {self.grace_s:g}: it must be a second above drain_delay_s + drain_s"
            why += f" ({drain_s:g})"
            problems([("grace_s", why)])
        return self
