"""The command line: how each command is called. What they do is in ``tickfan.commands``.

A command's module is imported when the command is called: ``tickfan tail`` should not wait
for the broker's library. Must not know how a command does its work.
"""

# ruff: noqa: PLC0415 - see above

from __future__ import annotations

import sys
from importlib.metadata import PackageNotFoundError, version
from io import TextIOWrapper
from pathlib import Path  # noqa: TC003 - typer reads it
from typing import Annotated

import typer

from tickfan.commands import FAILED, OK, WRONG
from tickfan.commands import options as kinds
from tickfan.commands.banner import DEFAULT_URL
from tickfan.commands.options import (
    Config,
    Connections,
    Demo,
    Interval,
    OnError,
    Readable,
    Transport,
    Writable,
)

cli = typer.Typer(
    name="tickfan",
    help="Fans out live prices from RabbitMQ to SSE, WebSocket and NDJSON subscribers.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


def main() -> None:
    """The console script."""
    if isinstance(sys.stdout, TextIOWrapper):
        # Data hold any letter. One that the terminal's or the file's encoding lacks is escaped.
        sys.stdout.reconfigure(errors="backslashreplace")
    cli(prog_name="tickfan")


def _version() -> str:
    try:
        return version("tickfan")
    except PackageNotFoundError:
        return "(not installed)"


def _print_version(wanted: bool) -> None:
    if wanted:
        from tickfan.commands.shared import show

        raise typer.Exit(OK if show(f"tickfan {_version()}\n") else FAILED)


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
def serve(config: Config = None, demo: Demo = False) -> None:
    """Run the service until SIGTERM or Ctrl-C."""
    from tickfan.commands.serve import serve as command

    raise typer.Exit(command(config, is_demo=demo))


@cli.command()
def token(  # noqa: PLR0913 - one for each option
    config: Config = None,
    subject: Annotated[str, typer.Option(help="Who the token is for (sub).")] = "me",
    channels: Readable = None,
    publish: Writable = None,
    seconds: Annotated[int, typer.Option(min=1, help="How long it is good.")] = 3600,
    interval_ms_min: Interval = None,
    connections_max: Connections = None,
) -> None:
    """Print a token for a first try, signed with a secret or private key of the settings."""
    from tickfan.commands.token import Wish
    from tickfan.commands.token import token as command

    wish = Wish(
        subject, channels or ["#"], publish or [], seconds, interval_ms_min, connections_max
    )
    raise typer.Exit(command(config, wish))


@cli.command()
def check(
    config: Config = None,
    demo: Demo = False,
    connect: Annotated[
        bool,
        typer.Option(
            "--connect",
            help="Connect to RabbitMQ instead, and say what it has, lacks and forbids. "
            "Nothing is changed there. Status 1 if something would not work.",
        ),
    ] = False,
    timeout: Annotated[
        float | None,
        typer.Option(min=0.1, help="With --connect: end after so many seconds [15]."),
    ] = None,
) -> None:
    """Print the settings of `serve`, secrets masked, or all that is wrong with them."""
    from tickfan.commands import check as command
    from tickfan.commands.shared import say

    if connect:
        raise typer.Exit(command.connect(config, timeout or command.WITHIN_S, is_demo=demo))
    if timeout is not None:
        say("--timeout goes with --connect")
        raise typer.Exit(WRONG)
    raise typer.Exit(command.check(config, is_demo=demo))


@cli.command()
def publish(  # noqa: PLR0913 - one for each option
    config: Config = None,
    replay: Annotated[
        Path | None,
        typer.Option(
            help="A file of rows to publish; - is stdin. "
            "docs/replay.md has the command for each vendor's files."
        ),
    ] = None,
    simulated: Annotated[
        bool,
        typer.Option("--simulated", help="Publish invented prices, of a simulated market."),
    ] = False,
    speed: Annotated[
        float | None,
        typer.Option(min=0, help="Replay this many times as fast [1]; 0 is --asap."),
    ] = None,
    asap: Annotated[
        bool, typer.Option("--asap", help="Replay as fast as the broker confirms.")
    ] = False,
    max_gap: Annotated[
        float | None, typer.Option(min=0, help="Wait at most this many seconds for the next row.")
    ] = None,
    channel_template: Annotated[
        str | None,
        typer.Option(help="The channel of a replayed row ['trades.{symbol}']."),
    ] = None,
    symbol: Annotated[
        str | None,
        typer.Option(help="The symbol of all rows; with a symbol column, the only one to send."),
    ] = None,
    symbol_column: Annotated[
        str | None, typer.Option(help="The column of the symbols, by name or number.")
    ] = None,
    columns: Annotated[
        str | None,
        typer.Option(help="The names of the columns of a file without a header: time,bid,ask."),
    ] = None,
    time: Annotated[
        str | None,
        typer.Option(help="The column of the times, by name or number; DAY,CLOCK if they are two."),
    ] = None,
    tz: Annotated[
        str | None,
        typer.Option(help="The time zone of times without one [UTC]: America/New_York, +01:00."),
    ] = None,
    date: Annotated[
        str | None, typer.Option(help="The date of times without one: 2024-01-02.")
    ] = None,
    time_unit: Annotated[
        str | None,
        typer.Option(help="Unit of times that are numbers, since 1970 or midnight: s, ms, us, ns."),
    ] = None,
    time_format: Annotated[
        str | None, typer.Option(help="The format of the times, as in strptime: '%d/%m/%Y %H:%M'.")
    ] = None,
    delimiter: Annotated[
        str | None, typer.Option(help="The character between two cells: , ; | tab space.")
    ] = None,
    encoding: Annotated[
        str | None, typer.Option(help="The text's encoding: cp1252, utf-16, shift_jis.")
    ] = None,
    check: Annotated[
        bool | None,
        typer.Option(
            "--check/--no-check",
            help="--check only reads the file, --no-check begins at once. Otherwise a file is "
            "read through before its first row goes out, and stdin begins at once.",
        ),
    ] = None,
    begin: Annotated[
        int | None, typer.Option("--from", min=1, help="The first row to publish [1].")
    ] = None,
    on_error: Annotated[
        OnError | None,
        typer.Option(help="What a bad row does: end it, or be named and left out [stop]."),
    ] = None,
    now: Annotated[
        bool,
        typer.Option("--now", help="Give updates the time of sending, for load tests."),
    ] = False,
    rate: Annotated[
        float | None,
        typer.Option(min=0.1, max=100_000, help="Simulated updates a second [market.rate]."),
    ] = None,
    seed: Annotated[
        int | None, typer.Option(min=0, help="The same seed, the same market [market.seed].")
    ] = None,
    count: Annotated[int | None, typer.Option(min=1, help="End after so many updates.")] = None,
    seconds: Annotated[float | None, typer.Option(min=0, help="End after so long.")] = None,
    timeout: Annotated[
        float | None,
        typer.Option(min=0, help="Fail if RabbitMQ is away for so many seconds [wait for it]."),
    ] = None,
) -> None:
    """Publish a file of market data, or a simulated market, to the configured RabbitMQ."""
    from tickfan.commands.publish import Order
    from tickfan.commands.publish import publish as command
    from tickfan.commands.shared import say

    of_files = {
        "--speed": speed, "--asap": asap or None, "--max-gap": max_gap,
        "--channel-template": channel_template, "--symbol": symbol,
        "--symbol-column": symbol_column, "--columns": columns, "--time": time, "--tz": tz,
        "--date": date, "--time-unit": time_unit, "--time-format": time_format,
        "--delimiter": delimiter, "--encoding": encoding, "--check or --no-check": check,
        "--from": begin, "--on-error": on_error, "--now": now or None,
    }  # fmt: skip
    of_market = {"--rate": rate, "--seed": seed}
    for source, is_there, options in (
        ("--replay", replay is not None, of_files),
        ("--simulated", simulated, of_market),
    ):
        for option, value in options.items():
            if value is not None and not is_there:
                say(f"{option} goes with {source}")
                raise typer.Exit(WRONG)
    if simulated and replay is not None:
        say("--simulated goes without --replay")
        raise typer.Exit(WRONG)
    if (asap and speed) or (max_gap is not None and (asap or speed == 0)):
        say("--asap (--speed 0) asks for no pace, so it goes without --speed and --max-gap")
        raise typer.Exit(WRONG)
    if replay is None and not simulated:
        say(
            "nothing to publish: --replay FILE publishes the rows of a file, and --simulated "
            "invented prices, for tests, to the RabbitMQ of broker.url"
        )
        raise typer.Exit(WRONG)
    if replay is None:
        raise typer.Exit(
            command(config, Order(None, rate, seed, count, seconds, timeout_s=timeout))
        )

    from tickfan.commands.replay import Playback
    from tickfan.files.columns import Layout
    from tickfan.files.errors import ReplayError
    from tickfan.files.pace import Pace
    from tickfan.files.reader import DEFAULT_TEMPLATE, Replay

    layout = Layout(
        None if columns is None else tuple(name.strip() for name in columns.split(",")),
        time, symbol_column, tz, date, time_unit, time_format, delimiter, encoding,
    )  # fmt: skip
    try:
        plan = Replay(replay, channel_template or DEFAULT_TEMPLATE, symbol, layout)
    except ReplayError as error:
        say(str(error))
        raise typer.Exit(WRONG) from None
    playback = Playback(
        plan,
        Pace(0.0 if asap else 1.0 if speed is None else speed, max_gap, count, seconds),
        begin or 1,
        is_checked=check is None and not plan.is_pipe,
        skips=on_error is OnError.SKIP,
        is_now=now,
    )
    order = Order(playback, checks_only=check is True, timeout_s=timeout)
    raise typer.Exit(command(config, order))


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
        int | None,
        typer.Option(min=1, help="Least ms between two values of a conflated channel."),
    ] = None,
    count: Annotated[int | None, typer.Option(min=1, help="End after so many updates.")] = None,
    no_snapshot: Annotated[bool, typer.Option("--no-snapshot", help="Live updates only.")] = False,
    timeout: Annotated[
        float | None, typer.Option(min=0.1, help="Fail after this many seconds without an update.")
    ] = None,
    token: kinds.BearerToken = None,
) -> None:
    """Print what a running service sends; at the end a sum of it goes to stderr.

    Times are local; --json has ms since 1970 UTC.
    """
    from tickfan.commands.tail import Wish
    from tickfan.commands.tail import tail as command

    wish = Wish(
        patterns, url, transport.value, interval_ms, not no_snapshot, count, as_json, timeout, token
    )
    raise typer.Exit(command(wish))


@cli.command()
def usage(  # noqa: PLR0913 - one for each option
    files: kinds.AuditFiles,
    month: kinds.Month = None,
    begin: kinds.Since = None,
    end: kinds.Until = None,
    tz: kinds.Zone = "UTC",
    by: kinds.By = kinds.By.FEED,
    format: kinds.UsageFormat = kinds.UsageFormat.TABLE,  # noqa: A002 - the option's name
) -> None:
    """Count from audit logs who had which feed, for how long, and how often at once."""
    from tickfan.commands import usage as command

    wish = command.Wish(files, month, begin, end, tz, by is kinds.By.PATTERN, format.value)
    raise typer.Exit(command.usage(wish))
