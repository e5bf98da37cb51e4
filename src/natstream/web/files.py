"""The page's files, served from memory.

All files are read when the first visitor comes, because they are few and every visitor asks for
all of them. They take 20 ms and 0.7 MB, which the start does without, and so does a service whose
readers are programs. Serving them from memory also avoids a leak: quart-trio 0.12 leaves a file
open when it is cancelled between opening the file and entering its context. And since a name is
only looked up in a dictionary, no request can reach a file outside of the folder.

A page names its scripts and styles under `static/v-<release>/`, where the release is made of all
files. A browser keeps these for a year without asking again, because a change gives them another
address. It asks for the page itself each time, so it shows a new release at once. The page also
names all modules that its script imports, since otherwise a browser would load one to find the
next.
"""

from __future__ import annotations

import gzip
import hashlib
import posixpath
import re
from pathlib import Path

import attrs
import trio
from quart import Response, abort, request

__all__ = ["Files"]

# The system's list of types is not used, because an error in it would break the page: browsers
# ignore a script of the wrong type, since we send `nosniff`.
CONTENT_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}

# The browser asks each time whether the file has changed.
ASK = "no-cache"
# The file at this address never changes. A year is the longest time that caches respect.
KEEP = "public, max-age=31536000, immutable"

_RELEASE = re.compile(r"v-[0-9a-f]{12}/")
_IMPORT = re.compile(r"""^(?:import|export)\b[^'"]*?from '(\.[^']+)'""", re.MULTILINE)
# The place for the modules, after the script that imports them.
_MODULES = re.compile(r' *<!-- the modules of "static/([^"]+)" -->\n')


@attrs.frozen
class _File:
    body: bytes
    compressed: bytes
    content_type: str
    etag: str

    @classmethod
    def of(cls, body: bytes, content_type: str) -> _File:
        etag = hashlib.sha256(body).hexdigest()[:16]
        return cls(body, gzip.compress(body, mtime=0), content_type, etag)


class _Release:
    """All files of a folder that have a known content type, by their path in the folder."""

    def __init__(self, folder: Path) -> None:
        bodies = {
            path.relative_to(folder).as_posix(): path.read_bytes()
            for path in sorted(folder.rglob("*"))
            if path.suffix in CONTENT_TYPES
        }
        digest = hashlib.sha256(repr(bodies).encode()).hexdigest()
        self.name = f"v-{digest[:12]}/"
        self.files = {
            name: _File.of(
                self._page(body, bodies) if name.endswith(".html") else body,
                CONTENT_TYPES[posixpath.splitext(name)[1]],
            )
            for name, body in bodies.items()
        }

    def _page(self, body: bytes, bodies: dict[str, bytes]) -> bytes:
        """Return a page with the links to its modules, and with the addresses of this release."""

        def links(match: re.Match[str]) -> str:
            return "".join(
                f'  <link rel="modulepreload" href="static/{name}">\n'
                for name in _imports(match[1], bodies)
            )

        text = _MODULES.sub(links, body.decode())
        return re.sub(r'(href|src)="static/', rf'\1="static/{self.name}', text).encode()


class Files:
    """The files of a folder, as answers to requests for them."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._known: _Release | None = None
        self._reading = trio.Lock()

    async def send(self, name: str) -> Response:
        """Return the answer with the file, or a 304 if the client has it already.

        A name that is not in the folder gets a 404. A file of another release is answered with that
        of this one, because during a deployment the page may come from another process.
        """
        known = self._known or await self._read()
        release = _RELEASE.match(name)
        file = known.files.get(name[release.end() :] if release else name)
        if file is None:
            abort(404)
        is_compressed = request.accept_encodings.quality("gzip") > 0
        response = Response(
            file.compressed if is_compressed else file.body, content_type=file.content_type
        )
        response.set_etag(file.etag + "-gzip" * is_compressed)
        response.headers["Vary"] = "Accept-Encoding"
        if is_compressed:
            response.headers["Content-Encoding"] = "gzip"
        is_this_release = release is not None and release[0] == known.name
        response.headers["Cache-Control"] = KEEP if is_this_release else ASK
        await response.make_conditional(request)
        return response

    async def _read(self) -> _Release:
        """Read the files, in a thread, so that readers get their lines meanwhile."""
        async with self._reading:
            if self._known is None:
                self._known = await trio.to_thread.run_sync(_Release, self._folder)
            return self._known


def _imports(module: str, bodies: dict[str, bytes]) -> list[str]:
    """Return the names of the modules that a module imports, directly or through others."""
    found: set[str] = set()
    ahead = [module]
    while ahead:
        one = ahead.pop()
        names = _IMPORT.findall(bodies[one].decode())
        new = {posixpath.normpath(posixpath.join(posixpath.dirname(one), name)) for name in names}
        ahead += new - found
        found |= new
    return sorted(found)
