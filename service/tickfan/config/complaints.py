"""Says what is wrong with a setting: its path, its value, what is allowed.

Must not show a secret. Of the place that a value came from it must not know more than the
name.
"""

from __future__ import annotations

import json
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

from tickfan.config import brokerurl
from tickfan.config.feeds import ConflatedFeed, LosslessFeed
from tickfan.core.spec import Delivery

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pydantic_core import ErrorDetails

SECRETS = frozenset({"broker.url", "publish.token"})
SHOWN_CHARS_MAX = 80

_FEED_MODELS: dict[str, type[BaseModel]] = {
    Delivery.CONFLATED.value: ConflatedFeed,
    Delivery.LOSSLESS.value: LosslessFeed,
}
_ALLOWED = {
    "bool_type": "true or false",
    "string_type": "text in quotes",
    "tuple_type": "a list in square brackets",
    "dict_type": "a table of settings",
    "model_type": "a table of settings",
    "model_attributes_type": "a table of settings",
}


def sections(settings: type[BaseModel]) -> dict[str, type[BaseModel]]:
    """The tables of the settings by name; ``feeds``, a list, is not one."""
    return {
        name: field.annotation
        for name, field in settings.model_fields.items()
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel)
    }


def complaints(
    settings: type[BaseModel], fault: ErrorDetails, variables: Mapping[str, str]
) -> list[str]:
    """One of pydantic's faults as sentences; ``variables`` names what came from where."""
    where, tag = _place(fault)
    path = _path(where)
    context = fault.get("ctx", {})
    kind = fault["type"]
    if kind == "problems":
        return [_joined(path, below, sentence) for below, sentence in context["problems"]]
    if kind == "extra_forbidden":
        return [_unknown_name(settings, where, tag)]
    if kind == "missing":
        return [f"{path}: missing; a feed needs a name, bind and delivery"]
    if kind == "union_tag_not_found":
        return [f'{path}.delivery: missing, allowed: "conflated" or "lossless"']
    value: Any = fault["input"]
    allowed = context.get("allowed") or _ALLOWED.get(kind)
    if kind == "union_tag_invalid":
        path, value = f"{path}.delivery", value["delivery"]
        allowed = '"conflated" or "lossless"'
    elif kind == "literal_error":
        allowed = str(context["expected"]).replace("'", '"')
    variable = variables.get(path)
    got = _shown(path, value) + (f" (from {variable})" if variable else "")
    if wrong := context.get("wrong"):
        got += f": {wrong}"
    return [f"{path}: got {got}, allowed: {allowed or fault['msg']}"]


def _place(fault: ErrorDetails) -> tuple[list[str | int], str | None]:
    """The fault's place without the union's tag, and the tag."""
    where = list(fault["loc"])
    if len(where) > 2 and where[0] == "feeds" and where[2] in _FEED_MODELS:
        return where[:2] + where[3:], str(where[2])
    return where, None


def _path(where: list[str | int]) -> str:
    path = ""
    for step in where:
        path += f"[{step}]" if isinstance(step, int) else f".{step}" if path else step
    return path


def _joined(path: str, below: str, sentence: str) -> str:
    whole = f"{path}.{below}" if path and below else path or below
    return f"{whole}: {sentence}"


def _unknown_name(settings: type[BaseModel], where: list[str | int], tag: str | None) -> str:
    path, name = _path(where), str(where[-1])
    parent = path.removesuffix(name)
    names = _names(settings, where, tag)
    if tag is not None and name in _names(settings, where, _other(tag)):
        return f"{path}: is a setting of {_other(tag)} feeds, and this feed is {tag}"
    near = [parent + key for key in get_close_matches(name, names, n=1)]
    if not near and len(where) > 1:
        tables = sections(settings).items()
        near = [f"{table}.{name}" for table, model in tables if name in model.model_fields]
    advice = f"did you mean {near[0]}?" if near else f"allowed: {', '.join(names)}"
    return f"{path}: there is no such setting; {advice}"


def _names(settings: type[BaseModel], where: list[str | int], tag: str | None) -> list[str]:
    """The names that would have been right beside the unknown one."""
    if tag is not None:
        return list(_FEED_MODELS[tag].model_fields)
    if len(where) == 1:
        return list(settings.model_fields)
    return list(sections(settings)[str(where[0])].model_fields)


def _other(tag: str) -> str:
    return next(name for name in _FEED_MODELS if name != tag)


def _shown(path: str, value: Any) -> str:
    # Also where a section is not a table: it may be its secret, misplaced.
    if any(f"{secret}.".startswith(f"{path}.") for secret in SECRETS):
        return "a value that is not shown (it may hold a secret)"
    if isinstance(value, dict):
        return "a table"
    text = brokerurl.masked(json.dumps(value, ensure_ascii=False, default=str))
    return text if len(text) <= SHOWN_CHARS_MAX else text[:SHOWN_CHARS_MAX] + "..."
