"""`natstream mcp` in a process of its own: with the SDK's client, or with bytes as they are."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import attrs
import trio
from mcp import ClientSession, StdioServerParameters
from mcp.client.stdio import stdio_client
from tests.support.tail_process import ENVIRONMENT
from tests.support.waiting import PATIENCE

__all__ = ["RawAssistant", "open_assistant", "open_raw"]


@asynccontextmanager
async def open_assistant(*arguments: str, **environ: str) -> AsyncIterator[ClientSession]:
    """Start `natstream mcp` with the SDK's own client, and end it as the client does."""
    command = StdioServerParameters(
        command=sys.executable,
        args=["-m", "natstream", "mcp", *arguments],
        env=ENVIRONMENT | environ,
    )
    async with stdio_client(command) as streams, ClientSession(*streams) as session:
        with trio.fail_after(PATIENCE):
            await session.initialize()
        yield session


@attrs.define
class RawAssistant:
    """An assistant that writes and reads the bytes of the protocol itself."""

    process: trio.Process
    _rest: bytes = b""

    async def send(self, message: dict[str, Any]) -> None:
        """Send a message of JSON-RPC."""
        assert self.process.stdin is not None
        text = json.dumps({"jsonrpc": "2.0", **message})
        await self.process.stdin.send_all(text.encode() + b"\n")

    async def receive(self) -> dict[str, Any]:
        """Return the next message. Fail if a line of stdout is no message of the protocol."""
        assert self.process.stdout is not None
        with trio.fail_after(PATIENCE):
            while b"\n" not in self._rest:
                data = await self.process.stdout.receive_some()
                assert data, "the process has closed stdout"
                self._rest += data
        line, _, self._rest = self._rest.partition(b"\n")
        message: dict[str, Any] = json.loads(line)
        assert message["jsonrpc"] == "2.0"
        return message

    async def begin(self) -> None:
        """Agree on the version of the protocol."""
        client = {"name": "tests", "version": "1"}
        parameters = {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": client}
        await self.send({"id": 0, "method": "initialize", "params": parameters})
        assert (await self.receive())["id"] == 0
        await self.send({"method": "notifications/initialized"})

    async def call(self, name: str, **arguments: Any) -> str:
        """Call a tool, and return the text of its answer."""
        parameters = {"name": name, "arguments": arguments}
        await self.send({"id": 1, "method": "tools/call", "params": parameters})
        text: str = (await self.receive())["result"]["content"][0]["text"]
        return text

    async def end(self) -> tuple[str, int]:
        """Wait until the process has ended, and return its stderr and its status."""
        assert self.process.stderr is not None
        with trio.fail_after(PATIENCE):
            error = b"".join([part async for part in self.process.stderr])
            return error.decode(), await self.process.wait()

    def peak_mb(self) -> float:
        """Return the most memory that the process has used until now, in MB."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(status.partition("VmHWM:")[2].split()[0]) / 1_000


@asynccontextmanager
async def open_raw(*arguments: str, **environ: str) -> AsyncIterator[RawAssistant]:
    """Start `natstream mcp`, and kill it after the block."""
    process = await trio.lowlevel.open_process(
        [sys.executable, "-m", "natstream", "mcp", *arguments],
        env=ENVIRONMENT | environ,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    try:
        yield RawAssistant(process)
    finally:
        process.kill()
        await process.wait()
