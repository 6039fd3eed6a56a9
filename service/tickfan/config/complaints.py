"""Says what is wrong with a setting: its path, its value, what is allowed.

Must not show a secret. Of the place that a value came from it must not know more than the
name.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

from tickfan.config import brokerurl
from tickfan.config.access import KeySettings
from tickfan.config.feeds import ConflatedFeed, LosslessFeed
from tickfan.core.cursor import FEED_NAME
from tickfan.core.spec import Delivery

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pydantic_core import ErrorDetails

SECRETS = frozenset(
    {"access.secret", "broker.url", "http.admin_token", "keys.key", "publish.token"}
)
"""Settings that hold one; a list's without the number."""
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


def feed_names(feeds: object) -> dict[int, str]:
    """The name of each feed that can be told by it; ``feeds`` is what somebody has written."""
    listed = feeds if isinstance(feeds, list | tuple) else ()
    names = {
        index: feed["name"]
        for index, feed in enumerate(listed)
        if isinstance(feed, dict) and isinstance(feed.get("name"), str)
    }
    counts = Counter(names.values())
    return {
        index: name
        for index, name in names.items()
        if counts[name] == 1 and FEED_NAME.fullmatch(name)
    }


def complaints(
    settings: type[BaseModel],
    fault: ErrorDetails,
    variables: Mapping[str, str],
    names: Mapping[int, str],
) -> list[str]:
    """One of pydantic's faults as sentences.

    ``variables`` names what came from where, ``names`` the feeds by their places.
    """
    where, tag = _place(fault)
    if len(where) > 1 and where[0] == "feeds" and where[1] in names:
        where = [_Feed(names[int(where[1])]), *where[2:]]
    path = _path(where)
    context = fault.get("ctx", {})
    kind = fault["type"]
    if kind == "problems":
        return [
            f"{_path([*where, *below.split('.')] if below else where)}: {sentence}"
            for below, sentence in context["problems"]
        ]
    if kind == "extra_forbidden":
        return [_unknown_name(settings, where, tag)]
    if kind == "missing":
        needed = "a feed needs a name, bind and delivery"
        if where[0] == "keys":
            needed = "a key needs an issuer, an algorithm, and key, key_file or jwks_url"
        return [f"{path}: missing; {needed}"]
    if kind == "union_tag_not_found":
        return [f'{_path([*where, "delivery"])}: missing, allowed: "conflated" or "lossless"']
    value: Any = fault["input"]
    allowed = context.get("allowed") or _ALLOWED.get(kind)
    if kind == "union_tag_invalid":
        path, value = _path([*where, "delivery"]), value["delivery"]
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


class _Feed(str):
    """A step of a place: a feed by its name."""

    __slots__ = ()


def _path(where: list[str | int]) -> str:
    path, joint = "", ""
    for step in where:
        if isinstance(step, _Feed):
            path, joint = f"feed {str(step)!r}", ": "
        elif isinstance(step, int):
            path, joint = f"{path}[{step}]", "."
        else:
            path, joint = f"{path}{joint}{step}", "."
    return path


def _unknown_name(settings: type[BaseModel], where: list[str | int], tag: str | None) -> str:
    path, name = _path(where), str(where[-1])
    parent = "" if isinstance(where[0], _Feed) else path.removesuffix(name)
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
    if where[0] == "keys":
        return list(KeySettings.model_fields)
    return list(sections(settings)[str(where[0])].model_fields)


def _other(tag: str) -> str:
    return next(name for name in _FEED_MODELS if name != tag)


def _shown(path: str, value: Any) -> str:
    # Also where a section is not a table: it may be its secret, misplaced.
    plain = re.sub(r"\[\d+\]", "", path)
    if any(f"{secret}.".startswith(f"{plain}.") for secret in SECRETS):
        return "a value that is not shown (it may hold a secret)"
    if isinstance(value, dict):
        return "a table"
    text = brokerurl.masked(json.dumps(value, ensure_ascii=False, default=str))
    return text if len(text) <= SHOWN_CHARS_MAX else text[:SHOWN_CHARS_MAX] + "..."
