"""Real nats-servers with JetStream, for journals: a single one, or a cluster of three on loopback.

Both can be asked over JetStream's own API, so that a test sees the stored lines without natstream.
"""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from typing import Any

import attrs
from tests.support.loopback import free_port
from tests.support.mistreated import MistreatedServer, authorization
from tests.support.waiting import until

from natstream.errors import SourceError
from natstream.journal.jetstream import JetStream
from natstream.nats.connection import Login, NatsConnection

__all__ = ["USER", "Cluster", "JournalServer", "open_cluster", "run_node"]

USER = {"user": "journal", "password": "of-the-journal"}


class JournalServer(MistreatedServer):
    """A nats-server with JetStream."""

    @classmethod
    @asynccontextmanager
    async def run(cls, **settings: Any) -> AsyncIterator[JournalServer]:
        """Run a server until the end of the block; its store outlives its restarts."""
        with tempfile.TemporaryDirectory(prefix="journal-") as store:
            settings = {
                "authorization": authorization(USER),
                "jetstream": {"store_dir": store},
                **settings,
            }
            async with cls.open(**USER, **settings) as server:
                try:
                    yield server
                finally:
                    server.resume()

    @property
    def environ(self) -> dict[str, str]:
        """The settings with which natstream uses it."""
        return journal_environ(self.url)

    async def ask(self, api: str, body: object = None) -> dict[str, Any]:
        """Return JetStream's answer."""
        return await ask([self.url], api, body)

    async def stream(self, name: str = "natstream") -> dict[str, Any]:
        """Return the stream as the server describes it."""
        return await self.ask(f"STREAM.INFO.{name}")

    async def stored(self, name: str = "natstream") -> int:
        """Return the number of messages in the stream; 0 if there is no stream."""
        return int((await self.stream(name)).get("state", {}).get("messages", 0))


def journal_environ(url: str) -> dict[str, str]:
    """Return the settings with which natstream uses the servers at these addresses."""
    return {
        "NATSTREAM_JOURNAL_URL": url,
        "NATSTREAM_JOURNAL_USER": USER["user"],
        "NATSTREAM_JOURNAL_PASSWORD": USER["password"],
    }


async def ask(urls: Sequence[str], api: str, body: object = None) -> dict[str, Any]:
    """Return the answer of JetStream's API; an error if none of these servers answers."""
    connection = NatsConnection(
        Login(urls, USER["user"], USER["password"]), lambda: jetstream.end()
    )
    jetstream = JetStream(connection, "test", "natstream", lambda number, payload, headers: None)
    async with connection.connected(jetstream.subjects):
        try:
            return await jetstream.request(api, body)
        except SourceError as error:
            return {"error": {"description": str(error)}}


@attrs.define
class Cluster:
    """Three servers that keep a stream together, of which one may be missing."""

    nodes: Sequence[JournalServer]

    @property
    def environ(self) -> dict[str, str]:
        """The settings with which natstream uses it."""
        urls = ",".join(node.url for node in self.nodes)
        return journal_environ(urls) | {"NATSTREAM_JOURNAL_REPLICAS": "3"}

    async def ask(self, api: str, body: object = None) -> dict[str, Any]:
        """Return JetStream's answer, from any node that runs."""
        return await ask([node.url for node in self.nodes if node.is_running], api, body)

    async def stream(self) -> dict[str, Any]:
        """Return the stream as the servers describe it."""
        return await self.ask("STREAM.INFO.natstream")

    async def stored(self) -> int:
        """Return the number of messages in the stream; 0 if there is no stream."""
        return int((await self.stream()).get("state", {}).get("messages", 0))

    async def leader(self) -> JournalServer:
        """Return the node that leads the stream."""
        info = await self.stream()
        return next(n for n in self.nodes if n.settings["server_name"] == info["cluster"]["leader"])

    async def is_whole(self) -> bool:
        """Return whether every node has all of the stream."""
        info = await self.stream()
        replicas = info.get("cluster", {}).get("replicas", ())
        return len(replicas) == 2 and all(replica.get("current") for replica in replicas)


def run_node(number: int, ports: Sequence[int]) -> AbstractAsyncContextManager[JournalServer]:
    """Run a cluster's node until the end of a block; the nodes talk to each other at `ports`."""
    others = [port for port in ports if port != ports[number]]
    return JournalServer.run(
        server_name=f"n{number}",
        cluster={
            "name": "journal",
            "listen": f"127.0.0.1:{ports[number]}",
            "routes": [f"nats://127.0.0.1:{port}" for port in others],
        },
    )


@asynccontextmanager
async def open_cluster() -> AsyncIterator[Cluster]:
    """Run three servers until the end of the block, which starts when they have a leader."""
    ports = [free_port() for _ in range(3)]
    async with AsyncExitStack() as stack:
        nodes = [await stack.enter_async_context(run_node(number, ports)) for number in range(3)]
        cluster = Cluster(nodes)

        async def is_led() -> bool:
            return "error" not in await cluster.ask("INFO")

        await until(is_led)
        yield cluster
