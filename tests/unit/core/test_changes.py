"""The change log against a plain list of everything that happened."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.updates import LAW, conflated_feed
from tickfan.core.changes import ChangeLog
from tickfan.core.feed import Channel

READERS = 4
CHANNELS = 6
OPERATIONS = st.lists(
    st.tuples(st.just("mark"), st.integers(0, CHANNELS - 1))
    | st.tuples(st.just("visit"), st.integers(0, READERS - 1))
    | st.tuples(st.just("look"), st.integers(0, READERS - 1)),
    max_size=80,
)


class Naive:
    """Every mark, with the number of the run that it fell in."""

    def __init__(self) -> None:
        self.marks: list[tuple[int, int]] = []
        self.run = 0

    def mark(self, channel: int) -> bool:
        is_replaced = (self.run, channel) in self.marks
        self.marks.append((self.run, channel))
        return is_replaced

    def since(self, place: int) -> list[int]:
        """Oldest run first; within a run by first mark; each in its newest run."""
        newest = {channel: run for run, channel in self.marks[place:]}
        return sorted(newest, key=lambda channel: self.marks.index((newest[channel], channel)))


@settings(LAW, max_examples=300)
@given(operations=OPERATIONS)
def test_each_reader_sees_what_changed_since_its_visit(operations: list[tuple[str, int]]) -> None:
    """However readers come and go between, each sees every changed channel once, in order."""
    log, naive, feed = ChangeLog[Channel](), Naive(), conflated_feed()
    channels = [Channel(str(number), feed) for number in range(CHANNELS)]
    moments, places = [0] * READERS, [0] * READERS
    for operation, which in operations:
        if operation == "mark":
            assert log.mark(channels[which]) is naive.mark(which)
            continue
        seen = log.since(moments[which])
        assert [channels.index(channel) for channel in seen] == naive.since(places[which])
        if operation == "visit":
            moments[which], places[which] = log.seal(), len(naive.marks)
            naive.run += 1
            assert log.since(moments[which]) == []


class Watched:
    """What can change, and counts how often somebody looks whether it has."""

    def __init__(self) -> None:
        self.looks = 0
        self._version = 0

    @property
    def version(self) -> int:
        self.looks += 1
        return self._version

    @version.setter
    def version(self, version: int) -> None:
        self._version = version


@LAW
@given(
    before=st.lists(st.integers(0, 50), max_size=100),
    after=st.lists(st.integers(0, 50), max_size=20),
)
def test_a_visit_costs_what_it_finds(before: list[int], after: list[int]) -> None:
    """A reader looks at the channels that changed and at one more, not at all of them."""
    log = ChangeLog[Watched]()
    watched = [Watched() for _ in range(51)]
    for number in before:
        log.mark(watched[number])
    moment = log.seal()
    for number in after:
        log.mark(watched[number])
    looks = sum(each.looks for each in watched)
    found = log.since(moment)
    assert len(found) == len(set(after))
    assert sum(each.looks for each in watched) <= looks + len(found) + 1


def test_it_holds_each_channel_once() -> None:
    """It is bounded by the channels, not by the updates."""
    log, feed = ChangeLog[Channel](), conflated_feed()
    channels = [Channel(str(number), feed) for number in range(3)]
    for _ in range(100):
        for channel in channels:
            log.mark(channel)
        log.seal()
    assert len(log) == 3
    assert log.version == 300
