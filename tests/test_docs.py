"""The documentation is true: its links, commands, options, events, code and settings are tested."""

from __future__ import annotations

import ast
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, suppress
from itertools import islice
from pathlib import Path
from random import Random
from typing import Any

import attrs
import httpx
import pytest
import trio
from click.testing import CliRunner
from tests.support.loopback import free_port
from tests.support.service import RunningService, open_service
from tests.support.waiting import PATIENCE

import natstream
from natstream.cli.main import main
from natstream.config.settings import Settings
from natstream.demo.line import encode
from natstream.demo.traffic import traffic
from natstream.entries.entry import Gap, LogEntry, Notice
from natstream.entries.filters import FILTER_PARAMETERS
from natstream.formats.events import NDJSON, SSE, TEXT, EventId, Format, gap_notice
from natstream.web.query import STREAM_PARAMETERS

ROOT = Path(__file__).parents[1]
PAGES = {
    str(path.relative_to(ROOT)): path.read_text()
    for path in sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), ROOT / "benchmarks/README.md"])
}
TOKEN = "a-token-for-the-tests-of-the-documentation"

# Commands that the tests run, because they use a service on this machine. The other commands start
# a service, need an account, or are for another machine.
RUN = re.compile(r"(curl|printf) .*127\.0\.0\.1:808|natstream (tail|link)")

# The options of flyctl that the documentation names, from the source (ad0172f, August 2026).
FLY_OPTIONS = {
    "launch": "from copy-config yes ha flycast org env secret name no-deploy detach",
    "deploy": "app flycast",
    "scale count": "yes",
    "checks list": "",
    "machine restart": "",
    "secrets set": "stage",
    "proxy": "",
    "ips allocate-v6": "private",
    "ips allocate-v4": "shared",
    "ssh console": "command",
    "tokens create readonly": "expiry",
    "orgs list": "",
}


@attrs.frozen
class Block:
    """A fenced block of a page."""

    page: str
    language: str
    text: str
    marker: str
    """The comment directly above the block."""

    @property
    def commands(self) -> list[tuple[str, str]]:
        """The commands of a console block, each with the output that the page shows."""
        parts = re.split(r"^\$ ", self.text, flags=re.MULTILINE)[1:]
        return [
            (command, output) for command, _, output in (part.partition("\n") for part in parts)
        ]


def blocks(language: str) -> list[Block]:
    pattern = re.compile(r"(?:<!-- ([^\n]*) -->\n)?^```(\S*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
    return [
        Block(page, match[2], match[3], match[1] or "")
        for page, text in PAGES.items()
        for match in pattern.finditer(text)
        if match[2] == language
    ]


def prose(text: str) -> str:
    """Return a page without its fenced blocks."""
    return re.sub(r"^```.*?^```$", "", text, flags=re.DOTALL | re.MULTILINE)


def anchors(text: str) -> set[str]:
    """Return the anchors that GitHub and GitLab give to the headings of a page."""
    headings = re.findall(r"^#+ (.*)$", prose(text), re.MULTILINE)
    words = (re.sub(r"[^\w\- ]", "", heading.lower()) for heading in headings)
    return {word.replace(" ", "-") for word in words}


# --- links and names ---------------------------------------------------------------------


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page: str) -> None:
    """Each relative link leads to a file of the repository, and each anchor to a heading in it."""
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(PAGES[page])):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        file = ((ROOT / page).parent / path).resolve() if path else ROOT / page
        assert file.exists(), target
        if anchor:
            assert anchor in anchors(file.read_text()), target


def test_pages_are_reached_from_the_readme() -> None:
    """The README has a link to every page."""
    for page in PAGES:
        if page not in ("README.md", "benchmarks/README.md"):
            assert f"]({page})" in PAGES["README.md"], page


def code() -> Iterator[tuple[str, str]]:
    """Yield each piece of code that may be a command, with its page."""
    for page, text in PAGES.items():
        for line in re.findall(r"`([^`\n]+)`", prose(text)):
            yield page, line
    for block in blocks("console"):
        for command, _ in block.commands:
            yield block.page, command


def test_make_targets_exist() -> None:
    """Each `make …` in the documentation names a target of the Makefile."""
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for page, text in code():
        if match := re.match(r"make (?:PYTHON=\S+ )?([a-z]+)", text):
            assert match[1] in targets, (page, text)


def test_natstream_commands_exist() -> None:
    """Each `natstream …` in the documentation names a subcommand and options that it has."""
    for page, text in code():
        for name, rest in re.findall(r"(?:^|[ \"])natstream ([a-z]+)\b([^|#\"]*)", text):
            if name not in main.commands:
                assert not re.match(r"(\S+=\S* )*natstream", text), (page, text)
                continue
            shown = CliRunner().invoke(main, [name, "--help"]).output
            for option in re.findall(r"(?<=\s)--?[a-z][a-z-]*", f" {rest}"):
                assert re.search(rf"(?<!\S){option}\b", shown), (page, text)


def test_fly_options_exist() -> None:
    """Each `fly …` in the documentation names options that flyctl has."""
    for page, text in code():
        for start in re.finditer(r"\bfly (?=[a-z])", text):
            # Values in quotes are not options of fly; a parenthesis ends a command in a command.
            line = re.sub(r'"[^"]*"?', "", text[start.end() :]).partition(")")[0] + " "
            found = [name for name in FLY_OPTIONS if line.startswith(f"{name} ")]
            if not found:
                assert line in ("logs ", "ssh "), (page, line)
                continue
            known = {f"--{option}" for option in FLY_OPTIONS[found[0]].split()} | {"-a", "-C"}
            assert set(re.findall(r"(?<=\s)--?[A-Za-z][a-z-]*", line)) <= known, (page, line)


def test_settings_that_are_named_exist() -> None:
    """Each variable that the documentation names is read by natstream or by the tests."""
    read = {field.metadata["variable"] for field in attrs.fields(Settings)}
    others = {"NATSTREAM_URL", "NATSTREAM_SKIP_NOTHING"}
    for page, text in PAGES.items():
        if page != "CHANGELOG.md":
            assert set(re.findall(r"NATSTREAM_[A-Z_]+", text)) <= read | others, page


# --- the HTTP API ------------------------------------------------------------------------

MS = 1_790_541_277_252
PLACE = str(EventId(MS + 3, "f040b423", 4711))
ENTRY = LogEntry(
    *("0e286551c30586", "GET /cart 200 in 12 ms", "stdout", "", "web"),
    region="sjc",
    level="info",
    provider="app",
    unix_ns=MS * 1_000_000,
    source="nats",
)
LOST = (
    "NATS at [fdaa::3]:4223 cannot be reached: Connection refused; "
    "NATSTREAM_NATS_URL says where it is"
)


def gap(missed: int | None, *, at_most: bool = False) -> Notice:
    return attrs.evolve(gap_notice(Gap(missed, MS, at_most=at_most)), unix_ms=MS)


def shown_events() -> Iterator[bytes]:
    connected = Notice("Connected to log stream", unix_ms=MS)
    yield SSE.opening(connected, 2172, PLACE)
    yield SSE.entry(ENTRY, PLACE)
    yield SSE.notice(Notice(LOST, "error", MS))
    for notice in (gap(17), gap(17, at_most=True), gap(None)):
        yield SSE.notice(notice, PLACE)
    yield SSE.keep_alive()
    yield SSE.keep_alive(PLACE)
    yield SSE.notice(Notice("natstream is closing", unix_ms=MS))
    yield NDJSON.entry(ENTRY, PLACE)
    yield NDJSON.keep_alive(PLACE)
    yield b"".join(
        [
            TEXT.opening(connected, 2172),
            TEXT.entry(ENTRY, PLACE),
            TEXT.notice(gap(17), PLACE),
            TEXT.keep_alive(),
        ]
    )


def test_events_look_as_they_are_shown() -> None:
    """The blocks of events in docs/api.md are what the formats make, in this order."""
    shown = [block.text for block in blocks("text") if block.page == "docs/api.md"]
    assert shown == [event.decode() for event in shown_events()]


@pytest.mark.parametrize("form", [SSE, NDJSON, TEXT])
def test_forms_are_named_by_their_type(form: Format) -> None:
    """docs/api.md names the Content-Type of each format."""
    assert f"`{form.content_type.partition(';')[0]}`" in PAGES["docs/api.md"]


def test_every_field_and_parameter_is_explained() -> None:
    """Each field and each parameter begins a row of a table in docs/api.md."""
    rows = [line.split("|")[1] for line in PAGES["docs/api.md"].splitlines() if line[:2] == "| "]
    named = {re.split("[=?]", name)[0] for row in rows for name in re.findall(r"`([^`]+)`", row)}
    assert set(json.loads(NDJSON.entry(ENTRY, PLACE))) - {"id"} <= named
    assert named >= FILTER_PARAMETERS | STREAM_PARAMETERS


async def test_every_route_is_there() -> None:
    """docs/api.md names each path that the service answers, except those of the page itself."""
    async with open_service() as service:
        rules = {rule.rule for rule in service.service.core.app.url_map.iter_rules()}
    for rule in rules - {"/", "/link"}:
        assert rule in PAGES["docs/api.md"] or rule.startswith("/static/"), rule


# --- commands ----------------------------------------------------------------------------


def runnable(block: Block) -> list[tuple[str, str]]:
    return [(command, output) for command, output in block.commands if RUN.match(command)]


FOLLOWS = re.compile(r"natstream tail(?!.*--no-follow)|curl .*-N")
# Seconds without output after which a command that follows has shown what it found.
PAUSE = 2

CONSOLE = [block for block in blocks("console") if runnable(block)]


@attrs.frozen
class Shop:
    """A running service with the traffic of the demo."""

    service: RunningService
    drain: str
    token: str

    def here(self, command: str) -> str:
        """Return the command with the ports of this service instead of the usual ones."""
        command = re.sub(r"http://(127\.0\.0\.1|localhost):8080", self.service.url, command)
        return command.replace("http://127.0.0.1:8081", self.drain)

    async def run(self, command: str, directory: Path) -> str:
        """Return a command's output, up to a pause if the command follows."""
        environ = {
            "PATH": f"{Path(sys.executable).parent}:/usr/local/bin:/usr/bin:/bin",
            "NATSTREAM_URL": self.service.url,
            "NATSTREAM_TOKEN": self.token,
            "LANG": "C.UTF-8",
        }
        quiet = 'curl() { command curl --silent --show-error "$@"; }\n'
        process = await trio.lowlevel.open_process(
            ["bash", "-c", quiet + self.here(command)],
            env=environ,
            cwd=directory,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        assert process.stdout is not None
        output = b""
        follows = bool(FOLLOWS.match(command))
        with trio.move_on_after(PATIENCE) as pause:
            async for chunk in process.stdout:
                output += chunk
                if follows:
                    pause.deadline = trio.current_time() + PAUSE
        if pause.cancelled_caught:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGINT)
        with trio.fail_after(PATIENCE):
            status = await process.wait()
        await process.stdout.aclose()
        if status and not (follows and pause.cancelled_caught):
            output = b'{"error": "exit status %d"}\n%b' % (status, output)
        return output.decode().strip()


@asynccontextmanager
async def open_shop(nats_server: Any, token: str = "") -> AsyncIterator[Shop]:
    drain = f"127.0.0.1:{free_port()}"
    lines: dict[str, list[bytes]] = {}
    for _, line in islice(traffic(Random(7)), 2_000):
        subject, payload = encode(line, 0)
        lines.setdefault(subject, []).append(payload)
    more = {"NATSTREAM_SOURCES": "nats,drain", "NATSTREAM_DRAIN_BIND": drain}
    async with open_service(nats_server, NATSTREAM_TOKEN=token, **more) as service:
        for subject, payloads in lines.items():
            await nats_server.publish(subject, payloads)
        with trio.fail_after(PATIENCE):
            while service.service.core.hub.statistics().published < 2_000:
                await trio.sleep(0.01)
        yield Shop(service, f"http://{drain}", token)


@pytest.mark.skipif(shutil.which("curl") is None, reason="there is no curl")
@pytest.mark.parametrize("marker", ["", "with a token"])
async def test_commands_do_what_is_shown(marker: str, nats_server: Any, tmp_path: Path) -> None:
    """Each command after a `$` gives the output that the page shows; `…` stands for anything."""
    failures: list[str] = []

    async def check(shop: Shop, number: int, block: Block) -> None:
        directory = tmp_path / str(number)
        directory.mkdir()
        for command, shown in runnable(block):
            output = await shop.run(command, directory)
            pattern = re.escape(shown.strip()).replace("…", ".*?")
            told = not shown or re.fullmatch(pattern, output, re.DOTALL)
            refused = not shown and output.startswith('{"error"')
            if refused or not told:
                failures.append(f"{block.page}: {command}\n{output[:500]}")

    async with open_shop(nats_server, TOKEN if marker else "") as shop, trio.open_nursery() as all_:
        for number, block in enumerate(block for block in CONSOLE if block.marker == marker):
            all_.start_soon(check, shop, number, block)
    assert not failures, "\n\n".join(failures)


# --- code --------------------------------------------------------------------------------


@pytest.mark.parametrize("block", blocks("python"), ids=lambda block: block.page)
def test_code_is_python_of_ours(block: Block) -> None:
    """Each block of Python compiles, and imports only names that exist."""
    for node in ast.walk(ast.parse(block.text)):
        if isinstance(node, ast.ImportFrom) and node.module == "natstream":
            for alias in node.names:
                assert alias.name in natstream.__all__, alias.name


@pytest.mark.parametrize("page", ["README.md", "docs/coming-from.md"])
async def test_the_drain_example_prints_lines(page: str) -> None:
    """The program stands in both documents, and prints a line of its machine."""
    (block,) = (block for block in blocks("python") if block.page == page)
    port = free_port()
    program = re.sub(r"port=\d+", f"port={port}", block.text)
    process = await trio.lowlevel.open_process(
        [sys.executable, "-u", "-c", program], stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    line = {"machine_id": "0e286551c30586", "message": "hello"}
    try:
        async with httpx.AsyncClient() as client:
            with trio.fail_after(PATIENCE):
                while True:
                    try:
                        await client.post(f"http://127.0.0.1:{port}/", json=line)
                        break
                    except httpx.ConnectError:
                        await trio.sleep(0.05)
                said = b""
                while not said.endswith(b"\n"):
                    said += await process.stdout.receive_some()
                assert said == b"hello\n"
    finally:
        process.kill()
        await process.wait()
        await process.stdout.aclose()


# --- senders -----------------------------------------------------------------------------


@pytest.mark.skipif(shutil.which("syslog-ng") is None, reason="there is no syslog-ng")
async def test_syslog_ng_ships_as_it_is_shown(tmp_path: Path) -> None:
    """The syslog-ng configuration of docs/drains.md delivers lines, also those of an outage."""
    (block,) = blocks("syslog-ng")
    drain, source = f"127.0.0.1:{free_port()}", free_port()
    token = "your-drain-token"
    version = (await trio.run_process(["syslog-ng", "--version"], capture_stdout=True)).stdout
    number = re.search(r"Config version: (\S+)", version.decode())
    assert number is not None
    settings = tmp_path / "syslog-ng.conf"
    settings.write_text(
        f"@version: {number[1]}\n"
        "options { keep-hostname(yes); ts-format(iso); frac-digits(3); };\n"
        f'source s_src {{ network(ip("127.0.0.1") port({source}) transport("tcp") '
        "flags(syslog-protocol)); };\n" + block.text.replace("127.0.0.1:8081", drain)
    )
    paths = [f"--{name}={tmp_path / name}" for name in ("persist-file", "pidfile", "control")]
    process = await trio.lowlevel.open_process(
        ["syslog-ng", "--foreground", "--no-caps", f"--cfgfile={settings}", *paths],
        stderr=subprocess.DEVNULL,
    )
    settings_of_ours = {"NATSTREAM_DRAIN_BIND": drain, "NATSTREAM_DRAIN_TOKEN": token}

    async def log(*messages: str) -> None:
        with trio.fail_after(PATIENCE):
            while True:
                try:
                    stream = await trio.open_tcp_stream("127.0.0.1", source)
                    break
                except OSError:
                    await trio.sleep(0.05)
        async with stream:
            for message in messages:
                line = f"<11>1 2026-11-21T01:02:03.456Z box cron 12 - - {message}\n"
                await stream.send_all(line.encode())

    try:
        await log('it "failed" {x} é', "while away")
        async with open_service(**settings_of_ours) as service, service.stream("?tail=10") as logs:
            first, second = await logs.lines(2)
    finally:
        process.terminate()
        await process.wait()
    assert (first.message, second.message) == ('it "failed" {x} é', "while away")
    expected = {"machine": "box", "app": "cron", "level": "error", "timestamp": 1795222923456}
    assert first.data.items() >= expected.items()


@pytest.mark.skipif(
    not (shutil.which("rsyslogd") and [*Path("/usr/lib").glob("*/rsyslog/omelasticsearch.so")]),
    reason="there is no rsyslog with its output for Elasticsearch",
)
async def test_rsyslog_ships_as_it_is_shown(tmp_path: Path) -> None:
    """The rsyslog configuration of docs/drains.md delivers lines, also those of an outage."""
    (block,) = blocks("rsyslog")
    drain, source = free_port(), free_port()
    settings = tmp_path / "rsyslog.conf"
    settings.write_text(
        f'global(workDirectory="{tmp_path}")\nmodule(load="imptcp")\n'
        f'input(type="imptcp" address="127.0.0.1" port="{source}")\n'
        + block.text.replace('"8081"', f'"{drain}"').replace('Interval="3"', 'Interval="1"')
    )
    process = await trio.lowlevel.open_process(
        ["rsyslogd", "-n", "-f", str(settings), "-i", str(tmp_path / "pid")],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        with trio.fail_after(PATIENCE):
            while True:
                try:
                    stream = await trio.open_tcp_stream("127.0.0.1", source)
                    break
                except OSError:
                    await trio.sleep(0.05)
        async with stream:
            for message in ('it "failed" {x} é', "while away"):
                line = f"<11>1 2026-11-21T01:02:03.456Z box cron 12 - - {message}\n"
                await stream.send_all(line.encode())
        bind = f"127.0.0.1:{drain}"
        async with (
            open_service(
                NATSTREAM_DRAIN_BIND=bind, NATSTREAM_DRAIN_TOKEN="your-drain-token"
            ) as service,
            service.stream("?tail=10") as logs,
        ):
            first, second = await logs.lines(2)
    finally:
        process.terminate()
        await process.wait()
    assert (first.message, second.message) == ('it "failed" {x} é', "while away")
    expected = {"machine": "box", "app": "cron", "level": "error", "timestamp": 1795222923456}
    assert first.data.items() >= expected.items()


def test_shown_senders_are_the_ones_that_were_checked() -> None:
    """docs/drains.md says of each sender how it was checked, and names files that exist."""
    page = PAGES["docs/drains.md"]
    names = "curl|syslog-ng|rsyslog|Node.js|Python|OpenTelemetry|Heroku|Vector|Fluent Bit"
    senders: Sequence[str] = re.findall(f"^## ({names})$", page, re.M)
    assert len(senders) == page.count("*Checked:*") == 9
    for pattern in re.findall(r"`(tests/fixtures/\S+)`", page):
        assert [*ROOT.glob(pattern)], pattern
