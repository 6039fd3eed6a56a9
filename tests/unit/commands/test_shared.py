"""What commands share: complaints on stderr, and an end by signal."""

from __future__ import annotations

import asyncio
import os
import signal
from typing import TYPE_CHECKING

import pytest
import typer

from loadtest.rig.waiting import DEADLINE_S
from tickfan.commands import WRONG
from tickfan.commands.shared import BROKER_URL, say, settings_from, settings_to_serve, until_signal

if TYPE_CHECKING:
    from pathlib import Path

SIGNALS = [signal.SIGINT, signal.SIGTERM]


def test_settings_from_the_file_and_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The environment wins over the file."""
    config = tmp_path / "tickfan.toml"
    config.write_text("[http]\nport = 9000\nadmin_port = 9001\n")
    monkeypatch.setenv("TICKFAN_HTTP__PORT", "9002")
    http = settings_from(config).http
    assert (http.port, http.admin_port) == (9002, 9001)


def test_every_complaint_has_its_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """All of them at once, status 2, and nothing of an exception."""
    config = tmp_path / "tickfan.toml"
    config.write_text("[http]\nport = -1\n[stream]\nheartbeats = 1\n[broker]\nurl = 'mq'\n")
    with pytest.raises(typer.Exit) as left:
        settings_from(config)
    assert left.value.exit_code == WRONG
    printed = capsys.readouterr()
    assert printed.out == ""
    lines = printed.err.splitlines()
    assert len(lines) == 3
    assert all(line.startswith("tickfan: ") for line in lines)
    for name in ("http.port", "heartbeat_s", "broker.url"):
        assert any(name in line for line in lines)


@pytest.mark.parametrize(
    ("file", "variable", "wrong"),
    [
        ("", None, "broker.url: missing, so nothing says where RabbitMQ is"),
        ("", "", "broker.url: TICKFAN_BROKER__URL is empty, so nothing says"),
        ("[broker]\nurl = ''", None, "broker.url: missing, so"),
        ("[broker]\nurl = 'amqp://mq.example/'", "", "broker.url: TICKFAN_BROKER__URL is empty"),
        ("[broker]\ntls_ca_file = '{file}'", None, "broker.url: missing, so"),
        ("[market]\nrate = 5", None, "broker.url: missing, so"),
    ],
)
def test_to_serve_takes_a_broker(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    file: str,
    variable: str | None,
    wrong: str,
) -> None:
    """One line says what is missing and what to write; the demo needs none."""
    config = tmp_path / "tickfan.toml"
    config.write_text(file.format(file=config))
    monkeypatch.delenv(BROKER_URL, raising=False)
    if variable is not None:
        monkeypatch.setenv(BROKER_URL, variable)
    with pytest.raises(typer.Exit) as left:
        settings_to_serve(config, is_demo=False)
    assert left.value.exit_code == WRONG
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith(f"tickfan: {wrong}")
    for way in (f"{BROKER_URL}=amqp://user:", "serve --demo", f"{BROKER_URL}=memory://"):
        assert way in line
    assert settings_to_serve(config, is_demo=True).market.enabled


def test_say_is_one_line_on_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    """stdout is for what was asked for."""
    say("there is no broker")
    printed = capsys.readouterr()
    assert (printed.out, printed.err) == ("", "tickfan: there is no broker\n")


def _are_free() -> bool:
    """Whether a signal does again what Python has it do: the next one ends the process."""
    handlers = [signal.getsignal(number) for number in SIGNALS]
    return handlers == [signal.default_int_handler, signal.SIG_DFL]


async def test_work_that_ends_by_itself() -> None:
    """True, and the signals are let go."""
    done: list[str] = []

    async def work() -> None:
        await asyncio.sleep(0)
        assert not _are_free()
        done.append("all")

    assert await until_signal(work())
    assert done == ["all"]
    assert _are_free()


@pytest.mark.parametrize("number", SIGNALS)
async def test_a_signal_ends_the_work_in_order(number: signal.Signals) -> None:
    """False; what the work has to tidy up is tidied up, also where that takes time."""
    done: list[str] = []

    async def work() -> None:
        try:
            os.kill(os.getpid(), number)
            await asyncio.get_running_loop().create_future()
        finally:
            await asyncio.sleep(0)
            done.append("tidy")

    async with asyncio.timeout(DEADLINE_S):
        assert not await until_signal(work())
    assert done == ["tidy"]
    assert _are_free()


async def test_a_failure_of_the_work_is_the_callers() -> None:
    """It comes as it was raised, and the signals are released."""

    async def work() -> None:
        raise LookupError("nothing there")

    with pytest.raises(LookupError, match="nothing there"):
        await until_signal(work())
    assert _are_free()


async def test_a_cancelled_caller_is_not_taken_for_a_signal() -> None:
    """The cancellation goes on outwards, after the work has ended."""
    ended = asyncio.Event()
    started = asyncio.Event()

    async def work() -> None:
        try:
            started.set()
            await asyncio.get_running_loop().create_future()
        finally:
            ended.set()

    waiting = asyncio.create_task(until_signal(work()))
    async with asyncio.timeout(DEADLINE_S):
        await started.wait()
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
    assert ended.is_set()
