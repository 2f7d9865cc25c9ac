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
