"""What operators add to the chart, so that nobody has to fork it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.chart.rendering import VALUE_SETS, render

if TYPE_CHECKING:
    from tests.chart.rendering import Object, Rendered


@pytest.fixture(scope="module")
def platform() -> Rendered:
    """The chart with all that a platform may ask of it."""
    return render("-f", VALUE_SETS["platform"])


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
