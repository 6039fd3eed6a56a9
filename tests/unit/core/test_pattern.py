"""Names and patterns against matchers that follow the definition, word by word."""

from __future__ import annotations

from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.updates import CHANNEL_NAMES, LAW
from tickfan.core.errors import Refusal
from tickfan.core.pattern import CHANNEL_CHARS_MAX, Pattern, check_channel_name, is_channel_name

pattern_words = st.lists(st.sampled_from(["a", "b", "*", "#"]), min_size=1, max_size=7)
name_words = st.lists(st.sampled_from(["a", "b"]), min_size=1, max_size=8)


def matches(pattern: tuple[str, ...], words: tuple[str, ...]) -> bool:
    """AMQP 0-9-1, 3.1.3.3, by the book: * is one word, # is zero or more."""
    if not pattern:
        return not words
    if pattern[0] == "#":
        return any(matches(pattern[1:], words[skip:]) for skip in range(len(words) + 1))
    return bool(words) and pattern[0] in ("*", words[0]) and matches(pattern[1:], words[1:])


@settings(LAW, max_examples=500)
@given(pattern=pattern_words, words=name_words)
def test_matching_follows_the_definition(pattern: list[str], words: list[str]) -> None:
    """Wildcards in any number and place match what the definition says."""
    found = Pattern(".".join(pattern)).matches(".".join(words))
    assert found is matches(tuple(pattern), tuple(words))


def test_matching_every_short_pattern() -> None:
    """All patterns of up to three words over all names of up to four."""
    names = [words for size in range(1, 5) for words in product("ab", repeat=size)]
    for size in range(1, 4):
        for pattern in product("ab*#", repeat=size):
            compiled = Pattern(".".join(pattern))
            for words in names:
                expected = matches(pattern, words)
                assert compiled.matches(".".join(words)) is expected, (pattern, words)


@pytest.mark.parametrize(
    ("pattern", "name", "expected"),
    [
        ("quotes.#", "quotes", True),
        ("quotes.#", "quotes.a.b", True),
        ("quotes.#", "quotesx.a", False),
        ("quotes.#", "quotes:a", False),
        ("a.b.#", "a.b", True),
        ("a.b.#", "a.bc", False),
        ("#.a", "a", True),
        ("*", "a.b", False),
        ("a+b", "aab", False),
        ("a^b.*", "a^b.c", True),
    ],
)
def test_matching_examples(pattern: str, name: str, *, expected: bool) -> None:
    """A word is whole, a dot is a border, and no character has a second meaning."""
    assert Pattern(pattern).matches(name) is expected


def test_overlap_of_every_pair_of_short_patterns() -> None:
    """Two patterns overlap exactly if some name matches both."""
    # Two patterns of three words that share a name share one of six words.
    names = [words for size in range(1, 7) for words in product("ab", repeat=size)]
    patterns = [words for size in range(1, 4) for words in product("ab*#", repeat=size)]
    compiled = [Pattern(".".join(words)) for words in patterns]
    # One bit for each name that the pattern matches.
    masks = [
        sum(1 << bit for bit, name in enumerate(names) if matches(pattern, name))
        for pattern in patterns
    ]
    for left, left_mask in zip(compiled, masks, strict=True):
        for right, right_mask in zip(compiled, masks, strict=True):
            assert left.overlaps(right) is bool(left_mask & right_mask), (left, right)


@LAW
@given(left=pattern_words, right=pattern_words, words=name_words)
def test_a_common_name_proves_an_overlap(
    left: list[str], right: list[str], words: list[str]
) -> None:
    """Of longer patterns: who shares a name overlaps, both ways round."""
    one, other, name = Pattern(".".join(left)), Pattern(".".join(right)), ".".join(words)
    assert one.overlaps(other) is other.overlaps(one)
    assert one.overlaps(one)
    if one.matches(name) and other.matches(name):
        assert one.overlaps(other)


def test_hostile_patterns_are_cheap() -> None:
    """The longest pattern of wildcards alone costs steps, not an eternity."""
    hostile = Pattern(".".join(["#", "a"] * 32)[:127])
    assert not hostile.matches(".".join(["a"] * 60 + ["b"]))
    assert hostile.overlaps(Pattern(".".join(["*", "#"] * 32)[:127]))


@LAW
@given(name=CHANNEL_NAMES)
def test_a_name_is_a_pattern_of_itself(name: str) -> None:
    """A channel's name can be subscribed to, and matches itself alone."""
    pattern = Pattern(check_channel_name(name))
    assert pattern.matches(name)
    assert not pattern.matches(name + "x")
    assert not pattern.is_wild


@pytest.mark.parametrize("name", ["a", "quotes.EUR/USD", "x" * CHANNEL_CHARS_MAX, "A-z_0:@=+^"])
def test_good_names(name: str) -> None:
    """All of the allowed characters, up to the allowed length."""
    assert is_channel_name(name)


@pytest.mark.parametrize(
    "name",
    ["", ".", ".a", "a.", "a..b", "a b", "a\n", "\na", "é", "a*", "#", "a,b", "a%20b", "a\0",
     "x" * (CHANNEL_CHARS_MAX + 1), "\ud800", "a\u0661"],
)  # fmt: skip
def test_bad_names(name: str) -> None:
    """Anything else is refused, with its own text in the answer; a surrogate is escaped."""
    assert not is_channel_name(name)
    with pytest.raises(Refusal) as refusal:
        check_channel_name(name)
    assert refusal.value.code == "bad_channel"
    assert refusal.value.item == name[:160].encode(errors="backslashreplace").decode()


@LAW
@given(text=st.text(max_size=20))
def test_any_text_is_a_name_or_refused(text: str) -> None:
    """Nothing but a Refusal comes out of a bad name or pattern, and its message is short."""
    refusals: list[Refusal] = []
    for check in (check_channel_name, Pattern):
        try:
            check(text)
        except Refusal as refusal:
            refusals.append(refusal)
    assert all(refusal.code in ("bad_channel", "bad_pattern") for refusal in refusals)
    assert all(len(refusal.message) < 1000 for refusal in refusals)


@pytest.mark.parametrize(
    ("text", "code", "hint"),
    [
        ("quotes.", "bad_pattern", "write # as %23"),
        ("", "bad_channel", "not a channel name"),
        ("a..#", "bad_pattern", "single dots"),
        (".#", "bad_pattern", "single dots"),
        ("a.b*", "bad_pattern", "whole words"),
        ("##", "bad_pattern", "whole words"),
        ("a.#.\n", "bad_pattern", "not a pattern"),
        ("*." * 64 + "*", "bad_pattern", "not a pattern"),
    ],
)
def test_bad_patterns(text: str, code: str, hint: str) -> None:
    """Each slip has its own sentence."""
    with pytest.raises(Refusal, match=hint) as refusal:
        Pattern(text)
    assert refusal.value.code == code


def test_patterns_serve_as_keys() -> None:
    """Equal texts are one key, and nothing else is; a pattern is the same key as its text."""
    keys = {Pattern("a.#"): 1, Pattern("a.*"): 2}
    assert keys[Pattern("a.#")] == 1
    assert Pattern("a.#") != Pattern("a.*")
    assert "a.*" in keys
    assert type(Pattern("a").text) is str
    assert [Pattern(text).is_wild for text in ("a.b", "a.*", "#")] == [False, True, True]
