"""Options that several commands have are the same in each."""

from __future__ import annotations

import pytest
from typer.testing import CliRunner

from tickfan.cli import cli
from tickfan.commands.options import By, OnError, Transport, UsageFormat


@pytest.mark.parametrize("command", ["serve", "check", "publish", "token"])
def test_each_command_that_reads_settings_takes_a_file(command: str) -> None:
    """By the same two names."""
    shown = CliRunner().invoke(cli, [command, "--help"], env={"COLUMNS": "200", "NO_COLOR": "1"})
    assert "--config" in shown.output
    assert " -c " in shown.output


def test_the_words_of_choices() -> None:
    """They are what people type."""
    assert [*Transport] == ["ws", "sse", "ndjson"]
    assert [*OnError] == ["stop", "skip"]
    assert [*UsageFormat] == ["table", "csv", "json"]
    assert [*By] == ["feed", "channel-pattern"]
