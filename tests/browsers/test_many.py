"""More lines than a browser can scroll over, in each browser."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx
import pytest
from tests.support.browser import PageService
from tests.support.browser_log import LogPage

MANY = 100_000
# A message of eight lines.
TALL = "\n|" * 7

# The numbers of the lines on the screen.
SHOWN = """() => {
  const frame = document.getElementById('lines').getBoundingClientRect();
  return [...document.querySelectorAll('#rows .m')].filter((one) => {
    const { top, bottom } = one.getBoundingClientRect();
    return bottom > frame.top && top < frame.bottom;
  }).map((one) => parseInt(one.textContent.slice(1)));
}"""


def stream() -> bytes:
    """Return a stream of many tall lines."""
    ready = {"message": "connected", "timestamp": 1_709_210_096_000, "type": "system"}
    entry = {"message": "", "timestamp": 1_709_210_096_000, "app": "a", "type": "log"}
    events = [f"data: {json.dumps(ready)}\n\n"]
    for number in range(MANY):
        data = json.dumps(entry | {"message": f"n{number}{TALL}"})
        events.append(f"id: 1709210096000-abc-{number}\ndata: {data}\n\n")
    return "".join(events).encode()


@contextmanager
def serve_instead(service: PageService) -> Iterator[str]:
    """Serve the page of a service with a stream of many lines, and yield the address.

    The service itself would take a minute to receive as many.
    """
    body, over = stream(), threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            live = self.path.startswith("/api/logs")
            answer = None if live else httpx.get(service.url + self.path)
            self.send_response(answer.status_code if answer else 200)
            kind = answer.headers["content-type"] if answer else "text/event-stream"
            self.send_header("Content-Type", kind)
            self.end_headers()
            self.wfile.write(answer.content if answer else body)
            if live:
                self.wfile.flush()
                over.wait()

        def log_message(self, *_args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            over.set()
            server.shutdown()
            thread.join()


@pytest.mark.look(ratio=3)
def test_both_ends_of_100000_tall_lines_are_reached(
    open_log: Callable[[str], LogPage], service: PageService
) -> None:
    """With three points a pixel, keys and the scroll bar reach the last and the first line."""
    with serve_instead(service) as url:
        log = open_log(url)
        log.tab.open(url)

        def wait_for_line(number: int) -> None:
            log.tab.wait_for(f"line {number}", f"(n) => ({SHOWN})().includes(n)", number)

        log.tab.wait_for_element("#held", "100,000 lines")
        wait_for_line(MANY - 1)
        log.tab.press("g")
        wait_for_line(0)
        for share, number in ((1, MANY - 1), (0, 0)):
            log.tab.call(
                "(share) => { const l = document.getElementById('lines');"
                " l.scrollTop = share * (l.scrollHeight - l.clientHeight); }",
                share,
            )
            wait_for_line(number)
        log.tab.press("G")
        wait_for_line(MANY - 1)
        shown = log.tab.call(SHOWN)
        assert shown == list(range(shown[0], MANY))
        log.tab.load("about:blank")
