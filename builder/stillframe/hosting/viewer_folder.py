"""A folder of OHIF's npm package (`dist`), read: which of its files a site takes, and what its page loads."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Final

from stillframe.errors import UsageError
from stillframe.hosting.ohif import ViewerPage, is_left_out, read_page, rewrite
from stillframe.hosting.pages import templates_folder
from stillframe.hosting.site_keys import ASSETS, DIGEST_CHARACTERS

_START: Final = "viewer-start.js"
_PAGE: Final = "index.html"
_FORMAT: Final = b"1\n"  # of what lies below a digest: another number, and everything is published anew


@dataclass(frozen=True)
class Viewer:
    """OHIF for a site: its files by their paths below the folder that `digest` names, and what its page loads."""

    files: Mapping[str, Path]
    page: ViewerPage

    @cached_property
    def digest(self) -> str:
        """The name of its folder, which follows from all its content as it is published."""
        digest = hashlib.sha256(_FORMAT)
        for path in sorted(self.files):
            content = hashlib.sha256(self.read(path)).hexdigest()
            digest.update(f"{content} {path}\n".encode())
        return digest.hexdigest()[:DIGEST_CHARACTERS]

    @property
    def folder(self) -> str:
        """What the keys of its files begin with."""
        return f"{ASSETS}/{self.digest}/"

    def read(self, path: str) -> bytes:
        """A file as it is published.

        Raises:
            UsageError: if it cannot be read.
        """
        return rewrite(path, _read(self.files[path]), self.page)


def read_viewer(folder: Path) -> Viewer:
    """What a site takes of a prebuilt OHIF.

    Symbolic links within the folder are not followed, and what has a name that no URL of a site may have is left out.

    Raises:
        UsageError: if it is no such folder, cannot be read, or is of a version that is not known how to rewrite.
    """
    if not (folder / _PAGE).is_file():
        raise UsageError(f"not a prebuilt viewer, there is no {_PAGE}: {folder}")
    files = {path: folder / path for path in _iter_paths(folder)}
    try:
        page = read_page(_read(folder / _PAGE).decode(), files, lambda path: _read(files[path]).decode())
    except UnicodeDecodeError as error:
        raise UsageError(f"{folder}: not a prebuilt viewer, a script of it is no UTF-8") from error
    except UsageError as error:
        raise UsageError(f"{folder}: {error}") from error
    kept = {path: file for path, file in files.items() if not is_left_out(path)}
    return Viewer({**kept, _START: templates_folder() / _START}, page)


def _iter_paths(folder: Path) -> list[str]:
    """Paths of the regular files below a folder."""
    found = []
    for where, folders, names in os.walk(folder, onerror=_refuse):
        folders.sort()
        found += [
            (Path(where) / name).relative_to(folder).as_posix()
            for name in sorted(names)
            if not (Path(where) / name).is_symlink() and (Path(where) / name).is_file()
        ]
    return found


def _refuse(error: OSError) -> None:
    raise UsageError(f"{error.filename} cannot be read: {error.strerror}") from error


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise UsageError(f"{file} cannot be read: {error.strerror}") from error
