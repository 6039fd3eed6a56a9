"""tickfan.config.brokerurl"""

from __future__ import annotations

import pytest

from tickfan.config import ConfigError, load
from tickfan.config.brokerurl import masked, urls


def test_several_hosts_become_one_url_each() -> None:
    """Every host gets the user, the password and the vhost."""
    assert urls("amqps://me:p%40ss@a,b.example:5673,[::1]:5671/prices") == (
        "amqps://me:p%40ss@a/prices",
        "amqps://me:p%40ss@b.example:5673/prices",
        "amqps://me:p%40ss@[::1]:5671/prices",
    )


@pytest.mark.parametrize("url", ["memory://", "amqp://host", "amqp://host/", "amqp://u@h:1/%2F"])
def test_plain_urls_are_left_as_they_are(url: str) -> None:
    """One host is one URL, unchanged."""
    assert urls(url) == (url,)


@pytest.mark.parametrize(
    ("url", "wrong"),
    [
        ("", "is not memory://, and does not begin with amqp:// or amqps://"),
        ("memory", "does not begin with"),
        ("memory://secret", "does not begin with"),
        ("http://secret", "does not begin with"),
        ("AMQP://secret", "does not begin with"),
        ("user:secret@host", "does not begin with"),
        ("amqp://", "^the host is missing"),
        ("amqp://secret@", "^the host is missing"),
        ("amqp://u:secret@/v", "^the host is missing"),
        ("amqp://user:secret", "the port of the host .* or the host behind user:password@ is miss"),
        ("amqp://u:secret@a,,b", "^host 2 of 3 is missing"),
        ("amqp://u:secret@a,b,", "^host 3 of 3 is missing"),
        ("amqp://u:secret@ho_st!", "^the host is no host name"),
        ("amqp://u:secret@a,[::1", "^host 2 of 2 is no host name"),
        ("amqp://u:secret@host:0", "^the port of the host is not a whole number from 1 to 65535$"),
        ("amqp://u:secret@host:65536", "^the port of the host"),
        ("amqp://u:secret@a:5672,b:x,c", "^the port of host 2 of 3"),
        ("amqp://u:secret@[::1]:", "^the port of the host"),
        ("amqp://u:sec/secret@host", "a / before the @; .* %2F"),
        ("amqp://u:secret@secret@host", "two @ in it; .* %40"),
        ("amqp://u:secret,secret@host", "a comma before the @; .* %2C"),
        ("amqp://u:secret:secret@host", "two : before the @; .* %3A"),
        ("amqp://u:secret secret@host", "a space or a line break"),
        ("amqp://u:secret@host\n", "a space or a line break"),
        ("amqp://host/vhost/secret", "second / behind the hosts; in a vhost it is %2F"),
        ("amqp://host/vhost?heartbeat=secret", r"a \? or a # in it; .* %3F or %23"),
        ("amqp://host/vhost#secret", r"a \? or a # in it"),
        ("amqp://u:secret#@host", r"a \? or a # in it"),
    ],
)
def test_the_part_that_is_wrong_is_named_and_nothing_is_repeated(url: str, wrong: str) -> None:
    """Any part may be a piece of a password."""
    with pytest.raises(ValueError, match=wrong) as caught:
        urls(url)
    assert "secret" not in str(caught.value)


def test_a_complaint_names_the_part_and_what_is_allowed() -> None:
    """Where it came from, what is wrong, how it should be; and not the password."""
    with pytest.raises(ConfigError) as caught:
        load(None, {"TICKFAN_BROKER__URL": "amqp://me:secret@a:5672,b:x/v"})
    [complaint] = str(caught.value).splitlines()
    for part in ("broker.url", "TICKFAN_BROKER__URL", "port of host 2 of 2", "memory://, or amqp:"):
        assert part in complaint
    assert "secret@" not in complaint


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("amqp://me:secret@host/v", "amqp://me:***@host/v"),
        ("amqp://me:sec@re/t@host/v", "amqp://me:***@host/v"),
        ("amqp://secret@host/v", "amqp://***@host/v"),
        ("amqp://host/v", "amqp://host/v"),
        ("memory://", "memory://"),
    ],
)
def test_passwords_are_masked(text: str, expected: str) -> None:
    """Whatever stands before the last @ is not shown, but for the user's name."""
    assert masked(text) == expected
