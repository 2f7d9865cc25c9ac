"""Instances that are large enough for idle workers to help with their frames, and executors that tell who did."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from pathlib import Path
from typing import Any, Final, override
from unittest.mock import patch

import numpy as np
import numpy.typing as npt

from stillframe.build.workers import build_instances, help_with_frames
from stillframe.codec import htj2k
from stillframe.execute import ProcessExecutor
from tests.support.dicom_files import EXPLICIT, image_attributes, write_dicom

FRAMES: Final = 48
_PATIENCE: Final = 60.0


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

    Who publishes an instance waits with its second frame until somebody comes, however busy the machine is. With
    `before`, a function runs in the worker before each task, and is told whether it is to help.
    """

    def __init__(self, workers: int, before: Callable[[bool], object] = bool) -> None:
        super().__init__(workers)
        self._before = before
        self._help: list[Future[int]] = []
        self._flag = Path(tempfile.mkdtemp()) / "somebody came"
        if workers == 1:
            self._flag.touch()

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        """See `ProcessExecutor`."""
        helps = fn is help_with_frames
        if fn in (help_with_frames, build_instances):
            fn = partial(_prepared, self._before, self._flag, helps, fn)
        future = super().submit(fn, *args, **kwargs)
        if helps:
            self._help.append(future)
        return future

    @override
    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        super().shutdown(wait, cancel_futures=cancel_futures)
        shutil.rmtree(self._flag.parent)

    @property
    def helped(self) -> list[int]:
        """Frames made by each who came, once all have left."""
        return [future.result(60) for future in self._help if not future.exception(60)]


def _prepared(before: Callable[[bool], object], flag: Path, helps: bool, fn: Callable[..., Any], *args: Any) -> Any:
    encode = htj2k.encode_frame
    with patch.object(htj2k, "encode_frame", encode):
        before(helps)
        encode, encoded = htj2k.encode_frame, 0
        if helps:
            flag.touch()

        def encode_together(frame: npt.NDArray[Any], bits: int) -> bytes:
            nonlocal encoded
            deadline = time.monotonic() + _PATIENCE
            while encoded and not flag.exists() and time.monotonic() < deadline:
                time.sleep(0.001)
            encoded += 1
            return encode(frame, bits)

        htj2k.encode_frame = encode_together  # type: ignore[assignment]  # the patch above takes it back
        return fn(*args)
