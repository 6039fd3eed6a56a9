"""The chart's values: what is refused, and what reaches the service's own settings."""

from __future__ import annotations

import json
import re
import tomllib
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from joserfc.jwk import RSAKey

from tests.chart.rendering import CHART, DEMO, Refused, render
from tests.chart.schema import ELSEWHERE, SCHEMA, settings_schema
from tests.chart.tools import run, tool
from tickfan.config import Settings, load

if TYPE_CHECKING:
    from pathlib import Path

    from tests.chart.rendering import Rendered

KEY = RSAKey.generate_key(2048).as_pem(private=False)
VALUES = yaml.safe_load((CHART / "values.yaml").read_text())


def test_the_schema_knows_the_services_settings() -> None:
    """Every setting is in values.schema.json, with its type."""
    schema = json.loads(SCHEMA.read_text())
    assert schema["definitions"]["settings"] == settings_schema(), (
        "the settings have changed: run `.venv/bin/python -m tests.chart.schema`"
    )


def test_the_schema_is_one() -> None:
    """It fits the schema of schemas: a type that does not exist would refuse nothing, or all."""
    checked = run(tool("check-jsonschema"), "--check-metaschema", SCHEMA)
    assert checked.returncode == 0, checked.stdout


def test_the_schema_closes_every_map() -> None:
    """No map of the chart's own takes a name that it does not have."""

    def open_maps(schema: dict[str, Any], path: str) -> list[str]:
        found = []
        if "properties" in schema and schema.get("additionalProperties") is not False:
            found.append(path)
        for name, below in schema.get("properties", {}).items():
            found += open_maps(below, f"{path}.{name}")
        return found

    schema = json.loads(SCHEMA.read_text())
    # The one map that other charts read, too.
    assert open_maps(schema, "values") == ["values.global"]
    assert set(schema["properties"]) - {"global"} == set(VALUES)


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        ("replica=3", "Additional property replica is not allowed"),
        ("config.stream.heartbeats_s=3", "config.stream: Additional property heartbeats_s"),
        ("config.streams.heartbeat_s=3", "config: Additional property streams"),
        ("config.broker.url=amqp://a:b@c", "config.broker: Additional property url"),
        ("config.publish.token=abc", "config.publish: Additional property token"),
        ("broker.url=amqp://a:b@c", "broker: Additional property url"),
        ("replicas=two", "replicas: Invalid type. Expected: integer"),
        ("replicas=0", "replicas: Must be greater than or equal to 1"),
        ("config.http.port=0", "config.http.port: Must be greater than or equal to 1"),
        ("config.stream.snapshot=yes", "config.stream.snapshot: Invalid type. Expected: boolean"),
        ("config.log.level=loud", "config.log.level must be one of"),
        ("config.stop=null", "config: stop is required"),
        (
            "config.stop.grace_s=30,demo=true",
            "grace_s is 30: it must be at least drain_delay_s + drain_s + 1",
        ),
        ("config.stop.drain_s=-1", "config.stop.drain_s: Must be greater than or equal to 0"),
        ("config.stop.drain_delay_s=-1", "drain_delay_s: Must be greater than or equal to 0"),
        ("config.stop.grace_s=-1", "config.stop.grace_s: Must be greater than or equal to 0"),
        ("config.http.host=127.0.0.2", "config.http.host is 127.0.0.2: nobody outside of the pod"),
        ("config.http.host=null", "config.http.host is 127.0.0.1: nobody outside of the pod"),
        ("config.http.admin_host=localhost", "config.http.admin_host is localhost: nobody"),
        ("config.http.admin_host=::1", "config.http.admin_host is ::1: nobody"),
        ("config.http.port=8081", "config.http.port and admin_port are both 8081"),
        # YAML 1.1 reads these words as no names, wherever they stand without quotes.
        ("nameOverride=on", "nameOverride: Must not validate the schema"),
        ("fullnameOverride=y", "fullnameOverride: Must not validate the schema"),
        ("image.tag=latest", "image.tag"),
        ("image.repository=tickfan:1", "image.repository: Does not match pattern"),
        ("image.repository=a b", "image.repository: Does not match pattern"),
        ("image.repository=Tickfan", "image.repository: Does not match pattern"),
        ("broker.existingSecret=a_b", "broker.existingSecret: Does not match pattern"),
        ("enabled=false", "enabled does not match: true"),
        ("global.imageRegistry=https://a", "global.imageRegistry: Does not match pattern"),
        ('global.imagePullSecrets=[{"a": "b"}]', "global.imagePullSecrets.0: name is required"),
        ("demo=false", "nothing says where the prices come from: set broker.existingSecret to a"),
        ("demo=yes", "demo: Invalid type. Expected: boolean"),
        (
            "demo=true,broker.existingSecret=a",
            "demo is true, and broker.existingSecret names a RabbitMQ",
        ),
        (
            "config.market.enabled=true,broker.existingSecret=a",
            "config.market.enabled is true and demo is false: set demo alone",
        ),
        (
            "config.market.enabled=false,demo=true",
            "config.market.enabled is false and demo is true: set demo alone",
        ),
        ("broker.urlKey=a/b", "broker.urlKey: Does not match pattern"),
        ("broker.tls.keyKey=a/b", "broker.tls.keyKey: Does not match pattern"),
        ("tls.keyKey=a/b", "tls.keyKey: Does not match pattern"),
        ("tls.keyKey=", "tls.keyKey: Does not match pattern"),
        ("broker.tls.existingSecret=a", "set broker.existingSecret too, or neither"),
        ("broker.tls.certKey=tls.crt", "broker.tls.certKey and keyKey are a client certificate"),
        ("broker.tls.keyKey=tls.key", "broker.tls.certKey and keyKey are a client certificate"),
        ("config.http.admin_token=abc", "config.http: Additional property admin_token"),
        ("admin.existingSecret=A", "admin.existingSecret: Does not match pattern"),
        ("access.existingSecret=A", "access.existingSecret: Does not match pattern"),
        ("access.secretKey=a/b", "access.secretKey: Does not match pattern"),
        ("config.access.secret=abc", "config.access: Additional property secret"),
        ("publish.existingSecret=A", "publish.existingSecret: Does not match pattern"),
        ('imagePullSecrets=[{"name": "A"}]', "imagePullSecrets.0.name: Does not match"),
        ("ingress.className=A", "ingress.className: Does not match pattern"),
        ("priorityClassName=A", "priorityClassName: Does not match pattern"),
        ("serviceAccount.name=A", "serviceAccount.name: Does not match pattern"),
        (r"podLabels.app\.kubernetes\.io/name=a", 'Property name of "app.kubernetes.io/name"'),
        (r"commonLabels.app\.kubernetes\.io/version=a", 'Property name of "app.kubernetes.io/vers'),
        (r"commonAnnotations.a=1", "commonAnnotations.a: Invalid type. Expected: string"),
        ('extraObjects=[{"kind": "A"}]', "extraObjects.0: apiVersion is required"),
        ("probes.liveness.periodSeconds=0", "probes.liveness.periodSeconds: Must be greater"),
        ("probes.liveness.period=3", "probes.liveness: Additional property period is not"),
        ("probes.startup=null", "probes: startup is required"),
        ('env=[{"value": "a"}]', "env.0: name is required"),
        (
            'env=[{"name": "TICKFAN_STREAM__HEARTBEAT_S", "value": "5"}]',
            "env: TICKFAN_STREAM__HEARTBEAT_S would win unseen over config: set it there",
        ),
        (
            'env=[{"name": "TICKFAN_BROKER__URL", "valueFrom": {}}]',
            "env: TICKFAN_BROKER__URL has values of its own: set broker.existingSecret",
        ),
        ('volumes=[{"name": "config"}]', "volumes.0.name: Must not validate"),
        ('sidecars=[{"name": "tickfan", "image": "a"}]', "sidecars.0.name: Must not validate"),
        ('initContainers=[{"name": "a"}]', "initContainers.0: image is required"),
        ("dnsPolicy=Cluster", "dnsPolicy must be one of"),
        ("runtimeClassName=A", "runtimeClassName: Does not match pattern"),
        ('hostAliases=[{"ip": "10.0.0.5"}]', "hostAliases.0: hostnames is required"),
        ('podSecurityContext.sysctls=[{"name": "a", "value": 1}]', "sysctls.0.value: Invalid"),
        ("service.nodePort=30080", "service.type is ClusterIP: nodePort, externalTrafficPolicy"),
        ("service.trafficDistribution=Near", "service.trafficDistribution must be one of"),
        ('service.ipFamilies=["IPv5"]', "service.ipFamilies.0 must be one of"),
        ("podDisruptionBudget.minAvailable=1", "has minAvailable or maxUnavailable: set one of"),
        ("podDisruptionBudget.maxUnavailable=null", "has minAvailable or maxUnavailable: set one"),
        ("podDisruptionBudget.maxUnavailable=half", "maxUnavailable: Does not match pattern"),
        ("strategy.maxSurge=0", "strategy.maxUnavailable and maxSurge are both 0"),
        ("strategy.maxSurge=null", "strategy: maxSurge is required"),
        ("topologySpread.whenUnsatisfiable=Never", "whenUnsatisfiable must be one of"),
        (
            "autoscaling.cpuPercent=0,autoscaling.enabled=true,broker.existingSecret=a",
            "autoscaling goes by nothing: set cpuPercent, connectionsPerPod or metrics",
        ),
        ("autoscaling.behavior.down=1", "autoscaling.behavior: Additional property down"),
        ("monitoring.serviceMonitor.scrapeTimeout=5", "serviceMonitor.scrapeTimeout: Invalid type"),
        ("monitoring.serviceMonitor.relabelings=a", "serviceMonitor.relabelings: Invalid type"),
        ("podSecurityContext.runAsNonRoot=false", "podSecurityContext.runAsNonRoot"),
        ("podSecurityContext.runAsNonRoot=null", "runAsNonRoot is required"),
        ("podSecurityContext.runAsUser=0", "podSecurityContext.runAsUser: Must be greater than"),
        ("podSecurityContext.seccompProfile=null", "seccompProfile is required"),
        ("podSecurityContext.seccompProfile.type=Unconfined", "seccompProfile.type must be one of"),
        ("networkPolicy.dnsPorts=null", "networkPolicy: dnsPorts is required"),
        (
            "autoscaling.minReplicas=11,autoscaling.enabled=true,broker.existingSecret=a",
            "autoscaling.minReplicas is 11: it must not exceed maxReplicas (10)",
        ),
        ('monitoring.prometheusRule.quietFeeds=["a|b"]', "quietFeeds.0: Does not match pattern"),
        ("image.digest=sha256:12", "image.digest: Does not match pattern"),
        ("httpRoute.enabled=true", "httpRoute.parentRefs: Array must have at least 1"),
        ("httpRoute.timeouts.request=15", "httpRoute.timeouts.request: Invalid type. Expected"),
        ("httpRoute.timeouts.request=0.5s", "httpRoute.timeouts.request: Does not match pattern"),
        ("httpRoute.timeout.request=0s", "httpRoute: Additional property timeout is not allowed"),
        ("httpRoute.matches=[]", "httpRoute.matches: Array must have at least 1"),
        ("ingress.enabled=true", "ingress.hosts: Array must have at least 1"),
        ("monitoring.prometheusRule.runbook=a b", "runbook: Does not match pattern"),
        ("podLabels.a=1", "podLabels.a: Invalid type. Expected: string"),
        ("autoscaling.cpuPercent=170", "autoscaling.cpuPercent: Must be less than"),
        ('config.feeds=[{"name": "q", "bind": ["q.#"]}]', "config.feeds.0: delivery is required"),
        (
            'config.feeds=[{"name": "q", "bind": ["q.#"], "delivery": "conflated", "flush_ms": 1}]',
            "config.feeds.0: Additional property flush_ms is not allowed",
        ),
    ],
)
def test_wrong_values_are_refused_by_name(words: str, complaint: str) -> None:
    """A typo, a wrong type or a secret in the open never gets as far as the cluster."""
    how = "--set-json" if "[" in words else "--set"
    with pytest.raises(Refused, match=re.escape(complaint)):
        render(how, words)


def test_what_is_right_is_taken() -> None:
    """The strictest of the patterns and sums, at their edges."""
    for repository in ("tickfan", "localhost:5000/a", "registry.example:443/a_b/c--d/e.f"):
        render(*DEMO, "--set", f"image.repository={repository}")
    render("--set-string", "broker.existingSecret=a.b-c.1")
    render(*DEMO, "--set-json", "config.stop.grace_s=31")
    with pytest.raises(Refused, match=r"grace_s is 30.9: it must be at least .* \(31\)"):
        render(*DEMO, "--set-json", "config.stop.grace_s=30.9")


def test_the_service_takes_the_settings(
    rendered: Rendered, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each set of values is a file that the service's own loader accepts and means the same."""
    text = rendered.toml
    environ = {}
    if "env" in rendered.container:
        environ["TICKFAN_BROKER__URL"] = "amqps://user:password@rabbit.example/prices"
    # The service wants these files to be there: put them where the test may.
    for file in re.findall(r'"(/etc/tickfan/(?:tls|keys|public)/[^"]+)"', text):
        there = tmp_path / file.rpartition("/")[2]
        there.write_bytes(KEY)
        text = text.replace(file, str(there))
    path = tmp_path / "tickfan.toml"
    path.write_text(text)
    settings = load(path, environ)
    assert not settings.lacks_broker
    shown = settings.masked()
    for section, table in rendered.values["config"].items():
        if section in ("feeds", "keys"):
            for feed, given in zip(shown[section], table or shown[section], strict=True):
                assert {**given, "key_file": feed.get("key_file")}.items() <= {
                    "key_file": None, **feed,
                }.items()  # fmt: skip
        else:
            assert table.items() <= shown[section].items()


def test_the_files_are_where_the_container_reads_them(rendered: Rendered) -> None:
    """The argument, the mount and the volume name one file."""
    file = rendered.container["args"][-1]
    mount, volume = rendered.container["volumeMounts"][0], rendered.pod["volumes"][0]
    names = {each["metadata"]["name"]: each["data"] for each in rendered.all("ConfigMap")}
    config = volume["projected"]["sources"][0]["configMap"]["name"]
    assert file == f"{mount['mountPath']}/{next(iter(names[config]))}"
    assert mount["readOnly"] is True
    assert mount["name"] == volume["name"]


def test_the_chart_listens_to_the_outside(rendered: Rendered) -> None:
    """Both listeners are for other machines, and the log is for machines."""
    settings = tomllib.loads(rendered.toml)
    assert settings["http"]["host"] in ("0.0.0.0", "::")
    assert settings["http"]["admin_host"] in ("0.0.0.0", "::")
    assert settings["log"]["format"] == "json"


def test_numbers_and_texts_survive(tmp_path: Path) -> None:
    """Large integers stay integers, fractions fractions, and odd characters are themselves."""
    values = tmp_path / "values.yaml"
    odd = 'a "quoted" \\ <b> & ü \u2028'
    feed = {
        "name": "t", "bind": ["t.#"], "delivery": "lossless",
        "exchange": odd, "retention_bytes": 2**40,
    }  # fmt: skip
    values.write_text(
        yaml.safe_dump({"config": {"feeds": [feed], "stop": {"drain_s": 0.25}}, "demo": True})
    )
    read = tomllib.loads(render("-f", str(values)).toml)
    assert read["feeds"] == [feed]
    assert isinstance(read["feeds"][0]["retention_bytes"], int)
    assert read["stop"]["drain_s"] == 0.25


def test_secrets_have_no_other_way_in() -> None:
    """What the chart keeps out of ``config`` are exactly the service's secrets and TLS files."""
    secret = {
        (section, name)
        for section, model in Settings.model_json_schema()["$defs"].items()
        for name, field in model["properties"].items()
        if field.get("writeOnly")
    }
    kept_out = {name for names in ELSEWHERE.values() for name in names}
    assert {name for _, name in secret} <= kept_out
