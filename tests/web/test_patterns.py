"""`GET /api/patterns`: its counts, its verdicts, its scopes and its bounded memory."""

from __future__ import annotations

import gc
import json
import sys
import time
import tracemalloc
from array import array
from random import Random
from typing import Any, cast

import attrs
import pytest
import trio
from tests.support.closed import bearer, closed_service, grant_text
from tests.support.service import open_service

from natstream.entries.continuation import Continuations
from natstream.entries.entry import LogEntry
from natstream.entries.filters import EVERYTHING, Filter
from natstream.errors import BadQuery
from natstream.hub.backlog import Backlog
from natstream.hub.hub import Hub
from natstream.hub.published import Published
from natstream.hub.timeline import Archive, Outage
from natstream.web import pattern_counts
from natstream.web.grants import Grant
from natstream.web.pattern_counts import MAX_SECONDS, MAX_TALLIES, PatternCounts
from natstream.web.pattern_spans import Comparison, parse_comparison
from natstream.web.pattern_verdicts import judge
from natstream.web.patterns import Patterns

NOW = 1_700_000_000


@attrs.define
class Service:
    """A hub whose lines arrive at the times that the test gives, and the counts of its patterns."""

    now: float = NOW
    hub: Hub = attrs.field(init=False)
    counts: PatternCounts = attrs.field(init=False)
    patterns: Patterns = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self.counts = PatternCounts(lambda: self.now, start_ms=(NOW - 7_200) * 1000)
        self.hub = Hub(observe=self.counts.count)
        self.patterns = Patterns(self.hub, self.counts)

    async def publish(self, *entries: LogEntry, ago: float = 1, every: float = 0) -> None:
        """Publish entries that arrived so many seconds ago, with so many seconds between them."""
        start = self.now - ago
        arrivals = [int((start + n * every) * 1000) for n in range(len(entries))]
        await self.hub.publish(list(entries), arrivals=arrivals)

    async def read(
        self, compare: str = "", scope: dict[str, str] | None = None, /, **query: str
    ) -> dict[str, Any]:
        pairs = [(name.rstrip("_"), value) for name, value in query.items()]
        filter, comparison = parse_comparison(pairs + [("compare", compare)] * bool(compare))
        self.patterns._answers.clear()
        grant = Grant(query=tuple((scope or {}).items()))
        return await self.patterns.read(grant.narrow(filter), comparison)


def line(message: str = "order 1 shipped", **values: Any) -> LogEntry:
    values = {"app_name": "web", "level": "info", "region": "iad"} | values
    return LogEntry(
        values.pop("machine_id", "m1"), message, values.pop("stream", "stdout"), **values
    )


def lines(count: int, message: str = "order {n} shipped", **values: Any) -> list[LogEntry]:
    return [line(message.format(n=n), **values) for n in range(count)]


def by_pattern(answer: dict[str, Any], key: str = "count") -> dict[str, Any]:
    return {row["pattern"]: row[key] for row in answer["patterns"]}


async def test_each_kind_is_counted_with_an_example() -> None:
    """A pattern has its count, rate, level, times, machines, curve and the newest line."""
    service = Service()
    await service.publish(*lines(3), ago=595, every=1)
    await service.publish(line("order 9 shipped", machine_id="m2", release="42"), ago=2)
    await service.publish(line("order lost", level="error"), ago=1)
    answer = await service.read()
    shipped, lost = answer["patterns"]
    assert shipped["example"] == {
        "id": f"{(NOW - 2) * 1000}-{service.hub.epoch}-4",
        "message": "order 9 shipped",
    }
    del shipped["example"]
    assert shipped == {
        "id": shipped["id"],
        "app": "web",
        "pattern": "order <n> shipped",
        "level": "info",
        "count": 4,
        "rate": round(4 / 1_800, 3),
        "first_ms": (NOW - 595) * 1000,
        "last_ms": (NOW - 2) * 1000,
        "levels": {"info": 4},
        "machines": ["m1", "m2"],
        "releases": ["42"],
        "series": [0] * 20 + [3] + [0] * 8 + [1],
    }
    assert (lost["pattern"], lost["level"], lost["count"]) == ("order lost", "error", 1)
    del answer["patterns"]
    assert answer == {
        "other": {"count": 0},
        "compare": None,
        "sampled": False,
        "since_ms": (NOW + 1 - 1_800) * 1000,
        "until_ms": NOW * 1000,
        "from": "counters",
    }


async def test_levels_apps_and_texts_are_kinds_of_their_own() -> None:
    """One text of two levels or apps is several patterns, with ids of their own."""
    service = Service()
    await service.publish(line(), line(level="error"), line(app_name="api"), line(region="ams"))
    answer = await service.read()
    assert len({row["id"] for row in answer["patterns"]}) == 3
    assert [row["count"] for row in answer["patterns"]] == [2, 1, 1]


TRACE = ["TypeError: no price", "    at total (/app/cart.js:57:31)", "    at run (/app/a.js:1:2)"]


@pytest.mark.parametrize("size", [1, 2, 100])
@pytest.mark.parametrize("query", [{}, {"q": "no price"}, {"q": "cart.js"}, {"machine": "m1"}])
async def test_a_trace_counts_to_its_head(size: int, query: dict[str, str]) -> None:
    """A trace is one pattern with its frames, however its lines are cut into batches."""
    service = Service()
    moved = [text.replace("57", "61") for text in TRACE]
    elsewhere = [text.replace("total", "checkout") for text in TRACE]
    entries = [
        line(text, level="error" if text is TRACE[0] or text == TRACE[0] else "info", unix_ns=at)
        for at, texts in enumerate([TRACE, moved, elsewhere])
        for text in texts
    ]
    for start in range(0, len(entries), size):
        await service.publish(*entries[start : start + size])
    counted = by_pattern(await service.read(**query))
    frames = "at total (/app/cart.js:<n>) < at run (/app/a.js:<n>)"
    assert counted == {
        f"TypeError: no price < {frames}": 2,
        f"TypeError: no price < {frames.replace('total', 'checkout')}": 1,
    }


@pytest.mark.parametrize(
    ("query", "source", "count"),
    [
        ({"app": "web"}, "counters", 6),
        ({"level": "error"}, "counters", 2),
        ({"min_level": "warn"}, "counters", 2),
        ({"region": "ams"}, "counters", 3),
        ({"stream": "stderr"}, "counters", 1),
        ({"type": "log"}, "counters", 9),
        ({"machine": "m2"}, "backlog", 3),
        ({"q": "shipped"}, "backlog", 8),
        ({"not": "shipped"}, "backlog", 1),
        ({"field": "n"}, "backlog", 1),
        ({"release": "42"}, "backlog", 1),
        ({"source": "nats"}, "backlog", 0),
        ({"not_app": "api"}, "counters", 6),
        ({"not_level": "error"}, "counters", 7),
        ({"not_region": "ams"}, "counters", 6),
        ({"not_stream": "stderr"}, "counters", 8),
        ({"not_type": "system"}, "counters", 9),
        ({"not_machine": "m2"}, "backlog", 6),
        ({"not_release": "42"}, "backlog", 8),
        ({"not_group": "worker"}, "backlog", 8),
        ({"not_source": "fly"}, "backlog", 8),
    ],
)
async def test_filters(query: dict[str, str], source: str, count: int) -> None:
    """Every filter counts the lines that it selects, by the counters or by the backlog."""
    service = Service()
    await service.publish(
        *lines(2),
        *lines(2, level="error", machine_id="m2"),
        *lines(3, region="ams", app_name="api"),
        line(
            "order 3 shipped",
            stream="stderr",
            machine_id="m2",
            release="42",
            group="worker",
            source="fly",
        ),
        line("n=1 x=2"),
    )
    answer = await service.read(**query)
    assert answer["from"] == source
    assert sum(row["count"] for row in answer["patterns"]) == count


async def test_both_sources_give_the_same_answer() -> None:
    """The counters and the backlog count alike: the same ids, counts, times and examples."""
    random = Random(5)
    service = Service()
    for ago in range(900, 0, -3):
        count = random.randrange(4)
        await service.publish(*lines(count, f"step {ago} of {{n}}"), ago=ago)
        await service.publish(line(f"failed {ago}", level="error"), ago=ago)
    counted = await service.read("5m")
    searched = await service.read("5m", not_="nothing has this")
    assert (counted.pop("from"), searched.pop("from")) == ("counters", "backlog")
    assert counted == searched


async def test_lines_of_an_outage_are_counted_once() -> None:
    """Lines that were shown while the journal was away count once, although it stores them, too."""
    service = Service()
    journal, fallback = (
        Backlog(epoch, max_lines=1_000, max_bytes=2**20, persistent=epoch == "j")
        for epoch in ("j", "f")
    )
    archive, outage = cast(Archive, object()), Outage((NOW - 50) * 1000)
    service.hub.rejoin(journal, archive)
    await service.publish(*lines(2), ago=60)
    service.hub.fall_back(fallback, outage)
    await service.publish(*lines(5), ago=40)
    journal.append(lines(5), [1] * 5, [(NOW - 30) * 1000] * 5)
    outage.numbers |= set(range(3, 8))
    service.hub.rejoin(journal, archive)
    await service.publish(line(), ago=5)
    counted, searched = await service.read(), await service.read(machine="m1")
    assert (counted.pop("from"), searched.pop("from")) == ("counters", "backlog")
    assert by_pattern(counted) == {"order <n> shipped": 8}
    assert counted == searched


@pytest.mark.parametrize(
    ("before", "now", "verdict"),
    [
        (0, 3, "new"),
        (0, 2, "same"),
        (3, 0, "gone"),
        (2, 0, "same"),
        (5, 10, "same"),
        (10, 20, "more"),
        (4, 12, "more"),
        (10, 30, "more"),
        (30, 10, "less"),
        (10, 19, "same"),
        (1, 2, "same"),
        (2, 4, "same"),
        (1000, 2100, "more"),
        (1000, 1100, "same"),
    ],
)
async def test_verdicts(before: int, now: int, verdict: str) -> None:
    """A verdict needs three lines, a factor of two, and more than chance."""
    service = Service()
    await service.publish(*lines(before), ago=900)
    await service.publish(*lines(now), ago=100)
    [row] = (await service.read("10m"))["patterns"]
    assert (row["verdict"], row["before"], row["now"], row["count"]) == (verdict, before, now, now)
    assert row["factor"] == (round(now / before, 2) if now and before else None)
    assert 0 <= row["sure"] <= 1
    assert row["sure"] >= {"same": 0, "new": 0.875, "gone": 0.875}.get(verdict, 0.95)
    assert verdict in ("same", "new", "gone") or row["sure"] >= 0.95
    assert (sum(row["series"][:15]), sum(row["series"][15:])) == (before, now)


async def test_the_most_telling_come_first() -> None:
    """New patterns stand before grown, gone, lessened and equal ones, by count within these."""
    service = Service()
    for text, before, now in (
        ("same", 50, 50),
        ("less", 40, 4),
        ("gone", 9, 0),
        ("more", 4, 40),
        ("new", 0, 5),
        ("newer", 0, 8),
    ):
        await service.publish(*lines(before, text), ago=90)
        await service.publish(*lines(now, text), ago=10)
    answer = await service.read("1m")
    assert list(by_pattern(answer)) == ["newer", "new", "more", "gone", "less", "same"]
    assert answer["compare"] == {"kind": "span", "since_ms": (NOW + 1 - 60) * 1000}


async def test_spans_are_exact_to_a_second() -> None:
    """A line of the last second of the earlier span counts there, and a later one does not."""
    service = Service(NOW + 0.5)
    for second in range(1, 31):
        await service.publish(*lines(second), ago=30.5 - second)
    [row] = (await service.read("10s"))["patterns"]
    assert (row["before"], row["now"]) == (sum(range(11, 21)), sum(range(21, 31)))


async def test_a_span_that_is_only_half_known_is_scaled() -> None:
    """If the counting began within the earlier span, its count is scaled, and is less sure."""
    service = Service()
    service.counts.start_ms = (NOW + 1 - 75) * 1000
    await service.publish(*lines(5), ago=70)
    await service.publish(*lines(20), ago=10)
    await service.publish(*lines(5, "rare"), ago=10)
    rows = {row["pattern"]: row for row in (await service.read("1m"))["patterns"]}
    known = rows["order <n> shipped"]
    assert (known["before"], known["now"], known["verdict"]) == (20, 20, "same")
    assert (rows["rare"]["verdict"], rows["rare"]["sure"]) == ("new", 0.836)
    service.counts.start_ms = (NOW + 1 - 66) * 1000
    rows = {row["pattern"]: row for row in (await service.read("1m"))["patterns"]}
    assert rows["rare"]["verdict"] == "same", "in 6 s such a line may be missing by chance"


def release(count: int, number: str, text: str, level: str = "info") -> list[LogEntry]:
    return lines(count, text, release=number, level=level)


async def deployed() -> Service:
    """Return a service in which a new release brings an error, and triples another one."""
    service = Service()
    for ago in range(240, 0, -10):
        number = "41" if ago > 120 else "42"
        await service.publish(*release(6, number, "order {n} shipped"), ago=ago)
        errors = 1 if ago > 120 else 3
        await service.publish(*release(errors, number, "coupon {n} failed", "error"), ago=ago)
        await service.publish(line("other app", app_name="api", release="7"), ago=ago)
    await service.publish(*release(4, "42", "price {n} is no number", "error"), ago=100, every=9)
    starts = [
        attrs.evolve(each, machine_id=f"m{n}") for n, each in enumerate(release(4, "42", "up"))
    ]
    await service.publish(*starts, ago=115, every=5)
    await service.publish(*lines(9, "machine started", release="42", stream="system"), ago=115)
    return service


async def test_a_deploy_is_compared_with_the_time_before() -> None:
    """What a new release broke stands on top, and nothing else is new or more."""
    service = await deployed()
    answer = await service.read("deploy")
    since_ms = (NOW - 120) * 1000
    assert answer["compare"] == {
        "kind": "deploy",
        "since_ms": since_ms,
        "apps": {"web": {"since_ms": since_ms, "release": "42"}},
    }
    found = [(row["pattern"], row.get("verdict")) for row in answer["patterns"]]
    assert found == [
        ("price <n> is no number", "new"),
        ("coupon <n> failed", "more"),
        ("order <n> shipped", "same"),
        ("machine started", "same"),
        ("up", "same"),
        ("other app", None),
    ]
    assert "before" not in answer["patterns"][-1], "an app without a deployment is not compared"


async def test_what_each_machine_says_once_is_news_only_if_it_is_an_error() -> None:
    """A warning of each machine since the deployment is new, although its start lines are not."""
    service = await deployed()
    for n in range(4):
        await service.publish(line("no secret", machine_id=f"m{n}", release="42", level="warn"))
    rows = {row["pattern"]: row for row in (await service.read("deploy"))["patterns"]}
    assert rows["no secret"]["verdict"] == "new"
    assert rows["up"]["verdict"] == "same"


async def test_what_each_of_many_machines_says_once_is_no_news() -> None:
    """With more machines than a tally names, their start lines are not new, and chatter is."""
    for query in ({}, {"not_": "zzz"}):
        service = Service()
        await service.publish(*release(3, "41", "order {n} shipped"), ago=200)
        for n in range(70):
            machine = {"machine_id": f"m{n}", "release": "42"}
            await service.publish(line("up", **machine), line("tick", **machine), ago=100 - n)
        for n in range(70):
            await service.publish(line("tick", machine_id=f"m{n}", release="42"), ago=30)
        rows = {row["pattern"]: row for row in (await service.read("deploy", **query))["patterns"]}
        assert (rows["up"]["count"], rows["up"]["verdict"]) == (70, "same")
        assert (rows["tick"]["count"], rows["tick"]["verdict"]) == (140, "new")


async def test_names_that_are_too_long_are_cut() -> None:
    """A machine and a release with a very long name are one machine and one release."""
    service = Service()
    for ago in (9, 8):
        await service.publish(line(machine_id="m" * 300, release="4" * 300), ago=ago)
    [tally] = service.counts.tallies
    assert tally.machines == ["m" * 128]
    assert tally.releases == {"4" * 128: (NOW - 9) * 1000}
    assert service.counts.deploys == {"web": tally.releases}


@pytest.mark.parametrize("query", [{}, {"not_": "zzz"}])
async def test_the_newest_machines_and_releases_are_named(query: dict[str, str]) -> None:
    """After many deployments a pattern has the newest machines and releases, and their firsts."""
    service = Service()
    for number in range(1, 26):
        for n in range(3):
            each = line(release=str(number), machine_id=f"m-{number:02}-{n}")
            await service.publish(each, each, ago=2_550 - 100 * number - n)
    [row] = (await service.read("deploy", **query))["patterns"]
    assert row["releases"] == [str(number) for number in range(6, 26)]
    assert row["machines"][0] == "m-09-1", "the first of the newest 50"
    [tally] = service.counts.tallies
    assert tally.releases["25"] == (NOW - 50) * 1000
    assert service.counts.deploys["web"] == tally.releases


async def test_a_deploy_begins_when_the_machines_have_changed() -> None:
    """Lines between the change of a machine and the moment when it is known count as later."""
    service = await deployed()
    service = Service()
    service.counts.released_at = lambda app, number: (NOW - 130) * 1000 if number == "42" else None
    await service.publish(*release(3, "41", "x"), ago=300)
    await service.publish(*release(1, "42", "x"), ago=120)
    assert (await service.read("deploy"))["compare"]["since_ms"] == (NOW - 130) * 1000


async def test_without_a_newer_release_nothing_is_compared() -> None:
    """`compare` is null without releases, with one release, and long after a deployment."""
    service = Service()
    await service.publish(*lines(9), ago=50)
    assert (await service.read("deploy"))["compare"] is None
    await service.publish(*release(9, "41", "x"), ago=40)
    assert (await service.read("deploy"))["compare"] is None
    await service.publish(*release(9, "v42", "x"), ago=40)
    assert (await service.read("deploy"))["compare"] is None
    service = Service()
    await service.publish(*release(9, "41", "x"), ago=3_500)
    await service.publish(*release(9, "42", "x"), ago=3_000)
    assert (await service.read("deploy"))["compare"] is None


SCOPES = [
    {"app": "web"},
    {"q": "p"},
    {"app": "web", "not": "other"},
    {"app": "web", "machine": "m*"},
    {"region": "iad"},
]


@pytest.mark.parametrize("scope", SCOPES)
@pytest.mark.parametrize(
    "query", [{}, {"min_level": "error"}, {"q": "price"}, {"q": "order"}, {"release": "42"}]
)
async def test_a_link_compares_with_the_same_deploy(
    scope: dict[str, str], query: dict[str, str]
) -> None:
    """The start of a release is its first line in the scope, whichever lines the reader asks for.

    No line of the filter may be of an older release.
    """
    service = await deployed()
    answer, whole = await service.read("deploy", scope, **query), await service.read("deploy")
    assert answer["compare"] == whole["compare"]
    if "release" in query:
        return  # Without the lines of the older release, its patterns are new.
    verdicts = {row["pattern"]: row["verdict"] for row in answer["patterns"] if "verdict" in row}
    known = {row["pattern"]: row["verdict"] for row in whole["patterns"] if "verdict" in row}
    assert verdicts
    assert verdicts.items() <= known.items()


@pytest.mark.parametrize(
    ("scope", "ago"),
    [({"app": "web"}, 130), ({"app": "web", "machine": "m1"}, 120), ({"region": "iad"}, 120)],
)
async def test_a_link_to_apps_knows_when_their_machines_have_changed(
    scope: dict[str, str], ago: int
) -> None:
    """For a link to an app, too, lines before the release is known are later ones.

    A link to some of its machines does not learn when other machines have changed.
    """
    service = await deployed()
    service.counts.released_at = lambda app, number: (NOW - 130) * 1000
    answer = await service.read("deploy", scope)
    assert answer["compare"]["since_ms"] == (NOW - ago) * 1000


async def test_a_deploy_too_long_ago_is_named() -> None:
    """An answer says which deployments it cannot compare, as far as the reader may know of them."""
    service = Service()
    await service.publish(*release(9, "41", "x {n}"), line("y", app_name="api"), ago=3_300)
    await service.publish(*release(9, "42", "x {n}"), ago=3_000)
    await service.publish(*release(9, "42", "x {n}"), line("y", app_name="api"), ago=9)
    known = {"web": {"since_ms": (NOW - 3_000) * 1000, "release": "42"}}
    cases: list[tuple[dict[str, str], dict[str, str], Any]] = [
        ({}, {}, known),
        ({"level": "info"}, {"app": "web"}, known),
        ({"q": "x"}, {"q": "x"}, known),
        ({}, {"app": "api"}, {}),
    ]
    for query, scope, older in cases:
        answer = await service.read("deploy", scope, **query)
        assert (answer["compare"], answer["older_deploys"]) == (None, older)
    assert "older_deploys" not in await service.read("10m")


async def test_a_journal_whose_clock_is_ahead_hides_no_lines() -> None:
    """Lines that the journal's clock puts two seconds ahead count at once, also after a deploy."""
    service = Service()
    await service.publish(*release(9, "41", "x"), ago=60)
    await service.publish(*release(9, "42", "new"), ago=-2)
    rows = {row["pattern"]: row for row in (await service.read("deploy"))["patterns"]}
    assert (rows["new"]["verdict"], rows["new"]["now"]) == ("new", 9)
    service = Service()
    await service.publish(*release(9, "41", "x"), ago=60)
    await service.publish(*release(9, "42", "new"), ago=-3_600)
    assert by_pattern(await service.read("deploy")) == {"x": 9}, "the clock was set back"


@pytest.mark.parametrize(
    "value", ["", "x", "4s", "31m", "1h", "-5m", "10", "5500ms", "deploys", "10m,5m"]
)
def test_a_wrong_comparison_is_refused(value: str) -> None:
    """A comparison that cannot be made names the parameter and what it takes."""
    with pytest.raises(BadQuery, match="compare") as refused:
        parse_comparison([("compare", value)])
    assert refused.value.parameter == "compare"
    with pytest.raises(BadQuery, match="twice"):
        parse_comparison([("compare", "10m"), ("compare", "10m")])
    assert parse_comparison([("compare", "1m30s")])[1] == Comparison(90)


async def test_lines_are_shown_and_hidden_by_their_pattern() -> None:
    """`pattern=<id>` shows a pattern's lines with their traces, and `not_pattern` hides them."""
    service = Service()
    trace = [line(text, level="error" if n == 0 else "info") for n, text in enumerate(TRACE)]
    await service.publish(*lines(2), *trace, line("order lost"))
    ids = by_pattern(await service.read(), "id")
    [entries] = service.hub.recent(0)
    for pattern, count in (("order <n> shipped", 2), ("order lost", 1)):
        chosen = Filter.from_query([("pattern", ids[pattern])]).select(entries)
        assert len(chosen) == count
        assert all(entries[index].message.startswith(pattern[:6]) for index in chosen)
        left = Filter.from_query([("not_pattern", ids[pattern])]).select(entries)
        assert sorted([*chosen, *left]) == list(range(len(entries)))
    [traced] = [id for pattern, id in ids.items() if pattern.startswith("TypeError")]
    found = Filter.from_query([("pattern", traced)]).select(entries)
    assert [entries[index].message for index in found] == TRACE
    both = Filter.from_query([("pattern", traced)]) & Filter.from_query(
        [("pattern", ids["order lost"])]
    )
    assert list(both.select(entries)) == []
    with pytest.raises(BadQuery, match="pattern takes ids"):
        Filter.from_query([("pattern", "zebra")])


# --- scopes --------------------------------------------------------------------------------------


async def test_a_scope_sees_its_part_only() -> None:
    """A link's holder gets counts, examples and traces of the lines of its scope, and no others."""
    secret = line("zebra {n}", app_name="zebra", machine_id="m-zebra")
    inside = [line("shown 1", level="error"), line("\tat shown.a(b:1)", level="error")]
    hidden = line("\tat zebra.secret(c:1)", level="error")
    async with closed_service() as service:
        hub = service.service.core.hub
        hub.publish_nowait([*[secret] * 5, *inside, hidden, line("zebra is info")])
        for scope in (
            [("app", "web"), ("min_level", "warn")],
            [("app", "web"), ("not", "zebra")],
            [("app", "web"), ("q", "shown"), ("machine", "m1")],
        ):
            for query in ("", "?compare=10s", "?q=zebra", "?compare=deploy&app=zebra"):
                text = grant_text(*scope)
                response = await service.get(f"/api/patterns{query}", headers=bearer(text))
                assert response.status_code == 200
                answer = response.json()
                if "zebra" not in query and scope[1][0] != "min_level":
                    assert by_pattern(answer) == {"shown <n> < at shown.a(b:<n>)": 1}
                    assert "zebra" not in response.text
                assert answer["other"] == {"count": 0}
                assert "m-zebra" not in response.text


@pytest.mark.parametrize("query", [{}, {"not": "zzz"}])
@pytest.mark.parametrize("elsewhere", [{"app_name": "zebra"}, {"region": "ams"}])
async def test_a_trace_never_has_lines_of_another_app_or_region(
    elsewhere: dict[str, Any], query: dict[str, str]
) -> None:
    """Lines without a machine share its empty name, and are told apart by app and region."""
    service = Service()
    boom = line("boom", level="error", machine_id="", unix_ns=1)
    frames = [attrs.evolve(boom, message=text, level="info") for text in ("\tat b.C(d:1)", "")]
    secret = attrs.evolve(frames[0], message="\tat zebra.Secret(e:1)", **elsewhere)
    await service.publish(boom, secret, *frames)
    counted = by_pattern(await service.read(**query))
    assert counted.pop("boom < at b.C(d:<n>)") == 1
    assert not any("boom" in pattern for pattern in counted)


async def test_the_endpoint_answers_and_refuses() -> None:
    """The endpoint answers readers, and names a wrong parameter."""
    async with open_service() as service:
        service.service.core.hub.publish_nowait(lines(4))
        answer = (await service.get("/api/patterns?compare=10s&app=web")).json()
        assert by_pattern(answer) == {"order <n> shipped": 4}
        for query in ("?compare=soon", "?tail=3", "?q=/(/"):
            response = await service.get(f"/api/patterns{query}")
            assert response.status_code == 400
            assert response.json()["parameter"] in query


# --- load and memory -----------------------------------------------------------------------------


def publish(counts: PatternCounts, entries: list[LogEntry], first: int, second: int) -> None:
    numbers = range(first, first + len(entries))
    counts.count(Published("e", numbers, entries, [second * 1000] * len(entries)))


def total(counts: PatternCounts) -> int:
    found = [*counts.tallies, counts.other]
    return sum(tally.between(0, 2**32 - 1) for tally in found)


def test_a_flood_is_sampled() -> None:
    """From 10,000 lines a second on a sample is counted, whose weights add up to all lines."""
    counts = PatternCounts(lambda: NOW, start_ms=1)
    entries = lines(2_000)
    for second in range(3):
        for batch in range(5):
            publish(counts, entries, batch * 2_000, NOW - 100 + second)
    assert total(counts) == 30_000
    assert counts.weight(NOW - 200, NOW) == 1
    for second in range(3):
        for batch in range(25):
            publish(counts, entries, batch * 2_000, NOW - 50 + second)
    assert total(counts) == pytest.approx(30_000 + 150_000, rel=0.02)
    assert counts.weight(NOW - 200, NOW) >= 16


def test_a_sample_gives_each_trace_its_own_frames() -> None:
    """If a head is not in the sample, its frames do not go to the head before."""
    entries: list[LogEntry] = []
    for n in range(8_000):
        name = ("Alpha", "Beta", "Gamma")[n % 3]
        error = line("Traceback (most recent call last):", level="error", unix_ns=n)
        frames = (f'  File "/app/{name}.py", line 1, in f', f"{name}Error: x")
        entries += [error, *(attrs.evolve(error, message=text, level="info") for text in frames)]
    counts = PatternCounts(lambda: NOW, start_ms=1)
    joined = list(Continuations().join(entries))
    for start in range(0, len(joined), 1_000):
        publish(counts, joined[start : start + 1_000], start, NOW - 1)
    assert counts.weight(NOW - 2, NOW) > 1
    found = {tally.pattern: tally.lines for tally in counts.tallies}
    for name in ("Alpha", "Beta", "Gamma"):
        trace = f"{name}Error: x < /app/{name}.py, line <n>, in f"
        head = "Traceback (most recent call last):"
        assert found.pop(f"{head} < {trace}") == pytest.approx(8_000 / 3, rel=0.1)
    assert found == {}


async def test_a_sampled_answer_says_so() -> None:
    """`sampled` is true as long as a sampled second is within the spans."""
    service = Service()
    for _ in range(6):
        await service.publish(*lines(4_000), ago=100)
    assert (await service.read())["sampled"]
    assert (await service.read("2m"))["sampled"]
    assert not (await service.read("10s"))["sampled"]


def test_rare_patterns_make_room() -> None:
    """Beyond the limit the rarest patterns are counted as other, and no line is lost."""
    counts = PatternCounts(lambda: NOW, start_ms=1)
    letters = [chr(97 + n % 26) + chr(97 + n // 26 % 26) + chr(97 + n // 676) for n in range(9_000)]
    for at, word in enumerate(letters):
        publish(counts, [line(f"once {word}zz"), line("often")], 2 * at, NOW - 100 + at // 1_000)
    assert len(counts.tallies) <= MAX_TALLIES
    assert total(counts) == 18_000
    [often] = [tally for tally in counts.tallies if tally.pattern == "often"]
    assert often.lines == 9_000
    assert counts.other.lines > 0


def test_what_is_old_is_forgotten() -> None:
    """After an hour a pattern that does not come any more is gone."""
    counts = PatternCounts(lambda: NOW, start_ms=1)
    publish(counts, [line("old")], 1, NOW - 4_000)
    publish(counts, [line("new")], 2, NOW)
    assert [tally.pattern for tally in counts.tallies] == ["new"]


def test_seconds_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """If many patterns come in every second, older seconds are kept by ten, and none is lost."""
    monkeypatch.setattr(pattern_counts, "MAX_SECONDS", 20_000)
    counts = PatternCounts(lambda: NOW, start_ms=1)
    entries = [line(f"text {chr(97 + n % 26)}{chr(97 + n // 26)}") for n in range(50)]
    for second in range(1_000):
        publish(counts, entries, 50 * second, NOW - 1_000 + second)
        assert counts._kept <= 20_000 + 50
    assert total(counts) == 50_000


LETTERS = "abcdefghijklmnopqrstuvwxyz"


def hostile(random: Random, n: int) -> str:
    """Return one of a million distinct lines, most of which are of no kind."""
    words = ["".join(random.choices(LETTERS, k=8)) for _ in range(3)]
    match n % 4:
        case 0:
            return " ".join(words)
        case 1:
            return f"{n} {words[0]}"
        case 2:
            return f"{words[1]} {chr(0x1F300 + n) * 400}"
    return json.dumps(dict.fromkeys(words))


def test_memory_is_bounded() -> None:
    """Distinct and hostile lines, many machines and busy seconds take 16 MiB at the most."""
    random = Random(1)
    counts = PatternCounts(lambda: NOW, start_ms=1)
    usual = [line(f"usual {chr(97 + n % 26)}{chr(97 + n // 26 % 26)}") for n in range(200)]
    publish(counts, usual, 1, NOW - 3_500)
    gc.collect()
    tracemalloc.start()
    try:
        for batch in range(40):
            machine = f"{random.getrandbits(56):014x}"
            entries = [
                line(hostile(random, n), machine_id=machine, level="error", release=str(n % 99))
                for n in range(100)
            ]
            publish(counts, entries, batch * 100, NOW - 3_500 + 10 * batch)
        each = MAX_SECONDS // MAX_TALLIES
        for tally in counts.tallies:
            tally.seconds = array("I", range(NOW - 3_500, NOW - 3_500 + each))
            tally.counts = array("I", range(each))
        gc.collect()
        used = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert len(counts.tallies) > MAX_TALLIES * 0.7, "the memory must be full"
    assert used < 16 * 2**20
    assert sys.getsizeof(counts.tallies) < 2**20


async def test_other_tasks_run_while_an_answer_is_made() -> None:
    """A search through a full backlog, and an answer over all patterns, are made in turns."""
    service = Service(time.time())
    random = Random(2)
    for n in range(0, 20_000, 500):
        await service.publish(*(line(hostile(random, n + k) + " q") for k in range(500)), ago=5)
    longest, last, done = 0.0, time.thread_time(), False

    async def watch() -> None:
        nonlocal longest, last
        while not done:
            await trio.lowlevel.checkpoint()
            longest, last = max(longest, time.thread_time() - last), time.thread_time()

    gc.collect()
    gc.freeze()  # A collection would take longer than a turn, as the service's own settings know.
    async with trio.open_nursery() as nursery:
        nursery.start_soon(watch)
        await trio.lowlevel.checkpoint()
        last, longest = time.thread_time(), 0.0
        for query in ({}, {"q": "q"}):
            assert len((await service.read("10s", **query))["patterns"]) == 200
        done = True
    gc.unfreeze()
    assert longest < 0.05


@pytest.mark.parametrize(
    ("query", "scope", "has_other"),
    [
        ({}, {}, True),
        ({"app": "api"}, {}, False),
        ({"min_level": "warn"}, {}, False),
        ({}, {"app": "api"}, False),
        ({"app": "api", "machine": "m1"}, {}, False),
        ({"app": "web", "machine": "m1"}, {}, True),
    ],
)
async def test_other_is_of_the_lines_that_were_asked_for(
    query: dict[str, str], scope: dict[str, str], has_other: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Lines without room are of any app, so they are not in the answer about one app."""
    monkeypatch.setattr(pattern_counts, "MAX_TALLIES", 8)
    service = Service()
    words = [line(f"text {letter}{letter}") for letter in LETTERS]
    await service.publish(*words, line(app_name="api"))
    answer = await service.read("", scope, **query)
    assert (answer["other"]["count"] > 0) is has_other


async def test_readers_share_an_answer() -> None:
    """Readers who ask the same within a second get one answer, and other questions their own."""
    service = Service()
    await service.publish(*lines(3))
    first = await service.patterns.read(EVERYTHING, Comparison())
    assert await service.patterns.read(EVERYTHING, Comparison()) is first
    assert await service.patterns.read(Filter(q=("x",)), Comparison()) is not first


def test_a_verdict_says_how_sure_it_is() -> None:
    """The same factor is surer with more lines, and a sample is less sure than all lines."""
    assert judge(2, 4).sure < judge(20, 40).sure < judge(200, 400).sure
    assert judge(16, 48, weight=16).sure < judge(16, 48).sure
    assert judge(0, 3, 0.0).name == "same"


@pytest.mark.parametrize("weight", [2, 32])
def test_one_line_of_a_sample_is_no_news(weight: int) -> None:
    """Three lines must have been counted, however many lines each of them stands for."""
    for lines, new, gone in ((1, "same", "same"), (2, "same", "same"), (3, "new", "gone")):
        assert judge(0, lines * weight, weight=weight).name == new
        assert judge(lines * weight, 0, weight=weight).name == gone


def test_continuations_of_harmless_lines_count_nowhere() -> None:
    """Indented lines behind an information have no count, because the head has one."""
    entries = [line("SELECT", unix_ns=1), line("  FROM orders", unix_ns=1), line("next", unix_ns=2)]
    counts = PatternCounts(lambda: NOW, start_ms=1)
    publish(counts, list(Continuations().join(entries)), 1, NOW - 1)
    assert sorted(tally.pattern for tally in counts.tallies) == ["SELECT", "next"]
