"""A stored file as an HTTP response: whole, a range of it, or the news that it has not changed."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path

from anyio import to_thread
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse

from stillframe.errors import StoreError
from stillframe.hosting.conditional import CONDITIONS, decide, make_etag
from stillframe.layout import HEAD_BYTES

_CHUNK_BYTES = 256 * 1024


@dataclass(frozen=True, slots=True)
class OpenFile:
    """A regular file, opened once: a replacement under the same name cannot mix into the answer.

    `head` is its first `HEAD_BYTES` bytes. Leaving the context closes the file.
    """

    descriptor: int
    size: int
    etag: str
    head: bytes

    def __enter__(self) -> OpenFile:
        return self

    def __exit__(self, *exception: object) -> None:
        os.close(self.descriptor)

    async def read(self, start: int, stop: int) -> AsyncIterator[bytes]:
        """The bytes `[start, stop)`, chunk by chunk.

        Raises:
            StoreError: if the file was cut short meanwhile; the connection then breaks off.
        """
        while start < stop:
            chunk = await to_thread.run_sync(os.pread, self.descriptor, min(_CHUNK_BYTES, stop - start), start)
            if not chunk:
                raise StoreError(f"a file became shorter while it was sent, at byte {start}")
            start += len(chunk)
            yield chunk


async def open_file(folder: Path, path: str) -> OpenFile:
    """Open a file below `folder`, which must be a resolved path.

    Raises:
        HTTPException: 404 where there is none, or where `path` leads out of the folder; 403 where it may not be read.
    """
    return await to_thread.run_sync(_open_file, folder, path)


def read_file(folder: Path, path: str) -> bytes | None:
    """A file below `folder`, which must be a resolved path; None where there is none, or where it leads out.

    Raises:
        HTTPException: 403 where it may not be read.
    """
    try:
        opened = _open_file(folder, path)
    except HTTPException as error:
        if error.status_code == HTTPStatus.NOT_FOUND:
            return None
        raise
    with os.fdopen(opened.descriptor, "rb") as file:
        return file.read()


def respond(request: Request, opened: OpenFile, headers: dict[str, str]) -> Response:
    """The response to `request` for an open file, which must stay open until the response was sent.

    `headers` are those of the whole object, with its Content-Type.
    """
    answer = decide(request.method, read_conditions(request, CONDITIONS), opened.etag, opened.size)
    headers = {**headers, "ETag": opened.etag, "Accept-Ranges": "bytes"}
    if answer.status == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
        explanation = {"Content-Range": f"bytes */{opened.size}", "Accept-Ranges": "bytes", "Cache-Control": "no-store"}
        return PlainTextResponse("Range Not Satisfiable\n", answer.status, explanation)
    if answer.status == HTTPStatus.PRECONDITION_FAILED:
        return PlainTextResponse("Precondition Failed\n", answer.status, {"Cache-Control": "no-store"})
    if answer.status == HTTPStatus.NOT_MODIFIED:
        return Response(None, answer.status, {name: headers[name] for name in headers if name != "Content-Type"})
    headers["Content-Length"] = str(answer.stop - answer.start)
    if answer.status != HTTPStatus.OK:
        headers["Content-Range"] = f"bytes {answer.start}-{answer.stop - 1}/{opened.size}"
    if request.method == "HEAD" or answer.start == answer.stop:
        return Response(None, answer.status, headers)
    return StreamingResponse(opened.read(answer.start, answer.stop), answer.status, headers)


def read_conditions(request: Request, names: Iterable[str]) -> dict[str, str]:
    """Those of the named headers that a request has."""
    return {name: ", ".join(request.headers.getlist(name)) for name in names if name in request.headers}


def _open_file(folder: Path, path: str) -> OpenFile:
    try:
        real = Path(os.path.realpath(folder / path, strict=True))
        if not real.is_relative_to(folder) or not stat.S_ISREG(real.stat().st_mode):
            raise HTTPException(404)
        # Non-blocking, so that a pipe put there meanwhile does not hold the thread.
        descriptor = os.open(real, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            status = os.fstat(descriptor)
            head = os.pread(descriptor, HEAD_BYTES, 0)
        except OSError:
            os.close(descriptor)
            raise
        return OpenFile(descriptor, status.st_size, make_etag(status.st_mtime_ns, status.st_size), head)
    except PermissionError as error:
        raise HTTPException(403) from error
    except ValueError as error:  # a NUL in the path
        raise HTTPException(404) from error
    except OSError as error:
        if error.errno in (errno.EMFILE, errno.ENFILE, errno.EIO):
            raise
        raise HTTPException(404) from error
