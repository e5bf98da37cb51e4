"""The page under a flood of lines, with the real service, a real nats-server and a real chromium.

Run `python -m benchmarks.page [lines a second] [seconds]` from the root. It prints as JSON the
longest task of the page's main thread after a warm-up, how busy that thread was, and how much the
page's memory has grown when all lines have arrived (the list then has up to 100,000 lines). The
figures depend on the machine and its load, so this is no test.
"""

from __future__ import annotations

import json
import sys
import time
from typing import Any

from playwright.sync_api import CDPSession, Page, expect
from tests.support.browser import Stage, open_browser, open_nats, open_page_service, publish

WARM_UP = 3.0
"""Seconds until the browser has compiled the functions that run often."""

WATCH = """
  window.tasks = [];
  new PerformanceObserver((list) => {
    for (const { startTime, duration } of list.getEntries()) tasks.push([startTime, duration]);
  }).observe({ type: 'longtask' });
  window.frames = 0;
  const count = () => { frames += 1; requestAnimationFrame(count); };
  requestAnimationFrame(count);
"""


def payload(number: int) -> bytes:
    """Return a line with 150 bytes of message, as web servers write it."""
    return json.dumps(
        {
            "event": {"provider": "app"},
            "fly": {
                "app": {"instance": f"e784{number % 40:010}", "name": f"web-{number % 3}"},
                "region": ("iad", "ams", "nrt")[number % 3],
            },
            "log": {"level": "error" if number % 100 == 0 else "info"},
            "message": f"{number} \x1b[32mGET\x1b[0m /teas/{number % 997}?page={number % 31} 200 "
            f"in {number % 250} ms - from 203.0.113.{number % 255} to a friend of Darjeeling",
            "timestamp": time.time(),
        }
    ).encode()


def heap(session: CDPSession, *, collect: bool) -> float:
    """Return the megabytes of the heap that the page's scripts use."""
    if collect:
        session.send("HeapProfiler.collectGarbage")
    return float(session.send("Runtime.getHeapUsage")["usedSize"]) / 1e6


def busy(session: CDPSession) -> tuple[float, float]:
    """Return the seconds of the main thread's tasks and of its scripts, since the start."""
    metrics = {m["name"]: m["value"] for m in session.send("Performance.getMetrics")["metrics"]}
    return metrics["TaskDuration"], metrics["ScriptDuration"]


def measure(page: Page, url: str, send: Any, rate: int, seconds: int) -> dict[str, Any]:
    page.add_init_script(WATCH)
    page.goto(url)
    expect(page.locator("#state-text")).to_have_text("Live", timeout=20_000)
    session = page.context.new_cdp_session(page)
    session.send("Performance.enable")
    before = heap(session, collect=True)
    busy_before, script_before = busy(session)
    frames = page.evaluate("frames")
    most, rows = 0.0, 0
    start = time.monotonic()
    began = page.evaluate("performance.now()")
    steps = seconds * 10
    for step in range(steps):
        first = step * rate // 10
        send(payload(number) for number in range(first, (step + 1) * rate // 10))
        if step % 10 == 9:
            most = max(most, heap(session, collect=False))
            rows = max(rows, page.locator("#rows .row").count())
        time.sleep(max(0.0, start + (step + 1) / 10 - time.monotonic()))
    expect(page.locator("#rows .row").last).to_contain_text(f"{rate * seconds - 1} GET")
    spent = time.monotonic() - start
    busy_after, script_after = busy(session)
    tasks = page.evaluate("tasks")
    after = [duration for at, duration in tasks if at > began + WARM_UP * 1000]
    return {
        "lines_per_second": rate,
        "seconds": round(spent, 1),
        "longest_task_ms": round(max(after, default=0)),
        "tasks_over_50_ms": len(after),
        "main_thread_busy": round((busy_after - busy_before) / spent, 2),
        "script_us_per_line": round((script_after - script_before) / rate / seconds * 1e6, 1),
        "frames_per_second": round((page.evaluate("frames") - frames) / spent, 1),
        "most_rows": rows,
        "heap_before_mb": round(before, 1),
        "heap_peak_mb": round(most, 1),
        "heap_growth_mb": round(heap(session, collect=True) - before, 1),
        "browser": page.context.browser.version if page.context.browser else "",
    }


def main() -> None:
    rate, seconds = (int(text) for text in (sys.argv[1:] + ["5000", "20"][len(sys.argv) - 1 :]))
    with (
        Stage() as stage,
        open_nats(stage) as nats,
        open_page_service(nats) as service,
        open_browser() as browser,
    ):
        page = browser.new_page(viewport={"width": 1280, "height": 800})

        def send(payloads: Any) -> None:
            publish(stage, nats, "logs.web.iad.m1", payloads)

        print(json.dumps(measure(page, service.url, send, rate, seconds), indent=2))


if __name__ == "__main__":
    main()
