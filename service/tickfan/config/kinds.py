"""The kinds of values that settings have; each says what it allows.

A kind takes the values of its own type only: a text is no number, and ``1`` is not ``true``.
It raises ``allowed`` with a sentence of what would have been right, and never repeats the
value. Must not know which setting it serves.
"""

from __future__ import annotations

import math
import os
import re
from ipaddress import ip_network
from typing import TYPE_CHECKING, Annotated, Any, Literal, NoReturn

from pydantic import AfterValidator, SecretStr, Strict, ValidationError, WrapValidator
from pydantic_core import PydanticCustomError

from tickfan.config.brokerurl import ALLOWED as BROKER_URL_ALLOWED
from tickfan.config.brokerurl import urls
from tickfan.core.cursor import FEED_NAME
from tickfan.core.errors import Refusal
from tickfan.core.origin import PATTERN as ORIGIN
from tickfan.core.pattern import ALLOWED as CHARACTERS
from tickfan.core.pattern import Pattern
from tickfan.wire import schema

if TYPE_CHECKING:
    from pydantic import ValidatorFunctionWrapHandler

NAME_BYTES_MAX = 255
"""Of an exchange or a queue: a short string (AMQP 0-9-1, section 4.2.5.3)."""
TOKEN_CHARS_MIN = 16
TOKEN_CHARS_MAX = 512

_PATTERN_ALLOWED = (
    f"an AMQP pattern: {CHARACTERS}, where a whole word may be * (one word) or # (any number), "
    "and no word between dots is empty"
)
_TOKEN = rf"[!-~]{{{TOKEN_CHARS_MIN},{TOKEN_CHARS_MAX}}}"
# RabbitMQ's x-max-age and the interval form of x-stream-offset, both checked
# by the server in this form. "M" is a month there, "m" a minute.
_AGE = re.compile(r"[1-9][0-9]{0,5}[YMDhms]")
_AGE_ALLOWED = (
    "a number with one unit of Y (years), M (months), D (days), h (hours), "
    'm (minutes), s (seconds), such as "1m"'
)


def refuse(allowed: str, wrong: str = "") -> NoReturn:
    """Refuse a setting's value; ``allowed`` completes "got ..., allowed: ...".

    ``wrong`` is what is wrong with a value that is not shown.
    """
    context = {"allowed": allowed} | ({"wrong": wrong} if wrong else {})
    raise PydanticCustomError("allowed", "allowed: {allowed}", context)


def problems(found: list[tuple[str, str]]) -> NoReturn:
    """Refuse values that do not fit together: (path below here, sentence) each."""
    raise PydanticCustomError("problems", "settings that do not fit", {"problems": found})


def whole(low: int, high: int, unit: str) -> WrapValidator:
    """An integer from ``low`` to ``high``; ``unit`` is shown in brackets."""
    allowed = f"an integer from {low} to {high} ({unit})"

    def check(value: object, _handler: ValidatorFunctionWrapHandler) -> int:
        # A bool is an int to Python, not to someone who reads the file.
        if type(value) is not int or not low <= value <= high:
            refuse(allowed)
        return value

    return WrapValidator(check)


def real(low: float, high: float, unit: str) -> WrapValidator:
    """A number from ``low`` to ``high``; ``unit`` is shown in brackets."""
    allowed = f"a number from {low:g} to {high:g} ({unit})"

    def check(value: object, _handler: ValidatorFunctionWrapHandler) -> float:
        if type(value) is not int and (type(value) is not float or not math.isfinite(value)):
            refuse(allowed)
        if not low <= value <= high:
            refuse(allowed)
        return float(value)

    return WrapValidator(check)


def text(allowed: str, pattern: str) -> WrapValidator:
    """Text that the pattern matches as a whole."""
    matches = re.compile(pattern).fullmatch

    def check(value: object, _handler: ValidatorFunctionWrapHandler) -> str:
        if not isinstance(value, str) or matches(value) is None:
            refuse(allowed)
        return value

    return WrapValidator(check)


def _pattern(value: str) -> str:
    try:
        Pattern(value)
    except Refusal:
        refuse(_PATTERN_ALLOWED)
    return value


def _network(value: str) -> str:
    allowed = "a network such as 10.0.0.0/8 or 2001:db8::/32, or one address"
    try:
        network = ip_network(value, strict=False)
    except ValueError:
        refuse(allowed)
    try:
        return str(ip_network(value))
    except ValueError:
        refuse(allowed, f"that network is {network}")


def _readable(value: str) -> str:
    if value and not (os.path.isfile(value) and os.access(value, os.R_OK)):  # noqa: PTH113 - one check
        refuse('the path of a file that this process can read, or ""')
    return value


def _schema(value: str) -> str:
    if value:
        try:
            schema.read(value)
        except schema.SchemaError as error:
            refuse('the path of a JSON Schema that this process can read, or ""', str(error))
    return value


def _declare(value: object, handler: ValidatorFunctionWrapHandler) -> Any:
    allowed = 'true, false, or a list of what may be made: "exchange", "streams", "witness"'
    if not isinstance(value, bool | list | tuple):
        refuse(allowed)
    try:
        return handler(value)
    except ValidationError:
        refuse(allowed)


def _broker_url(value: SecretStr) -> SecretStr:
    if not value.get_secret_value():  # none is given: whether one is needed, the command knows
        return value
    try:
        urls(value.get_secret_value())
    except ValueError as error:
        refuse(BROKER_URL_ALLOWED, str(error))
    return value


def _token(value: SecretStr) -> SecretStr:
    token = value.get_secret_value()
    if token and not re.fullmatch(_TOKEN, token):
        refuse(
            f"{TOKEN_CHARS_MIN} to {TOKEN_CHARS_MAX} visible ASCII characters without spaces, "
            'or ""; `openssl rand -hex 32` makes a good one'
        )
    return value


_NAME = r"[^\x00-\x1f\x7f]{%d,127}"

Flag = Annotated[bool, Strict()]
Host = Annotated[
    str, text("a host name or an IP address, such as 127.0.0.1 or ::", r"[A-Za-z0-9._:%-]{1,253}")
]
Port = Annotated[int, whole(0, 65535, "a TCP port; 0 takes a free one")]
Network = Annotated[str, AfterValidator(_network)]
Origin = Annotated[
    str,
    text(
        "the origin of a page as its browser writes it, such as https://app.example.com or "
        "http://127.0.0.1:3000, with no path and no slash behind it. There is none for all "
        'pages ("*"), nor for pages without an origin ("null")',
        ORIGIN,
    ),
]
BindPattern = Annotated[str, AfterValidator(_pattern)]
FeedName = Annotated[str, text("a small letter, then up to 31 of a-z 0-9 _ -", FEED_NAME.pattern)]
Name = Annotated[str, text("a name of 1 to 127 characters", _NAME % 1)]
NameOrEmpty = Annotated[str, text('a name of up to 127 characters, or ""', _NAME % 0)]
Prefix = Annotated[str, text("up to 64 characters", r"[^\x00-\x1f\x7f]{0,64}")]
Age = Annotated[str, text(_AGE_ALLOWED, _AGE.pattern)]
AgeOrEmpty = Annotated[str, text(f'{_AGE_ALLOWED}, or ""', f"({_AGE.pattern})?")]
ReadableFile = Annotated[str, AfterValidator(_readable)]
SchemaFile = Annotated[str, AfterValidator(_schema)]
Declare = Annotated[
    bool | tuple[Literal["exchange", "streams", "witness"], ...], WrapValidator(_declare)
]
BrokerUrl = Annotated[SecretStr, AfterValidator(_broker_url)]
Token = Annotated[SecretStr, AfterValidator(_token)]
