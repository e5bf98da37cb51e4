"""deploy/nats-cluster: three servers as Fly would start them, and natstream beside them."""

from __future__ import annotations

import itertools
import os
import re
import subprocess
import tomllib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path

import attrs
import httpx
import pytest
import trio
from tests.support.deployment import instructions, seconds
from tests.support.loopback import free_port
from tests.support.service import open_service
from tests.support.waiting import PATIENCE

from natstream.config.environment import read_settings
from natstream.demo.nats_server import find_nats_server

ROOT = Path(__file__).parents[2]
CLUSTER = ROOT / "deploy/nats-cluster"
FLY = tomllib.loads((CLUSTER / "fly.toml").read_text())
DOCKERFILE = instructions((CLUSTER / FLY["build"]["dockerfile"]).read_text())
CONFIGURATION = (CLUSTER / "nats.conf").read_text()
# Names of Fly's machines and passwords may consist of digits alone.
MACHINE = "1480594371036"
PASSWORD, CLUSTER_PASSWORD = "0123456789", "9876543210"
# A lost leader is replaced within seconds, but on a busy machine it takes longer.
LONG = 3 * PATIENCE


def environ(number: int) -> dict[str, str]:
    """Return the environment of a machine: from Fly, from fly.toml and from its secrets."""
    return {
        "PATH": f"{Path(find_nats_server()).parent}{os.pathsep}{os.defpath}",
        "FLY_APP_NAME": "my-nats",
        "FLY_MACHINE_ID": f"{MACHINE}{number}",
        "NATS_PASSWORD": PASSWORD,
        "NATS_CLUSTER_PASSWORD": CLUSTER_PASSWORD,
        **FLY["env"],
    }


def checked(**changed: str) -> subprocess.CompletedProcess[str]:
    """Let the server check nats.conf, by way of start.sh."""
    return subprocess.run(
        ["sh", "start.sh", "-t"],
        cwd=CLUSTER,
        env={**environ(0), **changed},
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_server_accepts_its_configuration() -> None:
    """The server accepts nats.conf with the variables of a machine, also if they are digits."""
    assert "nats.conf is valid" in checked().stderr
    assert "nats.conf is valid" in checked(NATS_PASSWORD="1m", FLY_MACHINE_ID="148e05").stderr


@pytest.mark.parametrize("secret", ["NATS_PASSWORD", "NATS_CLUSTER_PASSWORD"])
def test_without_a_password_it_does_not_start(secret: str) -> None:
    """The server does not start with an empty password, which would admit every client."""
    done = checked(**{secret: ""})
    assert done.returncode != 0
    assert f"{secret}: is not set" in done.stderr


def test_what_is_named_is_there() -> None:
    """The volume, the check's port and the image's files are those that nats.conf names."""
    assert f"store_dir: {FLY['mounts']['destination']}\n" in CONFIGURATION
    check = FLY["checks"]["jetstream"]
    assert f'http: "[::]:{check["port"]}"' in CONFIGURATION
    limit = re.search(r"max_file_store: (\d+)GB", CONFIGURATION)
    assert limit is not None
    assert int(limit[1]) < int(FLY["mounts"]["initial_size"].removesuffix("gb"))
    (copy,) = (found for found in DOCKERFILE if found.keyword == "COPY")
    *files, directory = copy.words
    assert all((CLUSTER / name).is_file() for name in files)
    (entry,) = (found for found in DOCKERFILE if found.keyword == "ENTRYPOINT")
    assert entry.words == ["sh", f"{directory}start.sh"]


def test_the_image_is_of_the_release_that_is_tested() -> None:
    """The image is of the minor version that is tested, and never "latest"."""
    version = subprocess.run([find_nats_server(), "--version"], capture_output=True, text=True)
    minor = re.search(r"v(\d+\.\d+)\.", version.stdout)
    assert minor is not None
    (base,) = (found for found in DOCKERFILE if found.keyword == "FROM")
    assert base.text == f"nats:{minor[1]}-alpine"


def test_one_machine_at_a_time_is_replaced() -> None:
    """One machine at a time is replaced, and the server may use less memory than it has."""
    assert FLY["deploy"] == {"strategy": "rolling", "max_unavailable": 1}
    assert seconds(FLY["kill_timeout"]) >= 10
    (vm,) = FLY["vm"]
    assert int(FLY["env"]["GOMEMLIMIT"].removesuffix("MiB")) < int(vm["memory"].removesuffix("mb"))
    assert "http_service" not in FLY
    assert "services" not in FLY


def journal_settings() -> dict[str, str]:
    """Return the settings with which docs/deploy.md deploys natstream."""
    page = (ROOT / "docs/deploy.md").read_text()
    blocks = [
        tomllib.loads(text) for text in re.findall(r"^```toml\n(.*?)^```$", page, re.M | re.S)
    ]
    (env,) = (b["env"] for b in blocks if "NATSTREAM_JOURNAL_URL" in b.get("env", {}))
    return dict(env)


def test_natstream_beside_it_is_set_for_it() -> None:
    """The page's settings name the cluster's port and user, and three copies that fit."""
    env = journal_settings()
    assert "NATSTREAM_JOURNAL_PASSWORD" not in env  # it is a secret
    secret = {"NATSTREAM_SOURCES": "drain", "NATSTREAM_JOURNAL_PASSWORD": PASSWORD}
    settings = read_settings({**env, **secret})
    assert settings.journal_servers == ("nats://my-nats.internal:4222",)
    assert f"user: {settings.journal_user}\n" in CONFIGURATION
    assert settings.journal_replicas == 3
    assert settings.journal_max_bytes < 8 * 2**30


@attrs.frozen
class Node:
    """A server of the cluster."""

    process: trio.Process
    url: str
    check_url: str


Start = Callable[[], Awaitable[Node]]


@asynccontextmanager
async def machines(tmp_path: Path) -> AsyncIterator[Start]:
    """Starts servers by start.sh, on loopback instead of the private network and its names."""
    first = free_port()
    numbers = itertools.count()
    async with AsyncExitStack() as stack:

        async def start() -> Node:
            number = next(numbers)
            ports = {4222: free_port(), 6222: free_port() if number else first, 8222: free_port()}
            directory = tmp_path / str(number)
            directory.mkdir()
            settings = CONFIGURATION.replace("/data", str(directory / "data"))
            for port, free in ports.items():
                settings = settings.replace(f"[::]:{port}", f"127.0.0.1:{free}")
            (directory / "nats.conf").write_text(settings)
            script = (CLUSTER / "start.sh").read_text()
            # Each server finds the first one, as Fly's DNS would name one of the others.
            script = script.replace("$FLY_APP_NAME.internal:6222", f"127.0.0.1:{first}")
            (directory / "start.sh").write_text(script)
            process = await trio.lowlevel.open_process(
                ["sh", directory / "start.sh"], env=environ(number), stderr=subprocess.DEVNULL
            )
            stack.push_async_callback(process.wait)
            stack.callback(process.kill)
            check = f"http://127.0.0.1:{ports[8222]}{FLY['checks']['jetstream']['path']}"
            return Node(process, f"nats://127.0.0.1:{ports[4222]}", check)

        yield start


async def check(node: Node) -> int:
    """Return the status of a server's check; wait until it answers."""
    async with httpx.AsyncClient(timeout=PATIENCE) as client:
        with trio.fail_after(LONG):
            while True:
                with suppress(httpx.ConnectError):
                    return (await client.get(node.check_url)).status_code
                await trio.sleep(0.05)


async def passes(node: Node) -> None:
    """Wait until a server's check passes."""
    with trio.fail_after(LONG):
        while await check(node) != 200:
            await trio.sleep(0.05)


async def test_the_first_one_waits_for_another(tmp_path: Path) -> None:
    """A server alone runs but does not pass its check, so `--detach` is needed."""
    async with machines(tmp_path) as start:
        first = await start()
        assert await check(first) in (500, 503)  # without JetStream yet, and without a leader
        second = await start()
        await passes(first)
        await passes(second)


async def test_three_of_them_are_a_journal_without_any_one(tmp_path: Path) -> None:
    """With the page's settings, three servers store a line, and two of them another."""
    async with machines(tmp_path) as start:
        nodes = [await start() for _ in range(3)]
        for node in nodes:
            await passes(node)
        drain = f"127.0.0.1:{free_port()}"
        env = {
            **journal_settings(),
            "NATSTREAM_JOURNAL_URL": ",".join(node.url for node in nodes),
            "NATSTREAM_JOURNAL_PASSWORD": PASSWORD,
            "NATSTREAM_DRAIN_BIND": drain,
        }
        async with open_service(**env) as service, service.stream() as logs:
            await service.state("journal", "up")
            await service.state("drain", "up")
            await send(service.client, drain, "three are there")
            nodes[0].process.kill()
            await send(service.client, drain, "two are left")
            # Until the other two have a leader, the line may not be stored yet.
            sent = ["three are there", "two are left"]
            assert [line.message for line in await logs.lines(2)] == sent
            await service.state("journal", "up")
            async with service.stream("?tail=2&follow=false") as stored:
                lines = await stored.lines(2)
            assert [line.message for line in lines] == sent
            assert all(line.data["persistent"] for line in lines)


async def send(client: httpx.AsyncClient, drain: str, message: str) -> None:
    """Send a line again until it is stored, as a sender does that gets a 503."""
    headers = {"Idempotency-Key": message}
    with trio.fail_after(LONG):
        while (await client.post(f"http://{drain}/", content=message, headers=headers)).is_error:
            await trio.sleep(0.2)
