"""The head of an ordinary request is read as h11 reads it, and any other is left to h11."""

from __future__ import annotations

import time

import h11
import pytest
from hypothesis import given
from hypothesis import strategies as st

from natstream.drain.plain_head import read_plain_head

ORDINARY = b"POST /a?b=c HTTP/1.1\r\nHost: drain\r\nContent-Length: 5\r\n\r\n"


def test_an_ordinary_head_is_read() -> None:
    """The head has its target, its headers by lower-case name, its size and that of the body."""
    head = read_plain_head(ORDINARY + b"hello")
    assert head is not None
    assert head.target == b"/a?b=c"
    assert head.headers == {b"host": b"drain", b"content-length": b"5"}
    assert (head.size, head.body) == (len(ORDINARY), 5)


@pytest.mark.parametrize("value", [b"keep-alive", b"Keep-Alive"])
def test_a_connection_that_is_kept_is_ordinary(value: bytes) -> None:
    """A sender may say that it keeps the connection, which HTTP/1.1 does anyway."""
    head = read_plain_head(ORDINARY.replace(b"Host", b"Connection: " + value + b"\r\nHost"))
    assert head is not None


@pytest.mark.parametrize(
    "head",
    [
        ORDINARY[:-2],
        ORDINARY[:-1],
        ORDINARY.replace(b"\r\n", b"\n"),
        ORDINARY.replace(b"POST", b"GET"),
        ORDINARY.replace(b"/1.1", b"/1.0"),
        ORDINARY.replace(b"/a?b=c", b"*"),
        ORDINARY.replace(b"Host: drain\r\n", b""),
        ORDINARY.replace(b"Host", b"Host: drain\r\nHost"),
        ORDINARY.replace(b": drain", b" : drain"),
        ORDINARY.replace(b"drain", b"drain\r\n folded"),
        ORDINARY.replace(b"drain", b"dr\x00ain"),
        ORDINARY.replace(b"drain", b"dr\rain"),
        ORDINARY.replace(b"Host", b"Expect: 100-continue\r\nHost"),
        ORDINARY.replace(b"Host", b"Connection: close\r\nHost"),
        ORDINARY.replace(b"Host", b"Upgrade: websocket\r\nHost"),
        ORDINARY.replace(b"Host", b"Connection: keep-alive\r\nUpgrade: websocket\r\nHost"),
        ORDINARY.replace(b"Host", b"Transfer-Encoding: chunked\r\nHost"),
        ORDINARY.replace(b"Host", b"no header\r\nHost"),
        ORDINARY.replace(b"Content-Length: 5\r\n", b""),
        ORDINARY.replace(b": 5", b": +5"),
        ORDINARY.replace(b": 5", b": 5, 5"),
        ORDINARY.replace(b": 5", b": 5\r\nContent-Length: 5"),
        ORDINARY.replace(b": 5", b": " + b"9" * 30),
        ORDINARY.replace(b"drain", b"d" * 5_000),
    ],
)
def test_any_other_head_is_left_to_h11(head: bytes) -> None:
    """A head that is not ordinary, or has not arrived whole, is not read."""
    assert read_plain_head(head) is None


pieces = st.sampled_from(
    [b"POST / HTTP/1.1\r\n", b"Host: a\r\n", b"Content-Length: 3\r\n", b"content-length:3\r\n",
     b"Transfer-Encoding: chunked\r\n", b"X-A: b c\r\n", b"X-A:\t\xe9 \r\n", b"\r\n", b"\n",
     b" ", b"\r", b"Content-Length: 3", b": ", b"x",
     b"Connection: keep-alive\r\n", b"Connection: x\r\n"]
)  # fmt: skip


@given(st.lists(pieces, max_size=8).map(lambda parts: b"".join([*parts, b"\r\n"])))
def test_what_is_read_means_the_same_to_h11(rest: bytes) -> None:
    """A head that is accepted has the same target, headers and body for h11."""
    data = b"POST /x HTTP/1.1\r\nHost: h\r\n" + rest
    head = read_plain_head(data)
    if head is None:
        return
    http = h11.Connection(h11.SERVER)
    http.receive_data(data[: head.size] + b"b" * head.body)
    event = http.next_event()
    assert isinstance(event, h11.Request)
    assert (event.method, event.target, event.http_version) == (b"POST", head.target, b"1.1")
    assert dict(event.headers) == head.headers
    if head.body:
        body = http.next_event()
        assert isinstance(body, h11.Data)
        assert len(body.data) == head.body
    assert isinstance(http.next_event(), h11.EndOfMessage)
    http.send(h11.Response(status_code=200, headers=[(b"content-length", b"0")]))
    http.send(h11.EndOfMessage())
    assert http.our_state is h11.DONE


def test_a_hostile_head_costs_little() -> None:
    """No head takes quadratic time."""
    started = time.process_time()
    for line in (b"a" * 4_000, b"a: b" * 1_000, b"a: " + b"b " * 2_000, b"a:b\r\n" * 800):
        read_plain_head(ORDINARY.replace(b"Host", line + b"\r\nHost"))
    assert time.process_time() - started < 0.05
