"""A local preview server: it serves a directory tree under `/dicomweb`, as an object store behind a CDN would.

It ignores query strings and Accept, as static hosts do. `urls` says which object a URL names, `layout` its media type
and cache class. With OHIF's prebuilt `dist` folder, it serves the viewer at `/` of the same origin.
"""

from __future__ import annotations

import json
import logging
import mimetypes
import os
import socket
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from errno import errorcode
from pathlib import Path
from typing import Final

import uvicorn
from anyio import to_thread
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response
from starlette.types import Receive, Scope, Send

from stillframe.errors import LayoutError, UsageError
from stillframe.hosting.access import METHODS, Access, AccessMiddleware
from stillframe.hosting.connection import Connection
from stillframe.hosting.file_response import OpenFile, open_file, respond
from stillframe.hosting.pages import list_studies, render_study_page, render_viewer_config, templates_folder
from stillframe.hosting.urls import MAX_TARGET, find_object, find_viewer_file
from stillframe.layout import DICOM_JSON, STUDIES, Kind, cache_control, media_type, path_of_key

_log = logging.getLogger(__name__)

SERVICE_ROOT: Final = "/dicomweb"
STUDY_PAGE: Final = "/studies-page"
VIEWER_ROUTE: Final = "/viewer"

# A viewer in the middle of a study must not keep an interrupted server alive.
_SHUTDOWN_SECONDS = 2
_OPEN: Final = Access()
# Names come from hostile files. Autoescape keeps them text; this policy keeps a mistake there from becoming a script.
_PAGE_HEADERS: Final = {
    "Cache-Control": "no-cache",
    "Content-Security-Policy": (
        "default-src 'none'; img-src 'self'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
    ),
}
# Python's table depends on the machine. Browsers insist on these two.
_VIEWER_TYPES: Final = {".js": "text/javascript; charset=utf-8", ".wasm": "application/wasm"}


def create_app(directory: Path, *, viewer: Path | None = None, access: Access = _OPEN) -> Starlette:
    """The preview server's ASGI application.

    `directory` is a tree as `stillframe build` writes it, `viewer` OHIF's prebuilt `dist` folder.

    Raises:
        UsageError: if either folder is not there or, for the viewer, not what it should be.
        StillframeError: if the installation lacks its templates.
    """
    if not directory.is_dir():
        raise UsageError(f"not a folder: {directory}")
    if viewer and not (viewer / "index.html").is_file():
        raise UsageError(f"not a prebuilt viewer, there is no index.html: {viewer}")
    templates_folder()

    async def explain_failure(request: Request, _error: Exception) -> Response:
        """A 500 for what nobody foresaw. It is made outside the middleware, so it adds the headers itself."""
        response = PlainTextResponse("Internal Server Error\n", 500, {"Cache-Control": "no-store"})
        response.raw_headers.extend(access.headers(request.headers.get("origin", "")))
        return response

    app = Starlette(
        middleware=[Middleware(AccessMiddleware, access=access)],
        exception_handlers={HTTPException: _explain, Exception: explain_failure},
    )
    app.router.default = _Site(directory.resolve(), viewer.resolve() if viewer else None)
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


class _Site:
    """What a URL is answered with, by its path as it was sent: an object, a page, a file of the viewer, or nothing."""

    def __init__(self, folder: Path, viewer: Path | None) -> None:
        self.folder = folder
        self.viewer = viewer
        page = self._study_page
        pages: dict[str, Callable[[], Awaitable[Response]]] = {"/app-config.js": _viewer_config, STUDY_PAGE: page}
        self.pages: Mapping[str, Callable[[], Awaitable[Response]]] = pages if viewer else {**pages, "/": page}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        if request.method not in METHODS:
            raise HTTPException(405, headers={"Allow": ", ".join(METHODS)})
        path = scope["raw_path"].decode("latin-1")
        if len(path) + 1 + len(scope["query_string"]) > MAX_TARGET:
            raise HTTPException(404)
        if found := find_object(path, SERVICE_ROOT):
            await self._send_object(*found, request, send)
        elif path in self.pages:
            await (await self.pages[path]())(scope, receive, send)
        elif self.viewer and path.split("/")[1:2] != [SERVICE_ROOT.removeprefix("/")]:
            await self._send_viewer_file(self.viewer, find_viewer_file(path), request, send)
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

    async def _send_viewer_file(self, viewer: Path, file: str, request: Request, send: Send) -> None:
        if not file:
            raise HTTPException(404)
        headers = {"Content-Type": _viewer_type(file), "Cache-Control": "no-cache"}
        with await open_file(viewer, file) as opened:
            await respond(request, opened, headers)(request.scope, request.receive, send)

    async def _study_page(self) -> Response:
        return await to_thread.run_sync(_show_studies, self.folder, VIEWER_ROUTE if self.viewer else "")


def _content_type(kind: Kind, opened: OpenFile, path: str) -> str:
    """The media type, or a 500 that says what is wrong with the tree."""
    try:
        return media_type(kind, opened.head)
    except LayoutError as error:
        _log.warning("%s: %s", path, error)
        raise HTTPException(500, f"The tree is damaged: {path} is {error}") from error


def _show_studies(folder: Path, viewer: str) -> Response:
    """The study browser, rendered from the tree's list at each request."""
    records: object = []
    notice = ""
    try:
        records = json.loads((folder / path_of_key(STUDIES)).read_bytes())
    except FileNotFoundError:
        pass
    except (OSError, ValueError, RecursionError) as error:
        notice = f"The list of studies cannot be read: {error}"
    page = render_study_page(list_studies(records), root=SERVICE_ROOT, viewer=viewer, notice=notice)
    return HTMLResponse(page, headers=_PAGE_HEADERS)


async def _viewer_config() -> Response:
    text = render_viewer_config(root=SERVICE_ROOT)
    return Response(text, headers={"Content-Type": _VIEWER_TYPES[".js"], "Cache-Control": "no-cache"})


def _viewer_type(path: str) -> str:
    guess, encoding = mimetypes.guess_type(path)
    return _VIEWER_TYPES.get(Path(path).suffix) or (guess if guess and not encoding else "application/octet-stream")


async def _explain(_request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    headers = {**(error.headers or {}), "Cache-Control": "no-store"}
    return PlainTextResponse(f"{error.detail}\n", error.status_code, headers)
