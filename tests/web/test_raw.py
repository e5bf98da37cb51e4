"""`GET /api/raw`: the payload of one line as the service received it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.support.closed import bearer, closed_service, grant_text
from tests.support.journal_server import JournalServer
from tests.support.service import open_service

from natstream.entries.fly import parse_nats

PAYLOAD = {
    "event": {"provider": "proxy"},
    "host": "0ad1",
    "log": {"level": "error"},
    "message": "[PC01] refused",
    "error": {"code": 2000, "message": "refused"},
    "n": 12345678901234567890,
}


def publish(service: Any, *payloads: bytes) -> list[str]:
    """Publish lines, and return their event ids."""
    hub = service.service.core.hub
    hub.publish_nowait([parse_nats("logs.web.iad.m1", payload) for payload in payloads])
    end = hub.backlog.end.entry
    numbers = range(end - len(payloads), end)
    return [f"{hub.backlog.arrival(number)}-{hub.epoch}-{number}" for number in numbers]


async def test_a_line_is_given_as_it_was_sent() -> None:
    """The payload of a line is returned whole, or as {} if it is not a JSON object."""
    async with open_service() as service:
        sent, text = publish(service, json.dumps(PAYLOAD).encode(), b"not json")
        assert (await service.get(f"/api/raw?id={sent}")).json() == PAYLOAD
        assert (await service.get(f"/api/raw?id={text}")).json() == {}


@pytest.mark.parametrize("id", ["", "x", "1-other-1", "{ms}-{epoch}-0", "{ms}-{epoch}-99"])
async def test_an_unknown_id_is_not_found(id: str) -> None:
    """An id of another process, before the first line or after the last one gets a 404."""
    async with open_service() as service:
        (known,) = publish(service, b"{}")
        ms, epoch, _ = known.split("-")
        response = await service.get(f"/api/raw?id={id.format(ms=ms, epoch=epoch)}")
        assert response.status_code == 404
        assert list(response.json()) == ["error"]


async def test_an_evicted_line_is_not_found() -> None:
    """A line that newer lines have evicted from the backlog gets a 404."""
    async with open_service(NATSTREAM_BACKLOG_LINES="2") as service:
        first, *rest = publish(service, b"{}") + publish(service, b"{}") + publish(service, b"{}")
        assert (await service.get(f"/api/raw?id={first}")).status_code == 404
        for known in rest:
            assert (await service.get(f"/api/raw?id={known}")).status_code == 200


async def test_a_scoped_link_gets_no_payload() -> None:
    """The holder of a scoped link gets no payloads, because a payload may contain anything."""
    async with closed_service() as service:
        (known,) = publish(service, b"{}")
        scoped = bearer(grant_text(("app", "web")))
        assert (await service.get(f"/api/raw?id={known}", headers=scoped)).status_code == 403
        assert (await service.get(f"/api/raw?id={known}", headers=bearer())).status_code == 200


async def test_a_stored_line_is_found_by_every_process(
    nats_server: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every process finds a line in the journal, and answers 503 while the journal is away."""
    monkeypatch.setattr("natstream.journal.archive.DEADLINE", 0.1)
    async with (
        JournalServer.run() as journal,
        open_service(nats_server, **journal.environ, NATSTREAM_BACKLOG_LINES="2") as one,
        open_service(**journal.environ, NATSTREAM_BACKLOG_LINES="2") as other,
    ):
        for service in (one, other):
            await service.state("journal", "up")
        async with other.stream() as stream:
            payloads = [json.dumps(PAYLOAD | {"n": number}).encode() for number in range(5)]
            await nats_server.publish("logs.web.iad.m1", payloads)
            first, *_ = await stream.lines(5)
        for service in (one, other):
            response = await service.get(f"/api/raw?id={first.id}")
            assert response.json() == PAYLOAD | {"n": 0}
        await journal.kill()
        await one.state("journal", "lost")
        response = await one.get(f"/api/raw?id={first.id}")
        assert (response.status_code, response.json()["error"]) == (503, "The journal is away")
        assert int(response.headers["Retry-After"]) > 0
