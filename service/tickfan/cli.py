"""The command line: how each command is called. What they do is in ``tickfan.commands``.

A command's module is imported when the command is called: ``tickfan tail`` should not wait
for the broker's library. Must not know how a command does its work.
"""

# ruff: noqa: PLC0415 - see above

from __future__ import annotations

import sys
from enum import StrEnum
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Annotated

import typer

from tickfan.commands.banner import DEFAULT_URL

cli = typer.Typer(
    name="tickfan",
    help="Fans out live prices from RabbitMQ to SSE, WebSocket and NDJSON subscribers.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

Config = Annotated[
    Path | None,
    typer.Option("--config", "-c", help="The settings file; TICKFAN_* variables win over it."),
]


class Transport(StrEnum):
    """What ``tickfan tail`` can speak."""

    WS = "ws"
    SSE = "sse"
    NDJSON = "ndjson"


def main() -> None:
    """The console script."""
    cli(prog_name="tickfan")


def _version() -> str:
    try:
        return version("tickfan")
    except PackageNotFoundError:
        return "(not installed)"


def _print_version(wanted: bool) -> None:
    if wanted:
        sys.stdout.write(f"tickfan {_version()}\n")
        raise typer.Exit


@cli.callback()
def _root(
    _version_wanted: Annotated[
        bool,
        typer.Option(
            "--version", help="Print the version.", callback=_print_version, is_eager=True
        ),
    ] = False,
) -> None:
    """Live prices from RabbitMQ to SSE, WebSocket and NDJSON subscribers."""


@cli.command("version")
def version_command() -> None:
    """Print the version."""
    _print_version(wanted=True)


@cli.command()
def serve(config: Config = None) -> None:
    """Run the service until SIGTERM or Ctrl-C."""
    from tickfan.commands.serve import serve as command

    raise typer.Exit(command(config))


@cli.command()
def check(config: Config = None) -> None:
    """Print the resulting settings, secrets masked, or all that is wrong with them."""
    from tickfan.commands.check import check as command

    raise typer.Exit(command(config))


@cli.command()
def publish(  # noqa: PLR0913 - one for each option
    config: Config = None,
    replay: Annotated[
        Path | None, typer.Option(help="A CSV file to publish instead of the simulated market.")
    ] = None,
    speed: Annotated[
        float, typer.Option(min=0, help="Replay this many times as fast; 0 is --asap.")
    ] = 1.0,
    asap: Annotated[
        bool, typer.Option("--asap", help="Replay as fast as the broker confirms.")
    ] = False,
    channel_template: Annotated[
        str, typer.Option(help="The channel of a replayed row.")
    ] = "trades.{symbol}",
    symbol: Annotated[
        str | None, typer.Option(help="The symbol, for a file without such a column.")
    ] = None,
    time_format: Annotated[
        str | None, typer.Option(help="The file's times, as strptime has it: '%b %d %Y'.")
    ] = None,
    rate: Annotated[
        float | None,
        typer.Option(min=0.1, max=100_000, help="Simulated updates a second [market.rate]."),
    ] = None,
    seed: Annotated[
        int | None, typer.Option(min=0, help="The same seed, the same market [market.seed].")
    ] = None,
    count: Annotated[int | None, typer.Option(min=1, help="End after so many updates.")] = None,
    seconds: Annotated[float | None, typer.Option(min=0, help="End after so long.")] = None,
) -> None:
    """Publish a simulated market, or a CSV file, to the configured RabbitMQ."""
    from tickfan.commands import WRONG
    from tickfan.commands.publish import Order
    from tickfan.commands.publish import publish as command
    from tickfan.commands.shared import say
    from tickfan.market.csvfile import Replay, ReplayError

    plan = None
    misplaced: dict[str, object] = {"--rate": rate, "--seed": seed}
    if replay is None:
        misplaced = {
            "--asap": asap or None, "--symbol": symbol, "--time-format": time_format,
        }  # fmt: skip
    for option, value in misplaced.items():
        if value is not None:
            say(f"{option} goes {'with' if replay is None else 'without'} --replay")
            raise typer.Exit(WRONG)
    if replay is not None:
        pace = 0.0 if asap else speed
        try:
            plan = Replay(replay, channel_template, symbol, time_format, pace)
        except ReplayError as error:
            say(str(error))
            raise typer.Exit(WRONG) from None
    raise typer.Exit(command(config, Order(plan, rate, seed, count, seconds)))


@cli.command()
def tail(  # noqa: PLR0913 - one for each option
    patterns: Annotated[
        list[str],
        typer.Argument(metavar="PATTERN...", help="Channels or patterns, such as 'quotes.#'."),
    ],
    url: Annotated[str, typer.Option(help="The service.")] = DEFAULT_URL,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
    transport: Annotated[Transport, typer.Option(help="How to connect.")] = Transport.WS,
    interval_ms: Annotated[
        int | None, typer.Option(min=1, help="News of a conflated channel that often, at most.")
    ] = None,
    count: Annotated[int | None, typer.Option(min=1, help="End after so many updates.")] = None,
    no_snapshot: Annotated[bool, typer.Option("--no-snapshot", help="Live updates only.")] = False,
    timeout: Annotated[
        float | None, typer.Option(min=0.1, help="Fail after so many seconds without an update.")
    ] = None,
) -> None:
    """Print what a running service sends."""
    from tickfan.commands.tail import Wish
    from tickfan.commands.tail import tail as command

    wish = Wish(
        patterns, url, transport.value, interval_ms, not no_snapshot, count, as_json, timeout
    )
    raise typer.Exit(command(wish))
