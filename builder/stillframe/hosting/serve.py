"""A local preview server: it serves a directory tree under `/dicomweb`, as an object store behind a CDN would.

It ignores query strings and Accept, as static hosts do. Media types and cache classes come from `layout`. With OHIF's
prebuilt `dist` folder, it serves the viewer at `/` of the same origin.
"""

from __future__ import annotations

import json
import logging
import mimetypes
import os
import socket
from collections.abc import Callable
from contextlib import suppress
from errno import errorcode
from functools import partial
from pathlib import Path
from typing import Final

import uvicorn
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from stillframe.errors import LayoutError, UsageError
from stillframe.hosting.file_response import OpenFile, open_file, respond
from stillframe.hosting.pages import list_studies, render_study_page, render_viewer_config, templates_folder
from stillframe.layout import DICOM_JSON, STUDIES, Kind, cache_control, media_type, parse_key, path_of_key

_log = logging.getLogger(__name__)

SERVICE_ROOT: Final = "/dicomweb"
STUDY_PAGE: Final = "/studies-page"
VIEWER_ROUTE: Final = "/viewer"

# A viewer in the middle of a study must not keep an interrupted server alive.
_SHUTDOWN_SECONDS = 2
_METHODS = ("GET", "HEAD", "OPTIONS")

# A viewer's page may be cross-origin isolated. It then refuses what does not allow it by CORP.
_COMMON_HEADERS: Final = (
    (b"access-control-allow-origin", b"*"),
    (b"access-control-expose-headers", b"Content-Range, Content-Length, ETag, Accept-Ranges"),
    (b"cross-origin-resource-policy", b"cross-origin"),
    (b"x-content-type-options", b"nosniff"),
)
_PREFLIGHT_HEADERS: Final = {
    "Allow": ", ".join(_METHODS),
    "Access-Control-Allow-Methods": ", ".join(_METHODS),
    "Access-Control-Allow-Headers": "*",
    "Access-Control-Max-Age": "86400",
}
# Names come from hostile files. Autoescape keeps them text; this policy keeps a mistake there from becoming a script.
_PAGE_HEADERS: Final = {
    "Cache-Control": "no-cache",
    "Content-Security-Policy": (
        "default-src 'none'; img-src 'self'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
    ),
}
# Python's table depends on the machine. Browsers insist on these two.
_VIEWER_TYPES: Final = {".js": "text/javascript; charset=utf-8", ".wasm": "application/wasm"}


def create_app(directory: Path, *, viewer: Path | None = None) -> Starlette:
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
    tree = _Tree(directory.resolve())
    page = partial(_show_studies, tree.folder, VIEWER_ROUTE if viewer else "")
    routes = [
        Route(SERVICE_ROOT + "/{key:path}", tree, methods=["GET"]),
        Route(SERVICE_ROOT, tree, methods=["GET"]),
        Route("/app-config.js", _viewer_config, methods=["GET"]),
        Route(STUDY_PAGE, page, methods=["GET"]),
        Route("/{path:path}", _Viewer(viewer.resolve()), methods=["GET"])
        if viewer
        else Route("/", page, methods=["GET"]),
    ]
    app = Starlette(
        routes=routes,
        middleware=[Middleware(_CrossOrigin)],
        exception_handlers={HTTPException: _explain, Exception: _explain_failure},
    )
    app.router.redirect_slashes = False
    return app


def run(
    directory: Path, host: str, port: int, viewer: Path | None = None, announce: Callable[[str], None] = lambda _: None
) -> None:
    """Serve until interrupted; `announce` gets the address once the server takes requests.

    Raises:
        UsageError: if a folder is not what it should be, or the address cannot be listened on.
    """
    app = create_app(directory, viewer=viewer)
    config = uvicorn.Config(
        app, log_level="warning", server_header=False, lifespan="off", timeout_graceful_shutdown=_SHUTDOWN_SECONDS
    )
    with _listen(host, port) as listener, suppress(KeyboardInterrupt):
        name = f"[{host}]" if ":" in host else host
        announce(f"http://{name}:{listener.getsockname()[1]}")
        uvicorn.Server(config).run(sockets=[listener])


def _listen(host: str, port: int) -> socket.socket:
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, port), family=family, backlog=2048)
    except (OSError, OverflowError, UnicodeError) as error:
        number = getattr(error, "errno", 0) or 0
        reason = os.strerror(number) if number in errorcode else error  # its own text would name the address again
        raise UsageError(f"cannot listen on {host} port {port} (--host, --port): {reason}") from error


class _Tree:
    """The DICOMweb service: it answers keys of the layout, and nothing else that may lie in the folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        key = request.path_params.get("key", "").removesuffix("/")
        try:
            kind = parse_key(key).kind
            path = path_of_key(key)
        except LayoutError as error:
            raise HTTPException(404) from error
        try:
            opened = await open_file(self.folder, path)
        except HTTPException as error:
            if key != STUDIES or error.status_code != 404:
                raise
            # An empty list, never a 204 or a 404: viewers take those for a broken service.
            response = Response(b"[]", headers={"Content-Type": DICOM_JSON, "Cache-Control": cache_control(kind)})
            await response(scope, receive, send)
            return
        with opened:
            headers = {"Content-Type": _content_type(kind, opened, path), "Cache-Control": cache_control(kind)}
            await respond(request, opened, headers)(scope, receive, send)


def _content_type(kind: Kind, opened: OpenFile, path: str) -> str:
    """The media type, or a 500 that says what is wrong with the tree."""
    try:
        return media_type(kind, opened.head)
    except LayoutError as error:
        _log.warning("%s: %s", path, error)
        raise HTTPException(500, f"The tree is damaged: {path} is {error}") from error


def _show_studies(folder: Path, viewer: str, _request: Request) -> Response:
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


def _viewer_config(_request: Request) -> Response:
    text = render_viewer_config(root=SERVICE_ROOT)
    return Response(text, headers={"Content-Type": _VIEWER_TYPES[".js"], "Cache-Control": "no-cache"})


class _Viewer:
    """A prebuilt single-page viewer: its files, and its index.html for routes that only exist inside it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        path = request.path_params["path"] or "index.html"
        try:
            opened = await open_file(self.folder, path)
        except HTTPException as error:
            # A missing script must stay missing: a page in its place fails later and less clearly.
            if error.status_code != 404 or "." in path.rpartition("/")[2]:
                raise
            path = "index.html"
            opened = await open_file(self.folder, path)
        headers = {"Content-Type": _viewer_type(path), "Cache-Control": "no-cache"}
        with opened:
            await respond(request, opened, headers)(scope, receive, send)


def _viewer_type(path: str) -> str:
    guess, encoding = mimetypes.guess_type(path)
    return _VIEWER_TYPES.get(Path(path).suffix) or (guess if guess and not encoding else "application/octet-stream")


class _CrossOrigin:
    """Lets any origin read every response, errors among them, and answers preflight requests."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", []), *_COMMON_HEADERS]
            await send(message)

        if scope["type"] == "http" and scope["method"] == "OPTIONS":
            await Response(None, 204, _PREFLIGHT_HEADERS)(scope, receive, send_with_headers)
            return
        with suppress(ClientDisconnect):
            await self.app(scope, receive, send_with_headers)


async def _explain(_request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    headers = {**(error.headers or {}), "Cache-Control": "no-store"}
    return PlainTextResponse(f"{error.detail}\n", error.status_code, headers)


async def _explain_failure(_request: Request, _error: Exception) -> Response:
    """A 500 for what nobody foresaw. It is made outside the middleware, so it adds the headers itself."""
    response = PlainTextResponse("Internal Server Error\n", 500, {"Cache-Control": "no-store"})
    response.raw_headers.extend(_COMMON_HEADERS)
    return response
