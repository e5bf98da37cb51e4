"""The journal's stream: how natstream creates it, and what an existing stream must be to serve.

In: settings, and JetStream's answers about a stream. Out: the request that creates a stream, a
`StreamInfo`, and the reason why a stream cannot serve. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import attrs

__all__ = [
    "DUPLICATE_WINDOW",
    "MIN_MESSAGE",
    "StreamConfig",
    "StreamInfo",
    "creation",
    "fault",
    "loop",
    "stream_info",
]

# Seconds within which several processes may send the same line, and the stream stores it once.
DUPLICATE_WINDOW = 120.0
# If a stream or its server accepted only smaller messages, many lines would keep nothing but their
# beginning.
MIN_MESSAGE = 4_096
# A stream is full if it has no room for one line of ordinary length.
LINE_BYTES = 512

_NS = 10**9


@attrs.frozen(kw_only=True)
class StreamConfig:
    """A stream to create if there is none of this name."""

    name: str
    max_age: float
    """Seconds."""
    max_bytes: int
    replicas: int
    read_subjects: Sequence[str] = ()
    """The subjects from which natstream reads lines; not a part of the stream."""

    @property
    def duplicate_window(self) -> float:
        """Seconds within which the server recognises a line that comes twice."""
        return min(DUPLICATE_WINDOW, self.max_age)


@attrs.frozen(kw_only=True)
class StreamInfo:
    """The state of a stream."""

    created: str
    """The time of its creation, which tells it from another stream of the same name."""
    first: int
    """The number of the oldest message."""
    last: int
    """The number of the newest message; 0 if there never was any."""
    is_full: bool
    """Whether its limits say that it accepts no message before older ones are deleted."""
    current: frozenset[str] | None
    """The servers of a cluster that have all messages; `None` if there is a single server."""


def creation(config: StreamConfig) -> dict[str, Any]:
    """Return the body of the request that creates a stream."""
    return {
        "name": config.name,
        "description": "The journal of natstream",
        "subjects": [f"{config.name}.>"],
        "retention": "limits",
        "storage": "file",
        "discard": "old",
        "max_age": int(config.max_age * _NS),
        "max_bytes": config.max_bytes,
        "num_replicas": config.replicas,
        "duplicate_window": int(config.duplicate_window * _NS),
        "allow_direct": True,
    }


def stream_info(answer: dict[str, Any]) -> StreamInfo:
    """Return the state of a stream from JetStream's answer about it."""
    config, state = answer["config"], answer["state"]
    is_full = config["discard"] == "new" and (
        0 < config["max_msgs"] <= state["messages"]
        or 0 < config["max_bytes"] < state["bytes"] + LINE_BYTES
    )
    current = None
    if (cluster := answer.get("cluster")) and cluster.get("replicas"):
        replicas = [each for each in cluster["replicas"] if each["current"] and not each.get("lag")]
        current = frozenset([cluster.get("leader", ""), *(each["name"] for each in replicas)])
    return StreamInfo(
        created=answer["created"],
        first=state["first_seq"],
        last=state["last_seq"],
        is_full=is_full,
        current=current,
    )


def fault(name: str, config: dict[str, Any], read_subjects: Sequence[str] = ()) -> str:
    """Return why the existing stream `name` cannot be a journal; an empty text if it can.

    Args:
        name: the stream's name.
        config: its configuration, as JetStream says it.
        read_subjects: the subjects from which natstream reads lines.
    """
    subjects = config.get("subjects") or []
    max_age = config.get("max_age") or DUPLICATE_WINDOW * _NS
    window = config.get("duplicate_window", 0) / _NS
    needed_window = min(DUPLICATE_WINDOW, max_age / _NS)
    per_subject = config.get("max_msgs_per_subject", -1)
    max_message = config.get("max_msg_size", -1)
    if subjects != [f"{name}.>"]:
        given = ", ".join(subjects) or "none"
        return f"its only subject has to be {name}.>, and its subjects are {given}"
    if config.get("storage") != "file":
        return f"its storage has to be file, and is {config.get('storage')}"
    if config.get("retention") != "limits":
        return f"its retention has to be limits, and is {config.get('retention')}"
    if config.get("sealed") or config.get("no_ack"):
        return "it is sealed, or acknowledges nothing"
    if config.get("subject_transform"):
        return "it has to keep subjects as they are, and transforms them"
    if sources := config.get("sources"):
        origins = ", ".join(str(source.get("name")) for source in sources)
        return f"it has to hold only lines that natstream stores, and copies those of {origins}"
    if endless := loop(name, [config], read_subjects):
        return endless
    if per_subject > 0:
        return f"it has to keep all lines, and keeps {per_subject:,} of each machine"
    if 0 < max_message < MIN_MESSAGE:
        return f"its max_msg_size has to be at least {MIN_MESSAGE:,} bytes, and is {max_message:,}"
    if window < needed_window:
        return (
            f"its duplicate_window has to be at least {needed_window:g} s, so that it stores no "
            f"line twice, and is {window:g} s"
        )
    return ""


def loop(name: str, configs: Iterable[dict[str, Any]], read_subjects: Sequence[str]) -> str:
    """Return why stored lines would be read, and stored again, for ever; empty if they would not.

    Args:
        name: the journal's stream.
        configs: the configurations of the streams of its account.
        read_subjects: the subjects from which natstream reads lines.
    """
    by_name = {config["name"]: config for config in configs}
    copies = [name]  # the journal's stream, and each stream that copies from one of these
    for copy in copies:
        copies += [
            each
            for each, config in by_name.items()
            if each not in copies and copy in _origins(config)
        ]
    for copy in copies:
        target = ((by_name.get(copy) or {}).get("republish") or {}).get("dest", "")
        for subject in read_subjects:
            if target and _overlap(target, subject):
                which = "it" if copy == name else f"the stream {copy} copies its lines and"
                return (
                    f"{which} republishes to {target}, and natstream reads lines from {subject}, "
                    "so that it would store each line again and again: republish has to be removed"
                )
    return ""


def _origins(config: dict[str, Any]) -> set[str]:
    """Return the names of the streams from which a stream copies."""
    origins = [config.get("mirror"), *(config.get("sources") or ())]
    return {origin.get("name", "") for origin in origins if origin}


def _overlap(target: str, subject: str) -> bool:
    """Return whether a message published to `target` may be received from `subject`.

    Both may have wildcards. In `target`, `{{wildcard(1)}}` and `$1` stand for some token.
    """
    tokens, others = target.split("."), subject.split(".")
    for token, other in zip(tokens, others, strict=False):
        if ">" in (token, other):
            return True
        is_open = token.startswith(("{{", "$")) or "*" in (token, other)
        if not is_open and token != other:
            return False
    return len(tokens) == len(others)
