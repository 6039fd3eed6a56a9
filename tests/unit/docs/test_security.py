"""docs/security.md: its example of an audit log, counted as the page says."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from typer.testing import CliRunner

from tickfan.cli import cli

if TYPE_CHECKING:
    import pytest

PAGE = (Path(__file__).parents[3] / "docs" / "security.md").read_text()
[LINES] = re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL)
[COMMAND] = re.findall(r"^tickfan (usage .*)$", PAGE, re.MULTILINE)
[TABLE] = re.findall(r"```text\n(subject.*?)```", PAGE, re.DOTALL)


def test_the_example_gives_the_figures_that_stand_below_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the command that stands between."""
    monkeypatch.chdir(tmp_path)
    Path("audit.log").write_text(LINES)
    result = CliRunner().invoke(cli, shlex.split(COMMAND))
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout == TABLE


def test_each_key_of_the_example_is_explained() -> None:
    """And each that is explained is one of the audit log's."""
    always = {"time", "level", "logger", "event", "feed", "interval_ms", "item", "code"}
    used = {key for line in LINES.splitlines() for key in json.loads(line)} - always
    rows = re.findall(r"^\| (`[^|]+`) \| [^|]+ \| [^|]+ \|$", PAGE, re.MULTILINE)
    told = {key for row in rows for key in re.findall(r"`(\w+)`", row)}
    assert told - used == {"channel"}
    assert used <= told
