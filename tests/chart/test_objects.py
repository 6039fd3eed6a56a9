"""What the chart makes, for every set of values: objects that Kubernetes takes, and safe ones."""

from __future__ import annotations

import json
import re
import tomllib
from typing import TYPE_CHECKING, Any

import kubernetes_validate  # type: ignore[import-untyped]
import pytest
import yaml

from tests.chart.rendering import CHART, DEMO, VALUE_SETS, Refused, render
from tests.chart.tools import run, tool

if TYPE_CHECKING:
    from pathlib import Path

    from tests.chart.rendering import Object, Rendered

CUSTOM = {"HTTPRoute", "ServiceMonitor", "PrometheusRule"}
"""Kinds from CRDs, whose schemas the validator does not have."""
KUBERNETES = ("1.30", "1.37")
"""The oldest that Chart.yaml allows, and the newest that the validator knows."""


def _pods(rendered: Rendered) -> list[Object]:
    return [rendered.pod, *(pod["spec"] for pod in rendered.all("Pod"))]


def _own(pod: Object) -> list[Object]:
    """Its containers that the chart makes: those that an operator adds are the operator's."""
    return [each for each in pod["containers"] if each["name"] in ("tickfan", "tail")]


@pytest.mark.parametrize("values", sorted(VALUE_SETS.values()), ids=lambda path: path.name)
def test_lint_is_strict_and_silent(values: Path) -> None:
    """Helm's linter finds neither an error nor a warning."""
    found = run(tool("helm"), "lint", "--strict", CHART, "-f", values)
    assert found.returncode == 0, found.stdout
    assert "WARNING" not in found.stdout


def test_kubernetes_takes_every_object(rendered: Rendered) -> None:
    """No object has a field that Kubernetes' strict schemas do not know."""
    for each in rendered.objects:
        if each["kind"] not in CUSTOM:
            for version in KUBERNETES:
                kubernetes_validate.validate(each, version, strict=True)


def test_there_are_no_two_of_a_name(rendered: Rendered) -> None:
    """Kind and name are an object's address; all belong to the release."""
    names = [(each["kind"], each["metadata"]["name"]) for each in rendered.objects]
    assert len(set(names)) == len(names)
    for each in rendered.objects:
        assert each["metadata"]["labels"]["app.kubernetes.io/instance"] == "live"


def test_each_switch_makes_its_object(everything: Rendered) -> None:
    """Everything that can be switched on is there, once."""
    kinds = {each["kind"] for each in everything.objects}
    assert kinds >= CUSTOM | {
        "Ingress", "HorizontalPodAutoscaler", "PodDisruptionBudget", "NetworkPolicy",
        "ServiceAccount", "Pod",
    }  # fmt: skip


def test_every_container_is_locked_in(rendered: Rendered) -> None:
    """Not root, nothing writable, no capability, no token, with limits: also the test's."""
    for pod in _pods(rendered):
        assert pod["automountServiceAccountToken"] is False
        context = pod["securityContext"]
        assert context["runAsNonRoot"] is True
        user = rendered.values["podSecurityContext"]["runAsUser"]
        assert context.get("runAsUser") == user
        assert user is None or user >= 10000
        assert context["seccompProfile"] == {"type": "RuntimeDefault"}
        for container in _own(pod):
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }
            assert "memory" in container["resources"]["limits"]
            assert "cpu" not in container["resources"]["limits"]
    for account in rendered.all("ServiceAccount"):
        assert account["automountServiceAccountToken"] is False


def test_no_image_can_change_unseen(rendered: Rendered) -> None:
    """Each image has a tag that names a version, or a digest."""
    for pod in _pods(rendered):
        for container in _own(pod):
            image = container["image"].rpartition("/")[2]
            assert re.fullmatch(r"[^:@]+(:(?!latest$).+|@sha256:[0-9a-f]{64})", image)


def test_no_secret_is_in_what_is_not_one(rendered: Rendered) -> None:
    """Only references to Secrets: no object holds one, and none is made."""
    assert not rendered.all("Secret")
    for config in rendered.all("ConfigMap"):
        assert not re.search(r"amqps?://|password|token", json.dumps(config["data"]))
    settings = tomllib.loads(rendered.toml)
    assert "url" not in settings.get("broker", {})
    assert "publish" not in settings
    assert "admin_token" not in settings["http"]
    for variable in rendered.container.get("env", []):
        if variable["name"].startswith("TICKFAN_"):
            assert set(variable) == {"name", "valueFrom"}
            assert variable["valueFrom"]["secretKeyRef"]["name"]


def test_secrets_come_from_where_they_are(everything: Rendered) -> None:
    """What is text becomes variables of the service, and files are mounted."""
    assert {
        variable["name"]: tuple(variable["valueFrom"]["secretKeyRef"].values())
        for variable in everything.container["env"]
    } == {
        "TICKFAN_BROKER__URL": ("tickfan-broker", "amqp-url"),
        "TICKFAN_PUBLISH__TOKEN": ("tickfan-publish", "http"),
        "TICKFAN_HTTP__ADMIN_TOKEN": ("tickfan-admin", "admin"),
        "TICKFAN_ACCESS__SECRET": ("tickfan-tickets", "seal"),
    }
    volume, keys = everything.pod["volumes"]
    mounted = volume["projected"]["sources"][1]["secret"]
    assert mounted["name"] == "tickfan-tls"
    directory = everything.container["volumeMounts"][0]["mountPath"]
    named = tomllib.loads(everything.toml)["broker"]["tls_ca_file"]
    assert named == f"{directory}/{mounted['items'][0]['path']}"
    assert keys["secret"]["secretName"] == "tickfan-keys"
    mounts = {mount["name"]: mount for mount in everything.container["volumeMounts"]}
    [key] = tomllib.loads(everything.toml)["keys"]
    assert key["key_file"].startswith(f"{mounts['keys']['mountPath']}/")
    assert mounts["keys"]["readOnly"] is True


def test_the_pods_speak_tls_with_the_pair_of_a_secret(
    everything: Rendered, defaults: Rendered
) -> None:
    """Two files that change with the Secret; the Service says so, and the probes need none."""
    volume = everything.pod["volumes"][0]
    mounted = volume["projected"]["sources"][2]["secret"]
    assert mounted["name"] == "tickfan-public"
    mount = everything.container["volumeMounts"][0]
    assert "subPath" not in mount, "it would never change"
    http = tomllib.loads(everything.toml)["http"]
    assert [http["tls_cert_file"], http["tls_key_file"]] == [
        f"{mount['mountPath']}/{item['path']}" for item in mounted["items"]
    ]
    assert [item["key"] for item in mounted["items"]] == ["crt", "key"]
    for rendered, protocol in ((everything, "https"), (defaults, "http")):
        (port,) = rendered.all("Service")[0]["spec"]["ports"]
        assert port["appProtocol"] == protocol
        for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
            assert rendered.container[probe]["httpGet"]["port"] == "admin"
    assert "tls_cert_file" not in tomllib.loads(defaults.toml)["http"]


def test_new_settings_are_new_pods(defaults: Rendered) -> None:
    """The checksum follows the settings, and nothing else."""

    def template(rendered: Rendered) -> Any:
        return rendered.deployment["spec"]["template"]

    changed = render(*DEMO, "--set", "config.log.level=debug")
    same = render(*DEMO, "--set", "service.port=81")
    assert template(changed) != template(defaults)
    assert template(same) == template(defaults)


def test_selectors_find_the_pods_and_nothing_else(rendered: Rendered) -> None:
    """Every selector matches the pods; none matches the pod of helm test."""
    labels = rendered.deployment["spec"]["template"]["metadata"]["labels"].items()
    selectors = [rendered.deployment["spec"]["selector"]["matchLabels"]]
    selectors += [service["spec"]["selector"] for service in rendered.all("Service")]
    for kind in ("PodDisruptionBudget", "NetworkPolicy"):
        for each in rendered.all(kind):
            spec = each["spec"]
            selectors.append(spec.get("podSelector", spec.get("selector"))["matchLabels"])
    test = rendered.only("Pod")["metadata"]["labels"].items()
    for selector in selectors:
        assert selector.items() <= labels
        assert not selector.items() <= test


def test_ports_and_probes_meet(rendered: Rendered) -> None:
    """Probes ask the admin port, whose number is the service's; the public Service has it not."""
    ports = {port["name"]: port["containerPort"] for port in rendered.container["ports"]}
    http = tomllib.loads(rendered.toml)["http"]
    assert ports == {"http": http["port"], "admin": http["admin_port"]}
    probes = [rendered.container[name]["httpGet"] for name in _PROBES]
    assert probes == [{"path": path, "port": "admin"} for path in _PROBES.values()]
    public, admin = rendered.all("Service")
    assert [port["targetPort"] for port in public["spec"]["ports"]] == ["http"]
    assert [port["targetPort"] for port in admin["spec"]["ports"]] == ["admin"]
    assert admin["spec"]["clusterIP"] == "None"


_PROBES = {"startupProbe": "/livez", "livenessProbe": "/livez", "readinessProbe": "/readyz"}


def test_the_probes_mean_different_things(defaults: Rendered) -> None:
    """A start may take a minute, a hung loop a minute, and unreadiness shows in ten seconds."""
    patience = {
        name: probe["periodSeconds"] * probe["failureThreshold"]
        for name in _PROBES
        for probe in [defaults.container[name]]
    }
    assert patience == {"startupProbe": 60, "livenessProbe": 60, "readinessProbe": 10}


def test_the_drain_fits_into_the_grace(rendered: Rendered) -> None:
    """Sleep, drain, the service's grace and a margin: in this order, and all within."""
    stop = tomllib.loads(rendered.toml)["stop"]
    sleep = rendered.container["lifecycle"]["preStop"]["sleep"]["seconds"]
    drain_s = stop["drain_delay_s"] + stop["drain_s"]
    assert drain_s <= stop["grace_s"] - 1
    margin = rendered.pod["terminationGracePeriodSeconds"] - sleep - stop["grace_s"]
    assert 5 <= margin < 6
    # The clients of one pod have moved before the next pod goes.
    spec = rendered.deployment["spec"]
    assert 0 <= spec["minReadySeconds"] - sleep - drain_s < 1
    assert spec["strategy"]["rollingUpdate"] == rendered.values["strategy"]
    # Kubernetes refuses a deadline (600 by default) that is not above minReadySeconds.
    assert spec["progressDeadlineSeconds"] == spec["minReadySeconds"] + 600


def test_streams_pass_the_gateway_without_an_end(everything: Rendered) -> None:
    """The route has no time limit, and leads to the Service's own port."""
    (rule,) = everything.only("HTTPRoute")["spec"]["rules"]
    assert rule["timeouts"] == {"request": "0s"}
    assert rule["backendRefs"] == [{"name": "prices", "port": 443}]
    assert everything.all("Service")[0]["spec"]["ports"][0]["port"] == 443


def test_the_test_stands_where_the_service_may(rendered: Rendered) -> None:
    """Where nodes are tainted, or of two kinds, helm test's pod needs the same words."""
    for key in ("nodeSelector", "tolerations", "affinity", "runtimeClassName", "dnsConfig"):
        assert rendered.only("Pod")["spec"].get(key) == rendered.pod.get(key)


def test_the_demo_is_one_replica(defaults: Rendered) -> None:
    """Its broker is in the process: two would be two; and it cannot be scaled."""
    assert defaults.deployment["spec"]["replicas"] == 1
    assert not defaults.all("PodDisruptionBudget")
    assert "topologySpreadConstraints" not in defaults.pod
    with pytest.raises(Refused, match="autoscaling needs broker"):
        render(*DEMO, "--set", "autoscaling.enabled=true")


def test_the_demo_is_asked_for(defaults: Rendered, everything: Rendered) -> None:
    """The market is switched on in the settings of the demo, and in no others."""
    assert tomllib.loads(defaults.toml)["market"] == {"enabled": True}
    assert tomllib.loads(everything.toml)["market"] == {"enabled": False}
    rated = render(*DEMO, "--set", "config.market.rate=5")
    assert tomllib.loads(rated.toml)["market"] == {"enabled": True, "rate": 5}


def test_the_autoscaler_owns_the_count(everything: Rendered) -> None:
    """With an autoscaler the Deployment names no number of its own: it would be reset to it."""
    assert "replicas" not in everything.deployment["spec"]
    assert [metric["type"] for metric in _metrics(everything)] == ["Resource"]
    both = render("-f", str(VALUE_SETS["autoscaling"]))
    assert [metric["type"] for metric in _metrics(both)] == ["Resource", "Pods"]


def _metrics(rendered: Rendered) -> list[Any]:
    found: list[Any] = rendered.only("HorizontalPodAutoscaler")["spec"]["metrics"]
    return found


def test_the_network_is_closed_but_for_what_is_needed() -> None:
    """In: the gateway, the test, Prometheus. Out: DNS and the broker."""
    rendered = render("-f", str(VALUE_SETS["networkpolicy"]))
    spec = rendered.only("NetworkPolicy")["spec"]
    public, admin = spec["ingress"]
    assert [port["port"] for port in public["ports"] + admin["ports"]] == ["http", "admin"]
    test = rendered.only("Pod")["metadata"]["labels"]
    allowed = [
        peer["podSelector"]["matchLabels"] for peer in public["from"] if "podSelector" in peer
    ]
    assert len(public["from"]) == 2
    assert any(labels.items() <= test.items() for labels in allowed)
    peers = rendered.values["networkPolicy"]
    assert [peer for peer in public["from"] if "podSelector" not in peer] == peers["publicFrom"]
    assert admin["from"] == peers["adminFrom"]
    assert peers["adminFrom"] != peers["publicFrom"]
    dns, broker = spec["egress"]
    assert dns == {"ports": [{"port": 53, "protocol": each} for each in ("UDP", "TCP")]}
    assert broker == {"ports": [{"port": 5671}], "to": [{"ipBlock": {"cidr": "10.20.0.0/24"}}]}


def test_the_admin_port_is_open_to_the_monitoring_alone() -> None:
    """Whoever reaches it can put clients out. The kubelet asks whatever a policy says."""
    closed = ("-f", str(VALUE_SETS["everything"]))
    [_, admin] = render(*closed).only("NetworkPolicy")["spec"]["ingress"]
    assert admin == {
        "ports": [{"port": "admin"}],
        "from": [
            {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}}
        ],
    }
    nobody = render(*closed, "--set-json", "networkPolicy.adminFrom=[]")
    [public] = nobody.only("NetworkPolicy")["spec"]["ingress"]
    assert public["ports"] == [{"port": "http"}]


def test_openshift_gets_what_it_asks_for() -> None:
    """No user or group of ours, and the port that its DNS has; the locks stay."""
    rendered = render("-f", VALUE_SETS["openshift"])
    for pod in _pods(rendered):
        assert pod["securityContext"] == {
            "runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"},
        }  # fmt: skip
    dns = rendered.only("NetworkPolicy")["spec"]["egress"][0]
    assert [port["port"] for port in dns["ports"]] == [5353, 5353]
    (peer,) = dns["to"]
    assert "openshift-dns" in peer["namespaceSelector"]["matchLabels"].values()


def test_a_name_of_digits_is_a_name(tmp_path: Path) -> None:
    """Kubernetes takes no number where a text belongs."""
    values = tmp_path / "values.yaml"
    values.write_text(json.dumps({
        "broker": {
            "existingSecret": "1", "urlKey": "2",
            "tls": {"existingSecret": "3", "caKey": "4", "certKey": "5", "keyKey": "6"},
        },
        "tls": {"existingSecret": "14", "certKey": "15", "keyKey": "16"},
        "publish": {"existingSecret": "7", "tokenKey": "8"},
        "admin": {"existingSecret": "14", "tokenKey": "15"},
        "ingress": {"enabled": True, "className": "9", "hosts": ["10"]},
        "serviceAccount": {"name": "11"}, "priorityClassName": "12",
    }))  # fmt: skip
    words = ("helm", "template", "13", CHART, "-f", values)
    done = run(tool(words[0]), *words[1:])
    assert done.returncode == 0, done.stderr
    for each in yaml.safe_load_all(done.stdout):
        kubernetes_validate.validate(each, KUBERNETES[-1], strict=True)


def test_helm_test_watches_each_transport(
    rendered: Rendered, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The service's own image and command wait for an update from the Service, in one log."""
    pod = rendered.only("Pod")
    assert pod["metadata"]["annotations"]["helm.sh/hook"] == "test"
    (container,) = pod["spec"]["containers"]
    assert container["image"] == rendered.container["image"]
    # Its command, with a stand-in of ours that only says how it was called.
    (tmp_path / "tickfan").write_text('#!/bin/sh\necho "$@"\n')
    (tmp_path / "tickfan").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    done = run(*container["command"], *container["args"])
    test = rendered.values["test"]
    port = rendered.all("Service")[0]["spec"]["ports"][0]["port"]
    scheme = "https" if rendered.values["tls"]["existingSecret"] else "http"
    words = f"--count=1 --timeout={test['timeoutSeconds']} --url={scheme}://{rendered.name}:{port}"
    assert done.stdout.splitlines() == [
        f"tail --transport={transport} {words} {' '.join(test['patterns'])}"
        for transport in ("sse", "ws")
    ]
    # Each may take its time-out before Kubernetes ends the pod, and its words with it.
    assert pod["spec"]["activeDeadlineSeconds"] > 2 * test["timeoutSeconds"]


def test_helm_test_says_which_transport_failed(rendered: Rendered, tmp_path: Path) -> None:
    """The first that fails is the last: its word ends the log, its status is the pod's."""
    (container,) = rendered.only("Pod")["spec"]["containers"]
    (tmp_path / "tickfan").write_text('#!/bin/sh\necho "$2"\nexit 1\n')
    (tmp_path / "tickfan").chmod(0o755)
    words = [f"PATH={tmp_path}:/usr/bin:/bin", *container["command"], *container["args"]]
    done = run("env", *words)
    assert (done.returncode, done.stdout) == (1, "--transport=sse\n")
