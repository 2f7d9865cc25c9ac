"""Running decoders of native libraries on frames that others encoded: in a worker's sandbox, or here where is none.

A sandbox's answer is not believed: its sizes and types are checked before anything is made of it.
"""

from __future__ import annotations

import math
import signal
import struct
from collections.abc import Callable
from functools import partial
from typing import Any, Final

import numpy as np

from stillframe.errors import CodecError, CodestreamError, PixelDataError
from stillframe.options import DecoderLimits
from stillframe.pixels.native import Frame
from stillframe.sandbox import CLOCK_FACTOR, NO_PROCESS, BadAnswer, ChildDied, Limits, Receive, Sandbox, has_starter

type Decode = Callable[..., Frame]
"""A function at the top of a module, or a `partial` of one: a sandbox is told of it by name."""

# What decoders were seen to take, and more: GDCM 26 bytes a sample for lossless JPEG, OpenJPEG 12 and 0.3 s a million.
_BYTES_A_SAMPLE: Final = 32
_SECONDS_A_SAMPLE: Final = 1e-6
_COPIES_OF_DATA: Final = 4

_HEAD: Final = struct.Struct("<B2s3I")  # what follows, the type of samples, the shape or the length of a text
_PIXELS, _OTHER_SIZE, _GIVEN_UP, _NO_MEMORY = range(4)
_SAMPLE_TYPES: Final = frozenset(kind + size for kind in "ui" for size in "1248") | {"f4", "f8"}
_LONGEST_TEXT: Final = 400

_MORE_MEMORY: Final = "--max-decoder-memory allows more"

_SANDBOX: Final = Sandbox()


class OtherSize(CodecError):
    """A frame decodes to another number of pixels than expected; the message is what its decoder does."""


class DecoderStopped(CodecError):
    """A decoder crashed or reached a limit; the message is what it did. `limited` says that a limit was the reason."""

    def __init__(self, message: str, *, limited: bool) -> None:
        super().__init__(message)
        self.limited = limited


def run_decoder(decode: Decode, *arguments: Any, shape: tuple[int, ...], limits: DecoderLimits) -> Frame:
    """The frame that a decoder makes of its arguments, which has that shape.

    Raises:
        CodecError: if the decoder gives the frame up; an `OtherSize` or a `DecoderStopped` if that is the reason.
    """
    if not has_starter():
        return _decode(decode, arguments, shape)
    samples = math.prod(shape)
    data = sum(len(argument) for argument in arguments if isinstance(argument, bytes))
    granted = Limits(
        limits.memory + samples * _BYTES_A_SAMPLE + data * _COPIES_OF_DATA, limits.seconds + samples * _SECONDS_A_SAMPLE
    )
    try:
        answer = _SANDBOX.run(_answer, (decode, arguments, shape), granted, partial(_take, shape, granted))
    except ChildDied as death:
        raise _stopped(death, granted) from death
    except BadAnswer as error:
        raise DecoderStopped("gave an answer without sense", limited=False) from error
    if isinstance(answer, CodecError):
        raise answer
    return answer


def _decode(decode: Decode, arguments: tuple[Any, ...], shape: tuple[int, ...]) -> Frame:
    try:
        frame = decode(*arguments)
    except (CodecError, PixelDataError, CodestreamError) as error:
        raise CodecError(str(error)[:_LONGEST_TEXT]) from error
    if frame.shape != shape:
        raise OtherSize(f"finds {frame.shape[1]} x {frame.shape[0]} pixels")
    return frame


def _answer(decode: Decode, arguments: tuple[Any, ...], shape: tuple[int, ...]) -> tuple[bytes, bytes | memoryview]:
    """What a sandbox answers: the frame, or why there is none."""
    try:
        frame = _decode(decode, arguments, shape)
        frame = np.ascontiguousarray(frame, frame.dtype.newbyteorder("="))
    except MemoryError:
        return _HEAD.pack(_NO_MEMORY, b"", 0, 0, 0), b""
    except CodecError as error:
        kind = _OTHER_SIZE if isinstance(error, OtherSize) else _GIVEN_UP
        text = str(error).encode("ascii", "replace")[:_LONGEST_TEXT]
        return _HEAD.pack(kind, b"", len(text), 0, 0), text
    sample = f"{frame.dtype.kind}{frame.itemsize}".encode()
    return _HEAD.pack(_PIXELS, sample, *frame.shape, *[0] * (3 - frame.ndim)), frame.reshape(-1).view("u1").data


def _take(shape: tuple[int, ...], granted: Limits, head: bytes, receive: Receive) -> Frame | CodecError:
    """The frame of an answer, if it has that shape, or why there is none."""
    if len(head) != _HEAD.size:
        raise BadAnswer("not the answer of a decoder")
    kind, sample, *dimensions = _HEAD.unpack(head)
    if kind == _PIXELS:
        name = sample.decode("latin-1")
        if name not in _SAMPLE_TYPES or dimensions != [*shape, *[0] * (3 - len(shape))]:
            raise BadAnswer("not the answer of a decoder")
        frame: Frame = np.empty(shape, name)
        receive(frame.reshape(-1).view("u1").data)
        return frame
    if kind == _NO_MEMORY:
        return DecoderStopped(f"needs more than {_mebibytes(granted)} of memory; {_MORE_MEMORY}", limited=True)
    if kind not in (_OTHER_SIZE, _GIVEN_UP) or dimensions[0] > _LONGEST_TEXT:
        raise BadAnswer("not the answer of a decoder")
    text = bytearray(dimensions[0])
    receive(memoryview(text))
    error = OtherSize if kind == _OTHER_SIZE else CodecError
    return error("".join(chr(byte) if 32 <= byte < 127 else "?" for byte in text))


def _mebibytes(granted: Limits) -> str:
    return f"{granted.memory >> 20} MiB"


def _stopped(death: ChildDied, granted: Limits) -> DecoderStopped:
    """What a decoder did whose process ended."""
    if death.exit_code == NO_PROCESS:
        return DecoderStopped("has no process to run in: the system gives no more", limited=True)
    if death.late:
        took = (
            f"took more than {math.ceil(granted.seconds)} s of processor time"
            if death.exit_code == -signal.SIGXCPU
            else f"gave no answer within {math.ceil(granted.seconds * CLOCK_FACTOR)} s"
        )
        return DecoderStopped(f"{took}; --max-decoder-seconds allows more", limited=True)
    if death.exit_code >= 0:
        return DecoderStopped(f"ended its process with exit code {death.exit_code}", limited=False)
    try:
        ended = signal.Signals(-death.exit_code).name
    except ValueError:
        ended = f"signal {-death.exit_code}"
    return DecoderStopped(
        f"ended with {ended}; it may take {_mebibytes(granted)} of memory, {_MORE_MEMORY}", limited=False
    )
