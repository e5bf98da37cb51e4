"""When a connection leaves in the network what no reader would get yet."""

from __future__ import annotations

import pytest

from natstream.nats.rests import LEAD, LONGEST, MOST_LEFT, SHORTEST, Rests


def test_nothing_is_left_while_readers_get_lines_at_once() -> None:
    """Without a pause of the readers, and for the little that is left of one, all is read."""
    now = 1_000.0
    moments = [0.0, now, now + LEAD, now + LEAD + SHORTEST - 0.0001]
    rests = Rests(lambda: moments[0])
    for quiet_until in moments[1:]:
        assert rests.next(now) == 0.0
        moments[0] = quiet_until
    assert rests.next(now) == 0.0


def test_a_rest_ends_before_the_readers_get_their_lines() -> None:
    """What was left is read and published in time, and no rest is long."""
    now = 1_000.0
    assert Rests(lambda: now + 0.05).next(now) == pytest.approx(0.05 - LEAD)
    assert Rests(lambda: now + 0.2).next(now) == LONGEST


def test_as_much_is_left_as_one_read_should_bring() -> None:
    """The faster lines come, the shorter is a rest; then there is none."""
    rests = Rests(lambda: 1_000.0)
    assert rests.next(10.0) == LONGEST
    rests.has_read(MOST_LEFT)  # in 0.1 s
    assert rests.next(10.1) == pytest.approx(0.1)
    rests.has_read(MOST_LEFT)
    rests.has_read(MOST_LEFT * 3)
    assert rests.next(10.2) == pytest.approx(0.1 / 4)
    rests.has_read(MOST_LEFT * 100)
    assert rests.next(10.3) == 0.0
    # Reads without a rest count on, until they tell of fewer bytes.
    rests.has_read(MOST_LEFT)
    assert rests.next(12.2) == pytest.approx(2.0 / 101)
