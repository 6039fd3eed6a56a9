"""A peer that is not there, or breaks, is said in a sentence, and the bench goes on."""

from __future__ import annotations

import json
import os
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
    """Each peer by its name in the shapes, with the reason."""
    monkeypatch.setenv("PATH", str(tmp_path))
    reasons = absent()

    assert reasons["ws"] == "Node is not installed"
    assert "libnginx-mod-nchan" in reasons["nchan"]


def test_an_npm_that_fails_is_quoted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """In one line, and nothing counts as installed."""
    for name, script in (("node", "exit 0"), ("npm", "echo no network >&2; echo more >&2; exit 1")):
        program = tmp_path / name
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setattr(nodejs, "BUILT", tmp_path / "built")

    assert nodejs.missing() == "its modules cannot be brought: no network"
    assert not (tmp_path / "built" / ".installed").exists()


def test_modules_that_are_there_are_not_brought_again(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """As long as they are newer than the lock: then npm is run, and here it fails."""
    for name, script in (("node", "exit 0"), ("npm", "exit 1")):
        program = tmp_path / name
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setattr(nodejs, "BUILT", tmp_path)
    stamp = tmp_path / ".installed"
    stamp.touch()
    locked = LOCK.stat().st_mtime

    os.utime(stamp, (locked + 1, locked + 1))
    assert nodejs.missing() is None
    os.utime(stamp, (locked - 1, locked - 1))
    assert nodejs.missing() == "its modules cannot be brought: no word of why"


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

    rows = list(Bench._tried(shape, "peer", measure))

    assert [(row.server, row.checked) for row in rows] == [
        ("peer WebSocket", "ok"),
        ("peer", "failed"),
    ]
    assert rows[1].extra == {"error": "gone"}
