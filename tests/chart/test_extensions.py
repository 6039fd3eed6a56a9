"""What operators add to the chart, so that nobody has to fork it."""

from __future__ import annotations

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


def test_extra_objects_are_installed_along(platform: Rendered) -> None:
    """Whole, and their texts are templates that know the release."""
    (extra,) = [each for each in platform.objects if each not in _own(platform.objects)]
    assert extra["metadata"]["name"] == "live-sidecar"
    assert extra["data"] == {"target": "http://live-tickfan-admin:8081/metrics"}
