"""What the codec alone takes: a loop of the same calls in one process, without a pipeline around it.

It is the limit of what a build can reach. Beside it stands JPEG-LS, with which the same frames take fewer bytes.
"""

from __future__ import annotations

import multiprocessing
import statistics
import time
from dataclasses import dataclass
from typing import Any

import numpy as np
from imagecodecs import jpegls_decode, jpegls_encode
from inputs import Frames, bits_of, ct_slices, radiograph

from stillframe.codec import htj2k
from stillframe.codec.codestream import reduce_codestream
from stillframe.codec.markers import parse_header


@dataclass(frozen=True)
class Coding:
    """CPU milliseconds and bytes of one frame."""

    encode: float
    verify: float
    size: float

    @property
    def both(self) -> float:
        """Milliseconds of encoding and verifying."""
        return self.encode + self.verify


def code_htj2k(frames: Frames) -> Coding:
    """Encode and verify every frame as a build does."""
    bits = bits_of(frames)
    began = time.process_time()
    codestreams = [htj2k.encode_frame(frame, bits) for frame in frames]
    encoded = time.process_time()
    for frame, data in zip(frames, codestreams, strict=True):
        if not np.array_equal(htj2k.decode_lossless(data, parse_header(data)), frame):
            raise SystemExit("a frame did not come back as it went in")
    return _coding(began, encoded, frames, codestreams)


def code_jpegls(frames: Frames) -> Coding:
    """The same by JPEG-LS without loss, signed samples as their bit patterns."""
    cells = frames.view(f"u{frames.itemsize}")
    began = time.process_time()
    codestreams = [bytes(jpegls_encode(frame)) for frame in cells]
    encoded = time.process_time()
    for frame, data in zip(cells, codestreams, strict=True):
        if not np.array_equal(jpegls_decode(data), frame):
            raise SystemExit("a frame did not come back as it went in")
    return _coding(began, encoded, frames, codestreams)


_kept: list[Frames] = []
"""The frames of a process that codes beside another one."""


def _keep(frames: Frames) -> None:
    _kept[:] = [frames]


def _code_kept() -> None:
    code_htj2k(_kept[0])


def times_as_fast_by_two(frames: Frames, repeat: int) -> float:
    """How many times as fast two processes code as one: what two workers gain at most on this machine."""
    context = multiprocessing.get_context("spawn")
    with context.Pool(1, _keep, (frames,)) as one, context.Pool(1, _keep, (frames,)) as other:
        for pool in (one, other):
            pool.apply(_code_kept)  # each has its libraries and its caches

        def ratio() -> float:
            began = time.perf_counter()
            one.apply(_code_kept)
            alone = time.perf_counter() - began
            for result in [pool.apply_async(_code_kept) for pool in (one, other)]:
                result.get()
            return 2 * alone / (time.perf_counter() - began - alone)

        return statistics.median(ratio() for _ in range(max(5, repeat)))


def _coding(began: float, encoded: float, frames: Frames, codestreams: list[bytes]) -> Coding:
    ended, count = time.process_time(), len(frames)
    size = sum(map(len, codestreams)) / count
    return Coding((encoded - began) / count * 1e3, (ended - encoded) / count * 1e3, size)


def reduce_milliseconds(frames: Frames) -> float:
    """CPU milliseconds of cutting the variant of level 2 from a frame."""
    codestreams = [htj2k.encode_frame(frame, bits_of(frame)) for frame in frames]
    headers = [parse_header(data) for data in codestreams]
    began = time.process_time()
    for data, header in zip(codestreams, headers, strict=True):
        reduce_codestream(data, 2, header)
    return (time.process_time() - began) / len(frames) * 1e3


def measure_coding(repeat: int) -> dict[str, Any]:
    """Figures of both codecs, in turns, for slices of a CT and for a radiograph."""
    figures: dict[str, Any] = {}
    inputs = {"512 x 512 CT": ct_slices(), "2048 x 2048": radiograph(1)[None]}
    for name, frames in inputs.items():
        code_htj2k(frames[:4])
        pairs = [(code_htj2k(frames), code_jpegls(frames)) for _ in range(repeat)]
        ours, theirs = (sorted(runs, key=lambda run: run.both)[repeat // 2] for runs in zip(*pairs, strict=True))
        figures[name] = {
            "htj2kMilliseconds": ours.both,
            "encodeMilliseconds": ours.encode,
            "verifyMilliseconds": ours.verify,
            "reduceMilliseconds": reduce_milliseconds(frames),
            "jpeglsMilliseconds": theirs.both,
            "jpeglsOverHtj2k": statistics.median(other.both / one.both for one, other in pairs),
            "htj2kBytes": ours.size,
            "jpeglsBytes": theirs.size,
            "bytesOverJpegls": ours.size / theirs.size,
            "timesAsFastByTwo": times_as_fast_by_two(frames, repeat),
        }
    return figures
