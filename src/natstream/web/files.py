"""The page's files, served from memory.

The files are read once at the start, because they are few and every visitor asks for all of
them. Serving them from memory also avoids a leak: quart-trio 0.12 leaves a file open when it is
cancelled between opening the file and entering its context. And since a name is only looked up
in a dictionary, no request can reach a file outside of the folder.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

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


class Files:
    """All files of a folder that have a known content type, by their path in the folder."""

    def __init__(self, folder: Path) -> None:
        self._files = {
            path.relative_to(folder).as_posix(): (path.read_bytes(), CONTENT_TYPES[path.suffix])
            for path in folder.rglob("*")
            if path.suffix in CONTENT_TYPES
        }

    async def send(self, name: str) -> Response:
        """Return the answer with the file, or a 304 if the client has it already.

        A name that is not in the folder gets a 404.
        """
        if name not in self._files:
            abort(404)
        body, content_type = self._files[name]
        response = Response(body, content_type=content_type)
        response.set_etag(hashlib.sha256(body).hexdigest()[:16])
        # The browser asks each time whether the file has changed, so that it shows a new release
        # at once.
        response.headers["Cache-Control"] = "no-cache"
        await response.make_conditional(request)
        return response
