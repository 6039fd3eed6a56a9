"""A release is a commit that is written down; its checkout is made from the history."""

from __future__ import annotations

import re
import subprocess
from typing import TYPE_CHECKING

import pytest

from loadtest.releases import ROOT, checkout, commits

if TYPE_CHECKING:
    from pathlib import Path

INSTALL = '#!/bin/sh\nset -eu\necho "$1" >>installed\nmkdir -p .venv\n'


def git(repository: Path, *arguments: str) -> str:
    command = ["git", "-C", str(repository), "-c", "user.name=x", "-c", "user.email=x@x"]
    done = subprocess.run([*command, *arguments], capture_output=True, text=True, check=True)
    return done.stdout.strip()


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A project of two commits, whose installation only writes what it was asked for."""
    root = tmp_path / "repository"
    (root / "scripts").mkdir(parents=True)
    script = root / "scripts" / "install"
    script.write_text(INSTALL)
    script.chmod(0o755)
    (root / "version").write_text("old")
    git(root, "init", "-q")
    git(root, "add", ".")
    git(root, "commit", "-qm", "old")
    (root / "version").write_text("new")
    git(root, "commit", "-qam", "new")
    return root


def test_every_release_is_a_full_hash_and_has_its_place_in_the_changelog() -> None:
    """A short hash may become ambiguous; a release without a heading is not one."""
    headings = re.findall(
        r"^## \[(\d\S*)\] - \d{4}-\d\d-\d\d$", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE
    )

    assert sorted(commits()) == sorted(headings)
    assert all(re.fullmatch("[0-9a-f]{40}", commit) for commit in commits().values())


def test_a_checkout_has_the_files_of_its_commit(repository: Path, tmp_path: Path) -> None:
    """Not those of today, and its own script has installed what runs it."""
    old = git(repository, "rev-parse", "HEAD~1")
    made = checkout(old, tmp_path / "made", repository)

    assert (made / "version").read_text() == "old"
    assert (made / "installed").read_text() == "requirements.lock\n"


def test_a_checkout_is_made_once(repository: Path, tmp_path: Path) -> None:
    """A second run installs nothing; another commit makes it anew."""
    old, new = git(repository, "rev-parse", "HEAD~1"), git(repository, "rev-parse", "HEAD")
    made = checkout(old, tmp_path / "made", repository)
    (made / "mark").touch()

    assert (checkout(old, made, repository) / "mark").exists()
    assert not (checkout(new, made, repository) / "mark").exists()
    assert (made / "version").read_text() == "new"


def test_an_installation_that_broke_is_made_again(repository: Path, tmp_path: Path) -> None:
    """What it said is passed on, and half a checkout does not count as one."""
    good = git(repository, "rev-parse", "HEAD")
    (repository / "scripts" / "install").write_text("#!/bin/sh\necho no network >&2\nexit 1\n")
    git(repository, "commit", "-qam", "broken")
    broken = git(repository, "rev-parse", "HEAD")

    for _ in range(2):
        with pytest.raises(RuntimeError, match=r"requirements\.lock` failed: no network"):
            checkout(broken, tmp_path / "made", repository)
    assert (checkout(good, tmp_path / "made", repository) / "installed").exists()


def test_a_history_without_the_commit_is_said(repository: Path, tmp_path: Path) -> None:
    """A shallow clone has only the last: the message names the commit and what brings it."""
    old = git(repository, "rev-parse", "HEAD~1")
    shallow = tmp_path / "shallow"
    git(tmp_path, "clone", "-q", "--depth", "1", repository.as_uri(), str(shallow))

    with pytest.raises(LookupError, match=f"{old}.*fetch --unshallow"):
        checkout(old, tmp_path / "made", shallow)
    assert not (tmp_path / "made").exists()
