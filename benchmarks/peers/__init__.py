"""The servers that are measured: how to start each, publish to it and read from it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import attrs
from tests.support.loopback import HOST, free_port
from tests.support.processes import CPUS, Server

from natstream.demo.nats_server import NatsServer

__all__ = ["NATSTREAM", "PEERS", "Peer", "open_sharing"]

HERE = Path(__file__).parent
# The virtual environment of the peers, which `make bench` makes from benchmarks/requirements.txt.
PEERS_PYTHON = HERE.parent / ".venv/bin/python"
NCHAN_MODULES = (
    Path("/usr/lib/nginx/modules/ngx_nchan_module.so"),
    Path("/usr/share/nginx/modules/ngx_nchan_module.so"),
)


@attrs.frozen
class Launch:
    """The parameters of a peer's start."""

    nats: NatsServer
    port: int
    flush_rate: float
    """Most sends a second to each reader; only the bare broadcaster uses it."""
    directory: Path
    """A directory for its files, which is removed when it ends."""


@attrs.frozen
class Peer:
    """A server of one kind."""

    name: str
    title: str
    """Its name in tables."""
    command: Callable[[Launch], list[str]]
    environ: Callable[[Launch], dict[str, str]] = lambda _: {}
    path: str = "/events"
    ready: str = "/ready"
    post: str = ""
    """The path for POST requests with lines; a peer without one reads NATS."""
    missing: Callable[[], str] = lambda: ""
    """Returns a sentence about a missing program and how to install it, or nothing."""
    version: Callable[[], str] = lambda: ""

    @asynccontextmanager
    async def open(self, nats: NatsServer, flush_rate: float) -> AsyncIterator[Server]:
        """Run the peer until the end of the block, which starts when the peer is ready.

        Raises:
            BenchmarkError: the peer does not start.
        """
        with TemporaryDirectory(prefix="bench-") as directory:
            launch = Launch(nats, free_port(), flush_rate, Path(directory))
            environ = {"PATH": os.environ.get("PATH", os.defpath), **self.environ(launch)}
            command = self.command(launch)
            async with Server.open(command, environ, launch.port, self.ready) as server:
                yield server

    def target(self, nats: NatsServer, server: Server) -> str:
        """Return the address at which its lines are published."""
        if self.post:
            return f"http://{HOST}:{server.port}{self.post}"
        return f"nats://{nats.user}:{nats.password}@{HOST}:{nats.port}"


def _natstream(launch: Launch) -> dict[str, str]:
    return {
        "FLY_ORG": launch.nats.user,
        "ACCESS_TOKEN": launch.nats.password,
        "FLY_APP": "*",
        "NATSTREAM_NATS_URL": launch.nats.url,
        "NATSTREAM_BIND": f"{HOST}:{launch.port}",
        "NATSTREAM_DRAIN_BIND": "off",
    }


def _nginx(launch: Launch) -> list[str]:
    configuration = launch.directory / "nginx.conf"
    module = next(path for path in NCHAN_MODULES if path.exists())
    text = (HERE / "nchan.conf").read_text()
    text = text.replace("@MODULE@", str(module)).replace("@PORT@", str(launch.port))
    configuration.write_text(text.replace("@DIRECTORY@", str(launch.directory)))
    return ["nginx", "-p", str(launch.directory), "-c", str(configuration)]


def _lacks_nginx() -> str:
    if shutil.which("nginx") and any(path.exists() for path in NCHAN_MODULES):
        return ""
    return "nginx with nchan is not installed: apt install nginx libnginx-mod-nchan (Debian)"


def _lacks_peers() -> str:
    if PEERS_PYTHON.exists():
        return ""
    return f"{PEERS_PYTHON} does not exist: `make bench` makes it"


def _say(*command: str) -> str:
    said = subprocess.run(command, capture_output=True, text=True, check=False)
    return (said.stdout + said.stderr).strip()


PEERS = {
    peer.name: peer
    for peer in (
        Peer(
            "natstream",
            "natstream",
            lambda _: [sys.executable, "-m", "natstream", "serve"],
            environ=_natstream,
            path="/api/logs",
            ready="/readyz",
            version=lambda: _say(sys.executable, "-m", "natstream", "--version"),
        ),
        Peer(
            "nchan",
            "nginx + nchan",
            _nginx,
            post="/publish",
            missing=_lacks_nginx,
            version=lambda: ", ".join(
                (
                    _say("nginx", "-v").removeprefix("nginx version: "),
                    "nchan " + _say("dpkg-query", "-W", "-f", "${Version}", "libnginx-mod-nchan"),
                )
            ),
        ),
        Peer(
            "starlette",
            "Starlette, sse-starlette, uvicorn",
            lambda launch: [str(PEERS_PYTHON), str(HERE / "starlette_app.py"), str(launch.port)],
            environ=lambda launch: {
                "NATS_URL": launch.nats.url,
                "NATS_USER": launch.nats.user,
                "NATS_PASSWORD": launch.nats.password,
            },
            missing=_lacks_peers,
            version=lambda: _say(
                str(PEERS_PYTHON),
                "-c",
                "from importlib.metadata import version as v; print(', '.join(f'{p} {v(p)}' for p "
                "in ('starlette', 'sse-starlette', 'uvicorn', 'uvloop', 'nats-py')))",
            ),
        ),
        Peer(
            "bare",
            "bare trio sockets",
            lambda launch: [
                sys.executable,
                str(HERE / "bare.py"),
                str(launch.port),
                str(launch.nats.port),
                launch.nats.user,
                launch.nats.password,
                str(launch.flush_rate),
            ],
            version=lambda: _say(
                sys.executable, "-c", "import trio; print('trio', trio.__version__)"
            ),
        ),
    )
}
NATSTREAM = PEERS["natstream"]


@asynccontextmanager
async def open_sharing(
    nats: NatsServer, count: int, settings: Mapping[str, str]
) -> AsyncIterator[Server]:
    """Run several processes of natstream that share one port, on different cores if possible.

    Raises:
        BenchmarkError: a process does not start.
    """
    launch = Launch(nats, free_port(), 0.0, HERE)
    environ = {
        "PATH": os.environ.get("PATH", os.defpath),
        **NATSTREAM.environ(launch),
        "NATSTREAM_SHARE_PORT": "on",
        **settings,
    }
    servers: list[Server] = []
    async with AsyncExitStack() as stack:
        for index in range(count):
            # At the shared port any process could answer, so each has a port of its own as well.
            own = free_port()
            environ["NATSTREAM_METRICS_BIND"] = f"{HOST}:{own}"
            core = CPUS[index % len(CPUS)]
            opening = Server.open(
                NATSTREAM.command(launch), environ, own, NATSTREAM.ready, cpus=[core]
            )
            servers.append(await stack.enter_async_context(opening))
        first, *others = [server.pid for server in servers]
        startup = max(server.startup for server in servers)
        yield Server(first, launch.port, startup, others)
