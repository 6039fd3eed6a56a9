"""tickfan.transports.remotes: the client's address, as far as it can be trusted."""

from __future__ import annotations

from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.updates import LAW
from tickfan.transports.remotes import (
    ADDRESS_CHARS_MAX,
    FORWARDED_CHARS_MAX,
    HOPS_MAX,
    Remotes,
    forwarded_for,
    host_of,
    parse,
)

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
    ("text", "addresses"),
    [
        # The examples of RFC 7239, sections 4 and 6.
        ('for="_gazonk"', "_gazonk"),
        ('For="[2001:db8:cafe::17]:4711"', "[2001:db8:cafe::17]:4711"),
        ("for=192.0.2.60;proto=http;by=203.0.113.43", "192.0.2.60"),
        ("for=192.0.2.43, for=198.51.100.17", "192.0.2.43, 198.51.100.17"),
        ("by=203.0.113.43 ; for=192.0.2.60", "192.0.2.60"),
        (" , for=192.0.2.60,,", "192.0.2.60"),
        ("proto=https", "unknown"),
        ("xfor=192.0.2.60", "unknown"),
        ('for="192.0.2.1,192.0.2.2"', "unknown"),
        ('by="a,b;for=192.0.2.9";for=192.0.2.1', "192.0.2.1"),
        # Quotes that a client has left open swallow nothing of what a proxy added.
        ('for=", for=192.0.2.60', "unknown, 192.0.2.60"),
        ('for="x, for="[2001:db8::1]"', "unknown, unknown, [2001:db8::1]"),
        ('for=192.0.2.9;x="y, for=192.0.2.60;proto=https', "192.0.2.9, unknown, 192.0.2.60"),
        ("", ""),
    ],
)
def test_the_addresses_of_the_standard_header(text: str, addresses: str) -> None:
    """As a list of the other header; what is no address hides what stands left of it."""
    assert forwarded_for(text) == addresses


@pytest.mark.parametrize(
    ("peer", "lists", "standard", "client"),
    [
        ("10.0.0.1", [], ["for=203.0.113.7"], "203.0.113.7"),
        ("10.0.0.1", [], ["for=127.0.0.1, for=203.0.113.7", "for=10.0.0.2"], "203.0.113.7"),
        ("10.0.0.1", [], ['for="[2001:db8::7]:80"'], "2001:db8::7"),
        ("10.0.0.1", [], ["for=203.0.113.7, for=unknown"], "10.0.0.1"),
        ("203.0.113.9", [], ["for=203.0.113.7"], "203.0.113.9"),
        # One of both counts alone, whatever the other one says.
        ("10.0.0.1", ["203.0.113.7"], ["for=203.0.113.8"], "203.0.113.7"),
        ("10.0.0.1", [""], ["for=203.0.113.8"], "10.0.0.1"),
    ],
)
def test_the_standard_header_is_read_where_the_other_is_not_there(
    peer: str, lists: list[str], standard: list[str], client: str
) -> None:
    """From the right, and as far as trusted proxies wrote it."""
    assert REMOTES.behind(peer, lists, standard) == client


@LAW
@given(
    lies=st.lists(st.text(st.characters(codec="latin-1")) | st.text('for=",;1. '), max_size=3),
    honest=st.lists(st.integers(1, 2**24 - 1), max_size=HOPS_MAX - 1),
)
def test_nobody_can_forge_the_standard_header(lies: list[str], honest: list[int]) -> None:
    """Whatever stands left of the proxies' own words."""
    proxies = [f'for="{ip_address("10.0.0.0") + number}:80"' for number in honest]
    sent = [*lies, ", ".join(['for="[2001:db8::7]"', *proxies])]
    assert REMOTES.behind("10.0.0.1", [], sent) == "2001:db8::7"


def test_a_long_standard_header_is_read_in_part() -> None:
    """From the right, in a time that grows with its length."""
    assert REMOTES.behind("10.0.0.1", [], ['",' * 2**20 + "for=203.0.113.7"]) == "203.0.113.7"
    far = "for=203.0.113.7, for=10.0.0.2;x=" + "y" * FORWARDED_CHARS_MAX
    assert REMOTES.behind("10.0.0.1", [], [far]) == "10.0.0.1"


@pytest.mark.parametrize(
    ("text", "host"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8::1", "2001:db8::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("", ""),
    ],
)
def test_what_counts_as_one_address(text: str, host: str) -> None:
    """A host of IPv6 has a /64."""
    assert host_of(text) == host


def test_whose_address_is_trusted() -> None:
    """Without networks nobody's."""
    assert [REMOTES.trusts(peer) for peer in ("10.9.9.9", "::ffff:10.0.0.1", "192.0.2.1", "")] == [
        True, True, False, False,
    ]  # fmt: skip
    assert not Remotes(()).trusts("127.0.0.1")


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
