"""When the absence of lines is told."""

from __future__ import annotations

from natstream.watches.absence import Absence


def looks(
    absence: Absence, start: int, end: int, *, down: bool = False, checking: bool = False
) -> list[tuple[int, str]]:
    """Look each second from `start` on and before `end`; return what has to be told, and when."""
    found = [
        (now, absence.look(now, is_down=down, is_checking=checking)) for now in range(start, end)
    ]
    return [(now, kind) for now, kind in found if kind is not None]


def test_absence_is_told_once() -> None:
    """Absence counts from the start, is told once, and its end is told once."""
    absence = Absence(60, now=0)
    assert looks(absence, 0, 1_000) == [(60, "absent")]
    assert absence.match(1_000) == 1_000
    assert absence.match(1_001) is None
    assert looks(absence, 1_001, 2_000) == [(1_061, "absent")]


def test_lines_put_the_absence_off() -> None:
    """Each line that matches begins the time anew."""
    absence = Absence(60, now=0)
    for now in range(0, 600, 59):
        assert absence.match(now) is None
        assert looks(absence, now, now + 59) == []


def test_a_source_that_is_down_is_told_instead() -> None:
    """If a source is down when the time is over, that is told, and once."""
    absence = Absence(60, now=0)
    assert looks(absence, 0, 30) == []
    assert looks(absence, 30, 500, down=True) == [(60, "unknown")]
    assert absence.match(500) == 500


def test_the_time_of_an_outage_does_not_count() -> None:
    """Absence is told once a source was up for the whole time, in parts if need be."""
    absence = Absence(60, now=0)
    assert looks(absence, 0, 30) == []
    assert looks(absence, 30, 50, down=True) == []
    assert looks(absence, 50, 500) == [(80, "absent")]


def test_absence_follows_an_outage() -> None:
    """If no line comes after an outage that was told, the absence is told, too."""
    absence = Absence(60, now=0)
    assert looks(absence, 0, 100, down=True) == [(60, "unknown")]
    assert looks(absence, 100, 500) == [(159, "absent")]
    assert looks(absence, 500, 900, down=True) == []


def test_a_check_is_waited_for() -> None:
    """While it is being found out whether a source is mute, nothing is told."""
    absence = Absence(60, now=0)
    assert looks(absence, 0, 80, checking=True) == []
    assert looks(absence, 80, 100) == [(80, "absent")]


def test_a_line_of_the_past_is_a_sign_of_life_and_no_news() -> None:
    """A line that was filled in puts the absence off, and does not end an absence that was told."""
    absence = Absence(60, now=0)
    absence.note(50)
    assert looks(absence, 50, 109) == []
    assert looks(absence, 109, 112) == [(110, "absent")]
    absence.note(120)
    assert absence.state == "absent"
    assert absence.match(130) == 10


def test_an_absence_that_another_process_has_told_goes_on() -> None:
    """After a restart, the time without lines is that of the first process as well."""
    absence = Absence(60, now=1_000)
    absence.state = "absent"
    absence.begin_before(400)
    absence.begin_before(900)
    assert absence.match(1_003) == 603
