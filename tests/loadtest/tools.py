"""The load tests' programs, as `make` puts them in build/, and how they are run.

Must not know what is tested.
"""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

ROOT = Path(__file__).parents[2]
BUILT = ROOT / "build" / "loadtest"
INSTALLED = BUILT / "venv" / ".installed"
BUNDLE = BUILT / "k6.js"
DEADLINE_S = 180.0
# Times are never asserted: the machine may be busy. The proof that limits
# are looked at is the run in which nothing comes.
EASY = {"TICKFAN_LOAD_AGE_P99_MS": "60000", "TICKFAN_LOAD_CONNECT_P95_MS": "60000"}


class Ended(NamedTuple):
    """How a program ended."""

    status: int
    output: str


async def run(program: Path, words: Sequence[str], settings: Mapping[str, str]) -> Ended:
    """Run ``program``; ``settings`` are variables without their ``TICKFAN_LOAD_``."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith("TICKFAN_")}
    environ |= EASY | {f"TICKFAN_LOAD_{name}": value for name, value in settings.items()}
    process = await asyncio.create_subprocess_exec(
        program,
        *words,
        cwd=ROOT,
        env=environ,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        async with asyncio.timeout(DEADLINE_S):
            output, _ = await process.communicate()
    except BaseException:
        process.kill()
        await process.wait()
        raise
    assert process.returncode is not None
    return Ended(process.returncode, output.decode(errors="replace"))


def require(path: Path, *sources: Path) -> None:
    """Skip where ``path`` is missing or older than its sources; under CI=true fail."""
    made = path.stat().st_mtime if path.exists() else 0.0
    if made and all(source.stat().st_mtime <= made for source in sources):
        return
    word = "older than its sources" if made else "missing"
    sentence = f"{path.relative_to(ROOT)} is {word}: `make test` makes it (needs npm and pip)"
    if os.environ.get("CI") == "true":
        pytest.fail(sentence)
    pytest.skip(sentence)
