"""The frames of a file, read as a build reads them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy.typing as npt

from stillframe.dicom.read import read_instance
from stillframe.pixels.description import describe_pixels
from stillframe.pixels.reader import FrameReader


@contextmanager
def opened(path: Path) -> Iterator[FrameReader]:
    """A reader of the frames of a file."""
    with path.open("rb") as file:
        instance = read_instance(file)
        try:
            assert instance.pixels is not None
            yield FrameReader(instance, describe_pixels(instance.dataset, instance.pixels))
        finally:
            instance.file.close()


def read_frames(path: Path) -> list[npt.NDArray[Any]]:
    """Every frame as pixels."""
    with opened(path) as reader:
        return [reader.decoded(index).array for index in range(reader.description.frames)]
