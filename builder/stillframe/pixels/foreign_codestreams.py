"""HTJ2K codestreams that others may have encoded: those that are published as they came, and what is published."""

from __future__ import annotations

from functools import partial
from typing import Final

import numpy as np

from stillframe.codec import codestream, htj2k
from stillframe.codec.codestream import level_size
from stillframe.codec.markers import MainHeader, parse_header
from stillframe.errors import CodecError, CodestreamError
from stillframe.options import DecoderLimits
from stillframe.pixels.decoding import Decode, DecoderStopped, run_decoder
from stillframe.pixels.native import Frame

_DEFAULT: Final = DecoderLimits()


def check_passed(data: bytes, header: MainHeader, limits: DecoderLimits = _DEFAULT) -> Frame:
    """The pixels of a codestream that passes as it is; every prefix must hold the resolution it promises.

    Raises:
        CodecError: if it does not, or cannot be decoded.
    """
    return _run(_decode_every_prefix, data, header, limits)


def _decode_every_prefix(data: bytes, header: MainHeader) -> Frame:
    for resolution in codestream.resolutions(header, len(data)):
        level = resolution.decode_level
        prefix = htj2k.decode_prefix(data[: resolution.prefix_length], level)
        if not np.array_equal(prefix, htj2k.decode_frame(data, level)):
            raise CodecError("its tile-parts are not its resolutions")
    pixels = htj2k.decode_lossless(data, header)
    if not np.array_equal(pixels, htj2k.decode_frame(data)):
        raise CodecError("decoders do not agree on its pixels")
    return pixels


def decode_published(data: bytes, limits: DecoderLimits = _DEFAULT) -> Frame:
    """The pixels of a codestream that was published, whoever encoded it.

    Raises:
        CodecError: if it cannot be decoded.
    """
    try:
        header = parse_header(data)
    except CodestreamError as error:
        raise CodecError(f"cannot decode: {error}") from error
    return _run(htj2k.decode_lossless, data, header, limits)


def decode_reduced(data: bytes, level: int, header: MainHeader, limits: DecoderLimits = _DEFAULT) -> Frame:
    """The pixels of a codestream, halved `level` times.

    Raises:
        CodecError: if it cannot be decoded.
    """
    return _run(partial(htj2k.decode_frame, level=level), data, header, limits, level)


def decode_prefix(prefix: bytes, level: int, header: MainHeader, limits: DecoderLimits = _DEFAULT) -> Frame:
    """The pixels of a codestream halved `level` times, from the bytes that reach them.

    Raises:
        CodecError: if they cannot be decoded.
    """
    decode = partial(htj2k.decode_frame, level=level, resilient=True)
    return _run(decode, prefix + b"\xff\xd9", header, limits, level)


def _run(decode: Decode, data: bytes, header: MainHeader, limits: DecoderLimits, level: int = 0) -> Frame:
    width, height = level_size(header, level)
    count = len(header.components)
    try:
        shape = (height, width) if count == 1 else (height, width, count)
        return run_decoder(partial(decode, header=header), data, shape=shape, limits=limits)
    except DecoderStopped as stop:
        raise DecoderStopped(f"OpenJPH {stop}", limited=stop.limited) from stop
