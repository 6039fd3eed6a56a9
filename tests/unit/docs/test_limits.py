"""docs/limits.md has every limit, with the default and the range that the service has."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tickfan.access import jwks, sealed, spent, tokens
from tickfan.access.revocations import REVOCATIONS_MAX
from tickfan.api import channels, history
from tickfan.api.admin import bodies, connections, revocations
from tickfan.commands import auditlines
from tickfan.commands.shared import FILES_BESIDE_CLIENTS
from tickfan.config import ConfigError, ConflatedFeed, LosslessFeed, Settings, load
from tickfan.config.access import ANONYMOUS_MAX, KEYS_MAX, SECRETS_MAX
from tickfan.config.complaints import sections
from tickfan.config.feeds import BINDINGS_MAX, FEEDS_MAX
from tickfan.config.sections import INTERVAL_MS_MAX, INTERVALS_MAX, NETWORKS_MAX, ORIGINS_MAX
from tickfan.config.settings import REVOCATIONS_BYTES
from tickfan.core import closing, cursor, feed, pattern, scope, update
from tickfan.core.errors import POISON_REASONS, REFUSAL_CODES
from tickfan.fanout import backlog, finding, openings
from tickfan.ingest import SOURCES_MAX
from tickfan.session import audit, laggards
from tickfan.transports import (
    addresses,
    answers,
    catchup,
    commands,
    conversation,
    door,
    frames,
    messages,
    middlewares,
    refused,
    remotes,
    server,
)
from tickfan.wire import csvtable, inbound

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo

PAGE = (Path(__file__).parents[3] / "docs" / "limits.md").read_text()
SETTINGS = {
    name: (default, allowed)
    for name, default, allowed in re.findall(
        r"^\| `([\w.]+)` \| ([\d, ]+) \| ([^|]+) \|", PAGE, re.MULTILINE
    )
}
"""By name: the default, and the range with its unit."""

A_LIMIT = re.compile(
    r"_max$|_max_|^max_|timeout|lowat|^backlog$|^prefetch$|_per_s$|segment|retention_bytes|^grace"
)


def _numbers() -> dict[str, list[tuple[str, FieldInfo]]]:
    """Every setting that is a number, by the name that the page gives it."""
    found: dict[str, list[tuple[str, FieldInfo]]] = {}
    tables = [(f"{name}.", "", model) for name, model in sections(Settings).items()]
    tables += [("", "conflated", ConflatedFeed), ("", "lossless", LosslessFeed)]
    for prefix, delivery, model in tables:
        for name, field in model.model_fields.items():
            if type(field.default) in (int, float):
                found.setdefault(f"{prefix}{name}", []).append((delivery, field))
    return found


NUMBERS = _numbers()


def _range(name: str, delivery: str) -> str:
    """What the service says is allowed, as the page writes it."""
    section, _, setting = name.rpartition(".")
    environ = {f"TICKFAN_{section}__{setting}".upper(): "-1"}
    if delivery:
        wrong = {"name": "a", "bind": ["a"], "delivery": delivery, name: -1}
        environ = {"TICKFAN_FEEDS": json.dumps([wrong])}
    with pytest.raises(ConfigError) as caught:
        load(None, environ)
    [said] = [each for each in caught.value.problems if f"{setting}: got " in each]
    found = re.search(r"from ([\d.]+) to ([\d.e+]+) \(([\w ]+)\)", said)
    assert found is not None, said
    low, high = (f"{float(bound):,g}" if "." in bound else f"{int(bound):,}" for bound in
                 (found[1], found[2]))  # fmt: skip
    return f"{low} to {high} {found[3]}"


def test_no_limit_is_missing() -> None:
    """A setting that bounds something has a row."""
    assert {name for name in NUMBERS if A_LIMIT.search(name.rpartition(".")[2])} <= set(SETTINGS)


@pytest.mark.parametrize("name", SETTINGS)
def test_a_row_has_the_default_and_the_range_of_its_setting(name: str) -> None:
    """And its unit. A feed's may differ by its policy."""
    default, allowed = SETTINGS[name]
    values = list(dict.fromkeys(f"{field.default}" for _, field in NUMBERS[name]))
    assert default == ", ".join(values)
    for delivery, _ in NUMBERS[name]:
        assert allowed == _range(name, delivery)


def test_each_code_is_one_that_the_service_has() -> None:
    """Closing codes with their number; codes of errors and of poison by their name."""
    for name, code in re.findall(r"`(\w+)` \((4\d{3})\)", PAGE):
        assert closing.REASONS[name].code == int(code)
    said = set(re.findall(r"`((?:bad|too|no|more)_\w+|\w+_max)`", PAGE))
    settings = {name.rpartition(".")[2] for name in NUMBERS} | set(NUMBERS)
    assert said <= settings | set(REFUSAL_CODES) | set(POISON_REASONS) | set(closing.REASONS)


@pytest.mark.parametrize(
    ("words", "limit"),
    [
        ("name of a channel", pattern.CHANNEL_CHARS_MAX),
        ("`id` of a WebSocket", commands.ID_CHARS_MAX),
        ("frames of one", frames.PIECES_MAX),
        ("commands that one", conversation.AUTH_COMMANDS),
        ("answers that wait", messages.ANSWERS_MAX),
        ("channels of a WebSocket client", finding.LOOKS_AT_ONCE),
        ("errors of one command", conversation.ERRORS_MAX),
        ("events (", backlog.CONTROLS_MAX),
        ("subscriptions of a slow", openings.OPENINGS_MAX),
        ("time that a resuming", catchup.BEHIND_S),
        ("keys (", KEYS_MAX),
        ("bytes of a set", jwks.SET_BYTES_MAX),
        ("keys of a set", jwks.SET_KEYS_MAX),
        ("patterns in `access", ANONYMOUS_MAX),
        ("patterns in a claim", tokens.SCOPE_MAX),
        ("characters of `sub`", tokens.SUBJECT_CHARS_MAX),
        ("secrets in", SECRETS_MAX),
        ("seconds until a [ticket]", int(sealed.TICKET_S)),
        ("used tickets", spent.SPENT_MAX),
        ("bytes of a ticket", sealed.SEALED_BYTES_MAX),
        ("patterns of a token", scope.TOLD_MAX),
        ("cursor", cursor.CURSOR_BYTES_MAX),
        ("headers of a request", server.HEAD_BYTES_MAX),
        ("requests that are sent ahead", server.HEAD_BYTES_MAX),
        ("connections that are accepted", door.ACCEPTS_A_TURN),
        ("sockets that are told", door.LINGERING_MAX),
        ("sockets that are told", int(door.LINGER_S)),
        ("addresses without a socket", addresses.IDLE_MAX),
        ("addresses that the log", refused.NAMED_MAX),
        ("addresses that the log", int(refused.WINDOW_S)),
        ("requests that begin", middlewares.REQUESTS_A_TURN),
        ("`limit` of `GET", channels.LIMIT_MAX),
        ("`limit` of `GET", channels.LIMIT),
        ("`limit` of a channel", history.LIMIT_MAX),
        ("`limit` of a channel", history.LIMIT),
        ("columns for fields", csvtable.COLUMNS_MAX),
        ("an answer of REST that is never", answers.FREE_BYTES // 1024),
        ("what a client must take", answers.TAKEN_BYTES_MIN // 1024),
        ("updates of the feed", history.SCAN_MAX),
        ("revocations of one", bodies.ENTRIES_MAX),
        ("revocations that hold", REVOCATIONS_MAX),
        ("revocations that hold", REVOCATIONS_BYTES // 2**20),
        ("time of a revocation", bodies.AHEAD_MS_MAX // 1000),
        ("`limit` of `GET /v1/admin", connections.LIMIT_MAX),
        ("`limit` of `GET /v1/admin", connections.LIMIT),
        ("`limit` of `GET /v1/admin", revocations.LIMIT_MAX),
        ("`limit` of `GET /v1/admin", revocations.LIMIT),
        ("updates in a batch", update.MESSAGE_UPDATES_MAX),
        ("depth of", inbound.DEPTH_MAX),
        ("digits of", inbound.DIGITS_MAX),
        ("updates after a channel's last", feed.STATE_UPDATES_MAX),
        ("poisoned channels", SOURCES_MAX),
        ("clients that the log", laggards.NAMED_MAX),
        ("clients that the log", int(laggards.BEHIND_S)),
        ("lines of refusals", audit.LINES_PER_SUBJECT_MAX),
        ("lines of refusals", int(audit.WINDOW_S)),
        ("lines of refusals", audit.LINES_MAX),
        ("refused channels", audit.REFUSED_NAMED_MAX),
        ("patterns in a line", audit.LINE_CHARS_MAX),
        ("a line that `tickfan", auditlines.LINE_BYTES_MAX),
        ("open files", FILES_BESIDE_CLIENTS),
        ("feeds", FEEDS_MAX),
        ("feeds", cursor.LOSSLESS_FEEDS_MAX),
        ("networks in", NETWORKS_MAX),
        ("origins in", ORIGINS_MAX),
        ("addresses of", remotes.HOPS_MAX),
        ("patterns in", BINDINGS_MAX),
        ("`stream.intervals_ms`", INTERVALS_MAX),
        ("`stream.intervals_ms`", INTERVAL_MS_MAX),
    ],
)
def test_a_limit_without_a_setting_is_what_the_code_has(words: str, limit: float) -> None:
    """Its number is in the row."""
    rows = re.findall(rf"^\| {re.escape(words)}[^|]* \| ([^|]+) \|", PAGE, re.MULTILINE)
    assert any(re.search(rf"\b{re.escape(f'{limit:,}')}\b", row) for row in rows), rows
