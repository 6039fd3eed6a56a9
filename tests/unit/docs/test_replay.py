"""docs/replay.md says what the command does: its table and its options are those of today."""

from __future__ import annotations

import re
import runpy
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import pytest
import typer

from tests.support.layouts import Sample, layouts
from tickfan.cli import cli

if TYPE_CHECKING:
    import click

ROOT = Path(__file__).parents[3]
SCRIPT = ROOT / "scripts" / "layouts.py"
PAGE = ROOT / "docs" / "replay.md"
TEXT = PAGE.read_text()
OF_THE_MARKET = {"--simulated", "--rate", "--seed", "--config", "--help"}


def _options() -> set[str]:
    """The options of ``tickfan publish`` that a replay takes."""
    commands = cast("Any", typer.main.get_command(cli)).commands
    publish: click.Command = commands["publish"]
    names = [name for each in publish.params for name in [*each.opts, *each.secondary_opts]]
    return {name for name in names if name.startswith("--")} - OF_THE_MARKET


def test_the_table_is_that_of_the_tests() -> None:
    """Nobody writes a command by hand, and nobody forgets one."""
    page = runpy.run_path(str(SCRIPT))["page"]
    assert page(TEXT) == TEXT, "the table of layouts has changed: make layouts"


@pytest.mark.parametrize(
    "sample", [each for each in layouts() if each.vendor], ids=lambda sample: sample.file
)
def test_each_vendor_is_on_the_page(sample: Sample) -> None:
    """With the file that the test reads."""
    assert f"| {sample.vendor} | {sample.what} | `tickfan publish --replay {sample.file}" in TEXT


def test_each_option_is_on_the_page_and_each_there_is_one() -> None:
    """Both ways: nothing new is untold, and nothing old is told."""
    told = set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", TEXT)) - {"--"}
    assert told - {"--replay"} == _options() - {"--replay"}
