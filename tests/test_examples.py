"""The examples and the code in docs/library.md, run as a user would run them."""

from __future__ import annotations

import ast
import json
import re
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
import trio
from tests.support.service import open_service

import natstream

ROOT = Path(__file__).parent.parent
EXAMPLES = ROOT / "examples"
LIBRARY = (ROOT / "docs" / "library.md").read_text(encoding="utf-8")


class Program:
    """A running example: the address of its drain, and its output."""

    def __init__(self, process: trio.Process) -> None:
        self.process = process
        self.url = ""
        self._printed = b""

    async def line(self) -> str:
        assert self.process.stdout
        with trio.fail_after(20):
            while b"\n" not in self._printed:
                data = await self.process.stdout.receive_some()
                assert data, "it has ended"
                self._printed += data
        line, _, self._printed = self._printed.partition(b"\n")
        return line.decode()

    async def send(self, *lines: dict[str, Any]) -> None:
        async with httpx.AsyncClient() as client:
            body = "\n".join(map(json.dumps, lines))
            (await client.post(self.url, content=body)).raise_for_status()


@asynccontextmanager
async def running(name: str, *arguments: str, stderr: int | None = None) -> AsyncIterator[Program]:
    """Run an example until the end of the block."""
    command = [sys.executable, str(EXAMPLES / name), *arguments]
    async with trio.open_nursery() as nursery:
        run = partial(trio.run_process, command, stdout=subprocess.PIPE, stderr=stderr, check=False)
        process = await nursery.start(run)
        program = Program(process)
        program.url = (await program.line()).removeprefix("POST logs to ")
        try:
            yield program
        finally:
            if process.poll() is None:
                process.terminate()


def entry(message: str, machine: str = "m1", **more: Any) -> dict[str, Any]:
    return {"fly": {"app": {"instance": machine, "name": "web"}}, "message": message, **more}


async def test_machine_lines() -> None:
    """The example prints the stdout of its own machine only."""
    async with running("machine_lines.py", "m1") as program:
        await program.send(entry("one"), entry("other", "m2"), entry("err", stream="stderr"))
        await program.send(entry("two"))
        assert [await program.line(), await program.line()] == ["one", "two"]


async def test_follow_a_run_ends_with_the_machine() -> None:
    """The example prints the lines before the machine's exit, and ends with status 0."""
    async with running("follow_a_run.py", "m1") as program:
        await program.send(
            entry("working"),
            entry("done"),
            entry("machine exited with exit code 0", event={"provider": "runner"}),
        )
        assert [await program.line() for _ in range(3)] == [
            "working",
            "done",
            "m1 exited after 2 lines",
        ]
        with trio.fail_after(20):
            assert await program.process.wait() == 0


async def test_follow_a_run_gives_up() -> None:
    """The example ends with status 1 after the silence that its option gives."""
    async with running("follow_a_run.py", "m1", "--silence", "0.2") as program:
        assert await program.line() == "m1 gave up after 0 lines"
        with trio.fail_after(20):
            assert await program.process.wait() == 1


async def test_what_went_wrong() -> None:
    """The example prints warnings and worse of every machine, with their origin."""
    async with running("what_went_wrong.py") as program:
        await program.send(
            entry("fine", level="info"),
            entry("ouch", level="ERR", region="ams", timestamp="2022-09-27T20:34:37Z"),
        )
        assert await program.line() == "2022-09-27T20:34:37Z web[m1] ams [error] ouch"


async def test_one_request() -> None:
    """The example runs without a log source."""
    command = [sys.executable, str(EXAMPLES / "one_request.py")]
    with trio.fail_after(20):
        result = await trio.run_process(command, capture_stdout=True)
    receipt, lines = result.stdout.decode().splitlines()
    assert ast.literal_eval(receipt) == {"accepted": 4, "dropped": 0, "reasons": {}}
    assert ast.literal_eval(lines) == ["one", "two"]


@pytest.fixture
def interruptible() -> Iterator[None]:
    """Let started programs receive SIGINT, which a shell's background job ignores."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interruptible")
@pytest.mark.parametrize("arguments", [["machine_lines.py", "m1"], ["what_went_wrong.py"]])
async def test_ctrl_c_ends_it_in_order(arguments: list[str]) -> None:
    """Each example ends with status 0 and no further output when it gets a Ctrl-C."""
    async with running(*arguments, stderr=subprocess.STDOUT) as program:
        await program.send(entry("one", "m1", level="error"))
        assert "one" in await program.line()
        program.process.send_signal(signal.SIGINT)
        with trio.fail_after(20):
            assert await program.process.wait() == 0
            assert program.process.stdout
            assert (await program.process.stdout.receive_some()) == b""


def test_every_example_is_run_here_and_told_of_in_the_documentation() -> None:
    """Each file in examples/ has a test."""
    tests = Path(__file__).read_text(encoding="utf-8")
    for path in EXAMPLES.glob("*.py"):
        assert f'"{path.name}"' in tests
        assert f"examples/{path.name}" in LIBRARY


def python_blocks() -> list[str]:
    return re.findall(r"```python\n(.*?)```", LIBRARY, re.DOTALL)


@pytest.mark.parametrize("block", python_blocks())
def test_the_documentations_code_compiles_and_names_what_there_is(block: str) -> None:
    """Each name that an example imports from natstream exists."""
    tree = ast.parse(block)
    compile(block, "docs/library.md", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module == "natstream":
            for alias in node.names:
                assert hasattr(natstream, alias.name)


@pytest.mark.parametrize("name", natstream.__all__)
def test_the_documentation_explains_each_name(name: str) -> None:
    """Each exported name has its place in a table, and each error a row of its own."""
    _, _, tables = LIBRARY.partition("## All names")
    names, _, errors = tables.partition("## Errors")
    if issubclass(getattr(natstream, name), Exception) if name[0].isupper() else False:
        assert re.search(rf"^\| `{name}` \|", errors, re.MULTILINE)
    else:
        assert re.search(rf"^\| .*`{name}`.* \| .+ \|$", names, re.MULTILINE)


async def test_the_program_that_reads_a_service_runs(capsys: pytest.CaptureFixture[str]) -> None:
    """The program with `open_log_stream` prints the entries and the notices of a real service."""
    (program,) = [block for block in python_blocks() if "open_log_stream(" in block]
    names: dict[str, Any] = {}
    async with open_service() as service:
        entry = natstream.parse_log_entry(
            {"machine_id": "m1", "message": "hello", "fly": {"app": {"name": "web"}}}
        )
        assert entry is not None
        await service.service.core.hub.publish([entry])
        program = program.replace("http://127.0.0.1:8080", service.url)
        exec(compile(program.replace("trio.run(main)", ""), "docs/library.md", "exec"), names)
        with trio.fail_after(10):
            await names["main"]()
        out = capsys.readouterr().out
        assert "-- Connected to log stream" in out
        assert "m1 hello" in out
    with trio.fail_after(10):
        await names["main"]()
    assert "cannot be reached" in capsys.readouterr().out


async def test_the_first_program_of_the_documentation_runs(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The five lines of the page run as they stand there."""
    program = python_blocks()[0].replace("port=9999", "port=0").replace("trio.run(main)", "")
    names: dict[str, Any] = {}
    exec(compile(program, "docs/library.md", "exec"), names)
    servers = []

    class Server(natstream.LogDrainServer):
        async def __aenter__(self) -> natstream.LogDrainServer:
            servers.append(self)
            return await super().__aenter__()

    names["LogDrainServer"] = Server
    async with trio.open_nursery() as nursery:
        nursery.start_soon(names["main"])
        with trio.fail_after(5):
            while not (servers and servers[0].collector.machine_ids):
                await trio.sleep(0.001)
            (machine,) = servers[0].collector.machine_ids
            async with httpx.AsyncClient() as client:
                await client.post(f"{servers[0].url}/", json=entry("hello", machine))
            printed = ""
            while "hello\n" not in printed:
                await trio.sleep(0.001)
                printed += capsys.readouterr().out
        nursery.cancel_scope.cancel()
