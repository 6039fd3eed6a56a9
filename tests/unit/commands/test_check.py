"""check: what it prints is a file that says the same, without the secrets."""

from __future__ import annotations

import os
import tomllib
from typing import TYPE_CHECKING

import pytest
import typer

from tickfan.commands import OK, WRONG
from tickfan.commands.check import check, connect
from tickfan.config import load

if TYPE_CHECKING:
    from pathlib import Path

FILE = """
[http]
port = 9000

[stream]
intervals_ms = [100, 1000]

[[feeds]]
name = "fills"
bind = ["fills.#", "orders.*"]
delivery = "lossless"
warm = "5m"
"""


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith("TICKFAN_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("TICKFAN_BROKER__URL", "memory://")


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "tickfan.toml"
    path.write_text(FILE)
    return path


def test_its_output_is_a_file_of_the_same_settings(
    config: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """File and environment together, written so that they can be read back."""
    monkeypatch.setenv("TICKFAN_HTTP__PORT", "9001")
    assert check(config) == OK
    printed = capsys.readouterr()
    assert printed.err == ""
    again = tmp_path / "again.toml"
    again.write_text(printed.out)
    assert load(again, {}) == load(config, os.environ)
    assert tomllib.loads(printed.out)["http"]["port"] == 9001, "the environment wins"


def test_every_default_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    """Without a file too: whoever wonders what holds need not look elsewhere."""
    assert check(None) == OK
    printed = tomllib.loads(capsys.readouterr().out)
    assert [feed["name"] for feed in printed["feeds"]] == ["quotes", "trades", "book", "tokens"]
    assert printed["broker"]["url"] == "memory://"
    assert printed["stream"]["replays_max"] == 100


def test_no_secret_is_printed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Neither the broker's password nor the token for publishing."""
    monkeypatch.setenv("TICKFAN_BROKER__URL", "amqp://someone:hunter2@mq.example/")
    monkeypatch.setenv("TICKFAN_PUBLISH__TOKEN", "a-token-that-nobody-may-see")
    assert check(None) == OK
    out = capsys.readouterr().out
    assert "hunter2" not in out
    assert "a-token" not in out
    assert "someone:***@mq.example" in out
    assert tomllib.loads(out)["publish"]["token"] == "***"


def test_the_embedded_broker_has_what_the_feeds_need(capsys: pytest.CaptureFixture[str]) -> None:
    """There is nothing to connect to, and that is well."""
    assert connect(None, is_demo=True) == OK
    first, last = capsys.readouterr().out.splitlines()
    assert first.startswith("ok ")
    assert "memory://: the broker is in the service" in first
    assert last == "1 ok"


def test_wrong_settings_print_nothing_but_the_complaints(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Status 2, and a clean stdout: a pipe never gets half a file."""
    config.write_text(FILE.replace("9000", '"nine"'))
    with pytest.raises(typer.Exit) as left:
        check(config)
    assert left.value.exit_code == WRONG
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "http.port" in printed.err
