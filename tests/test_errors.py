"""Whose fault a failure is."""

from __future__ import annotations

import errno
import os

import pytest

from stillframe import errors
from stillframe.errors import (
    CodestreamError,
    InputError,
    MachineError,
    StoreError,
    blame_machine,
    check_memory,
    machine_blamed,
    machine_fault,
    reason_of,
)


def os_error(number: int) -> OSError:
    return OSError(number, os.strerror(number), "file")


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (os_error(errno.ENOSPC), "no room is left on a disk"),
        (os_error(errno.EDQUOT), "quota"),
        (os_error(errno.EMFILE), "ulimit -n"),
        (os_error(errno.ENFILE), "no more files"),
        (os_error(errno.ENOMEM), "not enough memory"),
        (os_error(errno.EFBIG), "ulimit -f"),
        (os_error(errno.EROFS), "nothing can be written there"),
        (BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable"), "ulimit -u"),
        (RuntimeError("can't start new thread"), "ulimit -u"),
        (FileNotFoundError(errno.ENOENT, "No usable temporary directory found in ['/tmp']"), "TMPDIR"),
        (ImportError("libx.so: failed to map segment from shared object", name="numpy"), "not enough memory"),
        (ImportError("cannot import name", name="numpy"), "numpy cannot be loaded"),
        (MachineError("as it was"), "as it was"),
    ],
)
def test_what_the_machine_lacks_is_told_from_everything_else(error: Exception, words: str) -> None:
    assert words in machine_fault(error)
    wrapped = ValueError("a library's words")
    wrapped.__cause__ = RuntimeError("others'")
    wrapped.__cause__.__context__ = error
    assert machine_fault(wrapped) == machine_fault(error)
    with pytest.raises(MachineError, match=words.replace("(", ".")):
        reason_of(error)
    with pytest.raises(MachineError), machine_blamed():
        raise wrapped


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (os_error(errno.EIO), "cannot be read: Input/output error"),
        (os_error(errno.EACCES), "cannot be read: Permission denied"),
        (os_error(errno.ENOENT), "cannot be read: No such file or directory"),
        (InputError("is no image"), "is no image"),
        (CodestreamError("no SIZ"), "no SIZ"),
        (RecursionError(), "asks for too much: RecursionError"),
        (KeyError("odd"), "cannot be published: KeyError: 'odd'"),
    ],
)
def test_what_is_an_inputs_fault_stays_so(error: Exception, reason: str) -> None:
    blame_machine(error)
    assert reason_of(error) == reason
    with pytest.raises(type(error)), machine_blamed():
        raise error


def test_a_store_that_fails_stays_a_store_that_fails() -> None:
    error = StoreError("key: no room")
    error.__cause__ = os_error(errno.ENOSPC)
    with pytest.raises(StoreError), machine_blamed():
        raise error


def test_errors_in_a_circle_end() -> None:
    first, second = ValueError("a"), ValueError("b")
    first.__cause__, second.__cause__ = second, first
    assert machine_fault(first) == ""


def test_no_librarys_failure_is_its_inputs_where_there_is_no_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    check_memory(ValueError("a damaged frame"))
    monkeypatch.setattr(errors, "_LEAST_BYTES", 1 << 60)
    with pytest.raises(MemoryError):
        check_memory(ValueError("a damaged frame, it says"))
    with pytest.raises(MemoryError):
        reason_of(KeyError("odd"))
    with pytest.raises(MachineError, match="not enough memory"), machine_blamed():
        raise KeyError("odd")
    assert reason_of(InputError("is no image")) == "is no image"
