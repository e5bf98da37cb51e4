"""The lines of a stack trace, which belong to the line before them."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from natstream.entries.continuation import LINES_BETWEEN, MAX_MACHINES, Continuations
from natstream.entries.entry import LogEntry
from natstream.entries.fly import parse_nats

START = datetime(2026, 3, 1, 10, tzinfo=UTC).timestamp()

# A trace of each language; the first line is the head, and all others continue it.
TRACES = {
    "Python": """\
Traceback (most recent call last):
  File "/app/shop.py", line 12, in charge
    pay(order)
    ~~~^^^^^^^
  File "/app/pay.py", line 3, in pay
ValueError: card declined""",
    "Python, logged": """\
ERROR:root:charge failed
Traceback (most recent call last):
  File "/app/shop.py", line 12, in charge
    pay(order)
app.errors.Declined: card 4242""",
    "Python, chained": """\
ERROR:    Exception in ASGI application
Traceback (most recent call last):
  File "/app/shop.py", line 12, in charge
    rows["id"]
KeyError: 'id'

During handling of the above exception, another exception occurred:

Traceback (most recent call last):
  File "/app/shop.py", line 14, in charge
    raise Missing from error
RuntimeError: no id

The above exception was the direct cause of the following exception:

Traceback (most recent call last):
  File "/app/main.py", line 3, in <module>
KeyboardInterrupt""",
    "Java": """\
Exception in thread "main" java.lang.IllegalStateException: boom
\tat com.example.Shop.charge(Shop.java:12)
\tat java.base/java.lang.Thread.run(Thread.java:840)
\tSuppressed: java.io.IOException: closed
\t\tat com.example.Shop.close(Shop.java:20)
Caused by: java.net.ConnectException: Connection refused
\tat java.base/sun.nio.ch.Net.pollConnect(Native Method)
\t... 12 more""",
    "Java, logged": """\
2026-03-01T10:00:00.123Z ERROR 1 --- [main] com.example.App : charge failed
java.lang.IllegalStateException: boom
\tat com.example.Shop.charge(Shop.java:12)""",
    "JavaScript": """\
TypeError: Cannot read properties of undefined (reading 'id')
    at charge (/app/shop.js:12:9)
    at async Server.<anonymous> (file:///app/index.js:3:5)
    at node:internal/main/run_main_module:23:47 {
  code: 'ERR_CARD',
  [cause]: Error: declined
      at pay (/app/pay.js:1:7)
}

Node.js v20.11.0""",
    "Go": """\
panic: runtime error: index out of range [3] with length 3

goroutine 1 [running]:
main.charge(0xc000012345, {0x1, 0x2})
\t/app/main.go:12 +0x1d
main.(*Shop).Serve(...)
\t/app/main.go:20
created by net/http.(*Server).Serve in goroutine 1
\t/usr/local/go/src/net/http/server.go:3086 +0x30
exit status 2""",
    "Rust": """\
thread 'main' panicked at src/main.rs:4:5:
called `Option::unwrap()` on a `None` value
stack backtrace:
   0: rust_begin_unwind
             at /rustc/abc/library/std/src/panicking.rs:652:5
   1: core::panicking::panic_fmt
note: Some details are omitted, run with `RUST_BACKTRACE=full` for a verbose backtrace.""",
    "Ruby": """\
/app/shop.rb:3:in 'total': undefined method 'sum' for nil (NoMethodError)
\tfrom /app/shop.rb:9:in 'charge'
\tfrom /app/main.rb:1:in '<main>'""",
    "Elixir": """\
10:00:00.000 [error] GenServer Shop.Worker terminating
** (RuntimeError) card declined
    (shop 0.1.0) lib/shop/worker.ex:12: Shop.Worker.handle_call/3
    (stdlib 5.0) gen_server.erl:1123: :gen_server.try_handle_call/4
Last message (from #PID<0.412.0>): :charge
State: %{}""",
    "PHP": """\
PHP Fatal error:  Uncaught Exception: boom in /app/shop.php:3
Stack trace:
#0 /app/index.php(12): charge()
#1 {main}
  thrown in /app/shop.php on line 3""",
    ".NET": """\
Unhandled exception. System.InvalidOperationException: boom
 ---> System.Net.Http.HttpRequestException: refused
   at Shop.Pay.Send(Order order) in /app/Pay.cs:line 12
   --- End of inner exception stack trace ---
   at Program.Main(String[] args)""",
    ".NET, logged": """\
fail: Microsoft.AspNetCore.Server.Kestrel[13]
      Connection id "0HN" bad request
      System.Exception: boom
         at Shop.Pay.Send(Order order)""",
    "Python, raised again": """\
ERROR:root:charge failed
Traceback (most recent call last):
  File "/app/shop.py", line 12, in charge
    raise
  File "/app/pay.py", line 3, in pay
    value
ValueError: card declined""",
    "Python, a group": """\
ERROR:root:failed
  + Exception Group Traceback (most recent call last):
  |   File "/app/a.py", line 3, in <module>
  |     raise ExceptionGroup("x", [ValueError(1)])
  | ExceptionGroup: x (2 sub-exceptions)
  +-+---------------- 1 ----------------
    | Traceback (most recent call last):
    |   File "/app/a.py", line 3, in f
    | ValueError: 1
    +---------------- 2 ----------------
    | TypeError: 2
    +------------------------------------""",
    "Python, SQLAlchemy": """\
Traceback (most recent call last):
  File "a.py", line 3, in f
    cur.execute()
sqlalchemy.exc.ProgrammingError: (psycopg2.errors.UndefinedTable) relation "x" does not exist
LINE 1: SELECT * FROM x
                      ^

[SQL: SELECT * FROM x]
(Background on this error at: https://sqlalche.me/e/20/f405)""",
    "JavaScript, a module": """\
Error: Cannot find module 'x'
Require stack:
- /app/index.js
    at Module._resolveFilename (node:internal/modules/cjs/loader:1075:15) {
  code: 'MODULE_NOT_FOUND',
  requireStack: [ '/app/index.js' ]
}

Node.js v18.0.0""",
    "Go, served": """\
2026/03/01 10:00:00 http: panic serving 10.0.0.1:5000: boom
goroutine 7 [running]:
net/http.(*conn).serve.func1()
\t/usr/local/go/src/net/http/server.go:1868 +0xb9
panic({0x1?, 0x2?})
\t/usr/local/go/src/runtime/panic.go:920 +0x270
main.handler({0x1, 0x2}, 0x3)
\t/app/main.go:3 +0x1""",
    "Go, a signal": """\
panic: runtime error: invalid memory address or nil pointer dereference
[signal SIGSEGV: segmentation violation code=0x1 addr=0x0 pc=0x47]

goroutine 1 [running]:
main.main()
\t/app/main.go:12 +0x1d""",
    "Go, a race": """\
WARNING: DATA RACE
Write at 0x00c000 by goroutine 7:
  main.main.func1()
      /app/main.go:12 +0x38

Previous read at 0x00c000 by main goroutine:
  main.main()
      /app/main.go:15 +0x8c

Goroutine 7 (running) created at:
  main.main()
      /app/main.go:11 +0x7e""",
    "Go, goroutines": """\
panic: boom

goroutine 1 [running]:
main.main()
\t/app/main.go:12 +0x1d

goroutine 18 [chan receive, 3 minutes]:
main.worker(0xc000, 0x1)
\t/app/w.go:3 +0x2
created by main.main in goroutine 1
\t/app/main.go:10 +0x5
exit status 2""",
    "Rust, anyhow": """\
Error: failed to read config

Caused by:
    0: could not open
    1: No such file or directory (os error 2)

Stack backtrace:
   0: anyhow::error::<impl>::from
             at /root/x.rs:1:2
   1: shop::main""",
    "Rust, an assertion": """\
thread 'main' panicked at src/main.rs:4:5:
assertion `left == right` failed
  left: 1
 right: 2
stack backtrace:
   0:     0x55d0 - std::backtrace_rs::backtrace::libunwind::trace::h1
                               at /rustc/1/library/std/src/x.rs:93:5
   1: shop::main
             at ./src/main.rs:4:5
  10: <core::future::poll_fn::PollFn<F> as core::future::future::Future>::poll
note: Some details are omitted, run with `RUST_BACKTRACE=full` for a verbose backtrace.""",
    "Rails": """\
ActionView::Template::Error (undefined method `x' for nil):
    1: <h1>
    2: <%= x.y %>

app/views/x.html.erb:2
app/controllers/x_controller.rb:3:in `index'
lib/y.rb:7:in 'Y#z'""",
    "Laravel": """\
[2026-03-01 10:00:00] production.ERROR: boom {"exception":"[object] (Exception): boom
[stacktrace]
#0 /app/vendor/a/B.php(12): A->c()
#1 {main}
"} """,
    ".NET, Serilog": """\
[10:00:00 ERR] boom
System.InvalidOperationException: x
 ---> System.IO.IOException: y
   at A.B.C() in /src/A.cs:line 12
   at A.B.<Do>d__3.MoveNext()
   --- End of inner exception stack trace ---
--- End of stack trace from previous location where exception was thrown ---
   at D.E()""",
    "PostgreSQL, no prefix": """\
ERROR:  duplicate key value violates unique constraint "x"
DETAIL:  Key (id)=(1) already exists.
STATEMENT:  INSERT INTO x""",
    "Java, nested": """\
2026-03-01 10:00:00,123 ERROR [main] c.e.App - failed
org.springframework.beans.factory.BeanCreationException: Error creating bean
\tat org.springframework.A.b(A.java:12) ~[spring.jar:6.1]
\tat jdk.internal.reflect.GeneratedMethodAccessor12.invoke(Unknown Source)
\tat java.base/jdk.internal.reflect.Accessor.invoke(Accessor.java:103)
\tat com.example.Shop$$Lambda/0x00007f.run(Unknown Source)
\tat app//org.junit.X.y(X.java:3)
\tSuppressed: java.io.IOException: closed
\t\tat a.b.C.d(C.java:1)
\t\t... 3 more
\tCaused by: java.io.IOException: in
\t\tat a.b.C.d(C.java:1)
Caused by: java.lang.IllegalStateException: no
\tat a.b.C.d(C.java:1)
\t... 12 common frames omitted
Caused by: java.lang.NullPointerException
\t... 14 more
Wrapped by: java.lang.RuntimeException: x""",
    "Java, another name": """\
10:00:00.123 [main] ERROR c.e.A - failed
com.example.shop.PaymentDeclined: card
\tat a.b.C.d(C.java:1)""",
    "Elixir, a client": """\
10:00:00.000 [error] GenServer #PID<0.412.0> terminating
** (KeyError) key :x not found in: %{}
    (shop 0.1.0) lib/shop/worker.ex:12: Shop.Worker.handle_call/3
    (stdlib 5.0) gen_server.erl:1123: :gen_server.try_handle_call/4
    (stdlib 5.0) proc_lib.erl:241: :proc_lib.init_p_do_apply/3
Last message (from #PID<0.1.0>): :x
State: %{a: 1}
Client #PID<0.1.0> is alive

    (stdlib 5.0) gen.erl:233: :gen.do_call/4""",
    "PHP, nested": """\
PHP Fatal error:  Uncaught RuntimeException: boom in /app/x.php:3
Stack trace:
#0 /app/vendor/a/B.php(12): A\\B->c(Object(D))
#1 [internal function]: x()
#2 {main}

Next LogicException: y in /app/x.php:4
Stack trace:
#0 {main}
  thrown in /app/x.php on line 3""",
    "Python, an uncaught group": """\
  + Exception Group Traceback (most recent call last):
  |   File "/app/a.py", line 3, in <module>
  |     raise ExceptionGroup("x", [ValueError(1)])
  | ExceptionGroup: x (2 sub-exceptions)
  +-+---------------- 1 ----------------
    | Traceback (most recent call last):
    |   File "/app/a.py", line 3, in f
    | ValueError: 1
    +---------------- 2 ----------------
    | TypeError: 2
    +------------------------------------""",
    "PostgreSQL": """\
2026-03-01 10:00:00.123 UTC [71] ERROR:  relation "ordres" does not exist at character 15
2026-03-01 10:00:00.123 UTC [71] STATEMENT:  SELECT * FROM ordres""",
}
OTHER = "GET /health 200 in 3ms"
# Of these traces some lines can be told from others only directly behind a line of the trace.
MIXED = ["Python", "Java", "Go", "Ruby", "PHP"]


def line(
    message: str, ms: float = 0, *, machine: str = "m1", stream: str = "", level: str = "info"
) -> LogEntry:
    """Return the entry of a line that an app wrote so many milliseconds after the start."""
    at = datetime.fromtimestamp(START + ms / 1000, UTC)
    record = {
        "event": {"provider": "app"},
        "log": {"level": level},
        "message": message,
        "timestamp": at.isoformat(timespec="microseconds").replace("+00:00", "Z"),
        "stream": stream,
    }
    return parse_nats(f"logs.web.sjc.{machine}", json.dumps(record).encode())


def lines(text: str) -> list[LogEntry]:
    """Return the entries of the lines of a text, a millisecond apart."""
    return [line(row, number) for number, row in enumerate(text.split("\n"))]


def joined(entries: Sequence[LogEntry]) -> list[bool]:
    """Return whether each entry continues another one."""
    return [entry.continues for entry in Continuations().join(entries)]


@pytest.mark.parametrize("language", TRACES)
def test_each_line_of_a_trace_continues_its_head(language: str) -> None:
    """All lines have the level of the head, and the lines before and after are others."""
    trace = TRACES[language].split("\n")
    read = Continuations().join(lines("\n".join([OTHER, *trace, OTHER])))
    heads = [entry.message for entry in read if not entry.continues]
    assert heads == [OTHER, trace[0], OTHER]
    assert {entry.level for entry in read[1:-1]} == {read[1].level}
    assert read[1].level in ("warn", "error", "fatal")
    assert read[-1].level == "info"


@pytest.mark.parametrize("language", MIXED)
def test_a_frame_is_known_behind_other_lines(language: str) -> None:
    """Other lines of the machine may stand before each unambiguous line of a trace."""
    trace = [row for row in TRACES[language].split("\n") if row and not row.startswith("    ")]
    mixed = [row for frame in trace for row in (frame, OTHER)]
    read = Continuations().join(lines("\n".join(mixed)))
    unclear = ("\t/", "ValueError", "exit status", "  thrown")
    for entry in read:
        if entry.message == OTHER:
            assert (entry.continues, entry.level) == (False, "info")
        elif entry.message != trace[0] and not entry.message.startswith(unclear):
            assert (entry.continues, entry.level) == (True, read[0].level)


def test_the_exception_of_a_traceback_is_known_behind_other_lines() -> None:
    """A traceback that lacks its last line gets it, though another thread spoke between."""
    rows = ["Traceback (most recent call last):", '  File "a.py", line 1', OTHER, "ValueError: no"]
    assert joined(lines("\n".join(rows))) == [False, True, False, True]


def test_a_level_word_is_no_exception() -> None:
    """The line of another thread that begins with a level does not end a traceback."""
    rows = ["Traceback (most recent call last):", '  File "a.py", line 1', "INFO:     ok", "E: x"]
    assert joined(lines("\n".join(rows)))[2] is False


@pytest.mark.parametrize(("between", "continues"), [(LINES_BETWEEN, True), (21, False)])
def test_only_so_many_other_lines_may_stand_between(between: int, continues: bool) -> None:
    """A frame behind more than twenty other lines belongs to no trace."""
    rows = ["panic: boom", "goroutine 1 [running]:", *[OTHER] * between, "main.f(0x1)"]
    assert joined(lines("\n".join(rows)))[-1] is continues


@pytest.mark.parametrize(("ms", "continues"), [(999, True), (-999, True), (1_001, False)])
def test_the_times_of_the_lines_lie_within_a_second(ms: float, continues: bool) -> None:
    """The lines' own times count, in either direction."""
    assert joined([line("ERROR: boom"), line("\tat a.b(C.java:1)", ms)]) == [False, continues]


def test_an_indented_line_continues_any_line_directly_before_it() -> None:
    """It takes the level of a head that is no error, and its own level word counts for nothing."""
    read = Continuations().join(lines("SELECT 1\n  FROM errors\n\tERROR: x\nnext\n one blank"))
    assert [entry.continues for entry in read] == [False, True, True, False, False]
    assert {entry.level for entry in read} == {"info"}


def test_other_shapes_need_a_warning_or_worse() -> None:
    """A line that looks like a frame behind an ordinary line is a line of its own."""
    for frame in ("at a.b(C.java:1)", "Caused by: x", "... 3 more", "goroutine 1 [running]:"):
        assert joined(lines(f"hello\n{frame}")) == [False, False]
        assert joined(lines(f"WARN: hello\n{frame}")) == [False, True]


@pytest.mark.parametrize(
    "message",
    [
        "at 10:00 the backup started", "from cache", "created by ann", "- none", "Next: pay",
        "Client connected", "Goroutine pool is full", "Reading file", "LINE is busy", "boom",
        "api.example.com: up", "Status: ok", "panic button mounted", "#4 is next",
    ],
)  # fmt: skip
def test_what_only_resembles_a_frame_stands_by_itself(message: str) -> None:
    """A sentence that begins as a line of a trace does is no continuation of an error."""
    assert joined([line("ERROR: boom"), line(message)]) == [False, False]


def test_an_empty_line_continues_an_open_trace_only() -> None:
    """Behind an ordinary line, or behind an error without a trace, it is a line of its own."""
    assert joined(lines("hello\n")) == [False, False]
    assert joined(lines("ERROR: hello\n")) == [False, False]
    assert joined(lines("Error: x\n    at f (a.js:1:2)\n\nnext")) == [False, True, True, False]
    assert joined(lines("hello\n\n  indented")) == [False, False, False]


def test_a_second_traceback_is_a_head() -> None:
    """A traceback behind another one, which announced none, is of another thread."""
    trace = TRACES["Python"]
    read = Continuations().join(lines(f"{trace}\n{trace}"))
    assert [entry.message for entry in read if not entry.continues] == [trace.split("\n")[0]] * 2


def test_machines_and_streams_have_nothing_to_do_with_each_other() -> None:
    """Lines of other machines between do not count, and take no part."""
    read = Continuations().join(
        [
            line("Error: boom"),
            line("hello", machine="m2"),
            line("    at f (a.js:1:2)", machine="m3"),
            line("    at f (a.js:1:2)", stream="stderr"),
            line("    at f (a.js:1:2)"),
        ]
    )
    assert [entry.continues for entry in read] == [False, False, False, False, True]


@pytest.mark.parametrize("other", [{"app_name": "api"}, {"region": "ams"}])
def test_lines_without_a_machine_continue_lines_of_their_app_and_region(
    other: dict[str, Any],
) -> None:
    """A frame is no part of the trace of another app or region, if no line names its machine."""
    frame = line("    at f (a.js:1:2)", machine="")
    assert frame.machine_id == ""
    read = Continuations().join([line("Error: boom", machine=""), attrs.evolve(frame, **other)])
    assert [(entry.continues, entry.level) for entry in read] == [(False, "error"), (False, "info")]


def test_a_continuation_keeps_all_its_other_fields() -> None:
    """Only the level and `continues` differ from the line that came."""
    came = line("    at f (a.js:1:2)", 1)
    _, read = Continuations().join([line("Error: boom"), came])
    assert (came.continues, came.level) == (False, "info")
    assert (read.continues, read.level) == (True, "error")
    assert read.raw == came.raw
    for name in ("machine_id", "message", "stream", "timestamp", "app_name", "region", "unix_ns"):
        assert getattr(read, name) == getattr(came, name)


def test_the_machines_that_spoke_last_are_remembered() -> None:
    """Memory is bounded: an old machine is forgotten, and a machine that speaks stays."""
    continuations = Continuations()
    talking, silent = line("Error: a", machine="talking"), line("Error: b", machine="silent")
    continuations.join([talking, silent])
    for number in range(3 * MAX_MACHINES):
        continuations.join([line("x", machine=f"m{number}")])
        if number % 500 == 0:
            continuations.join([line(f"\tat a.b(C.java:{number})", machine="talking")])
    frame = "\tat a.b(C.java:1)"
    read = continuations.join([line(frame, machine="talking"), line(frame, machine="silent")])
    assert [entry.continues for entry in read] == [True, False]
    assert len(continuations._orders) + len(continuations._older) <= 2 * MAX_MACHINES


def test_a_copy_goes_on_by_itself() -> None:
    """The lines of one order have no effect on its copy."""
    first = Continuations()
    first.join([line("panic: boom")])
    second = first.copy()
    first.join([line(OTHER)] * (LINES_BETWEEN + 1))
    assert not first.join([line("goroutine 1 [running]:")])[0].continues
    assert second.join([line("goroutine 1 [running]:")])[0].continues


# --- any lines ----------------------------------------------------------------------------------

texts = st.sampled_from(
    [row for trace in TRACES.values() for row in trace.split("\n")] + [OTHER, "", "WARN: slow"]
)
rows = st.lists(
    st.tuples(texts | st.text(max_size=20), st.sampled_from("ab"), st.integers(0, 700)), max_size=60
)


@given(rows, st.data())
def test_only_the_lines_before_of_the_same_machine_matter(
    given_rows: list[tuple[str, str, int]], data: st.DataObject
) -> None:
    """Neither the other machine's lines nor the cuts between runs change anything."""
    entries, now = [], 0
    for text, machine, pause in given_rows:
        now += pause
        entries.append(line(text, now, machine=machine))
    whole = Continuations().join(entries)
    alone = {
        machine: iter(Continuations().join([one for one in entries if one.machine_id == machine]))
        for machine in "ab"
    }
    assert list(whole) == [next(alone[entry.machine_id]) for entry in entries]
    continuations, pieces, start = Continuations(), list[LogEntry](), 0
    while start < len(entries):
        end = start + data.draw(st.integers(1, 10))
        pieces += continuations.join(entries[start:end])
        continuations, start = continuations.copy(), end
    assert pieces == list(whole)


@given(st.lists(texts | st.sampled_from(["(", "a.", "at ", "[", " ", "é"]), min_size=1, max_size=3))
def test_no_line_of_a_trace_is_slow(parts: list[str]) -> None:
    """A line of 64 KiB behind an error takes at most 5 ms."""
    piece = "".join(parts) or " "
    text = (piece * (65_536 // len(piece) + 1))[:65_536]
    entries = [line("Error: boom"), line(text), line(text, 1)]
    assert min(_seconds(entries) for _ in range(3)) < 0.005


def _seconds(entries: Sequence[LogEntry]) -> float:
    started = time.thread_time()
    Continuations().join(entries)
    return time.thread_time() - started
