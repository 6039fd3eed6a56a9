"""tickfan.config.brokerurl"""

from __future__ import annotations

import pytest

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
    "url",
    [
        "",
        "memory",
        "memory://x",
        "http://host",
        "amqp://",
        "amqp://secret@",
        "amqp://user:secret",
        "amqp://a,,b",
        "amqp://host:0",
        "amqp://host:65536",
        "amqp://u:sec/ret@host",
        "amqp://u:sec@ret@host",
        "amqp://u:sec ret@host",
        "amqp://host/vhost/more",
        "amqp://host/vhost?heartbeat=secret",
        "amqp://host/vhost#secret",
    ],
)
def test_what_is_not_a_broker_url_is_refused_without_repeating_it(url: str) -> None:
    """The message says what is allowed, and holds nothing of the URL."""
    with pytest.raises(ValueError, match="memory://, or amqp:// or amqps://") as caught:
        urls(url)
    assert "secret" not in str(caught.value)


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
