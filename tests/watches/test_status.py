"""The state of each watch, as the page and operators read it."""

from __future__ import annotations

from pathlib import Path

from tests.support.service import open_service

FILE = """
[watches.panics]
query = "app=web&q=panic"
url = "http://127.0.0.1:9/the-secret"
"""


async def test_the_api_names_each_watch(tmp_path: Path) -> None:
    """`/api/watches` and `/readyz` name each watch, its query and its state."""
    path = tmp_path / "watches.toml"
    path.write_text(FILE)
    async with open_service(NATSTREAM_WATCHES=str(path)) as service:
        answer = await service.get("/api/watches")
        ready = await service.get("/readyz")
    assert answer.json() == {
        "watches": [
            {
                "name": "panics",
                "query": "app=web&q=panic",
                "state": "watching",
                "problem": "",
                "fired": [],
            }
        ]
    }
    watch = ready.json()["watches"]["panics"]
    assert (watch["state"], watch["problem"], watch["fired"]) == ("watching", "", 0)
    assert "the-secret" not in answer.text + ready.text
