"""The pixels of a frame as it is stored: from its bytes, and from what the published metadata say of it."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from pydicom.dataset import Dataset

from stillframe.codec.markers import MainHeader, parse_header
from stillframe.codec.multipart import unwrap_part
from stillframe.dicom.encapsulated import Fragment, Fragments
from stillframe.dicom.files import LoadedInput
from stillframe.dicom.json_model import SOP_CLASS_UID, SYNTAX, JSONDataset, first_value
from stillframe.dicom.read import Instance, PixelElement
from stillframe.dicom.syntaxes import HTJ2K_RPCL, Family, transfer_syntax
from stillframe.errors import CodecError, CodestreamError
from stillframe.options import DecoderLimits
from stillframe.pixels.description import describe_pixels
from stillframe.pixels.foreign_codestreams import decode_published
from stillframe.pixels.native import Frame
from stillframe.pixels.reader import FrameReader

_ROWS, _COLUMNS, _BITS_ALLOCATED, _SIGN = "00280010", "00280011", "00280100", "00280103"
# The Image Pixel module (PS3.3 C.7.6.3) and the SOP class, as far as frames are read by them.
_DESCRIBING: Final = (
    *(SOP_CLASS_UID, "00280002", "00280004", "00280006", _ROWS, _COLUMNS),
    *(_BITS_ALLOCATED, "00280101", "00280102", _SIGN),
)
# Of floating point samples there are no others (PS3.3 C.7.6.24, C.7.6.25); these have no sign of their own.
_INTEGERS: Final = "PixelData"
_FLOATING: Final = {32: "FloatPixelData", 64: "DoubleFloatPixelData"}


def is_codestream(metadata: JSONDataset) -> bool:
    """Whether the frames of an instance are codestreams of their own, whose first byte is that of the object."""
    return bool(first_value(metadata, SYNTAX) == HTJ2K_RPCL)


def is_floating(metadata: JSONDataset) -> bool:
    """Whether the samples of an instance are floating point numbers."""
    return _keyword(metadata) != _INTEGERS


def check_size(header: MainHeader, metadata: JSONDataset) -> None:
    """See that a codestream has the size that the metadata say.

    Raises:
        CodecError: if it has another.
    """
    said = (first_value(metadata, _COLUMNS), first_value(metadata, _ROWS))
    if (header.width, header.height) != said:
        raise CodecError(f"a codestream of {header.width} x {header.height}, the metadata say {said[0]} x {said[1]}")


def is_blank(pixels: Frame) -> bool:
    """Whether all samples are 0, as those of a frame are that was damaged."""
    return not np.any(pixels)


def decode_stored(data: bytes, metadata: JSONDataset, limits: DecoderLimits) -> Frame:
    """The pixels of a stored frame at full resolution, colour as RGB.

    Args:
        data: the object, a codestream or a multipart body.
        metadata: of the instance, as published.
        limits: what a decoder may take.

    Raises:
        CodecError: if it cannot be decoded.
        PixelDataError: if it is not what the metadata say.
    """
    if is_codestream(metadata):
        try:
            check_size(parse_header(data), metadata)
        except CodestreamError as error:
            raise CodecError(f"cannot decode: {error}") from error
        return decode_published(data, limits)
    return _decode_part(unwrap_part(data), metadata, limits)


def _decode_part(payload: bytes, metadata: JSONDataset, limits: DecoderLimits) -> Frame:
    """As an input of one frame is decoded."""
    syntax = transfer_syntax(str(first_value(metadata, SYNTAX)))
    pixels = PixelElement(_keyword(metadata), "OW", 0, len(payload) if syntax.is_native else None)
    fragments = Fragments((), (Fragment(0, len(payload), 0),), delimited=True, end=len(payload))
    instance = Instance(
        dataset=_describe(metadata),
        transfer_syntax=syntax.uid,
        file=LoadedInput(payload),
        size=len(payload),
        pixels=pixels,
        fragments=None if syntax.is_native else fragments,
    )
    reader = FrameReader(instance, describe_pixels(instance.dataset, pixels), limits)
    if not reader.native:
        reader.adopt_syntax(reader.probe(0, payload))
        if reader.syntax.family is Family.JPEG_XL and not reader.encodable:
            raise CodecError("JPEG XL does not hold the samples that the metadata describe")
    return reader.decoded(0).array


def _describe(metadata: JSONDataset) -> Dataset:
    """What describes the pixels of one frame, as a data set."""
    dataset = Dataset()
    for tag in _DESCRIBING:
        value: Any = first_value(metadata, tag)
        if value is not None:
            dataset.add_new(int(tag, 16), metadata[tag]["vr"], value)
    dataset.add_new(0x00280008, "IS", 1)
    return dataset


def _keyword(metadata: JSONDataset) -> str:
    bits = first_value(metadata, _BITS_ALLOCATED)
    floating = first_value(metadata, _SIGN) is None and isinstance(bits, int)
    return _FLOATING.get(bits, _INTEGERS) if floating else _INTEGERS
