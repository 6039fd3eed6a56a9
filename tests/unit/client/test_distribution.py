"""What clients/python says of itself, held against what it is."""

from __future__ import annotations

import ast
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement

ROOT = Path(__file__).parents[3]
CLIENT = ROOT / "clients" / "python"


def _project(directory: Path) -> dict[str, Any]:
    project = tomllib.loads((directory / "pyproject.toml").read_text())["project"]
    assert isinstance(project, dict)
    return project


def _needs(directory: Path) -> dict[str, Requirement]:
    named = map(Requirement, _project(directory)["dependencies"])
    return {requirement.name: requirement for requirement in named}


def test_it_asks_for_what_it_imports() -> None:
    """Each package that a module imports is asked for, and no other."""
    imported: set[str] = set()
    for source in CLIENT.rglob("*.py"):
        for node in ast.walk(ast.parse(source.read_text())):
            if isinstance(node, ast.Import):
                imported.update(alias.name.partition(".")[0] for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and node.module is not None:
                imported.add(node.module.partition(".")[0])
    foreign = imported - {"tickfan_client"} - sys.stdlib_module_names
    owners = packages_distributions()
    assert {owner for name in foreign for owner in owners[name]} == set(_needs(CLIENT))


def test_the_service_takes_the_client_of_this_repository() -> None:
    """Its range holds the client's version, and ends before the next that may break it."""
    version = _project(CLIENT)["version"]
    taken = _needs(ROOT)["tickfan-client"].specifier
    assert taken.contains(version)
    major, minor, _ = map(int, version.split("."))
    breaking = f"{major + 1}.0.0" if major else f"0.{minor + 1}.0"
    assert not taken.contains(breaking)


def test_the_service_asks_for_no_older_library_than_the_client() -> None:
    """Where both name a library, the version that the service begins with suits the client."""
    ours, theirs = _needs(ROOT), _needs(CLIENT)
    for name in ours.keys() & theirs.keys():
        (oldest,) = [each.version for each in ours[name].specifier if each.operator == ">="]
        assert theirs[name].specifier.contains(oldest), name


def test_it_brings_the_repositorys_license() -> None:
    """The copy says the same, word by word."""
    assert (CLIENT / "LICENSE").read_bytes() == (ROOT / "LICENSE").read_bytes()
