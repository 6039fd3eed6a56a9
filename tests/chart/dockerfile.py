"""Carries out stages of a Dockerfile without an engine: their own commands, in clean directories.

Knows the few instructions that ours uses, and refuses others. Must not know what is built.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from fnmatch import fnmatch
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

STEP_TIMEOUT_S = 300


class Instruction(NamedTuple):
    """One instruction: its word in capitals, and the rest on one line."""

    word: str
    rest: str


def stages(text: str) -> list[list[Instruction]]:
    """The instructions of each stage, its FROM first; what stands before is left out."""
    found: list[list[Instruction]] = []
    for instruction in _instructions(text):
        if instruction.word == "FROM":
            found.append([])
        if found:
            found[-1].append(instruction)
    return found


def _instructions(text: str) -> Iterator[Instruction]:
    lines = iter(text.splitlines())
    for first in lines:
        line = first.strip()
        if not line or line.startswith("#"):
            continue
        while line.endswith("\\"):
            line = f"{line[:-1].strip()} {next(lines).strip()}"
        word, _, rest = line.partition(" ")
        yield Instruction(word.upper(), rest.strip())


class Stage:
    """Carries out a stage below ``root``, which stands for the image's ``/``."""

    def __init__(
        self,
        context: Path,
        root: Path,
        environ: Mapping[str, str],
        others: Mapping[str, Stage] | None = None,
    ) -> None:
        """``others`` are the stages before it, by name: what it may COPY ``--from``."""
        self._context = context
        self.root = root
        self._environ = dict(environ)
        self._others = others or {}
        self._directory = root

    def run(self, stage: list[Instruction]) -> None:
        """Do what the stage says; raises :class:`AssertionError` with a failed step's output."""
        for word, rest in stage:
            if word == "ENV":
                for pair in rest.split():
                    name, _, value = pair.partition("=")
                    self._environ[name] = value
            elif word == "WORKDIR":
                self._directory = self._inside(rest)
                self._directory.mkdir(parents=True, exist_ok=True)
            elif word == "COPY":
                self._copy(rest.split())
            elif word == "RUN":
                self._command(re.sub(r"--mount=\S+ ", "", rest))
            else:
                assert word == "FROM", (
                    f"the tests cannot do {word}: teach tests/chart/dockerfile.py"
                )

    def _command(self, command: str) -> None:
        # The only directories of the image that our commands name.
        command = re.sub(r"(?<![\w./])/(?=opt/|(?:dist|page)\b)", f"{self.root}/", command)
        done = subprocess.run(
            ["/bin/sh", "-euc", command],
            cwd=self._directory,
            env=self._environ,
            capture_output=True,
            text=True,
            timeout=STEP_TIMEOUT_S,
            check=False,
        )
        assert done.returncode == 0, f"{command}\n{done.stdout[-2000:]}\n{done.stderr[-3000:]}"

    def _inside(self, path: str) -> Path:
        """A path of the image: an absolute one begins at its root."""
        return self.root / path[1:] if path.startswith("/") else self._directory / path

    def _copy(self, words: list[str]) -> None:
        if words[0].startswith("--from="):
            source, target = words[1:]
            other = self._others[words[0].removeprefix("--from=")]
            shutil.copytree(other.root / source[1:], self._inside(target))
            return
        *sources, target = words
        for source in sources:
            self._copy_of_context(source, self._inside(target))

    def _copy_of_context(self, source: str, target: Path) -> None:
        origin = self._context / source
        files = [origin] if origin.is_file() else sorted(origin.rglob("*"))
        taken = [path for path in files if path.is_file() and not self._is_ignored(path)]
        assert taken, f"COPY {source}: .dockerignore leaves nothing of it"
        for path in taken:
            inside = path.name if path == origin else str(path.relative_to(origin))
            to = target / inside
            to.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, to)

    def _is_ignored(self, path: Path) -> bool:
        name = str(path.relative_to(self._context))
        verdict = False
        for line in (self._context / ".dockerignore").read_text().splitlines():
            if line and not line.startswith("#") and _matches(name, line.lstrip("!")):
                verdict = not line.startswith("!")
        return verdict


def _matches(name: str, pattern: str) -> bool:
    """Whether the pattern of a .dockerignore covers the path, or a directory above it."""
    parts = name.split("/")
    if pattern.startswith("**/"):
        return any(fnmatch(part, pattern[3:]) for part in parts)
    depth = pattern.count("/") + 1
    return len(parts) >= depth and all(map(fnmatch, parts, pattern.split("/")))
