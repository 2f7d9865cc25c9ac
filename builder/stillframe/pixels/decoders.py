"""One compressed frame to its samples, by what its bytes are. Colour stays what the codestream stores.

One permissively licensed decoder is pinned for each family, since decoders disagree. Where it gives a frame up, a
second one is asked that does not share its code. Decoders of pydicom's plugins are called through pydicom, told that
colour is RGB, so that nothing is converted on the way.
"""

from __future__ import annotations

import warnings
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from pydicom.encaps import encapsulate
from pydicom.pixels.decoders.base import get_decoder
from pydicom.uid import UID

from stillframe.codec.facts import FrameFacts
from stillframe.codec.image_end import ANOTHER_IMAGE, is_followed
from stillframe.codec.jp2 import jp2_codestream
from stillframe.codec.jpeg import decode_jpeg, decode_jpeg_xl, restore_jpeg
from stillframe.codec.jpeg_2000 import decode_components
from stillframe.codec.jpeg_header import without_application
from stillframe.codec.jpeg_scans import fill_scans
from stillframe.codec.jpegxl_header import find_images
from stillframe.codec.rle import decode_rle
from stillframe.dicom.inflate import find_window
from stillframe.dicom.syntaxes import DEFLATED_FRAMES, Family
from stillframe.errors import CodecError, PixelDataError, check_memory
from stillframe.options import DecoderLimits
from stillframe.pixels.decoding import DecoderStopped, OtherSize, run_decoder, run_restorer
from stillframe.pixels.description import PixelDescription
from stillframe.pixels.native import Frame, frame_bits, unpack_frame

type Decode = Callable[[bytes], Frame]
type Run = Callable[[Decode, bytes], Frame]


@dataclass(frozen=True, slots=True)
class Samples:
    """What a frame decodes to, colour interleaved, in its own precision and sign where it has them.

    `decoder` is the library that read what the first one gave up, and `refused` is that one. `followed` says that other
    bytes than padding stand behind the frame's own. `head` names what stands in front of deflated data, if anything.
    """

    array: Frame
    decoder: str = ""
    refused: str = ""
    followed: bool = False
    head: str = ""


class LimitReached(PixelDataError):
    """A frame whose decoder reached a limit; that says nothing of the frame."""


def decode_compressed(data: bytes, facts: FrameFacts, description: PixelDescription, limits: DecoderLimits) -> Samples:
    """Decode one frame; its components stay as they are stored.

    Args:
        data: the frame, its fragments joined.
        facts: what the frame says, as `probe_frame` found.
        description: what the data set says.
        limits: what a decoder may take.

    Raises:
        PixelDataError: if the frame cannot be decoded; a `LimitReached` if a limit stood against it.
    """
    if facts.syntax.family is Family.ITEMS:
        native, followed, head = _uncompressed(data, facts, description)
        return Samples(unpack_frame(native, description), followed=followed, head=head)
    run = partial(run_decoder, shape=description.shape, limits=limits)
    asked: list[str] = []
    limited = False
    for name, decode, stripped in _decoders(data, facts, description):
        try:
            array = run(decode, stripped)
            _check_whole(array, stripped, facts, decode, run)
            return Samples(array, name if asked else "", asked[0] if asked else "", facts.followed)
        except (OtherSize, DecoderStopped) as error:
            asked.append(f"{name} (which {error})")
            limited |= isinstance(error, DecoderStopped) and error.limited
        except CodecError:
            asked.append(name)
    reason = f"cannot be decoded by {' or '.join(asked)}"
    raise LimitReached(reason) if limited else PixelDataError(reason)


def read_recompressed(data: bytes, description: PixelDescription, limits: DecoderLimits) -> bytes:
    """The JPEG image that a JPEG XL frame was made of, bit for bit.

    Raises:
        PixelDataError: if the frame does not give it back, or holds another image; a `LimitReached` if a limit stood
            against it.
    """
    is_followed(data, Family.JPEG_XL)  # raises
    try:
        return run_restorer(restore_jpeg, data, shape=description.shape, limits=limits)
    except DecoderStopped as error:
        reason = f"does not give its JPEG image back: libjxl {error}"
        raise (LimitReached if error.limited else PixelDataError)(reason) from error
    except CodecError as error:
        raise PixelDataError("does not give its JPEG image back") from error


def _decoders(data: bytes, facts: FrameFacts, description: PixelDescription) -> Iterator[tuple[str, Decode, bytes]]:
    """The decoders to ask, in order: what messages call them, their functions, and what of the frame they get."""

    def plugin(name: str) -> Decode:
        return partial(_decode_by_plugin, plugin=name, facts=facts, description=description)

    match facts.syntax.family:
        case Family.JPEG_XL:
            yield "libjxl", decode_jpeg_xl, data
        case Family.JPEG if facts.lossless:
            yield "GDCM", plugin("gdcm"), without_application(data) if facts.samples > 1 else data
        case Family.JPEG:
            yield "libjpeg-turbo", partial(decode_jpeg, components=facts.samples), data
        case Family.JPEG_LS:
            yield "CharLS", plugin("pyjpegls"), data
            yield "GDCM", plugin("gdcm"), data
        case Family.RLE:
            yield "the RLE decoder", partial(decode_rle, shape=description.shape, dtype=description.dtype), data
        case Family.JPEG_2000 | Family.HTJ2K:
            # OpenJPH is no second one: it makes something of codestreams that were cut short.
            decode = decode_components if facts.markers.subsampled else plugin("pylibjpeg")
            yield "OpenJPEG", decode, jp2_codestream(data)


def _check_whole(array: Frame, data: bytes, facts: FrameFacts, own: Decode, run: Run) -> None:
    """Refuse a frame that was decoded to an array, and holds less or more than one image.

    `own` is the decoder that made the array, `run` runs one.
    """
    if facts.syntax.family is Family.JPEG:
        _check_data(array, data, facts, own, run)
    elif facts.syntax.family is Family.JPEG_XL:
        _check_single(data, facts, run)


def _check_data(array: Frame, data: bytes, facts: FrameFacts, own: Decode, run: Run) -> None:
    """Refuse a JPEG image whose data end too early: decoders of the libjpeg family make up the pixels that are missing.

    What they make depends on the bytes that follow then. Of lossless JPEG, libjpeg-turbo is asked first: it is faster
    than GDCM, and a second witness of the pixels. A decoder is compared with itself before an image is refused, since
    it may be wrong in another way. Where none decodes both images, it cannot be told.
    """
    filled = fill_scans(data)
    if filled is None:
        return
    quick = partial(decode_jpeg, components=facts.samples)
    for decode in (quick, own) if facts.lossless else (own,):
        again = _try_decoder(decode, filled, run)
        if again is None:
            continue
        if np.array_equal(again, array):
            return
        plain = array if decode is own else _try_decoder(decode, data, run)
        if plain is not None and not np.array_equal(again, plain):
            raise PixelDataError("truncated: the data of the JPEG image end before its pixels do")


def _try_decoder(decode: Decode, data: bytes, run: Run) -> Frame | None:
    try:
        return run(decode, data)
    except CodecError:
        return None


def _check_single(data: bytes, facts: FrameFacts, run: Run) -> None:
    """Refuse a frame of JPEG XL that holds another image behind the first.

    A codestream tells where it ends to a decoder only. So it is asked whether what stands before a place that may begin
    such an image is one.
    """
    for offset in find_images(data, facts):
        try:
            run(decode_jpeg_xl, data[:offset])
        except CodecError:
            continue
        raise PixelDataError(ANOTHER_IMAGE)


def _uncompressed(data: bytes, facts: FrameFacts, description: PixelDescription) -> tuple[bytes, bool, str]:
    """The native samples of an item (PS3.5 A.4.11), whether something follows them, and the head of deflated ones.

    If they are deflated (RFC 1951; PS3.5 8.2.16, A.4.13), never more than was promised, and one byte of padding, comes
    out of what may claim to be small.
    """
    promised = (frame_bits(description) + 7) // 8
    rest, head = b"", ""
    if facts.syntax.uid == DEFLATED_FRAMES:
        data, rest, head = _inflate(data, promised)
    if len(data) not in (promised, promised + promised % 2):
        raise PixelDataError(
            f"a frame needs {promised} bytes, its item holds {'more' if len(data) > promised else len(data)}"
        )
    if not rest.strip(b"\0"):
        return data[:promised], False, head
    if _holds_frame(rest, promised):
        raise PixelDataError(ANOTHER_IMAGE)
    return data[:promised], True, head


def _holds_frame(data: bytes, promised: int) -> bool:
    """Whether bytes behind deflated data are such data themselves, of as many bytes."""
    try:
        return len(_inflate(data, promised)[0]) >= promised
    except PixelDataError:
        return False


def _inflate(data: bytes, promised: int) -> tuple[bytes, bytes, str]:
    """What comes out of deflated data, up to two bytes more than was promised, what follows them, and their head."""
    window, head = find_window(data[:8])
    inflater = zlib.decompressobj(window)
    try:
        inflated = inflater.decompress(data, promised + 2)
    except zlib.error as error:
        reason = (
            "its data are damaged, or the checksum is wrong" if head else "its bytes are no deflated data (RFC 1951)"
        )
        raise PixelDataError(f"cannot be inflated: {reason}") from error
    if not inflater.eof and len(inflated) < promised:
        raise PixelDataError("truncated: a deflated frame ends early")
    return inflated, inflater.unused_data, head


def _decode_by_plugin(data: bytes, plugin: str, facts: FrameFacts, description: PixelDescription) -> Frame:
    """One frame through a plugin of pydicom.

    Raises:
        PixelDataError: if the plugin gives it up.
    """
    container = description.bits_allocated
    if facts.precision:  # of the codestream, where nothing is masked that it holds
        container = 8 if facts.precision <= 8 else 16 if facts.precision <= 16 else 32
    stored = facts.precision or description.bits_stored
    options: dict[str, Any] = {
        "rows": description.rows,
        "columns": description.columns,
        "number_of_frames": 1,
        "samples_per_pixel": description.samples,
        "photometric_interpretation": "MONOCHROME2" if description.samples == 1 else "RGB",
        "bits_allocated": container,
        # GDCM ends its process on lossless JPEG whose bits are fewer than those of its cells.
        "bits_stored": container if facts.syntax.family is Family.JPEG else stored,
        "pixel_representation": int(facts.signed) if facts.precision else description.pixel_representation,
        "pixel_keyword": "PixelData",
        "as_rgb": False,
    }
    if description.samples > 1:
        options["planar_configuration"] = 0  # plugins that give planes say so themselves (PS3.5 8.2.1, 8.2.3)
    if not facts.precision:
        options["correct_unused_bits"] = False
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            array, _ = get_decoder(UID(facts.syntax.uid)).as_array(
                encapsulate([data], has_bot=False), decoding_plugin=plugin, **options
            )
    except (KeyboardInterrupt, SystemExit, MemoryError):  # none of these is the frame's
        raise
    except BaseException as error:  # each plugin has exceptions of its own
        check_memory(error)
        raise PixelDataError(f"{plugin} gives the frame up") from error
    return np.asarray(array)
