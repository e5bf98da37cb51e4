"""A service with watches: their file, the lines that are sent to it, and its messages.

Times in the file are seconds where an operator would have minutes, so that a test takes seconds.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.support.service import RunningService
from tests.support.waiting import until

from natstream.watches.status import WatchStatus

__all__ = ["log_lines", "messages", "status_of", "watch_file"]


def watch_file(directory: Path, url: str, **watches: str) -> dict[str, str]:
    """Write a file of watches that send JSON to `url`, and return the settings for it.

    Args:
        directory: the directory of the file.
        url: the address of a receiver.
        watches: by name, the keys of a watch as TOML on lines of their own.
    """
    path = directory / "watches.toml"
    tables = [f'[watches.{name}]\nurl = "{url}"\n{keys}\n' for name, keys in watches.items()]
    path.write_text("\n".join(tables))
    return {"NATSTREAM_WATCHES": str(path)}


async def log_lines(service: RunningService, lines: Sequence[str]) -> None:
    """Send lines to the service's drain in one body, as an app `web` would."""
    drain = service.service.core.health.sources["drain"]
    await until(lambda: drain.url)
    answer = await service.client.post(
        drain.url,
        json=[
            {"message": text, "fly": {"app": {"name": "web", "instance": "m1"}}} for text in lines
        ],
    )
    assert answer.json()["accepted"] == len(lines)


def status_of(service: RunningService, name: str = "w") -> WatchStatus:
    """Return the status of a watch."""
    watches = service.service.core.watches
    assert watches is not None
    return next(each for each in watches.statuses if each.name == name)


def messages(requests: Sequence[Any], kind: str = "") -> list[dict[str, Any]]:
    """Return the messages that a receiver got, of one kind or all, in order."""
    return [each.json for each in requests if not kind or each.json["kind"] == kind]
