"""`GET /api/facets`: its counts, its scopes and its bounded memory."""

from __future__ import annotations

import time
from typing import Any
from urllib.parse import parse_qsl

import attrs
import pytest
import trio

from natstream.entries.entry import LogEntry
from natstream.entries.filters import EVERYTHING, Filter
from natstream.web import facets
from natstream.web.facets import Facets


@attrs.define
class Clock:
    """A clock that the test moves."""

    now: float = 1_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def counts(clock: Clock) -> Facets:
    return Facets(clock, lambda: clock() + 1_700_000_000)


def line(app: str = "web", machine: str = "m1", level: str = "info", **more: str) -> LogEntry:
    stream = more.pop("stream", "stdout")
    return LogEntry(
        machine, "x", stream, app_name=app, level=level, region=more.pop("region", "iad")
    )


def query(text: str) -> Filter:
    return Filter.from_query(parse_qsl(text))


def lines_of(answer: dict[str, dict[str, float]]) -> dict[str, float]:
    return {value: figures["lines"] for value, figures in answer.items()}


def test_each_field_is_counted(counts: Facets) -> None:
    """Every line counts once in each of its fields."""
    counts.count([line(), line("api", "m2", "error"), line(stream="system", region="ams")])
    answer = counts.read()
    assert lines_of(answer["app"]) == {"web": 2, "api": 1}
    assert lines_of(answer["region"]) == {"iad": 2, "ams": 1}
    assert lines_of(answer["machine"]) == {"m1": 2, "m2": 1}
    assert lines_of(answer["level"]) == {"info": 2, "error": 1}
    assert lines_of(answer["stream"]) == {"stdout": 2, "system": 1}
    assert lines_of(answer["type"]) == {"log": 2, "system": 1}
    assert set(answer) == {*facets.FACETS, "since", "other"}


def test_an_excluded_value_is_counted_for_its_own_field(counts: Facets) -> None:
    """A reader who excludes an app sees its count, to show it again, but a scope hides it."""
    counts.count([line(), line("api", "m2"), line("", "m3")])
    excluding = query("not_app=api")
    answer = counts.read(excluding)
    assert lines_of(answer["app"]) == {"web": 1, "api": 1, "": 1}
    assert lines_of(answer["machine"]) == {"m1": 1, "m3": 1}
    scoped = counts.read(scope=attrs.evolve(excluding, scoped=True))
    assert lines_of(scoped["app"]) == {"web": 1}
    assert lines_of(counts.read(query("machine=m*"))["app"]) == {"web": 1, "api": 1, "": 1}


def test_groups_and_releases_are_counted_where_they_are_known(counts: Facets) -> None:
    """A line whose machine is not known is no value of these fields, but counts in the others."""
    known = attrs.evolve(line(), group="worker", release="42")
    counts.count([known, attrs.evolve(known, release="43"), line(), line()])
    answer = counts.read()
    assert lines_of(answer["group"]) == {"worker": 2}
    assert lines_of(answer["release"]) == {"42": 1, "43": 1}
    assert lines_of(answer["app"]) == {"web": 4}
    assert lines_of(counts.read(query("release=42"))["machine"]) == {"m1": 1}


def test_a_field_ignores_its_own_filter(counts: Facets) -> None:
    """A reader of one app still sees the other apps, but only that app's machines."""
    counts.count([line("web", "m1"), line("api", "m2"), line("api", "m3", "error")])
    answer = counts.read(query("app=api&min_level=error"))
    assert lines_of(answer["app"]) == {"api": 1}
    assert lines_of(answer["machine"]) == {"m3": 1}
    assert lines_of(answer["level"]) == {"info": 1, "error": 1}
    assert lines_of(counts.read(query("app=api"))["app"]) == {"web": 1, "api": 2}


def test_texts_are_ignored(counts: Facets) -> None:
    """The texts `q` and `not` of a reader do not change the counts, which are by combination."""
    counts.count([line()])
    assert counts.read(query("q=nothing like it&not=x"))["app"] == counts.read()["app"]


def test_a_scope_always_holds(counts: Facets) -> None:
    """No filter shows a scoped reader a value, a count or a rate from outside its scope."""
    counts.count([line("web", "m1"), line("api", "m2"), line("api", "m3", "error")])
    for asked in (EVERYTHING, query("app=web"), query("app=api"), query("level=error")):
        text = repr(counts.read(asked, query("app=web")))
        assert "api" not in text
        assert "m2" not in text
        assert "error" not in text


@pytest.mark.parametrize("scope", ["q=x", "q=/.*/", "not=x", "app=web&not=x"])
def test_a_scope_with_texts_gets_no_counts(scope: str, counts: Facets) -> None:
    """A scope with a text filter gets no counts, since lines are counted without their texts."""
    counts.count([line()])
    answer = counts.read(scope=query(scope))
    assert all(answer[name] == {} for name in facets.FACETS)
    assert all(figures == {"lines": 0, "rate": 0} for figures in answer["other"].values())


def test_rates_are_of_the_last_half_minute(counts: Facets, clock: Clock) -> None:
    """A steady 5 lines a second give a rate of about 5 at once, and a silence gives 0."""
    for second in range(60):
        clock.now += 1
        counts.count([line()] * 5)
        if second >= 3:
            assert counts.read()["app"]["web"]["rate"] == pytest.approx(5, rel=0.35)
    clock.now += 31
    assert counts.read()["app"]["web"] == {"lines": 300, "rate": 0}


def test_one_line_is_no_burst(counts: Facets, clock: Clock) -> None:
    """The first line of a process does not give an enormous rate."""
    clock.now += 0.001
    counts.count([line()])
    assert counts.read()["app"]["web"]["rate"] == 1


@pytest.mark.parametrize("silence", [1_800, 100_000])
def test_a_silent_value_is_forgotten(counts: Facets, clock: Clock, silence: float) -> None:
    """A value without a line for half an hour is removed, and `since` moves on."""
    counts.count([line("old")])
    clock.now += 1_669
    counts.count([line()])
    answer = counts.read()
    assert lines_of(answer["app"]) == {"old": 1, "web": 1}
    assert answer["since"] == 1_700_001_000_000
    clock.now += silence - 1_669
    answer = counts.read()
    assert "old" not in answer["app"]
    assert clock() + 1_700_000_000 - answer["since"] / 1000 <= 1_800


def test_too_many_combinations_are_counted_together(counts: Facets) -> None:
    """A flood of machine names takes bounded memory, and its lines are still counted."""
    flood = [line(machine=f"m{number}") for number in range(facets.MAX_COMBINATIONS + 100)]
    counts.count(flood)
    answer = counts.read()
    assert len(answer["machine"]) == facets.MAX_VALUES
    assert answer["app"]["web"]["lines"] == facets.MAX_COMBINATIONS
    assert answer["other"]["app"]["lines"] == 100
    assert sum(lines_of(answer["machine"]).values()) + answer["other"]["machine"]["lines"] == len(
        flood
    )
    assert counts.read(scope=query("app=web"))["other"]["app"] == {"lines": 0, "rate": 0}


QUERIES = ["", "app=app1", "level=info,warn", "min_level=warn&region=r1,r2&app=app1&type=log"]


@pytest.mark.parametrize("scope", ["", "level=info"])
@pytest.mark.parametrize("asked", QUERIES)
def test_no_turn_of_an_answer_takes_long(counts: Facets, asked: str, scope: str) -> None:
    """With all combinations, no piece of an answer takes 5 ms, whatever the filter and scope."""
    levels = ("info", "warn", "error")
    counts.count(
        line(f"app{n % 700}", f"m{n}", levels[n % 3], region=f"r{n % 40}")
        for n in range(facets.MAX_COMBINATIONS)
    )
    longest = []
    for _ in range(3):  # The best of three, because a collection of garbage may fall into any turn.
        turns = counts._answer(query(asked), query(scope) if scope else None)
        taken = [0.0]
        start = time.thread_time()
        for _ in turns:
            taken.append(time.thread_time() - start)
            start = time.thread_time()
        longest.append(max(taken))
    assert min(longest) < 0.005


async def test_an_answer_is_made_once_a_second(counts: Facets, clock: Clock) -> None:
    """Readers that ask for the same within a second get one answer, which other tasks interrupt."""
    counts.count([line()])
    web = query("app=web")
    answers: list[Any] = []
    turns = 0

    async def ask(scope: Filter | None) -> None:
        answers.append(await counts.read_in_turns(web, scope))

    async with trio.open_nursery() as nursery:
        for scope in (None, None, query("app=web"), query("app=api")):
            nursery.start_soon(ask, scope)
        while len(answers) < 4:
            await trio.lowlevel.checkpoint()
            turns += 1
    assert turns > len(facets.FACETS)
    assert sum(answer is counts._answers[web, None][1] for answer in answers) == 2
    assert sum(answer["app"] == {} for answer in answers) == 1  # the scope without these lines
    counts.count([line()])
    assert (await counts.read_in_turns(web))["app"]["web"]["lines"] == 1
    clock.now += facets.KEPT_SECONDS
    answer = await counts.read_in_turns(web)
    assert answer["app"]["web"]["lines"] == 2
    assert answer == counts.read(web)


async def test_answers_take_bounded_memory(counts: Facets) -> None:
    """Only the newest answers are kept, because there is no end of filters."""
    for number in range(facets.MAX_ANSWERS * 2):
        await counts.read_in_turns(query(f"app=app{number}"))
    assert len(counts._answers) == facets.MAX_ANSWERS


def test_overlong_names_are_not_kept(counts: Facets) -> None:
    """A line with a level of a megabyte is counted, but the level is in no answer."""
    counts.count([line(level="x" * 1_000_000)])
    answer = counts.read()
    assert answer["level"] == {}
    assert answer["other"]["level"]["lines"] == 1


def test_lines_that_are_not_read_take_bounded_memory(counts: Facets) -> None:
    """Combinations of an attacker do not gather until somebody asks for the counts."""
    for number in range(3 * facets.MAX_FRESH):
        counts.count([line(machine=str(number))])
        assert len(counts._fresh) <= facets.MAX_FRESH
