"""Running decoders of native libraries on frames that others encoded: in a worker's sandbox, or here where is none.

A sandbox's answer is not believed: its sizes and types are checked before anything is made of it.
"""

from __future__ import annotations

import math
import signal
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, Final

import numpy as np

from stillframe.errors import CodecError, CodestreamError, PixelDataError
from stillframe.options import DecoderLimits
from stillframe.pixels.native import Frame
from stillframe.sandbox import (
    CLOCK_FACTOR,
    NO_PROCESS,
    BadAnswer,
    ChildDied,
    Limits,
    Receive,
    Sandbox,
    Work,
    has_starter,
)

type Decode = Callable[..., Frame]
"""A function at the top of a module, or a `partial` of one: a sandbox is told of it by name."""
type Restore = Callable[[bytes], bytes]
"""The same, of one that makes bytes of bytes."""

# What decoders were seen to take, and more: GDCM 26 bytes a sample for lossless JPEG, OpenJPEG 12 and 0.3 s a million.
_BYTES_A_SAMPLE: Final = 32
_SECONDS_A_SAMPLE: Final = 1e-6
_COPIES_OF_DATA: Final = 4
# A sample of JPEG takes at most 27 bits (ISO/IEC 10918-1: a code of 16 and 11 more). Brotli packs what stands beside.
_RESTORED_A_SAMPLE: Final = 4
_RESTORED_BESIDE: Final = 1 << 20

_HEAD: Final = struct.Struct("<B2s3I")  # what follows, the type of samples, the shape or the length of text or bytes
_PIXELS, _OTHER_SIZE, _GIVEN_UP, _NO_MEMORY, _BYTES = range(5)
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
    data = sum(len(argument) for argument in arguments if isinstance(argument, bytes))
    granted = _grant(limits, math.prod(shape), data)
    return _ask(_answer, (decode, arguments, shape), granted, partial(_take, shape, granted))


def run_restorer(restore: Restore, data: bytes, *, shape: tuple[int, ...], limits: DecoderLimits) -> bytes:
    """What a function makes of the compressed bytes of a frame of that shape: the same frame, compressed otherwise.

    Raises:
        CodecError: if the function gives the frame up, or makes more of it than such a frame can need; a
            `DecoderStopped` if it crashed or reached a limit.
    """
    samples = math.prod(shape)
    most = samples * _RESTORED_A_SAMPLE + len(data) * _COPIES_OF_DATA + _RESTORED_BESIDE
    if not has_starter():
        return _restore(restore, data, most)
    granted = _grant(limits, samples, len(data))
    return _ask(_answer_bytes, (restore, data, most), granted, partial(_take_bytes, most, granted))


def _grant(limits: DecoderLimits, samples: int, data: int) -> Limits:
    """What a decoder may take for so many samples of so many compressed bytes."""
    return Limits(
        limits.memory + samples * _BYTES_A_SAMPLE + data * _COPIES_OF_DATA, limits.seconds + samples * _SECONDS_A_SAMPLE
    )


def _ask[T](
    work: Work, arguments: tuple[Any, ...], granted: Limits, take: Callable[[bytes, Receive], T | CodecError]
) -> T:
    """What the sandbox answers."""
    try:
        answer = _SANDBOX.run(work, arguments, granted, take)
    except ChildDied as death:
        raise _stopped(death, granted) from death
    except BadAnswer as error:
        raise DecoderStopped("gave an answer without sense", limited=False) from error
    if isinstance(answer, CodecError):
        raise answer
    return answer


@contextmanager
def _told_shortly() -> Iterator[None]:
    try:
        yield
    except (CodecError, PixelDataError, CodestreamError) as error:
        raise CodecError(str(error)[:_LONGEST_TEXT]) from error


def _restore(restore: Restore, data: bytes, most: int) -> bytes:
    with _told_shortly():
        restored = restore(data)
    if len(restored) > most:
        raise CodecError(f"makes {len(restored)} bytes of a frame that needs no more than {most}")
    return restored


def _decode(decode: Decode, arguments: tuple[Any, ...], shape: tuple[int, ...]) -> Frame:
    with _told_shortly():
        frame = decode(*arguments)
    if frame.shape != shape:
        raise OtherSize(f"finds {frame.shape[1]} x {frame.shape[0]} pixels")
    return frame


def _answer(decode: Decode, arguments: tuple[Any, ...], shape: tuple[int, ...]) -> tuple[bytes, bytes | memoryview]:
    """What a sandbox answers: the frame, or why there is none."""
    try:
        frame = _decode(decode, arguments, shape)
        frame = np.ascontiguousarray(frame, frame.dtype.newbyteorder("="))
    except (MemoryError, CodecError) as error:
        return _answer_failure(error)
    sample = f"{frame.dtype.kind}{frame.itemsize}".encode()
    return _HEAD.pack(_PIXELS, sample, *frame.shape, *[0] * (3 - frame.ndim)), frame.reshape(-1).view("u1").data


def _answer_bytes(restore: Restore, data: bytes, most: int) -> tuple[bytes, bytes | memoryview]:
    """What a sandbox answers: the bytes, or why there are none."""
    try:
        restored = _restore(restore, data, most)
    except (MemoryError, CodecError) as error:
        return _answer_failure(error)
    return _HEAD.pack(_BYTES, b"", len(restored), 0, 0), restored


def _answer_failure(error: MemoryError | CodecError) -> tuple[bytes, bytes]:
    if isinstance(error, MemoryError):
        return _HEAD.pack(_NO_MEMORY, b"", 0, 0, 0), b""
    kind = _OTHER_SIZE if isinstance(error, OtherSize) else _GIVEN_UP
    text = str(error).encode("ascii", "replace")[:_LONGEST_TEXT]
    return _HEAD.pack(kind, b"", len(text), 0, 0), text


def _take(shape: tuple[int, ...], granted: Limits, head: bytes, receive: Receive) -> Frame | CodecError:
    """The frame of an answer, if it has that shape, or why there is none."""
    kind, sample, dimensions = _open_head(head)
    if kind != _PIXELS:
        return _take_failure(kind, dimensions[0], granted, receive)
    name = sample.decode("latin-1")
    if name not in _SAMPLE_TYPES or dimensions != [*shape, *[0] * (3 - len(shape))]:
        raise BadAnswer("not the answer of a decoder")
    frame: Frame = np.empty(shape, name)
    receive(frame.reshape(-1).view("u1").data)
    return frame


def _take_bytes(most: int, granted: Limits, head: bytes, receive: Receive) -> bytes | CodecError:
    """The bytes of an answer, if they are not too many, or why there are none."""
    kind, _, dimensions = _open_head(head)
    if kind != _BYTES:
        return _take_failure(kind, dimensions[0], granted, receive)
    if dimensions[0] > most:
        raise BadAnswer("not the answer of a decoder")
    restored = bytearray(dimensions[0])
    receive(memoryview(restored))
    return bytes(restored)


def _open_head(head: bytes) -> tuple[int, bytes, list[int]]:
    if len(head) != _HEAD.size:
        raise BadAnswer("not the answer of a decoder")
    kind, sample, *dimensions = _HEAD.unpack(head)
    return kind, sample, dimensions


def _take_failure(kind: int, length: int, granted: Limits, receive: Receive) -> CodecError:
    """Why there is no answer, as a text of that length."""
    if kind == _NO_MEMORY:
        return DecoderStopped(f"needs more than {_mebibytes(granted)} of memory; {_MORE_MEMORY}", limited=True)
    if kind not in (_OTHER_SIZE, _GIVEN_UP) or length > _LONGEST_TEXT:
        raise BadAnswer("not the answer of a decoder")
    text = bytearray(length)
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
