"""Other people's clients read a real service, and miss and double nothing when they are cut.

Those of one registry read at the same time, through one `Wire` that cuts every connection once a
second for ten seconds, so that all take no longer than one would take.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest
import trio
from tests.support.payloads import sent
from tests.support.service import RunningService, open_service
from tests.support.waiting import until
from tests.support.wire import Wire

FOLDER = Path(__file__).parent
NPM = ["eventsource", "eventsource2", "event-source-polyfill", "reconnecting-eventsource",
       "@microsoft/fetch-event-source"]  # fmt: skip
PYPI = ["sseclient", "sseclient-py", "httpx-sse", "aiohttp"]

CUTS = 10
LINES_A_SECOND = 40
# Clients that garble text beyond ASCII are found by it.
TEXT = "{} – café 日本"


def command(library: str) -> list[str]:
    """Return the program that reads with a library."""
    if library in PYPI:
        return [sys.executable, str(FOLDER / "reader.py"), library]
    return ["node", str(FOLDER / "reader.mjs"), library]


async def read_with(libraries: list[str], folder: Path) -> tuple[list[str], dict[str, list[str]]]:
    """Return all lines, and the messages that each library has read."""
    outputs = {library: folder / library.replace("/", "-") for library in libraries}
    processes: list[subprocess.Popen[bytes]] = []
    async with open_service() as service, Wire.open(service.service.bind.port) as wire:
        address = f"http://127.0.0.1:{wire.port}/api/logs"
        try:
            for library, path in outputs.items():
                with path.open("wb") as output:
                    processes.append(
                        subprocess.Popen(  # noqa: ASYNC220 - it starts at once
                            [*command(library), address], stdout=output, stderr=subprocess.DEVNULL
                        )
                    )
            await service.readers(len(libraries))
            lines = await publish_and_cut(service, wire)

            def have_all() -> bool:
                last = lines[-1].encode()
                return all(last in path.read_bytes() for path in outputs.values())

            with suppress(trio.TooSlowError):  # the test names the library that is late
                await until(have_all)
        finally:
            for process in processes:
                process.kill()
                process.wait()
    return lines, {library: messages(path) for library, path in outputs.items()}


async def publish_and_cut(service: RunningService, wire: Wire) -> list[str]:
    """Publish lines and cut all connections once a second. Return the lines."""
    lines: list[str] = []
    for _ in range(CUTS):
        for _ in range(LINES_A_SECOND):
            lines.append(TEXT.format(len(lines)))
            service.service.core.hub.publish_nowait([sent(message=lines[-1])])
            await trio.sleep(1 / LINES_A_SECOND)
        wire.cut()
        wire.mend()
    lines.append("the last line")
    service.service.core.hub.publish_nowait([sent(message=lines[-1])])
    return lines


def messages(output: Path) -> list[str]:
    """Return the messages of the log lines that a reader has printed."""
    rows = [row for row in output.read_text().splitlines() if row.startswith("{")]
    events = [json.loads(row) for row in rows]
    return [event["message"] for event in events if "app" in event or "gap" in event]


@pytest.mark.parametrize("libraries", [NPM, PYPI], ids=["npm", "PyPI"])
async def test_clients_that_are_cut_miss_and_double_nothing(
    libraries: list[str], tmp_path: Path
) -> None:
    """A client that is cut once a second gets every line once, in order, and no gap."""
    if libraries == NPM and not (shutil.which("node") and (FOLDER / "node_modules").is_dir()):
        pytest.skip("there are no clients from npm: run `npm ci` in tests/proxies")
    lines, got = await read_with(libraries, tmp_path)
    for library in libraries:
        assert got[library] == lines, library
