"""Instances that are large enough for idle workers to help with their frames, and executors that tell who did."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Future, wait
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from stillframe.build.workers import build_instances, help_with_frames
from stillframe.execute import ProcessExecutor
from tests.support.dicom_files import EXPLICIT, image_attributes, write_dicom

FRAMES: Final = 48


def large_frames() -> npt.NDArray[Any]:
    """24 MiB of frames, no two alike."""
    base = np.random.default_rng(5).integers(0, 1 << 12, (512, 512), "u2")
    return np.stack([np.roll(base, 31 * number) for number in range(FRAMES)])


def write_large(folder: Path, syntax: str = EXPLICIT, **attributes: Any) -> Path:
    """A file of these frames in a folder."""
    frames = large_frames()
    folder.mkdir(parents=True, exist_ok=True)
    described = image_attributes(frames[0], FRAMES, BitsStored=12, **attributes)
    write_dicom(folder / "large.dcm", syntax, described, frames.tobytes(), native=True)
    return folder


class Helping(ProcessExecutor):
    """Worker processes; `helped` has how many frames those made who came to help.

    With `before`, a function runs in the worker before each task, and is told whether it is to help.
    """

    def __init__(self, workers: int, before: Callable[[bool], None] | None = None) -> None:
        super().__init__(workers)
        self._before = before
        self._help: list[Future[int]] = []
        # All are there before there is work: on a busy machine, one may start when there is none any more.
        wait([super(Helping, self).submit(time.sleep, 0.2) for _ in range(workers)])

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        """See `ProcessExecutor`."""
        helps = fn is help_with_frames
        if self._before is not None and fn in (help_with_frames, build_instances):
            fn = partial(_after, self._before, helps, fn)
        future = super().submit(fn, *args, **kwargs)
        if helps:
            self._help.append(future)
        return future

    @property
    def helped(self) -> list[int]:
        """Frames made by each who came, once all have left."""
        return [future.result(60) for future in self._help if not future.exception(60)]


def _after(before: Callable[[bool], None], helps: bool, fn: Callable[..., Any], *args: Any) -> Any:
    before(helps)
    return fn(*args)
