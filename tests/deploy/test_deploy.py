"""The deployment: the image, as far as it can run without a container, and fly.toml.

These tests need no container runtime. The instructions of the Dockerfile are in exec form, so the
tests execute them one by one, with directories of the test instead of the container's.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tomllib
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import attrs
import httpx
import pytest
import trio
from tests.support.deployment import Instruction, instructions, seconds
from tests.support.loopback import free_port
from tests.support.waiting import PATIENCE

from natstream.config.environment import read_settings
from natstream.config.process import SPARE_CONNECTIONS
from natstream.config.settings import Bind, Settings
from natstream.server.clients import MOST_RESERVED

ROOT = Path(__file__).parents[2]
FLY = tomllib.loads((ROOT / "fly.toml").read_text())
FLY_NATS = tomllib.loads((ROOT / "deploy/nats-cluster/fly.toml").read_text())
SECRETS = {"FLY_ORG": "acme", "ACCESS_TOKEN": "fly-token", "FLY_APP_NAME": "natstream-of-acme"}

# https://fly.io/docs/reference/configuration/, and flyctl's internal/appconfig of August 2026.
DOCUMENTED = {
    "": "app primary_region kill_signal kill_timeout swap_size_mb console_command build deploy env "
    "processes mounts http_service services checks files restart vm statics metrics",
    "build": "builder args buildpacks image settings builtin dockerfile ignorefile build-target",
    "deploy": "strategy max_unavailable wait_timeout release_command release_command_timeout "
    "release_command_vm seed_command",
    "http_service": "internal_port force_https auto_stop_machines auto_start_machines "
    "min_machines_running processes concurrency tls_options http_options checks machine_checks",
    "http_service.concurrency": "type soft_limit hard_limit",
    "http_service.checks": "interval timeout grace_period method path protocol headers "
    "tls_skip_verify tls_server_name",
    "metrics": "port path processes https",
    "mounts": "source destination initial_size snapshot_retention scheduled_snapshots "
    "auto_extend_size_threshold auto_extend_size_increment auto_extend_size_limit processes",
    "checks": "jetstream",  # names that the operator chooses
    "checks.jetstream": "port type interval timeout grace_period method path protocol headers "
    "tls_skip_verify tls_server_name processes",
    "restart": "policy retries processes",
    "vm": "size memory cpu_kind cpus memory_mb gpus gpu_kind kernel_args host_dedication_id "
    "processes",
}


DOCKERFILE = instructions((ROOT / FLY["build"]["dockerfile"]).read_text())


def said(keyword: str) -> list[Instruction]:
    return [instruction for instruction in DOCKERFILE if instruction.keyword == keyword]


@attrs.frozen
class Image:
    """The result of `docker build`."""

    root: Path
    environ: Mapping[str, str]
    command: Sequence[str]
    health_check: Sequence[str]


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Image:
    """Execute the Dockerfile with directories of the test and with the Python of the test."""
    root = tmp_path_factory.mktemp("image")
    base = root / "base"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", base], check=True)
    programs = {
        "python": [f"{base}/bin/python"],
        # This pip works for another Python too, and installing one there takes ten seconds.
        "pip": [sys.executable, "-m", "pip", "--python", str(base)],
    }
    work = root

    def here(word: str) -> str:
        return re.sub(r"^/app(?=/|$)", str(root / "app"), word)

    environ: dict[str, str] = {}
    for instruction in DOCKERFILE:
        match instruction.keyword:
            case "WORKDIR":
                work = root / instruction.text.lstrip("/")
            case "COPY" if "--from" not in instruction.text:
                *sources, target = instruction.words
                for source in sources:
                    copy(ROOT / source, work / target, len(sources) > 1 or target.endswith("/"))
            case "RUN":
                program, *words = [here(word) for word in instruction.words]
                run([*programs[program], *words], work)
            case "ENV":
                pairs = dict(word.split("=", 1) for word in instruction.words)
                environ |= {name: here(value) for name, value in pairs.items()}
    return Image(
        root,
        {**environ, "PATH": environ["PATH"].removesuffix(":$PATH")},
        said("CMD")[-1].words,
        json.loads(said("HEALTHCHECK")[-1].text.partition("CMD ")[2]),
    )


def copy(source: Path, target: Path, into: bool) -> None:
    """Copy as `COPY` does: files into a directory, or the contents of a directory."""
    if source.is_dir():
        shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
        return
    target = target / source.name if into else target
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(source, target)


def run(words: Sequence[str], work: Path) -> None:
    work.mkdir(exist_ok=True)
    environ = os.environ | {"PIP_NO_COMPILE": "1"}  # since few modules are imported
    done = subprocess.run(words, cwd=work, env=environ, capture_output=True, text=True)
    if done.returncode and re.search("connection|resolution|timed out", done.stderr, re.IGNORECASE):
        pytest.skip("no package index can be reached from here")
    assert done.returncode == 0, done.stderr


@attrs.frozen
class Deployed:
    """A running process of the image."""

    process: trio.Process
    url: str
    metrics_url: str


@contextlib.asynccontextmanager
async def deployed(image: Image, nats_server: Any) -> AsyncIterator[Deployed]:
    """Run the image's command with the environment of fly.toml, except for addresses."""
    metrics = Bind("127.0.0.1", free_port())
    environ = {
        **image.environ,
        **FLY["env"],
        **SECRETS,
        "NATSTREAM_NATS_URL": nats_server.url,
        "NATSTREAM_BIND": "127.0.0.1:0",
        "NATSTREAM_DRAIN_BIND": "127.0.0.1:0",
        "NATSTREAM_METRICS_BIND": str(metrics),
    }
    process = await trio.lowlevel.open_process(
        image.command, env=environ, cwd=image.root, stderr=subprocess.PIPE
    )
    assert process.stderr is not None
    try:
        errors = ""
        with trio.fail_after(PATIENCE):
            while not (found := re.search(r"natstream listens on (\S+)\n", errors)):
                chunk = await process.stderr.receive_some()
                assert chunk, errors
                errors += chunk.decode()
        yield Deployed(process, f"http://{found[1]}", f"http://{metrics}")
    finally:
        process.kill()
        await process.wait()
        await process.stderr.aclose()


async def test_the_image_serves_as_fly_starts_it(image: Image, nats_server: Any) -> None:
    """The image serves lines and the whole page with fly.toml's environment, and ends with 0."""
    async with (
        deployed(image, nats_server) as natstream,
        httpx.AsyncClient(timeout=PATIENCE) as client,
    ):
        check = FLY["http_service"]["checks"][0]
        answer = await client.request(check["method"], f"{natstream.url}{check['path']}")
        assert answer.json() == {"status": "ok"}
        with trio.fail_after(PATIENCE):
            while (await client.get(f"{natstream.metrics_url}/readyz")).status_code != 200:
                await trio.sleep(0.05)

        static = ROOT / "src/natstream/web/static"
        for path in filter(Path.is_file, static.rglob("*")):
            answer = await client.get(f"{natstream.url}/static/{path.relative_to(static)}")
            if path.suffix != ".html":  # A page is sent with the addresses of its release.
                assert answer.content == path.read_bytes(), path
        page = await client.get(natstream.url)
        assert page.status_code == 200
        addresses = re.findall(r'(static/v-[0-9a-f]+/[^"]+)', page.text)
        assert "app.css" in " ".join(addresses)
        for address in addresses:
            answer = await client.get(f"{natstream.url}/{address}")
            assert "immutable" in answer.headers["Cache-Control"]
            assert answer.content == (static / address.split("/", 2)[2]).read_bytes()

        async with client.stream("GET", f"{natstream.url}/api/logs?format=text") as response:
            lines = response.aiter_lines()
            assert await anext(lines) == "# Connected to log stream"
            await nats_server.publish("logs.any-app.iad.m1", [b'{"message": "of any app"}'])
            with trio.fail_after(PATIENCE):
                assert (await anext(lines)).endswith("any-app[m1] iad of any app")
            metrics = (await client.get(f"{natstream.metrics_url}{FLY['metrics'][0]['path']}")).text
            assert "\nnatstream_readers 1.0\n" in metrics
            assert f"\nnatstream_readers_limit {FLY['env']['NATSTREAM_MAX_READERS']}.0\n" in metrics

            natstream.process.send_signal(signal.Signals[FLY["kill_signal"]])
            with trio.fail_after(PATIENCE):
                assert await anext(lines) == "# natstream is closing"
        with trio.fail_after(seconds(FLY["kill_timeout"])):
            assert await natstream.process.wait() == 0


async def test_the_health_check_tells_life_from_death(image: Image, nats_server: Any) -> None:
    """The image's health check passes while the service runs, and fails after its end."""

    async def check(url: str) -> int:
        port = url.rpartition(":")[2]
        words = [word.replace("8080", port) for word in image.health_check]
        done = await trio.run_process(
            words, env=dict(image.environ), check=False, capture_stderr=True
        )
        return done.returncode

    async with deployed(image, nats_server) as natstream:
        assert await check(natstream.url) == 0
    assert await check(natstream.url) == 1


async def test_hypercorn_takes_its_settings_file(image: Image) -> None:
    """hypercorn serves natstream.asgi with deploy/hypercorn.toml, except for the address.

    A malformed Host header gets a 400, a name of another site a 421, and HTTP/2 in clear text gets
    a 505.
    """
    settings = ROOT / "deploy/hypercorn.toml"
    command = re.search(r"hypercorn -k trio .*", settings.read_text())
    assert command is not None
    words = [*command[0].replace("deploy/hypercorn.toml", str(settings)).split()]
    process = await trio.lowlevel.open_process(
        [*words, "-b", "127.0.0.1:0"],
        env={
            **image.environ,
            "NATSTREAM_SOURCES": "drain",
            "NATSTREAM_DRAIN_BIND": "127.0.0.1:0",
            "NATSTREAM_HEADER_TIMEOUT": "nonsense",
        },
        stderr=subprocess.PIPE,
    )
    assert process.stderr is not None
    try:
        errors = ""
        with trio.fail_after(PATIENCE):
            while not (found := re.search(r"Running on (http://\S+)", errors)):
                chunk = await process.stderr.receive_some()
                assert chunk, errors
                errors += chunk.decode()
            async with httpx.AsyncClient() as client:
                assert (await client.get(f"{found[1]}/healthz")).json() == {"status": "ok"}
                for host in ("a..b", "x" * 64, "a b", "[::1"):
                    answer = await client.get(f"{found[1]}/", headers={"Host": host})
                    assert answer.status_code == 400
                    assert "Host header" in answer.json()["error"]
                answer = await client.get(f"{found[1]}/", headers={"Host": "stranger.example"})
                assert answer.status_code == 421
            async with httpx.AsyncClient(http1=False, http2=True) as tunnel:
                assert (await tunnel.get(f"{found[1]}/healthz")).status_code == 505
            assert "NATSTREAM_TOKEN is not set" in errors
            assert "Traceback" not in errors
            assert "NATSTREAM_HEADER_TIMEOUT was removed and has no effect" in errors
            process.terminate()
            assert await process.wait() == 0
    finally:
        process.kill()
        await process.wait()
        await process.stderr.aclose()


def test_hypercorns_settings_are_hypercorns() -> None:
    """Each setting exists in hypercorn, which ignores unknown ones silently."""
    from hypercorn.config import Config

    settings = tomllib.loads((ROOT / "deploy/hypercorn.toml").read_text())
    assert [name for name in settings if not hasattr(Config(), name)] == []
    assert settings["workers"] == 1
    assert settings["bind"] == [str(Settings().bind)]
    assert settings["graceful_timeout"] == Settings().grace


def test_the_image_starts_from_a_python_that_we_support() -> None:
    """Every stage starts from the same tag of a supported Python, and never from "latest"."""
    bases = {words[0] for words in (stage.words for stage in said("FROM"))}
    (base,) = bases
    version = re.fullmatch(r"python:3\.(\d+)-slim", base)
    assert version is not None
    requires = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["requires-python"]
    least, most = re.findall(r"3\.(\d+)", requires)
    assert int(least) <= int(version[1]) < int(most)


def test_nothing_of_the_image_runs_as_root_or_behind_a_shell() -> None:
    """The user is a number, and commands are in exec form, so that signals reach the process."""
    (user,) = said("USER")
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", user.text)
    assert DOCKERFILE.index(user) < DOCKERFILE.index(said("CMD")[0])
    for instruction in [*said("RUN"), *said("CMD")]:
        assert instruction.text.startswith("["), instruction
    assert said("STOPSIGNAL")[0].text == FLY["kill_signal"] == "SIGTERM"
    assert {i.keyword for i in DOCKERFILE} <= {
        *("FROM", "WORKDIR", "ENV", "RUN", "COPY", "USER", "EXPOSE"),
        *("HEALTHCHECK", "STOPSIGNAL", "CMD"),
    }


def test_the_image_installs_only_what_is_locked() -> None:
    """The image installs packages with hashes, and the wheel that it has just built."""
    for words in (instruction.words for instruction in said("RUN") if "pip" in instruction.words):
        locked = "--require-hashes" in words
        built = "--no-deps" in words and ("--no-index" in words or "--no-build-isolation" in words)
        assert locked or built, words
    for lock in ("build", "run"):
        text = (ROOT / f"requirements/{lock}.txt").read_text()
        for requirement in re.findall(r"^\S.*?(?=^\S|\Z)", text, re.DOTALL | re.MULTILINE):
            assert "==" in requirement, requirement
            assert "--hash=sha256:" in requirement, requirement


def test_the_image_reads_what_opentelemetrys_exporters_send() -> None:
    """The image has the extra for protobuf, which most exporters send by default."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    (extra,) = project["optional-dependencies"]["otlp"]
    name = re.split("[<>=]", extra)[0]
    assert re.search(rf"^{name}==", (ROOT / "requirements/run.txt").read_text(), re.MULTILINE)


def test_the_build_context_is_what_the_image_copies() -> None:
    """.dockerignore lets the files through that the image copies, and no others."""
    copied = {
        source
        for instruction in said("COPY")
        if not instruction.text.startswith("--from")
        for source in instruction.words[:-1]
    }
    everything, *rules = [
        rule for rule in (ROOT / ".dockerignore").read_text().splitlines() if rule[:1] not in "#"
    ]
    assert everything == "*"
    assert {rule[1:] for rule in rules if rule.startswith("!")} == copied
    for source in copied:
        assert (ROOT / source).exists(), source
    ignored = [rule.removeprefix("**/") for rule in rules if not rule.startswith("!")]
    assert any(fnmatch("__pycache__", rule) for rule in ignored)


def sections(table: Mapping[str, Any], name: str = "") -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield the tables of a TOML file with their names; each table of an array by itself."""
    yield name, table
    for key, value in table.items():
        for inner in value if isinstance(value, list) else [value]:
            if isinstance(inner, dict) and key != "env":
                yield from sections(inner, f"{name}.{key}".lstrip("."))


@pytest.mark.parametrize("fly", [FLY, FLY_NATS], ids=["natstream", "nats-cluster"])
def test_fly_documents_every_key_of_fly_toml(fly: Mapping[str, Any]) -> None:
    """Each key of fly.toml is documented, since flyctl ignores unknown ones silently."""
    for name, table in sections(fly):
        assert set(table) <= set(DOCUMENTED[name].split()), name


def test_fly_toml_agrees_with_natstream() -> None:
    """Ports, limits and deadlines of fly.toml agree with those of natstream."""
    settings = read_settings({**FLY["env"], **SECRETS})
    service = FLY["http_service"]
    assert settings.bind == Bind("::", service["internal_port"])
    assert settings.metrics_bind == Bind("::", FLY["metrics"][0]["port"])
    assert seconds(FLY["kill_timeout"]) >= settings.grace + 2
    limits = service["concurrency"]
    assert limits["type"] == "connections"
    # If the proxy kept connections back, natstream could not close the oldest one of a stranger.
    most_connections = settings.max_readers + SPARE_CONNECTIONS + MOST_RESERVED
    assert limits["soft_limit"] < settings.max_readers < most_connections < limits["hard_limit"]
    assert settings.subjects == ("logs.>",)


def test_fly_toml_keeps_a_machine_and_no_secret() -> None:
    """A machine never sleeps, and fly.toml, which is public, holds no secret."""
    service = FLY["http_service"]
    assert service["auto_stop_machines"] == "off"
    assert service["min_machines_running"] == 1
    assert "app" not in FLY  # `fly launch` asks for a name
    variables = {
        field.metadata["variable"]: field.metadata["secret"] for field in attrs.fields(Settings)
    }
    assert [name for name in FLY["env"] if variables[name]] == []


def test_fly_toml_needs_no_certificate() -> None:
    """fly.toml does not redirect to https, because Flycast is plain HTTP."""
    assert FLY["http_service"]["force_https"] is False
