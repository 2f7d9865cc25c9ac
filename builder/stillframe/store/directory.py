"""A store in a directory: the layout of `docs/format.md` as files, written by rename."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import stat
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import override

from stillframe.dicom.files import ReadableFile
from stillframe.errors import LayoutError, PreconditionFailed, StoreError
from stillframe.layout import key_of_path, path_of_key
from stillframe.store.base import Draft, Store, StoredObject, Written
from stillframe.store.drafts import begin_draft, draft_folder, held_version, remove_drafts
from stillframe.store.folder_files import RACES, failure, write_all
from stillframe.store.sync import SYNCFS, group_sync, sync_file
from stillframe.wait_log import waiting


class DirectoryStore(Store):
    """A directory tree whose paths are the keys (`docs/format.md`), written by rename.

    A temporary file stands beside its target under a name fixed by it and is locked while written, so that what a
    killed job leaves behind is taken over by the next one and two jobs never share it.
    """

    def __init__(self, root: str, top: str = "", *, durable: bool = False) -> None:
        """A store in the folder `root`.

        Folders that become empty are removed up to `top`, itself if not given. Unless it is `durable`, what was put
        reaches the disk when the system likes: `sync` does nothing.
        """
        self.root = root
        self.durable = durable
        self._top = top or root

    def __reduce__(self) -> tuple[Callable[..., DirectoryStore], tuple[str, str]]:
        return partial(DirectoryStore, durable=self.durable), (self.root, self._top)

    @property
    @override
    def key_prefix(self) -> str:
        return self.root[len(self._top) :].lstrip("/") + "/" if self.root != self._top else ""

    def create(self) -> None:
        """Make the root directory if it is missing, and see that it can be written.

        Raises:
            StoreError: if that fails.
        """
        try:
            Path(self.root).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise failure(f"the destination {self.root} cannot be written", error) from error
        self.check()

    def check(self) -> None:
        """See that the root directory can be written, or made if it is missing; nothing is made.

        Raises:
            StoreError: if it cannot.
        """
        path = Path(self.root)
        while not path.exists() and path != path.parent:
            path = path.parent
        if not path.is_dir() or not os.access(path, os.W_OK | os.X_OK):
            raise StoreError(f"the destination {self.root} cannot be written: no folder or no permission at {path}")

    def _path(self, key: str) -> str:
        return f"{self.root}/{path_of_key(key)}"

    @override
    def get(self, key: str) -> StoredObject | None:
        data = self.get_range(key, 0, -1)
        return None if data is None else _StoredFile(data)

    @override
    def get_range(self, key: str, offset: int, length: int) -> bytes | None:
        try:
            with _open_regular(self._path(key)) as file:
                file.seek(offset)
                return file.read(length)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            if error.errno == errno.ENAMETOOLONG:
                return None  # nor could it be put
            raise failure(key, error) from error

    @override
    def put(
        self, key: str, data: bytes | ReadableFile, *, if_match: str | None = None, if_none_match: bool = False
    ) -> Written:
        path = self._path(key)
        folder = path.rpartition("/")[0]
        conditional = if_match is not None or if_none_match
        try:
            descriptor = _open_locked(_temporary_of(path), folder)
            if self.durable:
                group_sync(self._top)  # which sees what fails from now on
            try:
                if conditional:
                    self._check(key, if_match, if_none_match, _temporary_of(path))
                os.ftruncate(descriptor, 0)  # what a killed job left
                size = write_all(descriptor, data)
                os.rename(_temporary_of(path), path)  # noqa: PTH104
                self._finish(descriptor, folder)
            finally:
                os.close(descriptor)
        except OSError as error:
            raise failure(key, error) from error
        return Written(size, _etag(data) if conditional and isinstance(data, bytes) else "")

    def _finish(self, descriptor: int, folder: str) -> None:
        """See that a file that was written is on the disk, where that cannot be seen to for all of them at once."""
        if self.durable and SYNCFS is None:
            sync_file(descriptor, folder)

    @override
    def seems_new(self, resource: str) -> bool:
        return not os.path.lexists(f"{self.root}/{resource}")

    @override
    def drafted(self, resource: str) -> str:
        try:
            return held_version(f"{self.root}/{resource}")
        except OSError as error:
            raise failure(resource, error) from error

    @override
    def draft(self, resource: str, stale: str = "") -> Draft | None:
        try:
            begun = begin_draft(f"{self.root}/{resource}", resource, stale, self._finish)
            if begun is not None and self.durable:
                group_sync(self._top)  # which sees what fails from now on
        except OSError as error:
            raise failure(resource, error) from error
        return begun

    @override
    def drafts(self, resource: str) -> Iterator[str]:
        path = f"{self.root}/{resource}".rstrip("/")
        if os.path.isdir(draft_folder(path)):  # noqa: PTH112
            yield resource
        yield from self._drafts_below(path)

    def _drafts_below(self, folder: str) -> Iterator[str]:
        for entry in self._entries(folder):
            if not entry.is_dir(follow_symlinks=False):
                continue
            if not _is_temporary(entry.name):
                yield from self._drafts_below(entry.path)
            elif (key := self._key(f"{folder}/{entry.name[1:].removesuffix('.part')}/metadata")) is not None:
                yield key.rpartition("/")[0]

    def _check(self, key: str, if_match: str | None, if_none_match: bool, temporary: str) -> None:
        current = self.get(key)
        if (if_none_match and current is not None) or (
            if_match is not None and (current is None or current.etag != if_match)
        ):
            os.unlink(temporary)  # noqa: PTH108
            raise PreconditionFailed(f"{key} is another version by now")

    @override
    def list(self, resource: str) -> Iterator[tuple[str, int]]:
        path = f"{self.root}/{resource}".rstrip("/")
        with suppress(FileNotFoundError, NotADirectoryError):
            status = os.lstat(path)
            if stat.S_ISREG(status.st_mode) and resource == self._key(path):
                yield resource, status.st_size
        yield from self._walk(path)

    def _key(self, path: str) -> str | None:
        """The key of a file; None for a temporary file, or a stranger's."""
        try:
            return key_of_path(path[len(self.root) + 1 :])
        except LayoutError:
            return None

    def _entries(self, folder: str) -> Sequence[os.DirEntry[str]]:
        try:
            return sorted(os.scandir(folder), key=lambda entry: entry.name)
        except (FileNotFoundError, NotADirectoryError):
            return []
        except OSError as error:
            raise failure(folder, error) from error

    def _walk(self, folder: str) -> Iterator[tuple[str, int]]:
        for entry in self._entries(folder):
            if entry.is_dir(follow_symlinks=False):
                if not entry.name.startswith("."):  # drafts, which have no key
                    yield from self._walk(entry.path)
                continue
            key = self._key(entry.path)
            if key is None:
                continue
            try:
                status = entry.stat(follow_symlinks=False)
            except FileNotFoundError:
                continue  # another job removed it meanwhile
            if stat.S_ISREG(status.st_mode):
                yield key, status.st_size

    @override
    def children(self, resource: str) -> Iterator[str]:
        for entry in self._entries(f"{self.root}/{resource}".rstrip("/")):
            if entry.name not in ("index.json", "index.dcm") and not entry.name.startswith("."):
                yield entry.name

    @override
    def below(self, name: str) -> DirectoryStore:
        return DirectoryStore(f"{self.root}/{name}", self._top, durable=self.durable)

    @override
    def sync(self) -> None:
        if not self.durable or not Path(self._top).exists():
            return
        try:
            group_sync(self._top)()
        except OSError as error:
            raise failure(f"{self._top} cannot be synced", error) from error

    @override
    def delete(self, key: str) -> None:
        """Remove an object if it is there; folders that become empty go too."""
        path = Path(self._path(key))
        try:
            path.unlink(missing_ok=True)
        except NotADirectoryError:
            return
        except OSError as error:
            raise failure(key, error) from error
        folder = path.parent
        while str(folder) != self._top and _is_forsaken(folder) and _remove_forsaken(folder):
            folder = folder.parent


def _open_regular(path: str) -> ReadableFile:
    """A file, to be read. A pipe put in its place must not hold the job for ever."""
    file = open(path, "rb", opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK))  # noqa: SIM115
    if stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        return file
    file.close()
    raise OSError(errno.EINVAL, "not a regular file")


class _StoredFile(StoredObject):
    """A file's bytes. Few ask for its tag, which takes as long to make as to read the file."""

    __slots__ = ()

    def __init__(self, data: bytes) -> None:
        object.__setattr__(self, "data", data)

    @property
    def etag(self) -> str:
        """The tag that names this version."""
        return _etag(self.data)


def _etag(data: bytes) -> str:
    return hashlib.blake2b(data, digest_size=16).hexdigest()


def _temporary_of(path: str) -> str:
    folder, _, name = path.rpartition("/")
    return f"{folder}/.{name}.part"


def _is_forsaken(folder: Path) -> bool:
    """Whether nothing is below a folder but folders, temporary files and drafts."""
    try:
        with os.scandir(folder) as entries:
            return all(
                _is_temporary(entry.name) or (entry.is_dir(follow_symlinks=False) and _is_forsaken(Path(entry.path)))
                for entry in entries
            )
    except OSError as error:
        return isinstance(error, FileNotFoundError)


def _is_temporary(name: str) -> bool:
    return name.startswith(".") and name.endswith(".part")


def _remove_forsaken(folder: Path) -> bool:
    """Remove a folder below which are only folders and temporary files that nobody holds; whether it is gone."""
    with suppress(OSError):
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    temporary = _is_temporary(entry.name)
                    gone = remove_drafts(entry.path) if temporary else _remove_forsaken(Path(entry.path))
                else:
                    gone = _is_temporary(entry.name) and _remove_temporary(Path(entry.path))
                if not gone:
                    return False
        folder.rmdir()
    return not folder.exists()


def _remove_temporary(path: Path) -> bool:
    """Remove a temporary file that nobody holds; whether it is gone.

    Raises:
        OSError: if another job holds it.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # Who opened it meanwhile sees that it is not at its path any more, and makes another.
        if os.fstat(descriptor).st_ino == path.stat().st_ino:
            path.unlink()
    finally:
        os.close(descriptor)
    return True


def _lock(descriptor: int) -> None:
    """Hold a file alone, once another job that does has let go of it."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        with waiting("another job that writes a file"):
            fcntl.flock(descriptor, fcntl.LOCK_EX)


def _open_locked(path: str, folder: str) -> int:
    """Descriptor of a file, made if it is missing, held alone: what is at `path` is what is locked.

    The folder is made when it turns out to be missing, which it may also be because another job just emptied it.
    """
    for _ in range(RACES):
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o644)
        except FileNotFoundError:
            # A folder above was removed meanwhile, or is a broken link.
            with suppress(FileNotFoundError, FileExistsError):
                os.makedirs(folder, exist_ok=True)  # noqa: PTH103  (a hot path)
            continue
        try:
            _lock(descriptor)
            if os.fstat(descriptor).st_ino == os.stat(path).st_ino:  # noqa: PTH116
                return descriptor
        except FileNotFoundError:
            pass  # renamed by the job that held it before
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)
    raise OSError(errno.ELOOP, "something else keeps it from being made")
