"""The service as a process of its own, as people run it: started, asked, mistreated and ended.

`ServiceProcess.open()` runs `natstream serve` on ports of loopback that it keeps over restarts. A
test sees it from outside: by HTTP, by its figures in `/metrics`, by its log and by `/proc`. For a
service in the test's own process see `service.py`.
"""

from __future__ import annotations

import json
import math
import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import attrs
import trio
from tests.support.loopback import HOST, free_port
from tests.support.processes import BenchmarkError, Server, server_cores
from tests.support.waiting import PATIENCE, seconds_until

from natstream.demo.nats_server import NatsServer

__all__ = ["ServiceProcess"]

ROOT = Path(__file__).parent.parent.parent
_SAMPLE = re.compile(r"^(natstream_\S+) (\S+)$", re.MULTILINE)
_RESIDENT = re.compile(r"VmRSS:\s+(\d+) kB")
_PEAK = re.compile(r"VmHWM:\s+(\d+) kB")


@attrs.define(eq=False)
class ServiceProcess:
    """One process of natstream, which keeps its ports when it is ended and started again."""

    port: int
    drain_port: int
    log: Path
    """The file with its stdout and stderr."""
    _command: Sequence[str]
    _environ: dict[str, str] = attrs.field(repr=False)
    _process: subprocess.Popen[bytes] | None = None

    @classmethod
    @asynccontextmanager
    async def open(
        cls, nats: NatsServer | None = None, *, launcher: Sequence[object] = (), **environ: str
    ) -> AsyncIterator[ServiceProcess]:
        """Run the service until the end of the block, with drains and with `nats` if given.

        Args:
            launcher: a module and its arguments that are run instead of `natstream serve`.
            environ: further settings.

        Raises:
            BenchmarkError: the service does not start.
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
        with tempfile.TemporaryDirectory(prefix="service-") as directory:
            service = cls(port, drain_port, Path(directory, "log"), command, base | environ)
            try:
                await service.start()
                yield service
            finally:
                service.kill()

    # --- starting and ending -------------------------------------------------------------

    async def start(self) -> None:
        """Start the service and wait until it answers.

        Raises:
            BenchmarkError: the service does not start.
        """
        self._spawn()
        if await seconds_until(self._answers_or_has_ended) > PATIENCE or not self.is_running:
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
                start_new_session=True,  # a Ctrl-C ends the test, which then ends the service
            )
        os.sched_setaffinity(self.pid, server_cores())

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
        """Send a signal and wait until the process has ended.

        Returns:
            The exit status, or None if it has not ended; and the seconds that it took.
        """
        assert self._process is not None
        self._process.send_signal(how)
        seconds = await seconds_until(self._has_ended)
        return self._process.poll(), seconds

    async def _has_ended(self) -> bool:
        return not self.is_running

    def kill(self) -> None:
        """End it with SIGKILL, so that it cannot tell its clients."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    # --- its answers and figures ---------------------------------------------------------

    async def get(self, path: str) -> tuple[int, str]:
        """Return the status and the body of an answer; status 0 if there is no answer."""
        try:
            with trio.fail_after(PATIENCE):
                async with await trio.open_tcp_stream(HOST, self.port) as stream:
                    await stream.send_all(f"GET {path} HTTP/1.0\r\nHost: {HOST}\r\n\r\n".encode())
                    head, _, body = b"".join([part async for part in stream]).partition(b"\r\n\r\n")
            return int(head.split()[1]), body.decode()
        except (OSError, trio.BrokenResourceError, trio.TooSlowError, IndexError):
            return 0, ""

    async def metrics(self) -> dict[str, float]:
        """Return its figures by name and labels; none if it does not answer."""
        _, text = await self.get("/metrics")
        return {match[1]: float(match[2]) for match in _SAMPLE.finditer(text)}

    async def metric(self, name: str) -> float:
        """Return the figure `natstream_<name>`; NaN if it does not answer."""
        return (await self.metrics()).get(f"natstream_{name}", math.nan)

    async def readiness(self) -> tuple[int, dict[str, Any]]:
        """Return the status of `/readyz`, and its sources and tasks in one dictionary."""
        status, text = await self.get("/readyz")
        said = json.loads(text) if text else {"sources": {}, "tasks": {}}
        return status, said["sources"] | said["tasks"]

    async def ready(self, patience: float = PATIENCE) -> float:
        """Wait until it is ready. Return the seconds that it took; infinity if it is not."""

        async def is_ready() -> bool:
            return (await self.get("/readyz"))[0] == 200

        return await seconds_until(is_ready, patience)

    async def readers(self, count: int, patience: float = PATIENCE) -> float:
        """Wait until it has at most `count` readers. Return the seconds, as `ready` does."""

        async def are_so_many() -> bool:
            return await self.metric("readers") <= count

        return await seconds_until(are_so_many, patience)

    async def has_readers(self, count: int) -> bool:
        """Return whether at least `count` readers are connected."""
        return await self.metric("readers") >= count

    @property
    def descriptors(self) -> int:
        """The number of its open files."""
        return len(os.listdir(f"/proc/{self.pid}/fd"))

    @property
    def resident(self) -> float:
        """Its memory, in MB."""
        return self._memory(_RESIDENT)

    @property
    def peak(self) -> float:
        """Its largest memory since the start, or since `forget_peak`, in MB."""
        return self._memory(_PEAK)

    def forget_peak(self) -> None:
        """Let `peak` begin anew."""
        Path(f"/proc/{self.pid}/clear_refs").write_text("5")  # proc(5)

    def _memory(self, row: re.Pattern[str]) -> float:
        match = row.search(Path(f"/proc/{self.pid}/status").read_text())
        assert match
        return int(match[1]) / 1024

    @property
    def complaints(self) -> list[str]:
        """The errors in its log; each is a bug of natstream, because mistreatment logs none."""
        rows = self.log.read_text(errors="replace").splitlines()
        return [
            row for row in rows if '"level": "error"' in row or "Traceback" in row or "Error" in row
        ]

    @property
    def server(self) -> Server:
        """The process as the load harness sees it."""
        return Server(self.pid, self.port, 0.0)
