"""Reads settings from environment variables: ``TICKFAN_HTTP__PORT`` is ``http.port``.

Must not know the file, nor judge a value.
"""

from __future__ import annotations

import json
import re
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, NamedTuple

from tickfan.config.complaints import sections
from tickfan.config.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Mapping

PREFIX = "TICKFAN_"
TEST_PREFIX = "TICKFAN_TEST_"
DELIMITER = "__"

# Kubernetes puts the addresses of every Service of the namespace into each
# container; a Service named "tickfan" makes TICKFAN_SERVICE_HOST,
# TICKFAN_PORT=tcp://... and more. They are not meant for us.
_KUBERNETES = re.compile(
    r"TICKFAN_([A-Z0-9]+_)*("
    r"SERVICE_(HOST|PORT(_[A-Z0-9_]+)?)=.*|"
    r"PORT(_[0-9]+_(TCP|UDP|SCTP))?=(tcp|udp|sctp)://.*|"
    r"PORT_[0-9]+_(TCP|UDP|SCTP)_(PROTO|PORT|ADDR)=.*)"
)


class FromEnvironment(NamedTuple):
    """What the environment says.

    ``values`` are nested as in the file, ``variables`` gives the variable for
    each setting's path, ``problems`` says what could not be read.
    """

    values: dict[str, Any]
    variables: dict[str, str]
    problems: list[str]


def read(environ: Mapping[str, str]) -> FromEnvironment:
    """The settings among ``environ``; other programs' variables are not looked at."""
    known = _known()
    found = FromEnvironment({}, {}, [])
    for variable, value in sorted(environ.items()):
        if not variable.startswith(PREFIX) or variable.startswith(TEST_PREFIX):
            continue
        if variable in known:
            path, is_list = known[variable]
            _take(found, variable, path, value, is_list=is_list)
        elif not _KUBERNETES.fullmatch(f"{variable}={value}"):
            found.problems.append(_unknown(variable, list(known)))
    return found


def _take(found: FromEnvironment, variable: str, path: str, text: str, *, is_list: bool) -> None:
    value: Any = text
    if is_list:
        try:
            value = json.loads(text)
        except ValueError as error:
            found.problems.append(f"{path}: {variable} must hold a JSON array: {error}")
            return
    found.variables[path] = variable
    section, _, name = path.partition(".")
    if name:
        found.values.setdefault(section, {})[name] = value
    else:
        found.values[section] = value


def _known() -> dict[str, tuple[str, bool]]:
    """Each variable with its setting's path, and whether it holds a list."""
    known = {PREFIX + "FEEDS": ("feeds", True)}
    for section, model in sections(Settings).items():
        for name, field in model.model_fields.items():
            variable = f"{PREFIX}{section}{DELIMITER}{name}".upper()
            known[variable] = (f"{section}.{name}", isinstance(field.default, tuple))
    return known


def _unknown(variable: str, known: list[str]) -> str:
    if variable.startswith(f"{PREFIX}FEEDS{DELIMITER}"):
        return f"{variable} is not a setting: feeds are given whole, as JSON in {PREFIX}FEEDS"
    name = variable.removeprefix(PREFIX).upper()
    names = [each.removeprefix(PREFIX) for each in known]
    near = get_close_matches(name, names, n=1)
    near = near or [each for each in names if each.endswith(DELIMITER + name)]
    advice = (
        f"did you mean {PREFIX}{near[0]}?"
        if near
        else f"a setting's variable is {PREFIX}<SECTION>{DELIMITER}<NAME>"
    )
    return f"{variable} is not a setting: {advice}"
