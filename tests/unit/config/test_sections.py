"""tickfan.config.sections"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from pydantic import ValidationError

from tickfan.config.sections import BrokerSettings, HttpSettings, StopSettings, StreamSettings

if TYPE_CHECKING:
    from pathlib import Path


def problems(section: type[Any], **values: object) -> list[tuple[str, str]]:
    with pytest.raises(ValidationError) as caught:
        section.model_validate(values)
    return list(caught.value.errors()[0]["ctx"]["problems"])


def test_sections_are_frozen() -> None:
    """What was validated stays so."""
    with pytest.raises(ValidationError, match="frozen"):
        HttpSettings().port = 1  # type: ignore[misc]


def test_few_networks_are_trusted() -> None:
    """Each is looked at."""
    with pytest.raises(ValidationError) as caught:
        HttpSettings.model_validate({"trusted_proxies": ["10.0.0.0/8"] * 65})
    assert caught.value.errors()[0]["ctx"] == {"allowed": "at most 64 networks"}


def test_an_origin_is_one_pages() -> None:
    """None for all pages: a cookie would let each of them act as its reader."""
    allowed = ("https://app.example.com", "http://127.0.0.1:3000")
    assert HttpSettings.model_validate({"allowed_origins": allowed}).allowed_origins == allowed
    for wrong in ("*", "null", "https://a/", "https://*.a", "a.b"):
        with pytest.raises(ValidationError) as caught:
            HttpSettings.model_validate({"allowed_origins": [wrong]})
        assert '("*")' in caught.value.errors()[0]["ctx"]["allowed"]
    with pytest.raises(ValidationError) as caught:
        HttpSettings.model_validate({"allowed_origins": ["https://a"] * 65})
    assert caught.value.errors()[0]["ctx"] == {"allowed": "at most 64 origins"}


def test_the_listeners_need_two_ports() -> None:
    """The same port on the same host cannot be listened on twice; 0 can."""
    assert problems(HttpSettings, port=8081) == [
        ("admin_port", "is 8081, as http.port: two listeners, two ports")
    ]
    assert HttpSettings(port=0, admin_port=0).port == 0
    assert HttpSettings(port=8081, admin_host="127.0.0.2").admin_port == 8081


@pytest.mark.parametrize("steps", [[], [100, 100], [200, 100], list(range(10, 27))])
def test_the_ladder_rises_in_at_most_sixteen_steps(steps: list[int]) -> None:
    """Each step costs a timer."""
    with pytest.raises(ValidationError) as caught:
        StreamSettings.model_validate({"intervals_ms": steps})
    assert caught.value.errors()[0]["ctx"] == {"allowed": "1 to 16 rising integers (milliseconds)"}


def test_the_broker_tells_memory_from_amqp() -> None:
    """The embedded broker has one URL of its own."""
    amqp = BrokerSettings.model_validate({"url": "amqp://me:secret@a,b/v"})
    assert BrokerSettings.model_validate({"url": "memory://"}).is_memory
    assert BrokerSettings().is_memory, "nothing else is named"
    assert not amqp.is_memory
    assert amqp.urls == ("amqp://me:secret@a/v", "amqp://me:secret@b/v")
    assert "secret" not in repr(amqp)


@pytest.mark.parametrize(
    ("given", "declare"),
    [
        (True, True), (False, False), ([], ()), (["streams"], ("streams",)),
        (["exchange", "streams"], ("exchange", "streams")), (["witness"], ("witness",)),
    ],
)  # fmt: skip
def test_what_may_be_made(given: object, declare: object) -> None:
    """All, nothing, or a list of parts."""
    assert BrokerSettings.model_validate({"declare": given}).declare == declare


@pytest.mark.parametrize("given", ["[", "queues", "true", 1, ["queues"], ["exchange", 1], {}, None])
def test_what_else_may_not_be_made(given: object) -> None:
    """The parts are named."""
    with pytest.raises(ValidationError) as caught:
        BrokerSettings.model_validate({"declare": given})
    assert '"exchange", "streams", "witness"' in caught.value.errors()[0]["ctx"]["allowed"]


def test_tls_files_need_tls_and_a_key_its_certificate(tmp_path: Path) -> None:
    """A file that would not be used is an error, all at once with others."""
    file = tmp_path / "some.pem"
    file.write_text("")
    found = problems(
        BrokerSettings, url="amqp://h", tls_key_file=str(file), backoff_first_s=3, backoff_max_s=2
    )
    assert [name for name, _ in found] == ["backoff_max_s", "tls_key_file", "tls_key_file"]
    assert found[0][1] == "is 2, below backoff_first_s (3)"
    assert found[2][1] == "is set, but broker.url is not amqps://"


def test_the_listeners_key_needs_its_certificate(tmp_path: Path) -> None:
    """Alone it would not be used."""
    file = tmp_path / "some.pem"
    file.write_text("")
    assert problems(HttpSettings, tls_key_file=str(file)) == [
        ("tls_key_file", "is set without tls_cert_file: a key needs its certificate")
    ]
    assert HttpSettings(tls_cert_file=str(file)).tls_key_file == ""


def test_the_drain_must_fit_the_grace() -> None:
    """Clients are told before the process is gone."""
    assert problems(StopSettings, drain_s=20, drain_delay_s=5) == [
        ("grace_s", "is 25: it must be a second above drain_delay_s + drain_s (25)")
    ]
