"""Settings → findings about what could go wrong with them. Pure.

In: the settings. Out: findings, each with a state and one sentence; a warning says what to do. No
finding holds a token.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Sequence
from typing import Literal

import attrs

from natstream.config.settings import Bind, Settings

__all__ = [
    "SHORTEST_TOKEN",
    "Finding",
    "check_sharing",
    "check_sources",
    "check_tokens",
    "short_tokens",
]

# An attacker cannot guess a random text of this length over a network.
SHORTEST_TOKEN = 16


@attrs.frozen
class Finding:
    """One line of the report of `natstream check`."""

    state: Literal["ok", "warning", "failure"]
    text: str
    """The finding, and what to do about it."""

    def __str__(self) -> str:
        return f"{self.state:<8} {self.text.rstrip('.')}"


def check_sources(settings: Settings) -> Finding:
    """Report which lines the settings ask for."""
    sources = []
    if "nats" in settings.sources:
        sources.append(f"{', '.join(settings.apps) or 'every app'} of {settings.org} from NATS")
    if "drain" in settings.sources and settings.drain_bind:
        sources.append(f"drains at {settings.drain_bind}")
    if sources:
        kept = (
            f", kept in the journal {settings.journal_stream}" if settings.journal_servers else ""
        )
        return Finding("ok", f"The settings are valid, and ask for {'; '.join(sources)}{kept}")
    return Finding(
        "ok",
        "The settings are valid: this process reads nothing itself, and shows the lines that other "
        f"processes store in the journal {settings.journal_stream}",
    )


def check_tokens(settings: Settings) -> Iterator[Finding]:
    """Report which clients may read the logs, and which may add to them."""
    yield _check_token("NATSTREAM_TOKEN", settings.tokens, settings.bind, "read the logs")
    if settings.drain_bind and "drain" in settings.sources:
        yield _check_token(
            *("NATSTREAM_DRAIN_TOKEN", settings.drain_tokens, settings.drain_bind),
            "send log lines that are not true",
        )


def short_tokens(settings: Settings) -> Iterator[tuple[str, bool]]:
    """Yield each variable with a token that can be guessed, and whether other machines reach it."""
    for variable, tokens, bind in (
        ("NATSTREAM_TOKEN", settings.tokens, settings.bind),
        (
            "NATSTREAM_DRAIN_TOKEN",
            settings.drain_tokens,
            settings.drain_bind if "drain" in settings.sources else None,
        ),
    ):
        if bind is not None and _has_short(tokens):
            yield variable, not _is_loopback(bind.host)


def check_sharing(settings: Settings) -> Iterator[Finding]:
    """Yield a warning for each setting that is missing if processes share a port."""
    if not settings.share_port:
        return
    if "drain" in settings.sources and settings.drain_bind and not settings.journal_servers:
        text = (
            "NATSTREAM_SHARE_PORT is on without a journal: a line that a drain sends reaches only "
            "one of the processes, and only the readers of that process. Set "
            "NATSTREAM_JOURNAL_URL, or NATSTREAM_DRAIN_BIND=off"
        )
        yield Finding("warning", text)
    if not settings.metrics_bind:
        text = (
            "NATSTREAM_SHARE_PORT is on, so /metrics and /readyz are those of any one of the "
            "processes: give each a NATSTREAM_METRICS_BIND of its own"
        )
        yield Finding("warning", text)


def _check_token(variable: str, tokens: Sequence[str], bind: Bind, may: str) -> Finding:
    if _has_short(tokens):
        text = f"{variable} holds a token that can be guessed: make one with `openssl rand -hex 24`"
        return Finding("warning", text)
    if tokens:
        return Finding("ok", f"{variable} is set: a client that does not show it is refused")
    if _is_loopback(bind.host):
        return Finding("ok", f"{variable} is not set, but only this machine can reach {bind}")
    return Finding(
        "warning",
        f"{variable} is not set: every client that reaches {bind} can {may}. "
        "Set it, or make sure that the network is private",
    )


def _has_short(tokens: Sequence[str]) -> bool:
    return any(len(token) < SHORTEST_TOKEN for token in tokens)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
