"""What the sample checks: a break of a promise is found, its keeping is not a fault."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from loadtest.bench.decoding import Decoder, Ledger
from tests.support.updates import LAW, lossless_feed, update
from tickfan.core.cursor import Trail
from tickfan.wire.base import Encodings
from tickfan.wire.eventstream import EventStream
from tickfan.wire.framing import chunk, plain, text_frame
from tickfan.wire.messages import MsgpackMessages

if TYPE_CHECKING:
    from tickfan.wire.base import Format

SENT_US = 1_000


def stream(format_: Format, count: int) -> bytes:
    """A lossless stream of numbered updates, two in a batch."""
    feed = lossless_feed()
    updates = [update(feed, "a", {"n": n + 1, "m": SENT_US}) for n in range(count)]
    data = format_.event("subscribed", {})
    for at in range(0, count, 2):
        data += format_.live(updates[at : at + 2], Trail())
    return data


@LAW
@given(st.integers(1, 9), st.integers(1, 50))
def test_a_whole_stream_is_decoded_without_a_fault(count: int, size: int) -> None:
    """On each wire, chunked or not, and however it is cut."""
    encodings = Encodings()
    for wire, chunked, format_ in (
        ("rows", False, MsgpackMessages(encodings)),
        ("sse", True, EventStream(chunk, encodings)),
        ("sse", False, EventStream(plain, encodings)),
    ):
        decoder = Decoder(wire, lossless=True)
        decoder.chunked = chunked
        data = stream(format_, count)
        for at in range(0, len(data), size):
            decoder.feed(memoryview(data[at : at + size]), SENT_US + 2_000)
        decoder.ledger.finish({"a": count})

        assert decoder.updates == count
        assert decoder.ledger.wrong == {}
        assert decoder.ledger.ages.percentile_ms(1) == 2.1


def test_a_peers_frames_are_checked_by_number() -> None:
    """nchan has no numbers of its own: the publisher's must be whole."""
    decoder = Decoder("frames", lossless=True)
    for n in (1, 2, 4):
        decoder.feed(memoryview(text_frame(b'{"n":%d,"m":0}' % n)), 0)

    assert decoder.ledger.wrong == {"lost": 1}


def test_stomp_messages_are_checked_by_number() -> None:
    """RabbitMQ ends a frame with NUL and a line feed; ERROR is a fault of the run."""
    decoder = Decoder("stomp", lossless=True)
    decoder.feed(memoryview(text_frame(b"RECEIPT\nreceipt-id:0\n\n\0\n")))
    for n in (1, 2, 4):
        body = b'{"n":%d,"m":%d}' % (n, SENT_US)
        frame = b"MESSAGE\nsubscription:0\ncontent-length:%d\n\n%b\0\n" % (len(body), body)
        decoder.feed(memoryview(text_frame(frame)), SENT_US + 2_000)
    decoder.feed(memoryview(text_frame(b"ERROR\nmessage:no\n\n\0\n")))

    assert decoder.updates == 3
    assert decoder.ledger.wrong == {"lost": 1, "error": 1}
    assert decoder.ledger.ages.percentile_ms(1) == 2.1


def test_a_missing_update_breaks_the_chain() -> None:
    """The hole shows in the numbers and in ``prev``."""
    ledger = Ledger(lossless=True)
    ledger.take("a", 1, None, {"n": 1}, 0)
    ledger.take("a", 5, 3, {"n": 4}, 0)

    assert ledger.wrong == {"lost": 2, "chain broken": 1}


def test_an_update_twice_is_a_fault_of_a_lossless_channel() -> None:
    """Once means once."""
    ledger = Ledger(lossless=True)
    ledger.take("a", 1, None, {"n": 1}, 0)
    ledger.take("a", 1, None, {"n": 1}, 0)

    assert ledger.wrong["again"] == 1


def test_a_conflated_channel_may_skip_but_not_go_back() -> None:
    """Conflated values are no loss; an older one is a fault."""
    ledger = Ledger(lossless=False)
    for seq, n in ((1, 1), (7, 7), (7, 7)):
        ledger.take("a", seq, None, {"n": n}, 0)
    assert ledger.wrong == {}

    ledger.take("a", 5, None, {"n": 5}, 0)
    assert ledger.wrong == {"older": 1, "order": 1}


def test_the_last_value_must_be_the_newest() -> None:
    """Asked when nothing comes any more."""
    ledger = Ledger(lossless=False)
    ledger.take("a", 1, None, {"n": 1}, 0)
    ledger.take("b", 1, None, {"n": 2}, 0)
    ledger.finish({"a": 2, "b": 2, "c": 9})

    assert ledger.wrong == {"not the newest": 1}


def test_a_gap_is_told_as_one() -> None:
    """Events that say that something is missing are faults of the run."""
    format_ = MsgpackMessages(Encodings())
    decoder = Decoder("rows", lossless=True)
    decoder.feed(memoryview(format_.event("gap", {})), 0)

    assert decoder.ledger.wrong == {"gap": 1}
