"""What serve says when it is up."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from pydantic import SecretStr

from tickfan.commands.banner import banner, base_url
from tickfan.config import BrokerSettings, ConflatedFeed, HttpSettings, Settings, load

if TYPE_CHECKING:
    from pathlib import Path


def test_the_curl_line_can_be_pasted() -> None:
    """On one line, # written as %23."""
    lines = banner(Settings()).splitlines()
    assert any(
        line.endswith("curl -N 'http://localhost:8080/v1/sse?channels=quotes.%23'")
        for line in lines
    )
    assert any("http://localhost:8081/readyz" in line for line in lines)
    assert any(line.split() == ["page", "http://localhost:8080/"] for line in lines)
    assert "\x1b" not in banner(Settings())
    assert "\x1b[" in banner(Settings(), colour=True)


def test_with_tls_the_lines_say_so(tmp_path: Path) -> None:
    """The admin port has none."""
    pem = tmp_path / "tls.pem"
    pem.touch()
    text = banner(load(None, {"TICKFAN_HTTP__TLS_CERT_FILE": str(pem)}))
    assert "curl -N 'https://localhost:8080/v1/sse" in text
    assert "--url https://localhost:8080" in text
    assert "http://localhost:8081/readyz" in text


def test_what_stands_in_the_place_of_rabbitmq_is_said() -> None:
    """Invented prices, or a broker that only HTTP can publish to; of RabbitMQ nothing more."""
    simulated = banner(load(None, {}, is_demo=True))
    assert "prices    simulated, 200 updates/s: nothing here is real" in simulated
    empty = banner(load(None, {"TICKFAN_BROKER__URL": "memory://"}))
    assert "broker    memory:// (embedded)" in empty
    assert "prices    what HTTP publishes here, and nothing else" in empty
    assert "prices" not in banner(load(None, {"TICKFAN_BROKER__URL": "amqp://mq.example/"}))


def test_a_long_pattern_does_not_wrap() -> None:
    """However long the feed's pattern is, the line to paste stays one line."""
    pattern = "quotes." + "x" * 115 + ".#"
    feeds = (ConflatedFeed(name="quotes", bind=(pattern,), delivery="conflated"),)
    text = banner(Settings(feeds=feeds))
    assert f"{pattern[:-1]}%23'" in text


RABBITMQ = Settings(broker=BrokerSettings(url=SecretStr("amqp://me:hunter2@mq.example/")))
SHOWN = "amqp://me:***@mq.example/"


@pytest.mark.parametrize(
    ("causes", "words"),
    [
        ({}, SHOWN),
        ({"a": "", "b": ""}, SHOWN),
        ({"a": None, "b": None}, f"connecting ({SHOWN})"),
        (
            dict.fromkeys("ab", "not connected: login refused"),
            f"not connected: login refused ({SHOWN})",
        ),
        (dict.fromkeys("ab", "wrong exchange type"), f"not read: wrong exchange type ({SHOWN})"),
        (
            {"a": "", "b": "not a stream", "c": None, "d": "not a stream"},
            f"not read: not a stream (b, d); connecting (c) ({SHOWN})",
        ),
    ],
)
def test_the_broker_is_shown_with_what_is_wrong(causes: dict[str, str | None], words: str) -> None:
    """Once for each cause, with the feeds if it is not of all."""
    [line] = [line for line in banner(RABBITMQ, causes).splitlines() if line.startswith("broker")]
    assert line.split(maxsplit=1)[1] == words


def test_a_broker_that_is_away_is_red() -> None:
    """On a terminal; it is the one line that matters."""
    causes = {"a": "not connected: login refused"}
    assert "\x1b[1;31mnot connected" in banner(RABBITMQ, causes, colour=True)
    assert "\x1b[1;31m" not in banner(RABBITMQ, {"a": ""}, colour=True)


def test_secrets_are_not_shown() -> None:
    """The broker's address is shown without its password."""
    broker = BrokerSettings(url=SecretStr("amqp://someone:hunter2@mq.example/prices"))
    text = banner(Settings(broker=broker, http=HttpSettings(host="10.1.2.3", port=90)))
    assert "hunter2" not in text
    assert "mq.example" in text
    assert "http://10.1.2.3:90/v1/sse" in text


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("0.0.0.0", "http://localhost:80"),
        ("::", "http://localhost:80"),
        ("fe80::1", "http://[fe80::1]:80"),
        ("prices.example", "http://prices.example:80"),
    ],
)
def test_base_url(host: str, url: str) -> None:
    """Any-host addresses are shown as localhost; IPv6 ones in brackets."""
    assert base_url(host, 80) == url
