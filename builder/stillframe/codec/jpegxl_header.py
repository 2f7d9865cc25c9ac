"""What a JPEG XL image says of itself, from its first bits (ISO/IEC 18181-1 and the container of 18181-2)."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from typing import Final

from stillframe.codec.colour import NO_MARKERS, ColourMarkers, Space
from stillframe.codec.facts import FrameFacts
from stillframe.dicom.syntaxes import transfer_syntax
from stillframe.errors import PixelDataError

_CODESTREAM: Final = b"\xff\x0a"
_CONTAINER: Final = b"\0\0\0\x0cJXL \r\n\x87\n"
_BEGIN: Final = re.compile(re.escape(_CODESTREAM) + b"|" + re.escape(_CONTAINER))
_MOST_BEGINS, _MOST_IMAGES = 4096, 8
_HEAD_BYTES: Final = 4096
# Width in terms of the height (Table "ratio" of SizeHeader).
_RATIOS: Final = {1: (1, 1), 2: (12, 10), 3: (4, 3), 4: (3, 2), 5: (16, 9), 6: (5, 4), 7: (2, 1)}
_DIMENSION: Final = ((9, 1), (13, 1), (18, 1), (30, 1))
_ENUM: Final = ((0, 0), (0, 1), (4, 2), (6, 18))
_RGB, _GREY = 0, 1  # of ColourSpace; others are XYB and unknown
_JPEG_RECOMPRESSION, _ANY_LOSS = "1.2.840.10008.1.2.4.111", "1.2.840.10008.1.2.4.112"


class _Bits:
    """Bits of a codestream, each byte from its least significant one."""

    def __init__(self, data: bytes) -> None:
        self._value = int.from_bytes(data, "little")
        self._left = 8 * len(data)

    def take(self, count: int) -> int:
        if count > self._left:
            raise PixelDataError("damaged JPEG XL image: ends inside its header")
        value = self._value & ((1 << count) - 1)
        self._value >>= count
        self._left -= count
        return value

    def choose(self, choices: tuple[tuple[int, int], ...]) -> int:
        """A number whose width in bits and offset two bits select (U32)."""
        bits, offset = choices[self.take(2)]
        return self.take(bits) + offset


def is_jpeg_xl(data: bytes) -> bool:
    """Whether bytes begin a JPEG XL codestream, bare or in its container."""
    return data[:2] == _CODESTREAM or data[:12] == _CONTAINER


def parse_jpeg_xl(data: bytes) -> FrameFacts:
    """Read the size and the image metadata of a JPEG XL codestream, bare or in its container.

    `lossless` only says that it may be: its colours are not in the XYB space, and it was no JPEG image. `markers` say
    that it decodes to RGB where the header does; of what was a JPEG image, that image tells the colours.

    Raises:
        PixelDataError: if it is none, or ends too early.
    """
    head, was_jpeg = _codestream_head(data)
    bits = _Bits(head[len(_CODESTREAM) :])
    width, height = _size(bits)
    facts = FrameFacts(
        width=width,
        height=height,
        samples=0,
        precision=0,
        lossless=False,
        decodable=False,
        recompressed=was_jpeg,
        syntax=transfer_syntax(_JPEG_RECOMPRESSION if was_jpeg else _ANY_LOSS),
    )
    if bits.take(1):  # all_default
        return replace(facts, samples=3, precision=8, decodable=True, markers=_markers(_RGB, was_jpeg=was_jpeg))
    upright = _upright_still(bits)
    if upright is None:
        return facts
    precision, whole = _bit_depth(bits)
    bits.take(1)  # modular_16bit_buffers
    if bits.choose(((0, 0), (0, 1), (4, 2), (12, 1))):  # extra channels
        return facts
    lossless = not bits.take(1) and not was_jpeg  # xyb_encoded
    decodable = (upright or was_jpeg) and whole and precision <= 16  # decoders of JPEG do not turn images, either
    space = _colour_space(bits)
    return replace(
        facts,
        samples=1 if space == _GREY else 3,
        precision=precision,
        lossless=lossless,
        decodable=decodable,
        markers=_markers(space, was_jpeg=was_jpeg),
    )


def _codestream_head(data: bytes) -> tuple[bytes, bool]:
    """The first bytes of the codestream, all there is or the first box that holds it; and whether it was a JPEG image.

    A container of a recompressed JPEG image has a box with what brings that image back.
    """
    if data[:2] == _CODESTREAM:
        return data[:_HEAD_BYTES], False
    codestream, was_jpeg = b"", False
    for kind, body, _ in _boxes(data):
        was_jpeg |= kind == b"jbrd"
        if kind in (b"jxlc", b"jxlp") and not codestream:
            start = body + (4 if kind == b"jxlp" else 0)
            codestream = data[start : start + _HEAD_BYTES]
    if codestream[:2] != _CODESTREAM:
        raise PixelDataError(f"not a JPEG XL image: begins with {data[:4].hex()}")
    return codestream, was_jpeg


def _boxes(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """The boxes of a container up to its end: kind, where the content begins, and where the box ends."""
    offset = 0
    while data[:12] == _CONTAINER and offset + 8 <= len(data):
        length, kind = struct.unpack_from(">L4s", data, offset)
        head = 8
        if length == 1 and offset + 16 <= len(data):
            length, head = struct.unpack_from(">Q", data, offset + 8)[0], 16
        another = offset > 0 and data.startswith(_CONTAINER, offset)
        if another or not kind.decode("latin-1").isprintable():
            return
        end = offset + length if length >= head else len(data)  # 0: up to the end
        yield kind, offset + head, end
        offset = end


def find_container_end(data: bytes) -> int:
    """The offset behind the boxes of a container, or the length of the bytes: a bare codestream tells no end."""
    end = 0
    for _, _, box_end in _boxes(data):
        if box_end > len(data):  # no box
            break
        end = box_end
    return end or len(data)


def find_images(data: bytes, facts: FrameFacts) -> Iterator[int]:
    """The offsets in an image of those facts where another one like it may begin; the bytes may be there by chance."""
    found = 0
    for match in islice(_BEGIN.finditer(data, 1), _MOST_BEGINS):
        try:
            other = parse_jpeg_xl(data[match.start() : match.start() + _HEAD_BYTES])
        except PixelDataError:
            continue
        if (other.width, other.height, other.samples) == (facts.width, facts.height, facts.samples):
            yield match.start()
            found += 1
            if found == _MOST_IMAGES:
                return


def _size(bits: _Bits) -> tuple[int, int]:
    """Width and height of a SizeHeader."""
    small = bits.take(1)
    height = (bits.take(5) + 1) * 8 if small else bits.choose(_DIMENSION)
    ratio = bits.take(3)
    if ratio:
        times, by = _RATIOS[ratio]
        return height * times // by, height
    return (bits.take(5) + 1) * 8 if small else bits.choose(_DIMENSION), height


def _upright_still(bits: _Bits) -> bool | None:
    """Whether the image needs no turning; None for one with a preview or an animation, whose headers follow."""
    if not bits.take(1):  # extra_fields
        return True
    orientation = bits.take(3)
    if bits.take(1):
        _size(bits)
    if bits.take(1) or bits.take(1):
        return None
    return orientation == 0


def _bit_depth(bits: _Bits) -> tuple[int, bool]:
    """Bits of a sample, and whether it is an integer."""
    if bits.take(1):
        precision = bits.choose(((0, 32), (0, 16), (0, 24), (6, 1)))
        bits.take(4)
        return precision, False
    return bits.choose(((0, 8), (0, 10), (0, 12), (6, 1))), True


def _colour_space(bits: _Bits) -> int:
    if bits.take(1):  # all_default: sRGB
        return _RGB
    bits.take(1)  # want_icc
    return bits.choose(_ENUM)


def _markers(space: int, *, was_jpeg: bool) -> ColourMarkers:
    return NO_MARKERS if was_jpeg or space != _RGB else ColourMarkers(decoded=Space.RGB)
