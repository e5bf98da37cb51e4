"""The apps of an organisation, by Fly's Machines interface: `GET {base}/v1/apps?org_slug=…`."""

from __future__ import annotations

from typing import Any

from natstream.fly_api.client import FlyApiError, FlyClient

__all__ = ["list_apps"]


async def list_apps(client: FlyClient, base: str, org: str) -> list[str]:
    """Return the names of an organisation's apps, in the interface's order.

    Args:
        client: the client that asks.
        base: the address of the Machines interface, for example `https://api.machines.dev`.
        org: the organisation's slug.

    Raises:
        FlyApiError: the interface does not answer, or not with apps.
    """
    answer = await client.get(f"{base}/v1/apps", {"org_slug": org})
    apps: Any = answer.get("apps") if isinstance(answer, dict) else None
    if not isinstance(apps, list):
        raise FlyApiError("The Machines interface gave an answer without apps", "unreadable")
    names = [app.get("name") for app in apps if isinstance(app, dict)]
    return [name for name in names if isinstance(name, str) and name]
