"""service/tickfan/fanout/finding.py: a search that pauses finds what a look at everything finds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.support.access import ANYBODY
from tests.support.fanout import Fanout, asked, skips_time
from tests.support.updates import LAW, conflated_feed, lossless_feed, update
from tickfan.core.index import LOOKS
from tickfan.core.pattern import Pattern
from tickfan.fanout.audience import Selector
from tickfan.fanout.finding import LOOKS_AT_ONCE, WILD_AT_ONCE, Prepared, Reach, Survey
from tickfan.session.subscribe import Answer

if TYPE_CHECKING:
    from tickfan.core.feed import Feed

PATTERNS = ("#", "quotes.#", "*.a.#", "#.b", "trades.*.b", "quotes.a.b", "trades.a.a", "*.*.*")
NAMES = [f"{feed}.{one}.{two}" for feed in ("quotes", "trades") for one in "ab" for two in "ab"]

NO_KEYS: tuple[None, dict[int, Any]] = (None, {})

names = st.sampled_from(NAMES)
wishes = st.lists(st.sampled_from(PATTERNS), min_size=1, max_size=4)
intervals = st.sampled_from([None, 20, 40, 80])
publishes = st.tuples(st.just("publish"), names, st.sampled_from(["update", "snapshot"]))
meanwhile = st.lists(
    publishes | st.just(("step",)) | st.sampled_from([("leave",), ("reset",)]), max_size=12
)


async def play(script: dict[str, Any], *, paced: bool) -> list[tuple[Any, ...]]:
    """What a client is sent whose command is carried out after all that happens meanwhile."""
    fanout = Fanout()
    for publish in script["before"]:
        fanout.publish(publish[1], "before", type=publish[2])
    other = fanout.client("json", "fast", *script["wish"], interval_ms=script["interval_ms"])
    client = fanout.client("json", "fast", *script["held"], interval_ms=20)
    subscriptions, connection = fanout.subscriptions, client.connection
    plan = subscriptions.plan(asked(*script["wish"], interval_ms=script["interval_ms"]), ANYBODY)
    patterns = [Pattern(text) for text in script["wish"]]

    def prepare() -> Prepared:
        if script["op"] == "subscribe":
            return subscriptions.prepare(plan, client.format, connection)
        return subscriptions.prepare_unsubscribe(connection, patterns)

    prepared = prepare() if paced else None
    steps = iter(()) if prepared is None else prepared.steps()
    for name, *arguments in script["meanwhile"]:
        if name == "publish":
            fanout.publish(arguments[0], "meanwhile", type=arguments[1])
        elif name == "leave":
            other.leave()
        elif name == "reset":
            fanout.reset("trades")
        else:
            next(steps, None)
    prepared = prepared or prepare()
    if script["op"] == "subscribe":
        subscriptions.subscribe(connection, plan, prepared, Answer())
    else:
        subscriptions.unsubscribe(connection, patterns, prepared)
    for publish in script["after"]:
        fanout.publish(publish[1], "after", type=publish[2])
        await fanout.settle(0.1)
    seen = [
        tuple(one.get(name) for name in ("event", "channel", "seq", "data", "prev", "snapshot"))
        + tuple(grant["snapshot"] for grant in one.get("channels", ()))
        for one in client.events
    ]
    client.leave()
    other.leave()
    await fanout.settle()
    assert len(fanout.directory) == 0
    assert not any(c.audiences for f in fanout.feeds.values() for c in f.channels.values())
    # Which channel comes first, of one tick or of those that are new, is left open.
    updates = [one for one in seen if one[0] == "update"]
    rest = [one for one in seen if one[0] != "update"]
    return rest + sorted(updates, key=lambda one: str(one[1]))


STEPS = [("step",)] * 9
STATE_A, STATE_B = (("publish", f"trades.{word}.{word}", "snapshot") for word in "ab")


def script_of_states(wish: list[str], meanwhile: list[tuple[str, ...]]) -> dict[str, Any]:
    """Full states that come and go while their channels are looked for."""
    before = [("publish", name, "update") for name in ("trades.a.a", "trades.b.b")]
    return {"before": before, "held": ["quotes.#"], "wish": wish, "interval_ms": None,
            "op": "subscribe", "meanwhile": meanwhile, "after": []}  # fmt: skip


@settings(LAW, max_examples=300)
@given(
    st.fixed_dictionaries({
        "before": st.lists(publishes, max_size=8),
        "held": wishes,
        "wish": wishes,
        "interval_ms": intervals,
        "op": st.sampled_from(["subscribe", "subscribe", "unsubscribe"]),
        "meanwhile": meanwhile,
        "after": st.lists(publishes, max_size=8),
    })
)  # fmt: skip
@example(script_of_states(["#", "trades.a.a"], [*STEPS, STATE_A]))
@example(script_of_states(["#"], [STATE_A, STATE_B, *STEPS, ("reset",), STATE_B]))
@example({
    "before": [("publish", "quotes.a.a", "update"), ("publish", "trades.a.b", "snapshot")],
    "held": ["#"], "wish": ["#", "#.b"], "interval_ms": None, "op": "subscribe",
    "meanwhile": [*STEPS[:2], ("reset",), *STEPS[:2], ("publish", "trades.a.b", "snapshot")],
    "after": [],
})  # fmt: skip
def test_a_command_that_was_prepared_does_what_it_does_at_once(script: dict[str, Any]) -> None:
    """Whatever comes between its steps: new channels, values, states, a reset, others who leave."""
    seen: list[list[tuple[Any, ...]]] = []

    @skips_time
    async def both() -> None:
        seen.append(await play(script, paced=True))
        seen.append(await play(script, paced=False))

    both()
    assert seen[0] == seen[1]


def grow(feed: Feed, words: str, count: int) -> None:
    """More channels, each with a value."""
    for _ in range(count):
        update(feed, f"{words}.{len(feed.channels)}")


def test_what_is_large_pauses_often_and_is_small_then() -> None:
    """Each step looks at few channels; what comes meanwhile is looked at again if it is much."""
    feed = conflated_feed()
    grow(feed, "a", LOOKS_AT_ONCE + 1)
    selector = Selector(feed, Pattern("a.#"))
    prepared = Prepared(Survey([selector]), NO_KEYS, {})
    was_large = prepared.is_large
    found = [0]
    for _ in prepared.steps():
        found.append(len(prepared.survey.snapshot))
        assert found[-1] - found[-2] <= LOOKS
        if len(found) < 70:
            grow(feed, "a", LOOKS)
    assert (was_large, prepared.is_large) == (True, False)
    prepared.survey.finish()
    assert len(prepared.survey.snapshot) == len(feed.channels)


def test_names_and_rare_words_are_small() -> None:
    """Among however many channels."""
    feed = conflated_feed()
    grow(feed, "a", 2 * LOOKS_AT_ONCE)
    wanted = [Selector(feed, Pattern(text)) for text in ("a.7", "#.9", "*.none", "x.#")]
    prepared = Prepared(Survey(wanted), NO_KEYS, {})
    assert not prepared.is_large
    prepared.survey.finish()
    assert len(prepared.survey.snapshot) == 2


def test_many_wildcards_are_not_planned_and_carried_out_in_one_turn() -> None:
    """Although there is little to look at; once is enough to pause. Names are nothing."""
    feed = conflated_feed()
    grow(feed, "a", 3)
    count = WILD_AT_ONCE + 1
    wild = Prepared(Survey([Selector(feed, Pattern(f"*.{n}")) for n in range(count)]), NO_KEYS, {})
    names = Prepared(Survey([Selector(feed, Pattern(f"a.{n}")) for n in range(count)]), NO_KEYS, {})
    assert (wild.is_large, names.is_large) == (True, False)
    assert len(list(wild.steps())) == 3


def test_what_an_audience_has_is_not_looked_for() -> None:
    """A reach that is known looks at what comes later alone."""
    feed = conflated_feed()
    grow(feed, "a", 10)
    known = set(feed.channels.values())
    reach = Reach([Selector(feed, Pattern("#"))], lambda: known)
    assert reach.looks == 0
    grow(feed, "a", 3)
    assert reach.looks == 3
    reach.finish()
    assert reach.channels == set(feed.channels.values())


@skips_time
async def test_many_that_ask_for_the_same_search_once() -> None:
    """The search of the others ends when the first of them has its audience."""
    fanout = Fanout()
    for n in range(2 * LOOKS_AT_ONCE):
        fanout.publish(f"quotes.{n}")
    client = fanout.client("json")
    plan = fanout.subscriptions.plan(asked("#", snapshot=False), ANYBODY)
    prepared = fanout.subscriptions.prepare(plan, client.format, client.connection)
    steps = prepared.steps()
    next(steps)
    fanout.client("json", "fast", "#", snapshot=False)
    assert len(list(steps)) <= 2
    assert not prepared.is_large


@skips_time
async def test_a_search_that_pauses_changes_nothing_for_others() -> None:
    """A channel that comes meanwhile still reaches a client with two intervals once."""
    fanout = Fanout()
    other, client = fanout.client("json"), fanout.client("json")
    for one in (other, client):
        one.subscribe("quotes.a.#", interval_ms=20)
    other.subscribe("quotes.#", interval_ms=80)
    plan = fanout.subscriptions.plan(asked("quotes.#", interval_ms=80), ANYBODY)
    prepared = fanout.subscriptions.prepare(plan, client.format, client.connection)
    fanout.publish("quotes.a.a", "meanwhile")
    for _ in prepared.steps():
        pass
    await fanout.settle()
    assert [one["data"] for one in other.named("update")] == ["meanwhile"]


@pytest.mark.parametrize(
    ("after", "word"), [(0, "latest"), (1, "latest"), (2, "unconfirmed"), (9, "unconfirmed")]
)
def test_what_the_latest_values_are_worth(after: int, word: str) -> None:
    """Unconfirmed if one of them has not changed since the outage, whenever that was noted."""
    feed = conflated_feed()
    for version in (5, 2, 7):
        update(feed, f"a.{version}").channel.version = version
    some, none = Selector(feed, Pattern("a.*")), Selector(feed, Pattern("b.#"))
    survey = Survey([some, none])
    survey.finish()
    feed.confirmed_after = after
    assert (survey.latest(some), survey.latest(none)) == (word, "none")


def test_states_are_not_looked_for_where_there_are_none() -> None:
    """Most lossless feeds have no full states; nobody goes through their channels for them."""
    feed = lossless_feed()
    grow(feed, "a", 10)
    survey = Survey([Selector(feed, Pattern("#"))])
    assert survey.looks == 0
    survey.finish()
    assert survey.states == []
