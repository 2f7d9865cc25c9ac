"""Opening the file of an input, if it still is the one that was found."""

from __future__ import annotations

import os
import stat
from io import BufferedReader

from stillframe.errors import InputError, blame_machine
from stillframe.source.changes import is_another, state_of
from stillframe.source.inputs import CHANGED, InputRef


def open_unchanged(source: InputRef) -> BufferedReader:
    """The file at the path of an input, if it is the one that was found.

    Raises:
        InputError: if it cannot be opened, or is another.
    """
    file = open_file(source)
    if source.state is not None and is_another(source.state, state_of(os.fstat(file.fileno()))):
        file.close()
        raise InputError(CHANGED)
    return file


def open_file(source: InputRef) -> BufferedReader:
    """The file at the path of an input, whatever it is by now. A pipe is not waited for.

    Raises:
        InputError: if it cannot be opened.
        MachineError: if the machine opens no more files.
    """
    try:
        return open(source.path, "rb", opener=_open_at_once)
    except (OSError, ValueError) as error:
        blame_machine(error)
        reason = error.strerror if isinstance(error, OSError) else None  # its text would name the file again
        raise InputError(f"cannot be opened: {reason or 'its name is none that a file can have'}") from error


def _open_at_once(path: str, flags: int) -> int:
    try:
        return os.open(path, flags | os.O_NONBLOCK)
    except BlockingIOError:
        if not stat.S_ISREG(os.stat(path).st_mode):  # noqa: PTH116
            raise
        return os.open(path, flags)  # somebody holds a lease on it (fcntl(2)), and is asked to give it back
