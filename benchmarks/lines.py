"""Log lines as Fly publishes them, each with a stamp of its number and its time.

The stamp, `~<number>.<nanoseconds>;`, stands in the line's message, which every server forwards
unchanged. `~` occurs nowhere else, so a count of that byte is a count of lines, even if the bytes
arrive in pieces. Whole stamps give latency and order as well.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime

__all__ = ["KINDS", "MARK", "PAYLOAD_SIZE", "STAMP", "now_ns", "stamp_all", "templates"]

MARK = ord("~")
STAMP = re.compile(rb"~(\d+)\.(\d+);")

# Lines are of so many kinds in turn. Each kind has its own machine and user, so that a thousand
# readers can have a thousand different filters.
KINDS = 1_000
APPS = 20
# Bytes of a typical line of a web application, with its envelope.
PAYLOAD_SIZE = 350

# This clock is the same for all processes of a machine, and it never jumps.
now_ns = time.monotonic_ns


def templates(
    wrap: Callable[[str, int, bytes], bytes], kinds: Iterable[int] = range(KINDS)
) -> list[bytes]:
    """Return one template for each kind, for `stamp_all`.

    `wrap(subject, size, payload)` returns the message with a payload of that size. It must keep the
    payload's two `%b` placeholders, of the stamp and of the time, in that order.
    """
    return [_template(kind, wrap) for kind in kinds]


def stamp_all(kinds: list[bytes], first: int, end: int) -> bytes:
    """Return the lines from number `first` to before `end`, stamped with the present time."""
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
    return b"~%010d.%020d;" % (
        number,
        sent,
    )  # always of the same length, because a length precedes the payload


def _time(moment: datetime) -> bytes:
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%f000Z").encode()
