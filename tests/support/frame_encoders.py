"""Encoders of one frame, as others write them: (frame, bits stored) -> bytes."""

from __future__ import annotations

import struct
import zlib
from typing import Any

import imagecodecs
import numpy.typing as npt


def htj2k(frame: npt.NDArray[Any], bits: int) -> bytes:
    """HTJ2K without TLM or tile-parts."""
    rgb = True if frame.ndim == 3 else None
    return bytes(imagecodecs.htj2k_encode(frame, reversible=True, bitspersample=bits, rgb=rgb))


def j2k(frame: npt.NDArray[Any], bits: int) -> bytes:
    return bytes(imagecodecs.jpeg2k_encode(frame, level=0, reversible=True, codecformat="j2k", bitspersample=bits))


def jpegls(frame: npt.NDArray[Any], bits: int) -> bytes:
    return bytes(imagecodecs.jpegls_encode(frame, level=0, bitspersample=bits))


def lossless_jpeg(frame: npt.NDArray[Any], bits: int, predictor: int = 1) -> bytes:
    space = "rgb" if frame.ndim == 3 else None
    return bytes(
        imagecodecs.jpeg_encode(
            frame, lossless=True, predictor=predictor, bitspersample=bits, colorspace=space, outcolorspace=space
        )
    )


def lossless_jpeg_by_hand(frame: npt.NDArray[Any], restart_rows: int = 0) -> bytes:
    """JPEG Lossless SV1 of 8 bits, grey (ISO/IEC 10918-1 H), with restart intervals of so many rows.

    All categories have codes of 5 bits, so that a sample takes 5 to 13 of them.
    """
    rows, columns = frame.shape
    table = b"\0" + bytes([0, 0, 0, 0, 17, *[0] * 11]) + bytes(range(17))
    head = b"\xff\xd8\xff\xc4" + struct.pack(">H", len(table) + 2) + table
    head += b"\xff\xc3" + struct.pack(">HBHHB", 11, 8, rows, columns, 1) + b"\1\x11\0"
    if restart_rows:
        head += b"\xff\xdd" + struct.pack(">HH", 4, restart_rows * columns)
    step = restart_rows or rows
    intervals = [_lossless_interval(frame[row : row + step].astype(int)) for row in range(0, rows, step)]
    marked = [data + bytes([0xFF, 0xD0 + index % 8]) for index, data in enumerate(intervals[:-1])]
    return head + b"\xff\xda\0\x08\1\1\0\1\0\0" + b"".join((*marked, intervals[-1])) + b"\xff\xd9"


def _lossless_interval(rows: npt.NDArray[Any]) -> bytes:
    """The difference to the sample before, at the begin of a row to the one above, of the first to half the range."""
    predicted = rows.copy()
    predicted[:, 1:] = rows[:, :-1]
    predicted[1:, 0] = rows[:-1, 0]
    predicted[0, 0] = 128
    bits = ""
    for difference in (rows - predicted).ravel().tolist():
        category = abs(difference).bit_length()
        value = difference if difference >= 0 else difference + (1 << category) - 1
        bits += f"{category:05b}" + (f"{value:0{category}b}" if category else "")
    bits += "1" * (-len(bits) % 8)
    return int(bits, 2).to_bytes(len(bits) // 8).replace(b"\xff", b"\xff\0")


def jpeg_ls_near(frame: npt.NDArray[Any], bits: int) -> bytes:
    return bytes(imagecodecs.jpegls_encode(frame, level=3, bitspersample=bits))


def j2k_lossy(frame: npt.NDArray[Any], bits: int) -> bytes:
    return bytes(imagecodecs.jpeg2k_encode(frame, level=60, reversible=False, codecformat="j2k", bitspersample=bits))


def htj2k_lossy(frame: npt.NDArray[Any], bits: int) -> bytes:
    return bytes(imagecodecs.htj2k_encode(frame, level=0.01, reversible=False, bitspersample=bits))


def jpeg_lossy(frame: npt.NDArray[Any], bits: int) -> bytes:
    return bytes(imagecodecs.jpeg_encode(frame, 95, bitspersample=bits))


def jpegxl(frame: npt.NDArray[Any], bits: int) -> bytes:
    return bytes(imagecodecs.jpegxl_encode(frame, lossless=True, bitspersample=bits))


def jpegxl_lossy(frame: npt.NDArray[Any], bits: int) -> bytes:
    return bytes(imagecodecs.jpegxl_encode(frame, distance=1.0, bitspersample=bits))


def jpegxl_of_jpeg(frame: npt.NDArray[Any], bits: int) -> bytes:
    """A JPEG image, recompressed without further loss."""
    return bytes(imagecodecs.jpegxl_encode_jpeg(jpeg_lossy(frame, bits)))


def deflated(native: bytes) -> bytes:
    """RFC 1951 without head or checksum."""
    deflater = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return deflater.compress(native) + deflater.flush()


def rle(frame: npt.NDArray[Any], bits: int) -> bytes:
    """Literal runs only (PS3.5 Annex G): a segment for every byte of a sample, the most significant first."""
    planes = [frame] if frame.ndim == 2 else [frame[..., sample] for sample in range(frame.shape[2])]
    segments = []
    for plane in planes:
        octets = plane.astype(plane.dtype.newbyteorder(">")).reshape(-1, 1).view("u1")
        for index in range(plane.itemsize):
            data = octets[:, index].tobytes()
            runs = b"".join(
                bytes([len(run) - 1]) + run for run in (data[n : n + 128] for n in range(0, len(data), 128))
            )
            segments.append(runs + bytes(len(runs) % 2))
    places = [64 + sum(map(len, segments[:index])) for index in range(len(segments))]
    return struct.pack("<16L", len(segments), *places, *[0] * (15 - len(places))) + b"".join(segments)


JFIF = b"\xff\xe0\0\x10JFIF\0\1\1\0\0\1\0\1\0\0"


def adobe(transform: int) -> bytes:
    """Adobe's APP14 segment: 0 is no transform of colours, 1 YCbCr."""
    return b"\xff\xee\0\x0eAdobe\0\x64\0\0\0\0" + bytes([transform])


def spiff(space: int) -> bytes:
    """A SPIFF header (ISO/IEC 10918-3 F.2.1) with a colour space, and the entry that ends its directory."""
    header = b"SPIFF\0\2\0\0\3" + bytes(8) + bytes([space, 8, 6, 1]) + bytes(8)
    return b"\xff\xe8" + struct.pack(">H", len(header) + 2) + header + b"\xff\xe8\0\x08\0\0\0\1\xff\xd8"


def with_segments(image: bytes, application: bytes = b"", names: bytes = b"\1\2\3") -> bytes:
    """A JPEG or JPEG-LS image with other APP segments than its own, and other names of its components."""
    parts, offset = [image[:2], application], 2
    while True:
        marker, length = image[offset + 1], int.from_bytes(image[offset + 2 : offset + 4])
        segment = bytearray(image[offset : offset + 2 + length])
        offset += 2 + length
        for index in range(3):
            if marker in (0xC0, 0xC1, 0xC2, 0xC3, 0xF7):
                segment[10 + 3 * index] = names[index]
            elif marker == 0xDA:
                segment[5 + 2 * index] = names[index]
        if not 0xE0 <= marker <= 0xEF:
            parts.append(bytes(segment))
        if marker == 0xDA:
            return b"".join(parts) + image[offset:]


def jpeg_of_components(frame: npt.NDArray[Any], subsampling: str = "444") -> bytes:
    """Baseline JPEG of three components as they are, without a word of what they are."""
    space = "YCBCR"
    data = imagecodecs.jpeg8_encode(frame, 98, colorspace=space, outcolorspace=space, subsampling=subsampling)
    return with_segments(bytes(data))


def jp2_file(codestream: bytes, space: int, shape: tuple[int, ...]) -> bytes:
    """A JP2 file around a codestream of 8 bits (ISO/IEC 15444-1 Annex I) with an enumerated colour space."""

    def box(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">L4s", len(body) + 8, kind) + body

    image = box(b"ihdr", struct.pack(">LLHBBBB", shape[0], shape[1], shape[2], 7, 7, 0, 0))
    header = image + box(b"colr", struct.pack(">BBBL", 1, 0, 0, space))
    file = box(b"jP  ", b"\r\n\x87\n") + box(b"ftyp", b"jp2 \0\0\0\0jp2 ")
    return file + box(b"jp2h", header) + box(b"jp2c", codestream)
