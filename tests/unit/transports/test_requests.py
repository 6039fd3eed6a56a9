"""A stream request, from its URL or its body, to a subscription."""

from __future__ import annotations

import asyncio

import pytest
from aiohttp import StreamReader
from aiohttp.base_protocol import BaseProtocol
from aiohttp.test_utils import make_mocked_request

from tickfan.core import cursor as cursors
from tickfan.core.cursor import START, Place
from tickfan.core.errors import Refusal
from tickfan.transports.requests import check_names, read_request

Q, C, H, L = (f"1~{feed}.1.{START}" for feed in "qchl")


async def test_a_full_query_is_taken_apart() -> None:
    """Channels repeated and by commas; ``_`` begins what a client's cache needs."""
    wanted = await read_request(
        make_mocked_request(
            "GET",
            "/v1/sse?channels=a.%23,b&channels=c%2Fd&interval_ms=250&snapshot=False&until=done"
            "&cursor=1~x.1.-----------&_=99",
        ),
        snapshot=True,
        channels_max=3,
    )
    assert wanted.channels == ("a.#", "b", "c/d")
    assert (wanted.interval_ms, wanted.snapshot) == (250, False)
    assert (wanted.until, wanted.places()) == ("done", {"x": Place(1, START)})


@pytest.mark.parametrize("default", [True, False])
async def test_the_operator_sets_whether_a_snapshot_comes(*, default: bool) -> None:
    """A request that says nothing gets the default."""
    asked = make_mocked_request("GET", "/v1/sse?channels=a")
    assert (await read_request(asked, snapshot=default, channels_max=1)).snapshot is default


@pytest.mark.parametrize(
    ("query", "header", "cursor"),
    [
        ("", None, None),
        (f"&last_event_id={Q}", None, Q),
        (f"&cursor={C}", None, C),
        (f"&last_event_id={Q}&cursor={C}", None, Q),
        (f"&last_event_id={Q}", H, H),
        (f"&last_event_id={Q}", "", Q),
        (f"&last_event_id={Q}&lastEventId={L}", None, L),
        (f"&lastEventId={L}&last_event_id={Q}", None, Q),
        (f"&lastEventId={L}&cursor={C}", None, L),
        (f"&lastEventId={L}", H, H),
        (f"&last_event_id={Q}&lastEventId=", None, Q),
        (f"&lastEventId=&cursor={C}", None, C),
        (f"&cursor={Q}&cursor={C}", None, C),
    ],
)
async def test_the_newest_place_wins(query: str, header: str | None, cursor: str | None) -> None:
    """Header, then the last event id in the URL that comes last, then cursor; empty is none."""
    headers = {} if header is None else {"Last-Event-ID": header}
    asked = make_mocked_request("GET", f"/v1/sse?channels=a{query}", headers)
    wanted = await read_request(asked, snapshot=True, channels_max=1)
    assert wanted.places() == (None if cursor is None else cursors.parse(cursor))


@pytest.mark.parametrize(
    "name",
    ["last_event_id", "lastEventId", "lastEventID", "last-event-id", "Last-Event-ID",
     "Last-Event-Id", "lasteventid", "evs_last_event_id"],
)  # fmt: skip
async def test_each_librarys_name_of_the_last_event_id_is_a_cursor(name: str) -> None:
    """Of a GET and of a POST: a library adds it to whatever URL it was given."""
    asked = make_mocked_request("GET", f"/v1/sse?channels=a&{name}={L}&evs_buffer_size_limit=9")
    wanted = await read_request(asked, snapshot=True, channels_max=1)
    assert wanted.places() == cursors.parse(L)

    loop = asyncio.get_running_loop()
    body = StreamReader(BaseProtocol(loop), 2**16, loop=loop)
    body.feed_data(b'{"channels": ["a"]}')
    body.feed_eof()
    asked = make_mocked_request("POST", f"/v1/sse?{name}={L}", payload=body)
    wanted = await read_request(asked, snapshot=True, channels_max=1)
    assert wanted.places() == cursors.parse(L)


@pytest.mark.parametrize("name", ["event_id", "last_id", "xlastEventId", "lastEventIds"])
async def test_what_only_looks_like_it_is_refused(name: str) -> None:
    """A cursor that is misspelled would be a resume that never happens."""
    asked = make_mocked_request("GET", f"/v1/sse?channels=a&{name}={L}")
    with pytest.raises(Refusal, match="last_event_id") as caught:
        await read_request(asked, snapshot=True, channels_max=1)
    assert caught.value.item == name


def test_an_unknown_field_is_named_beside_those_that_are() -> None:
    """Most are misspelled; a long one is cut."""
    with pytest.raises(Refusal, match="are channels, until") as caught:
        check_names({"channels": 1, "x" * 500: 2}, ("channels", "until"))
    assert caught.value.item == "x" * 80
