"""tickfan.logs"""

from __future__ import annotations

import io
import json
import logging
import resource
import stat
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from tests.support.updates import LAW
from tickfan.logs import MASK, audit_lost, clean, configure, redact

if TYPE_CHECKING:
    from collections.abc import Iterator

SECRET = "hunter2.hunter2-hunter2"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    """Give the process's logging back as it was."""
    root, access = logging.getLogger(), logging.getLogger("aiohttp.access")
    audit = logging.getLogger("tickfan.audit")
    before = root.handlers, root.level, access.disabled
    yield
    for handler in audit.handlers:
        handler.close()
    audit.handlers, audit.propagate = [], True
    audit.setLevel(logging.NOTSET)
    root.handlers, root.level, access.disabled = before
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()


def connect(url: str) -> None:
    raise ConnectionError(f"no way to {url}")


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_a_line_is_one_json_object_with_time_level_and_logger() -> None:
    """Fields stay fields, numbers stay numbers."""
    stream = io.StringIO()
    configure("info", "json", stream)
    structlog.get_logger("service.hub").info("connection ended", reason="slow", sent=3, open=True)
    [line] = lines(stream)
    assert line.pop("time").endswith("Z")
    assert line == {
        "level": "info", "logger": "service.hub", "event": "connection ended",
        "reason": "slow", "sent": 3, "open": True,
    }  # fmt: skip


def test_the_libraries_go_through_the_same_door() -> None:
    """asyncio's lines look like ours, with the arguments filled in."""
    stream = io.StringIO()
    configure("warning", "json", stream)
    logging.getLogger("asyncio").warning("lost %s after %d s", f"amqp://me:{SECRET}@h/v", 3)
    [line] = lines(stream)
    assert line["event"] == "lost amqp://***@h/v after 3 s"
    assert (line["level"], line["logger"]) == ("warning", "asyncio")


def test_the_level_holds_for_all() -> None:
    """Ours and the libraries'."""
    stream = io.StringIO()
    configure("warning", "json", stream)
    structlog.get_logger("service").info("quiet")
    logging.getLogger("asyncio").info("quiet")
    structlog.get_logger("service").error("loud")
    assert [line["event"] for line in lines(stream)] == ["loud"]


def test_there_is_no_access_log() -> None:
    """It would hold the query of every request."""
    stream = io.StringIO()
    configure("debug", "json", stream)
    logging.getLogger("aiohttp.access").info("GET /v1/sse?token=x")
    assert stream.getvalue() == ""


def test_the_last_configuration_holds() -> None:
    """Calling it again writes no line twice."""
    first, second = io.StringIO(), io.StringIO()
    logger = structlog.get_logger("service")
    configure("info", "json", first)
    logger.info("one")
    configure("info", "json", second)
    logger.info("two")
    assert [line["event"] for line in lines(first)] == ["one"]
    assert [line["event"] for line in lines(second)] == ["two"]


def test_auto_means_colours_on_a_terminal_and_json_elsewhere() -> None:
    """A person reads the one, a program the other."""
    terminal, pipe = Terminal(), io.StringIO()
    configure("info", "auto", terminal)
    structlog.get_logger("service").info("hello")
    configure("info", "auto", pipe)
    structlog.get_logger("service").info("hello")
    assert "\x1b[" in terminal.getvalue()
    assert lines(pipe)[0]["event"] == "hello"


@pytest.mark.parametrize("style", ["json", "console"])
def test_no_secret_comes_out(style: str) -> None:
    """By key or by form, at any depth, in exceptions too."""
    stream = io.StringIO()
    configure("debug", style, stream)
    logger = structlog.get_logger("service")
    structlog.contextvars.bind_contextvars(ticket=SECRET)
    request = f"GET /v1/sse?channels=a&token={SECRET} HTTP/1.1"
    logger.info(
        request,
        url=f"wss://h/v1/ws?ticket={SECRET}",
        relative=f"sse?cursor={SECRET}",
        broker=f"amqps://me:{SECRET}/@{SECRET}@h:5671/v",
        token=SECRET,
        authToken=SECRET,
        tls_key_password=[SECRET],
        AUTHORIZATION=SECRET.encode(),
        query={"x": SECRET},
        headers={"Authorization": f"Bearer {SECRET}", "Cookie": SECRET, "Host": "h"},
        deep=[{"a": ({"secret": SECRET},)}],
        body=f'{{"op":"auth","token":"{SECRET}"}}'.encode(),
        header=f"Authorization: Bearer {SECRET}",
        bare=f"bearer {SECRET}",
        sealed=f"cut after eyJhbGciOiJkaXIifQ..{SECRET}.x",
    )
    try:
        connect(f"amqp://me:{SECRET}@h/v")
    except ConnectionError:
        logger.exception("broker lost")
        logging.getLogger("asyncio").exception("lost")
    assert "hunter2" not in stream.getvalue()
    assert "ConnectionError" in stream.getvalue()


@LAW
@given(
    st.text(st.characters(exclude_characters="@/?# \t\r\n", min_codepoint=33), min_size=1),
    st.sampled_from(["amqp://me:{}@host/v", "/v1/sse?token={}", "GET /a/b?x=1&y={} HTTP/1.1",
                     "http://h:1/p?{}", "?ticket={}"]),
)  # fmt: skip
def test_a_url_keeps_its_secret_whatever_it_is(secret: str, form: str) -> None:
    """The mask does not depend on the characters."""
    marked = f"<<{secret}>>"
    assert marked not in clean(form.format(marked))


@pytest.mark.parametrize(
    "text",
    [
        "feed 'tokens' is live",
        "feed tokens: live",
        "quotes.EUR/USD: 3 of 4 sent?",
        "listening on http://localhost:8080/",
        "tokenized=3",
        "queue tickfan.tokens declared",
    ],
)
def test_plain_words_stay(text: str) -> None:
    """A log must be worth reading."""
    assert clean(text) == text


def test_keys_that_only_look_like_secrets_stay() -> None:
    """The default feed of tokens, for one."""
    event = {"feed": "tokens", "tokens": 3, "tokenized": "yes", "secret": None}
    assert redact(None, "info", dict(event)) == event


def test_values_of_any_type_become_a_line() -> None:
    """Huge integers, infinities, broken text, sets and nested junk."""
    stream = io.StringIO()
    configure("info", "json", stream)
    endless: list[Any] = []
    endless.append(endless)
    structlog.get_logger("service").info(
        "odd", huge=2**70, inf=float("inf"), broken="\ud800", raw=b"\xff", some={1}, endless=endless
    )
    [line] = lines(stream)
    assert line["huge"] == str(2**70)
    assert line["broken"] == "\\ud800"
    assert line["some"] == [1]
    assert MASK in str(line["endless"])


def test_a_clients_text_cannot_forge_a_line_or_move_the_cursor() -> None:
    """Control characters are escaped on a console; JSON escapes them anyway."""
    stream = io.StringIO()
    configure("info", "console", stream)
    structlog.get_logger("service").info("refused", name="a\n2026 [info] forged\x1b[2J\x9b\u2028")
    assert len(stream.getvalue().splitlines()) == 1
    assert "\x1b" not in stream.getvalue()


@pytest.mark.parametrize(
    "unit",
    ["/", "://", "?", "a-", "-eyJ", "token", 'token="', "token ", "bearer ", "eyJa.", "a://@?"],
)
def test_hostile_text_takes_linear_time(unit: str) -> None:
    """Sixteen times the text takes about sixteen times as long, not 256 times."""
    short, long = (unit * (2**size // len(unit)) for size in (14, 18))
    assert best_s(long) < 100 * max(best_s(short), 1e-4)


def best_s(text: str) -> float:
    times = []
    for _ in range(3):
        start = time.process_time()
        clean(text)
        times.append(time.process_time() - start)
    return min(times)


def test_a_long_text_loses_its_middle_and_keeps_its_secret() -> None:
    """What is cut is cut after masking."""
    shown = clean("x" * 8185 + " token=" + SECRET * 2000 + " end")
    assert "hunter2" not in shown
    assert clean("a" * 99_999).startswith("aaa")
    assert len(clean("a" * 99_999)) < 17_000


def test_a_line_that_cannot_be_written_does_not_show_its_content() -> None:
    """The standard library would print the arguments."""
    stream = io.StringIO()
    configure("info", "json", stream)
    logging.getLogger("asyncio").warning("%d", SECRET)
    assert stream.getvalue() == "a log line of asyncio was lost: TypeError\n"


@pytest.mark.parametrize("name", ["aiormq.connection", "aio_pika"])
def test_the_broker_library_does_not_print_its_tracebacks(name: str) -> None:
    """A cut is told once, in one line, by the broker's own log."""
    stream = io.StringIO()
    configure("info", "json", stream)
    logging.getLogger(name).error("Cancelling cause reader exited abnormally")
    assert stream.getvalue() == ""


def audit(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.mark.parametrize("is_file", [False, True])
def test_the_audit_log_is_json_whatever_the_log_is(tmp_path: Path, *, is_file: bool) -> None:
    """In its file, or in the stream; at each level, and not in both."""
    path, stream = tmp_path / "audit.log", Terminal()
    configure("error", "console", stream, str(path) if is_file else "")
    structlog.get_logger("tickfan.audit").info("access granted", subject="ann", feeds=["quotes"])
    written = path.read_text() if path.exists() else ""
    there, elsewhere = (written, stream.getvalue())[:: 1 if is_file else -1]
    assert elsewhere == ""
    line = json.loads(there)
    assert line.pop("time").endswith("Z")
    assert line == {
        "level": "info", "logger": "tickfan.audit", "event": "access granted", "subject": "ann",
        "feeds": ["quotes"],
    }  # fmt: skip
    if is_file:
        assert stat.S_IMODE(path.stat().st_mode) & 0o007 == 0


def test_claims_stay_as_they_are_and_secrets_do_not(tmp_path: Path) -> None:
    """Two customers never look like one; a channel may be a token that somebody has mistaken."""
    path = tmp_path / "audit.log"
    configure("info", "json", io.StringIO(), str(path))
    jwt = "eyJhbGciOiJub25lIn0.eyJzdWIiOiJhIn0.c2ln"
    claims = {"subject": "urn:x?id=7", "issuer": "https://a@login.test/?b=1", "jti": "token=7"}
    granted = [{"feed": "quotes", "interval_ms": 50, "patterns": [jwt, "quotes.A"]}]
    structlog.get_logger("tickfan.audit").info("x", **claims, granted=granted, token=SECRET)
    structlog.get_logger("tickfan.audit").info("x", subject="\ud800")
    first, second = audit(path)
    assert {name: first[name] for name in claims} == claims
    assert first["granted"] == [{**granted[0], "patterns": [MASK, "quotes.A"]}]
    assert first["token"] == MASK
    assert second["subject"] == "\\ud800"


def test_a_file_that_was_moved_is_made_anew(tmp_path: Path) -> None:
    """As logrotate does it, without a signal: each line is in one file, and one is open."""
    path, moved = tmp_path / "audit.log", tmp_path / "audit.log.1"
    configure("info", "json", io.StringIO(), str(path))
    files = len(list(Path("/proc/self/fd").iterdir()))
    log = structlog.get_logger("tickfan.audit")
    for number in range(3):
        log.info("x", number=number)
    path.rename(moved)
    for number in range(3, 5):
        log.info("x", number=number)
    path.write_text("")  # as copytruncate leaves it
    log.info("x", number=5)
    assert [line["number"] for line in audit(moved)] == [0, 1, 2]
    assert [line["number"] for line in audit(path)] == [5]
    assert len(list(Path("/proc/self/fd").iterdir())) == files
    assert audit_lost() == 0


def test_a_full_disk_is_told_by_name_and_counted(tmp_path: Path) -> None:
    """Once, and once more when it has room again: nobody is stopped by it."""
    path, stream = tmp_path / "audit.log", io.StringIO()
    path.symlink_to("/dev/full")
    configure("info", "json", stream, str(path))
    log = structlog.get_logger("tickfan.audit")
    for _ in range(3):
        log.info("x")
    assert audit_lost() == 3
    [told] = lines(stream)
    assert (told["event"], told["level"]) == ("the audit log cannot be written", "error")
    assert told["setting"] == "log.audit_file"
    assert (told["file"], told["detail"]) == (str(path), "No space left on device")
    path.unlink()
    log.info("x", number=4)
    log.info("x", number=5)
    assert [line["number"] for line in audit(path)] == [4, 5]
    [_, again] = lines(stream)
    assert (again["event"], again["lines_lost"]) == ("the audit log is written again", 3)
    assert audit_lost() == 3


def test_a_line_that_fits_in_part_does_not_spoil_the_next(tmp_path: Path) -> None:
    """The disk had some bytes left."""
    path, stream = tmp_path / "audit.log", io.StringIO()
    configure("info", "json", stream, str(path))
    log = structlog.get_logger("tickfan.audit")
    log.info("x", number=1)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size + 10, hard))
    try:
        log.info("x", number=2)
        log.info("x", number=3)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    log.info("x", number=4)
    one, torn, four = path.read_text().splitlines()
    assert [json.loads(one)["number"], json.loads(four)["number"]] == [1, 4]
    assert len(torn) == 10
    assert audit_lost() == 2


def test_a_directory_that_is_gone_is_told(tmp_path: Path) -> None:
    """What is open takes the lines as long as it can; at the start it is an error."""
    room, stream = tmp_path / "room", io.StringIO()
    room.mkdir()
    path = room / "audit.log"
    configure("info", "json", stream, str(path))
    room.rename(tmp_path / "moved")
    for number in range(2):
        structlog.get_logger("tickfan.audit").info("x", number=number)
    assert [line["number"] for line in audit(tmp_path / "moved" / "audit.log")] == [0, 1]
    [told] = lines(stream)
    assert (told["event"], told["lines_lost"]) == ("the audit log cannot be written", 0)
    with pytest.raises(FileNotFoundError):
        configure("info", "json", stream, str(path))


PIECES = (
    "token", "Secret", "bearer", "Basic", "eyJ", "EYJ", "=", ":", "://", "@", "?", "/", " ", "\n",
    "'", '"', ".", "abcdefgh", "a.b.c", "quotes.A", "\u212a", "\u017f",
)  # fmt: skip


@LAW
@given(st.lists(st.sampled_from(PIECES), max_size=12).map("".join))
def test_a_glance_passes_over_no_secret(text: str) -> None:
    """What is found plain at a glance is what the search would leave."""
    assert clean(f"\u00e9 {text}") == f"\u00e9 {clean(text)}"
    names = [text, "quotes.A"]
    assert redact(None, "", {"patterns": names})["patterns"] == [clean(text), "quotes.A"]
