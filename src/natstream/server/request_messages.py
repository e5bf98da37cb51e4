"""What the server tells an application about one request: its body, and that the client has gone.

It replaces the memory channel and, for a request without a body, the task of the application that
only waits for the disconnect. Together these took 6 KB for each reader.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import trio
from hypercorn.config import Config
from hypercorn.trio.task_group import TaskGroup, _handle
from hypercorn.typing import AppWrapper, Scope

__all__ = ["RequestMessages", "RequestTasks", "on_disconnect"]

# How many pieces of a body wait for the application, before reading from the client stops.
MAX_WAITING = 10

# Where in the state of a request the application finds its `RequestMessages`.
MESSAGES = "natstream.messages"
DISCONNECT = "http.disconnect"


def on_disconnect(scope: Mapping[str, Any], call: Callable[[], object]) -> bool:
    """Let the server call a function when the client has gone, or when the response has ended.

    Return False if the server is another one than ours, which cannot do that.
    """
    messages: RequestMessages | None = scope.get("state", {}).get(MESSAGES)
    if messages is None:
        return False
    messages.call_on_disconnect(call)
    return True


class RequestMessages:
    """The messages of one request, in order, and bounded in number."""

    __slots__ = ("_call", "_changed", "_has_ended", "_waiting")

    def __init__(self) -> None:
        self._waiting: list[Any] = []
        self._changed: trio.Event | None = None
        self._call: Callable[[], object] | None = None
        self._has_ended = False

    def call_on_disconnect(self, call: Callable[[], object]) -> None:
        """Call a function at the disconnect, or now if the client has gone already."""
        self._call = call
        if self._waiting and self._waiting[-1]["type"] == DISCONNECT:
            call()

    async def put(self, message: Any) -> None:
        """Add a message. Wait while the application has not read those before."""
        if message["type"] == DISCONNECT:
            if self._call is not None:
                self._call()
        else:
            while len(self._waiting) >= MAX_WAITING and not self._has_ended:
                await self._wait_for_change()
        if not self._has_ended:
            self._waiting.append(message)
            self._change()

    async def receive(self) -> Any:
        """Return the next message; after the disconnect, return that again and again."""
        while not self._waiting:
            await self._wait_for_change()
        message = self._waiting[0]
        if message["type"] != DISCONNECT:
            del self._waiting[0]
            self._change()
        return message

    def end(self) -> None:
        """Drop the messages that are left, because the application has ended."""
        self._has_ended = True
        self._waiting.clear()
        self._change()

    async def _wait_for_change(self) -> None:
        if self._changed is None:
            self._changed = trio.Event()
        await self._changed.wait()

    def _change(self) -> None:
        if self._changed is not None:
            self._changed.set()
            self._changed = None


class RequestTasks(TaskGroup):
    """hypercorn's tasks of one connection, whose applications receive `RequestMessages`."""

    async def spawn_app(
        self, app: AppWrapper, config: Config, scope: Scope, send: Callable[[Any], Any]
    ) -> Callable[[Any], Any]:
        """Start the application for a request, and return the function that hands it messages."""
        messages = RequestMessages()
        scope["state"][MESSAGES] = messages

        async def run() -> None:
            try:
                await _handle(app, config, scope, messages.receive, send, *_THREADS)
            finally:
                messages.end()

        self.spawn(run)
        return messages.put


# What hypercorn hands to applications of WSGI.
_THREADS = (trio.to_thread.run_sync, trio.from_thread.run)
