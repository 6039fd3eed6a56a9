"""Who may connect, and how that is proven: the section of access, and the keys of tokens.

Must not know requests, nor how a token is checked.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, SecretStr, model_validator

from tickfan.access.keys import BadKey, Key, key_from_text
from tickfan.access.sealed import SECRET_BYTES_MIN
from tickfan.config.kinds import BindPattern, ReadableFile, problems, real, refuse, text, whole
from tickfan.config.section import Section

KEYS_MAX = 32
ANONYMOUS_MAX = 256
SECRETS_MAX = 4
"""Each is tried with what a browser brings. Two are enough to change one."""
SECRET_CHARS_MAX = 512

_SECRET = rf"[!-~]{{{SECRET_BYTES_MIN},{SECRET_CHARS_MAX}}}"

_URL_ALLOWED = 'an address that begins with https:// (http:// for this machine alone), or ""'
_URL = r"(https://[^\s#@]{1,500}|http://(127\.0\.0\.1|localhost|\[::1\])([:/][^\s#@]{0,500})?)?"
_NAME = r"[^\x00-\x20\x7f]{1,255}"


class KeySettings(Section):
    """One key: of one issuer, for one algorithm."""

    issuer: Annotated[str, text("the iss of its tokens, 1 to 255 characters without spaces", _NAME)]
    algorithm: Literal["HS256", "RS256", "ES256", "EdDSA", "Ed25519"]
    key: SecretStr = SecretStr("")
    key_file: ReadableFile = ""
    jwks_url: Annotated[str, text(_URL_ALLOWED, _URL)] = ""
    key_id: Annotated[str, text('a kid of up to 255 characters, or ""', rf"({_NAME})?")] = ""

    def loaded(self) -> Key:
        """The key itself. Raises :class:`~tickfan.access.keys.BadKey`, :class:`OSError`."""
        written = self.key.get_secret_value() or Path(self.key_file).read_text(encoding="utf-8")
        return key_from_text(written, self.issuer, self.algorithm, self.key_id)

    @model_validator(mode="after")
    def _is_key(self) -> KeySettings:
        ways = (self.key.get_secret_value(), self.key_file, self.jwks_url)
        if sum(map(bool, ways)) != 1:
            problems([("key", "give one of key, key_file and jwks_url")])
        if self.jwks_url:
            if self.algorithm == "HS256":
                problems([("jwks_url", "HS256 has a secret, which nobody publishes")])
            if self.key_id:
                problems([("key_id", "goes with key and key_file: a set names its keys")])
            return self
        try:
            self.loaded()
        except (BadKey, OSError, UnicodeDecodeError) as error:
            why = str(error) if isinstance(error, BadKey) else "the file cannot be read as text"
            problems([("key_file" if self.key_file else "key", why)])
        return self


def _few_keys(keys: tuple[KeySettings, ...]) -> tuple[KeySettings, ...]:
    if len(keys) > KEYS_MAX:
        refuse(f"at most {KEYS_MAX} keys")
    return keys


def _few_patterns(patterns: tuple[str, ...] | None) -> tuple[str, ...] | None:
    if patterns is not None and len(patterns) > ANONYMOUS_MAX:
        refuse(f"at most {ANONYMOUS_MAX} patterns")
    return patterns


Keys = Annotated[tuple[KeySettings, ...], AfterValidator(_few_keys)]


def _secrets(value: SecretStr) -> SecretStr:
    secrets = value.get_secret_value().split()
    if len(secrets) > SECRETS_MAX or not all(re.fullmatch(_SECRET, one) for one in secrets):
        refuse(
            f"{SECRET_BYTES_MIN} to {SECRET_CHARS_MAX} visible ASCII characters without spaces, up "
            f'to {SECRETS_MAX} such texts with spaces between them, or ""; '
            "`openssl rand -hex 32` makes a good one"
        )
    return value


class AccessSettings(Section):
    """Tokens, and what goes without one."""

    audience: Annotated[str, text("a name of 1 to 255 characters without spaces", _NAME)] = (
        "tickfan"
    )
    anonymous: Annotated[tuple[BindPattern, ...] | None, AfterValidator(_few_patterns)] = None
    token_bytes_max: Annotated[int, whole(256, 16_384, "bytes")] = 4096
    token_age_max_s: Annotated[int, whole(60, 31_536_000, "seconds")] = 86_400
    secret: Annotated[SecretStr, AfterValidator(_secrets)] = SecretStr("")
    jwks_refresh_s: Annotated[float, real(10, 86_400, "seconds")] = 300
    jwks_timeout_s: Annotated[float, real(0.1, 60, "seconds")] = 5
    leeway_s: Annotated[float, real(0, 300, "seconds")] = 10
    auth_timeout_s: Annotated[float, real(1, 300, "seconds")] = 10
    connections_per_subject_max: Annotated[int, whole(1, 1_000_000, "connections")] = 50

    @property
    def secrets(self) -> tuple[str, ...]:
        """The secrets, in clear, the one that seals first; none: there are no tickets."""
        return tuple(self.secret.get_secret_value().split())
