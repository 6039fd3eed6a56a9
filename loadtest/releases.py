"""Past releases: their commits, and a checkout of each with an environment of its own.

The commits are in releases.toml. Must not know what a checkout is used for.
"""

from __future__ import annotations

import shutil
import subprocess
import tarfile
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
BUILT = ROOT / "build" / "releases"
LIST = Path(__file__).with_name("releases.toml")
_STAMP = Path(".venv", ".release")


def commits() -> dict[str, str]:
    """The full hash of each release's commit."""
    found: dict[str, str] = tomllib.loads(LIST.read_text())["releases"]
    return found


def checkout(commit: str, directory: Path, repository: Path = ROOT) -> Path:
    """The files of ``commit`` in ``directory``, installed by their own scripts/install.

    A checkout that is there and whole is used as it is. Raises :class:`LookupError`
    if the repository's history does not hold the commit, :class:`RuntimeError` if
    the installation fails. The messages are for the user.
    """
    stamp = directory / _STAMP
    if stamp.exists() and stamp.read_text() == commit:
        return directory
    _require(commit, repository)
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    archive = directory.with_name(f"{directory.name}.tar")
    _run("git", "-C", repository, "archive", "--format=tar", f"--output={archive}", commit)
    with tarfile.open(archive) as files:
        # Pythons before 3.11.4 have no such filter, and would not take its name. The archive
        # is of this repository's own files.
        files.extraction_filter = getattr(tarfile, "data_filter", lambda member, _path: member)
        files.extractall(directory)  # noqa: S202 - see above
    archive.unlink()
    _run("scripts/install", "requirements.lock", cwd=directory)
    stamp.write_text(commit)
    return directory


def _require(commit: str, repository: Path) -> None:
    command = ["git", "-C", str(repository), "cat-file", "-e", f"{commit}^{{commit}}"]
    found = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    if found.returncode:
        raise LookupError(
            f"the history of {repository} does not hold commit {commit}"
            f" ({found.stderr.strip()}): in a shallow clone `git fetch --unshallow` brings it"
        )


def _run(*command: str | Path, cwd: Path | None = None) -> None:
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)  # noqa: S603
    if done.returncode:
        words = " ".join(map(str, command))
        raise RuntimeError(f"`{words}` failed: {(done.stderr or done.stdout).strip()}")
