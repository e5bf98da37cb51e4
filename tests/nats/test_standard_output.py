"""A line on the standard output never waits for the reader of the output."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from contextlib import suppress

import pytest

from natstream.nats import standard_output

# The child writes two lines, and says on stderr whether each was taken.
CHILD = """
import os, sys
from natstream.nats.standard_output import StandardOutput
output = StandardOutput()
taken = [output.write(b"one\\n"), output.write(b"two\\n")]
print(taken, os.get_blocking(1) if sys.__stdout__ else None, file=sys.stderr)
"""


def said(stdout: int | None, *, closed: bool = False) -> str:
    """Return what a child says that has this standard output."""
    command = [sys.executable, "-c", CHILD]
    if closed:
        command = ["sh", "-c", 'exec "$@" >&-', "sh", *command]
    done = subprocess.run(command, stdout=stdout, stderr=subprocess.PIPE, timeout=20, check=True)
    return done.stderr.decode().strip()


def fill(pipe: int) -> None:
    """Fill a pipe, and leave it blocking."""
    os.set_blocking(pipe, False)
    with suppress(BlockingIOError):
        while True:
            os.write(pipe, b"x" * 65_536)
    os.set_blocking(pipe, True)


def test_a_pipe_gets_the_lines() -> None:
    """A pipe with room gets both lines, and stays blocking for all other writers."""
    read, write = os.pipe()
    assert said(write) == "[True, True] True"
    os.close(write)
    assert os.read(read, 100) == b"one\ntwo\n"
    os.close(read)


def test_a_full_pipe_is_not_waited_for() -> None:
    """A pipe that has no room gets nothing, at once."""
    read, write = os.pipe()
    fill(write)
    assert said(write) == "[False, False] True"
    os.close(read)
    os.close(write)


def test_an_output_without_a_reader_takes_nothing() -> None:
    """A pipe whose reader has gone, a closed output and /dev/null take no line."""
    read, write = os.pipe()
    os.close(read)
    assert said(write) == "[False, False] True"
    os.close(write)
    assert said(None, closed=True) == "[False, False] None"
    assert said(subprocess.DEVNULL) == "[False, False] True"


def test_a_pipe_that_cannot_be_opened_anew_gets_the_lines(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Where the pipe belongs to another user, it is written as it is, if it is ready."""

    def refuse(*args: object) -> int:
        raise PermissionError

    read, write = os.pipe()
    monkeypatch.setattr(os, "open", refuse)
    assert standard_output._write(write, b"one\n") == 4
    fill(write)
    assert standard_output._write(write, b"two\n") == 0
    os.close(read)
    os.close(write)


def test_a_socket_gets_the_lines() -> None:
    """A socket is written without waiting, too."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        assert said(theirs.fileno()) == "[True, True] True"
        assert ours.recv(100) == b"one\ntwo\n"


def test_a_line_that_was_cut_does_not_begin_the_next_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """After a partial write, the next line begins on a line of its own."""
    written: list[bytes] = []

    def write_half(fd: int, line: bytes) -> int:
        written.append(line)
        return len(line) // 2 if len(written) == 1 else len(line)

    monkeypatch.setattr(standard_output, "_write", write_half)
    monkeypatch.setattr(sys, "__stdout__", sys.__stderr__)
    output = standard_output.StandardOutput()
    assert not output.write(b"one\n")
    assert output.write(b"two\n")
    assert output.write(b"three\n")
    assert written == [b"one\n", b"\ntwo\n", b"three\n"]
