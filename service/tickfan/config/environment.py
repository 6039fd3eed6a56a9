"""Reads settings from environment variables: ``TICKFAN_HTTP__PORT`` is ``http.port``.

A variable's text becomes what the file would have: a number, true or false, a list. One that
cannot stays a text, for whoever judges it. Must not know the file, nor judge a value.
"""

from __future__ import annotations

import json
import re
from contextlib import suppress
from difflib import get_close_matches
from types import UnionType
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple, Union, get_args, get_origin

from pydantic import TypeAdapter

from tickfan.config.complaints import sections
from tickfan.config.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Mapping

PREFIX = "TICKFAN_"
DELIMITER = "__"
LISTS = ("feeds", "keys")
"""The lists of tables: each comes whole, in one variable."""
_TOOLS = ("TICKFAN_TEST_", "TICKFAN_LOAD_", "TICKFAN_TOKEN")
"""How variables begin that are for the tests of this repository, for its load tests, and for
`tickfan tail`."""

# Kubernetes puts the addresses of every Service of the namespace into each
# container; a Service named "tickfan" makes TICKFAN_SERVICE_HOST,
# TICKFAN_PORT=tcp://... and more. They are not meant for us.
_KUBERNETES = re.compile(
    r"TICKFAN_([A-Z0-9]+_)*("
    r"SERVICE_(HOST|PORT(_[A-Z0-9_]+)?)=.*|"
    r"PORT(_[0-9]+_(TCP|UDP|SCTP))?=(tcp|udp|sctp)://.*|"
    r"PORT_[0-9]+_(TCP|UDP|SCTP)_(PROTO|PORT|ADDR)=.*)"
)


# true and false in any case; also 1 and 0, yes and no, on and off, which a file must not say.
_flag = TypeAdapter(bool).validate_python


class FromEnvironment(NamedTuple):
    """What the environment says.

    ``values`` are nested as in the file, ``variables`` gives the variable for
    each setting's path, ``problems`` says what could not be read.
    """

    values: dict[str, Any]
    variables: dict[str, str]
    problems: list[str]


def read(environ: Mapping[str, str]) -> FromEnvironment:
    """The settings among ``environ``; other programs' variables are not looked at.

    Small letters in a name are refused and not taken for capitals: of two variables that
    differ in nothing else, each with its value, one would be lost.
    """
    known = _known()
    found = FromEnvironment({}, {}, [])
    for variable, value in sorted(environ.items()):
        name = variable.upper()
        if not name.startswith(PREFIX) or name.startswith(_TOOLS):
            continue
        if variable in known:
            path, kinds = known[variable]
            _take(found, variable, path, value, kinds)
        elif name in known:
            found.problems.append(f"{variable} is not a setting: write it in capitals, as {name}")
        elif not _is_foreign(variable, value):
            found.problems.append(_unknown(variable, list(known)))
    return found


def _is_foreign(variable: str, value: str) -> bool:
    """Whether it is somebody else's: Kubernetes', or in small letters and not built as ours."""
    if variable.startswith(PREFIX):
        return _KUBERNETES.fullmatch(f"{variable}={value}") is not None
    return DELIMITER not in variable


def _take(
    found: FromEnvironment, variable: str, path: str, text: str, kinds: frozenset[Any]
) -> None:
    try:
        value = _value(text, kinds)
    except (RecursionError, ValueError) as error:
        found.problems.append(f"{path}: {variable} must hold a JSON array: {error}")
        return
    found.variables[path] = variable
    section, _, name = path.partition(".")
    if name:
        found.values.setdefault(section, {})[name] = value
    else:
        found.values[section] = value


def _value(text: str, kinds: frozenset[Any]) -> Any:
    """The text as a value of one of these types. Raises ValueError for a list that is no JSON."""
    if kinds == {tuple} or (tuple in kinds and text.startswith("[")):
        return json.loads(text)
    with suppress(ValueError):  # pydantic's is one, too
        if bool in kinds:
            return _flag(text)
        if int in kinds:
            return int(text)
        if float in kinds:
            return float(text)
    return text


def _known() -> dict[str, tuple[str, frozenset[Any]]]:
    """Each variable with its setting's path, and the types that the setting may have."""
    known = {f"{PREFIX}{name}".upper(): (name, frozenset({tuple})) for name in LISTS}
    for section, model in sections(Settings).items():
        for name, field in model.model_fields.items():
            variable = f"{PREFIX}{section}{DELIMITER}{name}".upper()
            known[variable] = (f"{section}.{name}", frozenset(_kinds(field.annotation)))
    return known


def _kinds(annotation: Any) -> set[Any]:
    origin, parts = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _kinds(parts[0])
    if origin in (Union, UnionType):
        return set().union(*map(_kinds, parts))
    if origin is Literal:
        return set(map(type, parts))
    return {origin or annotation}


def _unknown(variable: str, known: list[str]) -> str:
    for each in LISTS:
        whole = f"{PREFIX}{each}".upper()
        if variable.startswith(whole + DELIMITER):
            return f"{variable} is not a setting: {each} are given whole, as JSON in {whole}"
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
