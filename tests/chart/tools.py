"""Programs that these tests drive; they come with the development requirements.

Must not know what is tested.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NoReturn

import pytest


def tool(name: str) -> str:
    """The program's path. Without it the test is skipped, or fails under CI=true."""
    path = shutil.which(name, path=f"{Path(sys.executable).parent}:{os.environ.get('PATH', '')}")
    return path or _without(f"{name} is not there: `make test` installs it")


def isolation() -> list[str]:
    """Words before a command that make it PID 1, by a user that is not root."""
    words = [tool("unshare"), "--user", "--map-user=10001", "--pid", "--fork", "--kill-child"]
    if run(*words, "true").returncode:
        _without("this system does not allow user namespaces")
    return words


def _without(sentence: str) -> NoReturn:
    if os.environ.get("CI") == "true":
        pytest.fail(sentence)
    pytest.skip(sentence)


def run(*command: str | Path) -> subprocess.CompletedProcess[str]:
    """Run it to its end, output as text."""
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
