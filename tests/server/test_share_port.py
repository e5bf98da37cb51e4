"""Several processes on one port: `natstream serve` twice, with `NATSTREAM_SHARE_PORT=on`."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager

import attrs
import httpx
import trio
from tests.support.closed import TOKEN, bearer, cookie_of, grant_text
from tests.support.journal_server import JournalServer
from tests.support.loopback import free_port
from tests.support.service import Stream
from tests.support.waiting import PATIENCE, until

from natstream.config.listening import listen
from natstream.config.settings import Bind

# The kernel gives all of so many connections to one process in one of 2^40 cases.
MANY = 40


@attrs.define
class Process:
    """One of the processes that share a port."""

    process: subprocess.Popen[bytes]
    metrics: str
    """The address of this process's own metrics."""
    client: httpx.AsyncClient

    async def figure(self, name: str) -> float:
        """Return one of the metrics of this process."""
        text = (await self.client.get(f"http://{self.metrics}/metrics")).text
        found = re.search(rf"^natstream_{re.escape(name)} (\S+)$", text, re.MULTILINE)
        assert found, name
        return float(found[1])

    async def is_ready(self) -> bool:
        assert self.process.poll() is None
        try:
            return (await self.client.get(f"http://{self.metrics}/readyz")).is_success
        except httpx.HTTPError:
            return False


def environ(journal: JournalServer, page: int, drain: int, metrics: str) -> dict[str, str]:
    return journal.environ | {
        "PATH": os.environ.get("PATH", os.defpath),
        "NATSTREAM_SOURCES": "drain",
        "NATSTREAM_BIND": f"127.0.0.1:{page}",
        "NATSTREAM_DRAIN_BIND": f"127.0.0.1:{drain}",
        "NATSTREAM_METRICS_BIND": metrics,
        "NATSTREAM_TOKEN": TOKEN,
        "NATSTREAM_SHARE_PORT": "on",
    }


SERVE = (sys.executable, "-m", "natstream", "serve")


@attrs.frozen
class Shared:
    """Two processes behind one port."""

    url: str
    drain: str
    processes: list[Process]
    client: httpx.AsyncClient
    environ: dict[str, str]
    """The environment of the first process."""

    @asynccontextmanager
    async def streams(self, headers: Mapping[str, str]) -> AsyncIterator[list[Stream]]:
        """Open many readers, each over a connection of its own."""
        async with AsyncExitStack() as stack:
            streams = []
            for _ in range(MANY):
                response = await stack.enter_async_context(
                    self.client.stream("GET", f"{self.url}/api/logs", headers=dict(headers))
                )
                assert response.status_code == 200
                streams.append(Stream(response))
            yield streams

    async def figures(self, name: str) -> list[float]:
        return [await process.figure(name) for process in self.processes]

    async def readers(self, count: int) -> list[float]:
        """Wait until the processes have `count` readers together. Return how many each has."""

        async def are_so_many() -> bool:
            return sum(await self.figures("readers")) == count

        await until(are_so_many)
        return await self.figures("readers")


@asynccontextmanager
async def open_shared(journal: JournalServer) -> AsyncIterator[Shared]:
    page, drain = free_port(), free_port()
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=0)
    async with AsyncExitStack() as stack:
        client = await stack.enter_async_context(httpx.AsyncClient(limits=limits, timeout=PATIENCE))
        processes = []
        for _ in range(2):
            metrics = f"127.0.0.1:{free_port()}"
            process = stack.enter_context(
                subprocess.Popen(  # noqa: ASYNC220 - starting one takes a millisecond
                    SERVE, env=environ(journal, page, drain, metrics), stderr=subprocess.DEVNULL
                )
            )
            stack.callback(process.kill)
            processes.append(Process(process, metrics, client))
        for one in processes:
            await until(one.is_ready)
        first = environ(journal, page, drain, processes[0].metrics)
        urls = (f"http://127.0.0.1:{page}", f"http://127.0.0.1:{drain}")
        yield Shared(*urls, processes, client, first)


async def test_two_processes_share_the_ports_of_the_page_and_of_the_drain() -> None:
    """Both processes get readers and senders, and each reader gets the lines of both, once."""
    async with (
        JournalServer.run() as journal,
        open_shared(journal) as shared,
        shared.streams(bearer()) as streams,
    ):
        assert min(await shared.readers(MANY)) > 0
        sent = [f"line {number}" for number in range(MANY)]
        for message in sent:
            body = {"instance": "m1", "message": message}
            answer = await shared.client.post(shared.drain, json=body)
            assert answer.json()["accepted"] == 1
        accepted = await shared.figures('source_lines_total{source="drain"}')
        assert sum(accepted) == MANY
        assert min(accepted) > 0
        for stream in streams:
            assert [event.message for event in await stream.lines(MANY)] == sent


async def test_a_signature_of_one_process_is_good_at_the_other() -> None:
    """A login's cookie and a link that one process has signed let a reader in at both."""
    async with JournalServer.run() as journal, open_shared(journal) as shared:
        response = await shared.client.post(f"{shared.url}/api/login", json={"token": TOKEN})
        shared.client.cookies.clear()
        link = bearer(grant_text(("app", "web")))
        for shown in (cookie_of(response), link):
            async with shared.streams(shown):
                assert min(await shared.readers(MANY)) > 0
            await shared.readers(0)


async def test_readers_come_to_the_process_that_is_left() -> None:
    """The kernel gives no connection to a process that was killed."""
    async with JournalServer.run() as journal, open_shared(journal) as shared:
        killed, _ = shared.processes
        killed.process.kill()
        killed.process.wait()
        shared.processes.remove(killed)
        async with shared.streams(bearer()):
            assert await shared.readers(MANY) == [MANY]


async def refused(environ: Mapping[str, str]) -> str:
    """Run a `natstream serve` that ends at once, and return its output."""
    with trio.fail_after(PATIENCE):
        done = await trio.run_process(
            SERVE, env=dict(environ), check=False, capture_stderr=True, capture_stdout=True
        )
    assert done.returncode == 1
    return done.stderr.decode().strip()


async def test_a_process_that_cannot_share_says_so_in_one_sentence() -> None:
    """A process that does not share its port ends, and so does one whose metrics port is in use."""
    async with JournalServer.run() as journal, open_shared(journal) as shared:
        own = {"NATSTREAM_METRICS_BIND": "127.0.0.1:0"}
        page, metrics = (shared.environ[f"NATSTREAM_{name}BIND"] for name in ("", "METRICS_"))
        said = await refused(shared.environ | own | {"NATSTREAM_SHARE_PORT": "off"})
        assert said == (
            f"natstream: NATSTREAM_BIND: {page} is taken by another process: stop it, "
            "or choose another port."
        )
        said = await refused(shared.environ)
        assert said == (
            f"natstream: NATSTREAM_METRICS_BIND: {metrics} is taken by another process: stop it, "
            "or choose another port."
        )


async def test_a_process_that_shares_cannot_join_one_that_does_not() -> None:
    """The process names its own missing setting first, and then that of the other process."""
    alone = {
        "PATH": os.environ.get("PATH", os.defpath),
        "NATSTREAM_SOURCES": "drain",
        "NATSTREAM_SHARE_PORT": "on",
        "NATSTREAM_TOKEN": TOKEN,
    }
    with listen(Bind("127.0.0.1", 0)) as taken:
        bind = f"127.0.0.1:{taken.getsockname()[1]}"
        drain, metrics, said = (await refused(alone | {"NATSTREAM_BIND": bind})).splitlines()
    assert drain.startswith("natstream: NATSTREAM_SHARE_PORT is on without a journal: ")
    assert metrics.endswith("give each a NATSTREAM_METRICS_BIND of its own.")
    assert said == (
        f"natstream: NATSTREAM_BIND: {bind} is taken by a process that does not share it: stop it, "
        "start it with NATSTREAM_SHARE_PORT=on too, or choose another port."
    )
