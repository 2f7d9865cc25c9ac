"""Which objects are images, and which images have lost their pixels."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom import uid
from pydicom.dataset import Dataset, FileDataset

from stillframe.dicom.read import read_instance
from stillframe.errors import PixelDataError
from stillframe.pixels.presence import find_pixels
from tests.support.dicom_files import (
    RLE,
    encapsulated_value,
    image,
    image_attributes,
    noise,
    to_bytes,
    without_pixels,
    write_dicom,
)

PRIVATE = "1.3.12.2.1107.5.9.1"
DESCRIBED = ("Rows", "Columns", "BitsAllocated")


def looked_at(dataset: FileDataset | bytes) -> tuple[bool, str]:
    """Whether there are pixels to publish, and what is said if not."""
    data = dataset if isinstance(dataset, bytes) else to_bytes(dataset)
    has_pixels, notes = find_pixels(read_instance(BytesIO(data)))
    return has_pixels, "; ".join(notes)


def items() -> Any:
    """A sequence with an item that is not empty."""
    item = Dataset()
    item.ReferencedROINumber = 1
    return [item]


def test_an_image_has_pixels() -> None:
    assert looked_at(image(1)) == (True, "")
    values = np.zeros((4, 4), "f4")
    floating = image(1, SOPClassUID=uid.ParametricMapStorage, PixelData=None, FloatPixelData=values.tobytes())
    assert looked_at(floating) == (True, "")


@pytest.mark.parametrize(
    "sop_class",
    [
        uid.MRSpectroscopyStorage,  # PS3.3 A.36.3 has Rows, Columns and Number of Frames, C.8.14.4
        uid.RawDataStorage,
        uid.RTStructureSetStorage,
        uid.RTPlanStorage,
        uid.BasicTextSRStorage,
        uid.KeyObjectSelectionDocumentStorage,
        uid.GrayscaleSoftcopyPresentationStateStorage,
        uid.SurfaceSegmentationStorage,
        uid.StereometricRelationshipStorage,
        uid.TwelveLeadECGWaveformStorage,
        uid.EncapsulatedPDFStorage,
        uid.SpatialRegistrationStorage,
    ],
)
def test_what_its_class_says_is_no_image_has_lost_no_pixels(sop_class: str) -> None:
    assert looked_at(image(1, SOPClassUID=sop_class, PixelData=None)) == (False, "")
    empty = image(1, SOPClassUID=sop_class, PixelData=b"", Rows=0, Columns=0)
    assert looked_at(empty) == (False, "PixelData has no bytes, so there are no frames")
    full = looked_at(image(1, SOPClassUID=sop_class))
    assert full == (
        False,
        f"the 15360 bytes of pixel data are not published as frames: SOP class {sop_class} holds no image",
    )


@pytest.mark.parametrize(
    "sop_class", [uid.CTImageStorage, uid.SegmentationStorage, uid.UltrasoundMultiFrameImageStorage]
)
def test_an_image_without_the_pixels_that_it_describes_is_refused(sop_class: str) -> None:
    with pytest.raises(PixelDataError, match=r"^has Rows and Columns but no pixel data$"):
        looked_at(image(1, SOPClassUID=sop_class, PixelData=None))
    with pytest.raises(PixelDataError, match=r"^the pixel data of an image hold no bytes$"):
        looked_at(image(1, SOPClassUID=sop_class, PixelData=b""))
    with pytest.raises(PixelDataError, match=r"^the pixel data of an image hold no bytes$"):
        looked_at(image(1, SOPClassUID=sop_class, PixelData=b"", Rows=0, Columns=0))


@pytest.mark.parametrize("fragments", [[], [b""]], ids=["none", "an empty one"])
def test_encapsulated_pixel_data_without_a_fragment_are_no_pixels(tmp_path: Path, fragments: list[bytes]) -> None:
    value = encapsulated_value(fragments)
    for sop_class in (uid.BasicTextSRStorage, uid.CTImageStorage):
        attributes = image_attributes(noise(1)) | {"SOPClassUID": sop_class}
        data = write_dicom(tmp_path / "file", RLE, attributes, value, vr="OB").read_bytes()
        if sop_class == uid.BasicTextSRStorage:
            assert looked_at(data) == (False, "PixelData has no bytes, so there are no frames")
        else:
            with pytest.raises(PixelDataError, match=r"^the pixel data of an image hold no fragments$"):
                looked_at(data)


def test_an_image_that_describes_no_pixels_is_published_with_a_note() -> None:
    assert looked_at(without_pixels(1)) == (
        False,
        "its SOP class is that of an image, but there are no pixel data",
    )


@pytest.mark.parametrize("missing", DESCRIBED)
def test_an_object_of_a_private_class_is_an_image_if_it_describes_one(missing: str) -> None:
    assert looked_at(image(1, SOPClassUID=PRIVATE)) == (True, "")
    with pytest.raises(PixelDataError, match=r"^has Rows and Columns but no pixel data$"):
        looked_at(image(1, SOPClassUID=PRIVATE, PixelData=None))
    assert looked_at(image(1, SOPClassUID=PRIVATE, PixelData=None, **{missing: None})) == (False, "")
    has_pixels, note = looked_at(image(1, SOPClassUID=PRIVATE, **{missing: None}))
    assert not has_pixels
    assert note.startswith("the 15360 bytes of pixel data are not published as frames: no value of ")


@pytest.mark.parametrize("sop_class", [PRIVATE, uid.RTDoseStorage])
@pytest.mark.parametrize("content", ["DVHSequence", "ContentSequence", "SpectroscopyData"])
def test_an_object_that_may_be_an_image_has_lost_none_if_it_holds_something_else(sop_class: str, content: str) -> None:
    """RT Dose may be a dose volume histogram alone (PS3.3 A.18.3)."""
    value: Any = bytes(range(8)) if content == "SpectroscopyData" else items()
    assert looked_at(image(1, SOPClassUID=sop_class, PixelData=None, **{content: value})) == (False, "")


def test_a_dose_that_describes_its_grid_has_pixels_or_lost_them() -> None:
    assert looked_at(image(1, SOPClassUID=uid.RTDoseStorage, DVHSequence=items())) == (True, "")
    assert looked_at(without_pixels(1, SOPClassUID=uid.RTDoseStorage)) == (False, "")
    with pytest.raises(PixelDataError, match=r"^has Rows and Columns but no pixel data$"):
        looked_at(image(1, SOPClassUID=uid.RTDoseStorage, PixelData=None))


def test_an_image_at_a_provider_is_refused_as_such() -> None:
    """PS3.3 C.7.6.3: Pixel Data Provider URL stands in place of Pixel Data."""
    dataset = image(1, PixelData=None, PixelDataProviderURL="http://127.0.0.1/image")
    with pytest.raises(PixelDataError, match=r"^its pixels are at the provider of \(0028,7FE0\)"):
        looked_at(dataset)
