"""Fly's logs interface: pages, cursors, and lines that come once."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.support.fly_api import Answer, FlyLine, FlyStandIn

from natstream.entries.entry import LogEntry
from natstream.fly_api.client import FlyApiError, open_fly_client
from natstream.fly_api.logs import LogReader, parse_page

START = 1_790_000_000 * 10**9


def item(**attributes: Any) -> dict[str, Any]:
    """Return one line as the interface has it."""
    return {"id": "a", "attributes": attributes}


def test_a_line_is_parsed_as_fly_publishes_it() -> None:
    """An entry has the names, time, level and provider that the interface gives."""
    meta = {"event": {"provider": "proxy"}, "error": {"code": 2}, "region": "ams"}
    page = parse_page(
        "web",
        {
            "data": [
                item(
                    message="hello",
                    timestamp="2026-11-28T20:00:00.123456789Z",
                    level="error",
                    instance="148ed",
                    region="ams",
                    meta=meta,
                )
            ],
            "meta": {"next_token": "1790000000123456789"},
        },
    )
    ((_, entry),) = page.lines
    assert page.cursor == 1790000000123456789
    assert (entry.app_name, entry.region, entry.machine_id) == ("web", "ams", "148ed")
    assert (entry.message, entry.level, entry.provider) == ("hello", "error", "proxy")
    assert (entry.stream, entry.source) == ("system", "fly")
    assert entry.unix_ns % 10**9 == 123456789
    assert entry.raw["error"] == {"code": 2}


@pytest.mark.parametrize(
    ("token", "cursor"),
    [
        (1790000000123456789, 1790000000123456789),
        ("1790000000123456789", 1790000000123456789),
        ("", None),
        (None, None),
        (True, None),
        ("abc", None),
        (1.5, None),
        ("9" * 30, None),
    ],
)
def test_a_cursor_is_a_number_or_its_digits(token: Any, cursor: int | None) -> None:
    """Any other cursor counts as none."""
    assert parse_page("web", {"data": [], "meta": {"next_token": token}}).cursor == cursor


@pytest.mark.parametrize("answer", [None, [], {}, {"data": {}}, {"data": None}, 7, "x"])
def test_an_answer_without_lines_is_unreadable(answer: Any) -> None:
    """JSON of another shape is an error, as HTML is."""
    with pytest.raises(FlyApiError, match="without lines"):
        parse_page("web", answer)


@pytest.mark.parametrize("odd", [None, 7, "x", {}, {"attributes": 1}])
def test_an_item_of_another_shape_is_passed_over(odd: Any) -> None:
    """One odd item does not cost the lines beside it."""
    page = parse_page("web", {"data": [odd, item(message="kept")], "meta": None})
    assert [entry.message for _, entry in page.lines] == ["kept"]


async def read(stand_in: FlyStandIn, reader: LogReader) -> list[LogEntry]:
    """Return all lines until the reader's end."""
    entries: list[LogEntry] = []
    while not reader.is_at_end:
        entries += await reader.next_page()
    return entries


@pytest.mark.parametrize("as_text", [True, False])
async def test_all_pages_give_each_line_once(as_text: bool) -> None:
    """The lines at the border of two pages, which come twice, are read once and in order."""
    async with FlyStandIn.run() as fly, open_fly_client("token") as client:
        fly.cursor_is_text = as_text
        fly.add("web", [FlyLine(START + n * 10**6, f"line {n}") for n in range(250)])
        entries = await read(fly, LogReader(client, fly.url, "web", since_ns=START))
    assert [entry.message for entry in entries] == [f"line {n}" for n in range(250)]


async def test_a_reader_goes_on_after_its_end() -> None:
    """Lines that come after the end was reached are in the next page, without the ones before."""
    async with FlyStandIn.run() as fly, open_fly_client("token") as client:
        fly.add("web", [FlyLine(START, "a"), FlyLine(START + 1, "b")])
        reader = LogReader(client, fly.url, "web", since_ns=START)
        first = await read(fly, reader)
        fly.add("web", [FlyLine(START + 2, "c")])
        later = await reader.next_page()
    assert [entry.message for entry in [*first, *later]] == ["a", "b", "c"]


async def test_without_a_time_the_newest_page_comes_first() -> None:
    """A reader without a time gets the last hundred lines."""
    async with FlyStandIn.run() as fly, open_fly_client("token") as client:
        fly.add("web", [FlyLine(START + n, f"{n}") for n in range(150)])
        newest = await LogReader(client, fly.url, "web").next_page()
    assert [entry.message for entry in newest] == [str(n) for n in range(50, 150)]


@pytest.mark.parametrize("token", [str(START), str(START - 5), "", "never"])
async def test_a_cursor_that_does_not_move_ends_the_reading(token: str) -> None:
    """A page whose cursor stands still, or goes back, is the last one for now."""
    async with FlyStandIn.run() as fly, open_fly_client("token") as client:
        page = {
            "data": [item(message="a", timestamp=FlyLine(START, "a").timestamp)],
            "meta": {"next_token": token},
        }
        fly.answer = lambda asked: Answer(body=json.dumps(page).encode())
        entries = await read(fly, LogReader(client, fly.url, "web", since_ns=START))
    assert [entry.message for entry in entries] == ["a"]
    assert len(fly.asked) <= 2


async def test_a_line_that_comes_late_is_found_by_going_back() -> None:
    """A line from before the cursor is read, and the lines around it do not come again."""
    async with FlyStandIn.run() as fly, open_fly_client("token") as client:
        fly.add("web", [FlyLine(START + n * 10**9, f"{n}") for n in range(5)])
        reader = LogReader(client, fly.url, "web", since_ns=START)
        await read(fly, reader)
        fly.add("web", [FlyLine(START + 2 * 10**9 + 1, "late", instance="slow")])
        assert await reader.next_page() == []
        reader.go_back(10)
        late = await reader.next_page()
    assert [entry.message for entry in late] == ["late"]
