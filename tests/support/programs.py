"""Programs of the system that the tests drive: where they are.

Must not know what is done with them.
"""

from __future__ import annotations

import os
import shutil

import pytest


def require(program: str, *others: str, package: str = "") -> str:
    """The path of the first that is there; skip without any, under CI=true fail.

    ``package`` is Debian's, if it has another name.
    """
    for name in (program, *others):
        # Not on everybody's PATH, but where Debian has servers.
        if found := shutil.which(name) or shutil.which(name, path="/usr/sbin"):
            return found
    sentence = f"{program} is not installed: apt-get install {package or program}"
    if os.environ.get("CI") == "true":
        pytest.fail(sentence)
    pytest.skip(sentence)
