"""The messages of one watch in virtual time: when they are tried, and by which process."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import attrs
import msgspec
import pytest
import structlog
import trio
from trio.testing import MockClock

from natstream.errors import JournalUnavailable
from natstream.watches import delivery
from natstream.watches.bodies import Body
from natstream.watches.claims import ClaimRecord, Slot, decode_record, encode_record
from natstream.watches.delivery import LEASE, MAX_WAITING, PATIENCE, TRY_FOR, Delivery, Firing
from natstream.watches.file import Receiver, Watch, parse_watches
from natstream.watches.report import Report
from natstream.watches.senders import Outcome
from natstream.watches.status import WatchStatus

DELIVERED = Outcome()
REFUSED = Outcome("it answered 500", may_pass=True)
GONE = Outcome("it answered 404", may_pass=False)
SECRET = "https://hooks.example.com/s3cr3t"
[WATCH] = parse_watches(f'[watches.panics]\nquery = "q=panic"\nurl = "{SECRET}"\n', {})


@attrs.define
class Script:
    """A receiver: it gives each request the next outcome, and the last one for ever."""

    outcomes: list[Outcome]
    takes: float = 0.0
    """Seconds until it answers."""
    times: list[float] = attrs.field(factory=list)
    """When each request began."""
    bodies: list[bytes] = attrs.field(factory=list)
    under_way: int = 0

    async def send(self, url: str, body: Body) -> Outcome:
        assert url == SECRET
        assert not self.under_way
        self.times.append(trio.current_time())
        self.bodies.append(body.content)
        self.under_way += 1
        try:
            await trio.sleep(self.takes)
        finally:
            self.under_way -= 1
        return self.outcomes.pop(0) if len(self.outcomes) > 1 else self.outcomes[0]


@attrs.define
class Records:
    """`Claims` in memory, as JetStream keeps them: a write succeeds over the newest record only."""

    slots: dict[str, Slot] = attrs.field(factory=dict)
    is_away: bool = False
    lost_answers: int = 0
    """How many of the next writes are stored, and their answers lost."""
    max_bytes: int = 16_384

    async def read(self, watch: str) -> Slot:
        await self._reach()
        return self.slots.get(watch, Slot(0))

    async def write(self, watch: str, content: bytes, over: int) -> int | None:
        await self._reach()
        if self.slots.get(watch, Slot(0)).number != over:
            return None
        number = sum(slot.number for slot in self.slots.values()) + 1
        self.slots[watch] = Slot(number, content)
        if self.lost_answers:
            self.lost_answers -= 1
            raise JournalUnavailable("no answer")
        return number

    async def _reach(self) -> None:
        await trio.sleep(0.001)
        if self.is_away:
            raise JournalUnavailable("away")


@attrs.define
class Process:
    """One process's delivery of the watch."""

    script: Script
    claims: Records | None = None
    owner: str = "one"
    lost: list[int] = attrs.field(factory=list)
    """The times of the firings whose message was not delivered."""
    told: list[ClaimRecord] = attrs.field(factory=list)
    found: list[ClaimRecord] = attrs.field(factory=list)
    status: WatchStatus = attrs.field(factory=lambda: WatchStatus("panics", "q=panic"))
    delivery: Delivery = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self.delivery = Delivery(
            WATCH,
            self.status,
            public_url="",
            claims=self.claims,
            owner=self.owner,
            on_record=self.found.append,
        )

    async def run(self) -> None:
        await self.delivery.run(self.script.send)

    def fire(
        self, at_ms: int = 1_000, *, count: int = 1, collect: float = 0.0, **more: Any
    ) -> None:
        report = Report(watch="panics", query="q=panic", kind="matched", at_ms=at_ms, count=count)
        self.delivery.put(
            Firing(
                lambda: report,
                ready_at=trio.current_time() + collect,
                on_lost=lambda: self.lost.append(at_ms),
                on_told=self.told.append,
                **more,
            )
        )


def process(*outcomes: Outcome, **more: Any) -> Process:
    """Return a process whose receiver gives these outcomes."""
    takes = more.pop("takes", 0.0)
    return Process(Script(list(outcomes) or [DELIVERED], takes), **more)


async def run_for(seconds: float, *processes: Process) -> None:
    """Run the deliveries for so many seconds of virtual time."""
    with trio.move_on_after(seconds):
        async with trio.open_nursery() as nursery:
            for each in processes:
                nursery.start_soon(each.run)


# --- one process -----------------------------------------------------------------------------


async def test_a_delivered_message_is_sent_once(autojump_clock: MockClock) -> None:
    """A message that the receiver takes is sent once, after the burst's lines are collected."""
    one = process()
    one.fire(collect=1.3)
    await run_for(3600, one)
    assert one.script.times == [1.3]
    assert (one.status.sent, one.status.failed, one.status.problem) == (1, 0, "")


async def test_a_failing_message_is_tried_with_doubling_pauses(autojump_clock: MockClock) -> None:
    """A message that fails is tried again for ten minutes, with pauses that double."""
    one = process(REFUSED)
    one.fire()
    await run_for(3600, one)
    times = one.script.times
    pauses = [later - sooner for sooner, later in pairwise(times)]
    for exponent, pause in enumerate(pauses[:-1]):
        assert 2**exponent / 2 <= pause <= 2**exponent
    assert times[-1] == TRY_FOR
    assert (one.status.sent, one.status.failed) == (0, 1)
    assert one.lost == [1_000]
    assert one.status.problem == "The last message to url was not delivered: it answered 500"


async def test_the_pauses_differ_between_processes(autojump_clock: MockClock) -> None:
    """The pauses have jitter, so that several processes do not try in the same moment."""
    processes = [process(REFUSED) for _ in range(5)]
    for each in processes:
        each.fire()
    await run_for(1.5, *processes)
    assert len({each.script.times[1] for each in processes}) == 5


async def test_a_receiver_that_comes_back_gets_the_message(autojump_clock: MockClock) -> None:
    """A receiver that answers 500 and then 200 gets the message, and the problem is over."""
    one = process(REFUSED, REFUSED, DELIVERED)
    one.fire()
    await run_for(0.1, one)
    assert "is not delivered, and is tried again: it answered 500" in one.status.problem
    one.fire(2_000)
    await run_for(60, one)
    assert one.status.problem == ""


async def test_a_wrong_address_is_tried_once(autojump_clock: MockClock) -> None:
    """An answer that says that the hook is gone ends the message at once."""
    one = process(GONE)
    one.fire()
    await run_for(3600, one)
    assert one.script.times == [0]
    assert one.status.failed == 1


@pytest.mark.parametrize(("asked", "pause"), [(30.0, 30.0), (86_400.0, TRY_FOR)])
async def test_retry_after_is_honoured(
    asked: float, pause: float, autojump_clock: MockClock
) -> None:
    """A receiver that asks to be left alone is, at most until the last try after ten minutes."""
    one = process(Outcome("it answered 429", retry_after=asked), DELIVERED)
    one.fire()
    await run_for(3600, one)
    assert one.script.times == [0, pause]
    assert one.status.sent == 1


async def test_there_is_one_request_at_a_time(autojump_clock: MockClock) -> None:
    """A message waits until the one before it is delivered; the script checks that."""
    one = process(takes=9)
    for number in range(3):
        one.fire(number)
    await run_for(60, one)
    assert one.script.times == [0, 9, 18]


async def test_the_messages_that_wait_are_bounded(autojump_clock: MockClock) -> None:
    """The oldest of too many messages is lost and counted, and the next message says so."""
    one = process()
    for number in range(MAX_WAITING + 2):
        one.fire(number)
    await run_for(60, one)
    assert one.lost == [0, 1]
    assert (one.status.failed, one.status.sent) == (2, MAX_WAITING)
    assert b'"undelivered":2' in one.script.bodies[0]
    assert b'"undelivered":0' in one.script.bodies[1]


async def test_the_next_message_tells_of_losses(autojump_clock: MockClock) -> None:
    """Missed lines and undelivered messages are told by the next message that is delivered."""
    one = process(GONE, DELIVERED)
    one.delivery.unsaid.missed = 7
    for number in range(3):
        one.fire(number)
    await run_for(60, one)
    assert b'"missed":7,"undelivered":1' in one.script.bodies[1]
    assert b'"missed":0,"undelivered":0' in one.script.bodies[2]


async def test_a_message_that_waits_at_the_end_is_tried_once(autojump_clock: MockClock) -> None:
    """When the service closes, a message that waits is tried once, without collecting lines."""
    one = process(REFUSED)
    one.fire(collect=5)
    one.fire(2_000, collect=5)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(one.run)
        await trio.sleep(1)
        one.delivery.close()
    assert one.script.times == [1, 1]


async def test_with_a_journal_too_each_message_is_tried_once_at_the_end(
    autojump_clock: MockClock,
) -> None:
    """A process that closes does not take its own message over, and tries the next one."""
    one = process(REFUSED, claims=Records(), takes=0.005)
    one.fire(collect=5)
    one.fire(700_000_000, collect=5)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(one.run)
        await trio.sleep(1)
        one.delivery.close()
    assert len(one.script.times) == 2
    assert b'"undelivered":1' in one.script.bodies[1]


async def test_an_interrupted_message_is_logged(
    autojump_clock: MockClock, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A message that is under way when the time is up is said in the log, without its address."""
    # Another test of this process may have cached where the module's logger writes, or configured
    # what all loggers do.
    log = structlog.wrap_logger(
        structlog.PrintLogger(),
        processors=[structlog.processors.KeyValueRenderer()],
        wrapper_class=structlog.BoundLogger,
    )
    monkeypatch.setattr(delivery, "log", log)
    one = process(takes=100)
    one.fire()
    await run_for(1, one)
    said = capsys.readouterr().out
    assert "messages were not delivered in time" in said
    assert "s3cr3t" not in said


# --- several processes -----------------------------------------------------------------------


async def test_one_of_several_processes_sends(autojump_clock: MockClock) -> None:
    """Processes that fire for the same line send one message, and the others learn of it."""
    records = Records()
    processes = [process(claims=records, owner=name) for name in "abcde"]
    for each in processes:
        each.fire(collect=1.3)
    await run_for(120, *processes)
    assert sum(len(each.script.times) for each in processes) == 1
    assert sum(len(each.told) for each in processes) == 4


async def test_a_slow_request_is_not_taken_over(autojump_clock: MockClock) -> None:
    """A process that tries for ten minutes keeps its message, because it shows that it lives."""
    records = Records()
    one = process(REFUSED, claims=records, owner="one", takes=10)
    two = process(claims=records, owner="two")
    one.fire()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(run_for, TRY_FOR + 120, one)
        await trio.sleep(1)
        two.fire()
        nursery.start_soon(run_for, TRY_FOR + 120, two)
    assert one.status.failed == 1
    assert two.script.times == []


async def test_a_dead_process_is_replaced(autojump_clock: MockClock) -> None:
    """A process that dies between claim and delivery is replaced, and the message sent once."""
    records = Records()
    one, two = process(claims=records, owner="one"), process(claims=records, owner="two")
    one.fire(count=7, collect=60)
    await run_for(30, one)  # It has claimed the message, and dies.
    two.fire(count=7)
    await run_for(120, two)
    assert one.script.times == []
    [moment] = two.script.times
    assert LEASE <= moment - 30 < LEASE + 3
    assert b'"count":7' in two.script.bodies[0]


async def test_the_losses_of_a_dead_process_are_not_its_successors(
    autojump_clock: MockClock,
) -> None:
    """A message that is taken over tells the losses of its process, and no others."""
    records = Records()
    one, two = process(REFUSED, claims=records, owner="one"), process(claims=records, owner="two")
    one.delivery.unsaid.missed, one.delivery.unsaid.undelivered = 7, 1
    one.fire()
    await run_for(30, one)
    two.delivery.unsaid.missed = 2
    await run_for(60, two)
    two.fire(700_000_000)
    await run_for(60, two)
    taken_over, own = two.script.bodies
    assert b'"missed":7,"undelivered":1' in taken_over
    assert b'"missed":2,"undelivered":0' in own


async def test_a_message_that_another_process_took_is_no_problem(
    autojump_clock: MockClock,
) -> None:
    """After a process was taken for dead, it does not say that it tries again."""
    records = Records()
    one, two = process(REFUSED, claims=records, owner="one"), process(claims=records, owner="two")
    one.fire()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(run_for, 120, one)
        await trio.sleep(3)
        assert "is tried again" in one.status.problem
        slot = records.slots["panics"]
        record = decode_record(slot.content)
        assert record is not None
        taken = attrs.evolve(
            slot,
            number=slot.number + 1,
            content=encode_record(msgspec.structs.replace(record, owner="two"), 16_384),
        )
        records.slots["panics"] = taken
        nursery.start_soon(run_for, 120, two)
    assert one.status.problem == ""
    assert len(two.script.times) == 1


async def test_a_new_process_sends_what_its_predecessor_claimed(autojump_clock: MockClock) -> None:
    """A process that starts sends the message of a dead one, although it saw no line of it."""
    records = Records()
    one, two = process(claims=records, owner="one"), process(claims=records, owner="two")
    one.fire(count=7, collect=60)
    await run_for(30, one)
    await run_for(120, two)
    assert len(two.script.times) == 1
    assert [record.report.count for record in two.found] == [7]


async def test_a_lost_answer_to_a_claim_is_no_other_process(autojump_clock: MockClock) -> None:
    """A claim whose answer was lost is recognised as this process's own, and sent once."""
    for lost in range(1, 4):
        records = Records()
        one = process(REFUSED, REFUSED, DELIVERED, claims=records)
        one.fire()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(run_for, 120, one)
            await trio.sleep(0.5 * lost)
            records.lost_answers = 1
        assert one.status.sent == 1
        assert one.script.outcomes == [DELIVERED]


async def test_a_first_claim_without_an_answer_is_sent_once(autojump_clock: MockClock) -> None:
    """A process whose first claim was stored without an answer sends its message once."""
    records = Records(lost_answers=1)
    one = process(claims=records)
    one.fire()
    await run_for(120, one)
    assert len(one.script.times) == 1


async def test_without_the_journal_a_message_is_sent_nevertheless(
    autojump_clock: MockClock,
) -> None:
    """While the journal stays away, a process sends without a claim, and the message says so."""
    records = Records(is_away=True)
    one = process(claims=records)
    one.fire()
    await run_for(120, one)
    [moment] = one.script.times
    assert PATIENCE <= moment < 2 * PATIENCE + 3
    assert b"the journal did not answer" in one.script.bodies[0].lower()


async def test_a_later_process_lets_the_others_go_first(autojump_clock: MockClock) -> None:
    """A process that knows fewer lines sends only if no other one does."""
    records = Records()
    one, two = process(claims=records, owner="one"), process(claims=records, owner="two")
    one.fire(is_late=True)
    two.fire()
    await run_for(60, one, two)
    assert len(two.script.times) == 1
    assert len(one.told) == 1


async def test_a_new_firing_after_the_cooldown_is_sent(autojump_clock: MockClock) -> None:
    """After the cooldown, the record of the last message does not keep the next one back."""
    records = Records()
    one = process(claims=records)
    one.fire(1_000)
    one.fire(1_000 + 599_999)
    one.fire(1_000 + 600_000)
    await run_for(60, one)
    assert len(one.script.times) == 2
    assert len(one.told) == 1


async def test_the_record_of_another_condition_does_not_count(autojump_clock: MockClock) -> None:
    """A watch that was changed in the file goes its own way, under the same name."""
    records = Records()
    one = process(claims=records)
    one.fire()
    await run_for(60, one)
    changed = attrs.evolve(WATCH, count=5)
    two = process(claims=records)
    two.delivery = Delivery(
        changed, two.status, public_url="", claims=records, owner="2", on_record=two.found.append
    )
    two.fire()
    await run_for(60, two)
    assert two.found == []
    assert len(two.script.times) == 1


async def test_a_message_of_the_watch_before_a_change_is_sent(autojump_clock: MockClock) -> None:
    """A deployment that changes a watch loses no message that its predecessor could not deliver."""
    records = Records()
    one, two = process(REFUSED, claims=records), process(claims=records)
    one.fire(count=7)
    await run_for(30, one)
    changed = attrs.evolve(WATCH, count=5)
    two.delivery = Delivery(
        changed, two.status, public_url="", claims=records, owner="2", on_record=two.found.append
    )
    two.fire(count=5)
    await run_for(60, two)
    assert [b'"count":7' in body for body in two.script.bodies] == [True, False]
    assert two.found == []


def absences(*kinds: str) -> Sequence[Report]:
    return [Report(watch="w", query="", kind=kind, at_ms=n) for n, kind in enumerate(kinds)]  # type: ignore[arg-type]


async def test_each_change_is_told_once(autojump_clock: MockClock) -> None:
    """Absence and return are told once each by all processes together, in their order."""
    records = Records()
    watch = attrs.evolve(WATCH, absent=60.0, receiver=Receiver("url", SECRET))
    processes = [process(claims=records, owner=name) for name in "abc"]
    for each in processes:
        each.delivery = Delivery(
            watch,
            each.status,
            public_url="",
            claims=records,
            owner=each.owner,
            on_record=each.found.append,
        )

    async def fire() -> None:
        for report in absences("absent", "back", "unknown", "absent", "back"):
            for each in processes:
                await trio.sleep(0.1)
                each.delivery.put(
                    Firing(
                        lambda report=report: report,  # type: ignore[misc]
                        trio.current_time(),
                        lambda: None,
                        each.told.append,
                    )
                )
            await trio.sleep(60)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(run_for, 600, *processes)
        nursery.start_soon(fire)
    sent = sorted(
        (t, b)
        for each in processes
        for t, b in zip(each.script.times, each.script.bodies, strict=True)
    )
    kinds = [body.partition(b'"kind":"')[2].partition(b'"')[0].decode() for _, body in sent]
    assert kinds == ["absent", "back", "unknown", "absent", "back"]


def test_a_watch_shows_no_address() -> None:
    """The text of a watch and of its receiver holds no address."""
    assert isinstance(WATCH, Watch)
    assert "s3cr3t" not in f"{WATCH!r} {WATCH} {WATCH.receiver}"
