"""What each client's address has open, how often it asks, and what it costs: a share for each.

An address of IPv4 is one; of IPv6 a /64 is one, because a host has all of it (RFC 4291,
2.5.1). Addresses of trusted proxies have no share: behind them are many clients, which
are counted by their own addresses when their requests are read. An address is
forgotten when it has nothing open, and has asked for nothing for a while.
Must not know sockets, requests, or what is answered.
"""

from __future__ import annotations

from collections import OrderedDict
from operator import attrgetter
from typing import TYPE_CHECKING, NamedTuple

from tickfan.transports.remotes import host_of

if TYPE_CHECKING:
    from collections.abc import Callable

BURST_S = 5.0
"""As many as may come in so long may come at once: offices, pages, and all after a restart."""

_requests, _published = attrgetter("requests"), attrgetter("published")

IDLE_MAX = 16_384
"""Addresses with nothing open that are remembered for how often they asked."""


class Shares(NamedTuple):
    """The operator's limits. Names end with their unit; 0: there is no such limit."""

    sockets_max: int
    sockets_per_address_max: int
    streams_per_address_max: int
    requests_per_address_per_s_max: int
    handshakes_per_s_max: int
    cost_ms_per_address_per_s_max: int
    updates_per_address_per_s_max: int


class Bucket:
    """A token bucket, kept as the time at which it is full again (GCRA, ITU-T I.371).

    It holds what comes in ``BURST_S``. Who knows beforehand what something takes asks
    :meth:`take`. Who knows it only afterwards asks :meth:`wait_s` before, and :meth:`charge`.
    """

    __slots__ = ("full_at",)

    def __init__(self) -> None:
        self.full_at = 0.0

    def take(self, now: float, per_s: int) -> float:
        """Take one: 0. Or none, and the seconds until there is one. ``now`` in s."""
        full_at = max(self.full_at, now) + 1 / per_s
        if (wait_s := full_at - now - BURST_S) > 0:
            return wait_s
        self.full_at = full_at
        return 0.0

    def wait_s(self, now: float) -> float:
        """Seconds until what was charged is paid, but for what may come at once."""
        return max(0.0, self.full_at - now - BURST_S)

    def charge(self, now: float, amount: float, per_s: float) -> None:
        """Take what has been used, even if it is more than there is."""
        self.full_at = max(self.full_at, now) + amount / per_s


class Address:
    """One address that has something open, or has asked of late."""

    __slots__ = ("cost", "key", "published", "requests", "sockets", "streams", "table")

    def __init__(self, table: Addresses, key: str) -> None:
        """``key`` is the address or its network; empty: it has no share."""
        self.table = table
        self.key = key
        self.sockets = 0
        self.streams = 0
        self.requests = Bucket()
        self.published = Bucket()
        self.cost = Bucket()

    @property
    def full_at(self) -> float:
        """When all of its buckets are full again, in s."""
        return max(self.requests.full_at, self.published.full_at, self.cost.full_at)

    def owes(self) -> float:
        """Seconds until it has paid what its clients have cost."""
        return self.cost.wait_s(self.table.time())

    def charge(self, cost_s: float) -> None:
        """Let it pay for the loop's time, in seconds, that its clients have taken."""
        per_s = self.table.shares.cost_ms_per_address_per_s_max
        if per_s and self.key:
            self.cost.charge(self.table.time(), cost_s, per_s / 1000)


class Addresses:
    """All addresses, and what all of them have open together."""

    def __init__(
        self, shares: Shares, is_trusted: Callable[[str], bool], time: Callable[[], float]
    ) -> None:
        """``is_trusted`` says whose address is a proxy's; ``time`` is monotonic, in s."""
        self.shares = shares
        self.sockets = 0
        """Open sockets of the public listener."""
        self._is_trusted = is_trusted
        self.time = time
        self._known: dict[str, Address] = {}
        # Those of them that have nothing open, the longest idle first.
        self._idle: OrderedDict[str, Address] = OrderedDict()
        self._exempt = Address(self, "")
        self.handshakes = Bucket()

    def __len__(self) -> int:
        """How many are remembered."""
        return len(self._known)

    def why_no_socket(self, peer: str) -> str | None:
        """The code for why a socket from this address is one too many; None: it may be open."""
        shares = self.shares
        if self.sockets >= shares.sockets_max:
            return "overload"
        most, address = shares.sockets_per_address_max, self._known.get(host_of(peer))
        if most and address is not None and address.sockets >= most:
            return "address_limit"
        return None

    def open_socket(self, peer: str) -> Address:
        """Count a socket that is open now, until :meth:`close_socket`."""
        address = self._exempt if self._is_trusted(peer) else self.get(peer)
        address.sockets += 1
        self.sockets += 1
        return address

    def close_socket(self, address: Address) -> None:
        """It is closed."""
        address.sockets -= 1
        self.sockets -= 1
        self._let_go(address)

    def has_streams(self, remote: str) -> bool:
        """Whether a client's address has as many streams as it may."""
        most, address = self.shares.streams_per_address_max, self._known.get(host_of(remote))
        return bool(most) and address is not None and address.streams >= most

    def open_stream(self, remote: str) -> Address:
        """Count a stream, until :meth:`close_stream`. ``remote`` is the client's address."""
        address = self._exempt if self._is_trusted(remote) else self.get(remote)
        address.streams += 1
        return address

    def close_stream(self, address: Address) -> None:
        """It has ended."""
        address.streams -= 1
        self._let_go(address)

    def ask(self, remote: str) -> float:
        """Count a request: 0. Or it comes too soon: the seconds until its address may ask."""
        per_s = self.shares.requests_per_address_per_s_max
        return self._take(remote, per_s, _requests)

    def publish(self, remote: str) -> float:
        """Count an update that is published over HTTP; as :meth:`ask`."""
        return self._take(remote, self.shares.updates_per_address_per_s_max, _published)

    def _take(self, remote: str, per_s: int, bucket: Callable[[Address], Bucket]) -> float:
        if not per_s or self._is_trusted(remote):
            return 0.0
        address = self.get(remote)
        wait_s = bucket(address).take(self.time(), per_s)
        self._let_go(address)
        return wait_s

    def owes(self, remote: str) -> float:
        """Seconds until a client's address has paid what its clients have cost."""
        address = self._known.get(host_of(remote))
        return 0.0 if address is None else address.owes()

    def charge(self, remote: str, cost_s: float) -> None:
        """Let a client's address pay; as :meth:`Address.charge`."""
        if self.shares.cost_ms_per_address_per_s_max and not self._is_trusted(remote):
            address = self.get(remote)
            address.charge(cost_s)
            self._let_go(address)

    def begin_stream(self) -> float:
        """Count a request for a stream, over all addresses; as :meth:`ask`."""
        per_s = self.shares.handshakes_per_s_max
        return self.handshakes.take(self.time(), per_s) if per_s else 0.0

    def get(self, remote: str) -> Address:
        """The entry of an address, which is made if there is none."""
        key = host_of(remote)
        address = self._known.get(key)
        if address is None:
            address = self._known[key] = Address(self, key)
        self._idle.pop(key, None)
        return address

    def _let_go(self, address: Address) -> None:
        """Forget it when it has nothing open, and its buckets are full; and others like it."""
        if address.sockets or address.streams or address is self._exempt:
            return
        idle, now = self._idle, self.time()
        idle[address.key] = address
        while idle:
            # The longest idle. Those behind it wait longer because of it, until it has paid.
            key, oldest = next(iter(idle.items()))
            if oldest.full_at > now and len(idle) <= IDLE_MAX:
                break
            del idle[key], self._known[key]
