"""tickfan.config.complaints"""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import SecretStr, ValidationError

from tickfan.config.access import KeySettings
from tickfan.config.complaints import SECRETS, complaints, feed_names, sections
from tickfan.config.settings import Settings


def told(**values: Any) -> list[str]:
    """What is said of the settings, made of plain values."""
    with pytest.raises(ValidationError) as caught:
        Settings.model_validate(values)
    variables = {"http.backlog": "TICKFAN_HTTP__BACKLOG"}
    return [
        sentence
        for fault in caught.value.errors()
        for sentence in complaints(Settings, fault, variables, feed_names(values.get("feeds")))
    ]


def feed(**more: object) -> dict[str, Any]:
    return {"name": "a", "bind": ["a.#"], "delivery": "conflated", **more}


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (
            {"http": {"port": -5}},
            (
                "http.port: got -5, "
                "allowed: an integer from 0 to 65535 (a TCP port; 0 takes a free one)"
            ),
        ),
        (
            {"http": {"backlog": "many"}},
            (
                'http.backlog: got "many" (from TICKFAN_HTTP__BACKLOG), allowed: '
                "an integer from 1 to 65535 (connections)"
            ),
        ),
        (
            {"broker": {"declare": "perhaps"}},
            (
                'broker.declare: got "perhaps", allowed: true, false, or a list of what may be '
                'made: "exchange", "streams", "witness"'
            ),
        ),
        (
            {"http": {"trusted_proxies": ["10.0.0.1/8"]}},
            (
                'http.trusted_proxies[0]: got "10.0.0.1/8": that network is 10.0.0.0/8, allowed: '
                "a network such as 10.0.0.0/8 or 2001:db8::/32, or one address"
            ),
        ),
        ({"stream": 5}, "stream: got 5, allowed: a table of settings"),
        ({"feeds": {}}, "feeds: got a table, allowed: a list in square brackets"),
        ({"feeds": [3]}, "feeds[0]: got 3, allowed: a table of settings"),
        (
            {"log": {"format": "xml"}},
            'log.format: got "xml", allowed: "auto", "json" or "console"',
        ),
        (
            {"feeds": [feed(), feed(name="b", bind=["b"], interval_ms=-5)]},
            "feed 'b': interval_ms: got -5, allowed: an integer from 10 to 60000 (milliseconds)",
        ),
        (
            {"feeds": [feed(name="Quotes")]},
            'feeds[0].name: got "Quotes", allowed: a small letter, then up to 31 of a-z 0-9 _ -',
        ),
        (
            {"feeds": [{"delivery": "lossless", "bind": ["x"]}]},
            "feeds[0].name: missing; a feed needs a name, bind and delivery",
        ),
        (
            {"feeds": [{"name": "a"}]},
            """feed 'a': delivery: missing, allowed: "conflated" or "lossless\"""",
        ),
        (
            {"feeds": [feed(delivery="best")]},
            """feed 'a': delivery: got "best", allowed: "conflated" or "lossless\"""",
        ),
        (
            {"feeds": [feed(), feed(name="b")]},
            (
                "feeds: feed 'b' binds 'a.#', which overlaps 'a.#' of feed 'a': "
                "a channel belongs to one feed"
            ),
        ),
        (
            {"stop": {"drain_s": 30}},
            "stop.grace_s: is 25: it must be a second above drain_delay_s + drain_s (30)",
        ),
    ],
)
def test_a_sentence_has_the_path_the_value_and_what_is_allowed(
    values: dict[str, Any], expected: str
) -> None:
    """So that nobody has to search."""
    assert told(**values) == [expected]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"htpp": {}}, "htpp: there is no such setting; did you mean http?"),
        ({"http": {"prot": 1}}, "http.prot: there is no such setting; did you mean http.port?"),
        (
            {"broker": {"token": "x"}},
            "broker.token: there is no such setting; did you mean publish.token?",
        ),
        (
            {"log": {"x": 1}},
            "log.x: there is no such setting; allowed: level, format, audit_file, audit_anonymous",
        ),
        (
            {"feeds": [feed(intervalms=1)]},
            "feed 'a': intervalms: there is no such setting; did you mean interval_ms?",
        ),
        (
            {"feeds": [feed(flush_ms=1)]},
            "feed 'a': flush_ms: is a setting of lossless feeds, and this feed is conflated",
        ),
        (
            {"feeds": [feed(delivery="lossless", interval_ms=1)]},
            "feed 'a': interval_ms: is a setting of conflated feeds, and this feed is lossless",
        ),
    ],
)
def test_an_unknown_name_gets_the_nearest_that_exists(
    values: dict[str, Any], expected: str
) -> None:
    """Or what belongs there."""
    assert told(**values) == [expected]


def test_a_feed_is_told_by_its_name() -> None:
    """Where it has a valid one of its own; else by its place, from 0 on."""
    named = [feed(), feed(name="B"), feed(name="c"), feed(name="c"), 5, feed(name=5), {}]
    assert feed_names(named) == {0: "a"}
    assert feed_names({"name": "a"}) == feed_names(None) == {}
    lossless = feed(name="d", delivery="lossless", segment_bytes=2**30, retention_bytes=2**20)
    [sentence] = told(feeds=[feed(), lossless])
    assert sentence.startswith("feed 'd': segment_bytes: is 1073741824, above retention_bytes")
    [sentence] = told(feeds=[feed(interval_ms=1), feed()])
    assert sentence.startswith("feeds[0].interval_ms: got 1,")


@pytest.mark.parametrize(
    "values",
    [
        {"broker": {"url": "amqp://me:hunter2"}},
        {"broker": {"url": "redis://hunter2"}},
        {"broker": {"url": ["hunter2"]}},
        {"broker": {"password": "hunter2"}},
        {"publish": {"token": "hunter2"}},
        {"publish": "hunter2"},
        {"broker": "amqp://me:hunter2@host"},
        {"http": {"host": "amqp://me:hunter2@host"}},
    ],
)
def test_no_secret_is_repeated(values: dict[str, Any]) -> None:
    """Not even where it stands in the wrong place, as far as it can be told."""
    assert "hunter2" not in "".join(told(**values))


def test_a_long_value_is_cut() -> None:
    """A sentence stays a sentence."""
    [sentence] = told(http={"host": "x" * 9999})
    assert len(sentence) < 250


def test_every_secret_setting_is_known_as_one() -> None:
    """A new SecretStr must be named here too."""
    secret = {
        f"{table}.{name}"
        for table, model in sections(Settings).items()
        for name, field in model.model_fields.items()
        if field.annotation is SecretStr
    }
    secret |= {f"keys.{name}" for name, field in KeySettings.model_fields.items()
               if field.annotation is SecretStr}  # fmt: skip
    assert secret == SECRETS
