"""tickfan.transports.addresses: what an address has open, how often it asks, and when it goes."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tests.support.updates import LAW
from tickfan.transports import addresses as module
from tickfan.transports.addresses import BURST_S, Addresses, Bucket, Shares

PROXY = "192.0.2.1"


class Table(Addresses):
    """Addresses with a time of their own; one of them is a proxy's."""

    def __init__(self, **limits: int) -> None:
        shares = Shares(
            sockets_max=100, sockets_per_address_max=3, streams_per_address_max=2,
            requests_per_address_per_s_max=1, handshakes_per_s_max=1,
            cost_ms_per_address_per_s_max=500, updates_per_address_per_s_max=1,
        )._replace(**limits)  # fmt: skip
        self.now = 1000.0
        super().__init__(shares, lambda peer: peer == PROXY, lambda: self.now)


def test_an_address_has_its_share_of_sockets() -> None:
    """Another one has its own; what is closed counts no more."""
    table = Table()
    opened = [table.open_socket("10.0.0.1") for _ in range(3)]
    assert table.why_no_socket("10.0.0.1") == "address_limit"
    assert table.why_no_socket("10.0.0.2") is None
    table.close_socket(opened.pop())
    assert table.why_no_socket("10.0.0.1") is None
    for each in opened:
        table.close_socket(each)
    assert (table.sockets, len(table)) == (0, 0)


def test_all_have_a_limit_together() -> None:
    """Those of a proxy, too."""
    table = Table(sockets_max=2)
    one = table.open_socket("10.0.0.1")
    table.open_socket(PROXY)
    assert {table.why_no_socket(peer) for peer in ("10.0.0.2", PROXY)} == {"overload"}
    table.close_socket(one)
    assert table.why_no_socket(PROXY) is None


def test_a_proxy_has_no_share() -> None:
    """Its clients have: it is no address of the table, and asks as often as it likes."""
    table = Table()
    sockets = [table.open_socket(PROXY) for _ in range(10)]
    streams = [table.open_stream(PROXY) for _ in range(10)]
    assert table.why_no_socket(PROXY) is None
    assert not table.has_streams(PROXY)
    assert [table.ask(PROXY) for _ in range(100)] == [0.0] * 100
    assert (table.sockets, len(table)) == (10, 0)
    for each in sockets:
        table.close_socket(each)
    for each in streams:
        table.close_stream(each)
    assert (table.sockets, len(table)) == (0, 0)


def test_an_address_has_its_share_of_streams() -> None:
    """They are counted beside its sockets, which may be those of a proxy."""
    table = Table()
    streams = [table.open_stream("10.0.0.1") for _ in range(2)]
    assert table.has_streams("10.0.0.1")
    assert not table.has_streams("10.0.0.2")
    assert table.why_no_socket("10.0.0.1") is None
    for each in streams:
        table.close_stream(each)
    assert not table.has_streams("10.0.0.1")
    assert len(table) == 0


def test_a_host_has_all_of_its_64_bits() -> None:
    """Of IPv6 a /64 counts as one; of IPv4 each address, however it is written."""
    table = Table()
    for number in range(3):
        table.open_socket(f"2001:db8::{number}:1")
    assert table.why_no_socket("2001:db8::ffff") == "address_limit"
    assert table.why_no_socket("2001:db8:0:1::1") is None
    for peer in ("10.0.0.1", "::ffff:10.0.0.1", "10.0.0.1"):
        table.open_socket(peer)
    assert table.why_no_socket("::ffff:10.0.0.1") == "address_limit"
    assert table.why_no_socket("::ffff:10.0.0.2") is None
    assert len(table) == 2


def test_who_asks_too_often_waits() -> None:
    """What comes in BURST_S may come at once, then one in each second; others are not touched."""
    table = Table()
    assert [table.ask("10.0.0.1") for _ in range(int(BURST_S))] == [0.0] * int(BURST_S)
    assert table.ask("10.0.0.1") == 1.0
    table.now += 0.75
    assert table.ask("10.0.0.1") == 0.25
    assert table.ask("10.0.0.2") == 0.0
    table.now += 0.25
    assert table.ask("10.0.0.1") == 0.0
    assert table.ask("10.0.0.1") == 1.0


def test_handshakes_are_counted_over_all() -> None:
    """Without a limit there is none."""
    table = Table()
    assert [table.begin_stream() for _ in range(6)] == [0.0] * 5 + [1.0]
    free = Table(handshakes_per_s_max=0, requests_per_address_per_s_max=0)
    assert {free.begin_stream() for _ in range(100)} == {0.0}
    assert {free.ask("10.0.0.1") for _ in range(100)} == {0.0}
    assert len(free) == 0


def test_without_a_limit_an_address_may_have_all() -> None:
    """0 is none."""
    table = Table(sockets_per_address_max=0, streams_per_address_max=0)
    for _ in range(99):
        table.open_socket("10.0.0.1")
        table.open_stream("10.0.0.1")
    assert table.why_no_socket("10.0.0.1") is None
    assert not table.has_streams("10.0.0.1")


def test_who_has_asked_is_remembered_until_its_bucket_is_full() -> None:
    """Else a client would have a new bucket with each connection."""
    table = Table()
    for _ in range(int(BURST_S)):
        socket = table.open_socket("10.0.0.1")
        assert table.ask("10.0.0.1") == 0.0
        table.close_socket(socket)
    assert table.ask("10.0.0.1") > 0.0
    assert len(table) == 1
    table.now += BURST_S
    table.ask("10.0.0.2")
    assert len(table) == 1, "the other one is forgotten"


def test_the_table_is_bounded() -> None:
    """Whoever has many addresses cannot fill the memory; what is open stays."""
    table = Table(sockets_max=2**30)
    keeper = table.open_socket("2001:db8::1")
    most = module.IDLE_MAX
    for number in range(most + 500):
        table.ask(f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}")
    assert len(table) == most + 1
    assert table.get("2001:db8::1") is keeper


@LAW
@given(
    per_s=st.integers(1, 1000),
    steps=st.lists(st.floats(0, 10, allow_nan=False), max_size=60),
)
def test_no_more_pass_than_the_rate_and_the_burst(per_s: int, steps: list[float]) -> None:
    """From the first request to any other; and who is told to wait passes after that."""
    bucket, now = Bucket(), 50.0
    for passed, step in enumerate(steps, start=1):
        now += step
        if wait_s := bucket.take(now, per_s):
            assert 0 < wait_s <= 1 / per_s + 1e-6
            now += wait_s + 1e-6
            assert bucket.take(now, per_s) == 0.0
        assert passed <= (now - 50.0 + BURST_S) * per_s + 1


def test_what_an_address_has_cost_it_owes() -> None:
    """Charged afterwards, to its streams and its requests alike; a proxy pays nothing."""
    table = Table()
    stream = table.open_stream("10.0.0.1")
    stream.charge(1.0)
    table.charge("10.0.0.1", 1.5)
    assert table.owes("10.0.0.1") == 0
    table.charge("10.0.0.1", 1.0)
    assert (table.owes("10.0.0.1"), stream.owes()) == (2.0, 2.0)
    table.charge(PROXY, 100.0)
    table.open_stream(PROXY).charge(100.0)
    assert (table.owes(PROXY), table.owes("10.0.0.2")) == (0, 0)
    table.now += 2
    assert table.owes("10.0.0.1") == 0


def test_an_address_is_remembered_until_it_has_paid() -> None:
    """Whoever leaves and comes back owes the same."""
    table = Table()
    table.charge("10.0.0.1", 10.0)
    table.close_stream(table.open_stream("10.0.0.1"))
    assert table.owes("10.0.0.1") == 15
    table.now += 20
    table.close_stream(table.open_stream("10.0.0.1"))
    assert len(table) == 0


def test_without_a_limit_of_cost_nobody_owes() -> None:
    """0 is none."""
    table = Table(cost_ms_per_address_per_s_max=0)
    table.open_stream("10.0.0.1").charge(100.0)
    table.charge("10.0.0.2", 100.0)
    assert (table.owes("10.0.0.1"), table.owes("10.0.0.2"), len(table)) == (0, 0, 1)


def test_updates_are_counted_apart_from_requests() -> None:
    """What an address has published too often does not keep it from asking."""
    table = Table(requests_per_address_per_s_max=0)
    assert [table.publish("10.0.0.1") for _ in range(6)] == [0.0] * 5 + [1.0]
    assert (table.ask("10.0.0.1"), table.publish("10.0.0.2"), table.publish(PROXY)) == (0, 0, 0)
    assert len(table) == 2
    table.now += 6
    assert table.publish("10.0.0.1") == 0
