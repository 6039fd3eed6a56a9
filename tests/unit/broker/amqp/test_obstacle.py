"""tickfan.broker.amqp.obstacle"""

from __future__ import annotations

from tickfan.broker.amqp.obstacle import CLEAR_AFTER_S, TRIES, Obstacle


def test_it_is_tried_and_then_stepped_over_ever_further() -> None:
    """As long as nothing is read."""
    obstacle = Obstacle()
    steps = []
    for _ in range(TRIES + 4):
        obstacle.hit(7)
        steps.append(obstacle.step(7))
    assert steps == [0] * TRIES + [1, 2, 4, 8]


def test_the_step_is_bounded() -> None:
    """An offset has 63 bits."""
    obstacle = Obstacle()
    for _ in range(1000):
        obstacle.hit(7)
    assert 0 < obstacle.step(7) < 2**62


def test_another_one_is_tried_anew() -> None:
    """Something was read since the last."""
    obstacle = Obstacle()
    for _ in range(TRIES + 4):
        obstacle.hit(7)
    assert obstacle.step(8) == 0, "it has been passed, and nothing is known of the next"
    obstacle.hit(8)
    assert (obstacle.tries, obstacle.step(8)) == (1, 0)


def test_it_is_passed_with_a_message_that_comes_later() -> None:
    """Not with one that may stand beside it, and not by time alone."""
    obstacle = Obstacle()
    obstacle.is_near = True
    obstacle.attached(100)
    assert not obstacle.is_passed(101, 5)
    assert not obstacle.is_passed(100 + CLEAR_AFTER_S, 5)
    assert obstacle.is_near
    assert obstacle.is_passed(101 + CLEAR_AFTER_S, 6)
    assert not obstacle.is_near
