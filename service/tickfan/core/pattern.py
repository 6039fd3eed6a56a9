"""Channel names, and AMQP patterns over them.

Must not know who subscribes, nor how a name is escaped on a wire.
"""

from __future__ import annotations

import re
from itertools import groupby
from typing import TYPE_CHECKING

from tickfan.core.errors import Refusal

if TYPE_CHECKING:
    from collections.abc import Callable

CHANNEL_CHARS_MAX = 128
_NAME = re.compile(r"[A-Za-z0-9._:/@=+^-]{1,128}")
_WORD = r"(?:[*#]|[A-Za-z0-9_:/@=+^-]+)"
_PATTERN = re.compile(rf"{_WORD}(?:\.{_WORD})*")
_CHARACTERS = re.compile(r"[A-Za-z0-9._:/@=+^*#-]{1,128}")
ALLOWED = "1 to 128 of A-Z a-z 0-9 . _ : / @ = + ^ -"


def is_channel_name(text: str) -> bool:
    """Whether ``text`` may name a channel: the allowed characters, no empty word."""
    return (
        _NAME.fullmatch(text) is not None
        and ".." not in text
        and text[0] != "."
        and text[-1] != "."
    )


def check_channel_name(text: str) -> str:
    """Return ``text`` if it may name a channel.

    Raises :class:`Refusal` (``bad_channel``) with what is allowed.
    """
    if not is_channel_name(text):
        raise _no_name(text)
    return text


def _no_name(text: str) -> Refusal:
    return Refusal(
        "bad_channel",
        f"{text[:160]!r} is not a channel name: allowed are {ALLOWED}, "
        f"and no empty word between dots{about_space(text)}",
        text[:160],
    )


def about_space(text: str) -> str:
    """What to write instead, at the end of a sentence about a name with a space in it."""
    return ". A + in a URL's query is a space: write + as %2B" if " " in text else ""


class Pattern(str):
    """An AMQP topic pattern: ``*`` is one word, ``#`` any number (also none).

    AMQP 0-9-1, section 3.1.3.3 (the topic exchange type). Equal texts are
    equal patterns, so patterns serve as keys. It is a string for their sake:
    ``__hash__`` and ``__eq__`` in Python took a fifth of a large command. What
    goes out is ``text``, the same as a plain string.
    """

    __slots__ = ("beginnings", "is_wild", "literals", "matches", "text", "words")

    def __init__(self, text: str) -> None:
        """Parse ``text``; raises :class:`Refusal` (``bad_pattern``, ``bad_channel``)."""
        self.text = text
        self.words = self.literals = words = _words(text)
        self.is_wild = "*" in text or "#" in text
        self.beginnings: frozenset[str] | None = None
        if not self.is_wild:
            self.matches: Callable[[str], bool] = text.__eq__
            return
        # The words that a name must have to match.
        self.literals = tuple([word for word in words if word not in ("*", "#")])
        self.matches = _matcher(text, words)
        if len(words) == 2 and words[1] == "#" and self.literals:
            # quotes.#, as feeds mostly bind: the first words of what overlaps it.
            self.beginnings = frozenset((words[0], "*", "#"))

    def __repr__(self) -> str:
        return f"<Pattern {self.text}>"

    @property
    def kept(self) -> str:
        """What is kept of it for long: a name is its plain text, at a tenth of the memory.

        Both are equal, and have one hash.
        """
        return self if self.is_wild else self.text

    def overlaps(self, other: Pattern) -> bool:
        """Whether some channel name matches both patterns."""
        if self.beginnings is not None:
            return other.words[0] in self.beginnings
        return _overlap(self.words, other.words)

    def includes(self, other: Pattern) -> bool:
        """Whether each name that ``other`` matches is one that this pattern matches."""
        # No name is empty: a pattern of # alone takes one word or more.
        part = other.words if other.literals or "*" in other.words else ("*", "#")
        return _includes(_spread(self.words), part)


def pattern_of(kept: str) -> Pattern:
    """The pattern of which this was kept."""
    return kept if isinstance(kept, Pattern) else Pattern(kept)


def is_wild(pattern: str) -> bool:
    """Whether what was kept of a pattern has wildcards."""
    return isinstance(pattern, Pattern) and pattern.is_wild


def _words(text: str) -> tuple[str, ...]:
    if len(text) > CHANNEL_CHARS_MAX or _PATTERN.fullmatch(text) is None:
        raise _refusal(text)
    return tuple(text.split("."))


def _refusal(text: str) -> Refusal:
    """Why a text is no pattern, and no channel name."""
    has_allowed = _CHARACTERS.fullmatch(text) is not None
    if has_allowed and text.endswith("."):
        return Refusal(
            "bad_pattern",
            f"{text!r} ends with a dot. In a URL everything after # is cut off "
            "before it is sent: write # as %23",
            text,
        )
    if "*" not in text and "#" not in text:
        return _no_name(text)
    words = text.split(".")
    mixed = next((word for word in words if len(word) > 1 and ("*" in word or "#" in word)), None)
    if has_allowed and mixed is not None and "" not in words:
        return Refusal(
            "bad_pattern",
            f"{text!r}: {mixed!r} mixes a wildcard with other characters; "
            "* and # stand for whole words",
            text,
        )
    return Refusal(
        "bad_pattern",
        f"{text[:160]!r} is not a pattern: words of {ALLOWED}, or * or #, "
        f"joined by single dots{about_space(text)}",
        text[:160],
    )


def _matcher(text: str, words: tuple[str, ...]) -> Callable[[str], bool]:
    """The cheapest test for a pattern with wildcards; it runs once for each look."""
    if words[-1] != "#":
        return lambda name: _glob(words, name.split("."))
    if len(words) == 1:
        return lambda _name: True
    if "*" not in words and words.count("#") == 1:
        stem = text[:-2]
        prefix = stem + "."
        return lambda name: name.startswith(prefix) or name == stem
    return lambda name: _glob(words, name.split("."))


def _glob(pattern: tuple[str, ...], words: list[str]) -> bool:
    """Match words against a pattern in O(len(pattern) x len(words)).

    Greedy: only the last ``#`` seen ever has to give words back, so a hostile
    pattern of many ``#`` costs no more than a plain one.
    """
    at = word_at = 0
    hash_at, hash_word_at = -1, 0
    while word_at < len(words):
        if at < len(pattern) and pattern[at] == "#":
            hash_at, hash_word_at = at, word_at
            at += 1
        elif at < len(pattern) and pattern[at] in ("*", words[word_at]):
            at += 1
            word_at += 1
        elif hash_at >= 0:
            hash_word_at += 1
            at, word_at = hash_at + 1, hash_word_at
        else:
            return False
    return all(word == "#" for word in pattern[at:])


def _overlap(left: tuple[str, ...], right: tuple[str, ...]) -> bool:
    """Whether two word lists with wildcards share a name; O(len x len)."""
    # Up to the first # on either side word stands against word.
    start = 0
    for a, b in zip(left, right, strict=False):
        if a == "#" or b == "#":
            break
        if a not in (b, "*") and b != "*":  # _meet, without a call
            return False
        start += 1
    left, right = left[start:], right[start:]
    if left == ("#",) or right == ("#",):
        return True
    # row[j] says: left[i:] and right[j:] can both match some rest of a name.
    row = [all(word == "#" for word in right[j:]) for j in range(len(right) + 1)]
    for i in range(len(left) - 1, -1, -1):
        here = [False] * (len(right) + 1)
        here[-1] = left[i] == "#" and row[-1]
        for j in range(len(right) - 1, -1, -1):
            a, b = left[i], right[j]
            if a == "#" or b == "#":
                # The # ends here, or it takes the other side's word.
                here[j] = row[j] or here[j + 1]
            else:
                here[j] = row[j + 1] and _meet(a, b)
        row = here
    return row[0]


def _meet(left: str, right: str) -> bool:
    """Whether some word matches both, of which neither is a ``#``."""
    return left in (right, "*") or right == "*"


def _spread(words: tuple[str, ...]) -> list[str]:
    """The same pattern, with a ``#`` at each place of a run of wildcards that has one.

    ``*.#``, ``#.*`` and ``#.*.#`` mean the same: one word or more.
    """
    spread: list[str] = []
    for _, run in groupby(words, lambda word: word in ("*", "#")):
        some = tuple(run)
        if "#" in some:
            some = ("#", *("*", "#") * some.count("*"))
        spread += some
    return spread


def _includes(whole: list[str], part: tuple[str, ...]) -> bool:
    """Whether all that ``part`` matches is matched by ``whole``, which is spread.

    The words of ``part`` are read as letters: a ``*`` stands for a word that no pattern
    names, and a ``#`` for any number of those. So only a ``#`` takes a ``#``. It costs
    O(len x len).
    """
    # row[j] says: whole[:i] can take all of part[:j].
    row = [True] + [False] * len(part)
    for wanted in whole:
        if wanted == "#":
            here = row[:]
            for j in range(len(part)):
                here[j + 1] = here[j + 1] or here[j]
        else:
            here = [False] * (len(part) + 1)
            for j, word in enumerate(part):
                here[j + 1] = row[j] and word != "#" and wanted in ("*", word)
        row = here
    return row[-1]
