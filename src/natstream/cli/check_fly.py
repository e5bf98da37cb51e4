"""The part of `natstream check` that asks Fly's own interfaces.

In: the settings. Out: findings about the form of the token, and about what it may read: the past of
the apps, and their machines. Fly does not promise these interfaces, and the service runs without
them, so a failure of one is a warning. No finding holds a token.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

import trio

from natstream.config.diagnostics import Finding
from natstream.config.settings import Settings
from natstream.entries.escapes import one_line
from natstream.fly_api.apps import list_apps
from natstream.fly_api.client import FlyApiError, FlyClient, open_fly_client
from natstream.fly_api.logs import LogReader
from natstream.fly_api.machines import parse_machines
from natstream.fly_api.token import token_fault

__all__ = ["check_fly"]

# Seconds for all questions of one interface. The client tries a refusal again for seven seconds.
DEADLINE = 30.0

# Asks about one app.
_Question = Callable[[FlyClient, str], Awaitable[object]]


async def check_fly(settings: Settings) -> Sequence[Finding]:
    """Report what the token may read by Fly's logs interface and by its Machines interface."""
    fault = token_fault(settings.access_token)
    findings = [Finding("failure", f"ACCESS_TOKEN: {fault}. Copy it once more")] if fault else []
    if not settings.fly_api:
        return findings
    try:
        async with open_fly_client(settings.access_token) as client:
            apps, listed = await _apps(client, settings)
            logs = _ask(client, settings, apps, "the past", _past(settings))
            machines = _ask(client, settings, apps, "the machines", _machines(settings))
            return [*findings, *listed, *await logs, *await machines]
    except FlyApiError:
        return findings  # The fault says already why the token cannot be sent.


def _past(settings: Settings) -> _Question:
    return lambda client, app: LogReader(client, settings.fly_api_url, app).next_page()


def _machines(settings: Settings) -> _Question:
    async def ask(client: FlyClient, app: str) -> object:
        base = settings.machines_api_url
        return parse_machines(app, await client.get(f"{base}/v1/apps/{app}/machines"))

    return ask


async def _apps(client: FlyClient, settings: Settings) -> tuple[Sequence[str], Sequence[Finding]]:
    """Return the apps to ask about: those of the settings, or else the first that is listed."""
    if settings.apps:
        return settings.apps, []
    try:
        with trio.fail_after(DEADLINE):
            apps = await list_apps(client, settings.machines_api_url, settings.org)
    except (FlyApiError, trio.TooSlowError) as error:
        text = f"The apps of {settings.org} cannot be listed: {_reason(error, settings)}"
        return [], [Finding("warning", text)]
    if not apps:
        text = f"ACCESS_TOKEN shows no app of {settings.org}: is FLY_ORG the organisation's slug?"
        return [], [Finding("warning", text)]
    text = f"ACCESS_TOKEN may list the apps of {settings.org}: {len(apps):,}, of which one is tried"
    return apps[:1], [Finding("ok", text)]


async def _ask(
    client: FlyClient, settings: Settings, apps: Sequence[str], wanted: str, question: _Question
) -> Sequence[Finding]:
    """Return one finding for all apps that can be read, and one for each reason that they cannot.

    Args:
        wanted: what the question is about, for example `the machines`.
    """
    readable: list[str] = []
    refused: dict[str, list[str]] = {}

    async def ask(app: str) -> None:
        try:
            with trio.fail_after(DEADLINE):
                await question(client, app)
        except (FlyApiError, trio.TooSlowError) as error:
            refused.setdefault(_reason(error, settings), []).append(app)
        else:
            readable.append(app)

    async with trio.open_nursery() as nursery:
        for app in apps:
            nursery.start_soon(ask, app)
    findings = []
    if readable:
        names = ", ".join(sorted(readable))
        findings.append(Finding("ok", f"ACCESS_TOKEN may read {wanted} of {names}"))
    for reason, names_of in refused.items():
        names = ", ".join(sorted(names_of))
        findings.append(
            Finding("warning", f"{wanted.capitalize()} of {names}: not there. {reason}")
        )
    return findings


def _reason(error: FlyApiError | trio.TooSlowError, settings: Settings) -> str:
    """Return why an interface gives nothing, and what to do about it."""
    if not isinstance(error, FlyApiError):
        return f"There was no answer within {DEADLINE:g} s"
    why = one_line(str(error))
    match error.reason:
        case "denied" if token_fault(settings.access_token):
            return why
        case "denied":
            return (
                f"{why}. It does not look cut off, so it is wrong, has expired, or was made for "
                f"something else: make one with `fly tokens create readonly {settings.org}`"
            )
        case "missing":
            return f"{why}. Is it the name of an app of {settings.org}?"
        case "unreachable" if ".internal" in why:
            return f"{why}. This address answers only inside Fly's private network"
    return why
