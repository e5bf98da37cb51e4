"""Reading a stream from a place on, in order and in bounded runs.

An ordered consumer that is pulled: the server keeps its place in memory only, so it holds up
nobody, and costs nothing once it is forgotten.
"""

from __future__ import annotations

import json
import secrets
from collections import deque
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import trio

from natstream.errors import JournalUnavailable
from natstream.journal.jetstream import JetStream, Stored

__all__ = ["Consumer"]

# Without a word for this long, a consumer is taken for dead; the server speaks thrice as often.
SILENCE = 3.0
# After that, what came while this machine stood still has so long to be read.
GRACE = 0.3
# One pull: enough to share its round trip, little enough to wait in memory.
PULL_LINES = 2_000
PULL_BYTES = 4 * 2**20
# The server forgets a consumer that nobody has pulled from for this long.
FORGET_AFTER = 60.0

_NS = 10**9


class Consumer:
    """Reads a stream from a place on, in order: an ordered consumer, pulled.

    The server keeps its place in memory only, and forgets it when nobody pulls any more; whoever
    loses it opens another one behind the last message that it has had.

    Args:
        jetstream: of a connection; it is of no use after that.
        pull_bytes: how much one pull may bring, unless a single message is larger.
    """

    def __init__(self, jetstream: JetStream, *, pull_bytes: int = PULL_BYTES) -> None:
        self._jetstream = jetstream
        self._pull_bytes = pull_bytes
        self.server = ""
        """Where it lives, in a cluster."""
        self._name = secrets.token_hex(8)
        self._waiting: deque[Stored] = deque()
        self._arrived = trio.Event()
        self._outstanding = 0
        self._read = 0
        self._broken = ""
        self._prefix = len(jetstream.name) + 1
        self._heard = trio.current_time()
        self._exhausted = False
        """Whether the server had nothing more for the last pull."""
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
        """Place it before the message `start`, or before what was stored at `since_ns`.

        Raises:
            JournalUnavailable: there is no answer, or no stream.
        """
        config: dict[str, Any] = {
            "name": self._name,
            "ack_policy": "none",
            "replay_policy": "instant",
            "mem_storage": True,
            "num_replicas": 1,
            "inactive_threshold": int(FORGET_AFTER * _NS),
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

    def close(self) -> None:
        """Let the server forget it. At once."""
        connection = self._jetstream.connection
        connection.unlisten(self._sid)
        connection.send(
            f"PUB $JS.API.CONSUMER.DELETE.{self._jetstream.name}.{self._name} 0\r\n\r\n".encode()
        )

    async def receive(self, most: int, *, wait: bool) -> list[Stored]:
        """The next messages, at most so many; without `wait` none, if there are none just now.

        Cancelled, it has lost nothing.

        Raises:
            JournalUnavailable: the server has lost the consumer, or says nothing.
        """
        asked = False  # what an earlier pull did not find may be there by now
        while not self._waiting:
            if self._broken:
                raise JournalUnavailable(f"The journal's reader is lost: {self._broken}", "reader")
            if not self._outstanding:
                if self._exhausted and asked and not wait:
                    return []
                # What a pull could not bring, since it is larger than all of one, comes alone.
                alone = asked and not self._exhausted
                self._pull(1 if alone else PULL_LINES if wait else most, wait=wait, alone=alone)
                asked = True
            self._arrived = trio.Event()
            with trio.move_on_at(self._heard + SILENCE):
                await self._arrived.wait()
            if not self._arrived.is_set() and trio.current_time() >= self._heard + SILENCE:
                with trio.move_on_after(GRACE):
                    await self._arrived.wait()
                if not self._arrived.is_set() and trio.current_time() >= self._heard + SILENCE:
                    self._broken = "the server says nothing"
        take = min(most, len(self._waiting))
        return [self._waiting.popleft() for _ in range(take)]

    def _pull(self, most: int, *, wait: bool, alone: bool) -> None:
        self._outstanding = most
        self._heard = trio.current_time()
        self._exhausted = False
        wish: dict[str, Any] = {"batch": most}
        if not alone:
            wish["max_bytes"] = self._pull_bytes
        if wait:
            wish |= {"expires": 60 * _NS, "idle_heartbeat": int(SILENCE / 3 * _NS)}
        else:
            wish["no_wait"] = True
        payload = json.dumps(wish).encode()
        self._pulls += 1
        self._jetstream.connection.send(
            b"PUB %b %b%d %d\r\n%b\r\n"
            % (self._next, self._reply, self._pulls, len(payload), payload)
        )

    def _on_message(self, subject: bytes, reply: bytes, payload: bytes, headers: bytes) -> None:
        self._heard = trio.current_time()
        if not reply.startswith(b"$JS.ACK."):
            if subject == b"%b%d" % (self._reply, self._pulls):  # no former one's
                self._on_status(headers)
            return
        words = reply.split(b".")
        # $JS.ACK.<stream>.<consumer>.<times>.<number>.<nth>.<time>.<pending>, or the same with
        # <domain>.<account> before the stream, and more at the end.
        offset = 5 if len(words) == 9 else 7
        self._read += 1
        if int(words[offset + 1]) != self._read:
            self._broken = "messages of it are missing"
        elif not self._broken:
            self._waiting.append(
                Stored(
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
        elif code != b"409" or (b"MaxBytes" not in status and b"Completed" not in status):
            # But of those two: then as much as may be has come.
            self._broken = status[9:].decode("ascii", "replace").strip()
        self._arrived.set()


def _rfc3339(unix_ns: int) -> str:
    seconds, ns = divmod(unix_ns, _NS)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{ns:09d}Z"
