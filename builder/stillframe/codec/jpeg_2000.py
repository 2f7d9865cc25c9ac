"""JPEG 2000 whose components differ in their sampling: each is decoded alone, and brought to the size of the image.

OpenJPEG's bindings take such images for YCbCr and convert them; asked for one component, they cannot.
"""

from __future__ import annotations

from io import BytesIO
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from _openjpeg import decode

from stillframe.codec.htj2k import CODEC_FAILURES
from stillframe.codec.jp2 import wrap_component
from stillframe.codec.markers import MainHeader, parse_header
from stillframe.errors import CodecError, check_memory

_JP2: Final = 2


def decode_components(codestream: bytes) -> npt.NDArray[Any]:
    """Decode a codestream of sub-sampled components; each sample of those stands for all pixels that share it.

    Returns:
        (rows, columns, components), unsigned, 8 bits up to a precision of 8, else 16.

    Raises:
        CodecError: if a component cannot be decoded, or they differ in precision or have more than 16 bits.
    """
    header = parse_header(codestream)
    precisions = {component.precision for component in header.components}
    if len(precisions) > 1 or max(precisions) > 16:
        raise CodecError(f"components of {' and '.join(map(str, sorted(precisions)))} bits cannot be decoded together")
    planes = [_decode_component(codestream, header, index) for index in range(len(header.components))]
    return np.stack(planes, axis=-1)


def _decode_component(codestream: bytes, header: MainHeader, index: int) -> npt.NDArray[Any]:
    """One component at the size of the image."""
    dtype = np.dtype("u1" if header.components[index].precision <= 8 else "<u2")
    try:
        failure, data = decode(BytesIO(wrap_component(codestream, header, index)), _JP2, as_array=False)
    except CODEC_FAILURES as error:
        check_memory(error)
        raise CodecError(f"component {index + 1} cannot be decoded") from error
    if failure:
        raise CodecError(f"component {index + 1} cannot be decoded")
    count = header.width * header.height
    plane = np.frombuffer(data, dtype, count).reshape(header.height, header.width)
    return plane.astype(dtype.newbyteorder("="), copy=False)
