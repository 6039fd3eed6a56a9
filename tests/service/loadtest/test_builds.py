"""A build runs the files of its own checkout, whichever layout that has."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from loadtest.bench.builds import HERE, LAYOUTS, Build

SAYS = (
    "import json, sys, tickfan_client\nprint(json.dumps([sys.argv[1:], tickfan_client.__file__]))\n"
)


def made(root: Path, package: str, above: Path) -> Path:
    """A checkout with that layout, whose program says how it was called."""
    directory = root / above / package
    client = root / "clients" / "python" / "tickfan_client"
    for place in (directory, client):
        place.mkdir(parents=True)
        (place / "__init__.py").touch()
    (directory / "__main__.py").write_text(SAYS)
    return root


def run(build: Build, cwd: Path) -> str:
    """What its service prints when it is started in ``cwd``."""
    command = [str(build.python), *build.arguments()]
    environ = {**os.environ, **build.environ}
    return subprocess.run(
        command, cwd=cwd, env=environ, capture_output=True, text=True, check=True, timeout=60
    ).stdout


@pytest.mark.parametrize(("package", "above"), LAYOUTS)
def test_each_layout_runs_its_own_files(package: str, above: Path, tmp_path: Path) -> None:
    """Also where another checkout is installed, and the bench is started in that one."""
    root = made(tmp_path / "other", package, above)
    build = Build.of(root, "other")
    output = run(build, HERE)

    build.verify(output)
    called, client = json.loads(output.splitlines()[-1])
    assert called == ["serve"]
    assert Path(client).is_relative_to(root)
    assert build.name == "other"
    assert build.has("__main__.py")
    assert not build.has("transports/addresses.py")


def test_a_build_that_runs_the_code_of_another_is_refused(tmp_path: Path) -> None:
    """By what the started process says of itself; saying nothing is refused, too."""
    one, two = (Build.of(made(tmp_path / name, "service", Path())) for name in ("one", "two"))

    with pytest.raises(RuntimeError, match=r"/two runs the code in .*/one/service"):
        two.verify(run(one, HERE))
    with pytest.raises(RuntimeError, match="did not say which code it runs:\nbroken"):
        two.verify("broken")


def test_a_checkout_has_its_own_python_if_it_is_set_up(tmp_path: Path) -> None:
    """Its libraries are those that its lock names; else ours have to do."""
    root = made(tmp_path, "service", Path())
    assert Build.of(root).python == Path(sys.executable)

    own = root / ".venv" / "bin" / "python"
    own.parent.mkdir(parents=True)
    own.symlink_to(sys.executable)
    assert Build.of(root).python == own


def test_a_directory_without_tickfan_is_refused(tmp_path: Path) -> None:
    """In a sentence that names what was looked for."""
    with pytest.raises(LookupError, match=r"neither service/tickfan/__main__\.py nor service/"):
        Build.of(tmp_path)


def test_code_to_run_first_runs_first(tmp_path: Path) -> None:
    """The bench puts the service on another loop with it."""
    build = Build.of(made(tmp_path, "service", Path()))
    arguments = build.arguments("print('first')")
    output = subprocess.run(
        [str(build.python), *arguments],
        env={**os.environ, **build.environ}, capture_output=True, text=True, check=True, timeout=60,
    ).stdout  # fmt: skip

    assert output.startswith("first\n")
    build.verify(output)
