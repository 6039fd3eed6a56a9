"""What operators add to the chart, so that nobody has to fork it."""

from __future__ import annotations

import json
import shutil
import tomllib
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from tests.chart.rendering import CHART, DEMO, VALUE_SETS, render
from tests.chart.tools import run, tool
from tickfan.core.errors import Poison
from tickfan.wire.schema import Schema

if TYPE_CHECKING:
    from pathlib import Path

    from tests.chart.rendering import Object, Rendered


@pytest.fixture(scope="module")
def platform() -> Rendered:
    """The chart with all that a platform may ask of it."""
    return render("-f", VALUE_SETS["platform"])


@pytest.fixture(scope="module")
def tuned() -> Rendered:
    """The chart with other numbers and policies than it comes with."""
    return render("-f", VALUE_SETS["tuned"])


def _all_on(*words: str) -> Rendered:
    return render("-f", VALUE_SETS["everything"], *words)


def _own(objects: list[Object]) -> list[Object]:
    return [each for each in objects if not each["metadata"]["name"].endswith("-sidecar")]


def test_every_object_has_the_common_labels_and_annotations(platform: Rendered) -> None:
    """Of each kind that there can be, the pods' too; selectors never have them."""
    common = {"cost-center": "4711"}, {"example.com/owner": "prices"}
    words = ("commonLabels.cost-center=4711", r"commonAnnotations.example\.com/owner=prices")
    everything = _all_on("--set-string", ",".join(words))
    metadata = [each["metadata"] for each in [*_own(platform.objects), *everything.objects]]
    metadata += [each.deployment["spec"]["template"]["metadata"] for each in (platform, everything)]
    for each in metadata:
        assert common[0].items() <= each["labels"].items(), each["name"]
        assert common[1].items() <= each["annotations"].items(), each["name"]
    selector = everything.deployment["spec"]["selector"]["matchLabels"]
    assert set(selector) == {"app.kubernetes.io/name", "app.kubernetes.io/instance"}


def test_an_objects_own_annotations_win() -> None:
    """The nearer word counts: of the object, then of all."""
    note = r"commonAnnotations.example\.com/note=0,commonAnnotations.example\.com/kind=common"
    rendered = _all_on("--set-string", note)
    template: Any = rendered.deployment["spec"]["template"]
    assert template["metadata"]["annotations"]["example.com/note"] == "1"
    assert rendered.deployment["metadata"]["annotations"]["example.com/note"] == "0"
    public = rendered.all("Service")[0]
    assert public["metadata"]["annotations"]["example.com/kind"] == "internal"


def _route(words: str) -> Any:
    rendered = render("-f", VALUE_SETS["httproute"], "--set-json", words)
    (rule,) = rendered.only("HTTPRoute")["spec"]["rules"]
    return rule


@pytest.mark.parametrize(
    ("given", "timeouts"),
    [
        ("null", None),
        ('{"request": null}', None),
        ('{"request": "1h30m"}', {"request": "1h30m"}),
        ('{"backendRequest": "5s"}', {"request": "0s", "backendRequest": "5s"}),
    ],
)
def test_the_route_has_the_time_outs_that_its_gateway_takes(given: str, timeouts: object) -> None:
    """They can be changed, and taken away where a route with them is refused."""
    assert _route(f"httpRoute.timeouts={given}").get("timeouts") == timeouts


def test_the_route_leads_where_it_is_told() -> None:
    """Filters and matches are the rule's; the backend stays."""
    filters = [{"type": "URLRewrite", "urlRewrite": {"hostname": "prices"}}]
    rule = _route(f"httpRoute.filters={json.dumps(filters)}")
    assert rule["filters"] == filters
    matches = [{"path": {"type": "PathPrefix", "value": "/v1"}}]
    rule = _route(f"httpRoute.matches={json.dumps(matches)}")
    assert rule["matches"] == matches
    assert rule["backendRefs"] == [{"name": "live-tickfan", "port": 80}]


def test_extra_objects_are_installed_along(platform: Rendered) -> None:
    """Whole, and their texts are templates that know the release."""
    (extra,) = [each for each in platform.objects if each not in _own(platform.objects)]
    assert extra["metadata"]["name"] == "live-sidecar"
    assert extra["data"] == {"target": "http://live-tickfan-admin:8081/metrics"}


@pytest.fixture
def parent(tmp_path: Path) -> Path:
    """A chart that has ours as a dependency, on a condition."""
    chart = tmp_path / "parent"
    shutil.copytree(CHART, chart / "charts" / "tickfan")
    (chart / "Chart.yaml").write_text(yaml.safe_dump({
        "apiVersion": "v2", "name": "parent", "version": "1.0.0",
        "dependencies": [{"name": "tickfan", "version": "*", "condition": "tickfan.enabled"}],
    }))  # fmt: skip
    return chart


def test_another_chart_may_have_it_on_a_condition(parent: Path) -> None:
    """Its word enabled is no value of ours, and no reason to refuse."""
    words = ("template", "live", parent, "--set", "tickfan.demo=true", "--set")
    on, off = (run(tool("helm"), *words, f"tickfan.enabled={word}") for word in ("true", "false"))
    assert (on.returncode, off.returncode) == (0, 0), on.stderr + off.stderr
    assert "kind: Deployment" in on.stdout
    assert "kind:" not in off.stdout


@pytest.mark.parametrize(
    ("repository", "image"),
    [
        ("tickfan", "mirror.example:5000/tickfan"),
        ("team/tickfan", "mirror.example:5000/team/tickfan"),
        ("registry.example/team/tickfan", "mirror.example:5000/team/tickfan"),
        ("localhost/tickfan", "mirror.example:5000/tickfan"),
    ],
)
def test_what_all_charts_share_is_heard(parent: Path, repository: str, image: str) -> None:
    """The registry of all images, for each pod; and its Secrets, beside our own."""
    values = {
        "global": {"imageRegistry": "mirror.example:5000", "imagePullSecrets": ["a", {"name": "b"}],
                   "storageClass": "another chart's"},
        "tickfan": {"demo": True, "image": {"repository": repository},
                    "imagePullSecrets": [{"name": "b"}]},
    }  # fmt: skip
    (parent / "values.yaml").write_text(yaml.safe_dump(values))
    done = run(tool("helm"), "template", "live", parent)
    assert done.returncode == 0, done.stderr
    objects = {each["kind"]: each for each in yaml.safe_load_all(done.stdout)}
    for pod in (objects["Pod"]["spec"], objects["Deployment"]["spec"]["template"]["spec"]):
        assert pod["containers"][0]["image"].rpartition(":")[0] == image
        assert pod["imagePullSecrets"] == [{"name": "b"}, {"name": "a"}]


def test_what_is_added_to_the_container_is_beside_our_own(platform: Rendered) -> None:
    """Variables, mounts: ours come first, and stay."""
    container = platform.container
    assert [each["name"] for each in container["env"]] == [
        "TICKFAN_BROKER__URL", "SSL_CERT_DIR", "NODE"
    ]  # fmt: skip
    assert container["envFrom"] == platform.values["envFrom"]
    assert [each["mountPath"] for each in container["volumeMounts"]] == ["/etc/tickfan", "/certs"]
    demo = render(*DEMO, "--set-json", 'env=[{"name": "A", "value": "b"}]')
    assert demo.container["env"] == [{"name": "A", "value": "b"}]


def test_a_schema_comes_with_the_chart(tmp_path: Path) -> None:
    """As docs/feeds.md says: its file is where the service looks for it, and is a schema."""
    page = (CHART.parents[1] / "docs" / "feeds.md").read_text()
    _, _, rest = page.partition("```yaml\nconfig:\n  feeds:\n")
    values = tmp_path / "values.yaml"
    values.write_text(f"config:\n  feeds:\n{rest.partition('```')[0]}")
    rendered = render("-f", values, *DEMO)
    (feed,) = tomllib.loads(rendered.toml)["feeds"]
    directory, _, name = feed["schema_file"].rpartition("/")
    mount, volume = rendered.container["volumeMounts"][-1], rendered.pod["volumes"][-1]
    assert (mount["mountPath"], mount["name"]) == (directory, volume["name"])
    maps = {each["metadata"]["name"]: each["data"] for each in rendered.all("ConfigMap")}
    schema = Schema(maps[volume["configMap"]["name"]][name].encode())
    with pytest.raises(Poison, match='"ask" is a required property'):
        schema.check({"bid": "1"})


def test_what_is_added_to_the_pod_is_beside_our_own(platform: Rendered) -> None:
    """Containers, volumes and each further field are the pod's, as they were given."""
    pod, values = platform.pod, platform.values
    assert [each["name"] for each in pod["containers"]] == ["tickfan", "shipper"]
    assert pod["initContainers"] == values["initContainers"]
    assert [each["name"] for each in pod["volumes"]] == ["config", "certs"]
    for name in ("dnsPolicy", "dnsConfig", "hostAliases", "runtimeClassName", "schedulerName"):
        assert pod[name] == values[name]
    assert pod["securityContext"]["sysctls"] == values["podSecurityContext"]["sysctls"]
    assert pod["securityContext"]["runAsNonRoot"] is True


def test_a_probe_has_the_patience_that_it_is_given(platform: Rendered) -> None:
    """One number is changed, and the others stay."""
    container = platform.container
    startup, readiness = container["startupProbe"], container["readinessProbe"]
    assert (startup["periodSeconds"], startup["failureThreshold"]) == (2, 60)
    assert (readiness["periodSeconds"], readiness["initialDelaySeconds"]) == (5, 35)


def test_the_services_are_as_the_network_wants_them(tuned: Rendered) -> None:
    """Each policy is the public Service's; the families are both's, or IPv6 has no metrics."""
    public, admin = (each["spec"] for each in tuned.all("Service"))
    given = tuned.values["service"]
    for name in (
        "trafficDistribution", "externalTrafficPolicy", "internalTrafficPolicy",
        "ipFamilyPolicy", "ipFamilies", "loadBalancerClass", "loadBalancerSourceRanges",
    ):  # fmt: skip
        assert public[name] == given[name]
        assert admin.get(name) == (given[name] if name.startswith("ipFamil") else None)
    assert public["ports"][0]["nodePort"] == 30080
    metadata = [each["metadata"] for each in tuned.all("Service")]
    assert [each["labels"].get("kind") for each in metadata] == ["public", None]
    assert metadata[1]["annotations"] == given["adminAnnotations"]
    assert tuned.only("Ingress")["metadata"]["labels"]["kind"] == "public"


def test_the_autoscaler_goes_by_what_it_is_told(tuned: Rendered) -> None:
    """Not by CPU where that is 0; what is said of its behaviour wins, and the rest stays."""
    spec = tuned.only("HorizontalPodAutoscaler")["spec"]
    assert spec["metrics"] == tuned.values["autoscaling"]["metrics"]
    assert spec["behavior"] == {
        "scaleUp": {"stabilizationWindowSeconds": 30},
        "scaleDown": {
            "stabilizationWindowSeconds": 600,
            "policies": [{"type": "Percent", "value": 10, "periodSeconds": 300}],
        },
    }
    # Nothing is a number, too.
    at_once = "autoscaling.behavior.scaleDown.stabilizationWindowSeconds=0"
    behavior = _all_on("--set", at_once).only("HorizontalPodAutoscaler")["spec"]["behavior"]
    assert behavior["scaleDown"]["stabilizationWindowSeconds"] == 0


def test_rollouts_and_drains_go_by_the_given_numbers(tuned: Rendered, everything: Rendered) -> None:
    """The budget has one of its two numbers, and never none or both."""
    budget = tuned.only("PodDisruptionBudget")["spec"]
    assert (budget["minAvailable"], budget.get("maxUnavailable")) == ("50%", None)
    assert budget["unhealthyPodEvictionPolicy"] == "IfHealthyBudget"
    as_it_comes = everything.only("PodDisruptionBudget")["spec"]
    assert (as_it_comes.get("minAvailable"), as_it_comes["maxUnavailable"]) == (None, 1)
    spec = tuned.deployment["spec"]
    assert spec["strategy"]["rollingUpdate"] == {"maxUnavailable": 1, "maxSurge": 0}
    assert spec["revisionHistoryLimit"] == 3
    spread = tuned.pod["topologySpreadConstraints"]
    assert {each["whenUnsatisfiable"] for each in spread} == {"DoNotSchedule"}
    assert tuned.deployment["metadata"]["annotations"] == tuned.values["deploymentAnnotations"]


def test_a_sidecar_gets_through_the_closed_network(tuned: Rendered) -> None:
    """Whole rules, beside those of the chart."""
    spec, given = tuned.only("NetworkPolicy")["spec"], tuned.values["networkPolicy"]
    assert spec["ingress"][-1:] == given["extraIngress"]
    assert spec["egress"][-1:] == given["extraEgress"]
    assert (len(spec["ingress"]), len(spec["egress"])) == (3, 3)
