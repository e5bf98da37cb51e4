"""The service's own log: readable, and never a flood, since the service may stream the log."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from typing import Any

import pytest

from natstream.config import service_log as logs
from natstream.config.service_log import MAX_REMEMBERED, REPEAT_SECONDS


def record(message: object, *args: object, name: str = "natstream") -> logging.LogRecord:
    """Return a record as `logging` gives it to a filter."""
    return logging.LogRecord(name, logging.WARNING, "", 0, message, args, None)


class Lines:
    """The filter of repetitions under a clock that the test moves."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.now = 1_000.0
        self.repeats = logs._Repeats()
        patch.setattr("natstream.config.service_log.time.monotonic", lambda: self.now)

    def write(self, message: object, *args: object, name: str = "natstream") -> str:
        """Log a line; return the text that is written, or an empty text."""
        line = record(message, *args, name=name)
        return line.getMessage() if self.repeats.filter(line) else ""


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch) -> Lines:
    return Lines(monkeypatch)


def test_a_repeated_line_is_written_once_a_minute(lines: Lines) -> None:
    """A repeated line is written once a minute, with the number of repetitions in between."""
    written = []
    for _ in range(121):
        written.append(lines.write("%s is lost", "NATS"))
        lines.now += 1
    assert REPEAT_SECONDS == 60
    assert [line for line in written if line] == [
        "NATS is lost",
        "NATS is lost (and 59 times in between)",
        "NATS is lost (and 59 times in between)",
    ]


def test_other_lines_are_written(lines: Lines) -> None:
    """A line with other words, arguments, logger or fields is no repetition."""
    assert lines.write("%s is lost", "NATS")
    assert lines.write("%s is lost", "the drain")
    assert lines.write("%s is back", "NATS")
    assert lines.write("%s is lost", "NATS", name="other")
    assert lines.write({"event": "a task has crashed", "task": "nats"})
    assert lines.write({"event": "a task has crashed", "task": "drain"})
    assert not lines.write({"event": "a task has crashed", "task": "nats"})


def test_fields_are_kept_when_a_line_comes_again(lines: Lines) -> None:
    """A repeated line keeps its fields, and its text gets the number of repetitions."""
    for _ in range(3):
        lines.write({"event": "lost", "task": "nats"})
    lines.now += 60
    again = record({"event": "lost", "task": "nats"})
    assert lines.repeats.filter(again)
    assert again.msg == {"event": "lost (and 2 times in between)", "task": "nats"}


def test_ever_new_lines_do_not_grow_memory(lines: Lines) -> None:
    """The memory is bounded, because a part of each line may come from a sender."""
    for number in range(10 * MAX_REMEMBERED):
        lines.write("refused %s", number)
    assert len(lines.repeats._seen) <= MAX_REMEMBERED


@pytest.mark.parametrize(
    ("message", "args"), [("%d", ("x",)), ("%s %s", ("x",)), ({}, ()), (None, ()), ("100 %", ())]
)
def test_a_foreign_line_that_does_not_fit_together_raises_nothing(
    lines: Lines, message: object, args: tuple[Any, ...]
) -> None:
    """The filter accepts such a line, so that `logging` can report it on stderr."""
    for _ in range(2):
        assert lines.repeats.filter(record(message, *args))
        assert not lines.repeats.filter(record(message, *args))
        lines.now += 60


PROGRAM = """
import logging, structlog
from natstream.config.service_log import configure_logging
configure_logging()
log = structlog.stdlib.get_logger("natstream")
def crash(secret):
    try:
        1 / 0
    except ZeroDivisionError:
        log.exception("crashed", task="nats")
crash("hunter2")
crash("hunter2")
log.warning("lost\\n\\x1b[2J", source="nats")
logging.getLogger("hypercorn.error").info("listening on %s", "[::]:8080")
logging.getLogger("hypercorn.error").debug("details")
"""


def run(program: str) -> str:
    """Run a program that writes nothing to stdout; return the text that it writes to stderr."""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout == ""
    return done.stderr


def test_away_from_a_terminal_each_line_is_json() -> None:
    """Each line of every logger is JSON with time, level, name and traceback."""
    written = [json.loads(line) for line in run(PROGRAM).splitlines()]
    assert [(line["event"], line["level"], line["logger"]) for line in written] == [
        ("crashed", "error", "natstream"),
        ("lost\n\x1b[2J", "warning", "natstream"),
        ("listening on [::]:8080", "info", "hypercorn.error"),
    ]
    assert written[0]["task"] == "nats"
    assert "ZeroDivisionError" in written[0]["exception"]
    assert "hunter2" not in written[0]["exception"]
    assert all(line["timestamp"].endswith("Z") for line in written)


def test_in_a_terminal_each_line_is_readable() -> None:
    """Each record is one line, and a traceback shows no values, since one could be a secret."""
    text = run("import sys; sys.stderr.isatty = lambda: True\n" + PROGRAM)
    assert text.count("crashed") == 1
    assert "lost\n" not in text
    assert "\x1b[2J" not in text
    assert "ZeroDivisionError: division by zero" in text
    assert "hunter2" not in text
    assert "listening on [::]:8080" in text
