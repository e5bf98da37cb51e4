"""`/metrics`: its counts; and documentation and alerts use the same names."""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, get_args

import pytest
import trio
import yaml
from prometheus_client.openmetrics.parser import (
    text_string_to_metric_families as parse_openmetrics,
)
from prometheus_client.parser import text_string_to_metric_families as parse
from tests.support.closed import TOKEN, bearer, closed_service, grant_text
from tests.support.journal_server import USER, JournalServer
from tests.support.mistreated import authorization
from tests.support.service import RunningService, open_service
from tests.support.waiting import PATIENCE, until

from natstream.entries.entry import LogEntry
from natstream.errors import JournalReason
from natstream.hub.health import Health, SourceState
from natstream.hub.hub import Hub
from natstream.hub.loop_delay import DELAY_BUCKETS, DELAY_INTERVAL, LoopDelay
from natstream.journal import outbox
from natstream.web.metrics import Metrics

ROOT = Path(__file__).parents[2]
OPERATIONS = (ROOT / "docs/operations.md").read_text(encoding="utf-8")
ALERTS = (ROOT / "deploy/alerts.yml").read_text(encoding="utf-8")

# Prometheus' own, beside those of the service.
PROCESS = {
    "process_cpu_seconds_total",
    "process_resident_memory_bytes",
    "process_open_fds",
    "process_max_fds",
    "process_virtual_memory_bytes",
    "process_start_time_seconds",
}

Figure = Callable[..., float]


def figures(text: str) -> Figure:
    """Return a function that gives the value of a sample, by its name and labels."""
    samples = {
        (sample.name, *sorted(sample.labels.items())): sample.value
        for family in parse(text)
        for sample in family.samples
    }

    def figure(name: str, **labels: str) -> float:
        return samples[(name, *sorted(labels.items()))]

    return figure


def names(text: str) -> set[str]:
    """Return the names of all metrics, as queries write them."""
    return {family.name + ("_total" if family.type == "counter" else "") for family in parse(text)}


async def scrape(service: RunningService, **options: Any) -> str:
    response = await service.get("/metrics", **options)
    assert response.status_code == 200
    return response.text


def entry(message: str = "x") -> LogEntry:
    return LogEntry("m1", message, "stdout", app_name="web")


async def test_every_metric_is_documented_and_no_other() -> None:
    """docs/operations.md describes exactly the metrics that exist, and alerts use no others."""
    async with JournalServer.run() as journal, open_service(**journal.environ) as service:
        await service.state("drain", "up")
        exported = names(await scrape(service))
    documented = set(re.findall(r"`((?:natstream|process)_[a-z_]+)(?:\{[a-z,]*\})?`", OPERATIONS))
    assert {name for name in exported if name.startswith("natstream_")} == {
        name for name in documented if name.startswith("natstream_")
    }
    assert exported - documented <= PROCESS
    asked = set(re.findall(r"\b(?:natstream|process)_[a-z_]+", _expressions()))
    assert {re.sub("_bucket$", "", name) for name in asked} <= exported


def _expressions() -> str:
    rules = [rule for group in yaml.safe_load(ALERTS)["groups"] for rule in group["rules"]]
    return "\n".join(rule["expr"] for rule in rules)


def test_the_alert_rules_are_as_prometheus_takes_them() -> None:
    """Each rule has a name, severity, summary and description, and names states that exist."""
    document = yaml.safe_load(ALERTS)
    assert list(document) == ["groups"]
    rules = [rule for group in document["groups"] for rule in group["rules"]]
    assert len({rule["alert"] for rule in rules}) == len(rules) > 5
    for rule in rules:
        assert set(rule) - {"for"} == {"alert", "expr", "labels", "annotations"}
        assert re.fullmatch(r"Natstream[A-Za-z]+", rule["alert"])
        assert rule["labels"]["severity"] in ("critical", "warning")
        assert set(rule["annotations"]) == {"summary", "description"}
        assert re.fullmatch(r"[0-9]+[smh]", rule.get("for", "1m"))
        assert all(rule["expr"].count(a) == rule["expr"].count(b) for a, b in ("()", "[]", "{}"))
        assert all(re.fullmatch(r"[0-9]+[smh]", r) for r in re.findall(r"\[(.*?)\]", rule["expr"]))
    states = set(re.findall(r'state!?="([a-z]+)"', _expressions()))
    assert states <= {state.value for state in SourceState}
    # The alerts come when the outbox is half full.
    waiting = dict(re.findall(r"natstream_journal_waiting_(lines|bytes) > (\d+)", _expressions()))
    assert waiting == {"lines": str(outbox.MAX_LINES // 2), "bytes": str(outbox.MAX_BYTES // 2)}


async def test_the_exposition_is_valid_in_both_forms() -> None:
    """Both Prometheus' text and OpenMetrics are valid, and names follow the conventions."""
    async with open_service() as service:
        await service.state("drain", "up")
        service.service.core.hub.publish_nowait([entry()])
        response = await service.get("/metrics")
        assert response.headers["Content-Type"].startswith("text/plain; version=")
        for family in parse(response.text):
            assert re.fullmatch(r"[a-z][a-z0-9]*(_[a-z0-9]+)*", family.name)
            assert family.documentation
        headers = {"Accept": "application/openmetrics-text; version=1.0.0"}
        response = await service.get("/metrics", headers=headers)
        assert response.headers["Content-Type"].startswith("application/openmetrics-text")
        assert list(parse_openmetrics(response.text))  # type: ignore[no-untyped-call]  # no types
        assert (await service.client.head(f"{service.url}/metrics")).status_code == 200


async def test_lines_are_counted_on_their_way(nats_server: Any) -> None:
    """Lines are counted when they arrive, fail to parse, are sent and are remembered."""
    async with (
        open_service(nats_server, NATSTREAM_BACKLOG_LINES="4") as service,
        service.stream() as one,
        service.stream("?q=2") as two,
    ):
        payloads = [b'{"message": "1"}', b'{"message": "2"}', b'{"message": "3"}', b"not JSON: 2"]
        await nats_server.publish("logs.web.iad.m1", [*payloads, b'{"message": "5"}'])
        await one.lines(5)
        await two.lines(2)
        figure = figures(await scrape(service))
        assert figure("natstream_source_lines_total", source="nats") == 5
        assert figure("natstream_source_bytes_total", source="nats") == 4 * 16 + 11
        assert figure("natstream_source_parse_failures_total", source="nats") == 1
        assert figure("natstream_source_connects_total", source="nats") == 1
        assert figure("natstream_source_state", source="nats", state="up") == 1
        assert figure("natstream_source_state", source="nats", state="lost") == 0
        assert figure("natstream_published_lines_total") == 5
        assert figure("natstream_sent_lines_total") == 7
        assert figure("natstream_sent_bytes_total") > 7 * 100
        assert figure("natstream_readers") == 2
        assert figure("natstream_slowest_reader_lag_lines") == 0
        assert figure("natstream_backlog_lines") == 4
        assert figure("natstream_backlog_bytes") > 4 * 600
        assert figure("natstream_backlog_oldest_timestamp_seconds") > 1_600_000_000
        assert figure("natstream_ready") == 1
        await nats_server.kill()
        await service.state("nats", "lost")
        figure = figures(await scrape(service))
        assert figure("natstream_ready") == 0
        assert figure("natstream_source_state", source="nats", state="up") == 0
        await nats_server.restart()
        await service.state("nats", "up")
        figure = figures(await scrape(service))
        assert figure("natstream_source_connects_total", source="nats") == 2
        assert figure("natstream_task_restarts_total", task="nats") >= 1


async def test_gaps_and_lag_are_counted() -> None:
    """Gaps are counted as they are announced, and a reader that reads nothing lags."""
    async with open_service(NATSTREAM_BACKLOG_LINES="10") as service:
        hub = service.service.core.hub
        hub.publish_nowait([entry("first")])
        async with service.stream("?tail=1") as stream:
            resume_id = (await stream.lines(1))[0].id
        await service.readers(0)
        for number in range(50):
            hub.publish_nowait([entry(str(number))])
        async with service.stream(headers={"Last-Event-ID": resume_id}) as stream:
            await stream.lines(10)
        figure = figures(await scrape(service))
        assert figure("natstream_reader_gaps_total") == 1
        assert figure("natstream_reader_missed_lines_total") == 40
        with hub.subscribe(since=0):
            assert figures(await scrape(service))("natstream_slowest_reader_lag_lines") == 10


async def test_the_drains_answers_are_counted() -> None:
    """The drain's answers are counted by status, and its dropped lines by reason."""
    async with open_service(
        NATSTREAM_DRAIN_TOKEN="t", NATSTREAM_DRAIN_BIND="127.0.0.1:0"
    ) as service:
        await service.state("drain", "up")
        metrics = service.service.core.metrics
        assert metrics.drain is not None
        address = re.search(r"http://[^ ,]+", service.service.core.health.sources["drain"].detail)
        assert address is not None
        for headers, body in (
            ({}, b"x"),
            (bearer("t"), b'[{"instance":"m","message":"x"},5]'),
        ):
            await service.client.post(address[0], content=body, headers=headers)
        figure = figures(await scrape(service))
        assert figure("natstream_drain_answers_total", status="401") == 1
        assert figure("natstream_drain_answers_total", status="200") == 1
        assert figure("natstream_drain_dropped_lines_total", reason="not_json") == 1
        assert figure("natstream_source_lines_total", source="drain") == 1


# --- the journal -----------------------------------------------------------------------------


def troubles(text: str) -> dict[str, float]:
    """Return the samples that name the journal's trouble."""
    return {
        sample.labels["reason"]: sample.value
        for family in parse(text)
        for sample in family.samples
        if family.name == "natstream_journal_trouble"
    }


WELL = dict.fromkeys(get_args(JournalReason), 0.0)


async def test_the_journals_lines_are_counted(nats_server: Any) -> None:
    """Two processes with the same source store each line once, and each counts its part."""
    async with (
        JournalServer.run() as journal,
        open_service(nats_server, **journal.environ) as one,
        open_service(nats_server, **journal.environ) as other,
    ):
        for service in (one, other):
            await service.state("journal", "up")
        payloads = [b'{"message": "%d"}' % number for number in range(50)]
        await nats_server.publish("logs.web.iad.m1", payloads)
        stored = duplicates = 0.0
        for service in (one, other):

            async def is_through(service: RunningService = service) -> bool:
                figure = figures(await scrape(service))
                return (
                    figure("natstream_source_lines_total", source="journal") == 50
                    and figure("natstream_journal_waiting_lines") == 0
                )

            await until(is_through)
            text = await scrape(service)
            figure = figures(text)
            assert figure("natstream_journal_stored_lines_total") == 50
            assert figure("natstream_journal_waiting_bytes") == 0
            assert figure("natstream_journal_standing_in") == 0
            assert figure("natstream_source_lost_lines_total", source="journal") == 0
            assert figure("natstream_published_lines_total") == 50
            assert troubles(text) == WELL
            stored += figure("natstream_journal_stored_lines_total")
            duplicates += figure("natstream_journal_duplicate_lines_total")
        assert stored - duplicates == await journal.stored() == 50


# A stream that refuses lines when it is full. natstream's own stream would drop the oldest ones.
FULL = {
    "name": "natstream",
    "subjects": ["natstream.>"],
    "storage": "file",
    "discard": "new",
    "max_msgs": 1,
}


async def make_away(journal: JournalServer, nats: Any, reason: str) -> None:
    match reason:
        case "full":
            await nats.publish("logs.web.iad.m1", [b'{"message": "1"}', b'{"message": "2"}'])
        case "unreachable":
            await journal.kill()
        case "denied":
            journal.settings["authorization"] = authorization({**USER, "password": "a new one"})
            await journal.restart()
        case "no_jetstream":
            del journal.settings["jetstream"]
            await journal.restart()


@pytest.mark.parametrize("reason", ["unreachable", "denied", "no_jetstream", "full"])
async def test_what_keeps_the_journal_away_is_told_apart(reason: str, nats_server: Any) -> None:
    """/readyz, the status and a metric give one word for the trouble, while lines wait.

    The status does not give that word to the holder of a link.
    """
    scoped = bearer(grant_text(("app", "web")))
    async with AsyncExitStack() as stack:
        journal = await stack.enter_async_context(JournalServer.run())
        if reason == "full":
            assert "error" not in await journal.ask("STREAM.CREATE.natstream", FULL)
        service = await stack.enter_async_context(
            open_service(nats_server, **journal.environ, NATSTREAM_TOKEN=TOKEN)
        )
        await service.state("journal", "up")
        answer = (await service.get("/readyz", headers=bearer())).json()
        assert "reason" not in answer["sources"]["journal"]

        await make_away(journal, nats_server, reason)
        statistics = service.service.core.metrics.journal
        assert statistics is not None
        await until(lambda: statistics().away and statistics().reason == reason)
        waiting = statistics().waiting
        await nats_server.publish("logs.web.iad.m1", [b'{"message": "while it is away"}'])
        await until(lambda: statistics().waiting == waiting + 1)
        response = await service.get("/readyz", headers=bearer())
        assert response.status_code == 503
        assert response.json()["sources"]["journal"]["reason"] == reason
        assert "reason" not in response.json()["sources"]["nats"]
        answer = (await service.get("/api/status", headers=bearer())).json()
        assert answer["sources"]["journal"]["reason"] == reason
        answer = (await service.get("/api/status", headers=scoped)).json()
        assert set(answer["sources"]["journal"]) == {"state", "since"}
        text = await scrape(service, headers=bearer())
        assert troubles(text) == WELL | {reason: 1.0}
        figure = figures(text)
        assert figure("natstream_journal_standing_in") == 1
        assert figure("natstream_journal_waiting_lines") == waiting + 1
        assert figure("natstream_journal_waiting_bytes") > 100
        assert figure("natstream_source_state", source="journal", state="up") == 0


async def test_without_figures_there_is_no_sample(nats_server: Any) -> None:
    """Without a line, a drain or a journal, the metrics about them have no sample."""
    async with open_service(nats_server) as service:
        text = await scrape(service)
        assert "natstream_journal" not in text
        figure = figures(text)
        with pytest.raises(KeyError):
            figure("natstream_backlog_oldest_timestamp_seconds")
        with pytest.raises(KeyError):
            figure("natstream_drain_requests")


async def test_a_crash_shows() -> None:
    """A crash of the hub's task is counted, and the service is ready again after the restart."""
    async with open_service() as service:
        await service.state("drain", "up")
        hub = service.service.core.hub

        def fail(*_: object) -> None:
            raise RuntimeError("injected")

        fan_out = hub._fan_out
        fan_out._send = fail  # type: ignore[method-assign, assignment]  # an injected fault
        hub.publish_nowait([entry()])
        with trio.fail_after(PATIENCE):
            while not figures(await scrape(service))("natstream_task_restarts_total", task="hub"):
                await trio.sleep(0.02)
        del fan_out._send  # the class's own is there again
        with trio.fail_after(PATIENCE):
            while not figures(await scrape(service))("natstream_ready"):
                await trio.sleep(0.02)


# --- the event loop's delay ------------------------------------------------------------------


async def test_the_loops_delay_is_measured(autojump_clock: trio.testing.MockClock) -> None:
    """A task that blocks the event loop is counted in the bucket of its duration."""
    delay = LoopDelay()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(delay.run)
        await trio.sleep(DELAY_INTERVAL * 4.5)
        autojump_clock.jump(0.3 + DELAY_INTERVAL / 2)
        await trio.sleep(DELAY_INTERVAL / 2)
        nursery.cancel_scope.cancel()
    buckets, total = delay.histogram()
    counts = dict(buckets)
    assert counts["+Inf"] == 5
    assert counts["0.25"] == 4
    assert counts["0.5"] == 5
    assert total == pytest.approx(0.3)
    assert [limit for limit, _ in buckets] == [*map(str, DELAY_BUCKETS), "+Inf"]


async def test_the_service_measures_its_delay() -> None:
    """A running service measures the delay of its event loop."""
    async with open_service() as service:
        with trio.fail_after(PATIENCE):
            while not figures(await scrape(service))("natstream_event_loop_delay_seconds_count"):
                await trio.sleep(0.05)


# --- access ---------------------------------------------------------------------------------------


async def test_at_the_pages_port_they_are_for_readers_of_everything() -> None:
    """The page's port asks for a token, and a scoped link is refused."""
    async with closed_service() as service:
        for path in ("/metrics", "/readyz"):
            assert (await service.get(path)).status_code == 401
            assert (await service.get(path, headers=bearer())).status_code == 200
            scoped = bearer(grant_text(("app", "web")))
            assert (await service.get(path, headers=scoped)).status_code == 403


async def test_they_can_have_a_port_of_their_own() -> None:
    """A port of their own needs no token, and the page's port no longer has the endpoints."""
    environ: dict[str, Any] = {
        "NATSTREAM_METRICS_BIND": "127.0.0.1:0",
        "NATSTREAM_HOSTS": "logs.example,127.0.0.1",
    }
    async with closed_service(**environ) as service:
        private = service.service.metrics_bind
        assert private is not None
        for path in ("/metrics", "/readyz", "/healthz"):
            for host in (str(private), "172.19.0.2:9091"):
                response = await service.client.get(
                    f"http://{private}{path}", headers={"Host": host}
                )
                assert response.status_code == 200, path
        for path in ("/", "/api/logs", "/api/status", "/api/facets", "/static/js/main.js"):
            assert (await service.client.get(f"http://{private}{path}")).status_code == 404, path
        assert (await service.client.post(f"http://{private}/api/login")).status_code == 404
        for path in ("/metrics", "/readyz"):
            assert (await service.get(path)).status_code == 401
            assert (await service.get(path, headers=bearer())).status_code == 404
        assert (await service.get("/healthz", headers={"Host": "172.19.0.2"})).status_code == 200


async def test_two_services_in_one_process_count_for_themselves() -> None:
    """Each service has a registry of its own."""
    one, two = (Metrics(Hub(), Health(lambda message, type: None)) for _ in range(2))
    one.counters.sent_lines = 7
    assert figures(one.exposition()[0].decode())("natstream_sent_lines_total") == 7
    assert figures(two.exposition()[0].decode())("natstream_sent_lines_total") == 0
