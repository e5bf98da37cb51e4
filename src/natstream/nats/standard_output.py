"""Short lines on the process's own standard output, written without waiting.

In: a line. Out: whether the system has taken all of it. A full pipe, a closed output and a partial
write give False. The flag O_NONBLOCK belongs to the open file and not to its descriptor, so a
duplicate with that flag would make the output of all other processes that share it non-blocking.
Therefore a pipe or a terminal is opened anew. Where that is forbidden, for example because the pipe
belongs to another user, the line is written only if the output is ready: a pipe that is ready has
room for a whole page.
"""

from __future__ import annotations

import os
import select
import socket
import stat
import sys

__all__ = ["StandardOutput"]

NEVER_WAIT = os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC


class StandardOutput:
    """The standard output with which the process was started."""

    def __init__(self) -> None:
        self._is_cut = False
        """Whether the last line was written without its end, which must not begin the next one."""

    def write(self, line: bytes) -> bool:
        """Write a line of at most 512 bytes; return False if not all of it was taken at once."""
        if sys.__stdout__ is None:  # Its number may belong to any file that was opened since.
            return False
        if self._is_cut:
            line = b"\n" + line
        try:
            written = _write(sys.__stdout__.fileno(), line)
        except (OSError, ValueError):  # ValueError: it was closed since.
            return False
        if written:
            self._is_cut = written < len(line)
        return written == len(line)


def _write(fd: int, line: bytes) -> int:
    status = os.fstat(fd)
    if os.path.samestat(status, os.stat(os.devnull)):
        return 0
    if stat.S_ISSOCK(status.st_mode):
        with socket.socket(fileno=os.dup(fd)) as output:
            return output.send(line, socket.MSG_DONTWAIT)
    if stat.S_ISFIFO(status.st_mode) or stat.S_ISCHR(status.st_mode):
        try:
            anew = os.open(f"/proc/self/fd/{fd}", NEVER_WAIT)
        except OSError:
            pass
        else:
            try:
                return os.write(anew, line)
            finally:
                os.close(anew)
    poll = select.poll()
    poll.register(fd, select.POLLOUT)
    is_ready = any(event & select.POLLOUT for _, event in poll.poll(0))
    return os.write(fd, line) if is_ready else 0
