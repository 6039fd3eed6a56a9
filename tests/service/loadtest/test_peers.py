"""The peers of the benchmark: nginx is found, the modules of Node are brought once, by npm."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from loadtest.bench.peers import nchan, nodejs
from tests.support.programs import require

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


LOCK = nodejs.SOURCES / "package-lock.json"


def test_nginx_is_found_by_who_is_not_root(monkeypatch: pytest.MonkeyPatch) -> None:
    """Debian has it in /usr/sbin, which is on root's PATH alone."""
    require("nginx")
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    assert nchan.version() != "unknown"
    if nchan.find_module() is None:
        assert "libnginx-mod-nchan" in str(nchan.missing())
    else:
        assert nchan.missing() is None


def test_an_npm_that_fails_is_quoted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """In one line, and nothing counts as installed."""
    for name, script in (("node", "exit 0"), ("npm", "echo no network >&2; echo more >&2; exit 1")):
        program = tmp_path / name
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")

    assert nodejs.missing(tmp_path / "built") == "its modules cannot be brought: no network"
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
    stamp = tmp_path / ".installed"
    stamp.touch()
    locked = LOCK.stat().st_mtime

    os.utime(stamp, (locked + 1, locked + 1))
    assert nodejs.missing(tmp_path) is None
    os.utime(stamp, (locked - 1, locked - 1))
    assert nodejs.missing(tmp_path) == "its modules cannot be brought: no word of why"
