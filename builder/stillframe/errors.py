"""The exceptions this package raises, and whose fault a failure is: an input's, a store's or the machine's."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from mmap import mmap
from typing import Final


class StillframeError(Exception):
    """Base of every exception raised on purpose by this package."""


class InputError(StillframeError):
    """One input cannot be published; the message is the reason a person reads."""


class InvalidUID(InputError):
    """A UID that is missing, malformed or too long for a key (PS3.5 9.1)."""


class PixelDataError(InputError):
    """Pixel data that cannot be turned into the frames its data set promises."""


class CodestreamError(StillframeError):
    """Bytes that are not the JPEG 2000 codestream they are taken for."""


class CodecError(StillframeError):
    """An HTJ2K library failed, or a frame did not come back as it went in."""


class CannotDraw(StillframeError):
    """There is no picture of an image; the message is why."""


class LayoutError(StillframeError):
    """A key or path that is not part of the published layout."""


class FailedJob(StillframeError):
    """The job cannot go on, and none of its inputs is at fault."""


class MachineError(FailedJob):
    """This machine lacks what the job needs; the message says what to do."""


class StoreError(FailedJob):
    """A store could not carry out a request."""


class NotFound(StoreError):
    """There is no such object, or nothing where objects could be."""


class PreconditionFailed(StoreError):
    """A conditional request found another version than the one it named."""


class Refused(StoreError):
    """A store answered that it will not carry out a request; `code` is its reason in a word, `AccessDenied` say."""

    def __init__(self, message: str, code: str = "") -> None:
        super().__init__(message)
        self.code = code


class KeyRefused(Refused):
    """A store will not hold one object, for its key or for what it is; nothing says that it refuses others."""


class ClaimLost(StoreError):
    """Another job took over the writing of an instance."""


class InvalidationError(StillframeError):
    """A CDN could not be told which of its copies are old."""


class WorkerDied(StillframeError):
    """The process that held a task ended before the task did, or had no memory for it: twice, once with it alone."""


class WorkersLost(WorkerDied):
    """One worker after the other vanished with a task, as many as are allowed: it need not be to blame for that."""


class UsageError(StillframeError):
    """A command that cannot be carried out as it was given."""


_ROOM: Final = "no room is left on a disk of this machine: make room there (TMPDIR names the folder of temporary files)"
_FILES: Final = "no more files can be opened on this machine: raise the limit (ulimit -n), or give fewer --workers"
NO_MEMORY: Final = "there is not enough memory on this machine: raise its limit (ulimit -v), or give fewer --workers"
_PROCESSES: Final = (
    "no more threads or processes can be started on this machine: raise the limits (ulimit -u and -v, pids of a "
    "container), or give fewer --workers (0 needs no process)"
)
_LACKS: Final = {
    errno.ENOSPC: _ROOM,
    errno.EDQUOT: f"a disk quota is used up; {_ROOM}",
    errno.EFBIG: "files may not be that large on this machine: raise the limit (ulimit -f)",
    errno.EMFILE: _FILES,
    errno.ENFILE: _FILES,
    errno.ENOMEM: NO_MEMORY,
    errno.EROFS: "nothing can be written there: name another folder (TMPDIR names that of temporary files)",
}
# What Python says where the system gives no error number.
_SAID: Final = {
    "can't start new thread": _PROCESSES,
    "can't allocate lock": NO_MEMORY,
    "No usable temporary directory found": "there is no folder for temporary files: have TMPDIR name one to write in",
    "failed to map segment": NO_MEMORY,
    "Cannot allocate memory": NO_MEMORY,
}
# What every task needs: where there is less, none can be blamed.
_LEAST_BYTES: Final = 64 << 20
# What is given back once memory has run out, so that this can be told: lines, a report, what they import.
_RESERVED_BYTES: Final = 8 << 20
_reserve: list[mmap] = []


def machine_fault(error: BaseException) -> str:
    """What this machine lacks, and what to do, if that is why something failed; empty for any other reason.

    Errors that led to this one count, too: libraries wrap what the system said.
    """
    for cause in _causes(error):
        if isinstance(cause, MachineError):
            return str(cause)
        if isinstance(cause, BlockingIOError) and not cause.filename:
            return _PROCESSES  # of a fork
        if isinstance(cause, OSError) and cause.errno in _LACKS:
            return _LACKS[cause.errno]
        if isinstance(cause, OSError | RuntimeError | ImportError):
            for words, fault in _SAID.items():
                if words in str(cause):
                    return fault
        if isinstance(cause, ImportError):
            return f"{cause.name or 'a library'} cannot be loaded: give it more memory, or install Stillframe anew"
    return ""


def has_memory(least: int = 0) -> bool:
    """Whether this process can take so many bytes, and what every task needs."""
    try:
        mmap(-1, max(least, _LEAST_BYTES)).close()  # touches none of it
    except (OSError, MemoryError):
        return False
    return True


def keep_reserve() -> None:
    """Keep some memory back, with which this process can tell that there is no more."""
    with suppress(OSError, MemoryError):
        _reserve.append(mmap(-1, _RESERVED_BYTES))


def free_reserve() -> None:
    """Give back what was kept for the moment at which memory runs out."""
    while _reserve:
        _reserve.pop().close()


def check_memory(error: BaseException) -> None:
    """See that a library's failure is not for want of memory, of which most say nothing.

    Raises:
        MemoryError: if there is too little.
    """
    if isinstance(error, MemoryError) or not has_memory():
        raise MemoryError from error


def blame_machine(error: BaseException) -> None:
    """See that a failure is not the machine's before something else is held responsible for it.

    Raises:
        MachineError: if it is the machine's.
    """
    if fault := machine_fault(error):
        raise MachineError(fault) from error


@contextmanager
def machine_blamed() -> Iterator[None]:
    """Let what the machine lacks in the block be known as that, whatever error told of it.

    Raises:
        MachineError: if the machine lacks something; other errors stay as they are.
    """
    try:
        yield
    except StillframeError:
        raise
    except MemoryError:
        free_reserve()
        raise MachineError(NO_MEMORY) from None  # the frames of the failure hold what it took
    except Exception as error:
        blame_machine(error)
        if not has_memory():
            free_reserve()
            raise MachineError(NO_MEMORY) from error
        raise


def _causes(error: BaseException) -> Iterator[BaseException]:
    """An error, and those that led to it."""
    seen: set[int] = set()
    cause: BaseException | None = error
    while cause is not None and id(cause) not in seen:
        yield cause
        seen.add(id(cause))
        cause = cause.__cause__ or cause.__context__


def reason_of(error: Exception) -> str:
    """Why an input is not published that failed with this error.

    Raises:
        MachineError: if it is not the input's fault but the machine's.
        MemoryError: if it may be for want of memory.
    """
    blame_machine(error)
    match error:
        case InputError() | CodestreamError():
            return str(error)
        case OSError():
            return f"cannot be read: {error.strerror or error}"
        case RecursionError():
            return f"asks for too much: {type(error).__name__}"
        case _:
            check_memory(error)
            return f"cannot be published: {type(error).__name__}: {' '.join(str(error).split())[:200]}"
