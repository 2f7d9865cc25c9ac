"""A second decoder, and encoder, of compressed frames: the command ffmpeg, whose codecs are its own."""

from __future__ import annotations

import shutil
import subprocess
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

type Planes = npt.NDArray[Any]

needs_ffmpeg = pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="the command ffmpeg is not here")

# Pixel formats: columns and rows that share a chrominance sample, and where each component is.
_PLANAR = {
    "gray": (1, 1, (0,)), "gbrp": (1, 1, (2, 0, 1)),
    "yuvj444p": (1, 1, (0, 1, 2)), "yuvj422p": (2, 1, (0, 1, 2)), "yuvj420p": (2, 2, (0, 1, 2)),
    "yuv444p": (1, 1, (0, 1, 2)), "yuv422p": (2, 1, (0, 1, 2)), "yuv420p": (2, 2, (0, 1, 2)),
    "yuv411p": (4, 1, (0, 1, 2)),
}  # fmt: skip
_PACKED = {"rgb24": (0, 1, 2), "bgr24": (2, 1, 0)}


def _run(arguments: list[str], data: bytes) -> bytes:
    command = ["ffmpeg", "-v", "error", "-nostdin", *arguments, "-"]
    return subprocess.run(command, input=data, capture_output=True, check=True, timeout=60).stdout


def decode_components(data: bytes, demuxer: str, shape: tuple[int, ...]) -> Planes:
    """The components of a frame of 8 bits as they are stored, in their order; what pixels share is repeated.

    `demuxer` is `jpeg_pipe`, `jpegls_pipe` or `j2k_pipe`; `shape` is (rows, columns, components).
    """
    probe = ["ffprobe", "-v", "error", "-f", demuxer, "-show_entries", "stream=pix_fmt", "-of", "csv=p=0", "-"]
    found = subprocess.run(probe, input=data, capture_output=True, check=True, timeout=60).stdout.decode().strip()
    raw = np.frombuffer(_run(["-f", demuxer, "-i", "-", "-f", "rawvideo"], data), "u1")
    rows, columns = shape[:2]
    if found in _PACKED:
        return raw.reshape(rows, columns, 3)[..., list(_PACKED[found])]
    across, down, order = _PLANAR[found]
    planes = [raw[: rows * columns].reshape(rows, columns)]
    size = -(-rows // down), -(-columns // across)
    for index in range(len(order) - 1):
        start = rows * columns + index * size[0] * size[1]
        plane = raw[start : start + size[0] * size[1]].reshape(size)
        planes.append(np.repeat(np.repeat(plane, down, 0), across, 1)[:rows, :columns])
    return np.stack([planes[place] for place in order], axis=-1)


def encode_jpeg_2000(planes: Planes, pixel_format: str) -> bytes:
    """A reversible codestream of YCbCr components; of the second and third, the first of those that share is taken."""
    across, down, _ = _PLANAR[pixel_format]
    rows, columns = planes.shape[:2]
    raw = planes[..., 0].tobytes() + b"".join(planes[::down, ::across, index].tobytes() for index in (1, 2))
    source = ["-f", "rawvideo", "-pix_fmt", pixel_format, "-s", f"{columns}x{rows}", "-i", "-"]
    return _run([*source, "-c:v", "jpeg2000", "-pred", "1", "-format", "0", "-f", "image2pipe"], raw)
