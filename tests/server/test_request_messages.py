"""The messages of a request arrive in order, are bounded, and tell of the client's disconnect."""

from __future__ import annotations

from typing import Any

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from natstream.server.request_messages import (
    MAX_WAITING,
    MESSAGES,
    RequestMessages,
    on_disconnect,
)

DISCONNECT = {"type": "http.disconnect"}


def _piece(number: int) -> dict[str, Any]:
    return {"type": "http.request", "body": b"%d" % number, "more_body": True}


async def test_pieces_wait_for_the_application(nursery: trio.Nursery) -> None:
    """At most ten pieces wait, and all arrive in order."""
    messages = RequestMessages()
    put = 0

    async def send() -> None:
        nonlocal put
        for number in range(30):
            await messages.put(_piece(number))
            put += 1

    nursery.start_soon(send)
    await wait_all_tasks_blocked()
    assert put == MAX_WAITING
    assert [await messages.receive() for _ in range(30)] == [_piece(n) for n in range(30)]
    assert put == 30


async def test_an_application_that_has_ended_holds_nothing_up() -> None:
    """After the application's end, every piece is dropped, and nothing waits."""
    messages = RequestMessages()
    for number in range(MAX_WAITING):
        await messages.put(_piece(number))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(messages.put, _piece(0))
        await wait_all_tasks_blocked()
        messages.end()
    with trio.fail_after(1):
        for number in range(100):
            await messages.put(_piece(number))


async def test_the_disconnect_is_told_again_and_again() -> None:
    """The disconnect comes after the pieces, and never waits for them."""
    messages = RequestMessages()
    for number in range(MAX_WAITING):
        await messages.put(_piece(number))
    await messages.put(DISCONNECT)
    for number in range(MAX_WAITING):
        assert await messages.receive() == _piece(number)
    assert [await messages.receive() for _ in range(3)] == [DISCONNECT] * 3


@pytest.mark.parametrize("has_gone", [False, True])
async def test_an_application_may_be_called_at_the_disconnect(has_gone: bool) -> None:
    """The function is called at the disconnect, or at once if the client has gone before."""
    messages, calls = RequestMessages(), list[int]()
    if has_gone:
        await messages.put(DISCONNECT)
    assert on_disconnect({"state": {MESSAGES: messages}}, lambda: calls.append(1))
    assert calls == [1] * has_gone
    if not has_gone:
        await messages.put(DISCONNECT)
    assert calls == [1]


def test_another_server_tells_the_disconnect_by_a_message_alone() -> None:
    """The application of another server must receive the disconnect itself."""
    assert not on_disconnect({"type": "http"}, lambda: None)
