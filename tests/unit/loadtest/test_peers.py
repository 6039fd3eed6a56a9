"""A peer that is not there, or breaks, is said in a sentence, and the bench goes on."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from loadtest.bench.peers import nodejs
from loadtest.bench.run import Bench, absent
from loadtest.bench.shapes import STEADY
from loadtest.bench.steady import Row

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from loadtest.bench.shapes import Shape

LOCK = nodejs.SOURCES / "package-lock.json"


def test_a_machine_without_programs_says_what_is_missing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Each peer by its name in the shapes, with the reason; nginx may be off the PATH."""
    monkeypatch.setenv("PATH", str(tmp_path))
    reasons = absent()

    assert reasons["ws"] == "Node is not installed"
    assert "libnginx-mod-nchan" in reasons.get("nchan", "libnginx-mod-nchan")


def test_the_lock_names_no_registry() -> None:
    """Versions and hashes; where they come from is the user's npm's business."""
    packages = json.loads(LOCK.read_text())["packages"]

    assert {"node_modules/ws", "node_modules/amqplib"} < set(packages)
    assert not any("resolved" in package for package in packages.values())
    assert "://" not in LOCK.read_text()


@pytest.mark.parametrize("error", [OSError("gone"), RuntimeError("gone"), AssertionError("gone")])
def test_a_peer_that_breaks_is_a_row_that_says_so(error: Exception) -> None:
    """What it had measured before stays."""
    shape = STEADY[0]

    def measure(shape: Shape) -> Iterator[Row]:
        yield Row(shape.name, "peer WebSocket", shape.title, checked="ok")
        raise error

    rows = list(Bench.tried(shape, "peer", measure))

    assert [(row.server, row.checked) for row in rows] == [
        ("peer WebSocket", "ok"),
        ("peer", "failed"),
    ]
    assert rows[1].extra == {"error": "gone"}
