"""``GET /``: the page, and what belongs to it under ``/static/``.

The files of ``service/tickfan/static`` are read once, at the start. They are as they stand
there, or as the image's build has made them (bundled, and named by their contents). Must
not know what they show.
"""

from __future__ import annotations

import hashlib
import mimetypes
import re
from importlib.resources import files
from pathlib import PurePath
from typing import TYPE_CHECKING

from aiohttp import ETag, web

from tickfan.api.context import CONTEXT, json_response

if TYPE_CHECKING:
    from collections.abc import Mapping
    from importlib.resources.abc import Traversable

INDEX = "index.html"
_NAMED_BY_CONTENT = re.compile(r"-[0-9A-Z]{8}\.\w+")
_FOREVER = "public, max-age=31536000, immutable"
# A newer version of a file may have the same name: ask each time, by ETag.
_ASK = "no-cache"
_HEADERS = {
    # The page takes its own files and addresses alone, so no script of a publisher runs
    # here, whatever the data say. It may stand in a frame of its own origin: an operator's
    # dashboard behind the same proxy shows it. Pages elsewhere could hide what is clicked.
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'self'"
    ),
}


class _File:
    """One file, ready to be sent."""

    def __init__(self, name: str, body: bytes) -> None:
        self._body = body
        self._type = mimetypes.guess_type(PurePath(name).name)[0] or "application/octet-stream"
        # A tag of the contents, not of the time: builds that can be repeated set all times
        # alike. It is weak, since it stands for the file both as it is and compressed
        # (RFC 9110, 8.8.1).
        self._tag = ETag(hashlib.sha256(body).hexdigest()[:16], is_weak=True)
        self._cache = _FOREVER if _NAMED_BY_CONTENT.search(name) else _ASK

    def answer(self, request: web.Request, vary: str = "Accept-Encoding") -> web.Response:
        """The file, or that what the client has of it is still right."""
        headers = {**_HEADERS, "Cache-Control": self._cache, "Vary": vary}
        known = request.if_none_match or ()
        if any(tag.value in ("*", self._tag.value) for tag in known):
            response = web.Response(status=304, headers=headers)
        else:
            response = web.Response(
                body=self._body,
                headers=headers,
                content_type=self._type,
            )
        response.etag = self._tag
        return response


class Page:
    """The page's files, from a directory of them (None: those of the service)."""

    def __init__(self, directory: Traversable | None = None) -> None:
        source = files("tickfan") / "static" if directory is None else directory
        self._files: Mapping[str, _File] = {
            entry.name: _File(entry.name, entry.read_bytes())
            for entry in source.iterdir()
            if entry.is_file()
        }

    async def index(self, request: web.Request) -> web.Response:
        """The page for a browser; the addresses for a client that does not ask for HTML."""
        vary = "Accept, Accept-Encoding"
        if "text/html" in request.headers.get("Accept", ""):
            return self._files[INDEX].answer(request, vary)
        fields = {
            "service": "tickfan",
            "streams": ["/v1/sse", "/v1/ws", "/v1/ndjson"],
            "channels": "/v1/channels",
            "try": "curl -N '<this address>v1/sse?channels=quotes.%23'",
        }
        return json_response(request.app[CONTEXT].marked(fields), headers={"Vary": vary})

    async def asset(self, request: web.Request) -> web.Response:
        """A file of the page. Raises :class:`aiohttp.web.HTTPNotFound`."""
        name = request.match_info["name"]
        file = self._files.get(name)
        # The page's own addresses are right at / alone.
        if file is None or name == INDEX:
            raise web.HTTPNotFound
        return file.answer(request)
