"""docs/security.md: the tests that it names are there, and its first try works."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tickfan.cli import cli
from tickfan.clock import Clock
from tickfan.config import load
from tickfan.parts import build_gate

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "security.md").read_text()
NAMED = sorted(set(re.findall(r"`(tests/[\w./]+)`", PAGE)))


def test_it_names_tests() -> None:
    """A threat without a test is a hope."""
    assert len(NAMED) > 15


@pytest.mark.parametrize("name", NAMED)
def test_each_test_that_it_names_is_there(name: str) -> None:
    """Under this very name."""
    assert (ROOT / name).exists()


def test_each_row_of_hostile_load_names_one() -> None:
    """None is claimed only."""
    table = PAGE.partition("## Hostile load")[2].partition("\n## ")[0]
    rows = [line for line in table.splitlines() if line.startswith("| ") and "---" not in line]
    assert len(rows) > 10
    for row in rows[1:]:
        assert "`tests/" in row, row


def test_the_token_of_the_first_try_is_one_that_the_service_takes() -> None:
    """The commands of the page, with a secret of ours."""
    [script] = re.findall(r"```bash\n(export TICKFAN_KEYS=.*?)```", PAGE, re.DOTALL)
    keys, _serve, token, curl, _tail = script.strip().splitlines()
    secret = "0123456789abcdef" * 4
    [written] = shlex.split(keys.removeprefix("export TICKFAN_KEYS=").replace(
        "$(openssl rand -hex 32)", secret))  # fmt: skip
    assert json.loads(written)[0]["key"] == secret
    command = re.fullmatch(r"TOKEN=\$\(tickfan (.*)\)", token)
    assert command is not None
    environ = {"TICKFAN_KEYS": written}
    printed = CliRunner().invoke(cli, shlex.split(command[1]), env=environ).stdout.strip()
    identity = build_gate(load(None, environ), Clock(lambda: 0.0)).identify(printed)
    assert identity.subject == "alice"
    assert identity.reads.matches("quotes.A")
    assert "Authorization: Bearer $TOKEN" in curl
