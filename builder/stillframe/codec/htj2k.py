"""HTJ2K coding of frames.

Two libraries bind OpenJPH. `ojph` encodes about 1.8 times as fast as `imagecodecs` (512 x 512 of 16 bits: 1.09 ms
against 1.94 ms; 640 x 480 RGB: 4.0 ms against 7.1 ms) and can clip what it decodes; `imagecodecs` decodes the full
resolution faster (0.72 ms against 0.97 ms) but wraps samples that overshoot their precision, as those of lower
resolutions and of lossy codestreams do. Either may fail: who publishes a frame decodes it again with
`decode_lossless`, which is also another build of OpenJPH than the one that encoded, and compares. Known failures:
`ojph` loses about one in a thousand frames of one-bit noise, `imagecodecs` most grey frames one pixel wide or high.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt
from imagecodecs import deflate_crc32, htj2k_decode
from ojph.ojph_bindings import Codestream, MemInfile, MemOutfile, Point

from stillframe.codec.codestream import LARGEST_BASE, level_size
from stillframe.codec.markers import MainHeader, parse_header
from stillframe.errors import CodecError, CodestreamError, check_memory

# Viewers ask for decode levels up to 3; past the last, decoders give a blank image.
_MIN_LEVELS: Final = 3
_BLOCK: Final = 64

# What image codecs raise for bad input; their own exceptions derive from RuntimeError.
CODEC_FAILURES: Final = (RuntimeError, ValueError, TypeError)


def levels_for(width: int, height: int) -> int:
    """Decomposition levels of a frame: the fewest that leave a base of at most 64 x 64 (PS3.5 10.18), at least 3."""
    return max(_MIN_LEVELS, (-(-max(width, height) // LARGEST_BASE) - 1).bit_length())


def encode_frame(frame: npt.NDArray[Any], bits_stored: int) -> bytes:
    """Encode a frame without loss as a codestream of transfer syntax .202, a tile-part for every resolution.

    Args:
        frame: (rows, columns) of 8 or 16 bits, signed or not, or (rows, columns, 3) RGB, unsigned. Any strides.
        bits_stored: the precision; every sample must fit it.

    Raises:
        CodecError: if the frame is not such an array, a sample does not fit, or the library fails.
    """
    _check_frame(frame, bits_stored)
    height, width = frame.shape[:2]
    components = frame.shape[2] if frame.ndim == 3 else 1
    out, codestream = MemOutfile(), Codestream()
    try:
        out.open(frame.nbytes + 4096, False)
        size = codestream.access_siz()
        size.set_image_extent(Point(width, height))
        size.set_num_components(components)
        for index in range(components):
            size.set_component(index, Point(1, 1), bits_stored, frame.dtype.kind == "i")
        style = codestream.access_cod()
        style.set_num_decomposition(levels_for(width, height))
        style.set_block_dims(_BLOCK, _BLOCK)
        style.set_progression_order("RPCL")
        style.set_color_transform(components == 3)
        style.set_reversible(True)
        codestream.set_planar(False)
        codestream.set_tilepart_divisions(True, False)  # at resolutions, not at components
        codestream.request_tlm_marker(True)
        codestream.write_headers(out, None, 0)
        codestream.push_all_components(_lines(frame), 1, "HW")
        codestream.flush()
        return bytes(out.get_data())
    except CODEC_FAILURES as error:
        check_memory(error)
        raise CodecError(f"OpenJPH cannot encode a frame {describe_array(frame)}") from error
    finally:
        codestream.close()
        out.close()


def describe_array(frame: npt.NDArray[Any]) -> str:
    """Shape and type of an array, as messages call them."""
    return f"of shape {frame.shape} and type {frame.dtype}"


def _check_frame(frame: npt.NDArray[Any], bits_stored: int) -> None:
    dtype = frame.dtype
    if dtype.kind not in "iu" or dtype.itemsize > 2:
        raise CodecError(f"a frame {describe_array(frame)} is not of 8 or 16 bit integers")
    if not (frame.ndim == 2 or (frame.ndim == 3 and frame.shape[2] == 3 and dtype.kind == "u")) or not frame.size:
        raise CodecError(f"a frame {describe_array(frame)} is neither grey nor unsigned RGB")
    if not 1 <= bits_stored <= 8 * dtype.itemsize:
        raise CodecError(f"{bits_stored} bits stored do not fit {dtype}")
    if not samples_fit(frame, bits_stored):
        raise CodecError(f"samples from {frame.min()} to {frame.max()} do not fit {bits_stored} bits stored")


def sample_range(bits: int, *, signed: bool) -> tuple[int, int]:
    """The least and the greatest sample of so many bits."""
    return (-(1 << bits - 1), (1 << bits - 1) - 1) if signed else (0, (1 << bits) - 1)


def samples_fit(frame: npt.NDArray[Any], bits: int) -> bool:
    """Whether all samples of a frame of integers fit so many bits, with the sign that its type has."""
    if bits >= 8 * frame.itemsize:
        return True
    signed = frame.dtype.kind == "i"
    least, most = sample_range(bits, signed=signed)
    return bool(frame.max() <= most and (not signed or frame.min() >= least))


def _lines(frame: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """The frame as the library takes its lines: row 0 of every component, row 1 of every component ...

    The library itself would push colour one component after the other, which it cannot transform; told that there is
    one component of as many lines, it pushes them in the order in which the encoder asks for them.
    """
    frame = frame.astype(frame.dtype.newbyteorder("="), copy=False)
    if frame.ndim == 2:
        return np.require(frame, requirements="W")  # the binding takes no read-only arrays
    height, width, components = frame.shape
    return frame.transpose(0, 2, 1).copy().reshape(height * components, width)


def decode_frame(
    data: bytes, level: int = 0, header: MainHeader | None = None, *, resilient: bool = False
) -> npt.NDArray[Any]:
    """Decode an HTJ2K codestream, halved `level` times; `header` is that of `data`, where it is known already.

    With `resilient`, the codestream may end behind the tile-parts of that level.

    Returns:
        (rows, columns), or (rows, columns, components); 8 bits up to a precision of 8, else 16; signed if it is.
        Samples that overshoot the precision, as some of lower resolutions do, are clipped to it.

    Raises:
        CodecError: if it is not an HTJ2K codestream of at most 16 bits and one sampling, has no such level, or the
            library fails. The size is taken from the codestream: compare it with what is expected before.
    """
    header = _decodable(data, level, header)
    component, count = header.components[0], len(header.components)
    infile = MemInfile()
    infile.open(np.frombuffer(data, np.uint8))
    codestream = Codestream()
    try:
        if resilient:
            codestream.enable_resilience()
        codestream.read_headers(infile)
        codestream.restrict_input_resolution(level, level)
        codestream.set_planar(False)
        codestream.create()
        size = codestream.access_siz()
        height, width = size.get_recon_height(0), size.get_recon_width(0)
        kind = ("i" if component.signed else "u") + ("1" if component.precision <= 8 else "2")
        lines = np.empty((height * count, width), kind)
        least, most = sample_range(component.precision, signed=component.signed)
        codestream.pull_all_components(lines, 1, "HW", least, most)  # in the order of _lines
    except CODEC_FAILURES as error:
        check_memory(error)
        raise CodecError("OpenJPH cannot decode the codestream") from error
    finally:
        codestream.close()
        infile.close()
    return lines if count == 1 else np.ascontiguousarray(lines.reshape(height, count, width).transpose(0, 2, 1))


def decode_lossless(data: bytes, header: MainHeader | None = None) -> npt.NDArray[Any]:
    """Decode the full resolution of what was encoded without loss: faster than `decode_frame`, and does not clip.

    `header` is that of `data`, where it is known already. Returns and raises as `decode_frame`. Of a lossy or a reduced
    codestream, samples that overshoot would wrap.
    """
    _decodable(data, 0, header)
    try:
        return htj2k_decode(data)
    except CODEC_FAILURES as error:
        check_memory(error)
        raise CodecError("OpenJPH cannot decode the codestream") from error


def decode_prefix(prefix: bytes, level: int) -> npt.NDArray[Any]:
    """Decode at `level` the first bytes of a codestream, as a viewer does with a byte range: EOC may be missing.

    Returns and raises as `decode_frame`; the image is exact if the prefix reaches the end of that resolution.
    """
    return decode_frame(prefix.removesuffix(b"\xff\xd9") + b"\xff\xd9", level, resilient=True)


def _decodable(data: bytes, level: int, header: MainHeader | None = None) -> MainHeader:
    """The header of a codestream that can be decoded at `level`."""
    try:
        header = header or parse_header(data)
    except CodestreamError as error:
        raise CodecError(f"cannot decode: {error}") from error
    if not 0 <= level <= header.levels:
        raise CodecError(f"no decode level {level} in a codestream of {header.levels} decomposition levels")
    if min(level_size(header, level)) < 1:  # ojph would loop for ever
        raise CodecError(f"the image is empty at decode level {level}")
    if len(set(header.components)) != 1 or header.components[0].precision > 16:
        raise CodecError(f"cannot decode components of more than 16 bits or of different kinds: {header.components}")
    return header


def frame_crc32(frame: npt.NDArray[Any]) -> int:
    """CRC-32 of a frame's native pixels: row by row, colour interleaved, little endian.

    zlib's takes twelve times as long for the same value.
    """
    little = frame.astype(frame.dtype.newbyteorder("<"), copy=False)
    return int(deflate_crc32(np.ascontiguousarray(little)))
