"""tickfan.config.settings"""

from __future__ import annotations

import tomllib
from typing import TYPE_CHECKING

import pytest
from pydantic import ValidationError

from tickfan.config import ConfigError, Settings, load

if TYPE_CHECKING:
    from pathlib import Path


SECRET = "hunter2-hunter2-hunter2"


def with_secrets() -> Settings:
    environ = {
        "TICKFAN_BROKER__URL": f"amqp://me:{SECRET}@a,b:5673/v",
        "TICKFAN_PUBLISH__TOKEN": SECRET,
    }
    return load(None, environ)


def test_the_environment_is_not_read_in_passing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only load reads it, and only what it is given."""
    monkeypatch.setenv("TICKFAN_HTTP__PORT", "1")
    monkeypatch.setenv("HTTP", "{}")
    assert Settings().http.port == 8080


def test_what_is_shown_holds_no_secret() -> None:
    """The user's name and the hosts help to find a mistake; the rest is masked."""
    settings = with_secrets()
    assert settings.masked()["broker"]["url"] == "amqp://me:***@a,b:5673/v"
    assert settings.masked()["publish"]["token"] == "***"
    for shown in (settings.masked(), settings.to_toml(), repr(settings), settings.model_dump()):
        assert SECRET not in str(shown)


def test_what_is_shown_can_be_loaded_again(tmp_path: Path) -> None:
    """The text is TOML, and says everything."""
    path = tmp_path / "shown.toml"
    path.write_text(Settings().to_toml())
    assert load(path, {}) == Settings()
    shown = tomllib.loads(with_secrets().to_toml())
    assert shown["http"]["port"] == 8080
    assert [feed["name"] for feed in shown["feeds"]] == ["quotes", "trades", "book", "tokens"]


MARKET, URL = "TICKFAN_MARKET__ENABLED", "TICKFAN_BROKER__URL"


def test_prices_are_invented_for_those_who_ask_for_it() -> None:
    """The market is off by default; then a broker is needed, if only the embedded one."""
    assert not Settings().market.enabled
    assert Settings().lacks_broker
    assert load(None, {URL: ""}).lacks_broker
    assert not load(None, {MARKET: "true"}).lacks_broker
    for url in ("memory://", "amqp://h"):
        assert not load(None, {URL: url}).lacks_broker


@pytest.mark.parametrize("is_demo", [True, False])
def test_invented_prices_never_stand_beside_real_ones(tmp_path: Path, is_demo: bool) -> None:
    """Whoever asks for both is told, by the file, the environment or the command."""
    path = tmp_path / "tickfan.toml"
    path.write_text("[market]\nenabled = true\n" if not is_demo else "")
    with pytest.raises(ConfigError, match=r"market\.enabled: is true.* broker\.url names a Rabb"):
        load(path, {URL: "amqps://me:hunter2@mq.example/"}, is_demo=is_demo)
    assert load(path, {URL: "memory://"}, is_demo=is_demo).market.enabled


def test_feeds_keep_the_files_order() -> None:
    """Specs and sources go in pairs."""
    settings = Settings()
    names = [spec.name for spec in settings.feed_specs()]
    assert names == ["quotes", "trades", "book", "tokens"]
    assert [source.spec for source in settings.feed_sources()] == list(settings.feed_specs())
    assert settings.feed_sources()[1].queue == "tickfan.trades"
    assert settings.feed_sources()[1].warm == "1m"


def test_a_feeds_interval_must_fit_the_ladder() -> None:
    """It is rounded up, so something must be above it."""
    with pytest.raises(ValidationError) as caught:
        Settings.model_validate({"stream": {"intervals_ms": [20, 50]}})
    assert caught.value.errors()[0]["ctx"]["problems"] == [
        (
            "feed 'quotes': interval_ms",
            "is 100, above the longest of stream.intervals_ms (50), to which it must round up",
        )
    ]


def test_a_body_that_the_broker_side_would_refuse_is_a_wrong_setting() -> None:
    """What POST takes must not become poison behind it."""
    environ = {"TICKFAN_HTTP__BODY_BYTES_MAX": "1048577"}
    with pytest.raises(ConfigError, match=r"http\.body_bytes_max.*broker\.message_bytes_max"):
        load(None, environ)


def test_there_are_more_sockets_than_streams() -> None:
    """Or a client over the limit of streams could not be told so."""
    assert Settings().sockets_max == 22_000
    few = load(None, {**MEMORY, "TICKFAN_STREAM__CONNECTIONS_MAX": "2"})
    assert few.sockets_max == 6
    said = load(None, {**MEMORY, "TICKFAN_HTTP__SOCKETS_MAX": "20004"})
    assert said.sockets_max == 20_004
    with pytest.raises(ConfigError, match=r"http\.sockets_max.*stream\.connections_max"):
        load(None, {**MEMORY, "TICKFAN_HTTP__SOCKETS_MAX": "20003"})


@pytest.mark.parametrize("connections", [1, 2, 45, 99, 100, 20_000, 1_000_000])
def test_with_room_for_all_sockets_nothing_is_lower(connections: int) -> None:
    """With less there are fewer of both, and still more sockets than streams."""
    wanted = load(None, {**MEMORY, "TICKFAN_STREAM__CONNECTIONS_MAX": str(connections)})
    given = wanted.with_room(wanted.sockets_max)
    assert given.stream.connections_max == connections
    assert given.sockets_max == wanted.sockets_max
    less = wanted.with_room(50)
    assert less.sockets_max == 50
    assert less.stream.connections_max == min(connections, 46)


MEMORY = {"TICKFAN_BROKER__URL": "memory://"}
