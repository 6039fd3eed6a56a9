"""docs/deployment.md: its blocks, read by the programs that they are for.

Not tried here: what takes root, and what fetches packages.
"""

from __future__ import annotations

import re
import subprocess
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from tests.support.prometheus import promtool

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "deployment.md").read_text()
RULES = "/etc/prometheus/tickfan.yaml"


def _blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


def _commands() -> Iterator[str]:
    """What is typed at the prompt, with its continued lines."""
    for block in _blocks("console"):
        for command in re.split(r"^# ", block, flags=re.MULTILINE)[1:]:
            yield command.replace("\\\n", " ").strip()


def _only(word: str) -> str:
    (found,) = {command for command in _commands() if word in command}
    return found


def test_prometheus_takes_the_job_and_the_rules_select_it(tmp_path: Path) -> None:
    """The block is a configuration; the sed beside it writes rules for these very labels."""
    rules = tmp_path / "tickfan.yaml"
    subprocess.run(
        ["sh", "-c", _only("sed ").replace(RULES, str(rules))], cwd=ROOT, check=True, timeout=10
    )
    (block,) = _blocks("yaml")
    config = tmp_path / "prometheus.yml"
    config.write_text(block.replace(RULES, str(rules)))
    done = promtool("check", "config", config)
    assert done.returncode == 0, done.stderr
    job: dict[str, Any] = yaml.safe_load(block)["scrape_configs"][0]
    (static,) = job["static_configs"]
    assert static["targets"] == ["127.0.0.1:8081", "127.0.0.1:8091"]
    selector = f'job="{job["job_name"]}", namespace="{static["labels"]["namespace"]}"'
    selectors = re.findall(r"\w\{(.*?)\}", rules.read_text())
    assert selectors
    assert all(each.startswith(selector) for each in selectors)
    assert not re.search(r"\$[A-Z]", rules.read_text().partition("groups:")[2])


def test_two_instances_are_two_pods() -> None:
    """Both are of one machine, so the label needs the port: here and in compose's file."""
    (block,) = _blocks("yaml")
    for text in (block, (ROOT / "config" / "prometheus.yml").read_text()):
        (job,) = yaml.safe_load(text)["scrape_configs"]
        assert job["relabel_configs"] == [{"source_labels": ["__address__"], "target_label": "pod"}]


def test_nothing_is_installed_that_nobody_has_checked() -> None:
    """By the locks' hashes, the build's too; the build itself fetches nothing."""
    by_lock, itself = [command for command in _commands() if "pip install" in command]
    assert by_lock.split()[2:] == [
        "--require-hashes", "--only-binary=:all:",
        "-r", "requirements.lock", "-r", "requirements-build.lock",
    ]  # fmt: skip
    assert itself.split()[2:] == ["--no-deps", "--no-build-isolation", "./clients/python", "."]


def test_a_version_has_an_environment_of_its_own() -> None:
    """Nothing is written into the one that runs; the unit starts what the link leads to."""
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    links = [command for command in _commands() if command.startswith("ln ")]
    assert links[0] == f"ln -sfn /opt/tickfan-{version} /opt/tickfan"
    assert f"`{links[0]}`" in PAGE, "the way back"
    for command in _commands():
        if "-m venv" in command or "pip install" in command:
            assert f"/opt/tickfan-{version}" in command
    unit = (ROOT / "config" / "tickfan@.service").read_text()
    assert "\nExecStart=/opt/tickfan/bin/tickfan " in unit
    # The new one says whether it takes the settings, before the link changes.
    order = [command for command in _commands() if "/opt/tickfan-0.2.0" in command]
    assert "tickfan check" in order[0]
    assert order[1] == "ln -sfn /opt/tickfan-0.2.0 /opt/tickfan"


def test_every_command_is_one() -> None:
    """For a shell; and what a file sets is also put to use."""
    commands = list(_commands())
    subprocess.run(["sh", "-n"], input="\n".join(commands), text=True, check=True, timeout=10)
    assert "/etc/sysctl.d/" in PAGE
    assert "sysctl --system" in commands
