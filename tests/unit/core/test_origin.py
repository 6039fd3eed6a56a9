"""tickfan.core.origin: one form for each origin."""

from __future__ import annotations

import re

import pytest

from tickfan.core.origin import PATTERN, plain


@pytest.mark.parametrize(
    ("origin", "form"),
    [
        ("https://App.Example.com:443", "https://app.example.com"),
        ("http://a:80", "http://a"),
        ("http://a:443", "http://a:443"),
        ("http://a:8080", "http://a:8080"),
        ("https://a:80", "https://a:80"),
        ("http://[::1]:80", "http://[::1]"),
        ("capacitor://localhost", "capacitor://localhost"),
        ("null", "null"),
        ("", ""),
    ],
)
def test_letters_and_the_default_port_make_no_difference(origin: str, form: str) -> None:
    """A browser writes the shortest form, a person any."""
    assert plain(origin) == form
    assert plain(form) == form


@pytest.mark.parametrize("origin", ["https://a.b", "http://[::1]:8080", "tauri://localhost"])
def test_an_origin_is_allowed(origin: str) -> None:
    """With a port or without, of a page or of an app that shows one."""
    assert re.fullmatch(PATTERN, origin)


@pytest.mark.parametrize(
    "text", ["*", "null", "https://*.a", "https://a/", "a.b", "https://", "https://a b", "//a"]
)
def test_all_else_is_no_origin(text: str) -> None:
    """No pattern, no path, and nothing for all."""
    assert not re.fullmatch(PATTERN, text)
