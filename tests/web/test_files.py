"""The page's files: what browsers keep, what they ask for again, and how much they load."""

from __future__ import annotations

import gzip
import re
from pathlib import Path
from typing import Any

import pytest
import trio
from quart import Quart
from quart_trio import QuartTrio

from natstream.web import files
from natstream.web.files import Files

MODULES = {
    "index.html": '<script src="static/js/main.js"></script>\n'
    '<link href="static/app.css">\n'
    '  <!-- the modules of "static/js/main.js" -->\n<p>static/ stays in texts</p>',
    "app.css": "body { color: black }",
    "js/main.js": "import { a } from './a/a.js';\n",
    "js/a/a.js": "import {\n  b,\n} from '../b.js';\nexport { b } from '../b.js';\n",
    "js/b.js": "export const b = 1;\n" * 100,
    "js/unused.js": "",
}


@pytest.fixture
def app(tmp_path: Path) -> Quart:
    return serve(tmp_path, MODULES)


def serve(folder: Path, texts: dict[str, str]) -> Quart:
    """Return an application that serves these files."""
    for name, text in texts.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    served = Files(folder)
    app = QuartTrio(__name__, static_folder=None)
    app.add_url_rule("/static/<path:name>", view_func=served.send)
    return app


async def read(app: Quart, name: str, **headers: str) -> str:
    response = await app.test_client().get(f"/static/{name}", headers=headers)
    assert response.status_code == 200
    return await response.get_data(as_text=True)


def release_in(page: str) -> str:
    match = re.search(r'src="static/(v-[0-9a-f]{12})/js/main.js"', page)
    assert match is not None
    return match[1]


async def test_a_page_names_all_modules_of_its_script(app: Quart) -> None:
    """A browser finds the address of each imported module in the page, and of no other."""
    page = await read(app, "index.html")
    release = release_in(page)
    named = re.findall(r'<link rel="modulepreload" href="([^"]+)">', page)
    assert named == [f"static/{release}/js/a/a.js", f"static/{release}/js/b.js"]
    assert f'href="static/{release}/app.css"' in page
    assert "<p>static/ stays in texts</p>" in page


async def test_only_pages_are_asked_for_again(app: Quart) -> None:
    """A browser keeps the files of a release, and asks for a page and for plain addresses."""
    client = app.test_client()
    release = release_in(await read(app, "index.html"))
    for name, kept in (
        ("index.html", False),
        ("js/main.js", False),
        (f"{release}/js/main.js", True),
        (f"{release}/app.css", True),
        ("v-000000000000/js/main.js", False),
    ):
        response = await client.get(f"/static/{name}")
        assert response.status_code == 200
        assert ("immutable" in response.headers["Cache-Control"]) is kept, name
        etag = response.headers["ETag"]
        again = await client.get(f"/static/{name}", headers={"If-None-Match": etag})
        assert again.status_code == 304
        assert again.headers["Cache-Control"] == response.headers["Cache-Control"]
    assert (await client.get(f"/static/{release}/nothing.js")).status_code == 404
    assert (await client.get(f"/static/{release}/{release}/js/main.js")).status_code == 404


async def test_a_change_gives_all_files_other_addresses(app: Quart, tmp_path: Path) -> None:
    """A browser loads a changed module, because its address in the page has changed."""
    before = release_in(await read(app, "index.html"))
    changed = serve(tmp_path / "other", {**MODULES, "js/b.js": "export const b = 2;\n"})
    assert release_in(await read(changed, "index.html")) != before


async def test_files_are_compressed_for_browsers_that_ask(app: Quart) -> None:
    """A client gets a compressed file only if it accepts gzip, with an ETag of its own."""
    client = app.test_client()
    plain = await client.get("/static/js/b.js")
    small = await client.get("/static/js/b.js", headers={"Accept-Encoding": "br, gzip"})
    refused = await client.get("/static/js/b.js", headers={"Accept-Encoding": "gzip;q=0"})
    assert "Content-Encoding" not in plain.headers
    assert "Content-Encoding" not in refused.headers
    assert small.headers["Content-Encoding"] == "gzip"
    body = await small.get_data(as_text=False)
    assert len(body) < 200
    assert gzip.decompress(body) == await plain.get_data(as_text=False)
    assert plain.headers["ETag"] != small.headers["ETag"]
    assert plain.headers["Vary"] == small.headers["Vary"] == "Accept-Encoding"


async def test_many_first_visitors_read_the_files_once(
    app: Quart, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pages that come back together after a deployment do not each read and compress all files."""
    made = 0
    release = files._Release

    def count(folder: Path) -> Any:
        nonlocal made
        made += 1
        return release(folder)

    monkeypatch.setattr(files, "_Release", count)
    async with trio.open_nursery() as nursery:
        for _ in range(20):
            nursery.start_soon(read, app, "app.css")
    assert made == 1
