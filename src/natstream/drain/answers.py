"""The drain's answers to its senders. Pure.

In: a result or a reason. Out: an `Answer`, whose body is a receipt in JSON, or one sentence about
the change that the sender should make.
"""

from __future__ import annotations

import msgspec

from natstream.drain.http1 import Answer

__all__ = ["HELLO", "busy", "closing", "json_answer", "refusal"]

# Seconds, in 503 answers. A restart takes a few seconds, and a busy moment takes less.
RETRY_AFTER = 2

HELLO = Answer(
    200,
    b"natstream takes logs here: POST them as NDJSON, a JSON array or lines of text, or as OTLP to "
    b"/v1/logs.\n",
    content_type=b"text/plain; charset=utf-8",
)


def json_answer(status: int, value: object, *headers: tuple[bytes, bytes]) -> Answer:
    """Return an answer whose body is `value` as JSON."""
    return Answer(status, msgspec.json.encode(value) + b"\n", headers)


def refusal(status: int, what_to_change: str, *headers: tuple[bytes, bytes]) -> Answer:
    """Return an answer that tells a sender what to change."""
    answer = json_answer(status, {"error": what_to_change}, *headers)
    answer.error = what_to_change
    return answer


def busy(why: str, *, taken: str = "nothing of it was taken") -> Answer:
    """Return a 503 that asks the sender to repeat its request.

    Args:
        why: the reason, as the beginning of a sentence.
        taken: how much of the body has been accepted, so that the sender knows what a repeat does.
    """
    return refusal(
        503,
        f"{why}; send the same again in {RETRY_AFTER} s, {taken}.",
        (b"retry-after", b"%d" % RETRY_AFTER),
    )


def closing(*, in_part: bool = False) -> Answer:
    """Return the 503 of a drain that closes; `in_part` if it has accepted a part of the body."""
    taken = "a part of it was taken" if in_part else "nothing of it was taken"
    return busy("This drain is closing", taken=taken)
