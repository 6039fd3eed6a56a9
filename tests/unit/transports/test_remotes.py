"""tickfan.transports.remotes: the client's address, as far as it can be trusted."""

from __future__ import annotations

from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.updates import LAW
from tickfan.transports.remotes import ADDRESS_CHARS_MAX, HOPS_MAX, Remotes, parse

TRUSTED = ("10.0.0.0/8", "2001:db8:ffff::/48")
REMOTES = Remotes(TRUSTED)


@pytest.mark.parametrize(
    ("peer", "lists", "client"),
    [
        ("10.0.0.1", ["203.0.113.7"], "203.0.113.7"),
        ("10.0.0.1", ["203.0.113.7, 10.0.0.2, 10.0.0.3"], "203.0.113.7"),
        ("10.0.0.1", ["203.0.113.7,10.0.0.2", "10.0.0.3"], "203.0.113.7"),
        ("2001:db8:ffff::1", ["2001:db8::7"], "2001:db8::7"),
        # A dual-stack listener sees IPv4 as IPv6.
        ("::ffff:10.0.0.1", ["::ffff:203.0.113.7"], "203.0.113.7"),
        # Nobody can make itself another: what stands left of a stranger is the stranger's.
        ("203.0.113.9", ["203.0.113.7"], "203.0.113.9"),
        ("10.0.0.1", ["127.0.0.1, 203.0.113.9"], "203.0.113.9"),
        ("10.0.0.1", ["10.0.0.2, 203.0.113.9, 10.0.0.3"], "203.0.113.9"),
        # Nothing was added: the proxy is all that is known.
        ("10.0.0.1", [], "10.0.0.1"),
        ("10.0.0.1", [" , ,"], "10.0.0.1"),
        ("10.0.0.1", ["10.0.0.3, 10.0.0.2"], "10.0.0.3"),
        # What is no address hides what stands left of it.
        ("10.0.0.1", ["203.0.113.7, unknown"], "10.0.0.1"),
        ("10.0.0.1", ["203.0.113.7, unknown, 10.0.0.2"], "10.0.0.2"),
        ("10.0.0.1", ["203.0.113.7, 1" + "0" * ADDRESS_CHARS_MAX], "10.0.0.1"),
        ("10.0.0.1", ["fe80::1%\x1b[2J"], "10.0.0.1"),
        ("", ["203.0.113.7"], ""),
    ],
)
def test_the_address_of_a_client(peer: str, lists: list[str], client: str) -> None:
    """The first from the right that no trusted proxy has."""
    assert REMOTES.behind(peer, lists) == client


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("192.0.2.1:443", "192.0.2.1"),
        ("2001:DB8::1", "2001:db8::1"),
        ("[2001:db8::1]", "2001:db8::1"),
        ("[2001:db8::1]:443", "2001:db8::1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("[::ffff:192.0.2.1]:8080", "192.0.2.1"),
    ],
)
def test_an_address_as_proxies_write_it(text: str, address: str) -> None:
    """With brackets, with a port, or as it is."""
    assert str(parse(text)) == address


@pytest.mark.parametrize(
    "text",
    [
        "", "unknown", "_hidden", "192.0.2", "192.0.2.256", "192.0.2.1:", "192.0.2.1:x",
        "[192.0.2.1]", "[2001:db8::1", "2001:db8::1]",
        "[2001:db8::1]x", "[2001:db8::1]:x", "[]", "[::1]:\u0661",
        "fe80::1%eth0", "'192.0.2.1'", "192.0.2.1 ", "0x7f.1", "127.1", "010.0.0.1",
    ],
)  # fmt: skip
def test_what_is_no_address(text: str) -> None:
    """Nothing of it gets into the log."""
    assert parse(text) is None


@LAW
@given(
    lists=st.lists(st.text(max_size=80), max_size=3),
    honest=st.lists(st.integers(1, 2**24 - 1), max_size=HOPS_MAX - 1),
)
def test_nobody_can_write_another_address(lists: list[str], honest: list[int]) -> None:
    """Whatever a client sends along, the proxies' own words count."""
    proxies = [str(ip_address("10.0.0.0") + number) for number in honest]
    sent = [*lists, ", ".join(["198.51.100.1", *proxies])]
    assert REMOTES.behind("10.0.0.1", sent) == "198.51.100.1"


@LAW
@given(peer=st.sampled_from(["10.0.0.1", "192.0.2.1", ""]), lists=st.lists(st.text()))
def test_the_answer_is_an_address_or_the_peer(peer: str, lists: list[str]) -> None:
    """Short, and nothing that a terminal or a log could take for more."""
    client = REMOTES.behind(peer, lists)
    assert client == peer or str(ip_address(client)) == client


def test_a_long_list_is_read_in_part() -> None:
    """From the right."""
    assert REMOTES.behind("10.0.0.1", ["10.0.0.2," * 1000]) == "10.0.0.2"
    far = ["203.0.113.7" + ", 10.0.0.2" * HOPS_MAX]
    assert REMOTES.behind("10.0.0.1", far) == "10.0.0.2"
