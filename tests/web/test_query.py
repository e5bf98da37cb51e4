"""The parameters of `/api/logs`, and the errors for wrong ones."""

from __future__ import annotations

import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from werkzeug.datastructures import MIMEAccept
from werkzeug.http import parse_accept_header

from natstream.entries.filters import EVERYTHING, Filter
from natstream.errors import BadQuery
from natstream.formats.events import FORMATS, NDJSON, SSE, TEXT
from natstream.web.query import (
    StreamRequest,
    parse_duration,
    parse_stream_request,
    read_query,
)


def ask(*pairs: tuple[str, str], **headers: Any) -> StreamRequest:
    """Return the request that a query describes."""
    return parse_stream_request(pairs, **headers)


def refusal(*pairs: tuple[str, str]) -> BadQuery:
    """Return the error that a query raises."""
    with pytest.raises(BadQuery) as caught:
        ask(*pairs)
    return caught.value


def test_without_parameters_it_is_the_live_stream_of_everything() -> None:
    """A request without parameters asks for new lines of everything as server-sent events."""
    assert ask() == StreamRequest(EVERYTHING, None, None, True, None, SSE)
    assert ask().is_live_only


def test_the_filter_is_read_from_the_same_query() -> None:
    """The filter is read from the same query, and a parameter of it may be repeated."""
    pairs = [("app", "web"), ("app", "api"), ("q", "x"), ("tail", "5"), ("min_level", "warn")]
    request = parse_stream_request(iter(pairs))
    assert request.filter == Filter.from_query(pair for pair in pairs if pair[0] != "tail")
    assert request.tail == 5


@pytest.mark.parametrize("name", ["App", "apps", "", "retry", "tail ", "\x00", "x" * 10_000])
def test_unknown_parameters_are_refused(name: str) -> None:
    """An unknown parameter gives a short error, because ignoring it would show more lines."""
    error = refusal((name, "1"))
    assert error.parameter == name[:100]
    assert "min_level" in str(error)
    assert len(str(error)) < 500
    assert str(error).isprintable()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("tail", text) for text in ("", "-1", "5.0", "all", "1e3", "٣", "1" * 10, " 5")),
        *(("since", text) for text in ("", "m", "10 m", "-10m", "10y", "yesterday", "1" * 40)),
        *(("until", text) for text in ("", "m", "-10m", "tomorrow", "1" * 40, "10m\x00")),
        *(("around", text) for text in ("", " ", "\t")),
        *(("follow", text) for text in ("", "maybe", "2")),
        *(("format", text) for text in ("", "json", "SSE", "text/plain")),
        ("app", ""),
        ("q", "/(/"),
    ],
)  # fmt: skip
def test_wrong_values_are_refused(name: str, value: str) -> None:
    """The error for a wrong value starts with the name of the parameter."""
    error = refusal((name, value))
    assert error.parameter == name
    assert str(error).startswith(name)


@pytest.mark.parametrize("name", ["before", "after"])
@pytest.mark.parametrize("value", ["", "-1", "1001", "1e2", "5.0", "all", "٣", " 5", "1" * 12])
def test_the_number_of_lines_around_a_line_is_bounded(name: str, value: str) -> None:
    """`before` and `after` take a number up to 1,000, and only together with `around`."""
    error = refusal(("around", "1-a-1"), (name, value))
    assert error.parameter == name
    assert str(error).startswith(f"{name} must be a number of lines from 0 to 1,000")
    assert refusal((name, "5")).parameter == name
    request = ask(("around", "1-a-1"), (name, "1000"))
    assert getattr(request, name) == 1_000


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *[("tail", "5"), ("since", "5m"), ("until", "5m"), ("last_event_id", "1-a-1")],
        ("follow", "true"),
    ],
)
def test_around_excludes_other_starts_and_ends(name: str, value: str) -> None:
    """`around` with another start or end is refused, and the error names the other parameter."""
    assert refusal(("around", "1-a-1"), (name, value)).parameter == name


def test_around_is_read_with_fifty_lines_on_each_side() -> None:
    """Without `before` and `after`, 50 lines are asked for on each side, of any filter."""
    request = ask(("around", "1-a-1"), ("app", "web"), ("follow", "false"))
    assert (request.around, request.before, request.after) == ("1-a-1", 50, 50)
    assert not request.is_live_only
    with pytest.raises(BadQuery) as caught:
        ask(("around", "1-a-1"), last_event_id="1-a-1")
    assert caught.value.parameter == "last_event_id"


def test_until_takes_the_same_values_as_since() -> None:
    """`until` is a duration before now or a time, and it must not lie before `since`."""
    assert ask(("until", "1000")).until == 1_000_000
    assert ask(("since", "2h"), ("until", "1h")).until is not None
    assert refusal(("since", "1h"), ("until", "2h")).parameter == "until"


@pytest.mark.parametrize(
    "name",
    [
        *["tail", "since", "follow", "format"],
        *["until", "around", "before", "after"],
    ],
)
def test_a_parameter_with_one_value_is_given_once(name: str) -> None:
    """A parameter of the stream that is repeated is refused, because the two values may differ."""
    value = {"follow": "true", "format": "sse"}.get(name, "5")
    assert refusal((name, value), (name, value)).parameter == name


NAMES = ["last_event_id", "lastEventId", "LASTEVENTID", "last-event-id", "Last-Event-ID",
         "LAST_EVENT_ID"]  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_the_id_to_resume_from_has_the_names_that_libraries_use(name: str) -> None:
    """A library may send the id to resume from under a name of its own, in any case."""
    assert ask((name, "1-a-1")).last_event_id == "1-a-1"
    assert ask((name, "1-a-1"), last_event_id="1-a-2").last_event_id == "1-a-2"
    assert ask(("last_event_id", "1-a-1"), (name, "1-a-2")).last_event_id == "1-a-2"
    assert refusal(("around", "1-a-1"), (name, "1-a-1")).parameter == "last_event_id"


@pytest.mark.parametrize(
    ("ids", "newest"),
    [
        (["5-a-1", "5-a-12", "5-a-3"], "5-a-12"),
        (["5-a-12", "5-a-3"], "5-a-12"),
        (["9-a-2", "5-a-3"], "5-a-3"),  # the clock was set back
        (["9-b-2", "10-a-1"], "10-a-1"),
        (["10-a-1", "9-b-2"], "10-a-1"),
        (["5-a-1", "what", ""], "5-a-1"),
        (["what", "5-a-1"], "5-a-1"),
        (["one", "two"], "two"),
        (["", "", " "], None),
    ],
)
def test_the_newest_of_several_ids_counts(ids: list[str], newest: str | None) -> None:
    """Of several ids, the newest counts, since a reconnect adds an id to an address with one."""
    assert ask(*zip(NAMES, ids, strict=False)).last_event_id == newest
    assert ask(last_event_id=",".join(ids)).last_event_id == newest
    assert ask(("lastEventId", "99-a-99"), last_event_id=",".join(ids)).last_event_id == (
        newest or "99-a-99"
    )


def test_a_query_is_read_without_the_parameters_against_caches() -> None:
    """The parameters that libraries add so that no cache answers are passed over."""
    pairs = [("q", "a b&c"), ("q", ""), ("é", "+"), ("", "")]
    query = b"_=17&q=a+b%26c&&q&_t=0&%C3%A9=%2B&=&%5ft=1"
    assert read_query(query) == pairs
    assert read_query(b"") == []


@pytest.mark.parametrize("value", ["%FF", "caf%E9", "%C3", "%ED%A0%80", "x%C0%AFx", "%F5%80%80%80"])
def test_bytes_that_are_not_utf_8_are_refused(value: str) -> None:
    """A name or a value that is not UTF-8 is refused, because no line would match it."""
    for query in (f"q={value}", f"tail=1&q={value}", f"_={value}"):
        with pytest.raises(BadQuery, match="not UTF-8") as caught:
            read_query(query.encode())
        assert caught.value.parameter == ("_" if query[0] == "_" else "q")
    with pytest.raises(BadQuery, match="not UTF-8"):
        read_query(f"{value}=1".encode())


def test_tail() -> None:
    """`tail` is a number of lines, which may be 0."""
    assert [ask(("tail", text)).tail for text in ("0", "1", "007", "999999999")] == [
        0, 1, 7, 999_999_999,
    ]  # fmt: skip
    assert not ask(("tail", "0")).is_live_only


@pytest.mark.parametrize(
    ("text", "ago_ms"),
    [
        ("10m", 600_000),
        ("2h", 7_200_000),
        ("90s", 90_000),
        ("1d", 86_400_000),
        ("500ms", 500),
        ("1h30m", 5_400_000),
        ("0s", 0),
    ],
)
def test_since_a_while_ago(text: str, ago_ms: int) -> None:
    """A duration in `since` is counted back from the time of this machine."""
    before = time.time_ns() // 1_000_000
    since = ask(("since", text)).since
    after = time.time_ns() // 1_000_000
    assert since is not None
    assert before <= since + ago_ms <= after
    assert parse_duration(text) == ago_ms


def test_wrong_durations() -> None:
    """A number without a unit is not a duration, and neither is other text."""
    for text in ("", "10", "m", "10m ", "1h 30m", "10M", "-1h", "1.5h", "9" * 10 + "d", "٣m"):
        assert parse_duration(text) is None


@pytest.mark.parametrize(
    "text",
    ["2022-09-27T20:34:37Z", "2022-09-27T20:34:37", "2022-09-27 20:34:37", "1664310877",
     "2022-09-27T22:34:37+02:00", "2022-09-27T22:34:37 02:00", "2022-09-27T22:34:37.000 0200",
     "2022-09-27T22:34:37 02", "2022-09-27 22:34:37 02:00", "1664310877000", "1664310877000000000"],
)  # fmt: skip
def test_since_a_time(text: str) -> None:
    """`since` may be an ISO 8601 time or epoch seconds, and its plus may have become a space."""
    assert ask(("since", text)).since == 1_664_310_877_000


def test_since_a_minute_or_a_day() -> None:
    """`since` may be a minute or a day, as a person types it."""
    assert ask(("since", "2022-09-27 20:34")).since == 1_664_310_840_000
    assert ask(("since", "2022-09-27")).since == 1_664_236_800_000


def test_follow() -> None:
    """A reader follows unless `follow` says no."""
    assert [ask(("follow", text)).follow for text in ("false", "False", "0", "no")] == [False] * 4
    assert [ask(("follow", text)).follow for text in ("true", "1", "yes")] == [True] * 3
    assert not ask(("follow", "false")).is_live_only


def test_the_header_wins_over_the_parameter() -> None:
    """The header Last-Event-ID wins over the parameter, and no id in it is an error."""
    pair = ("last_event_id", "1-a-1")
    assert ask(pair).last_event_id == "1-a-1"
    assert ask(pair, last_event_id="1-a-2").last_event_id == "1-a-2"
    assert ask(pair, last_event_id="").last_event_id == "1-a-1"
    assert ask(("last_event_id", ""), last_event_id="").last_event_id is None
    assert ask(last_event_id="not one of ours").last_event_id == "not one of ours"
    assert len(ask(last_event_id="x" * 10_000).last_event_id or "") < 1_000
    assert not ask(pair).is_live_only


@pytest.mark.parametrize("name", FORMATS)
def test_the_format_parameter_wins_over_the_header(name: str) -> None:
    """The `format` parameter wins over the Accept header, since a person can type it."""
    for header in ("text/plain", "application/x-ndjson", "text/event-stream"):
        assert ask(("format", name), accept=accept(header)).format is FORMATS[name]


def accept(header: str) -> MIMEAccept:
    """Return the header in the form in which Quart gives it."""
    return parse_accept_header(header, MIMEAccept)


@pytest.mark.parametrize(
    ("header", "format"),
    [
        ("", SSE),
        ("*/*", SSE),
        ("text/event-stream", SSE),
        ("text/html,application/xhtml+xml,*/*;q=0.8", SSE),
        ("image/png", SSE),
        ("text/*", SSE),
        ("text/plain", TEXT),
        ("text/plain; charset=utf-8", TEXT),
        ("text/plain;charset=UTF-8, */*;q=0.5", TEXT),
        ("application/x-ndjson", NDJSON),
        ("application/x-ndjson; charset=utf-8", NDJSON),
        ('application/x-ndjson;CHARSET="utf-8"; x=y', NDJSON),
        ("application/x-ndjson;charset=utf-8;q=0.5, text/plain;q=0.4", NDJSON),
        ("application/x-ndjson;charset=utf-8;q=0.4, text/plain;q=0.5", TEXT),
        ("text/event-stream;charset=utf-8, */*;q=0.1", SSE),
        ("text/event-stream;charset=iso-8859-1, text/plain;q=0.5", SSE),
        ("text/plain; charset=iso-8859-1", TEXT),
        ("application/*", NDJSON),
        ("application/x-ndjson, text/plain", NDJSON),
        ("text/plain, text/event-stream", SSE),
        ("text/plain, text/event-stream;q=0.9", TEXT),
        ("text/plain;q=0.1, application/x-ndjson;q=0.2", NDJSON),
        ("*/*;q=0.5, text/plain", TEXT),
        ("text/event-stream;q=0, */*;q=0.1", NDJSON),
        ("text/event-stream;q=0, text/plain;q=0", SSE),
        ("nonsense", SSE),
    ],
)
def test_the_best_accepted_type_is_chosen(header: str, format: Any) -> None:
    """The format that the client prefers is chosen, or SSE if there is no single best one."""
    assert ask(accept=accept(header)).format is format


@pytest.mark.parametrize("name", ["since", "tail", "last_event_id", "app", "level", "format"])
@pytest.mark.parametrize("part", ["T00", " 00", "9", "1m", "1", "-", ",", "a,", "2022-09-27T"])
def test_a_long_value_costs_no_more_than_its_length(name: str, part: str) -> None:
    """The time to parse a long value is not quadratic in its length."""
    started = time.process_time()
    for end in ("", " 02:00", "x"):
        try:
            ask((name, part * 100_000 + end))
        except BadQuery as error:
            assert error.parameter == name  # noqa: PT017  # or a request
    assert time.process_time() - started < 1


names = st.sampled_from(["tail", "since", "follow", "last_event_id", "format", "app", "q", "level"])


@given(st.lists(st.tuples(names | st.text(), st.text()), max_size=3), st.none() | st.text())
def test_any_query_is_a_request_or_refused(
    pairs: list[tuple[str, str]], header: str | None
) -> None:
    """Any query gives a request or a BadQuery, and never another error."""
    try:
        request = parse_stream_request(pairs, last_event_id=header)
    except BadQuery as error:
        assert error.parameter in {name[:100] for name, _ in pairs}  # noqa: PT017  # or a request
    else:
        assert request.format is SSE or ("format", "text") in pairs or ("format", "ndjson") in pairs
