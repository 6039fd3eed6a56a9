"""The command line: what each command is called with, and its exit status."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from loadtest.rig.waiting import DEADLINE_S
from tests.support.layouts import Sample, layouts
from tickfan.cli import cli


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in os.environ:
        if name.startswith("TICKFAN_"):
            monkeypatch.delenv(name)


def call(*arguments: str, **env: str) -> Result:
    return CliRunner().invoke(cli, arguments, env=env)


@pytest.mark.parametrize("arguments", [["version"], ["--version"]])
def test_version(arguments: list[str]) -> None:
    """Both ways to ask print one line."""
    result = call(*arguments)
    assert result.exit_code == 0
    assert result.stdout.startswith("tickfan ")


def test_check_prints_the_settings() -> None:
    """Everything that is set, secrets masked, status 0."""
    url = "amqp://someone:hunter2@mq.example/"
    result = call("check", TICKFAN_HTTP__PORT="9999", TICKFAN_BROKER__URL=url)
    assert result.exit_code == 0
    assert "port = 9999" in result.stdout
    assert "mq.example" in result.stdout
    assert "hunter2" not in result.output


def test_check_shows_what_the_demo_switches_on() -> None:
    """The same word as that of `serve`, and it wins over the variable."""
    result = call("check", "--demo", TICKFAN_MARKET__ENABLED="false")
    assert result.exit_code == 0
    assert "[market]\nenabled = true\n" in result.stdout


@pytest.mark.parametrize("command", ["check", "serve"])
def test_a_broker_must_be_named(command: str) -> None:
    """Nobody is served from nowhere: status 2, and one line that says what to write."""
    result = call(command)
    assert (result.exit_code, result.stdout) == (2, "")
    [line] = result.stderr.splitlines()
    assert line == (
        "tickfan: broker.url: missing, so nothing says where RabbitMQ is. Set "
        "TICKFAN_BROKER__URL=amqp://user:password@host:5672/vhost. For invented prices: "
        "`tickfan serve --demo`. For an empty broker inside of the process, to which HTTP alone "
        "publishes: TICKFAN_BROKER__URL=memory://"
    )


@pytest.mark.parametrize("command", ["check", "serve"])
def test_the_demo_and_a_rabbitmq_are_two_wishes(command: str) -> None:
    """Status 2, by name, and no secret."""
    url = "amqp://someone:hunter2@mq.example/"
    result = call(command, "--demo", TICKFAN_BROKER__URL=url)
    assert (result.exit_code, result.stdout) == (2, "")
    [line] = result.stderr.splitlines()
    assert line.startswith("tickfan: market.enabled: is true (--demo says so, too), and broker.url")
    assert "hunter2" not in line


@pytest.mark.parametrize(
    "command",
    ["check --demo", "check --demo --connect", "version", "--version", "publish --simulated"],
)
def test_a_full_disk_is_one_line(command: str, unused_tcp_port: int) -> None:
    """Instead of a traceback; status 1. What else is wrong is said, too."""
    is_publishing = command.startswith("publish")
    env = {"TICKFAN_BROKER__URL": f"amqp://127.0.0.1:{unused_tcp_port}/"} if is_publishing else {}
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "tickfan", *command.split()], env=os.environ | env,
            stdout=full, stderr=subprocess.PIPE, text=True, timeout=DEADLINE_S, check=False,
        )  # fmt: skip
    assert done.returncode == 1
    first, *others = done.stderr.splitlines()
    assert first == "tickfan: what it prints cannot be written: No space left on device"
    assert len(others) == is_publishing


def test_check_connects_if_it_is_asked_to() -> None:
    """A port that nobody listens on: one line with the cause, and status 1."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"amqp://someone:hunter2@127.0.0.1:{taken.getsockname()[1]}/"
        result = call("check", "--connect", TICKFAN_BROKER__URL=url)
    assert result.exit_code == 1
    assert "not connected: connection refused" in result.stdout
    assert "hunter2" not in result.output
    assert call("check", "--timeout", "5").exit_code == 2
    assert "--timeout goes with --connect" in call("check", "--timeout", "5").stderr


@pytest.mark.parametrize("command", [["check"], ["serve"], ["publish", "--simulated"]])
def test_wrong_settings(command: list[str], tmp_path: Path) -> None:
    """Every complaint on its own line of stderr, status 2, for each command."""
    config = tmp_path / "tickfan.toml"
    config.write_text("[http]\nport = 0.5\n[stream]\nheartbeats = 1\n")
    result = call(*command, "--config", str(config), TICKFAN_LOG__LEVEL="loud")
    assert result.exit_code == 2
    assert result.stdout == ""
    lines = result.stderr.splitlines()
    assert len(lines) == 3
    assert any("http.port" in line for line in lines)
    assert any("heartbeat_s" in line for line in lines)
    assert any("loud" in line for line in lines)


def test_publish_refuses_the_embedded_broker() -> None:
    """memory:// lives in another process: one sentence says so, status 2."""
    result = call("publish", "--simulated", TICKFAN_BROKER__URL="memory://")
    assert result.exit_code == 2
    assert "is memory://, which lives inside one `tickfan serve`" in result.stderr
    assert "Set TICKFAN_BROKER__URL=amqp://" in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_publish_names_a_broker_that_is_not_there(unused_tcp_port: int) -> None:
    """No broker: one sentence without the password, status 1."""
    url = f"amqp://someone:hunter2@127.0.0.1:{unused_tcp_port}/"
    result = call("publish", "--simulated", "--count", "5", TICKFAN_BROKER__URL=url)
    assert result.exit_code == 1
    assert "hunter2" not in result.output
    assert "failures" in result.stdout


def test_publish_invents_no_prices_unasked(unused_tcp_port: int) -> None:
    """A real broker gets the simulated market from those who name it: else status 2, and how."""
    url = f"amqp://127.0.0.1:{unused_tcp_port}/"
    for words in ([], ["--count", "5"]):
        result = call("publish", *words, TICKFAN_BROKER__URL=url)
        assert (result.exit_code, result.stdout) == (2, "")
        [line] = result.stderr.splitlines()
        assert line.startswith("tickfan: nothing to publish: --replay FILE publishes the rows")
        assert "--simulated invented prices" in line


def test_publish_refuses_a_bad_template() -> None:
    """A channel template with anything but {symbol} is refused, status 2."""
    result = call("publish", "--replay", "x.csv", "--channel-template", "a.{b}")
    assert result.exit_code == 2
    assert "{symbol}" in result.stderr


def test_publish_names_a_missing_file(unused_tcp_port: int) -> None:
    """A file that is not there: one sentence, status 1."""
    url = f"amqp://127.0.0.1:{unused_tcp_port}/"
    result = call("publish", "--replay", "none.csv", TICKFAN_BROKER__URL=url)
    assert result.exit_code == 1
    assert "none.csv: No such file" in result.stderr


@pytest.mark.parametrize("sample", layouts(), ids=lambda sample: sample.file)
def test_publish_checks_a_file_of_each_layout(sample: Sample) -> None:
    """The command that the docs give is enough, and says what it has found."""
    result = call("publish", "--check", "--replay", str(sample.path), *sample.options)
    assert result.exit_code == 0, result.stderr
    assert result.stderr.count("\n") == 1
    assert f"{len(sample.rows)} row" in result.stderr


def test_publish_reads_stdin(tmp_path: Path) -> None:
    """A pipe is a file that can be read once."""
    text = "time,symbol,price\n1704205800,A,1\nnever,A,1\n"
    result = CliRunner().invoke(cli, ["publish", "--check", "--replay", "-"], input=text)
    assert result.exit_code == 1
    assert "stdin, line 3, column 'time': 'never'" in result.stderr


BAD_OPTIONS = [
    ["--simulated", "--rate", "0"],
    ["--simulated", "--count", "0"],
    ["--simulated", "--speed", "2"],
    ["--rate", "5"],
    ["--replay", "x.csv", "--simulated"],
    ["--speed", "-1"],
    ["--asap"],
    ["--symbol", "A"],
    ["--speed", "2"],
    ["--check"],
    ["--no-check"],
    ["--now"],
    ["--from", "2"],
    ["--from", "1"],
    ["--on-error", "stop"],
    ["--tz", "UTC"],
    ["--on-error", "skip"],
    ["--replay", "x.csv", "--on-error", "maybe"],
    ["--replay", "x.csv", "--asap", "--speed", "60"],
    ["--replay", "x.csv", "--asap", "--max-gap", "1"],
    ["--replay", "x.csv", "--speed", "0", "--max-gap", "1"],
    ["--replay", "x.csv", "--from", "0"],
    ["--replay", "x.csv", "--tz", "CST"],
    ["--replay", "x.csv", "--time-unit", "min"],
    ["--replay", "x.csv", "--date", "1/2/24"],
    ["--replay", "x.csv", "--rate", "5"],
    ["--replay", "x.csv", "--seed", "5"],
    ["x"],
]


@pytest.mark.parametrize("arguments", BAD_OPTIONS)
def test_publish_refuses_bad_options(arguments: list[str]) -> None:
    """What is out of range, stray, or would have no effect is refused by name, status 2."""
    result = call("publish", *arguments)
    assert result.exit_code == 2
    option = next((each for each in reversed(arguments) if each.startswith("--")), arguments[0])
    assert option in result.stderr


def test_serve_names_a_taken_port(unused_tcp_port: int) -> None:
    """A port that somebody listens on: one sentence with the setting, status 1."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", unused_tcp_port))
        taken.listen()
        port = str(unused_tcp_port)
        result = call("serve", "--demo", TICKFAN_HTTP__PORT=port, TICKFAN_HTTP__ADMIN_PORT="0")
    assert result.exit_code == 1
    assert f"port {port} on 127.0.0.1 is taken" in result.stderr
    assert "TICKFAN_HTTP__PORT" in result.stderr


def test_who_has_no_schema_does_not_load_its_library() -> None:
    """It takes 9 MB of each replica."""
    code = "import sys, tickfan.app; sys.exit('jsonschema_rs' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
