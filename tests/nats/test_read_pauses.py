"""How long a connection leaves lines in the socket while its readers pause."""

from __future__ import annotations

import math

import pytest

from natstream.nats.read_pauses import ReadPauses

NOW = 1_000.0


@pytest.mark.parametrize("quiet_until", [0.0, NOW, NOW + 0.005, NOW + 0.0059])
def test_reading_goes_on_while_readers_get_lines_at_once(quiet_until: float) -> None:
    """There is no pause without a round to wait for, and none shortly before a round."""
    assert ReadPauses(lambda: quiet_until).begin(NOW) == 0.0


@pytest.mark.parametrize(
    ("until_round", "pause"), [(0.01, 0.005), (0.04, 0.035), (0.08, 0.07), (0.2, 0.1), (9.0, 0.1)]
)
def test_a_pause_ends_before_the_round(until_round: float, pause: float) -> None:
    """The lines have 5 ms or an eighth of the time until the round, and no pause is long."""
    assert ReadPauses(lambda: NOW + until_round).begin(NOW) == pytest.approx(pause)


def test_a_read_after_a_pause_brings_64_kb() -> None:
    """The faster lines come, the shorter is a pause, until there is none."""
    pauses = ReadPauses(lambda: math.inf)
    assert pauses.begin(10.0) == 0.1
    pauses.has_read(65_536)
    pauses.has_read(65_536)
    assert pauses.begin(10.1) == pytest.approx(0.05)
    pauses.has_read(4 * 65_536)
    assert pauses.begin(10.2) == pytest.approx(0.025)
    pauses.has_read(1_000 * 65_536)
    assert pauses.begin(10.3) == 0.0


def test_the_rate_of_long_ago_is_forgotten() -> None:
    """A flood of a minute delays no pause for another minute."""
    pauses = ReadPauses(lambda: math.inf)
    assert pauses.begin(9.5) == 0.1
    for second in range(60):
        pauses.has_read(100_000_000)
        assert pauses.begin(10.0 + second) == 0.0
    assert 0.0 < pauses.begin(71.0) < 0.01
    pauses.has_read(65_536)
    assert pauses.begin(72.0) == 0.1
