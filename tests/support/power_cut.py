"""A directory on a disk that loses what was not synced."""

from __future__ import annotations

from collections.abc import Callable, Collection
from pathlib import Path
from typing import override

from stillframe.dicom.files import ReadableFile
from stillframe.errors import StoreError
from stillframe.layout import Key, key_of_path, parse_key, path_of_key
from stillframe.store.base import Written
from tests.support.told_store import ToldStore


class PoweredStore(ToldStore):
    """A store whose power is cut when the write of some number comes; `writes` are those that came, in words.

    `unsynced` has what was put since the last sync by its path, with what stood there before.
    """

    def __init__(self, root: str, moment: int) -> None:
        super().__init__(root, durable=True)
        self.left = moment
        self.writes: list[str] = []
        self.unsynced: dict[Path, bytes | None] = {}
        self._put: set[str] = set()  # since the last sync, into drafts, too

    def _check_power(self) -> None:
        if self.left <= 0:
            raise StoreError("the power is cut")

    def _comes(self, what: str) -> None:
        self._check_power()
        self.left -= 1
        self.writes.append(what)

    @override
    def before_put(self, key: str, data: bytes | ReadableFile) -> bytes | ReadableFile:
        self._comes(f"put {key}")
        self._put.add(key)
        return data

    @override
    def put(
        self, key: str, data: bytes | ReadableFile, *, if_match: str | None = None, if_none_match: bool = False
    ) -> Written:
        path = Path(self.root) / path_of_key(key)
        before = path.read_bytes() if path.is_file() else None
        written = super().put(key, data, if_match=if_match, if_none_match=if_none_match)
        self.unsynced.setdefault(path, before)
        return written

    @override
    def before_commit(self, resource: str) -> None:
        self._comes(f"commit {resource}")

    @override
    def committed(self, keys: Collection[str]) -> None:
        for key in self._put.intersection(keys):
            self.unsynced[Path(self.root) / path_of_key(key)] = None

    @override
    def before_delete(self, key: str) -> None:
        self._check_power()

    @override
    def sync(self) -> None:
        self._check_power()
        super().sync()
        self.unsynced.clear()
        self._put.clear()

    def lose(self, how: str, which: Callable[[Key], bool]) -> None:
        """Do to what is not on the disk what file systems do: it is empty, zeros, or as it was before.

        They write in an order of their own: what `which` leaves out happens to have reached the disk.
        """
        for path, before in self.unsynced.items():
            if not path.is_file() or not which(parse_key(key_of_path(str(path.relative_to(self.root))))):
                continue
            size = path.stat().st_size
            if how == "as before":
                path.write_bytes(before) if before is not None else path.unlink()
            else:
                path.write_bytes(b"" if how == "empty" else bytes(size))
