"""Where objects are put: one protocol, and a directory that fulfils it.

A store maps keys to bytes. `put` is atomic: a reader, or a job that is killed, sees the whole old object or the whole
new one. Conditions make read-merge-write safe when several jobs share a store.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import shutil
import stat
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from io import FileIO
from pathlib import Path
from typing import BinaryIO, Final, Protocol

from builder.errors import LayoutError, PreconditionFailed, StoreError
from builder.layout import key_of_path, path_of_key

_COPY_BYTES: Final = 1 << 20
# How often a folder may vanish under the hands that make it: jobs that remove empty ones are few and soon done.
_RACES: Final = 1000


@dataclass(frozen=True, slots=True)
class StoredObject:
    """An object's bytes and the tag that names this version of it."""

    data: bytes
    etag: str


class Store(Protocol):
    """Keys to bytes. Implementations are picklable: a worker process gets its own copy."""

    def get(self, key: str) -> StoredObject | None:
        """The object, or None if there is none."""

    def put(self, key: str, data: bytes | BinaryIO, *, if_match: str | None = None, if_none_match: bool = False) -> int:
        """Write an object whole, from bytes or from a file read to its end, and return its size in bytes.

        `if_match` asks for that version to be there, `if_none_match` for none at all.

        Raises:
            PreconditionFailed: if the condition does not hold.
            StoreError: if the object cannot be written.
        """

    def list(self, prefix: str) -> Iterator[tuple[str, int]]:
        """Key and size in bytes of every object whose key begins with `prefix`, a resource followed by a slash."""

    def delete(self, key: str) -> None:
        """Remove an object if it is there."""

    def lock(self, prefix: str) -> AbstractContextManager[None]:
        """Keep every other job from the objects below a resource while the context lasts."""


class DirectoryStore:
    """A directory tree whose paths are the keys (`docs/format.md`), written by rename.

    A temporary file stands beside its target under a name fixed by it and is locked while written, so that what a
    killed job leaves behind is taken over by the next one and two jobs never share it.
    """

    def __init__(self, root: str) -> None:
        self.root = root
        self._held: set[str] = set()  # folders locked by this object: emptied, they stay until they are let go

    def __reduce__(self) -> tuple[type[DirectoryStore], tuple[str]]:
        return DirectoryStore, (self.root,)

    def create(self) -> None:
        """Make the root directory if it is missing, and see that it can be written.

        Raises:
            StoreError: if that fails.
        """
        try:
            Path(self.root).mkdir(parents=True, exist_ok=True)
            if not os.access(self.root, os.W_OK | os.X_OK):
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        except OSError as error:
            raise StoreError(f"the destination {self.root} cannot be written: {error.strerror}") from error

    def _path(self, key: str) -> str:
        return f"{self.root}/{path_of_key(key)}"

    def get(self, key: str) -> StoredObject | None:
        """See `Store.get`."""
        try:
            data = _read_regular(self._path(key))
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise StoreError(f"{key}: {error.strerror}") from error
        return StoredObject(data, _etag(data))

    def put(self, key: str, data: bytes | BinaryIO, *, if_match: str | None = None, if_none_match: bool = False) -> int:
        """See `Store.put`."""
        path = self._path(key)
        folder = path.rpartition("/")[0]
        try:
            descriptor = _open_locked(_temporary_of(path), folder)
            with os.fdopen(descriptor, "wb", buffering=0) as file:
                if if_match is not None or if_none_match:
                    self._check(key, if_match, if_none_match, _temporary_of(path))
                return _write(file, data, path)
        except OSError as error:
            raise StoreError(f"{key}: {error.strerror or error}") from error

    def _check(self, key: str, if_match: str | None, if_none_match: bool, temporary: str) -> None:
        current = self.get(key)
        if (if_none_match and current is not None) or (
            if_match is not None and (current is None or current.etag != if_match)
        ):
            os.unlink(temporary)  # noqa: PTH108
            raise PreconditionFailed(f"{key} is another version by now")

    @contextmanager
    def lock(self, prefix: str) -> Iterator[None]:
        """See `Store.lock`: the folder itself is locked, and removed again if it stays empty."""
        folder = f"{self.root}/{prefix}"
        try:
            descriptor = _open_locked(folder, folder, os.O_RDONLY | os.O_DIRECTORY)
        except OSError as error:
            raise StoreError(f"{prefix}: {error.strerror or error}") from error
        self._held.add(folder)
        try:
            yield
        finally:
            self._held.discard(folder)
            self._prune(Path(folder))
            os.close(descriptor)

    def _prune(self, folder: Path) -> None:
        """Remove a folder and those above it, up to the first that is not empty or is locked here."""
        while str(folder) != self.root and str(folder) not in self._held:
            try:
                folder.rmdir()
            except OSError:
                return
            folder = folder.parent

    def list(self, prefix: str) -> Iterator[tuple[str, int]]:
        """See `Store.list`."""
        yield from self._walk(f"{self.root}/{prefix}".rstrip("/"))

    def _walk(self, folder: str) -> Iterator[tuple[str, int]]:
        try:
            entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
        except (FileNotFoundError, NotADirectoryError):
            return
        except OSError as error:
            raise StoreError(f"{folder}: {error.strerror}") from error
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                yield from self._walk(entry.path)
                continue
            try:
                key = key_of_path(entry.path[len(self.root) + 1 :])
            except LayoutError:
                continue  # a temporary file, or a stranger's
            try:
                status = entry.stat(follow_symlinks=False)
            except FileNotFoundError:
                continue  # another job removed it meanwhile
            if stat.S_ISREG(status.st_mode):
                yield key, status.st_size

    def delete(self, key: str) -> None:
        """See `Store.delete`; folders that become empty go too."""
        path = Path(self._path(key))
        try:
            path.unlink(missing_ok=True)
        except NotADirectoryError:
            return
        except OSError as error:
            raise StoreError(f"{key}: {error.strerror}") from error
        self._prune(path.parent)


def _read_regular(path: str) -> bytes:
    """The bytes of a file. A pipe put in its place must not hold the job for ever."""
    with open(path, "rb", opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK)) as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise OSError(errno.EINVAL, "not a regular file")
        return file.read()


def _write(file: FileIO, data: bytes | BinaryIO, path: str) -> int:
    """Fill the temporary file and give it its name."""
    file.truncate(0)
    if isinstance(data, bytes):
        view = memoryview(data)
        while view:
            view = view[file.write(view) :]
    else:
        shutil.copyfileobj(data, file, _COPY_BYTES)
    size = file.tell()
    os.rename(_temporary_of(path), path)  # noqa: PTH104
    return size


def _etag(data: bytes) -> str:
    return hashlib.blake2b(data, digest_size=16).hexdigest()


def _temporary_of(path: str) -> str:
    folder, _, name = path.rpartition("/")
    return f"{folder}/.{name}.part"


def _open_locked(path: str, folder: str, flags: int = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW) -> int:
    """Descriptor of a file or folder, held alone: what is at `path` is what is locked.

    The folder is made when it turns out to be missing, which it may also be because another job just emptied it.
    """
    for _ in range(_RACES):
        try:
            descriptor = os.open(path, flags, 0o644)
        except FileNotFoundError:
            # A folder above was removed meanwhile, or is a broken link.
            with suppress(FileNotFoundError, FileExistsError):
                os.makedirs(folder, exist_ok=True)  # noqa: PTH103  (a hot path)
            continue
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            if os.fstat(descriptor).st_ino == os.stat(path).st_ino:  # noqa: PTH116
                return descriptor
        except FileNotFoundError:
            pass  # renamed by the job that held it before
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)
    raise OSError(errno.ELOOP, "something else keeps it from being made")
