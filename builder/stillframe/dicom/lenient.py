"""pydicom where a data set is not well formed: what it makes of odd bytes, and what its exceptions and warnings mean.

Well-formed data sets are walked (`walk`, `header`, `sequences`), not parsed.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import BinaryIO, Final, cast

from pydicom import DataElement, Dataset
from pydicom.dataelem import RawDataElement
from pydicom.filereader import read_dataset
from pydicom.tag import BaseTag

from stillframe.dicom.files import ReadableFile
from stillframe.dicom.walk import Encoding
from stillframe.errors import InputError, StoreError

# pydicom reads an element in one to three pieces, and takes some 20 microseconds and 700 bytes for each.
MOST_READS: Final = 500_000


class Unreadable(Exception):
    """Bytes that nothing can make sense of; the message says why in a word, `details` in what words there are."""

    def __init__(self, reason: str, details: str = "") -> None:
        super().__init__(reason)
        self.details = details or reason


class CountedReads:
    """A file that bounds what a parser makes of odd bytes: it reads once for every element and item, however short."""

    def __init__(self, file: ReadableFile) -> None:
        self._file = file
        self._left = MOST_READS
        self.tell = file.tell
        self.seek = file.seek

    def read(self, size: int = -1) -> bytes:
        """As the file's own.

        Raises:
            InputError: if that was once too often.
        """
        self._left -= 1
        if self._left < 0:
            raise InputError("is not well formed, and has too many elements and items to be read all the same")
        return self._file.read(size)


@contextmanager
def pydicom_at_work() -> Iterator[list[warnings.WarningMessage]]:
    """Let pydicom read or convert in the block; what it warns of is collected, and goes no further.

    Raises:
        InputError, StoreError: as reading the file raised them, however pydicom wrapped them.
        Unreadable: if pydicom raises one of its dozen types: each means the same.
        RecursionError: as it is.
    """
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            yield caught
    except (InputError, StoreError, RecursionError, Unreadable):
        raise
    except Exception as error:
        cause: BaseException | None = error
        while cause is not None and not isinstance(cause, InputError | StoreError):
            cause = cause.__cause__ or cause.__context__
        if cause is not None:
            raise cause from None
        raise Unreadable(type(error).__name__, one_line(error)) from error


def read_odd(
    file: ReadableFile | CountedReads,
    encoding: Encoding,
    *,
    length: int | None = None,
    stop: Callable[[int], bool] | None = None,
    cut: bool = True,
) -> Dataset:
    """The elements from the file's offset on, to the first whose tag satisfies `stop`, or those of an item.

    Args:
        file: where they are.
        encoding: how they are written.
        length: of the item in bytes, if it says; None if a delimiter ends it.
        stop: says where to stop; without it, the elements are those of an item.
        cut: whether they may end too early.

    Raises:
        InputError, StoreError, Unreadable, RecursionError: as `pydicom_at_work`.
    """
    source = cast(BinaryIO, file if isinstance(file, CountedReads) else CountedReads(file))
    stop_when = None if stop is None else lambda tag, *_: stop(tag)
    with pydicom_at_work() as caught:
        dataset = read_dataset(
            source, encoding.implicit, encoding.little, length, stop_when, at_top_level=stop is not None
        )
    if not cut:
        for warning in caught:
            if "nd of file reached" in str(warning.message):
                raise InputError(f"truncated: {one_line(warning.message)}")
    return dataset


def raw_element(dataset: Dataset, tag: int) -> DataElement | RawDataElement | None:
    """An element as it was read, unconverted unless somebody has asked for its value; None if absent.

    Raises:
        InputError: if pydicom cannot make anything of it, as of one without a value but of unknown VR and some length.
    """
    try:
        return dataset.get_item(tag)
    except Exception as error:  # pydicom converts some elements on the way, and raises whatever that raises
        raise InputError(f"{BaseTag(tag)} cannot be read: {one_line(error)}") from error


def one_line(error: object) -> str:
    """What an exception or a warning says, short and in one line."""
    return " ".join(str(error).split())[:200] or type(error).__name__
