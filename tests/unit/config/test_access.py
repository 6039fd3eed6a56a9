"""The keys of tokens, and what goes without one."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from joserfc.jwk import RSAKey

from tickfan.config import ConfigError, Settings, load
from tickfan.config.access import KEYS_MAX, SECRETS_MAX

if TYPE_CHECKING:
    from pathlib import Path

SECRET = "0123456789abcdef0123456789abcdef"
KEY: dict[str, Any] = {"issuer": "https://login.test/", "algorithm": "HS256", "key": SECRET}


def loaded(*keys: dict[str, Any], **settings: str) -> Settings:
    environ = {"TICKFAN_KEYS": json.dumps(keys)} if keys else {}
    return load(None, environ | {f"TICKFAN_ACCESS__{n}": text for n, text in settings.items()})


def test_a_key_stands_in_the_file_or_in_a_file_of_its_own(tmp_path: Path) -> None:
    """A PEM that other programs have, and a secret that nobody else has."""
    pem = tmp_path / "login.pem"
    pem.write_bytes(RSAKey.generate_key(2048).as_pem(private=False))
    public = {"issuer": "me", "algorithm": "RS256", "key_file": str(pem), "key_id": "k"}
    toml = tmp_path / "tickfan.toml"
    lines = "".join(f"{name} = {json.dumps(value)}\n" for name, value in public.items())
    toml.write_text(f"[[keys]]\n{lines}")
    [key] = load(toml, {}).keys
    assert (key.loaded().issuer, key.loaded().key_id) == ("me", "k")
    [key] = loaded(KEY).keys
    assert key.loaded().algorithm == "HS256"


@pytest.mark.parametrize("url", ["https://a.test/keys", "http://127.0.0.1:80/", "http://[::1]/k"])
def test_an_issuer_may_publish_its_keys(url: str) -> None:
    """By https; on this machine without."""
    [key] = loaded({"issuer": "me", "algorithm": "ES256", "jwks_url": url}).keys
    assert key.jwks_url == url
    with pytest.raises(ConfigError, match="a set names its keys"):
        loaded({"issuer": "me", "algorithm": "ES256", "jwks_url": url, "key_id": "k"})


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"key": ""}, "keys[0].key: give one of key, key_file and jwks_url"),
        ({"key_file": __file__}, "keys[0].key: give one of key, key_file and jwks_url"),
        ({"key": "short"}, "keys[0].key: a secret for HS256 has at least 32 bytes"),
        ({"algorithm": "RS256"}, "keys[0].key: a key for RS256 is a PEM"),
        ({"algorithm": "none"}, 'keys[0].algorithm: got "none", allowed: "HS256"'),
        ({"issuer": ""}, 'keys[0].issuer: got "", allowed: the iss of its tokens'),
        ({"isuer": "x"}, "keys[0].isuer: there is no such setting; did you mean keys[0].issuer?"),
        ({"key": "", "key_file": "/nowhere"}, 'keys[0].key_file: got "/nowhere", allowed: the'),
        ({"jwks_url": "https://a.test/"}, "keys[0].key: give one of"),
        ({"key": "", "jwks_url": "http://a.test/"}, 'keys[0].jwks_url: got "http://a.test/", allo'),
        ({"key": "", "jwks_url": "https://a.test/"}, "jwks_url: HS256 has a secret, which nobody"),
        ({"key": 7}, "keys[0].key: got a value that is not shown"),
    ],
)  # fmt: skip
def test_a_wrong_key_is_told_by_its_place(changed: dict[str, Any], said: str) -> None:
    """And never shown."""
    with pytest.raises(ConfigError) as caught:
        loaded({**KEY, **changed})
    assert any(said in problem for problem in caught.value.problems), caught.value.problems
    assert SECRET not in str(caught.value)


def test_what_a_key_needs_is_told() -> None:
    """All of it."""
    with pytest.raises(ConfigError, match=r"keys\[0\].issuer: missing; a key needs an issuer"):
        loaded({"algorithm": "HS256", "key": SECRET})


def test_a_number_of_keys_is_enough() -> None:
    """A token may be checked with each."""
    with pytest.raises(ConfigError, match=f"at most {KEYS_MAX} keys"):
        loaded(*[KEY] * (KEYS_MAX + 1))


def test_without_a_token_all_may_be_read_until_there_is_a_key() -> None:
    """Unless the settings say what."""
    assert loaded().anonymous_reads == ("#",)
    assert loaded(KEY).anonymous_reads == ()
    assert loaded(KEY, ANONYMOUS='["quotes.#"]').anonymous_reads == ("quotes.#",)
    assert loaded(ANONYMOUS="[]").anonymous_reads == ()


def test_a_key_is_masked_where_settings_are_shown() -> None:
    """As `tickfan check` prints them."""
    shown = loaded(KEY).to_toml()
    assert SECRET not in shown
    assert '[[keys]]\nissuer = "https://login.test/"\nalgorithm = "HS256"\nkey = "***"' in shown


def test_secrets_stand_in_one_text() -> None:
    """The first seals. A text of the environment, or of a Secret, may hold a list of them."""
    one, another = "a" * 32, "b" * 512
    for text, found in (
        ("", ()), (one, (one,)), (f"{one} {another}", (one, another)), (f"{one}\n", (one,)),
    ):  # fmt: skip
        assert loaded(SECRET=text).access.secrets == found


@pytest.mark.parametrize(
    "text",
    ["a" * 31, "a" * 513, f"{'a' * 32} short", "é" * 32, " ".join(["a" * 32] * (SECRETS_MAX + 1))],
)
def test_a_secret_that_is_too_short_is_refused_and_not_shown(text: str) -> None:
    """Also as one of several; the sentence says how to make a good one."""
    with pytest.raises(ConfigError) as caught:
        loaded(SECRET=text)
    [problem] = caught.value.problems
    assert "TICKFAN_ACCESS__SECRET" in problem
    assert "openssl rand -hex 32" in problem
    assert text not in problem


def test_the_audit_log_names_clients_without_a_token_where_there_is_a_key() -> None:
    """The setting says otherwise."""
    assert not loaded().audits_anonymous
    assert loaded(KEY).audits_anonymous
    keys = {"TICKFAN_KEYS": json.dumps([KEY])}
    assert not load(None, {**keys, "TICKFAN_LOG__AUDIT_ANONYMOUS": "never"}).audits_anonymous
    assert load(None, {"TICKFAN_LOG__AUDIT_ANONYMOUS": "always"}).audits_anonymous


def test_the_file_of_the_audit_log_has_a_whole_path() -> None:
    """A service may start anywhere."""
    assert load(None, {"TICKFAN_LOG__AUDIT_FILE": "/var/log/a"}).log.audit_file == "/var/log/a"
    with pytest.raises(ConfigError, match=r"log\.audit_file: got .*a path that begins with /"):
        load(None, {"TICKFAN_LOG__AUDIT_FILE": "audit.log"})
