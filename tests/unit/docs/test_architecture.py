"""ARCHITECTURE.md and its picture say what is there."""

from __future__ import annotations

import importlib
import re
import subprocess
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest

import tickfan
from tickfan.fanout.subscriber import FOLLOWS, Phase

ROOT = Path(__file__).parents[3]
SERVICE = ROOT / "service" / "tickfan"
SCRIPT = ROOT / "scripts" / "architecture.py"
PICTURE = ROOT / "docs" / "architecture.svg"
TEXT = (ROOT / "ARCHITECTURE.md").read_text()

ROOMS = {path.stem for path in SERVICE.iterdir() if path.suffix == ".py" or path.is_dir()}
QUOTED = list(dict.fromkeys(re.findall(r"`([^`\n]+)`", TEXT)))
FILES = sorted(set(re.findall(r"(?:clients|docs|service|tests)/[\w./-]*\w", TEXT)))
NAMES = [
    text
    for text in QUOTED
    if re.fullmatch(r"[a-z_]+(?:\.\w+)+", text) and not (ROOT / text).is_file()
]
PHASE_ROW = re.compile(r"\| `([A-Z_]+)` \|[^|]+\| ([^|]+) \|")


def _resolve(name: str) -> Any:
    """The module, class, function or attribute that a dotted name below tickfan means."""
    module, *rest = tickfan.__name__, *name.split(".")
    found: Any = tickfan
    while rest:
        inner = f"{module}.{rest[0]}"
        try:
            found = importlib.import_module(inner)
        except ModuleNotFoundError as error:
            if error.name != inner:
                raise
            break
        module = inner
        del rest[0]
    for attribute in rest:
        found = getattr(found, attribute)
    return found


@pytest.mark.parametrize("name", NAMES)
def test_each_name_in_the_text_is_in_the_code(name: str) -> None:
    """A reader finds each hop of a path where the text says that it is."""
    assert name.partition(".")[0] in ROOMS, f"`{name}` begins with no room: write room.module.name"
    try:
        _resolve(name)
    except AttributeError as error:
        pytest.fail(f"ARCHITECTURE.md names `{name}`, which is not there: {error}")


@pytest.mark.parametrize("name", FILES)
def test_each_file_in_the_text_is_in_the_repository(name: str) -> None:
    """A path is one from the root of the repository."""
    assert (ROOT / name).exists(), f"ARCHITECTURE.md names {name}, which is not there"


def test_the_paths_are_told_in_names() -> None:
    """The two tests above have something to hold."""
    assert len(NAMES) > 50
    assert len(FILES) > 3


def test_the_table_of_phases_is_that_of_the_code() -> None:
    """What may follow what is told as it is held."""
    told = {
        Phase[phase]: {Phase[name] for name in re.findall(r"`([A-Z_]+)`", following)}
        for phase, following in PHASE_ROW.findall(TEXT)
    }
    assert told == FOLLOWS


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """What the script makes of today's contracts."""
    out = tmp_path_factory.mktemp("drawn") / "architecture.svg"
    subprocess.run([sys.executable, str(SCRIPT), str(out)], check=True)
    return out.read_bytes()


def test_the_picture_is_that_of_todays_contracts(drawn: bytes) -> None:
    """Nobody draws by hand, and nobody forgets to draw."""
    assert PICTURE.read_bytes() == drawn, "the contracts have changed: make architecture"


def test_each_module_stands_in_the_picture(drawn: bytes) -> None:
    """A room without a contract of its own would hide its modules."""
    texts = {node.text for node in ET.fromstring(drawn).iter() if node.text}
    missing = sorted(
        str(path.relative_to(SERVICE))
        for path in SERVICE.rglob("*.py")
        if path.stem != "__init__" and path.stem not in texts
    )
    assert not missing, f"{missing} stand in no contract of [tool.importlinter]"
