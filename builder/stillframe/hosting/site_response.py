"""A site's file as an HTTP response of the preview server: from what is installed, or from what a folder holds."""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from anyio import to_thread
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from stillframe.hosting.conditional import decide
from stillframe.hosting.file_response import read_conditions, read_file
from stillframe.hosting.service_script import named_root, service_script_beside
from stillframe.hosting.site import Site, is_of_site
from stillframe.hosting.site_keys import (
    GZIP_SUFFIX,
    INDEX,
    SERVICE_SCRIPT,
    is_compressed,
    is_shell,
    site_cache_control,
    site_media_type,
)

_LEVEL: Final = 6  # of what is compressed while somebody waits
_CONDITIONS: Final = ("if-match", "if-none-match")


@dataclass(frozen=True, slots=True)
class Content:
    """Bytes to be sent, with their encoding ("gzip" or "") and a strong entity tag."""

    data: bytes
    etag: str
    encoding: str = ""


class SiteFiles(Protocol):
    """Where the files of a site come from."""

    def read(self, key: str, *, compressed: bool) -> Content | None:
        """A file, compressed if that is asked for and worth it; None if there is none."""


class InstalledSite:
    """A site that is made as it is asked for; what never changes is compressed once."""

    def __init__(self, site: Site, service_root: str) -> None:
        script = service_script_beside(f"{service_root}/").encode()
        self._files: Mapping[str, Callable[[], bytes]] = {**site.files, SERVICE_SCRIPT: lambda: script}
        self._kept: dict[str, Content] = {}

    def prepare(self) -> None:
        """Compress what never changes, before somebody waits for it: the largest first, which a viewer needs first."""
        keys = [key for key in self._files if is_compressed(key) and not is_shell(key)]
        waiting = sorted(((key, self._files[key]()) for key in keys), key=lambda item: len(item[1]))
        while waiting:
            key, data = waiting.pop()
            self._compress(key, data)

    def read(self, key: str, *, compressed: bool) -> Content | None:
        """A file, compressed if that is asked for and worth it; None if there is none."""
        if key not in self._files:
            return None
        compressed = compressed and is_compressed(key)
        if not compressed or is_shell(key):
            return make_content(self._files[key](), compressed=compressed)
        return self._kept.get(key) or self._compress(key, self._files[key]())

    def _compress(self, key: str, data: bytes) -> Content:
        if key not in self._kept:
            self._kept[key] = make_content(data, compressed=True)
        return self._kept[key]


class WrittenSite:
    """A site as `stillframe site` wrote it into a folder, which must be a resolved path."""

    def __init__(self, folder: Path, service_root: str) -> None:
        self._folder = folder
        self._service_root = service_root

    def read(self, key: str, *, compressed: bool) -> Content | None:
        """A file, compressed if that is asked for and worth it; None if there is none."""
        compressed = compressed and is_compressed(key)
        data = None
        if compressed and not is_shell(key):
            data = read_file(self._folder, f"{key}{GZIP_SUFFIX}")
        if data is not None:
            return Content(data, _make_etag(data), "gzip")
        data = read_file(self._folder, key)
        if key == SERVICE_SCRIPT and not named_root((data or b"").decode(errors="replace")):
            data = service_script_beside(f"{self._service_root}/").encode()
        return None if data is None else make_content(data, compressed=compressed)


def holds_site(folder: Path) -> bool:
    """Whether `stillframe site` has written into a folder, which must be a resolved path."""
    return is_of_site(INDEX, read_file(folder, INDEX) or b"")


def make_content(data: bytes, *, compressed: bool) -> Content:
    """Bytes as they are sent."""
    if not compressed:
        return Content(data, _make_etag(data))
    data = gzip.compress(data, _LEVEL, mtime=0)
    return Content(data, _make_etag(data), "gzip")


async def answer_site(files: SiteFiles, key: str, request: Request) -> Response:
    """The response to a request for a site's file.

    Raises:
        HTTPException: 404 where there is none.
    """
    compressed = accepts_gzip(request.headers.get("accept-encoding", ""))
    content = await to_thread.run_sync(lambda: files.read(key, compressed=compressed))
    if content is None:
        raise HTTPException(404)
    headers = {"Cache-Control": site_cache_control(key), "ETag": content.etag}
    if is_compressed(key):
        headers["Vary"] = "Accept-Encoding"
    answer = decide(request.method, read_conditions(request, _CONDITIONS), content.etag, len(content.data))
    if answer.status == 412:
        return PlainTextResponse("Precondition Failed\n", 412, {"Cache-Control": "no-store"})
    if answer.status == 304:
        return Response(None, 304, headers)
    if content.encoding:
        headers["Content-Encoding"] = content.encoding
    headers |= {"Content-Type": site_media_type(key), "Content-Length": str(len(content.data))}
    return Response(None if request.method == "HEAD" else content.data, 200, headers)


def accepts_gzip(value: str) -> bool:
    """Whether an Accept-Encoding header takes gzip (RFC 9110, 12.5.3)."""
    weights = dict(_weights(value))
    return weights.get("gzip", weights.get("*", False))


def _weights(value: str) -> Mapping[str, bool]:
    found = {}
    for part in value.lower().split(","):
        coding, _, parameter = (piece.strip() for piece in part.partition(";"))
        found[coding] = parameter.replace(" ", "") not in ("q=0", "q=0.0", "q=0.00", "q=0.000")
    return found


def _make_etag(data: bytes) -> str:
    return f'"{hashlib.sha256(data).hexdigest()[:32]}"'
