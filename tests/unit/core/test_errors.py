"""What the errors carry."""

from __future__ import annotations

from tickfan.core.errors import Bound, Poison, QueueFull, Refusal, TickfanError


def test_poison_names_its_reason() -> None:
    """For the log: the reason, then what was found."""
    poison = Poison("bad_json", "what was found", "a.b")
    assert str(poison) == "bad_json: what was found"
    assert poison.channel == "a.b"


def test_all_have_one_root() -> None:
    """Whoever catches TickfanError catches what is raised on purpose."""
    errors = [
        Refusal("no_feed", "b"),
        Poison("bad_json", "b"),
        QueueFull(Bound("queue_bytes_max", 1, 2)),
    ]
    assert all(isinstance(error, TickfanError) for error in errors)
    assert str(errors[2]) == "queue_bytes_max is reached: 1 updates, 2 bytes wait"


def test_each_refusal_can_be_told() -> None:
    """What a client sent may hold bytes that are no UTF-8, and stands in what it is told."""
    refusal = Refusal("bad_field", "not 'z\u00fc\udcff'", "\udc80")
    assert (refusal.message, refusal.item) == ("not 'z\u00fc\\udcff'", "\\udc80")
