"""Reads the settings: the file, the environment over it, then one verdict on all.

Must not know what a setting is for, nor end the process.
"""

from __future__ import annotations

import re
import tomllib
from codecs import BOM_UTF16_BE, BOM_UTF16_LE
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError
from pydantic_settings import InitSettingsSource

from tickfan.config import environment
from tickfan.config.complaints import complaints, feed_names, sections
from tickfan.config.settings import Settings
from tickfan.core.errors import TickfanError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from tickfan.config.environment import FromEnvironment

_UTF16 = (
    "the file is in UTF-16, and TOML must be UTF-8: save it as UTF-8 "
    "(in PowerShell: Set-Content -Encoding utf8)"
)
_AT = re.compile(r" \(at line (\d+), column (\d+)\)$")


class ConfigError(TickfanError):
    """The settings are wrong; ``problems`` says each, one sentence a piece.

    The caller shows them and exits with status 2. No secret is in them.
    """

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = tuple(problems)


def load(path: Path | None, environ: Mapping[str, str], *, is_demo: bool = False) -> Settings:
    """The settings from the file (None: no file), and from ``TICKFAN_*`` over it.

    What neither gives has its default; ``is_demo`` switches the simulated market on, whatever
    they say. Raises :class:`ConfigError` with everything that is wrong, not just the first.
    """
    given = environment.read(environ)
    problems = list(given.problems)
    # The first source wins, name by name within a table.
    asked = {"market": {"enabled": True}} if is_demo else {}
    written: dict[str, Any] = {}
    if path is not None:
        try:
            written = _file(path)
        except ConfigError as error:
            # Without the file a verdict on the rest would be a guess.
            raise ConfigError([*error.problems, *problems]) from None
    # A table over what is none would replace it, and nobody would hear that it was wrong.
    wrong = {table for table in sections(Settings) if not isinstance(written.get(table, {}), dict)}
    over = [
        {name: value for name, value in values.items() if name not in wrong}
        for values in (asked, given.values)
    ]
    sources = [InitSettingsSource(Settings, values) for values in (*over, written)]
    settings = None
    try:
        settings = Settings(_build_sources=(tuple(sources), {}))
    except ValidationError as error:
        feeds = next((values["feeds"] for one in sources if "feeds" in (values := one())), ())
        for fault in error.errors(include_url=False):
            problems += complaints(Settings, fault, given.variables, feed_names(feeds))
    if settings is not None and not is_demo:
        problems += _forgotten(settings, given)
    # Raised outside of the handler: pydantic's error holds the values.
    if settings is None or problems:
        raise ConfigError(problems)
    return settings


def _forgotten(settings: Settings, given: FromEnvironment) -> list[str]:
    """What is wrong where an address that was left empty would make a demo of a service.

    0.1.0's file has the market on: who copied it has not asked for invented prices.
    """
    variable = given.variables.get("broker.url")
    is_empty = variable is not None and not settings.broker.url.get_secret_value()
    if not (is_empty and settings.market.enabled) or "market.enabled" in given.variables:
        return []
    why = (
        f"is true in the file, and {variable} is empty: say which is meant. Set {variable}="
        "amqp://user:password@host:5672/vhost, and market.enabled to false. Or, for invented "
        "prices: `tickfan serve --demo`"
    )
    return [f"market.enabled: {why}"]


def _file(path: Path) -> dict[str, Any]:
    try:
        content = path.read_bytes()
        if content.startswith((BOM_UTF16_LE, BOM_UTF16_BE)) or b"\0" in content[:2]:
            raise ConfigError([f"{path}: {_UTF16}"])
        # Editors on Windows begin a file with a byte order mark.
        return tomllib.loads(content.decode("utf-8-sig"))
    except OSError as error:
        problem = f"{path}: the file cannot be read: {error.strerror}"
    except UnicodeDecodeError as error:
        problem = f"{path}: not UTF-8, as TOML must be: see byte {error.start}"
    except tomllib.TOMLDecodeError as error:
        problem = _broken(path, str(error))
    except (RecursionError, ValueError) as error:  # nested too deep, or an integer too long
        problem = f"{path}: not TOML that a setting could need: {error}"
    raise ConfigError([problem])


def _broken(path: Path, why: str) -> str:
    at = _AT.search(why)
    if at is None:
        return f"{path}: not TOML: {why}"
    return f"{path}:{at[1]}: not TOML: {why[: at.start()]}, at column {at[2]}"
