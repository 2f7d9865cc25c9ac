"""What takes the objects of an instance, whatever it does with them."""

from __future__ import annotations

from typing import Protocol

from stillframe.dicom.files import ReadableFile


class Sink(Protocol):
    """Where objects go on their way to a store."""

    def put(self, key: str, data: bytes | ReadableFile) -> None:
        """Take one object."""

    def restart(self) -> None:
        """Give up all objects taken so far: the frames come again in another form."""


class LimitedSink(Sink, Protocol):
    """A sink that takes only so much."""

    def expect(self, size: int) -> None:
        """See that there is room for objects of so many bytes.

        Raises:
            InputError: if there is not.
        """
