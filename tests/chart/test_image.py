"""The Dockerfile, as far as it can be tried without an engine.

The first stages' own commands are run in clean directories, from what
.dockerignore lets through; what they made is then run as the image would: as
PID 1, by a user that is not root, writing no file. Not tried here: the base
images, and that the copied environment finds its Python there.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import tomllib
import urllib.request
from email.parser import Parser
from pathlib import Path
from typing import TYPE_CHECKING
from zipfile import ZipFile

import pytest
import yaml

from loadtest.rig.rabbitmq import free_port
from tests.chart.dockerfile import Instruction, Stage, stages
from tests.chart.tools import isolation, run, tool
from tests.support.browser import Browser
from tests.support.programs import require
from tickfan.api.page import INDEX

if TYPE_CHECKING:
    from collections.abc import Iterator
    from email.message import Message

ROOT = Path(__file__).parents[2]
DOCKERFILE = ROOT / "Dockerfile"
DEADLINE_S = 30.0
CLIENT = ROOT / "clients" / "python"
PROJECT, CLIENT_PROJECT = (
    tomllib.loads((directory / "pyproject.toml").read_text()) for directory in (ROOT, CLIENT)
)


def _last() -> list[Instruction]:
    return stages(DOCKERFILE.read_text())[-1]


def _only(word: str) -> str:
    (rest,) = [instruction.rest for instruction in _last() if instruction.word == word]
    return rest


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the stages before the last make: a directory that stands for the image's ``/``."""
    require("npm")
    first, second, _ = stages(DOCKERFILE.read_text())
    root = tmp_path_factory.mktemp("image")
    page = Stage(ROOT, tmp_path_factory.mktemp("page"), os.environ)
    page.run(first)
    # Stands for the base image's Python: it has pip, and nothing of ours.
    subprocess.run([sys.executable, "-m", "venv", root / "base"], check=True)
    keep = {key: value for key, value in os.environ.items() if not key.startswith("TICKFAN_")}
    keep["PIP_NO_COMPILE"] = "1"  # a third of the time
    keep["PATH"] = f"{root / 'base' / 'bin'}:{os.environ['PATH']}"
    Stage(ROOT, root, keep, {"page": page}).run(second)
    return root


class Container:
    """The built service, run nearly as a container would."""

    def __init__(self, image: Path, directory: Path) -> None:
        self.bin = image / "opt" / "tickfan" / "bin"
        self.port, self.admin_port = free_port(), free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        config = directory / "tickfan.toml"
        config.write_text(f"[http]\nport = {self.port}\nadmin_port = {self.admin_port}\n")
        # A user that is not root, PID 1 of its own, and not a byte into any file.
        isolate = isolation()
        limit = ["/bin/sh", "-c", 'ulimit -f 0; exec "$@"', "-"]
        words = [*json.loads(_only("ENTRYPOINT")), *json.loads(_only("CMD"))[:-1], str(config)]
        words[0] = str(self.bin / words[0])
        self._log = directory / "log"
        self._outer = subprocess.Popen(
            [*isolate, *limit, *words],
            cwd="/",
            env={
                "PATH": "/usr/bin:/bin",
                "PYTHONDONTWRITEBYTECODE": "1",
                "TICKFAN_MARKET__ENABLED": "true",
            },
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )

    def wait_live(self) -> None:
        """Return when /livez answers."""
        deadline = time.monotonic() + DEADLINE_S
        while True:
            assert self._outer.poll() is None, f"it ended: {self.output()}"
            assert time.monotonic() < deadline, "it does not answer"
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{self.admin_port}/livez", timeout=5)
            except OSError:
                time.sleep(0.05)
            else:
                return

    def pid(self) -> int:
        """The service's, seen from outside."""
        outer = self._outer.pid
        (child,) = Path(f"/proc/{outer}/task/{outer}/children").read_text().split()
        return int(child)

    def stop(self) -> int:
        """SIGTERM to the service, and the exit status."""
        os.kill(self.pid(), signal.SIGTERM)
        return self._outer.wait(DEADLINE_S)

    def output(self) -> str:
        """What it said, once it has ended."""
        assert self._outer.stdout is not None
        return self._outer.stdout.read().decode(errors="replace")

    def kill(self) -> None:
        """End it, whatever it does."""
        if self._outer.poll() is None:
            self._outer.kill()
            self._outer.wait()
        assert self._outer.stdout is not None
        self._outer.stdout.close()


@pytest.fixture
def container(image: Path, tmp_path: Path) -> Iterator[Container]:
    started = Container(image, tmp_path)
    try:
        started.wait_live()
        yield started
    finally:
        started.kill()


def test_hadolint_has_no_complaint() -> None:
    """No rule of hadolint is broken, and none is switched off."""
    found = run(tool("hadolint"), "--failure-threshold", "style", DOCKERFILE)
    assert (found.returncode, found.stdout) == (0, "")
    assert "hadolint ignore" not in DOCKERFILE.read_text()


def test_the_build_leaves_only_the_service(image: Path) -> None:
    """The environment that is copied has the service and its needs: no pip, no build tool."""
    python = image / "opt" / "tickfan" / "bin" / "python"
    names = run(
        python, "-Ic", "import importlib.metadata as m; print(*[d.name for d in m.distributions()])"
    ).stdout.split()
    assert {"tickfan", "tickfan-client"} <= set(names)
    assert not {"pip", "setuptools", "hatchling", "pytest"} & set(names)


def test_what_never_runs_is_left_out(image: Path) -> None:
    """No source of a compiled module, no rule for colouring code; help and complaints work."""
    installed = image / "opt/tickfan/lib"
    endings = {path.suffix for path in installed.rglob("*") if path.is_file()}
    assert ".so" in endings
    assert not {".pyx", ".pxd", ".c", ".h"} & endings
    lexers = {path.stem.partition(".")[0] for path in installed.rglob("pygments/lexers/**/*.py*")}
    assert lexers == {"__init__", "_mapping"}
    for words, status in ((["--help"], 0), (["tail", "--help"], 0), (["tail"], 2), (["no"], 2)):
        done = run(image / "opt/tickfan/bin/tickfan", *words)
        assert done.returncode == status, done.stderr
        assert "Traceback" not in done.stderr


class Wheel:
    """What a wheel that the build made holds: files of its package, licenses, metadata."""

    def __init__(self, image: Path, name: str) -> None:
        (path,) = (image / "dist").glob(f"{name}-*.whl")
        with ZipFile(path) as archive:
            names = set(archive.namelist())
            (about,) = {one.partition("/")[0] for one in names if one.endswith(".dist-info/RECORD")}
            self.files = {one for one in names if not one.startswith(f"{about}/")}
            self.license = archive.read(f"{about}/licenses/LICENSE")
            self.metadata: Message = Parser().parsestr(archive.read(f"{about}/METADATA").decode())


def test_the_services_wheel_has_no_file_of_the_client(image: Path) -> None:
    """It holds the package that its command starts, and asks for the client by name."""
    wheel = Wheel(image, "tickfan")
    package = PROJECT["project"]["scripts"]["tickfan"].partition(".")[0]
    assert {name.partition("/")[0] for name in wheel.files} == {package}
    wanted = wheel.metadata.get_all("Requires-Dist", [])
    assert [each for each in wanted if each.startswith("tickfan")] == ["tickfan-client<0.2,>=0.1"]


def test_the_clients_wheel_has_the_client_alone(image: Path) -> None:
    """Every file of its package with the mark that it is typed, and nothing else."""
    wheel = Wheel(image, "tickfan_client")
    sources = {
        str(path.relative_to(CLIENT))
        for path in (CLIENT / "tickfan_client").rglob("*")
        if path.is_file() and path.suffix != ".pyc"
    }
    assert "tickfan_client/py.typed" in sources
    assert wheel.files == sources
    assert wheel.license == (ROOT / "LICENSE").read_bytes()
    said = wheel.metadata
    assert said["License-Expression"] == PROJECT["project"]["license"]
    assert said["Requires-Python"] == PROJECT["project"]["requires-python"]
    assert said["Description-Content-Type"] == "text/markdown"
    assert said.get_payload() == (CLIENT / "README.md").read_text()
    assert "Typing :: Typed" in said.get_all("Classifier", [])


def test_both_wheels_work_where_nothing_else_is(image: Path) -> None:
    """The command finds the client, and both come from what was built, not from here."""
    helped = run(image / "opt/tickfan/bin/tickfan", "tail", "--help")
    assert helped.returncode == 0, helped.stderr
    python = image / "opt/tickfan/bin/python"
    found = run(python, "-Ic", "import tickfan_client as t; print(t.__file__, t.connect.__name__)")
    assert found.stdout.startswith(str(image)), found.stderr
    assert found.stdout.endswith(" connect\n")


def test_it_serves_alone_as_pid_1_and_stops_when_told(container: Container) -> None:
    """Built and alone, not root, writing nothing: it streams, is healthy, and obeys SIGTERM."""
    status = Path(f"/proc/{container.pid()}/status").read_text()
    assert re.search(r"^NSpid:.*\s1$", status, re.MULTILINE), "it is not PID 1"
    for transport in ("sse", "ws"):
        seen = run(
            container.bin / "tickfan", "tail", "--count=1", f"--transport={transport}",
            f"--url={container.url}", "quotes.#",
        )  # fmt: skip
        assert seen.returncode == 0, seen.stderr
    assert container.stop() == 0
    assert '"stopped"' in container.output()


def test_the_page_is_the_built_one(image: Path, container: Container) -> None:
    """One script and one style sheet, that a browser keeps for ever."""
    installed = image / "opt/tickfan/lib"
    found = sorted(path.name for path in installed.glob("python3*/site-packages/tickfan/static/*"))
    assert [re.sub(r"-[0-9A-Z]{8}\.", "-HASH.", name) for name in found] == [
        "app-HASH.js", "icon-HASH.svg", "index.html", "style-HASH.css"
    ]  # fmt: skip
    for name in set(found) - {INDEX}:
        with urllib.request.urlopen(f"{container.url}/static/{name}", timeout=5) as answer:
            assert "immutable" in answer.headers["Cache-Control"]


async def test_the_built_page_shows_prices(container: Container) -> None:
    """In a real browser: bundling and minifying have broken nothing."""
    async with Browser() as browser:
        await browser.visit(f"{container.url}/?channels=quotes.*,trades.*")
        for table in ("latest", "tape"):
            await browser.until(f"document.querySelectorAll('#{table} tbody tr').length > 3")
        table = "getComputedStyle(document.querySelector('#latest table'))"
        assert await browser.run(f"{table}.borderSpacing") == "0px", "the style sheet is in force"
        assert not browser.complaints


def test_the_health_check_tells_well_from_ill(container: Container) -> None:
    """compose's command, in the image, succeeds with a live service, and fails without."""
    compose = yaml.safe_load((ROOT / "compose.yaml").read_text())
    word, *command = compose["services"]["tickfan-1"]["healthcheck"]["test"]
    assert word == "CMD", "no shell"
    python = str(container.bin / command[0])
    asked = [word.replace(":8081/", f":{container.admin_port}/") for word in command[1:]]
    assert run(python, *asked).returncode == 0
    assert container.stop() == 0
    assert run(python, *asked).returncode != 0


def test_the_last_stage_is_bare() -> None:
    """It runs nothing, is nobody, takes only the environment, and starts without a shell."""
    words = [instruction.word for instruction in _last()]
    assert "RUN" not in words
    user, group = _only("USER").split(":")
    assert int(user) >= 10000
    assert int(group) >= 10000
    assert {rest.split()[0] for word, rest in _last() if word == "COPY"} == {
        "--from=build", "config/container.toml"
    }  # fmt: skip
    assert json.loads(_only("ENTRYPOINT")) == ["tickfan"]


def test_the_settings_in_the_image_are_the_services_own(image: Path) -> None:
    """The image's file is accepted, listens to the outside, and is where the command reads it."""
    ((source, target),) = [rest.split() for word, rest in _last() if "container.toml" in rest]
    assert target == json.loads(_only("CMD"))[-1]
    file = ROOT / source
    checked = run(image / "opt/tickfan/bin/tickfan", "check", "--demo", "--config", file)
    assert checked.returncode == 0, checked.stderr
    http = tomllib.loads(checked.stdout)["http"]
    assert (http["host"], http["admin_host"]) == ("0.0.0.0", "0.0.0.0")


def test_versions_agree() -> None:
    """The label says what pyproject.toml says; both of Python have one base, all a version."""
    arguments = [rest for word, rest in _last() if word == "ARG"]
    assert f"VERSION={PROJECT['project']['version']}" in arguments
    text = DOCKERFILE.read_text()
    bases = [stage[0].rest.split()[0] for stage in stages(text)]
    assert bases == ["${NODE_IMAGE}", "${PYTHON_IMAGE}", "${PYTHON_IMAGE}"]
    assert re.search(r"^ARG NODE_IMAGE=node:\d+-slim", text, re.MULTILINE)
    base = re.search(r"^ARG PYTHON_IMAGE=python:3\.(\d+)-slim", text, re.MULTILINE)
    assert base is not None
    assert int(base[1]) >= int(PROJECT["project"]["requires-python"].rpartition(".")[2])


def test_the_build_tools_are_locked() -> None:
    """requirements-build.lock has what [build-system] asks for, with hashes."""
    lock = (ROOT / "requirements-build.lock").read_text()
    assert CLIENT_PROJECT["build-system"] == PROJECT["build-system"]
    for wanted in PROJECT["build-system"]["requires"]:
        name = re.split(r"[<>=~!\[]", wanted)[0]
        assert re.search(rf"^{re.escape(name)}==\S+ \\\n    --hash=sha256:", lock, re.MULTILINE), (
            f"{name} is not locked: run `make lock`"
        )


def test_the_pages_tools_are_locked() -> None:
    """package-lock.json has what package.json asks for, with hashes, and names no registry."""
    directory = ROOT / "scripts" / "page"
    wanted = json.loads((directory / "package.json").read_text())
    lock = json.loads((directory / "package-lock.json").read_text())["packages"]
    for name, version in {**wanted["dependencies"], **wanted["devDependencies"]}.items():
        assert lock[f"node_modules/{name}"]["version"] == version
    for name, package in lock.items():
        assert not name or package["integrity"].startswith("sha512-"), name
        assert "resolved" not in package, name


def test_the_context_is_small(tmp_path: Path) -> None:
    """Of all that lies about, only what is named reaches the build."""
    (tmp_path / "context").mkdir()
    shutil.copy(ROOT / ".dockerignore", tmp_path / "context")
    for name in ("service/a.py", "service/__pycache__/a.pyc", ".git/config", "tests/a.py", ".env"):
        path = tmp_path / "context" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    stage = Stage(tmp_path / "context", tmp_path / "root", {})
    stage.run([Instruction("WORKDIR", "/src"), Instruction("COPY", ". .")])
    copied = {str(p.relative_to(tmp_path / "root/src")) for p in (tmp_path / "root").rglob("*.*")}
    assert copied == {"service/a.py"}
