"""The service in a process of its own, as `natstream serve`, to be looked at and mistreated."""

from __future__ import annotations

import json
import math
import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import attrs
import trio
from tests.support.processes import CPUS, HOST, BenchmarkError, Server, free_port

from natstream.demo.nats_server import NatsServer

__all__ = ["PATIENCE", "Service", "wait_for"]

ROOT = Path(__file__).parent.parent.parent
# Seconds after which what has not happened never will, however busy the machine is.
PATIENCE = 30.0
POLL = 0.02
_SAMPLE = re.compile(r"^(natstream_\S+) (\S+)$", re.MULTILINE)
_RESIDENT = re.compile(r"VmRSS:\s+(\d+) kB")
_PEAK = re.compile(r"VmHWM:\s+(\d+) kB")


async def wait_for(state: Callable[[], Awaitable[bool]], patience: float = PATIENCE) -> float:
    """Wait until `state` is true. Returns after how many seconds it was; infinity: never."""
    started = trio.current_time()
    with trio.move_on_after(patience):
        while not await state():  # noqa: ASYNC110 - only asking tells
            await trio.sleep(POLL)
        return trio.current_time() - started
    return math.inf


@attrs.define(eq=False)
class Service:
    """natstream, which can be ended and started again at the same ports."""

    port: int
    drain_port: int
    log: Path
    """What it has said on stdout and stderr."""
    _command: Sequence[str]
    _environ: dict[str, str] = attrs.field(repr=False)
    _process: subprocess.Popen[bytes] | None = None

    @classmethod
    @asynccontextmanager
    async def open(
        cls, nats: NatsServer | None = None, *, launcher: Sequence[object] = (), **environ: str
    ) -> AsyncIterator[Service]:
        """Run it until the end of the block, reading `nats` (if any) and drains.

        Args:
            launcher: a module of this package and its arguments to run in the place of
                `natstream`.

        Raises:
            BenchmarkError: it does not start.
        """
        port, drain_port = free_port(), free_port()
        base = {
            "PATH": os.environ.get("PATH", os.defpath),
            "NATSTREAM_BIND": f"{HOST}:{port}",
            "NATSTREAM_DRAIN_BIND": f"{HOST}:{drain_port}",
            "NATSTREAM_SOURCES": "drain",
        }
        if nats is not None:
            base |= {
                "NATSTREAM_SOURCES": "nats,drain",
                "NATSTREAM_NATS_URL": nats.url,
                "FLY_ORG": nats.user,
                "ACCESS_TOKEN": nats.password,
                "FLY_APP": "*",
            }
        module, *arguments = launcher or ("natstream", "serve")
        command = [sys.executable, "-m", str(module), *map(str, arguments)]
        with tempfile.TemporaryDirectory(prefix="soak-") as directory:
            service = cls(port, drain_port, Path(directory, "log"), command, base | environ)
            try:
                await service.start()
                yield service
            finally:
                service.kill()

    # --- its life ------------------------------------------------------------------------

    async def start(self) -> None:
        """Start it, and wait until its page can be reached.

        Raises:
            BenchmarkError: it does not.
        """
        self._spawn()
        if await wait_for(self._answers_or_has_ended) > PATIENCE or not self.is_running:
            raise BenchmarkError(f"the service did not start:\n{self.log.read_text()[-2_000:]}")

    def _spawn(self) -> None:
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command,
                env=self._environ,
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # a Ctrl-C is for this process, which then ends it
            )
        if len(CPUS) > 1:
            os.sched_setaffinity(self.pid, CPUS[:1])

    async def _answers_or_has_ended(self) -> bool:
        return not self.is_running or (await self.get("/healthz"))[0] == 200

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    async def stop(self, how: signal.Signals = signal.SIGTERM) -> tuple[int | None, float]:
        """Tell it to end. Returns its exit status (None: it did not) and the seconds it took."""
        assert self._process is not None
        self._process.send_signal(how)
        seconds = await wait_for(self._has_ended)
        return self._process.poll(), seconds

    async def _has_ended(self) -> bool:
        return not self.is_running

    def kill(self) -> None:
        """End it without a word."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    # --- what it shows -------------------------------------------------------------------

    async def get(self, path: str) -> tuple[int, str]:
        """The status and the body of an answer; status 0 if there was none."""
        try:
            with trio.fail_after(PATIENCE):
                async with await trio.open_tcp_stream(HOST, self.port) as stream:
                    await stream.send_all(f"GET {path} HTTP/1.0\r\nHost: {HOST}\r\n\r\n".encode())
                    head, _, body = b"".join([part async for part in stream]).partition(b"\r\n\r\n")
            return int(head.split()[1]), body.decode()
        except (OSError, trio.BrokenResourceError, trio.TooSlowError, IndexError):
            return 0, ""

    async def metrics(self) -> dict[str, float]:
        """Its figures by name and labels, as they are written; none if it does not answer."""
        _, text = await self.get("/metrics")
        return {match[1]: float(match[2]) for match in _SAMPLE.finditer(text)}

    async def metric(self, name: str) -> float:
        """One of them, without the prefix; NaN if it does not answer."""
        return (await self.metrics()).get(f"natstream_{name}", math.nan)

    async def readiness(self) -> tuple[int, dict[str, Any]]:
        """The status of `/readyz`, and its sources and tasks together."""
        status, text = await self.get("/readyz")
        said = json.loads(text) if text else {"sources": {}, "tasks": {}}
        return status, said["sources"] | said["tasks"]

    async def ready(self, patience: float = PATIENCE) -> float:
        """Wait until it is. Returns after how many seconds it was; infinity: never."""

        async def is_ready() -> bool:
            return (await self.get("/readyz"))[0] == 200

        return await wait_for(is_ready, patience)

    async def readers(self, count: int, patience: float = PATIENCE) -> float:
        """Wait until it has so many, or fewer. Returns as `ready` does."""

        async def are_so_many() -> bool:
            return await self.metric("readers") <= count

        return await wait_for(are_so_many, patience)

    async def has_readers(self, count: int) -> bool:
        """Whether at least so many have come."""
        return await self.metric("readers") >= count

    @property
    def descriptors(self) -> int:
        return len(os.listdir(f"/proc/{self.pid}/fd"))

    @property
    def resident(self) -> float:
        """Memory, in MB."""
        return self._memory(_RESIDENT)

    @property
    def peak(self) -> float:
        """The most memory since the start, or since `forget_peak`, in MB."""
        return self._memory(_PEAK)

    def forget_peak(self) -> None:
        Path(f"/proc/{self.pid}/clear_refs").write_text("5")  # proc(5): resets the peak

    def _memory(self, row: re.Pattern[str]) -> float:
        match = row.search(Path(f"/proc/{self.pid}/status").read_text())
        assert match
        return int(match[1]) / 1024

    @property
    def complaints(self) -> list[str]:
        """What it has logged as an error: a bug of ours, whatever was done to it."""
        rows = self.log.read_text(errors="replace").splitlines()
        return [
            row for row in rows if '"level": "error"' in row or "Traceback" in row or "Error" in row
        ]

    @property
    def server(self) -> Server:
        """The same for the load harness of the benchmarks."""
        return Server(self.pid, self.port, 0.0)
