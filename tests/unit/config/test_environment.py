"""tickfan.config.environment"""

from __future__ import annotations

import pytest

from tickfan.config.environment import read


def test_variables_become_nested_values() -> None:
    """Section and name are parted by two underscores; a text is what the file would have."""
    found = read(
        {
            "TICKFAN_HTTP__PORT": "9000",
            "TICKFAN_HTTP__ADMIN_PORT": "9001.0",
            "TICKFAN_HTTP__REUSE_PORT": "True",
            "TICKFAN_STREAM__HEARTBEAT_S": "2.5",
            "TICKFAN_STREAM__SNAPSHOT": "maybe",
            "TICKFAN_BROKER__EXCHANGE": "5",
            "TICKFAN_BROKER__DECLARE": '["streams"]',
            "TICKFAN_LOG__LEVEL": "info",
            "TICKFAN_MARKET__SEED": "7",
            "TICKFAN_STREAM__INTERVALS_MS": "[100, 200]",
            "TICKFAN_FEEDS": '[{"name": "a"}]',
            "PATH": "/bin",
            "HTTP__PORT": "1",
        }
    )
    assert found.problems == []
    assert found.values == {
        "http": {"port": 9000, "admin_port": "9001.0", "reuse_port": True},
        "stream": {"intervals_ms": [100, 200], "heartbeat_s": 2.5, "snapshot": "maybe"},
        "broker": {"exchange": "5", "declare": ["streams"]},
        "log": {"level": "info"},
        "market": {"seed": 7},
        "feeds": [{"name": "a"}],
    }
    assert found.variables["http.port"] == "TICKFAN_HTTP__PORT"


@pytest.mark.parametrize(
    ("variable", "advice"),
    [
        ("TICKFAN_HTTP__PROT", "did you mean TICKFAN_HTTP__PORT?"),
        ("TICKFAN_HTTP_PORT", "did you mean TICKFAN_HTTP__PORT?"),
        ("TICKFAN_PORT", "did you mean TICKFAN_HTTP__PORT?"),
        ("TICKFAN_X", "a setting's variable is TICKFAN_<SECTION>__<NAME>"),
        ("TICKFAN_FEEDS__0__NAME", "feeds are given whole, as JSON in TICKFAN_FEEDS"),
        ("TICKFAN_http__port", "write it in capitals, as TICKFAN_HTTP__PORT"),
        ("tickfan_http__port", "write it in capitals, as TICKFAN_HTTP__PORT"),
        ("Tickfan_Feeds", "write it in capitals, as TICKFAN_FEEDS"),
        ("tickfan_http__prot", "did you mean TICKFAN_HTTP__PORT?"),
    ],
)
def test_an_unknown_variable_is_a_problem_without_its_value(variable: str, advice: str) -> None:
    """A typo would otherwise be a setting that silently does not hold."""
    assert read({variable: "hunter2"}).problems == [f"{variable} is not a setting: {advice}"]


@pytest.mark.parametrize("text", ["", "100,200", "[", "hunter2"])
def test_a_list_that_is_not_json_is_a_problem_without_its_value(text: str) -> None:
    """The message names the setting and the variable."""
    [problem] = read({"TICKFAN_FEEDS": text}).problems
    assert problem.startswith("feeds: TICKFAN_FEEDS must hold a JSON array: ")
    assert "hunter2" not in problem


@pytest.mark.parametrize(
    ("text", "value"),
    [("true", True), ("TRUE", True), ("1", True), ("on", True), ("no", False), ("0", False),
     ("", ""), ("2", "2"), ("[]", [])],
)  # fmt: skip
def test_words_for_true_and_false(text: str, value: object) -> None:
    """As programs that set variables write them; the file has true and false only."""
    assert read({"TICKFAN_BROKER__DECLARE": text}).values == {"broker": {"declare": value}}


def test_variables_of_tools_and_of_kubernetes_are_not_ours() -> None:
    """A Service named tickfan puts its address into each container of the namespace.

    Who exports the variables of a load test publishes from the same shell.
    """
    theirs = {
        "TICKFAN_TEST_AMQP_URL": "amqp://x",
        "TICKFAN_LOAD_HOST": "https://prices.example",
        "TICKFAN_LOAD_CLIENTS_PER_VU": "3",
        "tickfan_test_amqp_url": "amqp://x",
        "tickfan_version": "1",
        "TICKFAN_SERVICE_HOST": "10.0.0.1",
        "TICKFAN_SERVICE_PORT": "8080",
        "TICKFAN_SERVICE_PORT_HTTP": "8080",
        "TICKFAN_PORT": "tcp://10.0.0.1:8080",
        "TICKFAN_PORT_8080_TCP": "tcp://10.0.0.1:8080",
        "TICKFAN_PORT_8080_TCP_PROTO": "tcp",
        "TICKFAN_PORT_8080_TCP_PORT": "8080",
        "TICKFAN_PORT_8080_TCP_ADDR": "10.0.0.1",
        "TICKFAN_ADMIN_SERVICE_HOST": "10.0.0.2",
        "TICKFAN_ADMIN_PORT_8081_TCP": "tcp://10.0.0.2:8081",
    }
    assert read(theirs) == ({}, {}, [])
