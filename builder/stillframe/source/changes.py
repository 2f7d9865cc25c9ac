"""Files that change while a job reads them: seen by their size, times and inode, and given a moment to become whole."""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from io import BufferedReader, FileIO
from itertools import chain
from typing import Final

from stillframe.dicom.files import ReadableFile
from stillframe.errors import reason_of
from stillframe.scratch import Scratch
from stillframe.source.inputs import CHANGED, FileState, InputRef, Item
from stillframe.source.packing import Packing
from stillframe.wait_log import waiting

_NANOSECONDS: Final = 1_000_000_000


def state_of(status: os.stat_result) -> FileState:
    """The state of a file, from what the system says of it."""
    return FileState(status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino)


def state_of_open(file: ReadableFile) -> FileState | None:
    """The state of an open file; None for what is in memory, unpacked, or an object."""
    if not isinstance(file, BufferedReader) or not isinstance(file.raw, FileIO):
        return None
    return state_of(os.fstat(file.fileno()))


def is_another(found: FileState, now: FileState) -> bool:
    """Whether a file was written to since it was found, or another stands in its place.

    A file of a network may get another inode number while nothing happens to it. One that was put in the place of
    another has another time of change as well.
    """
    replaced = found.inode != now.inode and found.changed != now.changed
    return replaced or (found.size, found.modified) != (now.size, now.modified)


def was_written(file: ReadableFile, before: FileState | None) -> bool:
    """Whether somebody wrote to an open file since its state was `before`. Links to it and its rights do not count."""
    now = state_of_open(file)
    return before is not None and now is not None and is_another(before, now)


def has_changed(source: InputRef) -> bool:
    """Whether the file of an input, or of its archive, is another than was found.

    One that is gone is none: what was read of it before was whole, and who opens it is told.
    """
    if source.state is None:
        return False
    try:
        return is_another(source.state, state_of(os.stat(source.path)))  # noqa: PTH116  (a hot path)
    except OSError:
        return False


def reason_of_input(source: InputRef, error: Exception) -> str:
    """Why an input is not published that failed with this error: half a file fails in many ways."""
    return CHANGED if has_changed(source) else reason_of(error)


def let_settle(items: Iterable[Item], seconds: float, sleep: Callable[[float], object] = time.sleep) -> Iterator[Item]:
    """The items, once files among them that were written less than so many seconds ago had time to become whole.

    Those before the first such file come at once, the others wait in a temporary file.

    This waits once, at most that long, and not at all without such files. Times in the future count for nothing. A
    file that was written to less than half as long before the end of the wait keeps the state in which it was found, so
    that whoever reads it sees that it is changing.
    """
    items, grace = iter(items), int(seconds * _NANOSECONDS)
    for item in items:
        if _modified(item) > time.time_ns() - grace:
            break
        yield item
    else:
        return
    scratch, packing = Scratch("CREATE TABLE items (number INTEGER PRIMARY KEY, name BLOB, packed TEXT)"), Packing()
    young: dict[int, int] = {}  # when items were written that may be young, by their numbers
    for number, waits in enumerate(chain([item], items)):
        scratch.run("INSERT INTO items VALUES (?, ?, ?)", number, *packing.pack(waits))
        if _modified(waits) > time.time_ns() - grace:
            young[number] = _modified(waits)
    now = time.time_ns()
    young = {number: modified for number, modified in young.items() if _is_young(modified, now, grace)}
    if young:
        with waiting("files that were written a moment ago"):
            sleep((max(young.values()) + grace - now) / _NANOSECONDS)
    for number, name, packed in scratch.rows("SELECT * FROM items ORDER BY number"):
        item = packing.unpack(name, packed)
        yield _look_again(item, grace // 2) if number in young and isinstance(item, InputRef) else item
    scratch.close()


def _modified(item: Item) -> int:
    """When the file of an item was written, in nanoseconds; 0 where nothing is known of it."""
    return item.state.modified if isinstance(item, InputRef) and item.state is not None else 0


def _is_young(modified: int, now: int, grace: int) -> bool:
    return 0 <= now - modified < grace


def _look_again(item: InputRef, grace: int) -> InputRef:
    try:
        status = os.stat(item.path)  # noqa: PTH116
    except OSError:
        return item
    state = state_of(status)
    if not stat.S_ISREG(status.st_mode) or _is_young(state.modified, time.time_ns(), grace):
        return item
    return replace(item, size=state.size, state=state)
