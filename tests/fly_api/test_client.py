"""Requests to Fly's interfaces: the pace, the retries, the limits, and the token's secrecy."""

from __future__ import annotations

import gzip
import random

import pytest
import trio
from tests.support.fly_api import Answer, FlyStandIn

from natstream.fly_api import client
from natstream.fly_api.client import FlyApiError, open_fly_client

TOKEN = "fm2_c2VjcmV0"


@pytest.fixture(autouse=True)
def fast(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let retries wait for a hundredth of their time."""
    monkeypatch.setattr(client, "FIRST_DELAY", 0.01)


async def test_an_answer_is_its_json(fly: FlyStandIn) -> None:
    """A request shows the token as Fly wants it, and returns the decoded answer."""
    async with open_fly_client(TOKEN) as api:
        page = await api.get(f"{fly.url}/api/v1/apps/web/logs", {"next_token": "1"})
    assert page["data"] == []
    (asked,) = fly.asked
    assert asked.headers["authorization"] == f"FlyV1 {TOKEN}"
    assert asked.query == {"next_token": "1"}


async def test_no_more_than_seven_requests_are_made_in_a_second(fly: FlyStandIn) -> None:
    """Requests that are made at once go out one after the other, 150 ms apart, in their order."""
    async with open_fly_client(TOKEN) as api, trio.open_nursery() as nursery:
        for number in range(9):
            nursery.start_soon(
                api.get, f"{fly.url}/api/v1/apps/web/logs", {"next_token": f"{number}"}
            )
            await trio.testing.wait_all_tasks_blocked(0.001)
    times = [asked.time for asked in fly.asked]
    assert [asked.query["next_token"] for asked in fly.asked] == [str(n) for n in range(9)]
    assert times[-1] - times[0] > 8 * client.INTERVAL - 0.05


@pytest.mark.parametrize(
    "fault",
    [
        Answer(401),
        Answer(429),
        Answer(500, b"<html>"),
        Answer(200, b"<html>busy</html>"),
        Answer(200, b'{"data":[', {"Content-Length": "500"}),
        Answer(200, b'{"data":['),
    ],
)
async def test_a_failure_that_passes_is_tried_again(fly: FlyStandIn, fault: Answer) -> None:
    """After a refusal, a server's error, HTML or a cut answer, the next attempt may succeed."""
    fly.faults.extend([fault, fault])
    async with open_fly_client(TOKEN) as api:
        assert (await api.get(f"{fly.url}/api/v1/apps/web/logs"))["data"] == []
    assert len(fly.asked) == 3


@pytest.mark.parametrize(
    ("fault", "reason", "words"),
    [
        (Answer(401), "denied", "refuses ACCESS_TOKEN"),
        (Answer(403), "denied", "refuses ACCESS_TOKEN"),
        (Answer(429), "limited", "too many requests"),
        (Answer(503), "unreachable", "fails (503)"),
        (Answer(200, b"<html>"), "unreadable", "not JSON"),
        (Answer(404), "missing", "no such app"),
        (Answer(302, b"", {"Location": "http://127.0.0.1:1/"}), "unreadable", "302"),
        (Answer(200, b"x" * (client.MAX_BYTES + 1)), "unreadable", "more than 8 MiB"),
        (
            Answer(200, gzip.compress(b"{}"), {"Content-Encoding": "gzip"}),
            "unreadable",
            "compressed",
        ),
    ],
)
async def test_a_failure_that_stays_is_one_error(
    fly: FlyStandIn, fault: Answer, reason: str, words: str
) -> None:
    """Each kind of failure has its word, and its sentence holds no token."""
    fly.answer = lambda asked: fault
    async with open_fly_client(TOKEN) as api:
        with pytest.raises(FlyApiError, match=words.replace("(", r"\(").replace(")", r"\)")) as e:
            await api.get(f"{fly.url}/api/v1/apps/web/logs")
    assert e.value.reason == reason
    assert TOKEN not in repr(e.value)
    assert len(fly.asked) <= client.ATTEMPTS


async def test_a_redirect_is_not_followed(fly: FlyStandIn) -> None:
    """The token is never shown to the host that a redirect names."""
    async with FlyStandIn.run() as other:
        fly.answer = lambda asked: Answer(307, b"", {"Location": f"{other.url}/v1/apps"})
        async with open_fly_client(TOKEN) as api:
            with pytest.raises(FlyApiError):
                await api.get(f"{fly.url}/v1/apps")
        assert other.asked == []


async def test_an_environments_proxy_sees_no_token(
    fly: FlyStandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A proxy that the environment names is not used."""
    async with FlyStandIn.run() as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        monkeypatch.setenv("ALL_PROXY", proxy.url)
        async with open_fly_client(TOKEN) as api:
            await api.get(f"{fly.url}/v1/apps")
        assert proxy.asked == []


async def test_retry_after_holds_up_all_requests(
    fly: FlyStandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a 429, every request waits for as long as the server asks."""
    monkeypatch.setattr(random, "uniform", lambda low, high: high)
    fly.faults.append(Answer(429, b"", {"Retry-After": "1"}))
    async with open_fly_client(TOKEN) as api, trio.open_nursery() as nursery:
        nursery.start_soon(api.get, f"{fly.url}/v1/apps")
        await trio.sleep(0.1)
        nursery.start_soon(api.get, f"{fly.url}/v1/apps")
    first, *later = [asked.time for asked in fly.asked]
    assert all(time - first > 0.9 for time in later)


async def test_a_server_that_says_nothing_is_left(
    fly: FlyStandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each attempt has a deadline, so a silent interface becomes an error."""
    monkeypatch.setattr(client, "DEADLINE", 0.05)
    fly.answer = lambda asked: Answer(hang=True)
    async with open_fly_client(TOKEN) as api:
        with pytest.raises(FlyApiError, match="did not answer"):
            await api.get(f"{fly.url}/v1/apps")


async def test_a_closed_port_is_unreachable() -> None:
    """An address where nothing listens is told with the system's words."""
    async with open_fly_client(TOKEN) as api:
        with pytest.raises(FlyApiError, match="refused"):
            await api.get("http://127.0.0.1:1/v1/apps")


async def test_a_token_that_cannot_be_sent_opens_no_client() -> None:
    """A token with a line break is refused before any request, and is not quoted."""
    with pytest.raises(FlyApiError) as refused:
        async with open_fly_client("fm2_abc\nfm2_def"):
            pass  # pragma: no cover
    assert "fm2" not in str(refused.value)
