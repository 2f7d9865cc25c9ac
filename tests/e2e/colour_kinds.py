"""Colour, and the ways in which frames of it, and of grey, are compressed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import imagecodecs
import numpy as np
import numpy.typing as npt
from pydicom import uid
from pydicom.dataset import FileDataset
from pydicom.pixels.processing import convert_color_space

from tests.e2e.cards import colour_card
from tests.e2e.grey_kinds import grey, sample_file, shown
from tests.e2e.kind import Kind, Made, View, picture
from tests.e2e.rendering import render
from tests.support import frame_encoders
from tests.support.dicom_files import RLE, encapsulated, image, jpeg

_SIZE = 96, 128
# Decoders of lossy frames differ by a level or two, and the loss itself is some.
_LOSSY: dict[str, Any] = {"tolerance": 8.0}
_LOSS = {"LossyImageCompression": "01"}


def _capture(pixels: npt.NDArray[Any] | None = None, **attributes: Any) -> FileDataset:
    attributes = {"SOPClassUID": uid.SecondaryCaptureImageStorage, "Modality": "OT"} | attributes
    return image(1, colour_card(*_SIZE) if pixels is None else pixels, **attributes)


def _planar() -> FileDataset:
    dataset = _capture(PlanarConfiguration=1)
    dataset.PixelData = colour_card(*_SIZE).transpose(2, 0, 1).tobytes()
    return dataset


def _ybr(interpretation: str) -> FileDataset:
    components = convert_color_space(colour_card(*_SIZE), "RGB", "YBR_FULL")
    dataset = _capture(components, PhotometricInterpretation=interpretation)
    if interpretation == "YBR_FULL_422":
        left, right = components[:, ::2], components[:, 1::2]
        words = np.stack([left[..., 0], right[..., 0], left[..., 1], left[..., 2]], axis=-1)
        dataset.PixelData = words.tobytes()
    return dataset


def _compressed(
    encode: Callable[[npt.NDArray[Any], int], bytes], syntax: str, interpretation: str = "RGB", **others: Any
) -> FileDataset:
    pixels = colour_card(*_SIZE)
    frame = encode(pixels, 8)
    attributes = {"SOPClassUID": uid.SecondaryCaptureImageStorage, "Modality": "OT"} | others
    return encapsulated([frame], syntax, pixels=pixels, PhotometricInterpretation=interpretation, **attributes)


def _of_card(make: Callable[[], FileDataset], **look: Any) -> Callable[[], Made]:
    """The card itself is expected, where pydicom has no decoder."""
    return lambda: Made(datasets=[make()], views=[View(look=picture(colour_card(*_SIZE).astype(np.float64), **look))])


def _grey_compressed(
    encode: Callable[[npt.NDArray[Any], int], bytes], syntax: str, look: dict[str, Any] | None = None
) -> Made:
    """12 bits; the image before it was compressed is expected."""
    source = grey(uid.SecondaryCaptureImageStorage, "OT", 12)
    pixels = np.frombuffer(source.PixelData, "<u2").reshape(_SIZE)
    attributes = {"SOPClassUID": source.SOPClassUID, "Modality": "OT", "BitsStored": 12} | (_LOSS if look else {})
    window = {"WindowCenter": source.WindowCenter, "WindowWidth": source.WindowWidth}
    dataset = encapsulated([encode(pixels, 12)], syntax, pixels=pixels, **attributes, **window)
    return Made(datasets=[dataset], views=[View(look=picture(render(source), **(look or {})))])


def _jpeg_444(frame: npt.NDArray[Any], bits: int) -> bytes:
    return bytes(imagecodecs.jpeg8_encode(frame, 97, subsampling="444"))


def _fundus() -> FileDataset:
    pixels = colour_card(240, 320)
    frame = _jpeg_444(pixels, 8)
    return encapsulated(
        [frame], jpeg(50), pixels=pixels, SOPClassUID=uid.OphthalmicPhotography8BitImageStorage, Modality="OP",
        PhotometricInterpretation="YBR_FULL_422",
    )  # fmt: skip


def _kind(name: str, make: Callable[[], FileDataset], *, core: bool = False, **look: Any) -> Kind:
    return Kind(name=name, make=lambda: shown(make(), **look), core=core)


KINDS = (
    _kind("SC, RGB", _capture),
    _kind("SC, RGB, planar", _planar),
    _kind("SC, RGB, 16 bits", lambda: _capture(colour_card(*_SIZE, largest=65535), BitsStored=16)),
    _kind("SC, YBR_FULL", lambda: _ybr("YBR_FULL")),
    _kind("SC, YBR_FULL_422", lambda: _ybr("YBR_FULL_422")),
    _kind("MR, big endian", lambda: sample_file("MR_small_bigendian.dcm")),
    _kind("SC, RGB, RLE", lambda: _compressed(frame_encoders.rle, RLE)),
    _kind("SC, RGB of 1600 x 1200", lambda: _capture(colour_card(1200, 1600)), core=True),
    _kind("SC, JPEG baseline", lambda: _compressed(_jpeg_444, jpeg(50), "YBR_FULL_422", **_LOSS), core=True, **_LOSSY),
    _kind("SC, JPEG lossless", lambda: _compressed(frame_encoders.lossless_jpeg, jpeg(70))),
    _kind("SC, JPEG-LS", lambda: _compressed(frame_encoders.jpegls, jpeg(80))),
    _kind("SC, JPEG 2000 lossless", lambda: _compressed(frame_encoders.j2k, jpeg(90), "YBR_RCT")),
    _kind("SC, JPEG 2000 lossy", lambda: _compressed(frame_encoders.j2k_lossy, jpeg(91), "YBR_ICT", **_LOSS), **_LOSSY),
    _kind("SC, HTJ2K", lambda: _compressed(frame_encoders.htj2k, jpeg(201), "YBR_RCT")),
    Kind(name="SC, JPEG XL lossless", make=_of_card(lambda: _compressed(frame_encoders.jpegxl, jpeg(110)))),
    Kind(
        name="SC, JPEG XL lossy",
        core=True,
        make=_of_card(lambda: _compressed(frame_encoders.jpegxl_lossy, jpeg(112), "XYB", **_LOSS), **_LOSSY),
    ),
    Kind(
        name="SC, JPEG XL of a JPEG",
        make=_of_card(lambda: _compressed(frame_encoders.jpegxl_of_jpeg, jpeg(111), "YBR_FULL_422", **_LOSS), **_LOSSY),
    ),
    Kind(name="grey, JPEG of 12 bits", make=lambda: _grey_compressed(frame_encoders.jpeg_lossy, jpeg(51), _LOSSY)),
    Kind(
        name="grey, JPEG-LS near-lossless", make=lambda: _grey_compressed(frame_encoders.jpeg_ls_near, jpeg(81), _LOSSY)
    ),
    Kind(name="grey, JPEG 2000 lossy", make=lambda: _grey_compressed(frame_encoders.j2k_lossy, jpeg(91), _LOSSY)),
    Kind(name="grey, JPEG lossless", make=lambda: _grey_compressed(frame_encoders.lossless_jpeg, jpeg(70))),
    _kind("fundus photograph", _fundus, **_LOSSY),
)
