"""OpenTelemetry's own exporters send to a real drain, which refuses every third request.

The programs are `exporter.py` and `exporter.mjs`.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio
import trio.testing

from natstream.drain.answers import busy
from natstream.drain.collector import LogCollector
from natstream.drain.http1 import Answer
from natstream.drain.server import LogDrainServer
from natstream.entries.entry import LogEntry
from natstream.entries.fields import Fields
from natstream.hub.hub import open_hub

FOLDER = Path(__file__).parent
COUNT = 30
COMMANDS = {
    "Python": [sys.executable, str(FOLDER / "exporter.py")],
    "JavaScript, JSON": ["node", str(FOLDER / "exporter.mjs"), "json"],
    "JavaScript, protobuf": ["node", str(FOLDER / "exporter.mjs"), "protobuf"],
}


class RefusingDrain(LogDrainServer):
    """A drain that is too busy for every third request."""

    refused = 0
    asked = 0

    def _refuse_for_now(self) -> Answer | None:
        self.asked += 1
        if self.asked % 3 == 1:
            self.refused += 1
            return busy("There are too many requests at once")
        return super()._refuse_for_now()


@asynccontextmanager
async def drain() -> AsyncIterator[tuple[RefusingDrain, list[LogEntry]]]:
    """Run a drain, and yield it with the entries that it gives to the hub."""
    entries: list[LogEntry] = []
    async with open_hub() as hub:
        server = RefusingDrain(LogCollector(), hub=hub, tokens=["secret"])
        with hub.subscribe() as reader:

            async def read() -> None:
                while True:
                    batch = await reader.receive()
                    entries.extend(batch.entries)  # type: ignore[union-attr]  # there are no gaps

            async with server, trio.open_nursery() as nursery:
                nursery.start_soon(read)
                yield server, entries
                nursery.cancel_scope.cancel()


@pytest.mark.parametrize("kind", ["batch", "simple"])
@pytest.mark.parametrize("sdk", COMMANDS)
async def test_every_record_of_an_exporter_arrives_once(sdk: str, kind: str) -> None:
    """Level, app and fields are right, and a record that was refused arrives without a double."""
    if COMMANDS[sdk][0] == "node" and not (
        shutil.which("node") and (FOLDER / "node_modules").is_dir()
    ):
        pytest.skip("there are no exporters from npm: run `npm ci` in tests/proxies")
    # A refused export of the simple processor waits 2 s before the next record is sent.
    count = COUNT if kind == "batch" or sdk != "Python" else 4
    async with drain() as (server, entries):
        with trio.fail_after(60):
            await trio.run_process([*COMMANDS[sdk], kind, f"{server.url}/v1/logs", str(count)])
            while len(entries) < count:
                await trio.sleep(0.01)
        assert server.refused > 0
        await trio.testing.wait_all_tasks_blocked(0.05)
    assert sorted(entry.message for entry in entries) == sorted(
        f"order {number} – café 日本" for number in range(count)
    )
    for entry in entries:
        number = int(entry.message.split()[1])
        assert (entry.level, entry.app_name, entry.machine_id) == ("error", "shop", "web-1")
        assert (entry.region, entry.stream, entry.source) == ("sjc", "stdout", "drain")
        assert entry.timestamp.startswith("20")
        fields = Fields(entry)
        assert fields.get("trace_id") == "0af7651916cd43dd8448eb211c80319c"
        assert fields.get("span_id") == "b7ad6b7169203331"
        assert (fields.get("scope.name"), fields.get("scope.version")) == ("checkout", "1.2")
        assert fields.get("resource.service.name") == "shop"
        assert fields.get("order.id") == number
        assert fields.get("paid") is False
        assert (fields.get("tags.1"), fields.get("nested.total")) == ("b", 1.5)
