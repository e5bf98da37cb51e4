"""natstream's own line is recognised where it is genuine, and nowhere else."""

from __future__ import annotations

import time

import pytest
from tests.support.payloads import sent

from natstream.entries.entry import LogEntry
from natstream.nats import canary
from natstream.nats.canary import CANARY_MARK, Canaries


def came_back(line: bytes, app: str = "logs") -> LogEntry:
    """Return the line as the entry of an app."""
    return sent(message=line.decode(), app=app)


@pytest.fixture
def canaries() -> Canaries:
    return Canaries("FlyV1 fm2_secret", "logs")


def test_a_line_of_another_instance_is_genuine(canaries: Canaries) -> None:
    """All instances with the same token recognise each other's lines, and measure their delay."""
    entry = came_back(Canaries("FlyV1 fm2_secret", "logs").make())
    assert canaries.is_genuine(entry)
    delay = canaries.delay_of(entry)
    assert delay is not None
    assert 0 <= delay < 5


def test_a_line_counts_once(canaries: Canaries) -> None:
    """A repeated line is still hidden, and says nothing about the present."""
    entry = came_back(canaries.make())
    assert canaries.delay_of(entry) is not None
    assert canaries.delay_of(entry) is None
    assert canaries.is_genuine(entry)


def test_an_old_line_does_not_count(canaries: Canaries, monkeypatch: pytest.MonkeyPatch) -> None:
    """A line of minutes ago is hidden, and says nothing about the present."""
    entry = came_back(canaries.make())
    now = time.time_ns()
    monkeypatch.setattr(time, "time_ns", lambda: now + 61 * 10**9)
    assert canaries.delay_of(entry) is None
    assert canaries.is_genuine(entry)


def test_a_line_that_is_not_genuine_is_a_line_like_any_other(canaries: Canaries) -> None:
    """Another app, token, time, nonce or text makes a line that readers see."""
    line = canaries.make()
    others = [
        came_back(line, app="web"),
        came_back(Canaries("another token", "logs").make()),
        came_back(Canaries("FlyV1 fm2_secret", "web").make()),
        came_back(line.replace(b"canary 1", b"canary 2")),
        came_back(line.strip() + b" and more"),
        came_back(b"see " + line),
        came_back(CANARY_MARK),
    ]
    for entry in others:
        assert not canaries.is_genuine(entry)
        assert canaries.delay_of(entry) is None


def test_a_line_reveals_no_secret(canaries: Canaries) -> None:
    """A line is short ASCII text that begins with its mark, and two lines differ."""
    line = canaries.make()
    assert line.startswith(CANARY_MARK)
    assert line.endswith(b"\n")
    assert len(line) < 128
    assert b"secret" not in line
    assert line != canaries.make()


def test_the_lines_that_are_remembered_are_bounded(
    canaries: Canaries, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only the newest lines are remembered."""
    monkeypatch.setattr(canary, "MAX_SEEN", 3)
    for _ in range(10):
        assert canaries.delay_of(came_back(canaries.make())) is not None
    assert len(canaries._seen) == 3
