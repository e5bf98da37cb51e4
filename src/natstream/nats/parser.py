"""The protocol of NATS, as a server speaks it: bytes in, messages out. Pure.

In: the bytes that were read, cut anywhere. Out: each message, as a call of its subscription's
handler; and each other line of the protocol, for the caller, in the order in which the server
sent them. A message that does not follow the protocol raises ValueError. The connection is of no
use then, because the parser no longer knows where the next message begins.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

__all__ = ["LONGEST_LINE", "Handler", "MessageParser"]

# The longest line of the protocol is an INFO with the addresses of a cluster's servers: 50 bytes
# for each. Without a limit, a line that never ends would fill the memory.
LONGEST_LINE = 2**20
# nats-server keeps its limit for messages, `max_payload`, in 32 bits with a sign. A larger size
# is a mistake or an attack, and waiting for that many bytes would fill the memory.
LARGEST_MESSAGE = 2**31 - 1

Handler = Callable[[bytes, bytes, bytes, bytes], None]
"""Called for each message with its subject, reply subject, payload and raw headers. The reply
subject and the headers are empty where the message has none. A handler must neither wait nor
raise."""


class MessageParser:
    """Parses one connection's stream.

    Args:
        handlers: the handler of each subscription, by the subscription's number as the server
            spells it. They may change at any time. A message without a handler is dropped, since
            messages still arrive for a while after a subscription has ended.
    """

    def __init__(self, handlers: Mapping[bytes, Handler]) -> None:
        self._handlers = handlers
        self._buffer = bytearray()
        """The beginning of a message or line of which the end has not arrived."""
        self._needed = 0
        """Bytes that `_buffer` must hold before its message is whole; 0 while not known."""

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Hand over the messages in `data`; yield each line that is no message, with its end.

        The messages before a line are handed over before the line is yielded. The caller has to
        exhaust the iterator before it feeds more.

        Raises:
            ValueError: the stream does not follow the protocol.
        """
        if self._buffer:
            if len(self._buffer) + len(data) < self._needed:
                self._buffer += data
                return
            data = b"".join((self._buffer, data))
            self._buffer.clear()
        handlers, size = self._handlers, len(data)
        position = self._needed = 0
        while (line_end := data.find(b"\r\n", position)) >= 0:
            start = line_end + 2
            # Servers put one space between the words: the verb, the subject, the subscription's
            # number, the reply subject if there is one, the size of the headers (HMSG only) and
            # the size of headers and payload. The subject may hold other kinds of white space.
            words = data[position:line_end].split(b" ")
            is_plain = words[0] == b"MSG"
            if not is_plain and words[0] != b"HMSG":
                yield data[position:start]
                position = start
                continue
            count, end = len(words), start + int(words[-1])
            if count < 4 or end < start:
                raise ValueError("a message lacks words, or its size is negative")
            if end + 2 > size:
                if end - start > LARGEST_MESSAGE:
                    raise ValueError("a message is too large")
                self._needed = end + 2 - position
                break
            position = end + 2
            if (handler := handlers.get(words[2])) is None:
                continue
            if is_plain:
                reply = b"" if count == 4 else words[3]
                handler(words[1], reply, data[start:end], b"")
            else:
                reply = b"" if count == 5 else words[3]
                body = start + int(words[-2])
                if count < 5 or not start <= body <= end:
                    raise ValueError("the size of a message's headers is wrong")
                handler(words[1], reply, data[body:end], data[start:body])
        if not self._needed and size - position > LONGEST_LINE:
            raise ValueError("a line does not end")
        self._buffer += data[position:]
