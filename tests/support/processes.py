"""Starting, asking, measuring and ending the processes of a measurement.

`isolate()` leaves the first core to the server that is measured, so that the harness, this process
included, does not compete with it. Without that call, as in the tests, every process runs on every
core. On a machine with one core nothing is pinned, and the figures mean little.

`Server.open` runs any server until it answers, `open_worker` runs a part of the harness that
answers in JSON, and `Usage` says what processes have used. A process that does not start or that
ends too early raises `BenchmarkError`.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import attrs
import trio
from tests.support.loopback import HOST

__all__ = [
    "CPUS",
    "BenchmarkError",
    "Server",
    "Usage",
    "Worker",
    "isolate",
    "open_program",
    "open_worker",
    "others_idle",
    "server_cores",
]

# A server that is not ready by then is broken, since each of them starts in a few seconds.
READY_DEADLINE = 60.0
POLL = 0.005
# A server may finish its work when it is told to end.
STOP_DEADLINE = 10.0
TICKS = os.sysconf("SC_CLK_TCK")
PAGE = os.sysconf("SC_PAGE_SIZE")
CPUS = sorted(os.sched_getaffinity(0))


class BenchmarkError(Exception):
    """A measurement could not be made; the message says why."""


def isolate() -> None:
    """Leave the first core to the server, and raise the limit of open files to the system's."""
    if len(CPUS) > 1:
        os.sched_setaffinity(0, CPUS[1:])
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def server_cores() -> list[int]:
    """Return the cores that are left to the server; all of them if none is."""
    return sorted({*CPUS} - os.sched_getaffinity(0)) or CPUS


@attrs.frozen
class Usage:
    """The resources that processes and their children have used so far."""

    cpu: float
    """Seconds, in user and system mode."""
    resident: int
    """Bytes."""
    waited: float
    """Seconds for which they could have run but had no core, because others were on it."""

    def __sub__(self, earlier: Usage) -> Usage:
        return Usage(
            self.cpu - earlier.cpu, self.resident - earlier.resident, self.waited - earlier.waited
        )

    @classmethod
    def of(cls, *pids: int) -> Usage:
        cpu = resident = waited = 0
        for one in (member for pid in pids for member in _family(pid)):
            fields = Path(f"/proc/{one}/stat").read_text().rpartition(")")[2].split()
            cpu += int(fields[11]) + int(fields[12])  # user and system mode: proc(5), 14 and 15
            resident += int(fields[21])
            waited += int(Path(f"/proc/{one}/schedstat").read_text().split()[1])
        return cls(cpu / TICKS, resident * PAGE, waited / 1e9)


def _family(pid: int) -> Iterator[int]:
    yield pid
    for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
        yield from _family(int(child))


def others_idle() -> float:
    """Return the seconds for which all cores but the first have been idle."""
    lines = [line.split() for line in Path("/proc/stat").read_text().splitlines()]
    idle = {words[0]: int(words[4]) + int(words[5]) for words in lines if "cpu" in words[0]}
    return sum(idle[f"cpu{cpu}"] for cpu in CPUS[1:]) / TICKS


@attrs.frozen
class Server:
    """A server that runs and is ready."""

    pid: int
    port: int
    startup: float
    """Seconds from the start of its process until it answered that it is ready."""
    others: Sequence[int] = ()
    """The pids of further processes that share the port."""

    @property
    def pids(self) -> Sequence[int]:
        return (self.pid, *self.others)

    @property
    def usage(self) -> Usage:
        return Usage.of(*self.pids)

    @property
    def connections(self) -> int:
        """The number of connections that are open to its port."""
        rows = [row.split() for row in Path("/proc/net/tcp").read_text().splitlines()[1:]]
        local = f":{self.port:04X}"
        return sum(row[1].endswith(local) and row[3] == "01" for row in rows)

    @classmethod
    @asynccontextmanager
    async def open(
        cls,
        command: Sequence[str],
        environ: Mapping[str, str],
        port: int,
        ready: str,
        *,
        cpus: Sequence[int] = CPUS[:1],
    ) -> AsyncIterator[Server]:
        """Run a server until the end of the block, which starts when GET `ready` gets a 200.

        Raises:
            BenchmarkError: it ends, or is not ready in time; the message has its last output.
        """
        with tempfile.TemporaryFile() as log, _process(command, environ, log, cpus) as process:
            started = trio.current_time()
            with trio.move_on_after(READY_DEADLINE) as deadline:
                while process.poll() is None and not await _answers(port, ready):
                    await trio.sleep(POLL)
            if deadline.cancelled_caught or process.poll() is not None:
                log.seek(0)
                said = log.read().decode(errors="replace").strip()[-2_000:]
                raise BenchmarkError(f"{command[0]} did not start:\n{said}")
            yield cls(process.pid, port, trio.current_time() - started)


async def _answers(port: int, path: str) -> bool:
    try:
        async with await trio.open_tcp_stream(HOST, port) as stream:
            await stream.send_all(f"GET {path} HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode())
            return (await stream.receive_some()).startswith(b"HTTP/1.1 200")
    except (OSError, trio.BrokenResourceError):
        return False


@attrs.define
class Worker:
    """A process of the harness that answers in lines of JSON."""

    pid: int
    _stdin: trio.lowlevel.FdStream
    _stdout: trio.lowlevel.FdStream
    _received: bytes = b""

    async def ask(self, question: str) -> Any:
        """Send a line and return the answer.

        Raises:
            BenchmarkError: the process has ended.
        """
        await self._stdin.send_all(question.encode() + b"\n")
        return await self.hear()

    async def hear(self) -> Any:
        """Return the next answer.

        Raises:
            BenchmarkError: the process has ended.
        """
        while b"\n" not in self._received:
            received = await self._stdout.receive_some()
            if not received:
                raise BenchmarkError("a process of the harness has ended; see above")
            self._received += received
        line, _, self._received = self._received.partition(b"\n")
        return json.loads(line)


@asynccontextmanager
async def open_worker(module: str, *arguments: object) -> AsyncIterator[Worker]:
    """Run `python -m benchmarks.<module>` until the end of the block, beside the server."""
    command = [sys.executable, "-m", f"benchmarks.{module}", *map(str, arguments)]
    async with open_program(command, CPUS[1:]) as worker:
        yield worker


@asynccontextmanager
async def open_program(command: Sequence[str], cpus: Sequence[int]) -> AsyncIterator[Worker]:
    """Run a program that answers in lines of JSON, on these cores, until the end of the block."""
    with _process(command, os.environ, None, cpus, subprocess.PIPE) as process:
        assert process.stdin
        assert process.stdout
        stdin = trio.lowlevel.FdStream(os.dup(process.stdin.fileno()))
        stdout = trio.lowlevel.FdStream(os.dup(process.stdout.fileno()))
        async with stdin, stdout:
            yield Worker(process.pid, stdin, stdout)


@contextmanager
def _process(
    command: Sequence[str],
    environ: Mapping[str, str],
    log: Any,
    cpus: Sequence[int],
    pipe: int | None = None,
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a process on these cores until the end of the block; kill it if it does not end."""
    ours = os.sched_getaffinity(0)
    # A child inherits the cores of the thread that starts it.
    os.sched_setaffinity(0, cpus or ours)
    try:
        process = subprocess.Popen(
            command,
            env=environ,
            stdin=pipe or subprocess.DEVNULL,
            stdout=pipe or log,
            stderr=log,
            start_new_session=True,  # a Ctrl-C ends this process, which then ends the others
        )
    finally:
        os.sched_setaffinity(0, ours)
    try:
        yield process
    finally:
        if process.stdin and process.stdout:
            process.stdin.close()
            process.stdout.close()
        process.terminate()
        try:
            process.wait(STOP_DEADLINE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
