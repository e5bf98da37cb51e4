"""Holders of a scoped link see all lines of their scope, and nothing else."""

from __future__ import annotations

import json
import re
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

import attrs
import httpx
import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st
from tests.support.closed import bearer, closed_service, grant_text
from tests.support.fly_api import FlyLine, FlyStandIn
from tests.support.journal_server import JournalServer
from tests.support.mistreated import MistreatedServer
from tests.support.service import RunningService
from tests.support.waiting import PATIENCE

from natstream.entries import selecting
from natstream.entries.entry import Gap, LogEntry, Notice
from natstream.entries.filters import FILTER_PARAMETERS, Filter
from natstream.entries.patterns import pattern_id, pattern_of
from natstream.errors import BadQuery
from natstream.hub.batch import Selection
from natstream.hub.health import SourceState
from natstream.hub.hub import Hub
from natstream.hub.loop_delay import LoopDelay
from natstream.web.auth import COOKIE, OPEN
from natstream.web.earlier import EARLIER_PARAMETERS
from natstream.web.grants import Grant
from natstream.web.pattern_spans import PATTERN_PARAMETERS
from natstream.web.query import STREAM_PARAMETERS
from natstream.web.security import READABLE

SCOPE = (("app", "web"), ("min_level", "warn"), ("not", "crimson"))
# A time of the present may hold the digits of a count by chance.
UNIX_MS = re.compile(r"\b1[67]\d{11}\b")
LINES = 20
MARK = "zebra"
VISIBLE = LogEntry(
    "m-web", "shown", "stdout", app_name="web", region="iad", level="error", source="nats"
)
OUTSIDE = [
    attrs.evolve(VISIBLE, app_name="zebra-app", message="zebra by its app", machine_id="m-zebra"),
    attrs.evolve(VISIBLE, level="info", message="zebra by its level", region="zebra-region"),
    attrs.evolve(
        VISIBLE, message='{"colour":"crimson","kind":"zebra"}', group="zebra", release="zebra"
    ),
    LogEntry(
        "m-zebra", "zebra system kind=zebra", "system", app_name="zebra-too", provider="zebra"
    ),
]

ZEBRA_ID = pattern_id("zebra-app", "error", pattern_of("zebra by its app"))

# For each parameter of /api/logs, values that a curious reader would try.
CURIOUS: dict[str, list[str]] = {
    "app": ["zebra-app", "web,zebra-app", "web"],
    "region": ["zebra-region", "iad,zebra-region"],
    "machine": ["m-zebra", "m-web,m-zebra", "m-z*", "m*"],
    "stream": ["system", "stdout,system"],
    "level": ["info", "error,info", ""],
    "source": ["nats,drain"],
    "group": ["zebra"],
    "release": ["zebra"],
    "type": ["log,system", "system"],
    "not_app": ["web", "zebra-app", "web,api"],
    "not_region": ["iad", "zebra-region"],
    "not_machine": ["m-web", "m-z*", "m*"],
    "not_stream": ["stdout", "system"],
    "not_level": ["error", "info"],
    "not_source": ["drain", "nats"],
    "not_group": ["zebra", "app"],
    "not_release": ["zebra", "7"],
    "not_type": ["log", "system"],
    "min_level": ["debug", "fatal"],
    "q": ["zebra", "/.*/", "/zebra|shown/", "crimson"],
    "not": ["shown", "/^$/"],
    "field": ["kind=zebra", "kind", "!kind", "kind!=horse", "colour"],
    "pattern": [ZEBRA_ID, f"{ZEBRA_ID},{'0' * 18}", "zebra"],
    "not_pattern": [ZEBRA_ID, "0" * 18],
    "tail": ["0", "1", "1000"],
    "since": ["1d", "0"],
    "until": ["1ms", "1d"],
    "around": ["{epoch}-1", "{epoch}-2", "{epoch}-5", "{epoch}-6", "{epoch}-999999", "x"],
    "before": ["0", "1000", "2000000000000"],
    "after": ["0", "1000"],
    "follow": ["false"],
    "lines": ["0", "1000"],
    "last_event_id": ["0-0-0", "{epoch}-0", "{epoch}-2", "{epoch}-999999", "garbage"],
    "format": ["sse", "ndjson", "text"],
    "compare": ["deploy", "10s", "30m", "x"],
}


@pytest.fixture
async def interfaces(
    nats_server: MistreatedServer, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[dict[str, Any]]:
    """Run Fly's interfaces, which know the machines, and yield the settings that ask them."""
    monkeypatch.setattr("natstream.fly_api.client.INTERVAL", 0.0)
    monkeypatch.setattr("natstream.core.PAST_LINES", 0)  # so that numbers begin at 1
    async with FlyStandIn.run() as fly:
        old_ns = time.time_ns() - 3_600 * 10**9  # older than the history that the start reads
        fly.lines["web"] = [
            FlyLine(old_ns, "shown", instance="m-web", level="error"),
            FlyLine(old_ns, "zebra by its level", instance="m-zebra"),
            FlyLine(old_ns, "zebra crimson", instance="m-web", level="error"),
        ]
        fly.machines["web"] = [{"id": "m-web", "name": "shown"}]
        fly.machines["zebra-app"] = [{"id": "m-zebra", "name": "zebra", "state": "zebra"}]
        yield {
            "NATSTREAM_SOURCES": "nats,drain",
            "NATSTREAM_NATS_URL": nats_server.url,
            "FLY_ORG": nats_server.user,
            "ACCESS_TOKEN": nats_server.password,
            "FLY_APP": "web",
            **fly.environ,
        }


def publish(service: RunningService) -> None:
    """Publish lines inside and outside of the scope in turns, and announce notices."""
    core = service.service.core
    for lines in runs():
        core.hub.publish_nowait(lines)
    announce(service)


async def store(service: RunningService) -> None:
    """Publish the same through the journal."""
    await service.state("journal", "up")
    core = service.service.core
    assert core.journal is not None
    for lines in runs():
        await core.journal.publish(lines)
    with trio.fail_after(PATIENCE):
        while core.hub.statistics().published < LINES * (1 + len(OUTSIDE)):
            await trio.sleep(0.01)
    announce(service)


def runs() -> Iterator[list[LogEntry]]:
    for number in range(LINES):
        yield [attrs.evolve(VISIBLE, message=f"shown {number}"), *OUTSIDE]


def announce(service: RunningService) -> None:
    core = service.service.core
    core.hub.announce("12,345 zebra lines came too fast", gap=Gap(12_345, 1))
    core.hub.announce("zebra-app fails", "error")
    core.health.sources["drain"].change(SourceState.LOST, "logs.zebra-app.> is lost")
    core.health.sources["drain"].lines = 12_345


async def all_of(service: RunningService, path: str, headers: dict[str, str]) -> str:
    """Return the status, the headers and the body of the answer to a request."""
    response = await service.get(path, headers=headers)
    assert response.status_code < 500, path
    return f"{response.status_code} {dict(response.headers)} {response.text}"


def assert_nothing_outside(text: str, where: str) -> None:
    assert MARK not in text.lower(), where
    assert "12,345" not in text, where
    assert "12345" not in UNIX_MS.sub("", text.replace("1664310877", "")), where


@pytest.mark.parametrize("shown", ["bearer", "cookie"])
async def test_nothing_outside_a_scope_leaks(shown: str, interfaces: dict[str, Any]) -> None:
    """No route, method or parameter shows a scoped reader anything from outside of its scope."""
    async with closed_service(**interfaces) as service:
        publish(service)
        await walk(service, shown)


async def test_nothing_outside_a_scope_leaks_from_the_journal(
    journal: JournalServer, interfaces: dict[str, Any]
) -> None:
    """Nothing from outside of the scope leaks either if most lines are read from the journal."""
    environ: dict[str, Any] = {**interfaces, **journal.environ, "NATSTREAM_BACKLOG_LINES": "10"}
    async with closed_service(**environ) as service:
        await store(service)
        assert service.service.core.hub.statistics().backlog_lines <= 10
        headers = bearer(grant_text(*SCOPE))
        response = await service.get("/api/logs?follow=false&format=text", headers=headers)
        assert response.text.count("shown") == LINES, "the lines must come from the journal"
        await walk(service, "bearer")


async def walk(service: RunningService, shown: str) -> None:
    """Request every route with every method and parameter, and check each answer."""
    text = grant_text(*SCOPE)
    scoped = bearer(text) if shown == "bearer" else {"Cookie": f"{COOKIE}={text}"}
    epoch = f"{service.service.core.hub.backlog.oldest_ms}-{service.service.core.hub.epoch}"
    await known(service, f"{epoch}-2")
    ends = {"logs": "?follow=false", "machine": f"?id={epoch}-2", "earlier": "?app=web"}
    known_parameters = FILTER_PARAMETERS | STREAM_PARAMETERS | EARLIER_PARAMETERS
    assert set(CURIOUS) == known_parameters | PATTERN_PARAMETERS
    asked, links = 0, ""
    wider = {"query": "", "expires": "30d"}
    for rule in service.service.core.app.url_map.iter_rules():
        path = str(rule.rule).replace("<path:name>", "js/link.js")
        for method in ("HEAD", "OPTIONS", "POST", "PUT", "DELETE", "PATCH"):
            response = await service.client.request(
                method, f"{service.url}{path}", headers=scoped, json=wider
            )
            assert response.status_code < 500, (method, path)
            if (method, rule.endpoint) == ("POST", "make_link"):
                assert response.status_code == 403, "a link must not make a wider one"
                links = path
            assert_nothing_outside(f"{dict(response.headers)} {response.text}", path)
        if rule.endpoint not in READABLE | OPEN:
            assert (await service.get(path, headers=scoped)).status_code == 403, path
            continue
        end = ends.get(rule.endpoint, "")
        whole = await all_of(service, f"{path}{end}", bearer())
        assert (MARK in whole) is (rule.endpoint in READABLE), "the test itself must see it"
        assert_nothing_outside(await all_of(service, f"{path}{end}", scoped), path)
        for name, values in CURIOUS.items():
            for value in values:
                for format in CURIOUS["format"] if rule.endpoint == "logs" else [""]:
                    query = httpx.QueryParams({name: value.format(epoch=epoch)})
                    if rule.endpoint == "logs":
                        query = query.set("follow", "false").set(
                            "format", value if name == "format" else format
                        )
                    if rule.endpoint == "earlier" and name != "app":
                        query = query.set("app", "web")
                    got = await all_of(service, f"{path}?{query}", scoped)
                    # An error may repeat a value from the request, which the client knows anyway.
                    if not got.startswith("400"):
                        assert_nothing_outside(got, f"{path}?{query}")
                    asked += 1
    assert asked > 200
    assert links == "/api/links"


async def known(service: RunningService, id: str) -> None:
    """Wait until the machine of a line is known."""
    with trio.fail_after(PATIENCE):
        while (await service.get(f"/api/machine?id={id}", headers=bearer())).json() == NO_MACHINE:
            await trio.sleep(0.01)


NO_MACHINE = {"machine": None}


async def test_only_machines_of_lines_in_a_scope_are_shown(interfaces: dict[str, Any]) -> None:
    """A link's holder gets the machine of a line of its scope, and one answer for all others."""
    async with closed_service(**interfaces) as service:
        publish(service)
        backlog = service.service.core.hub.backlog
        epoch = f"{backlog.oldest_ms}-{backlog.epoch}"
        for number in (1, 2):
            await known(service, f"{epoch}-{number}")
        scoped = bearer(grant_text(*SCOPE))
        own = await service.get(f"/api/machine?id={epoch}-1", headers=scoped)
        assert own.json()["machine"]["name"] == "shown"
        others = {
            (answer.status_code, answer.text)
            for id in (*(f"{epoch}-{n}" for n in (2, 3, 4, 5, 0, 10**9)), "x", "")
            for answer in [await service.get(f"/api/machine?id={id}", headers=scoped)]
        }
        assert [status for status, _ in others] == [404]


@pytest.mark.parametrize("name", ["pattern", "not_pattern"])
def test_a_scope_cannot_name_a_pattern(name: str) -> None:
    """A link by patterns is refused, because the ids depend on how lines are masked."""
    with pytest.raises(BadQuery, match=f"{name} cannot be part of a link"):
        Grant(query=(("app", "web"), (name, ZEBRA_ID)))


@pytest.mark.parametrize("name", ["group", "release"])
def test_a_scope_cannot_name_what_processes_may_know_differently(name: str) -> None:
    """A link by process group or release is refused, but a reader may narrow its scope by them."""
    with pytest.raises(BadQuery, match=f"{name} cannot be part of a link"):
        Grant(query=(("app", "web"), (name, "7")))
    narrowed = Grant(query=SCOPE).narrow(Filter.from_query([(name, "7")]))
    assert not narrowed.matches(VISIBLE)
    assert narrowed.matches(attrs.evolve(VISIBLE, group="7", release="7"))


QUERIES = st.lists(
    st.sampled_from(
        [(name, value) for name in sorted(FILTER_PARAMETERS) for value in CURIOUS[name] if value]
    ),
    max_size=4,
)


@given(QUERIES)
def test_a_filter_can_only_narrow_a_scope(query: list[tuple[str, str]]) -> None:
    """A scoped reader's filter lets an entry through only if the scope lets it through, too."""
    try:
        wanted = Filter.from_query(query)
    except BadQuery:
        return
    grant = Grant(query=SCOPE)
    assert grant.scope is not None
    narrowed = grant.narrow(wanted)
    assert narrowed.scoped
    for entry in (VISIBLE, *OUTSIDE):
        assert narrowed.matches(entry) is (grant.scope.matches(entry) and wanted.matches(entry))


async def test_a_scoped_reader_sees_all_of_its_part() -> None:
    """A scoped reader gets all past and live lines of its scope, and its filter narrows them."""
    async with closed_service() as service:
        publish(service)
        headers = bearer(grant_text(*SCOPE))
        response = await service.get("/api/logs?follow=false&format=ndjson", headers=headers)
        lines = [json.loads(line) for line in response.text.splitlines() if line]
        assert [line["message"] for line in lines if "app" in line] == [
            f"shown {number}" for number in range(LINES)
        ]
        response = await service.get(
            "/api/logs?follow=false&q=shown+7&format=text", headers=headers
        )
        assert response.text.count("shown") == 1
        response = await service.get(
            "/api/logs?follow=false&app=zebra-app&format=text", headers=headers
        )
        assert "shown" not in response.text
        async with service.stream("?tail=3", headers=headers) as stream:
            assert [event.message for event in await stream.lines(3)] == [
                "shown 17",
                "shown 18",
                "shown 19",
            ]
            service.service.core.hub.publish_nowait(
                [*OUTSIDE, attrs.evolve(VISIBLE, message="shown live")]
            )
            assert (await stream.lines(1))[0].message == "shown live"
        resumed = {**headers, "Last-Event-ID": stream.id}
        service.service.core.hub.publish_nowait(
            [attrs.evolve(VISIBLE, message="shown later"), *OUTSIDE]
        )
        async with service.stream(headers=resumed) as stream:
            assert (await stream.lines(1))[0].message == "shown later"


async def test_counts_are_those_of_the_scope() -> None:
    """The counts for a scoped reader are those of its scope, by every field and with any filter."""
    scope = (("app", "web"), ("min_level", "warn"))
    async with closed_service() as service:
        hub = service.service.core.hub
        hub.publish_nowait(
            [VISIBLE] * 3 + [entry for entry in OUTSIDE if "crimson" not in entry.message] * 50
        )
        for query in ("", "?app=zebra-app", "?level=info", "?q=zebra"):
            counted = (
                await service.get(f"/api/facets{query}", headers=bearer(grant_text(*scope)))
            ).json()
            assert counted["app"] in ({"web": {"lines": 3, "rate": pytest.approx(3, abs=3)}}, {})
            assert not any(figures["lines"] for figures in counted["other"].values())
            assert MARK not in json.dumps(counted)
        everything = (await service.get("/api/facets", headers=bearer())).json()
        assert set(everything["app"]) == {"web", "zebra-app", "zebra-too"}


async def test_the_time_of_the_last_line_is_not_told_to_scoped_readers() -> None:
    """A link's holder is not told when lines came, because most may be outside of the scope."""
    async with closed_service() as service:
        for status in service.service.core.health.sources.values():
            status.last_line = status.checked = time.time()
            status.is_uncheckable = True
        scoped = await service.get("/api/status", headers=bearer(grant_text(*SCOPE)))
        assert set(scoped.json()["sources"]["drain"]) == {"state", "since"}
        everything = await service.get("/api/status", headers=bearer())
        assert {"last_line", "checked", "uncheckable"} <= set(everything.json()["sources"]["drain"])


async def test_gaps_and_notices_are_reduced_for_scoped_readers() -> None:
    """A scoped reader gets gaps without counts and notices without names."""
    async with closed_service(NATSTREAM_BACKLOG_LINES="10") as service:
        core = service.service.core
        scoped = bearer(grant_text(*SCOPE))
        core.hub.publish_nowait([VISIBLE])
        async with service.stream("?tail=1", headers=scoped) as stream:
            resume_id = (await stream.lines(1))[0].id
        for _ in range(10):
            core.hub.publish_nowait([VISIBLE, *OUTSIDE])
        async with service.stream(headers={**scoped, "Last-Event-ID": resume_id}) as stream:
            gap = await stream.next()
            assert gap.data["gap"]["missed"] is None
            assert "at_most" not in gap.data["gap"]
            await stream.lines(2)
        async with service.stream(headers={**bearer(), "Last-Event-ID": resume_id}) as stream:
            assert (await stream.next()).data["gap"]["missed"] == 40
        async with (
            service.stream(headers=scoped) as one,
            service.stream(headers=bearer()) as other,
        ):
            core.hub.announce("12,345 zebra lines came too fast", gap=Gap(12_345, 1))
            core.hub.announce("zebra-app fails", "error")
            got = [await one.next(), await one.next()]
            assert_nothing_outside(str(got), "a live notice")
            assert got[0].data["gap"] == {"missed": None, "since": 1}
            assert got[1].data["type"] == "error"
            assert (await other.next()).data["gap"]["missed"] == 12_345
            service.stop.set()
            assert (await one.next()).message == "natstream is closing"


async def test_the_state_of_a_source_is_shown_without_names() -> None:
    """A scoped reader sees the state of a source without names, and when its own scope expires."""
    async with closed_service() as service:
        core = service.service.core
        core.health.sources["drain"].change(SourceState.LOST, "zebra-app is lost")
        scoped = bearer(grant_text(*SCOPE))
        async with service.stream(headers=scoped) as stream:
            event = await stream.next()
            assert event.data["type"] == "error"
            assert_nothing_outside(event.message, "a standing notice")
        status = (await service.get("/api/status", headers=scoped)).json()
        assert status["sources"]["drain"]["state"] == "lost"
        assert status["scope"] == "app=web&min_level=warn&not=crimson"
        assert time.time() * 1000 < status["expires"] < (time.time() + 61) * 1000
        assert not {"readers", "backlog", "subjects", "drain"} & set(status)
        whole = (await service.get("/api/status", headers=bearer())).json()
        assert whole["drain"]["url"].startswith("http://127.0.0.1:")


@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_a_line_outside_a_scope_is_as_unknown_as_one_that_never_was(method: str) -> None:
    """Around a hidden line, an evicted line and a made-up id, a scoped reader gets one answer."""
    async with closed_service() as service:
        publish(service)
        backlog = service.service.core.hub.backlog
        epoch = f"{backlog.oldest_ms}-{backlog.epoch}"
        seen = set()
        for id in (*(f"{epoch}-{n}" for n in (2, 3, 4, 5, 0, 10**9)), "1-other-1", "nonsense"):
            for query in ("", "&app=zebra-app", "&q=zebra", "&before=1000&after=1000"):
                response = await service.client.request(
                    method,
                    f"{service.url}/api/logs?around={id}{query}",
                    headers=bearer(grant_text(*SCOPE)),
                )
                headers = {k: v for k, v in response.headers.items() if k.lower() != "date"}
                seen.add((response.status_code, str(headers), response.text))
        assert [answer[0] for answer in seen] == [404]


EXPRESSION = "/[0-9]*1[0-9]{80}x/"


@pytest.mark.parametrize(
    "query",
    ["", "tail=5&follow=false&", "since=1h&follow=false&", "until=1ms&", "around={visible}&"],
)
@pytest.mark.parametrize("asked", [("not", EXPRESSION), ("not", "horse")])
async def test_a_readers_searches_see_no_hidden_line(
    query: str, asked: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """No text or expression of a link's reader runs on a line that the scope hides.

    Before, the time that an expression took told of the hidden text: with fifty requests, a holder
    of a link read an eight-digit number after a word that the link excludes.
    """
    searched: list[str] = []
    search = selecting.Search.select

    def spy(self: Any, entries: Any, indices: Any, cache: Any, turn: Any) -> Any:
        indices = list(indices)
        if self.matches("password"):  # The scope's own search rejects this text.
            searched.extend(entries[index].message for index in indices)
        return search(self, entries, indices, cache, turn)

    headers = bearer(grant_text(("not", "password")))
    async with closed_service() as service:
        hub = service.service.core.hub
        secrets = [attrs.evolve(VISIBLE, message=f"password {n * 7919:08}") for n in range(20)]
        hub.publish_nowait([*secrets, VISIBLE])
        backlog = hub.backlog
        visible = f"{backlog.oldest_ms}-{backlog.epoch}-21"
        monkeypatch.setattr(selecting.Search, "select", spy)
        path = f"/api/logs?{query.format(visible=visible)}{httpx.QueryParams([asked])}"
        if query:
            await service.get(path, headers=headers)
            await service.get(f"/api/fields?{httpx.QueryParams([asked])}", headers=headers)
        else:
            async with service.stream(path.removeprefix("/api/logs"), headers=headers) as live:
                hub.publish_nowait([*secrets, VISIBLE])
                with trio.move_on_after(0.3):
                    await live.next()
                    await live.next()
    assert searched
    assert not [message for message in searched if "password" in message]


async def test_eight_hidden_digits_cost_no_reader_any_time(autojump_clock: object) -> None:
    """A link's reader pays for the same work whatever the hidden lines hold."""
    scope = Grant(query=(("not", "password"),)).scope
    assert scope is not None
    guess = scope & Filter.from_query([("not", "/password [0-4].{90}x|[ab]*a[ab]{80}x/")])
    for secret in ("password 0" + "ab" * 5_000, "password 9" + "ab" * 5_000):
        hub = Hub()
        hub.publish_nowait([attrs.evolve(VISIBLE, message=secret)] * 50)
        budget = hub.budgets.reader("link")
        with hub.subscribe(guess, since=0, follow=False, budget=budget) as reader:
            async for item in reader:
                assert not isinstance(item, Selection) or not item.lines
        assert not budget.is_used_up


DIGITS = 8
# The times and the delays by chance, which differ between two services with the same lines.
OF_A_RUN = re.compile(
    r"\b1[67]\d{8,17}\b|\d{4}-\d\d-\d\dT[\d:.]+Z|\"rate\":[\d.]+|^retry: \d+$", re.MULTILINE
)
# Expressions by which one position is asked for half of the digits that are left, with a tail that
# takes long where the beginning is there.
HALVES = ("[0-4]", "[0-2]", "[57]", "[01]", "[38]", "[69]")


def questions(visible: str) -> Iterator[str]:
    """Yield 52 requests that a holder of a link asks about the digits behind a hidden word."""
    paths = (
        *("/api/logs?follow=false&since=1h&format=ndjson", "/api/logs?follow=false&tail=5"),
        *("/api/facets?", "/api/fields?", "/api/patterns?", f"/api/logs?around={visible}"),
    )
    guesses = [(place, half) for place in range(DIGITS) for half in HALVES]
    guesses += [(place, "[2-7]") for place in range(4)]
    for number, (place, half) in enumerate(guesses):
        text = f"/password [0-9]{{{place}}}{half}.{{90}}x|[ab]*a[ab]{{80}}x/"
        name = ("q", "not")[number // len(paths) % 2]
        yield f"{paths[number % len(paths)]}&{httpx.QueryParams({name: text})}"


async def answers_about(secret: str, scope: tuple[str, str]) -> list[tuple[int, str]]:
    """Return the answers to all questions, of a service whose hidden lines hold a secret."""
    answers = []
    async with closed_service() as service:
        hub = service.service.core.hub
        hidden = attrs.evolve(VISIBLE, message=f"password {secret}" + "ab" * 2_000)
        shown = attrs.evolve(VISIBLE, message="public " + "ab" * 50)
        hub.publish_nowait([shown, *[hidden] * 20, shown])
        visible = f"{hub.backlog.oldest_ms}-{hub.backlog.epoch}-1"
        headers = bearer(grant_text(scope))
        for path in questions(visible):
            response = await service.get(path, headers=headers)
            text = OF_A_RUN.sub("", response.text).replace(hub.backlog.epoch, "")
            answers.append((response.status_code, text))
    return answers


@pytest.mark.parametrize("scope", [("not", "/password/"), ("q", "public")])
async def test_eight_hidden_digits_are_not_found_by_52_questions(
    scope: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A link's holder gets equal answers to 52 questions, whatever eight digits are hidden.

    The event loop counts as late, because only then a filter is slowed or ended.
    """
    monkeypatch.setattr(LoopDelay, "is_late", property(lambda _: True))
    first = await answers_about("14725836", scope)
    second = await answers_about("96038571", scope)
    assert len(first) == 52
    assert first == second
    assert {status for status, _ in first} == {200}
    assert any("public" in text for _, text in first)
    assert not any("password" in text for _, text in first)


async def test_the_arrival_of_a_hidden_line_cannot_be_guessed() -> None:
    """A link's holder that resumes after a hidden line gets one answer for every guessed time."""
    headers = bearer(grant_text(*SCOPE))
    async with closed_service() as service:
        publish(service)
        backlog = service.service.core.hub.backlog
        hidden, visible = 2, 1 + len(OUTSIDE) + 1
        answers: dict[int, set[str]] = {hidden: set(), visible: set()}
        for number, texts in answers.items():
            for wrong in (0, 1, 60_000):
                id = f"{backlog.arrival(number) - wrong}-{backlog.epoch}-{number}"
                path = f"/api/logs?follow=false&format=ndjson&last_event_id={id}"
                text = await all_of(service, path, headers)
                texts.add(UNIX_MS.sub("", text))
    assert len(answers[hidden]) == 1
    assert len(answers[visible]) == 2, "a number that was given twice is noticed elsewhere"


async def test_around_a_line_of_a_scope_are_lines_of_the_scope() -> None:
    """Around a line of its scope, a scoped reader gets only lines of its scope."""
    async with closed_service() as service:
        publish(service)
        backlog = service.service.core.hub.backlog
        line = f"{backlog.oldest_ms}-{backlog.epoch}-{5 * (1 + len(OUTSIDE)) + 1}"
        scoped = bearer(grant_text(*SCOPE))
        text = await all_of(service, f"/api/logs?around={line}&before=2&after=3&app=web", scoped)
        assert_nothing_outside(text, "around")
        assert [f"shown {n}" in text for n in range(10)] == [3 <= n <= 8 for n in range(10)]
        hidden = await all_of(service, f"/api/logs?around={line}&q=zebra&format=text", scoped)
        assert hidden.count("shown") == 1, "only the line itself, which is always shown"


async def test_a_link_for_everything_hides_nothing() -> None:
    """A link without a scope shows everything, as a login does."""
    async with closed_service() as service:
        publish(service)
        headers = bearer(grant_text())
        response = await service.get("/api/logs?follow=false&format=text", headers=headers)
        assert "zebra by its app" in response.text
        assert (await service.get("/metrics", headers=headers)).status_code == 200


@pytest.mark.parametrize("busy", [False, True])
async def test_a_stream_ends_when_its_grant_expires(busy: bool) -> None:
    """A stream ends with an error notice when its grant expires, whether lines come or not."""
    async with closed_service() as service, trio.open_nursery() as nursery:
        text = grant_text(("app", "web"), seconds=2)

        async def publish() -> None:
            while busy:
                service.service.core.hub.publish_nowait([VISIBLE])
                await trio.sleep(0.01)

        nursery.start_soon(publish)
        async with service.stream(headers=bearer(text)) as stream:
            events = await stream.until("expired")
            assert events[-1].data["type"] == "error"
            assert any(event.is_line for event in events) is busy
            with pytest.raises(StopAsyncIteration):
                await stream.next()
        assert (await service.get("/api/status", headers=bearer(text))).status_code == 401
        nursery.cancel_scope.cancel()


def test_reducing_a_notice_keeps_no_words_of_it() -> None:
    """A reduced notice keeps no words of the original, unless the notice is public."""
    gap = Notice("7 zebra lines", gap=Gap(7, 5, at_most=True, doubles=True)).reduced()
    assert gap.gap == Gap(None, 5, doubles=True)
    for notice in (gap, Notice("zebra", "error").reduced(), Notice("zebra").reduced()):
        assert MARK not in notice.message
        assert notice.reduced() == notice
    assert Notice("closing", public=True).reduced().message == "closing"
