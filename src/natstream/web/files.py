"""The page's files, read once at start: they are few, and every visitor asks for all of them.

From memory, nothing is left open when a visitor goes away early (as quart-trio 0.12 leaves it
when it is cancelled between opening a file and entering it), and no path leads anywhere else.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from quart import Response, abort, request

__all__ = ["Files"]

# Not the system's list: with `nosniff`, a wrong entry there would be a page without scripts.
CONTENT_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}


class Files:
    """All files of a folder whose kind is known, by their path in it."""

    def __init__(self, folder: Path) -> None:
        self._files = {
            path.relative_to(folder).as_posix(): (path.read_bytes(), CONTENT_TYPES[path.suffix])
            for path in folder.rglob("*")
            if path.suffix in CONTENT_TYPES
        }

    async def send(self, name: str) -> Response:
        """The file, or 304 to who has it already, or 404."""
        if name not in self._files:
            abort(404)
        body, content_type = self._files[name]
        response = Response(body, content_type=content_type)
        response.set_etag(hashlib.sha256(body).hexdigest()[:16])
        # To be asked for each time: a deploy shows at once.
        response.headers["Cache-Control"] = "no-cache"
        await response.make_conditional(request)
        return response
