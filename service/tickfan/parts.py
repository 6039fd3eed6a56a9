"""What a service is built of, made from the settings where that takes more than a call.

The commands use these makers, too: they publish and look without a service. Must not know
how the parts are joined.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tickfan.access.gate import Gate
from tickfan.access.identity import Identity
from tickfan.access.jwks import Issued, KeySet, KeySets
from tickfan.access.keys import Keys
from tickfan.access.revocations import Revocations
from tickfan.access.sealed import Seals
from tickfan.access.tokens import TokenRules, Tokens
from tickfan.broker.amqp import AmqpBroker, AmqpOptions
from tickfan.broker.memory import MemoryBroker
from tickfan.core.scope import ALL, NONE, Scope
from tickfan.fanout.replay import Pace
from tickfan.fanout.slices import Slices
from tickfan.session.connections import Connections
from tickfan.session.subscribe import Subscriptions
from tickfan.transports.addresses import Addresses, Shares
from tickfan.transports.admission import Admission
from tickfan.transports.door import Limiter
from tickfan.transports.refused import Refused

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from tickfan.access.keys import Key
    from tickfan.broker.base import Broker, Sink
    from tickfan.clock import Clock
    from tickfan.config import Settings
    from tickfan.config.access import KeySettings
    from tickfan.core.tally import Tally
    from tickfan.transports.remotes import Remotes


def build_broker(settings: Settings, sink: Sink | None) -> Broker:
    """The broker that the settings name; without a sink it can only publish."""
    sources = settings.feed_sources()
    if settings.broker.is_memory:
        return MemoryBroker(sources, sink)
    return AmqpBroker(sources, sink, amqp_options(settings))


def build_revocation_broker(settings: Settings, sink: Sink) -> Broker:
    """The broker that carries revocations: beside the other, so that neither stops the other."""
    sources = (settings.revocation_source(),)
    if settings.broker.is_memory:
        return MemoryBroker(sources, sink)
    return AmqpBroker(sources, sink, amqp_options(settings))


def amqp_options(settings: Settings) -> AmqpOptions:
    """How to reach the RabbitMQ that the settings name."""
    broker = settings.broker
    return AmqpOptions(
        urls=broker.urls,
        declare=broker.declare,
        tls_ca_file=broker.tls_ca_file or None,
        tls_cert_file=broker.tls_cert_file or None,
        tls_key_file=broker.tls_key_file or None,
        tls_verify=broker.tls_verify,
        heartbeat_s=broker.heartbeat_s,
        backoff_first_s=broker.backoff_first_s,
        backoff_max_s=broker.backoff_max_s,
        probe_interval_s=broker.probe_interval_s,
        probe_timeout_s=broker.probe_timeout_s,
        publish_timeout_s=broker.publish_timeout_s,
    )


def build_revocations(settings: Settings, clock: Clock) -> Revocations | None:
    """What is known of revoked tokens; None: without keys there are no tokens."""
    access = settings.access
    if not settings.keys:
        return None
    return Revocations(access.token_age_max_s + access.leeway_s, lambda: clock.wall_ms() / 1000)


def build_gate(settings: Settings, clock: Clock, revocations: Revocations | None = None) -> Gate:
    """Who may come in, as the settings say."""
    access, publish_token = settings.access, settings.publish.token.get_secret_value()
    # Nobody else sees what is published to the broker inside the process.
    is_open = settings.broker.is_memory and not publish_token and not settings.keys
    anonymous = Identity(Scope(settings.anonymous_reads), ALL if is_open else NONE)
    if not settings.keys:
        return Gate(anonymous, None, publish_token)

    def wall() -> float:
        return clock.wall_ms() / 1000

    rules = TokenRules(
        access.audience, access.token_bytes_max, access.leeway_s, access.token_age_max_s
    )
    kept = [key.loaded() for key in settings.keys if not key.jwks_url]
    tokens = Tokens(Keys(kept), rules, wall)
    seals = Seals(access.secrets, wall) if access.secrets else None
    sets = _key_sets(settings.keys)
    if not sets:
        return Gate(anonymous, tokens, publish_token, revocations=revocations, seals=seals)

    def on_change(fetched: tuple[Key, ...]) -> None:
        tokens.keys = Keys([*kept, *fetched])

    key_sets = KeySets(
        sets,
        on_change,
        clock.time,
        refresh_s=access.jwks_refresh_s,
        timeout_s=access.jwks_timeout_s,
    )
    return Gate(anonymous, tokens, publish_token, key_sets, revocations, seals)


def _key_sets(keys: Iterable[KeySettings]) -> list[KeySet]:
    """A set for each address, whoever's keys are there."""
    issued: dict[str, list[Issued]] = {}
    for key in keys:
        if key.jwks_url:
            issued.setdefault(key.jwks_url, []).append(Issued(key.issuer, key.algorithm))
    return [KeySet(url, tuple(dict.fromkeys(each))) for url, each in issued.items()]


def build_limiter(settings: Settings, remotes: Remotes, tally: Tally, clock: Clock) -> Limiter:
    """What an address, and all of them, may open and ask, as the settings say."""
    http = settings.http
    shares = Shares(
        settings.sockets_max,
        http.sockets_per_address_max,
        settings.stream.connections_per_address_max,
        http.requests_per_address_per_s_max,
        http.handshakes_per_s_max,
        http.cost_ms_per_address_per_s_max,
        settings.publish.updates_per_address_per_s_max,
    )
    addresses = Addresses(shares, remotes.trusts, clock.time)
    return Limiter(addresses, Refused(clock.time), tally)


@dataclass(frozen=True, slots=True)
class Parts:
    """What a service makes its parts of; whoever makes a service may hand in other kinds."""

    slices: type[Slices] = Slices
    pace: type[Pace] = Pace
    connections: type[Connections] = Connections
    subscriptions: type[Subscriptions] = Subscriptions
    admission: type[Admission] = Admission
    broker: Callable[[Settings, Sink], Broker] = build_broker
    revocation_broker: Callable[[Settings, Sink], Broker] = build_revocation_broker


PARTS = Parts()
"""Those of the service itself."""
