"""Node's npm, for what is made or checked with it.

Must not know what that is.
"""

from __future__ import annotations

import os
import shutil

import pytest


def require_npm() -> str:
    """The path of npm; skip without it, under CI=true fail."""
    found = shutil.which("npm")
    if found is None:
        sentence = "npm is not installed: apt-get install npm"
        if os.environ.get("CI") == "true":
            pytest.fail(sentence)
        pytest.skip(sentence)
    return found
