"""Requests as clients and proxies send them: odd names, odd bytes, and the answers' headers."""

from __future__ import annotations

import pytest
from tests.support.closed import bearer, closed_service
from tests.support.payloads import sent
from tests.support.service import open_service

ENDPOINTS = ["/api/logs", "/api/facets", "/api/fields", "/api/raw"]


@pytest.mark.parametrize("path", ENDPOINTS)
async def test_every_endpoint_reads_its_parameters_alike(path: str) -> None:
    """Each endpoint passes over parameters against caches, and refuses bytes that are not UTF-8."""
    more = "&follow=false" if path == "/api/logs" else ""
    found = 404 if path == "/api/raw" else 200
    async with closed_service() as service:
        answer = await service.get(f"{path}?_=17&_t=18{more}", headers=bearer())
        assert answer.status_code == found
        for name in ("q", "id", "_"):
            answer = await service.get(f"{path}?{name}=caf%E9{more}", headers=bearer())
            assert answer.status_code == 400, name
            assert answer.json()["parameter"] == name
            assert "UTF-8" in answer.json()["error"]


@pytest.mark.parametrize("name", ["last_event_id", "lastEventId", "Last-Event-ID"])
async def test_a_reader_resumes_by_the_name_that_its_library_uses(name: str) -> None:
    """A stream resumes after the id of the query, and after the header's if both are given."""
    async with open_service() as service:
        service.service.core.hub.publish_nowait([sent(message=str(n)) for n in range(5)])
        async with service.stream("?tail=5") as stream:
            ids = [event.id for event in await stream.lines(5)]
        query = f"?follow=false&{name}={ids[0]}&{name}={ids[2]}"
        async with service.stream(query) as stream:
            assert [event.message for event in await stream.lines(2)] == ["3", "4"]
        async with service.stream(query, {"Last-Event-ID": ids[1]}) as stream:
            assert [event.message for event in await stream.lines(3)] == ["2", "3", "4"]
