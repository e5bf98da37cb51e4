"""The status of each source, and the notices that readers get about it."""

from __future__ import annotations

import time

import pytest

from natstream.hub.health import Health, SourceState, SourceStatus

UP, LOST, DENIED, CRASHED = (
    SourceState.UP,
    SourceState.LOST,
    SourceState.DENIED,
    SourceState.CRASHED,
)


class Readers:
    """The notices that readers got."""

    def __init__(self) -> None:
        self.told: list[tuple[str, str]] = []
        self.health = Health(lambda message, type: self.told.append((message, type)))


@pytest.fixture
def readers() -> Readers:
    return Readers()


def test_each_change_is_told_as_a_system_or_an_error_event(readers: Readers) -> None:
    """A change to a bad state is an `error` event, and any other change a `system` event."""
    nats = readers.health.add_source("nats")
    nats.change(SourceState.CONNECTING, "connecting")
    nats.change(UP, "up")
    nats.change(LOST, "lost")
    nats.change(DENIED, "denied")
    nats.change(CRASHED, "crashed")
    nats.change(SourceState.CLOSED, "closed")
    assert readers.told == [
        ("connecting", "system"),
        ("up", "system"),
        ("lost", "error"),
        ("denied", "error"),
        ("crashed", "error"),
        ("closed", "system"),
    ]


def test_a_repetition_is_not_told(readers: Readers) -> None:
    """Readers get a notice only if the state or its detail is new."""
    nats = readers.health.add_source("nats")
    for detail in ("refused", "refused", "no route", "refused"):
        nats.change(LOST, detail)
    assert [message for message, _ in readers.told] == ["refused", "no route", "refused"]


def test_a_reason_holds_until_the_next_change(readers: Readers) -> None:
    """The reason changes with the state, also if readers get no new notice."""
    journal = readers.health.add_source("journal")
    assert journal.reason == ""
    journal.change(LOST, "away", "unreachable")
    assert journal.reason == "unreachable"
    journal.change(LOST, "away", "no_leader")
    assert journal.reason == "no_leader"
    assert [message for message, _ in readers.told] == ["away"]
    journal.change(UP, "up")
    assert journal.reason == ""


def test_since_is_when_the_state_was_entered(
    readers: Readers, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`since` changes with the state, but not with its detail."""
    nats = readers.health.add_source("nats")
    now = 1_000.0
    monkeypatch.setattr("natstream.hub.health.time.time", lambda: now)
    nats.change(LOST, "refused")
    now = 1_010.0
    nats.change(LOST, "no route")
    assert (nats.since, nats.detail) == (1_000.0, "no route")
    nats.change(UP, "up")
    assert nats.since == 1_010.0


def test_connects_are_counted(readers: Readers) -> None:
    """A source counts each time that it comes up."""
    nats = readers.health.add_source("nats")
    for _ in range(2):
        nats.change(UP, "up")
        nats.change(UP, "up")
        nats.change(LOST, "lost")
    assert nats.connects == 2


@pytest.mark.parametrize("state", SourceState)
def test_ready_is_when_every_source_and_task_is_up(readers: Readers, state: SourceState) -> None:
    """A single source or task in any state but `UP` makes the process not ready."""
    nats, drain = readers.health.add_source("nats"), readers.health.add_source("drain")
    hub = readers.health.add_task("hub")
    assert not readers.health.ready
    for status in (nats, drain, hub):
        status.change(UP, "up")
    assert readers.health.ready
    for status in (nats, hub):
        status.change(state, "it")
        assert readers.health.ready is (state is UP)
        status.change(UP, "up")


def test_readers_need_not_know_of_tasks(readers: Readers) -> None:
    """Changes of a task, such as the web server, are not announced to readers."""
    readers.health.add_task("server").change(CRASHED, "crashed")
    assert readers.told == []


def test_a_new_source_is_starting() -> None:
    """A new source is in the state `STARTING`, and all its counts are zero."""
    before = time.time()
    status = SourceStatus("nats", lambda message, type: None)
    assert status.state is SourceState.STARTING
    assert before <= status.since <= time.time()
    assert (status.lines, status.bytes, status.lost, status.parse_failures) == (0, 0, 0, 0)
    assert (status.connects, status.restarts) == (0, 0)
