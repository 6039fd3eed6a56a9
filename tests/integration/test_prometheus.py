"""Metrics, alerts and dashboard, in a real Prometheus."""

from __future__ import annotations

import asyncio
import json
import re
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
import yaml

from tests.support.access import GUARDED, bearer
from tests.support.everything import a_day_with_everything
from tests.support.programs import require
from tests.support.prometheus import (
    DASHBOARD,
    JOB,
    NAMESPACE,
    Prometheus,
    alert_rules,
    promtool,
)

if TYPE_CHECKING:
    from pathlib import Path

    from loadtest.rig.process import ServiceProcess
    from tests.integration.conftest import MakeService

SOURCE = f'job="{JOB}", namespace="{NAMESPACE}", pod="a"'

TOKEN = "published-by-this-test"
RARE = re.compile("tickfan_answers|sockets_refused|jwks|from_future|throttled|audit_lost|revo|tls")
"""What only an attack, an issuer or a wrong clock brings."""
MINUTES = 90
"""How long the stories below last; the alert must be firing at the end."""

# What each alert waits for: series, with their values from minute to minute.
STORIES = {
    "TickfanDown": {"up": "0x90"},
    "TickfanReplicaDown": {"up": "1x80 0x10"},
    "TickfanRestarts": {"process_start_time_seconds": "1000x70 2000x5 3000x5 4000x10"},
    "TickfanBrokerDown": {"tickfan_feed_live|feed=trades": "1x80 0x10"},
    "TickfanFeedDown": {
        "tickfan_feed_live|feed=trades": "1x80 0x10",
        "tickfan_feed_live|feed=quotes": "1x90",
    },
    "TickfanFeedNotLive": {
        "tickfan_feed_live|feed=trades": "1x80 0x10",
        "tickfan_feed_live|feed=quotes": "1x90",
    },
    "TickfanFeedQuiet": {
        "tickfan_feed_live|feed=trades": "1x90",
        "tickfan_updates_in_total|feed=trades": "0+100x70 7000x20",
    },
    "TickfanAgeHigh": {
        "tickfan_delivery_age_seconds_bucket|delivery=lossless,le=2.5": "0+90x90",
        "tickfan_delivery_age_seconds_bucket|delivery=lossless,le=5.0": "0+100x90",
        "tickfan_delivery_age_seconds_bucket|delivery=lossless,le=+Inf": "0+100x90",
    },
    "TickfanPoison": {"tickfan_poison_total|feed=trades,reason=bad_json": "0x85 1x5"},
    "TickfanBrokerBlocked": {"tickfan_broker_blocked": "0x80 1x10"},
    "TickfanSimulated": {"tickfan_simulated_market": "0x80 1x10"},
    "TickfanRevocationsDown": {"tickfan_revocations_unread_seconds": "0x80 0+60x10"},
    "TickfanRevocationsMalformed": {"tickfan_revocations_malformed_total": "0x85 1x5"},
    "TickfanUnbound": {"tickfan_unbound_total|feed=trades": "0x85 1x5"},
    "TickfanReset": {"tickfan_resets_total|feed=trades,reason=truncated": "0x85 1x5"},
    "TickfanGaps": {"tickfan_gaps_total|feed=trades": "0x85 1x5"},
    "TickfanNotResumed": {
        "tickfan_unrecovered_total|feed=trades,reason=history_lost": "0x80 0+3x10"
    },
    "TickfanTokensRefused": {"tickfan_refusals_total|code=bad_token": "0x60 0+100x30"},
    "TickfanAuditLost": {"tickfan_audit_lost_total": "0x85 1x5"},
    "TickfanKeysOld": {"tickfan_jwks_age_seconds|issuer=me": "100x20 0+60x70"},
    "TickfanInternalErrors": {"tickfan_closes_total|format=sse,reason=internal": "0x85 1x5"},
    "TickfanClientsBehind": {
        "tickfan_slow_subscribers": "20x90",
        "tickfan_connections|format=sse": "100x90",
    },
    "TickfanSlowClients": {
        "tickfan_closes_total|format=sse,reason=slow": "0x80 0+1x10",
        "tickfan_closes_total|format=sse,reason=stalled": "0x80 0+1x10",
    },
    "TickfanLoopLag": {
        "tickfan_loop_lag_seconds_bucket|le=0.1": "0+90x90",
        "tickfan_loop_lag_seconds_bucket|le=0.25": "0+100x90",
        "tickfan_loop_lag_seconds_bucket|le=+Inf": "0+100x90",
    },
    "TickfanLoopHeld": {"tickfan_slice_longest_seconds": "0.01x85 0.2x5"},
    "TickfanConnectionsNearLimit": {
        "tickfan_connections|format=sse": "50x90",
        "tickfan_connections|format=ndjson": "40x90",
    },
    "TickfanFilesNearLimit": {"process_open_fds": "900x90", "process_max_fds": "1000x90"},
    # The clock of these stories begins in 1970.
    "TickfanCertificateEnds": {"tickfan_tls_certificate_expiry_timestamp_seconds": "600000x90"},
    "TickfanCertificateRefused": {"tickfan_tls_certificate_refused": "0x80 1x10"},
    "TickfanHandshakesFail": {
        "tickfan_tls_handshakes_total|result=done": "0+1x90",
        "tickfan_tls_handshakes_total|result=failed": "0+6x90",
        "tickfan_tls_handshakes_total|result=plain": "0+1x90",
    },
}

# Of what each alert speaks when it fires, beside the job and its namespace.
NAMES = {
    "TickfanDown": "",
    "TickfanReplicaDown": "pod=a",
    "TickfanRestarts": "pod=a",
    "TickfanBrokerDown": "",
    "TickfanFeedDown": "feed=trades",
    "TickfanFeedNotLive": "pod=a,feed=trades",
    "TickfanFeedQuiet": "feed=trades",
    "TickfanAgeHigh": "",
    "TickfanPoison": "pod=a,feed=trades,reason=bad_json",
    "TickfanBrokerBlocked": "",
    "TickfanSimulated": "",
    "TickfanRevocationsDown": "pod=a",
    "TickfanRevocationsMalformed": "pod=a",
    "TickfanUnbound": "feed=trades",
    "TickfanReset": "pod=a,feed=trades,reason=truncated",
    "TickfanGaps": "pod=a,feed=trades",
    "TickfanNotResumed": "feed=trades,reason=history_lost",
    "TickfanTokensRefused": "code=bad_token",
    "TickfanAuditLost": "pod=a",
    "TickfanKeysOld": "issuer=me",
    "TickfanInternalErrors": "pod=a",
    "TickfanClientsBehind": "pod=a",
    "TickfanSlowClients": "",
    "TickfanLoopLag": "pod=a",
    "TickfanLoopHeld": "pod=a",
    "TickfanConnectionsNearLimit": "pod=a",
    "TickfanFilesNearLimit": "pod=a",
    "TickfanCertificateEnds": "pod=a",
    "TickfanCertificateRefused": "pod=a",
    "TickfanHandshakesFail": "",
}

# A day like any other: nothing may fire.
HEALTHY = {
    "up": "1x90",
    "tickfan_feed_live|feed=trades": "1x90",
    "tickfan_feed_live|feed=quotes": "1x90",
    "tickfan_updates_in_total|feed=trades": "0+100x90",
    "tickfan_updates_in_total|feed=quotes": "0x90",  # it never spoke, so it is not missed
    "tickfan_delivery_age_seconds_bucket|delivery=lossless,le=2.5": "0+100x90",
    "tickfan_delivery_age_seconds_bucket|delivery=lossless,le=+Inf": "0+100x90",
    # Conflated values are as old as their interval is long.
    "tickfan_delivery_age_seconds_bucket|delivery=conflated,le=2.5": "0x90",
    "tickfan_delivery_age_seconds_bucket|delivery=conflated,le=+Inf": "0+100x90",
    "tickfan_jwks_age_seconds|issuer=me": "300x90",
    "tickfan_loop_lag_seconds_bucket|le=0.1": "0+600x90",
    "tickfan_loop_lag_seconds_bucket|le=+Inf": "0+600x90",
    "tickfan_poison_total|feed=trades,reason=bad_json": "7x90",
    "tickfan_resets_total|feed=trades,reason=truncated": "1x90",
    "tickfan_gaps_total|feed=trades": "7x90",
    "tickfan_unbound_total|feed=trades": "1x90",
    "tickfan_revocations_unread_seconds": "20x90",
    "tickfan_revocations_malformed_total": "3x90",
    "tickfan_broker_blocked": "0x90",
    "tickfan_simulated_market": "0x90",
    "tickfan_unrecovered_total|feed=trades,reason=history_lost": "0x80 0+0.5x10",
    "tickfan_closes_total|format=sse,reason=internal": "1x90",
    "tickfan_closes_total|format=sse,reason=slow": "0+0.1x90",
    "tickfan_closes_total|format=sse,reason=left": "0+100x90",
    "tickfan_slice_longest_seconds": "0.2x90",
    "tickfan_slow_subscribers": "3x90",
    "tickfan_connections|format=sse": "50x90",
    "process_open_fds": "100x90",
    "process_max_fds": "1000x90",
    "tickfan_tls_certificate_expiry_timestamp_seconds": "1000000x90",
    "tickfan_tls_certificate_refused": "0x90",
    "tickfan_tls_handshakes_total|result=done": "0+30x90",
    "tickfan_tls_handshakes_total|result=failed": "0+1x90",
    "process_start_time_seconds": "1000x70 2000x5 3000x15",
}


def test_every_rule_is_well_formed(tmp_path: Path) -> None:
    """Promtool agrees, and each alert has a story below."""
    rules = tmp_path / "alerts.yaml"
    rules.write_text(alert_rules())
    done = promtool("check", "rules", rules)
    assert done.returncode == 0, done.stderr
    names = {
        rule["alert"]
        for group in yaml.safe_load(alert_rules())["groups"]
        for rule in group["rules"]
    }
    assert names == STORIES.keys()
    config = Prometheus(tmp_path, 1).config
    done = promtool("check", "config", config)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("alert", STORIES)
def test_each_alert_fires_when_it_should(alert: str, tmp_path: Path) -> None:
    """Its story over the healthy day: it fires, once, and names what its story is about."""
    _fires(alert, STORIES[alert], tmp_path)


@pytest.mark.parametrize("gone", ["_x90", "1x70 _x20"], ids=["never", "no more"])
def test_no_replica_to_ask_is_as_bad_as_none_that_answers(gone: str, tmp_path: Path) -> None:
    """Prometheus has nothing to scrape: the series is not 0, it is not there."""
    _fires("TickfanDown", {"up": gone}, tmp_path)


def _fires(alert: str, told: dict[str, str], directory: Path) -> None:
    story = {name.partition("|")[0] for name in told}
    day = {name: values for name, values in HEALTHY.items() if name.partition("|")[0] not in story}
    alerts = f'ALERTS{{alertname="{alert}", alertstate="firing"}}'
    firing = f"count without (alertname, alertstate, severity) ({alerts})"
    release = f'job="{JOB}", namespace="{NAMESPACE}"'
    labels = ", ".join([release, *_labels(NAMES[alert])])
    _tell(directory, [_test({**day, **told}, firing, [{"labels": f"{{{labels}}}", "value": 1}])])


def test_a_feed_that_may_be_quiet_is_spared(tmp_path: Path) -> None:
    """Where the chart writes its name into the rule."""
    spared = alert_rules().replace('feed!~""', 'feed!~"fx|trades"')
    day = HEALTHY | STORIES["TickfanFeedQuiet"]
    expression = 'count(ALERTS{alertstate="firing"})'
    _tell(tmp_path, [_test(day, expression, [])], spared)


def test_no_alert_fires_on_a_healthy_day(tmp_path: Path) -> None:
    """At no minute after the first ten."""
    expression = 'count(ALERTS{alertstate="firing"})'
    _tell(tmp_path, [_test(HEALTHY, expression, [], minute) for minute in range(10, MINUTES, 10)])


async def test_prometheus_reads_what_we_export_and_ask(
    make_service: MakeService, amqp: dict[str, str], tmp_path: Path
) -> None:
    """A running service on RabbitMQ, scraped: every rule evaluates, every panel shows something.

    More than nothing and more than zero, as all that they ask for happens here; what
    should wake somebody at once does.
    """
    require("prometheus")
    service = await asyncio.to_thread(
        make_service(
            {
                **amqp,
                **GUARDED,
                "STREAM__CONNECTIONS_MAX": "100",
                "PUBLISH__TOKEN": TOKEN,
                "ACCESS__ANONYMOUS": '["#"]',
            }
        ).start
    )
    with Prometheus(tmp_path, service.admin_port) as prometheus:
        # A scrape before, for the counters to have an increase.
        await asyncio.to_thread(
            prometheus.wait, lambda: prometheus.query("tickfan_feed_live"), "a first scrape"
        )
        assert prometheus.query("up == 1"), "the scrape is one that Prometheus takes"
        await _publish_and_be_refused(service.port)
        await _put_out(service)
        async with a_day_with_everything(service.port, amqp):
            for title, expression in _dashboard_queries():
                if RARE.search(expression):
                    prometheus.query(expression)  # it evaluates
                    continue
                await asyncio.to_thread(
                    prometheus.wait,
                    lambda: any(
                        float(series["value"][1]) > 0
                        for series in prometheus.query(expression)  # noqa: B023 - waited for
                    ),
                    f"something on panel {title!r}, from {expression}",
                )
        at_once = {"TickfanPoison", "TickfanGaps", "TickfanReset"}
        await asyncio.to_thread(
            prometheus.wait, lambda: at_once <= _firing(prometheus), f"{at_once} to fire"
        )
        # A machine that is busy with other tests may hold the loop: that is no fault.
        assert _firing(prometheus) <= at_once | {"TickfanLoopHeld"}
        rules = prometheus.rules()
        assert {rule["name"] for rule in rules} == STORIES.keys()
        assert not [rule for rule in rules if rule["health"] != "ok" or rule.get("lastError")]


async def _publish_and_be_refused(port: int) -> None:
    address = f"http://127.0.0.1:{port}/v1/channels/quotes.A"
    async with aiohttp.ClientSession() as session:
        for token, status in ((TOKEN, 201), ("another", 401)):
            bearer = {"Authorization": f"Bearer {token}"}
            async with session.post(address, json=1.5, headers=bearer) as answer:
                assert answer.status == status


async def _put_out(service: ServiceProcess) -> None:
    """Revoke the token of a client that is there."""
    revocations = f"http://127.0.0.1:{service.admin_port}/v1/admin/revocations"
    stream = f"{service.url}/v1/ndjson?channels=trades.A"
    async with (
        aiohttp.ClientSession() as session,
        session.get(stream, headers=bearer(channels=["#"])) as client,
        session.post(revocations, json={"revocations": [{"subject": "alice"}]}) as answer,
    ):
        assert (answer.status, (await answer.json())["ended"]) == (201, 1)
        assert b'"forbidden"' in await client.read()


def _firing(prometheus: Prometheus) -> set[str]:
    return {rule["name"] for rule in prometheus.rules() if rule["state"] == "firing"}


def _dashboard_queries() -> list[tuple[str, str]]:
    """Every query, with Grafana's variables as Grafana fills them in for "All"."""
    dashboard: dict[str, Any] = json.loads(DASHBOARD.read_text())
    return [
        (panel["title"], target["expr"].replace("$__rate_interval", "1m")
         .replace("$namespace", ".*").replace("$job", ".*").replace("$pod", ".*"))
        for panel in dashboard["panels"]
        for target in panel.get("targets", ())
    ]  # fmt: skip


def _series(name: str) -> str:
    metric, _, labels = name.partition("|")
    return f"{metric}{{{', '.join([SOURCE, *_labels(labels)])}}}"


def _labels(text: str) -> list[str]:
    return [f'{key}="{value}"' for key, value in (p.split("=") for p in text.split(",") if p)]


def _test(
    series: dict[str, str], expression: str, samples: list[dict[str, Any]], minute: int = MINUTES
) -> dict[str, Any]:
    return {
        "interval": "1m",
        "input_series": [
            {"series": _series(name), "values": values} for name, values in series.items()
        ],
        "promql_expr_test": [
            {"expr": expression, "eval_time": f"{minute}m", "exp_samples": samples}
        ],
    }


def _tell(directory: Path, tests: list[dict[str, Any]], rules: str = "") -> None:
    (directory / "alerts.yaml").write_text(rules or alert_rules())
    page = directory / "stories.yaml"
    page.write_text(
        yaml.safe_dump({
            "rule_files": ["alerts.yaml"], "evaluation_interval": "1m", "tests": tests,
        })
    )  # fmt: skip
    done = promtool("test", "rules", page)
    assert done.returncode == 0, done.stdout + done.stderr
