"""JPEG of pictures, and lossy JPEG and JPEG XL images, whose components no pydicom plugin here gives as they are."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from imagecodecs import jpeg8_decode, jpeg8_encode, jpegxl_decode, jpegxl_decode_jpeg

from stillframe.codec.htj2k import CODEC_FAILURES, describe_array
from stillframe.errors import CodecError, check_memory

# The codecs are imported by name: imagecodecs loads each when it is first asked for, and a sandbox can load nothing.


def decode_jpeg(data: bytes, components: int) -> npt.NDArray[Any]:
    """Decode a lossy JPEG image (ISO/IEC 10918-1) of so many components; they come as they are stored.

    Sub-sampled chrominance is interpolated.

    Returns:
        (rows, columns) or (rows, columns, components), 8 bits up to a precision of 8, else 16.

    Raises:
        CodecError: if the image is damaged.
    """
    try:
        # With the same space before and after, nothing is converted, whatever the components are.
        space = "YCBCR" if components == 3 else None
        return np.asarray(jpeg8_decode(data, colorspace=space, outcolorspace=space))
    except CODEC_FAILURES as error:
        check_memory(error)
        raise CodecError("a JPEG image cannot be decoded") from error


def decode_jpeg_xl(data: bytes) -> npt.NDArray[Any]:
    """Decode a JPEG XL image (ISO/IEC 18181-1), colour to RGB; the size is that of its header: look there before.

    Returns:
        (rows, columns) or (rows, columns, 3), 8 bits up to a precision of 8, else 16.

    Raises:
        CodecError: if the image is damaged.
    """
    try:
        return np.asarray(jpegxl_decode(data, keeporientation=True, numthreads=1))
    except CODEC_FAILURES as error:
        check_memory(error)
        raise CodecError("a JPEG XL image cannot be decoded") from error


def restore_jpeg(data: bytes) -> bytes:
    """The JPEG image that a JPEG XL image was made of, bit for bit (ISO/IEC 18181-2, JPEG bitstream reconstruction).

    Raises:
        CodecError: if the image has nothing to bring one back, or is damaged.
    """
    try:
        return bytes(jpegxl_decode_jpeg(data, numthreads=1))
    except CODEC_FAILURES as error:
        check_memory(error)
        raise CodecError("a JPEG XL image does not give its JPEG image back") from error


def encode_jpeg(image: npt.NDArray[np.uint8], quality: int) -> bytes:
    """Encode a picture as baseline JPEG (ISO/IEC 10918-1); colour keeps its full chrominance resolution.

    Args:
        image: (rows, columns) grey, or (rows, columns, 3) RGB.
        quality: from 1 to 100, as libjpeg counts.

    Raises:
        CodecError: if the library fails.
    """
    try:
        subsampling = "444" if image.ndim == 3 else None
        return bytes(jpeg8_encode(np.ascontiguousarray(image), quality, subsampling=subsampling))
    except CODEC_FAILURES as error:
        check_memory(error)
        raise CodecError(f"a picture {describe_array(image)} cannot be encoded as JPEG") from error
