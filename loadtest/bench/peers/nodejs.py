"""`ws` on Node with amqplib: `ws/server.js`, and the modules that npm brings for it.

They lie in ``build/loadtest/ws``. Must not know what is measured.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

from loadtest.bench.machine import Child

SOURCES = Path(__file__).parent / "ws"
BUILT = Path(__file__).parents[3] / "build" / "loadtest" / "ws"


def missing(built: Path = BUILT) -> str | None:
    """Why it cannot be run here, in a sentence; None if it can. Installs the modules there."""
    if shutil.which("node") is None:
        return "Node is not installed"
    stamp, lock = built / ".installed", SOURCES / "package-lock.json"
    if stamp.exists() and stamp.stat().st_mtime >= lock.stat().st_mtime:
        return None
    try:
        command = [SOURCES / "install", built]
        subprocess.run(command, capture_output=True, text=True, check=True)  # noqa: S603
    except subprocess.CalledProcessError as error:
        said = (error.stderr.strip() or "no word of why").splitlines()[0]
        return f"its modules cannot be brought: {said}"
    return None


def version() -> str:
    """The versions of ``ws``, amqplib and Node."""
    node = subprocess.run(["node", "--version"], capture_output=True, text=True, check=True)  # noqa: S607
    found = [
        json.loads((BUILT / "node_modules" / name / "package.json").read_text())["version"]
        for name in ("ws", "amqplib")
    ]
    return f"{found[0]}, amqplib {found[1]}, Node {node.stdout.strip().removeprefix('v')}"


def start(url: str, exchange: str) -> Child:
    """A server on the cores that its starter may use; its first line is its port."""
    modules = {**os.environ, "NODE_PATH": str(BUILT / "node_modules")}
    return Child(str(SOURCES / "server.js"), url, exchange, runs=("node",), environment=modules)
