"""What a command has to find before it is carried out: at once, or in many steps.

Channels only come and never go, so a search may pause anywhere. When what it found is
used, it looks at what came meanwhile. Until then nobody sees anything of it, and a search
that is given up leaves nothing behind.

Must not know connections, audiences, nor who paces the steps.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tickfan.core.pattern import is_wild

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping

    from tickfan.core.feed import Channel, Feed
    from tickfan.fanout.audience import Key, Selector

    Keys = tuple[Key | None, dict[int, Key]]

LOOKS_AT_ONCE = 2000
"""Channels that one command looks at without a pause: some 3 ms at most."""


WILD_AT_ONCE = 1000
"""Wildcards of one command, in each feed and each search, that are planned and carried
out in the same turn: each of the two takes some 6 us a wildcard."""


class Search:
    """Looks for the channels of some selectors."""

    __slots__ = ("_is_paced", "_selectors", "_since", "feeds", "wild")

    def __init__(self, selectors: Collection[Selector]) -> None:
        self._selectors = selectors
        self.feeds: set[Feed] = set()  # those of the selectors
        # How many of the selectors have wildcards.
        self.wild = 0
        for feed, pattern in selectors:
            self.feeds.add(feed)
            self.wild += is_wild(pattern)
        # How many channels the feeds had when the last full look at them began.
        self._since: dict[Feed, int] = {}
        self._is_paced = False

    @property
    def looks(self) -> int:
        """How many channels it would look at now."""
        since = self._since
        return sum([feed.looks(pattern, since.get(feed, 0)) for feed, pattern in self._unseen()])

    def steps(self) -> Iterator[None]:
        """Look, with a pause after each few channels."""
        self._is_paced = True
        yield from self._steps()

    def finish(self) -> None:
        """Look at what is left, at once."""
        for _ in self._steps():
            pass

    def _steps(self) -> Iterator[None]:
        since = self._since
        now = self._lengths() if self.wild else since
        for selector in self._unseen():
            feed, pattern = selector
            for some in feed.find(pattern, since.get(feed, 0)):
                if some:
                    self._found(selector, some)
                yield
        self._since = now

    def _due(self) -> Collection[Selector]:
        return self._selectors

    def _unseen(self) -> list[Selector]:
        """What is due, without the wildcards of feeds that have no channel since the last look."""
        if not self.wild:  # a name is looked up, whenever its channel came
            return [*self._due()]
        since = self._since
        grown = {feed for feed, length in self._lengths().items() if length > since.get(feed, 0)}
        if not grown and self.wild == len(self._selectors):
            return []
        return [
            selector for selector in self._due()
            if selector.feed in grown or not is_wild(selector.pattern)
        ]  # fmt: skip

    def _lengths(self) -> dict[Feed, int]:
        """How many channels each feed has now."""
        return {feed: len(feed.index) for feed in self.feeds}

    def _found(self, selector: Selector, some: list[Channel]) -> None:
        raise NotImplementedError


class Reach(Search):
    """All channels that some selectors match: what an audience gets."""

    __slots__ = ("_ask", "_known", "channels")

    def __init__(
        self,
        selectors: Collection[Selector],
        ask: Callable[[], set[Channel] | None] = lambda: None,
    ) -> None:
        """``ask`` tells the channels that match, if an audience has them already."""
        super().__init__(selectors)
        self.channels: set[Channel] = set()
        self._ask = ask
        self._known: set[Channel] | None = None
        self._is_known()

    def _is_known(self) -> bool:
        """Whether an audience has them by now; what was found so far is dropped then."""
        known = self._ask()
        if known is not None:
            self._known, self.channels = known, set()
            if self.wild:
                self._since = self._lengths()
        return known is not None

    def steps(self) -> Iterator[None]:
        """As any search's; it ends when an audience has found them meanwhile."""
        for pause in super().steps():
            if self._is_known():
                return
            yield pause

    def finish(self) -> None:
        """As any search's; the audience that had the known channels must have ended."""
        super().finish()
        if self._known is not None:
            # Not before: its members would get what its key excludes.
            self._known |= self.channels
            self.channels, self._known = self._known, None

    def _found(self, _selector: Selector, some: list[Channel]) -> None:
        self.channels.update(some)


class Survey(Search):
    """The snapshots of a request: latest values and last full states, each once."""

    __slots__ = ("_gained", "_had", "_looked_at", "_oldest", "_witness", "snapshot", "states")

    def __init__(self, selectors: Collection[Selector], had: Collection[Channel] = ()) -> None:
        """``had`` are the lossless channels that are read already: no state of theirs is sent."""
        super().__init__(selectors)
        # What waits of them would come after their state.
        self._had = had
        # The conflated channels that have a value, each once.
        self.snapshot: dict[Channel, None] = {}
        # The lossless channels whose full state is sent, as of the finish.
        self.states: list[Channel] = []
        # All other lossless channels, with whether they had one each time they were looked
        # at; for each selector one that had; and those that got one since.
        self._looked_at: dict[Channel, bool] = {}
        self._witness: dict[Selector, Channel] = {}
        self._gained: list[Channel] = []
        # Of all values of a selector: the change that is longest ago.
        self._oldest: dict[Selector, int] = {}

    def finish(self) -> None:
        """As any search's; it says what is there now."""
        super().finish()
        if self._looked_at:
            looked_at = self._looked_at
            self.states = [channel for channel in looked_at if channel.state is not None]
            self._gained = [channel for channel in self.states if not looked_at[channel]]

    def latest(self, selector: Selector) -> str:
        """What the latest values of a conflated selector are worth."""
        oldest = self._oldest.get(selector)
        if oldest is None:
            return "none"
        after = selector.feed.confirmed_after
        return "unconfirmed" if after and oldest <= after else "latest"

    def has_state(self, selector: Selector) -> bool:
        """Whether the last full state of some channel is sent."""
        if not self.states:
            return False
        witness = self._witness.get(selector)
        if witness is not None and witness.state is not None:
            return True
        return any(map(selector.matches, self._gained if witness is None else self.states))

    def _due(self) -> Collection[Selector]:
        if self._is_paced:
            return self._selectors
        # Where no channel has a full state now, none has to be looked for. A search that
        # pauses cannot know: a full state may come meanwhile.
        for feed in self.feeds:
            if feed.is_lossless and not feed.state_size:
                return [
                    selector
                    for selector in self._selectors
                    if selector.feed.state_size or not selector.feed.is_lossless
                ]
        return self._selectors

    def _found(self, selector: Selector, some: list[Channel]) -> None:
        if selector.feed.is_lossless:
            # Lossless channels have no snapshot by latest value: it would be
            # taken for the beginning of their sequence.
            for channel in some:
                if channel in self._had:
                    continue
                has_state = channel.state is not None
                # Several selectors look, and a reset may come in between: one who found none
                # has to look again.
                self._looked_at[channel] = self._looked_at.get(channel, True) and has_state
                if has_state:
                    self._witness.setdefault(selector, channel)
            return
        valued = [channel for channel in some if channel.latest is not None]
        if valued:
            self.snapshot.update(dict.fromkeys(valued))
            oldest = min([channel.version for channel in valued])
            self._oldest[selector] = min(oldest, self._oldest.get(selector, oldest))


class Prepared:
    """All that one command has to find: its snapshots, and what its audiences get.

    ``keys`` are what the connection is due after it: the lossless one, if any,
    and those by interval.
    """

    __slots__ = ("keys", "reaches", "survey")

    def __init__(self, survey: Survey, keys: Keys, reaches: Mapping[Key, Reach]) -> None:
        self.survey = survey
        self.keys = keys
        self.reaches = reaches

    def feeds(self) -> set[Feed]:
        """The feeds that the connection gets something of after it."""
        return set().union(*[reach.feeds for reach in self.reaches.values()])

    @property
    def is_large(self) -> bool:
        """Whether it should take its steps before it is used, or it holds the loop."""
        wild = self.survey.wild
        for reach in self.reaches.values():
            wild += reach.wild
        if not wild:  # a name is looked up
            return False
        return wild > WILD_AT_ONCE or self._looks > LOOKS_AT_ONCE

    @property
    def _looks(self) -> int:
        return sum(search.looks for search in self._searches())

    def steps(self) -> Iterator[None]:
        """Find all but what comes last, with pauses; it need not be used then."""
        while True:
            for search in self._searches():
                yield from search.steps()
            if self._looks <= LOOKS_AT_ONCE:
                return

    def _searches(self) -> tuple[Search, ...]:
        return (self.survey, *self.reaches.values())
