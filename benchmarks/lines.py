"""Log lines as Fly publishes them, each with a stamp that says which it is and when it was sent.

The stamp, `~<number>.<nanoseconds>;`, stands in the line's message, where every server hands it
on as it is. `~` occurs nowhere else in what is sent, so counting that byte counts lines, however
the bytes were cut into pieces; reading whole stamps gives latency and order as well.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime

__all__ = ["KINDS", "MARK", "PAYLOAD_SIZE", "STAMP", "now_ns", "stamp_all", "templates"]

MARK = ord("~")
STAMP = re.compile(rb"~(\d+)\.(\d+);")

# Lines take turns to be of one of so many kinds, each with a machine and a user of its own, so
# that a thousand readers can each filter for something else.
KINDS = 1_000
APPS = 20
# What a line of a web application comes to, envelope included.
PAYLOAD_SIZE = 350

# One clock for all processes of this machine; it never jumps.
now_ns = time.monotonic_ns


def templates(
    wrap: Callable[[str, int, bytes], bytes], kinds: Iterable[int] = range(KINDS)
) -> list[bytes]:
    """One template a kind, ready for `stamp_all`.

    `wrap(subject, size, payload)` puts a payload of that size into what goes over the wire; it
    must leave the payload's `%b` placeholders (stamp and time) as they are, in that order.
    """
    return [_template(kind, wrap) for kind in kinds]


def stamp_all(kinds: list[bytes], first: int, end: int) -> bytes:
    """The lines numbered from `first` up to `end`, stamped with the present moment, as one run."""
    sent = now_ns()
    moment = _time(datetime.now(UTC))
    return b"".join([kinds[n % len(kinds)] % (_stamp(n, sent), moment) for n in range(first, end)])


def _template(kind: int, wrap: Callable[[str, int, bytes], bytes]) -> bytes:
    app, machine = f"app-{kind % APPS:02d}", f"{kind:014x}"
    message = f"%b GET /api/orders/{kind} 200 in 12 ms user=u{kind:04d} request_id="
    payload = (
        f'{{"event":{{"provider":"app"}},"fly":{{"app":{{"instance":"{machine}","name":"{app}"}},'
        f'"region":"sjc"}},"host":"0ad1","log":{{"level":"info"}},"message":"{message}FILL",'
        '"timestamp":"%b"}'
    ).encode()
    size = len(payload.replace(b"FILL", b"") % (_stamp(0, 0), _time(datetime.now(UTC))))
    payload = payload.replace(b"FILL", b"f" * (PAYLOAD_SIZE - size))
    return wrap(f"logs.{app}.sjc.{machine}", PAYLOAD_SIZE, payload)


def _stamp(number: int, sent: int) -> bytes:
    return b"~%010d.%020d;" % (number, sent)  # of one length, since lengths go ahead of payloads


def _time(moment: datetime) -> bytes:
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%f000Z").encode()
