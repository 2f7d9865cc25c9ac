"""One compressed frame to samples, by transfer syntax.

Decoding is pydicom's, with one permissively licensed plugin pinned for each transfer syntax, since plugins disagree.
"""

from __future__ import annotations

import warnings
import zlib
from typing import Any

import numpy as np
from pydicom.encaps import encapsulate
from pydicom.pixels.decoders.base import get_decoder
from pydicom.uid import UID

from stillframe.codec.facts import FrameFacts
from stillframe.codec.jpeg import decode_jpeg, decode_jpeg_xl
from stillframe.codec.probe import jp2_codestream
from stillframe.dicom.syntaxes import DEFLATED_FRAMES, JPEG_EXTENDED, Family, TransferSyntax
from stillframe.errors import CodecError, PixelDataError
from stillframe.pixels.description import PixelDescription
from stillframe.pixels.native import Frame, frame_bits, unpack_frame


def decode_compressed(
    data: bytes, syntax: TransferSyntax, description: PixelDescription, facts: FrameFacts
) -> tuple[Frame, str]:
    """Decode one frame.

    Args:
        data: the frame, its fragments joined.
        syntax: its transfer syntax, one whose frames are encapsulated and not passed through.
        description: what the data set says.
        facts: what the frame says, as `probe_frame` found.

    Returns:
        The samples, colour interleaved, in the precision and with the sign that the frame says where it does, and the
        photometric interpretation they ended in.

    Raises:
        PixelDataError: if the frame cannot be decoded.
    """
    if syntax.family is Family.ITEMS:
        return unpack_frame(_uncompressed(data, syntax, description), description), description.photometric
    is_jpeg_xl = syntax.family is Family.JPEG_XL
    if is_jpeg_xl or (syntax.uid == JPEG_EXTENDED and facts.precision > 8 and description.samples == 1):
        decode = decode_jpeg_xl if is_jpeg_xl else decode_jpeg
        try:
            return decode(data), description.photometric if description.samples == 1 else "RGB"
        except CodecError as error:
            raise PixelDataError(f"a frame cannot be decoded: {error}") from error
    return _decode_by_plugin(data, syntax, description, facts)


def _uncompressed(data: bytes, syntax: TransferSyntax, description: PixelDescription) -> bytes:
    """The native samples of an item (PS3.5 A.4.11), inflated if it is deflated (RFC 1951; PS3.5 8.2.16, A.4.13).

    Never more than was promised, and one byte of padding, comes out of what may claim to be small.
    """
    promised = (frame_bits(description) + 7) // 8
    if syntax.uid == DEFLATED_FRAMES:
        inflater = zlib.decompressobj(-zlib.MAX_WBITS)
        try:
            inflated = inflater.decompress(data, promised + 2)
        except zlib.error as error:
            raise PixelDataError(f"a frame cannot be inflated: {error}") from error
        if not inflater.eof and len(inflated) < promised:
            raise PixelDataError("truncated: a deflated frame ends early")
        data = inflated
    if len(data) not in (promised, promised + promised % 2):
        raise PixelDataError(
            f"a frame needs {promised} bytes, its item holds {'more' if len(data) > promised else len(data)}"
        )
    return data[:promised]


def _decode_by_plugin(
    data: bytes, syntax: TransferSyntax, description: PixelDescription, facts: FrameFacts
) -> tuple[Frame, str]:
    """One frame through the pinned pydicom plugin."""
    container = description.bits_allocated
    if facts.precision:  # of the codestream, where nothing is masked that it holds
        container = 8 if facts.precision <= 8 else 16 if facts.precision <= 16 else 32
    options: dict[str, Any] = {
        "rows": description.rows,
        "columns": description.columns,
        "number_of_frames": 1,
        "samples_per_pixel": description.samples,
        "photometric_interpretation": description.photometric,
        "bits_allocated": container,
        "bits_stored": facts.precision or description.bits_stored,
        "pixel_representation": int(facts.signed) if facts.precision else description.pixel_representation,
        "pixel_keyword": "PixelData",
    }
    if description.samples > 1:
        # Only RLE and JPEG-LS keep planes apart; the other decoders interleave whatever the data set says
        # (PS3.5 8.2.1, 8.2.4: the attribute has no meaning there).
        options["planar_configuration"] = description.planar if syntax.keeps_planes else 0
    if not facts.precision:
        options["correct_unused_bits"] = False
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            array, attributes = get_decoder(UID(syntax.uid)).as_array(
                encapsulate([jp2_codestream(data)], has_bot=False), decoding_plugin=syntax.decoder, **options
            )
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # each plugin has exceptions of its own, pylibjpeg-rle a Rust panic among them
        raise PixelDataError(f"a frame cannot be decoded: {' '.join(str(error).split())[:200]}") from error
    return np.asarray(array), str(attributes.get("photometric_interpretation"))
