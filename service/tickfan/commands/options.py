"""Options of the command line that have a name: those of several commands, and those of a kind.

Must not know which command has which.
"""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

Config = Annotated[
    Path | None,
    typer.Option("--config", "-c", help="The settings file; TICKFAN_* variables win over it."),
]


Demo = Annotated[
    bool,
    typer.Option("--demo", help="Invented prices, from a broker inside the process: no RabbitMQ."),
]


class Transport(StrEnum):
    """What ``tickfan tail`` can speak."""

    WS = "ws"
    SSE = "sse"
    NDJSON = "ndjson"


class OnError(StrEnum):
    """What ``tickfan publish --replay`` does with a row that cannot be sent."""

    STOP = "stop"
    SKIP = "skip"


Readable = Annotated[
    list[str] | None,
    typer.Option(help="A pattern that it may read; several times. Without any: all."),
]
Writable = Annotated[
    list[str] | None, typer.Option(help="A pattern that it may publish to; several times.")
]
Interval = Annotated[
    int | None, typer.Option(min=0, help="The shortest interval of conflated channels.")
]
Connections = Annotated[
    int | None, typer.Option(min=0, help="Streams at the same time, in each replica.")
]


class UsageFormat(StrEnum):
    """How ``tickfan usage`` shows its figures."""

    TABLE = "table"
    CSV = "csv"
    JSON = "json"


class By(StrEnum):
    """What ``tickfan usage`` counts for each subject."""

    FEED = "feed"
    PATTERN = "channel-pattern"


AuditFiles = Annotated[
    list[str],
    typer.Argument(metavar="FILE...", help="Logs of all replicas, also packed (gz); - is stdin."),
]
Month = Annotated[str | None, typer.Option(help="Count this month: 2026-11.")]
Since = Annotated[str | None, typer.Option("--from", help="Count from this date or time on.")]
Until = Annotated[str | None, typer.Option("--to", help="Count until before this date or time.")]
Zone = Annotated[str, typer.Option(help="The time zone of months and times.")]
BearerToken = Annotated[
    str | None,
    typer.Option(
        envvar="TICKFAN_TOKEN",
        show_envvar=True,
        help="The token, if the service asks for one. In the variable nobody else sees it.",
    ),
]
