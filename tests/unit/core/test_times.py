"""tickfan.core.times: a publisher's time is taken as it is meant, or refused."""

from __future__ import annotations

import contextlib
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.updates import LAW
from tickfan.core.errors import Poison
from tickfan.core.times import MS_MAX, MS_MIN, SECONDS_MAX, SECONDS_MIN, as_ms, of_timestamp

MS = 1_763_596_800_123


@pytest.mark.parametrize(
    ("given", "ms"),
    [
        (MS, MS), (float(MS), MS), (str(MS), MS), ("1.763596800123E12", MS), (f" {MS}\n", MS),
        (MS // 1000, MS - 123), ("1763596800", MS - 123), (1_763_596_800.123, MS),
        ("1763596800.123", MS), (1_763_596_800_123_456, MS), (1_763_596_800_123_456_789, MS),
        ("1763596800123456", MS), ("1763596800123456789", MS), (1.763596800123e15, MS),
        ("2025-11-20T00:00:00.123Z", MS), ("2025-11-20 01:00:00.123456789+01:00", MS),
        ("20251120T000000.123+0000", MS), ("1975-01-01T00:00:00Z", 157_766_400_000),
        (946_684_800_000, 946_684_800_000), (157_766_400_000, 157_766_400_000),
        (SECONDS_MIN, MS_MIN), (SECONDS_MAX, MS_MAX), (MS_MAX, MS_MAX), (MS_MAX * 1000, MS_MAX),
        (None, None), (0, None), (0.0, None), ("0", None),
    ],
)  # fmt: skip
def test_times_as_publishers_write_them(given: Any, ms: int | None) -> None:
    """In each unit, as number and as text; 0 is what a clock says that was not set."""
    assert as_ms(given) == ms


@pytest.mark.parametrize(
    "given",
    [
        1, 5.5, -1, -MS, SECONDS_MIN - 1, MS_MAX + 1, 2**53, 2**63 - 1, 10**400, 1e300,
        float("nan"), float("inf"), True, b"1763596800", [MS], {"ms": MS}, "", " ", "yesterday",
        "-1", "nan", "inf", "1e99", "1_763_596_800", "\u0661" * 10, "0x12", "1763596800 s",
        20260102, 20260102143000, 20260102143000123, "20260102", "20260102143000",
        "2026-01-02", "2026-01-02T14:30:00", "14:30:00+00:00", "1969-12-31T23:59:59Z",
        "2100-01-01T00:00:00.001Z", "9999-12-31T23:59:59-23:59", "0001-01-01T00:00:00+23:59",
        "1" * 1_000_000, "2026-01-02T14:30:00Z" + "0" * 1_000_000,
    ],
    ids=lambda given: repr(given)[:30],
)  # fmt: skip
def test_what_could_be_any_time_is_refused(given: Any) -> None:
    """Also calendar digits and local times; the error says what to write."""
    with pytest.raises(Poison, match="send whole milliseconds since 1970 UTC") as poison:
        as_ms(given)
    assert poison.value.reason == "bad_ts"
    assert len(poison.value.detail) < 200


@LAW
@given(
    ms=st.integers(MS_MIN, MS_MAX),
    per_second=st.sampled_from([10**3, 10**6, 10**9]),
    write=st.sampled_from([int, str, float, lambda number: f"{number}.0"]),
)
def test_a_moment_is_the_same_in_each_unit(ms: int, per_second: int, write: Any) -> None:
    """No unit is taken for another, however the number is written."""
    assert as_ms(write(ms * per_second // 1000)) == ms
    assert as_ms(write(ms // 1000)) == ms // 1000 * 1000


@LAW
@given(
    ms=st.integers(1, MS_MAX),
    offset=st.integers(-14 * 60, 14 * 60),
    separator=st.sampled_from("T "),
)
def test_a_date_with_its_offset_is_that_moment(ms: int, offset: int, separator: str) -> None:
    """The offset counts; what Python writes is read back exactly."""
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=ms)
    zone = timezone(timedelta(minutes=offset))
    assert as_ms(moment.astimezone(zone).isoformat(separator)) == ms


@LAW
@given(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary()
    | st.text("0123456789.eE+-:TZW ", max_size=30)
)  # fmt: skip
def test_whatever_comes_is_a_time_none_or_refused(given: Any) -> None:
    """Nothing else is raised, and no time lies outside 1970 to 2100."""
    ms = None
    with contextlib.suppress(Poison):
        ms = as_ms(given)
    assert ms is None or (type(ms) is int and 0 < ms <= MS_MAX)


@pytest.mark.parametrize(
    ("number", "ms"),
    [(0, None), (1, 1000), (1_763_596_800, 1_763_596_800_000), (SECONDS_MAX, MS_MAX), (MS, MS)],
)
def test_amqps_own_type(number: int, ms: int | None) -> None:
    """Seconds by the specification; many publishers write ms."""
    assert of_timestamp(number) == ms


@pytest.mark.parametrize("number", [MS_MAX + 1, MS * 1000, 2_899_545_218_721_251, 2**64 - 1])
def test_amqps_own_type_in_a_smaller_unit_is_refused(number: int) -> None:
    """The third is what a stream made of nanoseconds: as microseconds it would be in 2061."""
    with pytest.raises(Poison, match="after 2100") as poison:
        of_timestamp(number)
    assert poison.value.reason == "bad_ts"
