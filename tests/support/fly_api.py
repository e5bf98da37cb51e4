"""A stand-in for Fly's logs and Machines interfaces on loopback.

It behaves as Fly's public client code and documentation say: pages of 100 lines, an inclusive
cursor in nanoseconds as a number or as text, ids that repeat at the border of two pages, and the
newest page without a cursor. Faults can be queued; each is the answer of one request.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from functools import partial
from typing import Any
from urllib.parse import parse_qs, urlsplit

import attrs
import trio

PAGE = 100


@attrs.frozen
class FlyLine:
    """One line as Fly's logs interface has it."""

    unix_ns: int
    message: str
    instance: str = "0e286551c30586"
    region: str = "sjc"
    level: str = "info"
    provider: str = "app"

    @property
    def timestamp(self) -> str:
        seconds, ns = divmod(self.unix_ns, 10**9)
        text = datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")
        return f"{text}.{ns:09d}Z"


@attrs.frozen
class Answer:
    """An answer that is given in place of the usual one."""

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = attrs.field(factory=dict)
    hang: bool = False
    """Whether nothing is sent until the client goes."""


@attrs.frozen
class Asked:
    """One request, and when it came on trio's clock."""

    time: float
    path: str
    query: dict[str, str]
    headers: dict[str, str]


@attrs.define
class FlyStandIn:
    """The stand-in: its lines and machines by app, and the requests that it was sent."""

    url: str = ""
    lines: dict[str, list[FlyLine]] = attrs.field(factory=dict)
    machines: dict[str, list[dict[str, Any]]] = attrs.field(factory=dict)
    faults: deque[Answer] = attrs.field(factory=deque)
    asked: list[Asked] = attrs.field(factory=list)
    cursor_is_text: bool = True
    answer: Callable[[Asked], Answer | None] = lambda asked: None
    """Called for each request; an answer that it returns is sent."""
    delay: float = 0.0

    @property
    def environ(self) -> dict[str, str]:
        """The settings of a service that asks the stand-in."""
        return {
            "NATSTREAM_FLY_API": "on",
            "NATSTREAM_FLY_API_URL": self.url,
            "NATSTREAM_MACHINES_API_URL": self.url,
        }

    def add(self, app: str, lines: Iterable[FlyLine]) -> None:
        """Add lines of an app, and keep them in the order of time."""
        self.lines.setdefault(app, []).extend(lines)
        self.lines[app].sort(key=lambda line: line.unix_ns)

    @classmethod
    @asynccontextmanager
    async def run(cls) -> AsyncIterator[FlyStandIn]:
        """Serve on a free port of loopback."""
        stand_in = cls()
        async with trio.open_nursery() as nursery:
            serve = partial(trio.serve_tcp, stand_in._serve, 0, host="127.0.0.1")
            listeners = await nursery.start(serve)
            port = listeners[0].socket.getsockname()[1]
            stand_in.url = f"http://127.0.0.1:{port}"
            yield stand_in
            nursery.cancel_scope.cancel()

    async def _serve(self, stream: trio.SocketStream) -> None:
        try:
            data = b""
            while True:
                while b"\r\n\r\n" not in data:
                    chunk = await stream.receive_some()
                    if not chunk:
                        return
                    data += chunk
                head, _, data = data.partition(b"\r\n\r\n")
                answer = await self._answer(head.decode("latin-1"))
                if answer.hang:
                    await trio.sleep_forever()
                fields = {"Content-Length": str(len(answer.body)), **answer.headers}
                lines = [f"HTTP/1.1 {answer.status} X", *(f"{k}: {v}" for k, v in fields.items())]
                await stream.send_all("\r\n".join(lines).encode() + b"\r\n\r\n" + answer.body)
                if int(fields["Content-Length"]) != len(answer.body):
                    return
        except trio.BrokenResourceError:
            pass
        finally:
            await trio.aclose_forcefully(stream)

    async def _answer(self, head: str) -> Answer:
        request_line, *header_lines = head.split("\r\n")
        url = urlsplit(request_line.split(" ")[1])
        headers = {k.lower(): v for k, v in (line.split(": ", 1) for line in header_lines)}
        query = {name: values[0] for name, values in parse_qs(url.query).items()}
        asked = Asked(trio.current_time(), url.path, query, headers)
        self.asked.append(asked)
        await trio.sleep(self.delay)
        if self.faults:
            return self.faults.popleft()
        special = self.answer(asked)
        return special if special is not None else self._usual(asked)

    def _usual(self, asked: Asked) -> Answer:
        match asked.path.strip("/").split("/"):
            case ["api", "v1", "apps", app, "logs"] if app in self.lines:
                return _json(self._logs(app, asked.query))
            case ["v1", "apps", app, "machines"] if app in self.machines:
                return _json(self.machines[app])
            case ["v1", "apps"]:
                names = sorted({*self.lines, *self.machines})
                return _json({"apps": [{"name": name} for name in names], "total_apps": len(names)})
        return _json({"error": "not found"}, 404)

    def _logs(self, app: str, query: dict[str, str]) -> dict[str, Any]:
        lines = list(enumerate(self.lines[app]))
        if instance := query.get("instance"):
            lines = [(index, line) for index, line in lines if line.instance == instance]
        token = query.get("next_token", "")
        if token:
            page = [(i, line) for i, line in lines if line.unix_ns >= int(token)][:PAGE]
        else:
            page = lines[-PAGE:]
        # The cursor is inclusive, so the last page gives its own last line again.
        if token and page and page[-1][1].unix_ns == int(token):
            page = []
        cursor: Any = page[-1][1].unix_ns if page else (int(token) if token else "")
        return {
            "data": [
                {
                    "id": f"{app}-{id(line)}",
                    "type": "log",
                    "attributes": {
                        "timestamp": line.timestamp,
                        "message": line.message,
                        "level": line.level,
                        "instance": line.instance,
                        "region": line.region,
                        "meta": {
                            "instance": line.instance,
                            "region": line.region,
                            "event": {"provider": line.provider},
                        },
                    },
                }
                for index, line in page
            ],
            "meta": {"next_token": str(cursor) if self.cursor_is_text else cursor},
        }


def _json(value: Any, status: int = 200) -> Answer:
    return Answer(status, json.dumps(value).encode(), {"Content-Type": "application/json"})
