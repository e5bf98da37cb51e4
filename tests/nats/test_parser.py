"""The parser turns a server's bytes into messages and lines, however they are cut."""

from __future__ import annotations

import time
from itertools import pairwise

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from natstream.nats.parser import LARGEST_MESSAGE, LONGEST_LINE, MessageParser

Call = tuple[bytes, ...]
"""A line; or a message as subscription, subject, reply subject, payload and headers."""


class Recorder:
    """A parser, with everything that came out of it in `calls`."""

    def __init__(self) -> None:
        self.calls: list[Call] = []
        handlers = {
            number: lambda *message, number=number: self.calls.append((number, *message))
            for number in (b"1", b"22")
        }
        self.parser = MessageParser(handlers)

    def feed(self, *chunks: bytes) -> list[Call]:
        """Return everything that has come out once these chunks are fed."""
        for chunk in chunks:
            self.calls.extend((line,) for line in self.parser.feed(chunk))
        return self.calls


def message(
    subscription: bytes,
    payload: bytes,
    *,
    subject: bytes = b"logs.web",
    reply: bytes = b"",
    headers: bytes | None = None,
) -> tuple[bytes, list[Call]]:
    """Return a message as a server sends it, and the calls that must come of it."""
    words = [subject, subscription, *([reply] if reply else [])]
    if headers is None:
        line = b"MSG %b %d" % (b" ".join(words), len(payload))
    else:
        size = len(headers) + len(payload)
        line = b"HMSG %b %d %d" % (b" ".join(words), len(headers), size)
    call = (subscription, subject, reply, payload, headers or b"")
    known = subscription in (b"1", b"22")
    return b"%b\r\n%b%b\r\n" % (line, headers or b"", payload), [call] if known else []


LINES = [
    b"PING\r\n",
    b"PONG\r\n",
    b"+OK\r\n",
    b'INFO {"connect_urls": []}\r\n',
    b"-ERR 'Permissions Violation'\r\n",
    b"MSGS 1 2 3\r\n",
    b"\r\n",
]
payloads = st.binary(max_size=20) | st.lists(
    st.sampled_from(
        [b"\r\n", b"\r", b"MSG ", b"HMSG ", b"MSG a 1 2\r\n", b"PING\r\n", b"-ERR", b""]
    )
).map(b"".join)
pieces = st.one_of(
    st.builds(
        message,
        st.sampled_from([b"1", b"22", b"3"]),  # the last has no handler
        payloads,
        subject=st.sampled_from([b"logs.web", b"a", b"logs.\x0cw\x0be\tb", b"logs.\xc2\xa0"]),
        reply=st.sampled_from([b"", b"_INBOX.a", b"7", b"$JS.ACK.s.c.1.2.3.4.5"]),
        headers=st.none()
        | st.sampled_from(
            [b"NATS/1.0\r\n\r\n", b"NATS/1.0 100 Idle\r\n\r\n", b"NATS/1.0\r\nA: MSG a 1 1\r\n\r\n"]
        )
        | st.just(b""),
    ),
    st.sampled_from([(line, [(line,)]) for line in LINES]),
)


@settings(max_examples=5 * settings().max_examples)
@given(st.lists(pieces, max_size=12), st.lists(st.integers(0, 400), max_size=20))
def test_any_cut_of_a_stream_gives_the_same_messages(
    sent: list[tuple[bytes, list[Call]]], cuts: list[int]
) -> None:
    """Messages and lines come out in their order; a payload that looks like a message is none."""
    data = b"".join(piece for piece, _ in sent)
    expected = [call for _, calls in sent for call in calls]
    assert Recorder().feed(data) == expected
    chunks = [data[start:end] for start, end in pairwise([0, *sorted(cuts), len(data)])]
    assert Recorder().feed(*chunks) == expected
    assert Recorder().feed(*(data[index : index + 1] for index in range(len(data)))) == expected


def test_messages_before_a_line_are_handed_over_before_it() -> None:
    """The caller learns of a line when it has had all messages before it, and none after it."""
    recorder = Recorder()
    first, second = message(b"1", b"first"), message(b"1", b"second")
    lines = recorder.parser.feed(first[0] + b"PING\r\n" + second[0])
    assert next(lines) == b"PING\r\n"
    assert recorder.calls == first[1]
    assert list(lines) == []
    assert recorder.calls == first[1] + second[1]


def test_a_subscription_without_a_handler_gets_nothing() -> None:
    """Messages that arrive after a subscription has ended are dropped, and others are not."""
    recorder = Recorder()
    late, other = message(b"3", b"late"), message(b"1", b"x")
    assert recorder.feed(late[0] + other[0]) == other[1]


def test_a_handler_may_end_its_own_subscription() -> None:
    """The handlers may change while messages are handed over."""
    got: list[bytes] = []

    def handle(subject: bytes, reply: bytes, payload: bytes, headers: bytes) -> None:
        got.append(payload)
        del handlers[b"1"]

    handlers = {b"1": handle}
    data = message(b"1", b"first")[0] + message(b"1", b"second")[0]
    assert list(MessageParser(handlers).feed(data)) == []
    assert got == [b"first"]


def test_a_subject_may_hold_white_space_other_than_a_space() -> None:
    """Servers deliver form feeds and vertical tabs, which `bytes.split()` would split at."""
    data, calls = message(b"22", b"hi", subject=b"logs.x\x0c1\x0b5")
    assert Recorder().feed(data) == calls


def test_a_large_message_is_not_copied_with_each_chunk() -> None:
    """The time grows with the size of a message, and not with its square.

    Each chunk holds 32 KiB. With a copy for each, 64 MiB would take eight seconds.
    """
    size = 64 * 2**20
    data, _ = message(b"1", bytes(size))
    recorder = Recorder()
    started = time.process_time()
    recorder.feed(*(data[start : start + 32_768] for start in range(0, len(data), 32_768)))
    assert time.process_time() - started < 2
    assert [len(call[3]) for call in recorder.calls] == [size]


# --- hostile servers ---------------------------------------------------------------------------

MALFORMED = {
    "no size": b"MSG logs.web 1 x\r\n",
    "empty size": b"MSG logs.web 1 \r\n",
    "negative size": b"MSG logs.web 1 -1\r\n",
    "size that leads back to its own line": b"MSG logs.web 1 -22\r\n",
    "fractional size": b"MSG logs.web 1 1.5\r\nx\r\n",
    "absurd size": b"MSG logs.web 1 %d\r\n" % (LARGEST_MESSAGE + 1),
    "more digits than Python converts": b"MSG logs.web 1 " + b"9" * 5_000 + b"\r\n",
    "nothing but a verb": b"MSG \r\n",
    "no subscription": b"MSG 5\r\nhello\r\n",
    "one word too few": b"MSG logs.web 1\r\nx\r\n",
    "no size of headers": b"HMSG logs.web 1 5\r\nhello\r\n",
    "negative headers": b"HMSG logs.web 1 -1 5\r\nhello\r\n",
    "headers larger than all": b"HMSG logs.web 1 6 5\r\nhello\r\n",
    "headers without a size": b"HMSG logs.web 1 x 5\r\nhello\r\n",
    "negative size after headers": b"HMSG logs.web 1 3 -5\r\nhello\r\n",
    "absurd size after headers": b"HMSG logs.web 1 3 9999999999\r\nhello\r\n",
}


@pytest.mark.parametrize("words", MALFORMED.values(), ids=MALFORMED)
@pytest.mark.parametrize("before", [b"", b"MSG logs.web 1 2\r\nhi\r\n", b"PING\r\n"])
def test_a_malformed_message_is_an_error(words: bytes, before: bytes) -> None:
    """The parser hands over the data before a malformed message, then raises; it never hangs."""
    recorder = Recorder()
    with pytest.raises(ValueError, match=r"."):
        recorder.feed(before + words)
    assert len(recorder.calls) == bool(before)
    with pytest.raises(ValueError, match=r"."):
        Recorder().feed(*(words[index : index + 1] for index in range(len(words))))


def test_the_largest_possible_message_is_waited_for() -> None:
    """A size is refused only if no server can send it."""
    recorder = Recorder()
    assert recorder.feed(b"MSG logs.web 1 %d\r\n" % LARGEST_MESSAGE, b"x" * 100) == []


@pytest.mark.parametrize("start", [b"", b"INFO ", b"MSG logs.web 1 ", b"HMSG "])
def test_a_line_without_an_end_is_an_error(start: bytes) -> None:
    """A line that never ends cannot fill the memory."""
    recorder = Recorder()
    chunk = b"1" * 32_768
    with pytest.raises(ValueError, match="does not end"):
        recorder.feed(start, *[chunk] * (LONGEST_LINE // len(chunk) + 1))
    assert recorder.calls == []


def test_a_long_line_that_ends_is_handed_back() -> None:
    """The limit is far above the longest INFO."""
    line = b"INFO " + b"x" * 500_000 + b"\r\n"
    chunks = [line[start : start + 32_768] for start in range(0, len(line), 32_768)]
    assert Recorder().feed(*chunks) == [(line,)]


@given(st.lists(st.binary(max_size=30) | pieces.map(lambda piece: piece[0]), max_size=6))
@example([b"MSG a 1 -13\r\n"])
def test_any_bytes_are_parsed_or_refused(chunks: list[bytes]) -> None:
    """ValueError is the only error, so that every fault of a server ends its connection."""
    recorder = Recorder()
    for chunk in chunks:
        try:
            recorder.feed(chunk)
        except ValueError:
            return
