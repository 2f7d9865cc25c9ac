"""A local preview server: it serves a directory tree under `/dicomweb`, as an object store behind a CDN would.

It ignores query strings and Accept, as static hosts do. `urls` says which object a URL names, `layout` its media type
and cache class. Beside the service it serves a site: what `stillframe site` wrote into the tree, or else the study
page, and OHIF where its prebuilt `dist` folder is given.
"""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Callable
from contextlib import suppress
from errno import errorcode
from pathlib import Path
from threading import Thread
from typing import Final

import uvicorn
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.types import Receive, Scope, Send

from stillframe.errors import LayoutError, UsageError
from stillframe.hosting.access import METHODS, Access, AccessMiddleware
from stillframe.hosting.connection import Connection
from stillframe.hosting.file_response import OpenFile, open_file, respond
from stillframe.hosting.pages import templates_folder
from stillframe.hosting.site import list_site
from stillframe.hosting.site_keys import find_site_key
from stillframe.hosting.site_response import InstalledSite, SiteFiles, WrittenSite, answer_site, holds_site
from stillframe.hosting.urls import MAX_TARGET, find_object, is_service_root, service_line
from stillframe.hosting.viewer_folder import read_viewer
from stillframe.layout import DICOM_JSON, STUDIES, Kind, cache_control, media_type, path_of_key

_log = logging.getLogger(__name__)

SERVICE_ROOT: Final = "/dicomweb"

# A viewer in the middle of a study must not keep an interrupted server alive.
_SHUTDOWN_SECONDS = 2
_OPEN: Final = Access()


def create_app(directory: Path, *, viewer: Path | None = None, access: Access = _OPEN) -> Starlette:
    """The preview server's ASGI application.

    `directory` is a tree as `stillframe build` writes it, `viewer` OHIF's prebuilt `dist` folder. Without one, a site
    that `stillframe site` wrote into the tree is served.

    Raises:
        UsageError: if either folder is not there or, for the viewer, not what it should be.
        StillframeError: if the installation lacks its templates.
    """
    if not directory.is_dir():
        raise UsageError(f"not a folder: {directory}")
    templates_folder()
    folder = directory.resolve()
    if viewer is None and holds_site(folder):
        files: SiteFiles = WrittenSite(folder, SERVICE_ROOT)
    else:
        files = installed = InstalledSite(list_site(read_viewer(viewer.resolve()) if viewer else None), SERVICE_ROOT)
        Thread(target=installed.prepare, name="compress the viewer", daemon=True).start()

    async def explain_failure(request: Request, _error: Exception) -> Response:
        """A 500 for what nobody foresaw. It is made outside the middleware, so it adds the headers itself."""
        response = PlainTextResponse("Internal Server Error\n", 500, {"Cache-Control": "no-store"})
        response.raw_headers.extend(access.headers(request.headers.get("origin", "")))
        return response

    app = Starlette(
        middleware=[Middleware(AccessMiddleware, access=access)],
        exception_handlers={HTTPException: _explain, Exception: explain_failure},
    )
    app.router.default = _Host(folder, files)
    return app


def make_config(app: Starlette, access: Access = _OPEN) -> uvicorn.Config:
    """How uvicorn runs the application."""

    class _Connection(Connection):
        refusal_headers = tuple(access.headers(""))

    return uvicorn.Config(
        app,
        http=_Connection,
        ws="none",
        log_config=None,  # who runs the server shows what it logs
        log_level="warning",
        server_header=False,
        lifespan="off",
        h11_max_incomplete_event_size=2 * MAX_TARGET,
        timeout_graceful_shutdown=_SHUTDOWN_SECONDS,
    )


def run(
    directory: Path,
    host: str,
    port: int,
    viewer: Path | None = None,
    announce: Callable[[str], None] = lambda _: None,
    access: Access = _OPEN,
) -> None:
    """Serve until interrupted; `announce` gets the address once the server takes requests.

    Raises:
        UsageError: if a folder is not what it should be, or the address cannot be listened on.
    """
    app = create_app(directory, viewer=viewer, access=access)
    with _listen(host, port) as listener, suppress(KeyboardInterrupt):
        name = f"[{host}]" if ":" in host else host
        announce(f"http://{name}:{listener.getsockname()[1]}")
        uvicorn.Server(make_config(app, access)).run(sockets=[listener])


def _listen(host: str, port: int) -> socket.socket:
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, port), family=family, backlog=2048)
    except (OSError, OverflowError, UnicodeError) as error:
        number = getattr(error, "errno", 0) or 0
        reason = os.strerror(number) if number in errorcode else error  # its own text would name the address again
        raise UsageError(f"cannot listen on {host} port {port} (--host, --port): {reason}") from error


class _Host:
    """What a URL is answered with, by its path as it was sent: an object, a file of the site, or nothing."""

    def __init__(self, folder: Path, site: SiteFiles) -> None:
        self.folder = folder
        self.site = site

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        if request.method not in METHODS:
            raise HTTPException(405, headers={"Allow": ", ".join(METHODS)})
        path = scope["raw_path"].decode("latin-1")
        if len(path) + 1 + len(scope["query_string"]) > MAX_TARGET:
            raise HTTPException(404)
        if found := find_object(path, SERVICE_ROOT):
            await self._send_object(*found, request, send)
        elif is_service_root(path, SERVICE_ROOT):
            line = PlainTextResponse(service_line(SERVICE_ROOT), headers={"Cache-Control": "no-cache"})
            await line(scope, receive, send)
        elif key := find_site_key(path):
            await (await answer_site(self.site, key, request))(scope, receive, send)
        else:
            raise HTTPException(404)

    async def _send_object(self, kind: Kind, file: str, request: Request, send: Send) -> None:
        try:
            opened = await open_file(self.folder, file)
        except HTTPException as error:
            if file != path_of_key(STUDIES) or error.status_code != 404:
                raise
            # An empty list, never a 204 or a 404: viewers take those for a broken service.
            response = Response(b"[]", headers={"Content-Type": DICOM_JSON, "Cache-Control": cache_control(kind)})
            await response(request.scope, request.receive, send)
            return
        with opened:
            headers = {"Content-Type": _content_type(kind, opened, file), "Cache-Control": cache_control(kind)}
            await respond(request, opened, headers)(request.scope, request.receive, send)


def _content_type(kind: Kind, opened: OpenFile, path: str) -> str:
    """The media type, or a 500 that says what is wrong with the tree."""
    try:
        return media_type(kind, opened.head)
    except LayoutError as error:
        _log.warning("%s: %s", path, error)
        raise HTTPException(500, f"The tree is damaged: {path} is {error}") from error


async def _explain(_request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    headers = {**(error.headers or {}), "Cache-Control": "no-store"}
    return PlainTextResponse(f"{error.detail}\n", error.status_code, headers)
