"""Files of a web site, in a folder or in a bucket: any keys, with the headers that a browser needs.

A `Store` takes an archive's keys and knows the headers of each. Here whoever puts a file names them. A bucket keeps
them, and holds a compressed file compressed. In a folder a compressed copy lies beside the file, for hosts that send
such copies (gzip_static of nginx).
"""

from __future__ import annotations

import fcntl
import gzip
import os
import zlib
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, override

from stillframe.errors import NotFound, StoreError, machine_fault
from stillframe.store.s3_client import PARALLEL, SCHEME, Bucket
from stillframe.store.s3_parts import check_sums
from stillframe.store.s3_requests import iter_pages, persist

_LEVEL: Final = 9  # compressed once, sent for years
_PART_SUFFIX: Final = ".part"


@dataclass(frozen=True, slots=True, kw_only=True)
class WebFile:
    """A file to put: its bytes without compression, and the headers with which it is sent.

    `copy` is the key of a compressed copy, which a folder holds beside a file that is compressed; empty for none.
    """

    key: str
    data: bytes
    media_type: str
    cache_control: str
    compressed: bool = False
    copy: str = ""


class WebFiles(ABC):
    """Files of a site by their keys. Each is put whole or not at all.

    Every method raises `StoreError` if the store fails for good.
    """

    parallel = 1
    """How many files are worth putting at a time."""

    @abstractmethod
    def get(self, key: str) -> bytes | None:
        """A file's bytes, without compression; None if there is none."""

    def check(self, key: str) -> None:  # noqa: B027  # a bucket has nothing but files
        """Raise `StoreError` if something else has the place of a file: in a folder, a folder or a link."""

    @abstractmethod
    def list(self, start: str) -> Iterator[str]:
        """The keys of all files below a folder `start/`, or else of those whose names begin with `start`."""

    @abstractmethod
    def put(self, file: WebFile) -> None:
        """Write a file, and its compressed copy first if it is to have one."""

    @abstractmethod
    def delete(self, key: str) -> None:
        """Remove a file if it is there."""

    @contextmanager
    def alone(self) -> Iterator[None]:
        """A time in which no other job that asks for it changes the site, where the store can see to that."""
        yield


class WebFolder(WebFiles):
    """Files in a folder, written by rename."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.parallel = os.cpu_count() or 1

    @override
    def get(self, key: str) -> bytes | None:
        path = self.root / key
        try:
            return None if path.is_symlink() or not path.is_file() else path.read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise _failure(path, error) from error

    @override
    def check(self, key: str) -> None:
        path = self.root / key
        if path.is_symlink() or (path.exists() and not path.is_file()):
            raise StoreError(f"{path} is no file: a site has one there")

    @override
    def list(self, start: str) -> Iterator[str]:
        if not start.endswith("/"):
            yield from (path.name for path in sorted(self.root.glob(f"{start}*")) if path.is_file())
            return
        for where, folders, names in os.walk(self.root / start, onerror=_refuse):
            folders.sort()
            for name in sorted(names):
                yield (Path(where) / name).relative_to(self.root).as_posix()

    @override
    def put(self, file: WebFile) -> None:
        if file.compressed and file.copy:
            self._write(file.copy, gzip.compress(file.data, _LEVEL, mtime=0))
        self._write(file.key, file.data)

    def _write(self, key: str, data: bytes) -> None:
        path = self.root / key
        part = path.with_name(f".{path.name}{_PART_SUFFIX}")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            part.unlink(missing_ok=True)  # of a job that was killed, or a link
            with part.open("xb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            part.rename(path)
        except OSError as error:
            raise _failure(path, error) from error

    @override
    def delete(self, key: str) -> None:
        path = self.root / key
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            raise _failure(path, error) from error
        for folder in path.parents:
            if folder == self.root:
                break
            with suppress(OSError):  # it holds other files
                folder.rmdir()

    @override
    @contextmanager
    def alone(self) -> Iterator[None]:
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(self.root, os.O_RDONLY | os.O_DIRECTORY)
        except OSError as error:
            raise _failure(self.root, error) from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)


class WebBucket(WebFiles):
    """Files as objects below a prefix of a bucket."""

    def __init__(self, bucket: Bucket, prefix: str = "") -> None:
        self.bucket = bucket
        self.prefix = prefix
        self.parallel = PARALLEL

    def _name(self, key: str) -> str:
        return f"{self.prefix}/{key}" if self.prefix else key

    def _call(self, method: str, key: str, **arguments: Any) -> Any:
        name = self._name(key)
        operation = getattr(self.bucket.client, method)

        def request() -> Any:
            answer = operation(Bucket=self.bucket.name, Key=name, **arguments)
            return (answer, answer["Body"].read()) if method == "get_object" else answer

        return persist(request, f"{SCHEME}{self.bucket.name}/{name}", self.bucket.settings.patience)

    @override
    def get(self, key: str) -> bytes | None:
        try:
            answer, data = self._call("get_object", key)
        except NotFound:
            return None
        found: bytes = data
        if answer.get("ContentEncoding") == "gzip":
            with suppress(OSError, EOFError, zlib.error):  # what is damaged is none of ours
                found = gzip.decompress(data)
        return found

    @override
    def list(self, start: str) -> Iterator[str]:
        begin = len(self._name(""))
        for page in iter_pages(self.bucket, self._name(start), self.bucket.settings.patience):
            yield from (content["Key"][begin:] for content in page.get("Contents", ()))

    @override
    def put(self, file: WebFile) -> None:
        headers = {"ContentType": file.media_type, "CacheControl": file.cache_control}
        data = file.data
        if file.compressed:
            data = gzip.compress(data, _LEVEL, mtime=0)
            headers["ContentEncoding"] = "gzip"
        self._call("put_object", file.key, Body=data, **headers, **check_sums(self.bucket, data))

    @override
    def delete(self, key: str) -> None:
        with suppress(NotFound):
            self._call("delete_object", key)


def _refuse(error: OSError) -> None:
    if not isinstance(error, FileNotFoundError):
        raise _failure(Path(error.filename), error) from error


def _failure(path: Path, error: OSError) -> StoreError:
    return StoreError(f"{path}: {machine_fault(error) or error.strerror or error}")
