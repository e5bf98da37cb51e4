"""The address of a receiver is a secret: it is nowhere but in the request itself."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import httpx
import pytest
import trio
from tests.support.closed import bearer, grant_text
from tests.support.loopback import HOST
from tests.support.receiver import open_receiver, status
from tests.support.service_process import ServiceProcess
from tests.support.waiting import until

SECRET = "s3cr3t-of-the-hook"
TOKEN = "a-token-for-the-tests"
FILE = """
[watches.ours]
query = "q=panic"
cooldown = "1s"
url = "env:HOOK"

[watches.unreachable]
query = "q=panic"
slack = "env:NO_HOST"

[watches.refused]
query = "q=panic"
discord = "env:REFUSED"

[watches.quiet]
query = "q=never"
absent = "1s"
ntfy = "env:NOT_HTTP"
"""


async def test_no_address_is_shown_anywhere(tmp_path: Path) -> None:
    """Neither the log, the metrics, the page, an answer nor a message holds an address.

    Some receivers answer, others cannot be reached. The log has each library's lines, too.
    """
    path = tmp_path / "watches.toml"
    path.write_text(FILE)
    async with open_receiver(status(500), path=f"/{SECRET}") as receiver:
        address = receiver.url
        environ = {
            "NATSTREAM_WATCHES": str(path),
            "NATSTREAM_TOKEN": TOKEN,
            "HOOK": address,
            "NO_HOST": f"https://{SECRET}.invalid/{SECRET}",
            "REFUSED": f"http://user:{SECRET}@127.0.0.1:1/{SECRET}",
            "NOT_HTTP": address.replace("http://", "https://"),
        }
        async with (
            ServiceProcess.open(None, **environ) as process,
            httpx.AsyncClient(base_url=f"http://{HOST}:{process.port}") as client,
        ):
            await client.post(f"http://{HOST}:{process.drain_port}/", content="panic")
            await receiver.has(2)
            shown = []

            async def all_fail() -> bool:
                answer = await client.get("/readyz", headers=bearer())
                watches = answer.json()["watches"].values()
                return all(watch["problem"] for watch in watches)

            await until(all_fail)
            paths = ["/", "/readyz", "/metrics", "/api/watches", "/api/status", "/api/facets"]
            paths.append("/api/logs?follow=false&tail=100")
            for each in paths:
                answer = await client.get(each, headers=bearer())
                assert answer.status_code == 200
                shown.append(answer.text)
            await process.stop()
            shown.append(process.log.read_text())
    shown += [request.body.decode() for request in receiver.requests]
    said = "\n".join(shown)
    assert "it answered 500 Internal Server Error" in said
    assert "there is no such host" in said or "the lookup failed" in said or "no answer" in said
    assert "Connection refused" in said
    assert SECRET not in said
    assert f":{address.split(':')[2].split('/')[0]}" not in said


async def test_a_links_holder_sees_no_watch(tmp_path: Path) -> None:
    """The holder of a link is refused where watches are shown, even if the link shows all lines."""
    path = tmp_path / "watches.toml"
    path.write_text('[watches.zebra]\nquery = "q=zebra"\nurl = "http://127.0.0.1:9/"\n')
    environ = {"NATSTREAM_WATCHES": str(path), "NATSTREAM_TOKEN": TOKEN}
    async with (
        ServiceProcess.open(None, **environ) as process,
        httpx.AsyncClient(base_url=f"http://{HOST}:{process.port}") as client,
    ):
        link, link_to_all = bearer(grant_text(("q", "zebra"))), bearer(grant_text())
        for each, status in (("/api/watches", 403), ("/readyz", 200), ("/metrics", 200)):
            answer = await client.get(each, headers=link)
            assert (answer.status_code, "zebra" in answer.text) == (403, False)
            answer = await client.get(each, headers=link_to_all)
            assert (answer.status_code, "zebra" in answer.text) == (status, False)
            answer = await client.get(each, headers=bearer(TOKEN))
            assert "zebra" in answer.text
            assert (await client.get(each)).status_code == 401


@pytest.mark.parametrize("command", ["serve", "check"])
async def test_a_wrong_file_ends_the_command(command: str, tmp_path: Path) -> None:
    """A wrong file is one sentence on one line, and exit status 2; nothing is served."""
    path = tmp_path / "watches.toml"
    path.write_text('[watches.w]\nquery = "q=panic"\nslack = "env:HOOK"\ncuont = 3\n')
    environ = {
        "NATSTREAM_WATCHES": str(path),
        "NATSTREAM_SOURCES": "drain",
        "NATSTREAM_BIND": f"{HOST}:0",
        "NATSTREAM_DRAIN_BIND": f"{HOST}:0",
        "HOOK": SECRET,
    }
    with trio.fail_after(60):
        done = await trio.run_process(
            [sys.executable, "-m", "natstream", command],
            env=environ,
            check=False,
            capture_stdout=True,
            stderr=subprocess.STDOUT,
        )
    said = done.stdout.decode()
    assert done.returncode == 2
    assert "Traceback" not in said
    [line] = [line for line in said.splitlines() if "NATSTREAM_WATCHES" in line]
    assert f"the file {path}: the watch w: 'cuont' is not a key that it may have" in line
    assert SECRET not in said
