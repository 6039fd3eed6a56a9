"""A token for a first try."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from joserfc.jwk import ECKey
from typer.testing import CliRunner

from tests.support.access import GUARDED, SECRET
from tickfan.cli import cli
from tickfan.clock import Clock
from tickfan.config import load
from tickfan.parts import build_gate

if TYPE_CHECKING:
    from typer.testing import Result

KEYS = {"TICKFAN_KEYS": GUARDED["KEYS"]}


def token(*arguments: str, **environ: str) -> Result:
    return CliRunner().invoke(cli, ["token", *arguments], env={**KEYS, **environ})


def test_the_service_takes_what_the_command_prints() -> None:
    """With what was wished."""
    printed = token(
        "--subject", "alice", "--channels", "quotes.#", "--channels", "trades.A",
        "--publish", "quotes.B", "--seconds", "60", "--interval-ms-min", "200",
        "--connections-max", "2",
    )  # fmt: skip
    assert printed.exit_code == 0, printed.output
    gate = build_gate(load(None, KEYS), Clock(lambda: 0.0))
    identity = gate.identify(printed.stdout.strip())
    assert identity.subject == "alice"
    assert [*identity.reads, *identity.writes] == ["quotes.#", "trades.A", "quotes.B"]
    assert (identity.interval_ms_min, identity.connections_max) == (200, 2)
    assert identity.expires_at == identity.issued_at + 60
    assert len(identity.token_id) == 32
    everything = gate.identify(token().stdout.strip())
    assert everything.reads.is_all
    assert not everything.writes.patterns


@pytest.mark.parametrize("with_key", [True, False])
def test_without_a_key_that_signs_it_says_what_to_do(*, with_key: bool) -> None:
    """A public key only checks."""
    public = ECKey.generate_key("P-256").as_dict(private=False)
    key = {"issuer": "me", "algorithm": "ES256", "key": json.dumps(public)}
    said = token(TICKFAN_KEYS=json.dumps([key] if with_key else []))
    assert said.exit_code == 2
    assert "no key of the settings can sign" in said.stderr
    assert "openssl rand -hex 32" in said.stderr


def test_what_the_service_would_refuse_is_not_printed() -> None:
    """A pattern that is none, a subject that is empty."""
    for wrong in (("--channels", "a..b"), ("--subject", "")):
        said = token(*wrong)
        assert said.exit_code == 2
        assert not said.stdout
        assert "not valid here" in said.stderr
        assert SECRET not in said.output
