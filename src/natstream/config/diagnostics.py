"""What the settings alone tell of what would go wrong, one finding each. Pure.

In: the settings. Out: what is so, and what to do where it should not be; never a token.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Sequence
from typing import Literal

import attrs

from natstream.config.settings import Bind, Settings

__all__ = ["Finding", "check_sharing", "check_sources", "check_tokens"]

# A random text of this length cannot be guessed over a network.
SHORT_TOKEN = 16


@attrs.frozen
class Finding:
    """One line of the report."""

    state: Literal["ok", "warning", "failure"]
    text: str
    """What is so; and what to do, where it should not be."""

    def __str__(self) -> str:
        return f"{self.state:<8} {self.text.rstrip('.')}"


def check_sources(settings: Settings) -> Finding:
    """Which lines are asked for."""
    sources = []
    if "nats" in settings.sources:
        sources.append(f"{', '.join(settings.apps) or 'every app'} of {settings.org} from NATS")
    if "drain" in settings.sources and settings.drain_bind:
        sources.append(f"drains at {settings.drain_bind}")
    if sources:
        kept = (
            f", kept in the journal {settings.journal_stream}" if settings.journal_servers else ""
        )
        return Finding("ok", f"The settings are right, and ask for {'; '.join(sources)}{kept}")
    return Finding(
        "ok",
        "The settings are right: it reads nothing itself, and shows what others store in the "
        f"journal {settings.journal_stream}",
    )


def check_tokens(settings: Settings) -> Iterator[Finding]:
    """Who may read the logs, and who may add to them."""
    yield _check_token("NATSTREAM_TOKEN", settings.tokens, settings.bind, "read the logs")
    if settings.drain_bind and "drain" in settings.sources:
        yield _check_token(
            *("NATSTREAM_DRAIN_TOKEN", settings.drain_tokens, settings.drain_bind),
            "pass off whatever it likes as log lines",
        )


def check_sharing(settings: Settings) -> Iterator[Finding]:
    """What several processes on one port cannot do as one can."""
    if not settings.share_port:
        return
    if "drain" in settings.sources and settings.drain_bind and not settings.journal_servers:
        text = (
            "NATSTREAM_SHARE_PORT is on without a journal: what is sent to the drain reaches one "
            "of the processes, and its readers alone. Set NATSTREAM_JOURNAL_URL, or "
            "NATSTREAM_DRAIN_BIND=off"
        )
        yield Finding("warning", text)
    if not settings.metrics_bind:
        text = (
            "NATSTREAM_SHARE_PORT is on, and /metrics and /readyz tell of whichever process is "
            "asked: give each a NATSTREAM_METRICS_BIND of its own"
        )
        yield Finding("warning", text)


def _check_token(variable: str, tokens: Sequence[str], bind: Bind, may: str) -> Finding:
    if any(len(token) < SHORT_TOKEN for token in tokens):
        text = f"{variable} holds a token that can be guessed: make one with `openssl rand -hex 24`"
        return Finding("warning", text)
    if tokens:
        return Finding("ok", f"{variable} is set: who does not show it is turned away")
    if _is_loopback(bind.host):
        return Finding("ok", f"{variable} is not set, but only this machine reaches {bind}")
    return Finding(
        "warning",
        f"{variable} is not set: whoever reaches {bind} can {may}. "
        "Set it, or be sure that the network is your own",
    )


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
