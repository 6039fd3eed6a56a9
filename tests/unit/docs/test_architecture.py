"""The picture of ARCHITECTURE.md shows what is there."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

ROOT = Path(__file__).parents[3]
SERVICE = ROOT / "service" / "tickfan"
SCRIPT = ROOT / "scripts" / "architecture.py"
PICTURE = ROOT / "docs" / "architecture.svg"


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
