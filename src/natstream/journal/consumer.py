"""Reading a stream from a position on, in order and in bounded runs.

In: a position, and perhaps subjects. Out: messages. A consumer that loses messages, or whose server
does not answer, raises `JournalUnavailable`.
"""

from __future__ import annotations

import json
import re
import secrets
from collections import deque
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import trio

from natstream.errors import JournalUnavailable
from natstream.journal.jetstream import JetStream, Stored

__all__ = ["Consumer"]

# Seconds after which a silent consumer counts as lost. The server sends a heartbeat three times as
# often.
SILENCE = 3.0
# Seconds more to read messages that may have arrived while this machine stood still.
GRACE = 0.3
# The most that one pull asks for: so many lines share one round trip, and may wait in memory.
PULL_LINES = 2_000
PULL_BYTES = 4 * 2**20
# Seconds after which the server forgets a consumer that is not used.
FORGET_AFTER = 60.0
# Seconds after which a pull that brought too little is repeated.
PULL_FOR = 60.0

_NS = 10**9

_LIMIT = re.compile(rb"Exceeded MaxRequest(Batch|MaxBytes) of (\d+)")


class Consumer:
    """Reads a stream from a position on, in order.

    It is an ordered consumer of JetStream from which messages are pulled. The server keeps the
    consumer's position in memory only, so the consumer holds up no other one, and costs nothing
    once it is forgotten. A reader that loses its consumer opens another one, behind the last
    message that it has received.

    Args:
        jetstream: a connection; the consumer cannot be used after its end.
        pull_bytes: the most bytes that one pull brings, unless a single message is larger.
    """

    def __init__(self, jetstream: JetStream, *, pull_bytes: int = PULL_BYTES) -> None:
        self._jetstream = jetstream
        self._pull_lines, self._pull_bytes, self._pull_for = PULL_LINES, pull_bytes, PULL_FOR
        self.server: str = ""
        """The server of a cluster that runs the consumer; empty outside of a cluster."""
        self._name = secrets.token_hex(8)
        self._waiting: deque[Stored] = deque()
        self._arrived = trio.Event()
        self._outstanding = 0
        self._read = 0
        self._broken = ""
        self._prefix = len(jetstream.name) + 1
        self._heard = trio.current_time()
        self._exhausted = False
        """Whether the server had no more messages for the last pull."""
        self._sid, self._reply = jetstream.listen_for_pulls(self._name, self._on_message)
        self._pulls = 0
        self._next = f"$JS.API.CONSUMER.MSG.NEXT.{jetstream.name}.{self._name}".encode()

    async def open(
        self,
        start: int,
        subjects: Sequence[str] = (),
        *,
        since_ns: int | None = None,
        headers_only: bool = False,
    ) -> None:
        """Create the consumer at the server.

        Args:
            start: the number of the first message to read.
            subjects: the subjects to read; all of them if there are none.
            since_ns: read the messages that were stored at this time (Unix ns) or later, instead of
                those from `start` on.
            headers_only: leave out the payloads.

        Raises:
            JournalUnavailable: the server does not answer, or the stream does not exist.
            JournalDenied: the server has no JetStream.
        """
        forget_after = min(FORGET_AFTER, self._jetstream.longest_inactivity)
        config: dict[str, Any] = {
            "name": self._name,
            "ack_policy": "none",
            "replay_policy": "instant",
            "mem_storage": True,
            "num_replicas": 1,
            "inactive_threshold": int(forget_after * _NS),
            "headers_only": headers_only,
        }
        if since_ns is None:
            config |= {"deliver_policy": "by_start_sequence", "opt_start_seq": max(1, start)}
        else:
            config |= {"deliver_policy": "by_start_time", "opt_start_time": _rfc3339(since_ns)}
        if len(subjects) == 1:
            config["filter_subject"] = subjects[0]
        elif subjects:
            config["filter_subjects"] = list(subjects)
        name = self._jetstream.name
        answer = await self._jetstream.request(
            f"CONSUMER.CREATE.{name}.{self._name}", {"stream_name": name, "config": config}
        )
        if "error" in answer:
            raise self._jetstream.trouble(answer["error"])
        self.server = answer.get("cluster", {}).get("leader", "")
        # The server puts its own limits (`max_request_batch`) into the consumer that it creates.
        granted = answer.get("config", {})
        self._pull_lines = min(self._pull_lines, granted.get("max_batch") or PULL_LINES)
        self._pull_bytes = min(self._pull_bytes, granted.get("max_bytes") or PULL_BYTES)
        self._pull_for = min(PULL_FOR, (granted.get("max_expires") or PULL_FOR * _NS) / _NS)

    def close(self) -> None:
        """Tell the server to forget the consumer, without waiting."""
        connection = self._jetstream.connection
        connection.unlisten(self._sid)
        connection.send(
            f"PUB $JS.API.CONSUMER.DELETE.{self._jetstream.name}.{self._name} 0\r\n\r\n".encode()
        )

    async def receive(self, most: int, *, wait: bool) -> list[Stored]:
        """Return the next messages; a cancelled call loses none.

        Args:
            most: the largest number of messages to return.
            wait: wait for a message if the stream holds no more; otherwise return none.

        Raises:
            JournalUnavailable: the server has lost the consumer, or does not answer.
        """
        asked = False  # Messages may have been stored since an earlier pull found none.
        while not self._waiting:
            if self._broken:
                raise JournalUnavailable(f"The journal's reader is lost: {self._broken}", "reader")
            if not self._outstanding:
                if self._exhausted and asked and not wait:
                    return []
                # A pull that brought nothing has met a message that is larger than `pull_bytes`,
                # which has to be pulled alone.
                alone = asked and not self._exhausted
                lines = 1 if alone else PULL_LINES if wait else most
                self._pull(min(lines, self._pull_lines), wait=wait, alone=alone)
                asked = True
            self._arrived = trio.Event()
            with trio.move_on_at(self._heard + SILENCE):
                await self._arrived.wait()
            if not self._arrived.is_set() and trio.current_time() >= self._heard + SILENCE:
                with trio.move_on_after(GRACE):
                    await self._arrived.wait()
                if not self._arrived.is_set() and trio.current_time() >= self._heard + SILENCE:
                    self._broken = "the server is silent"
        count = min(most, len(self._waiting))
        return [self._waiting.popleft() for _ in range(count)]

    def _pull(self, most: int, *, wait: bool, alone: bool) -> None:
        self._outstanding = most
        self._heard = trio.current_time()
        self._exhausted = False
        request: dict[str, Any] = {"batch": most}
        if not alone:
            request["max_bytes"] = self._pull_bytes
        if wait:
            heartbeat = min(SILENCE, self._pull_for) / 3
            request |= {
                "expires": int(self._pull_for * _NS),
                "idle_heartbeat": int(heartbeat * _NS),
            }
        else:
            request["no_wait"] = True
        payload = json.dumps(request).encode()
        self._pulls += 1
        self._jetstream.connection.send(
            b"PUB %b %b%d %d\r\n%b\r\n"
            % (self._next, self._reply, self._pulls, len(payload), payload)
        )

    def _on_message(self, subject: bytes, reply: bytes, payload: bytes, headers: bytes) -> None:
        self._heard = trio.current_time()
        if not reply.startswith(b"$JS.ACK."):
            if subject == b"%b%d" % (self._reply, self._pulls):  # It answers the latest pull.
                self._on_status(headers)
            return
        words = reply.split(b".")
        # $JS.ACK.<stream>.<consumer>.<times>.<number>.<nth>.<time>.<pending>, or a longer form with
        # <domain>.<account> before the stream, and with more words at the end.
        offset = 5 if len(words) == 9 else 7
        self._read += 1
        if int(words[offset + 1]) != self._read:
            self._broken = "some of its messages are missing"
        elif not self._broken:
            self._waiting.append(
                Stored(  # Without keywords, which would take half a microsecond for each line.
                    int(words[offset]),
                    int(words[offset + 2]),
                    subject[self._prefix :],
                    payload,
                    headers,
                )
            )
            self._outstanding -= 1
        self._arrived.set()

    def _on_status(self, headers: bytes) -> None:
        status, _, _ = headers.partition(b"\r\n")
        code = status[9:12]
        if code == b"100":
            return
        self._outstanding = 0
        if code in (b"404", b"408"):
            self._exhausted = True
        elif self._takes_over_limit(status):
            pass  # The next pull asks for less.
        elif code != b"409" or (b"MaxBytes" not in status and b"Completed" not in status):
            # The two exceptions mean that the pull has brought as much as it may.
            self._broken = status[9:].decode("ascii", "replace").strip()
        self._arrived.set()

    def _takes_over_limit(self, status: bytes) -> bool:
        """Use a limit that the server names, and return whether it is lower than ours was.

        The server names it if its configuration was changed after the consumer was created.
        """
        if not (match := _LIMIT.search(status)):
            return False
        limit = max(1, int(match[2]))
        if match[1] == b"Batch":
            is_lower, self._pull_lines = limit < self._pull_lines, limit
        else:
            is_lower, self._pull_bytes = limit < self._pull_bytes, limit
        return is_lower


def _rfc3339(unix_ns: int) -> str:
    seconds, ns = divmod(unix_ns, _NS)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{ns:09d}Z"
