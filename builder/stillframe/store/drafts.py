"""Drafts in a folder: an instance is made ready where nobody looks, and gets its name as a whole.

The draft of `…/instances/{I}` is the folder `…/instances/.{I}.part/{token}`, a name of its own for each attempt. Its
files need neither a lock nor a rename each: no key leads to them. When it is ready, one rename puts it in its place, if
nothing is there. So a process that stood still while another job took its work over can touch nothing of what that
job committed: the name of its own folder is gone, or the place is taken.

The folder around it is locked while somebody works in it, so that jobs need not do the same work. The lock of a process
that ended is free; one that stands still is told by the time of the folder, which its holder renews.
"""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Final, override

from stillframe.dicom.files import ReadableFile
from stillframe.errors import ClaimLost
from stillframe.layout import path_of_key
from stillframe.store.base import Draft, Written
from stillframe.store.folder_files import RACES, failure, write_all

# What a path may have in bytes, the zero at its end included (path_resolution(7)).
_LONGEST_PATH: Final = 4096
_GONE: Final = ".gone"
# What a file system says that locks no folders, or not in this way.
_NO_LOCKS: Final = frozenset({errno.EBADF, errno.ENOLCK, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.EACCES})
# What is said where something has the place, or the draft is gone.
_TAKEN: Final = frozenset({errno.EEXIST, errno.ENOTEMPTY, errno.ENOTDIR, errno.ENOENT})
_NEW: Final = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW


def draft_folder(path: str) -> str:
    """The folder around the drafts of what is to have a path."""
    folder, _, name = path.rpartition("/")
    return f"{folder}/.{name}.part"


def held_version(path: str) -> str:
    """What changes while somebody makes a draft for a path, and lives; empty if nobody does.

    Raises:
        OSError: if the folder cannot be read.
    """
    try:
        descriptor = os.open(draft_folder(path), os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except (FileNotFoundError, NotADirectoryError):
        return ""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        status = os.fstat(descriptor)
        return f"{status.st_ino} {status.st_mtime_ns}"
    finally:
        os.close(descriptor)
    return ""


def begin_draft(path: str, resource: str, stale: str, finish: Callable[[int, str], None]) -> FolderDraft | None:
    """A draft of what is to have a path; None where something is there, or the file system locks no folders.

    What others left of theirs is removed. `stale` is the version of one whose holder stands still: it loses it.
    `finish` is told of each file and its folder before it is closed.

    Raises:
        ClaimLost: if another job makes one.
        OSError: if that fails.
    """
    if os.path.lexists(path):
        return None
    folder = draft_folder(path)
    if stale and held_version(path) == stale:
        _take_away(folder)
    for _ in range(RACES):
        new = _make(folder)
        try:
            descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        except FileNotFoundError:
            continue
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.stat(folder, follow_symlinks=False).st_ino != os.fstat(descriptor).st_ino:  # noqa: PTH116
                raise FileNotFoundError(errno.ENOENT, "the folder is another by now")
            if not new:
                _clear(folder)
            return FolderDraft(path, resource, descriptor, finish)
        except BaseException as error:
            os.close(descriptor)
            if isinstance(error, FileNotFoundError):
                continue  # whoever held it before has just removed it
            if isinstance(error, BlockingIOError):
                raise ClaimLost(f"{resource} is written by another job") from error
            if isinstance(error, OSError) and error.errno in _NO_LOCKS:
                with suppress(OSError):
                    os.rmdir(folder)  # noqa: PTH106
                return None
            raise
    raise OSError(errno.ELOOP, "something else keeps it from being made")


def remove_drafts(folder: str) -> bool:
    """Remove a folder of drafts if nobody works in it; whether it is gone."""
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except FileNotFoundError:
        return True
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        _clear(folder)
        os.rmdir(folder)  # noqa: PTH106
    except OSError:
        return not os.path.lexists(folder)
    finally:
        os.close(descriptor)
    return True


def _make(folder: str) -> bool:
    """Make the folder around drafts, and those above; whether it was not there."""
    for _ in range(RACES):
        try:
            os.mkdir(folder)  # noqa: PTH102
        except FileExistsError:
            return False
        except FileNotFoundError:
            # Jobs that remove empty folders may be at work above.
            with suppress(FileNotFoundError, FileExistsError):
                os.makedirs(folder.rpartition("/")[0], exist_ok=True)  # noqa: PTH103
        else:
            return True
    raise OSError(errno.ELOOP, "something else keeps it from being made")


def _take_away(folder: str) -> None:
    """Remove the drafts of a holder that stands still, the lock with them."""
    away = f"{folder.removesuffix('.part')}.{os.urandom(8).hex()}.part"
    with suppress(FileNotFoundError):  # another job was first
        os.rename(folder, away)  # noqa: PTH104
        _clear(away)
        os.rmdir(away)  # noqa: PTH106


def _clear(folder: str) -> None:
    """Remove all drafts in a folder."""
    for name in os.listdir(folder):  # noqa: PTH208
        _remove(f"{folder}/{name}")


def _remove(path: str) -> None:
    """Remove a draft. It loses its name first: its holder may wake up, and must not put half of it in its place."""
    if not path.endswith(_GONE):
        with suppress(FileNotFoundError):
            os.rename(path, path + _GONE)  # noqa: PTH104
        path += _GONE
    for _ in range(RACES):
        shutil.rmtree(path, ignore_errors=True)
        if not os.path.lexists(path):  # who wakes up may have put one more file there
            break


class FolderDraft(Draft):
    """A draft under way, in a folder of its own name."""

    def __init__(self, path: str, resource: str, descriptor: int, finish: Callable[[int, str], None]) -> None:
        self._path = path
        self._resource = resource
        self._lock = descriptor
        self._finish = finish
        self._name = f"{draft_folder(path)}/{os.urandom(8).hex()}"
        self._made = {""}
        os.mkdir(self._name)  # noqa: PTH102
        self._folder = os.open(self._name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)

    def _place(self, key: str) -> str:
        """The path of an object within the draft."""
        whole = path_of_key(key) if key == self._resource else key  # others are files of their names
        place = whole[len(self._resource) + 1 :]
        if len(os.fsencode(self._path)) + 1 + len(place) >= _LONGEST_PATH:
            raise OSError(errno.ENAMETOOLONG, os.strerror(errno.ENAMETOOLONG))
        return place

    @override
    def put(self, key: str, data: bytes | ReadableFile) -> Written:
        with self._told(key):
            place = self._place(key)
            folder = place.rpartition("/")[0]
            self._make_folders(folder)
            descriptor = os.open(place, _NEW, 0o644, dir_fd=self._folder)
            try:
                size = write_all(descriptor, data)
                self._finish(descriptor, f"{self._name}/{folder}")
            finally:
                os.close(descriptor)
            return Written(size)

    def _make_folders(self, folder: str) -> None:
        if folder in self._made:
            return
        self._make_folders(folder.rpartition("/")[0])
        os.mkdir(folder, dir_fd=self._folder)
        self._made.add(folder)

    @override
    def delete(self, key: str) -> None:
        with self._told(key), suppress(FileNotFoundError):
            os.unlink(self._place(key), dir_fd=self._folder)

    @override
    def renew(self) -> None:
        with suppress(OSError):
            os.utime(self._lock)

    @override
    def commit(self) -> None:
        with self._told(self._resource):
            os.rename(self._name, self._path)  # noqa: PTH104

    @override
    def close(self) -> None:
        with suppress(OSError):
            if os.path.lexists(self._name):
                _remove(self._name)
            os.rmdir(draft_folder(self._path))  # noqa: PTH106  # not another job's: that is not empty
        os.close(self._folder)
        os.close(self._lock)

    @contextmanager
    def _told(self, what: str) -> Iterator[None]:
        """Tell what an error in the block means: where the draft is gone, or its place taken, the claim is lost."""
        try:
            yield
        except OSError as error:
            if error.errno in _TAKEN:
                raise ClaimLost(f"{self._resource} is written by another job") from error
            raise failure(what, error) from error
