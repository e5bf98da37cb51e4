"""`around=` and `until=` over HTTP, in every format."""

from __future__ import annotations

import json

import attrs
import pytest
from tests.support.service import RunningService, open_service

from natstream.entries.entry import LogEntry

ENTRY = LogEntry("m1", "", "stdout", app_name="web", level="info")


def publish(service: RunningService, count: int) -> list[str]:
    """Publish numbered lines of two machines in turns, and return their ids."""
    hub = service.service.core.hub
    hub.publish_nowait(
        [attrs.evolve(ENTRY, message=f"n{n}.", machine_id=f"m{n % 2}") for n in range(count)]
    )
    return [f"{hub.backlog.arrival(n)}-{hub.epoch}-{n}" for n in range(1, count + 1)]


def messages(text: str, format: str) -> list[str]:
    """Return the messages of the lines in an answer."""
    if format == "text":
        return [row.rpartition(" ")[2] for row in text.splitlines() if not row.startswith("#")]
    rows = [row.removeprefix("data: ") for row in text.splitlines()]
    events = [json.loads(row) for row in rows if row.startswith("{")]
    return [event["message"] for event in events if "app" in event]


@pytest.mark.parametrize("format", ["sse", "ndjson", "text"])
async def test_every_format_has_the_lines_around_a_line_and_ends(format: str) -> None:
    """The response has the lines of the machine around the line, in order, and ends by itself."""
    async with open_service() as service:
        ids = publish(service, 400)
        query = f"around={ids[200]}&machine=m0&format={format}"
        answer = await service.get(f"/api/logs?{query}&before=3&after=2")
        assert answer.status_code == 200
        assert messages(answer.text, format) == [f"n{n}." for n in range(194, 206, 2)]
        other = await service.get(f"/api/logs?{query.replace('m0', 'm1')}&before=1&after=1")
        assert messages(other.text, format) == ["n199.", "n200.", "n201."]
        alone = await service.get(f"/api/logs?{query}&before=0&after=0&q=nothing")
        assert messages(alone.text, format) == ["n200."]
        most = await service.get(f"/api/logs?{query}&before=1000&after=1000")
        assert len(messages(most.text, format)) == 200


@pytest.mark.parametrize("format", ["sse", "ndjson", "text"])
async def test_every_format_ends_at_until(format: str) -> None:
    """With `until` before now, the response has the lines until then, and ends by itself."""
    async with open_service() as service:
        ids = publish(service, 3)
        end = int(ids[0].partition("-")[0])
        for until, count in ((end, 0), (end + 1, 3)):
            answer = await service.get(f"/api/logs?until={until}&format={format}")
            assert len(messages(answer.text, format)) == count


@pytest.mark.parametrize(
    ("query", "parameter"),
    [
        *[("around=", "around"), ("around=%20", "around"), ("around=1-a-1&around=1-a-1", "around")],
        *[("around=1-a-1&before=-1", "before"), ("around=1-a-1&after=1001", "after")],
        *[("around=1-a-1&before=%D9%A3", "before"), ("before=5", "before"), ("after=5", "after")],
        *[("around=1-a-1&tail=1", "tail"), ("around=1-a-1&since=1m", "since")],
        *[("around=1-a-1&until=1m", "until"), ("around=1-a-1&last_event_id=x", "last_event_id")],
        *[("around=1-a-1&follow=true", "follow"), ("until=never", "until")],
        ("since=1m&until=2m", "until"),
    ],
)
async def test_wrong_values_are_refused_by_name(query: str, parameter: str) -> None:
    """A wrong value, and parameters that exclude each other, give a 400 with the parameter."""
    async with open_service() as service:
        answer = await service.get(f"/api/logs?{query}")
        assert (answer.status_code, answer.json()["parameter"]) == (400, parameter)


async def test_an_event_source_stops_after_the_lines_around_a_line() -> None:
    """The reconnect of an EventSource, with the last id, is refused, so that it asks no more."""
    async with open_service() as service:
        ids = publish(service, 3)
        answer = await service.get(f"/api/logs?around={ids[1]}", headers={"Last-Event-ID": ids[2]})
        assert (answer.status_code, answer.json()["parameter"]) == (400, "last_event_id")


@pytest.mark.parametrize("id", ["x", "1-other-1", "{epoch}-0", "{epoch}-99", "\u0000", "9" * 300])
async def test_an_unknown_line_is_not_found(id: str) -> None:
    """An id that names no line of the service gives a 404 in JSON, with GET and with HEAD."""
    async with open_service() as service:
        publish(service, 3)
        around = id.format(epoch=f"1-{service.service.core.hub.epoch}")
        answer = await service.get("/api/logs", params={"around": around})
        assert (answer.status_code, list(answer.json())) == (404, ["error"])
        head = await service.client.head(f"{service.url}/api/logs", params={"around": around})
        assert head.status_code == 404
