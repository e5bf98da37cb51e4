"""A stand-in for Fly's interfaces, which knows the machines of the demo. On trio; loopback only.

In: the lines of the traffic, which tell when a machine starts with a new image. Out: answers about
the machines, as Fly's Machines interface gives them. The logs interface has no lines.
"""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from typing import Any

import attrs
import trio

from natstream.demo.line import Line
from natstream.demo.machines import STARTS_INIT

__all__ = ["FlyInterfacesStandIn"]

FIRST_RELEASE = 41
_IMAGE = re.compile(r"Pulling container image \S+:([\w.-]+)")
_MACHINES = re.compile(r"GET /v1/apps/([a-z0-9-]+)/machines[? ]")
# The head of a request of our own client is shorter.
MAX_HEAD = 16 * 1024
PATIENCE = 10.0


@attrs.define
class _State:
    """What is known of a machine."""

    line: Line
    release: int = FIRST_RELEASE
    image: str = "deployment-01J"
    pulled: str = ""
    """The image that it will run after its restart."""
    updated_ns: int = 0


@attrs.define(eq=False)
class FlyInterfacesStandIn:
    """The machines of the demo, and the server that tells of them."""

    port: int = 0
    _machines: dict[str, _State] = attrs.field(factory=dict)
    _releases: dict[str, tuple[int, str]] = attrs.field(factory=dict)
    """App → its newest release and the image of that."""

    def note(self, line: Line, unix_ns: int) -> None:
        """Learn what a line of the traffic tells of its machine."""
        machine = self._machines.get(line.machine.id)
        if machine is None:
            machine = self._machines[line.machine.id] = _State(line, updated_ns=unix_ns)
        if (image := _IMAGE.match(line.message)) is not None:
            machine.pulled = image[1]
        elif line.kind == STARTS_INIT and machine.pulled:
            app = line.machine.app
            number, newest = self._releases.get(app, (FIRST_RELEASE, ""))
            if newest != machine.pulled:
                number, newest = self._releases[app] = number + 1, machine.pulled
            machine.release, machine.image, machine.updated_ns = number, newest, unix_ns
            machine.pulled = ""

    def release_of(self, machine_id: str) -> str:
        """Return the number of the release that a machine runs, once a line of it was noted."""
        return str(self._machines[machine_id].release)

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Answer requests until it is cancelled."""
        listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
        self.port = listeners[0].socket.getsockname()[1]
        await trio.serve_listeners(self._answer, listeners, task_status=task_status)  # type: ignore[arg-type]  # our status carries no value

    async def _answer(self, stream: trio.SocketStream) -> None:
        """Answer one request, and close the connection."""
        head = b""
        with trio.move_on_after(PATIENCE):
            async with stream:
                while b"\r\n\r\n" not in head and len(head) < MAX_HEAD:
                    part = await stream.receive_some()
                    if not part:
                        return
                    head += part
                body = json.dumps(self._about(head.decode("latin-1"))).encode()
                await stream.send_all(
                    b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n"
                    b"Content-Length: %d\r\n\r\n%b" % (len(body), body)
                )

    def _about(self, head: str) -> Any:
        if (asked := _MACHINES.match(head)) is not None:
            return [
                _machine(state)
                for state in self._machines.values()
                if state.line.machine.app == asked[1]
            ]
        if head.startswith("GET /v1/apps?"):
            names = {state.line.machine.app for state in self._machines.values()}
            return {"apps": [{"name": name} for name in sorted(names)]}
        return {"data": [], "meta": {"next_token": ""}}


def _machine(state: _State) -> dict[str, Any]:
    updated = datetime.fromtimestamp(state.updated_ns / 1e9, UTC)
    machine = state.line.machine
    return {
        "id": machine.id,
        "name": f"{machine.app}-{machine.id[:4]}",
        "state": "started",
        "region": machine.region,
        "updated_at": updated.isoformat().replace("+00:00", "Z"),
        "image_ref": {"tag": state.image},
        "config": {
            "metadata": {
                "fly_process_group": "app",
                "fly_release_version": str(state.release),
            }
        },
    }
