"""The log: one line an event, as JSON or for a person, and never a secret.

The standard library's loggers (aiohttp, aio_pika, asyncio) go through the
same processors. Must not know what is logged; there is no access log.
"""

from __future__ import annotations

import contextlib
import logging
import os
import re
import sys
import time
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import orjson
import structlog
from structlog.stdlib import ProcessorFormatter

if TYPE_CHECKING:
    from collections.abc import Collection

    from structlog.typing import EventDict, Processor, WrappedLogger

log = structlog.get_logger("tickfan")

MASK = "***"
AUDIT = "tickfan.audit"
"""The logger of who saw what."""

CLAIMS = frozenset(("subject", "issuer", "jti", "previous_subject", "previous_issuer"))
"""Keys of the audit log whose values come from tokens that were checked, and are no secrets.

They are kept as they are: masking could make one customer of two.
"""

SAY_S = 60.0
"""How often the log says that the audit log is not written."""

_NOISY = ("aiormq", "aio_pika")
"""They print a traceback at each cut; the broker's own lines say it in one."""
DEPTH_MAX = 8
"""Levels of nested values that are looked into; what is deeper is masked."""

TEXT_CHARS_MAX = 16_384
"""Characters of one text in a line; of a longer one the middle is left out."""

_SECRET_WORDS = (
    "token", "ticket", "authorization", "password", "passwd", "secret", "credential",
    "credentials", "cookie", "query",
)  # fmt: skip
_SECRET_KEYS = frozenset(_SECRET_WORDS)
_WORD = re.compile(r"[A-Za-z][a-z]*")
# Each pattern takes linear time, whatever a client sends: it cannot begin a second match
# inside of what it has scanned in vain.
_RUN = re.compile(r"[^ \t\r\n]+")
_ASSIGNED = re.compile(
    r"(?i)((?:" + "|".join(_SECRET_WORDS) + r")[\"']?\s*[=:]\s*)"
    r"(?:(?:bearer|basic)\s+)?[^\s&;,\"'<>]*(?:[\"'][^\"']*[\"'])?"
)
_BEARER = re.compile(r"(?i)\b(bearer|basic)\s+[A-Za-z0-9._~+/=-]{8,}")
# Signed in three parts, or sealed in five, of which one may be empty (RFC 7515, RFC 7516).
_JWT = re.compile(r"(?<![A-Za-z0-9_-])eyJ[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]*){2,4}")
_MARKS = ("://", "?", "eyj", "bearer", "basic")
"""Without one of these, and without a secret word that is assigned, nothing is masked."""

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_CONTROL_BUT_LINES = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u2029]")
_LINES_KEYS = frozenset({"exception", "stack"})
_FIRST_KEYS = ("time", "level", "logger", "event")
_INTEGER_MAX = 2**63 - 1


def configure(
    level: str = "info",
    format: str = "auto",  # noqa: A002 - the setting's name
    stream: TextIO | None = None,
    audit_file: str = "",
) -> None:
    """Send all logging of this process to ``stream`` (stderr if None).

    ``level`` is a name such as ``info``; ``format`` is ``json``, ``console``,
    or ``auto``: for a person if the stream is a terminal, else JSON. The audit log is always
    JSON, at any ``level``: in ``audit_file``, or without one in the stream. May be
    called again; the last call holds. Raises :class:`OSError` if that file cannot be opened.
    """
    stream = sys.stderr if stream is None else stream
    is_console = format == "console" or (format == "auto" and stream.isatty())
    before: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
        structlog.processors.StackInfoRenderer(),
        # Into text here, so that redaction sees the exception's words as well.
        structlog.processors.format_exc_info,
    ]

    def formatter(*rendered: Processor) -> ProcessorFormatter:
        processors = [ProcessorFormatter.remove_processors_meta, *rendered]
        return ProcessorFormatter(foreign_pre_chain=before, processors=processors)

    handler = _Handler(stream)
    handler.setFormatter(formatter(redact, *(_console(stream) if is_console else [_json])))
    _audit_to(AuditFile(audit_file) if audit_file else _Handler(stream), formatter(_named, _json))
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level.upper())
    # One line at each connection's end is the service's own, without queries.
    logging.getLogger("aiohttp.access").disabled = True
    for name in _NOISY:
        logging.getLogger(name).setLevel(logging.CRITICAL)
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *before,
            ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
    )


def _audit_to(handler: logging.Handler, formatter: logging.Formatter) -> None:
    handler.setFormatter(formatter)
    audit = logging.getLogger(AUDIT)
    for old in audit.handlers:
        old.close()
    audit.handlers = [handler]
    audit.setLevel(logging.INFO)
    audit.propagate = False


def _named(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """A structlog processor: as :func:`redact`, but for the claims."""
    claims = {
        key: str(event[key]).encode("utf-8", "backslashreplace").decode()
        for key in CLAIMS & event.keys()
    }
    return {**redact(_logger, _method, event), **claims}


def redact(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """A structlog processor: masks secrets by their key, and inside of any text.

    By key: token, ticket, authorization, password, cookie and the like. In
    text: a URL's user information and query, ``token=...``, bearer tokens, JSON web
    tokens. It rather masks a word too many than one too few.
    """
    return {key: _redacted(key, value, DEPTH_MAX) for key, value in event.items()}


def _redacted(key: str, value: Any, depth: int) -> Any:
    if value is None or isinstance(value, bool):
        return value
    if _is_secret(key) or depth == 0:
        return MASK
    if isinstance(value, float) or (isinstance(value, int) and abs(value) <= _INTEGER_MAX):
        return value
    if isinstance(value, dict):
        return {
            clean(str(name)): _redacted(str(name), item, depth - 1) for name, item in value.items()
        }
    if isinstance(value, list | tuple | set | frozenset):
        return value if _are_plain(value) else [_redacted("", each, depth - 1) for each in value]
    if isinstance(value, bytes | bytearray):
        value = bytes(value).decode("utf-8", "replace")
    return clean(str(value))


def _is_secret(key: str) -> bool:
    # By words, so that "apiToken" and "api_token" are, and "tokenized" is not.
    return any(word.lower() in _SECRET_KEYS for word in _WORD.findall(key)) or (
        key.lower() in _SECRET_KEYS
    )


def clean(text: str) -> str:
    """``text`` with every secret that can be told by its form masked.

    Lone surrogates, which no stream takes, are written as escapes.
    """
    if not _is_plain(text):
        text = text.encode("utf-8", "backslashreplace").decode()
        text = _RUN.sub(_clean_url, text)
        text = _ASSIGNED.sub(rf"\1{MASK}", text)
        text = _BEARER.sub(rf"\1 {MASK}", text)
        text = _JWT.sub(MASK, text)
    if len(text) <= TEXT_CHARS_MAX:
        return text
    # Cut after masking, else a cut could part a secret from what tells it.
    half = TEXT_CHARS_MAX // 2
    return f"{text[:half]} ...({len(text)} characters)... {text[-half:]}"


def _are_plain(values: Collection[Any]) -> bool:
    """Whether all are short plain texts: 500 names of one command are looked at together."""
    if not isinstance(values, list) or set(map(type, values)) != {str}:
        return False
    return len(max(values, key=len)) <= TEXT_CHARS_MAX and _is_plain("\n".join(values))


def _is_plain(text: str) -> bool:
    """Whether nothing in the text can be a secret. It is a glance, at a tenth of the cost."""
    if not text.isascii():
        return False
    lower = text.lower()
    is_assigned = "=" in text or ":" in text
    marks = _MARKS + _SECRET_WORDS if is_assigned else _MARKS
    return not any(mark in lower for mark in marks)


def _clean_url(match: re.Match[str]) -> str:
    """Mask user information and query in a run of text without spaces.

    Up to the last @, and to the end: a password may hold any character.
    """
    run = match[0]
    scheme, found, rest = run.partition("://")
    if found and "@" in rest:
        run = f"{scheme}://{MASK}@{rest.rpartition('@')[2]}"
    path, _, query = run.partition("?")
    if query and ("/" in path or "=" in query):
        run = f"{path}?{MASK}"
    return run


def _json(_logger: WrappedLogger, _method: str, event: EventDict) -> str:
    first = {key: event[key] for key in _FIRST_KEYS if key in event}
    return orjson.dumps({**first, **event}).decode()


def _console(stream: TextIO) -> list[Processor]:
    renderer = structlog.dev.ConsoleRenderer(
        colors=stream.isatty(),
        timestamp_key="time",
        exception_formatter=structlog.dev.plain_traceback,
    )
    return [_printable, renderer]


def _printable(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Escape control characters: a client's text must not move a terminal's cursor."""
    return {
        key: (_CONTROL_BUT_LINES if key in _LINES_KEYS else _CONTROL).sub(_escape, value)
        if isinstance(value, str)
        else value
        for key, value in event.items()
    }


def _escape(match: re.Match[str]) -> str:
    return repr(match[0])[1:-1]


class _Handler(logging.StreamHandler[TextIO]):
    """Writes lines; of one that it cannot write it tells the name only.

    The standard library prints the whole message then, secrets and all.
    """

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - the base's name
        """Say that a line is missing, if the stream still takes anything."""
        fault = sys.exc_info()[0]
        with contextlib.suppress(OSError, ValueError):
            self.stream.write(
                f"a log line of {record.name} was lost: {fault.__name__ if fault else 'unknown'}\n"
            )
            self.flush()


class AuditFile(logging.Handler):
    """Appends lines to a file, and opens it anew when it was moved: logrotate needs no signal.

    A line is handed to the kernel at once, and is there after a kill. If that fails, the line
    is lost and counted, the log says so, and the service goes on.
    """

    def __init__(self, path: str) -> None:
        """Raises :class:`OSError` if the file cannot be opened."""
        super().__init__()
        self.lost = 0
        self._path = path
        self._file = self._open()
        self._is_torn = False  # the last line is there in part
        self._told_at = -inf  # when the log was told that it fails

    def emit(self, record: logging.LogRecord) -> None:
        """Write a line."""
        try:
            line = self.format(record).encode() + b"\n"
            is_there = self._follow()
            self._write(line)
        except Exception as error:  # noqa: BLE001 - whatever it is, the service goes on
            self.lost += 1
            self._tell(error)
            return
        if is_there and self._told_at > -inf:
            self._told_at = -inf
            log.warning("the audit log is written again", file=self._path, lines_lost=self.lost)

    def close(self) -> None:
        """No more lines."""
        with contextlib.suppress(OSError):
            os.close(self._file)
        super().close()

    def _open(self) -> int:
        return os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o640)

    def _follow(self) -> bool:
        """Go on in a new file if the old one has another name now. False: it could not."""
        with contextlib.suppress(FileNotFoundError):
            if os.path.samestat(Path(self._path).stat(), os.fstat(self._file)):
                return True
        try:
            new = self._open()
        except OSError as error:  # what is open still takes lines
            self._tell(error)
            return False
        os.close(self._file)
        self._file, self._is_torn = new, False
        return True

    def _write(self, line: bytes) -> None:
        left = b"\n" + line if self._is_torn else line
        self._is_torn = True
        while left:
            left = left[os.write(self._file, left) :]
        self._is_torn = False

    def _tell(self, error: Exception) -> None:
        now = time.monotonic()
        if now - self._told_at >= SAY_S:
            self._told_at = now
            why = error.strerror if isinstance(error, OSError) else type(error).__name__
            what = {"setting": "log.audit_file", "file": self._path, "detail": why}
            log.error("the audit log cannot be written", **what, lines_lost=self.lost)


def audit_lost() -> int:
    """How many lines of the audit file were not written."""
    return sum(
        each.lost for each in logging.getLogger(AUDIT).handlers if isinstance(each, AuditFile)
    )
