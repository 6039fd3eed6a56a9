"""What a service is built of follows from the settings."""

from __future__ import annotations

import json
from dataclasses import fields
from typing import TYPE_CHECKING

import pytest

from tests.support.access import GUARDED, token
from tickfan.broker.amqp import AmqpBroker, AmqpOptions
from tickfan.broker.memory import MemoryBroker
from tickfan.clock import Clock
from tickfan.config import load
from tickfan.core.errors import Refusal
from tickfan.parts import build_broker, build_gate

if TYPE_CHECKING:
    from pathlib import Path

    from tickfan.access.gate import Gate

MEMORY = {"TICKFAN_BROKER__URL": "memory://"}


def test_the_url_chooses_the_broker() -> None:
    """memory:// is a broker too."""
    assert isinstance(build_broker(load(None, MEMORY), None), MemoryBroker)
    amqp = load(None, {"TICKFAN_BROKER__URL": "amqp://127.0.0.1:1"})
    assert isinstance(build_broker(amqp, None), AmqpBroker)


@pytest.mark.parametrize(("no", "yes"), [("declare", "tls_verify"), ("tls_verify", "declare")])
def test_each_setting_of_the_broker_arrives(tmp_path: Path, no: str, yes: str) -> None:
    """Each with a value of its own: two that were swapped on their way would differ."""
    values = {
        no.upper(): "false", "HEARTBEAT_S": "11", "BACKOFF_FIRST_S": "0.5",
        "BACKOFF_MAX_S": "12", "PROBE_INTERVAL_S": "13", "PROBE_TIMEOUT_S": "14",
        "PUBLISH_TIMEOUT_S": "15", "URL": "amqps://a:b@h1,h2/v",
    }  # fmt: skip
    for name in ("tls_ca_file", "tls_cert_file", "tls_key_file"):
        (tmp_path / name).touch()
        values[name.upper()] = str(tmp_path / name)
    settings = load(None, {f"TICKFAN_BROKER__{name}": value for name, value in values.items()})
    broker = build_broker(settings, None)
    assert isinstance(broker, AmqpBroker)
    arrived = {field.name: getattr(broker.options, field.name) for field in fields(AmqpOptions)}
    for name in ("connect_timeout_s", "quiet_s", "connection_name", "hole_max"):
        del arrived[name]  # what no setting names
    assert arrived.pop("urls") == ("amqps://a:b@h1/v", "amqps://a:b@h2/v")
    assert arrived == {name: getattr(settings.broker, name) for name in arrived}
    defaults = load(None, {}).broker
    assert [name for name in arrived if arrived[name] == getattr(defaults, name)] == [yes]


def gate(**settings: str) -> Gate:
    environ = {f"TICKFAN_{name}": text for name, text in settings.items()}
    return build_gate(load(None, MEMORY | environ), Clock(lambda: 0.0))


def test_the_gate_demands_what_the_settings_say() -> None:
    """Audience, size and age of a token; what is read without one."""
    anybody = gate()
    assert not anybody.is_guarded
    assert anybody.anonymous.reads.is_all
    assert anybody.anonymous.writes.is_all
    guarded = gate(**GUARDED, ACCESS__ANONYMOUS=json.dumps(["a.#"]))
    assert [*guarded.anonymous.reads] == ["a.#"]
    assert not guarded.anonymous.writes.patterns
    assert guarded.identify(token()).subject == "alice"
    for settings in (
        {"ACCESS__AUDIENCE": "other"}, {"ACCESS__TOKEN_BYTES_MAX": "256"},
    ):  # fmt: skip
        with pytest.raises(Refusal):
            gate(**GUARDED, **settings).identify(token(x="y" * 100))
    young = gate(**GUARDED, ACCESS__TOKEN_AGE_MAX_S="60").identify(token())
    assert young.expires_at == young.issued_at + 60


def test_without_a_token_one_publishes_to_the_broker_inside_alone() -> None:
    """And only if no token could be asked for."""
    amqp = {"BROKER__URL": "amqp://127.0.0.1:1"}
    for settings in (amqp, {"PUBLISH__TOKEN": "correct-horse-battery-staple"}, GUARDED):
        assert not gate(**settings).anonymous.writes.patterns


def test_tickets_need_a_key_and_a_secret() -> None:
    """All that is made with one of the secrets is opened, by each replica that has it."""
    old, new = "o" * 32, "n" * 32
    sealing = gate(**GUARDED, ACCESS__SECRET=old)
    alice = sealing.identify(token())
    ticket, _ = sealing.make_ticket(alice, "")
    for secrets, is_opened in ((old, True), (f"{new} {old}", True), (new, False)):
        replica = gate(**GUARDED, ACCESS__SECRET=secrets)
        assert replica.takes_cookies
        if is_opened:
            assert replica.open_ticket(ticket).identity == alice
        else:
            with pytest.raises(Refusal):
                replica.open_ticket(ticket)
    for settings in (GUARDED, {"ACCESS__SECRET": old}):
        assert not gate(**settings).takes_cookies
