"""Objects that are more than an image, made with highdicom over a small CT series."""

from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO
from typing import Any

import highdicom as hd
import numpy as np
import numpy.typing as npt
from highdicom.content import PixelMeasuresSequence, PlaneOrientationSequence, PlanePositionSequence
from highdicom.ko import KeyObjectSelection, KeyObjectSelectionDocument
from highdicom.pm import ParametricMap, RealWorldValueMapping
from highdicom.pr import GrayscaleSoftcopyPresentationState
from highdicom.seg import Segmentation, SegmentDescription
from pydicom import Dataset, dcmread
from pydicom.dataset import FileDataset
from pydicom.sr.codedict import codes

from tests.support.dicom_files import ROOT, image

_DEVICE: dict[str, Any] = {
    "series_instance_uid": f"{ROOT}.1.5",
    "series_number": 5,
    "sop_instance_uid": f"{ROOT}.1.5.1",
    "instance_number": 1,
    "manufacturer": "none",
}
_MODEL: dict[str, Any] = {
    "manufacturer_model_name": "none",
    "software_versions": "1",
    "device_serial_number": "1",
}


def ct_series(count: int = 3) -> list[FileDataset]:
    """CT slices with what makes them a volume."""
    found = []
    for number in range(1, count + 1):
        dataset = image(number, PixelSpacing=[2, 1], RescaleSlope="1", RescaleIntercept="-1024")
        dataset.FrameOfReferenceUID = f"{ROOT}.3"
        dataset.ImageOrientationPatient, dataset.ImagePositionPatient = [1, 0, 0, 0, 1, 0], [0, 0, number]
        dataset.SliceThickness = 1
        for keyword in ("AccessionNumber", "StudyID", "StudyDate", "StudyTime", "PatientBirthDate", "PatientSex",
                        "ReferringPhysicianName", "PositionReferenceIndicator"):  # fmt: skip
            setattr(dataset, keyword, "")
        found.append(dataset)
    return found


def _read_back(dataset: Dataset) -> FileDataset:
    """As read from the file that highdicom writes."""
    buffer = BytesIO()
    dataset.save_as(buffer)
    buffer.seek(0)
    return dcmread(buffer)


def segmentation(
    kind: str, mask: npt.NDArray[Any], images: Sequence[FileDataset] | None = None, **others: Any
) -> FileDataset:
    """A segmentation of the images, or of the series: BINARY, FRACTIONAL or LABELMAP."""
    description = SegmentDescription(
        1, "thing", codes.SCT.Tissue, codes.SCT.Tissue, hd.seg.SegmentAlgorithmTypeValues.MANUAL
    )
    return _read_back(
        Segmentation(
            source_images=images or ct_series(len(mask)),
            pixel_array=mask,
            segmentation_type=kind,
            segment_descriptions=[description],
            omit_empty_frames=False,
            **_DEVICE,
            **_MODEL,
            **others,
        )
    )


def parametric_map(values: npt.NDArray[np.floating[Any]], images: Sequence[FileDataset] | None = None) -> FileDataset:
    """A parametric map of floating point values over the images, or over the series."""
    mapping = RealWorldValueMapping(
        lut_label="1",
        lut_explanation="values",
        unit=codes.UCUM.NoUnits,
        value_range=(-1e6, 1e6),
        intercept=0,
        slope=1,
    )
    images = images or ct_series(len(values))
    window = hd.VOILUTTransformation(window_center=0.5, window_width=1.0, voi_lut_function="LINEAR_EXACT")
    return _read_back(
        ParametricMap(
            source_images=images,
            pixel_array=values,
            contains_recognizable_visual_features=False,
            real_world_value_mappings=[mapping],
            voi_lut_transformations=[window],
            pixel_measures=PixelMeasuresSequence(images[0].PixelSpacing, images[0].SliceThickness),
            plane_orientation=PlaneOrientationSequence("PATIENT", [1, 0, 0, 0, 1, 0]),
            plane_positions=[PlanePositionSequence("PATIENT", image.ImagePositionPatient) for image in images],
            **_DEVICE,
            **_MODEL,
        )
    )


def key_objects(images: Sequence[FileDataset] | None = None) -> FileDataset:
    """A key object selection of the images, or of the series."""
    images = images or ct_series()
    content = KeyObjectSelection(codes.DCM.OfInterest, referenced_objects=images)
    return _read_back(KeyObjectSelectionDocument(evidence=images, content=content, **_DEVICE))


def presentation_state(images: Sequence[FileDataset] | None = None) -> FileDataset:
    """A presentation state of the images, or of the series."""
    return _read_back(
        GrayscaleSoftcopyPresentationState(
            referenced_images=images or ct_series(),
            content_label="LABEL",
            content_description="none",
            **_DEVICE,
            **_MODEL,
        )
    )
