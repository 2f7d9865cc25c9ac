"""Objects that are about images, and those that are none."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from pydicom import uid
from pydicom.dataset import FileDataset

from tests.e2e.cards import grey_card, grey_levels
from tests.e2e.documents import CDA, PDF, STL
from tests.e2e.grey_kinds import sample_file, shown
from tests.e2e.kind import SERIES, Kind, Look, Made, View, text
from tests.e2e.rendering import Picture, render
from tests.e2e.series_kinds import item, several, volume
from tests.support import dicom_objects
from tests.support.dicom_files import ROOT, without_pixels

_COUNT: Final = 8
_PARTS: Final = 96
_SIZE = 96, 128
# Rows and columns of the region that segmentations and structures mark; below the disc, left of the bar.
_REGION: Final = (slice(44, 62), slice(16, 56))


def _mask() -> npt.NDArray[Any]:
    mask = np.zeros((_COUNT, *_SIZE), bool)
    mask[(slice(None), *_REGION)] = True
    return mask


def _over(dataset: FileDataset, mask: Picture | None = None) -> Look:
    """The image, with a colour where the mask is, if not that of the region.

    OHIF's question whether to take the segmentation over covers a band of it.
    """
    if mask is None:
        mask = np.repeat(255.0 * _mask()[0][..., None], 3, axis=-1)
    return Look(sort="overlay", pictures=[render(dataset)], aspects=[128 / 96], mask=mask, tolerance=12.0)


def _beside(made: FileDataset, description: str, look: Look | None = None, *, series: int = 5) -> Made:
    """A CT series and an object about it, which is opened by a double click on its own series."""
    slices = volume(_COUNT)
    made.SeriesDescription, made.SeriesNumber = description, series
    made.StudyInstanceUID = slices[0].StudyInstanceUID
    view = View(opened=SERIES, series=description, look=look or _over(slices[-1]))
    return Made(datasets=[*slices, made], views=[view])


def _segmentation(kind: str) -> Made:
    mask = _mask()
    pixels = mask.astype(np.float32) * 0.5 if kind == "FRACTIONAL" else mask.astype(np.uint8)
    others = {"fractional_type": "PROBABILITY"} if kind == "FRACTIONAL" else {}
    return _beside(dicom_objects.segmentation(kind, pixels, volume(_COUNT), **others), "the segmentation")


def _structures() -> Made:
    """A rectangle around the region on each slice."""
    slices = volume(_COUNT)
    dataset = without_pixels(1, SOPClassUID=uid.RTStructureSetStorage, Modality="RTSTRUCT")
    dataset.SeriesInstanceUID, dataset.SOPInstanceUID = f"{ROOT}.1.6", f"{ROOT}.1.6.1"
    dataset.StructureSetLabel, dataset.StructureSetDate, dataset.StructureSetTime = "thing", "20240102", "101112"
    frame_of_reference = slices[0].FrameOfReferenceUID
    references = [_reference(image) for image in slices]
    dataset.ReferencedFrameOfReferenceSequence = [
        item(
            FrameOfReferenceUID=frame_of_reference,
            RTReferencedStudySequence=[
                item(
                    ReferencedSOPClassUID="1.2.840.10008.3.1.2.3.1",
                    ReferencedSOPInstanceUID=slices[0].StudyInstanceUID,
                    RTReferencedSeriesSequence=[
                        item(SeriesInstanceUID=slices[0].SeriesInstanceUID, ContourImageSequence=references)
                    ],
                )
            ],
        )
    ]
    dataset.StructureSetROISequence = [
        item(ROINumber=1, ReferencedFrameOfReferenceUID=frame_of_reference, ROIName="thing",
             ROIGenerationAlgorithm="MANUAL")
    ]  # fmt: skip
    contours = [_contour(image) for image in slices]
    dataset.ROIContourSequence = [item(ROIDisplayColor=[255, 0, 0], ReferencedROINumber=1, ContourSequence=contours)]
    dataset.RTROIObservationsSequence = [
        item(ObservationNumber=1, ReferencedROINumber=1, RTROIInterpretedType="ORGAN", ROIInterpreter="")
    ]
    rows, columns = _REGION
    outline = np.zeros((*_SIZE, 3))
    outline[rows.start - 1 : rows.stop + 1, columns.start - 1 : columns.stop + 1] = 255
    outline[rows.start + 1 : rows.stop - 1, columns.start + 1 : columns.stop - 1] = 0
    return _beside(dataset, "the structures", _over(slices[-1], outline))


def _reference(image: FileDataset) -> Any:
    return item(ReferencedSOPClassUID=image.SOPClassUID, ReferencedSOPInstanceUID=image.SOPInstanceUID)


def _contour(image: FileDataset) -> Any:
    rows, columns = _REGION
    left, top, z = image.ImagePositionPatient
    corners = [(columns.start, rows.start), (columns.stop, rows.start), (columns.stop, rows.stop),
               (columns.start, rows.stop)]  # fmt: skip
    points = [number for x, y in corners for number in (left + x, top + y, z)]
    return item(
        ContourImageSequence=[_reference(image)], ContourGeometricType="CLOSED_PLANAR", NumberOfContourPoints=4,
        ContourData=[float(number) for number in points],
    )  # fmt: skip


def _dose() -> Made:
    pixels = np.stack([grey_levels(*_SIZE, 0, 59999, turn=n / 5) for n in range(6)]).astype("u2")
    dataset = several(pixels, uid.RTDoseStorage, "RTDOSE", BitsStored=16, PixelSpacing=[1, 1])
    dataset.DoseUnits, dataset.DoseType, dataset.DoseSummationType = "GY", "PHYSICAL", "PLAN"
    dataset.DoseGridScaling, dataset.GridFrameOffsetVector = "0.001", [4.0 * n for n in range(6)]
    dataset.FrameIncrementPointer = 0x3004000C
    dataset.FrameOfReferenceUID = f"{ROOT}.3"
    dataset.ImageOrientationPatient, dataset.ImagePositionPatient = [1, 0, 0, 0, 1, 0], [-64, -48, 0]
    return shown(dataset)


def _alone(dataset: FileDataset, look: Look) -> Made:
    """An object without images, in a study of its own."""
    return Made(datasets=[dataset], views=[View(look=look)])


def _document(sop_class: str, content: bytes, media_type: str, modality: str) -> FileDataset:
    dataset = without_pixels(1, SOPClassUID=sop_class, Modality=modality, SeriesDescription="the document")
    dataset.EncapsulatedDocument = content + bytes(len(content) % 2)
    dataset.EncapsulatedDocumentLength, dataset.MIMETypeOfEncapsulatedDocument = len(content), media_type
    return dataset


def _marked_images(make: Callable[[Sequence[FileDataset]], FileDataset], description: str) -> Made:
    return _beside(make(volume(_COUNT)), description, text(description))


def _parametric_map(dtype: str) -> Made:
    """OHIF shows it over the images, in colours of its own choice."""
    slices = volume(_COUNT)
    values = np.stack([grey_card(*_SIZE, turn=n / (_COUNT - 1)) for n in range(_COUNT)]).astype(dtype)
    dataset = dicom_objects.parametric_map(values, slices)
    return _beside(dataset, "the map", _over(slices[-1], np.full((*_SIZE, 3), 255.0)))


def _plan() -> FileDataset:
    dataset = sample_file("rtplan.dcm")
    dataset.SeriesDescription = "the plan"
    return dataset


def _ecg() -> Made:
    """How much all leads together rise and fall, in equal parts of the time that is drawn."""
    dataset = sample_file("waveform_ecg.dcm")
    leads = dataset.waveform_array(0)
    parts = np.array_split(leads, _PARTS)
    swing = [float((part.max(axis=0) - part.min(axis=0)).sum()) for part in parts]
    return _alone(dataset, Look(sort="traces", numbers=swing, correlation=0.6))


def _raw() -> FileDataset:
    return without_pixels(1, SOPClassUID=uid.RawDataStorage, Modality="OT", SeriesDescription="raw data")


def _kind(name: str, make: Callable[[], Made], *, core: bool = False, hosts: bool = False) -> Kind:
    return Kind(name=name, make=make, core=core, hosts=hosts, page=False)


KINDS: Sequence[Kind] = (
    _kind("SEG, binary", lambda: _segmentation("BINARY"), core=True, hosts=True),
    _kind("SEG, label map", lambda: _segmentation("LABELMAP")),
    _kind("SEG, fractional", lambda: _segmentation("FRACTIONAL")),
    _kind("RT Structure Set", _structures, core=True, hosts=True),
    Kind(name="RT Dose", make=_dose),
    _kind("RT Plan", lambda: _alone(_plan(), text("the plan"))),
    _kind("parametric map, 32 bits", lambda: _parametric_map("f4")),
    _kind("parametric map, 64 bits", lambda: _parametric_map("f8")),
    _kind("structured report", lambda: _alone(sample_file("reportsi.dcm"), text("Section Heading", "Enter text"))),
    _kind("key object selection", lambda: _marked_images(dicom_objects.key_objects, "key images")),
    _kind("presentation state", lambda: _marked_images(dicom_objects.presentation_state, "a state")),
    _kind(
        "Encapsulated PDF",
        lambda: _alone(
            _document(uid.EncapsulatedPDFStorage, PDF, "application/pdf", "DOC"),
            Look(sort="document", words=["application/pdf"]),
        ),
        core=True,
        hosts=True,
    ),
    _kind(
        "Encapsulated CDA",
        lambda: _alone(_document(uid.EncapsulatedCDAStorage, CDA, "text/XML", "DOC"), text("A finding")),
    ),
    _kind(
        "Encapsulated STL",
        lambda: _alone(_document(uid.EncapsulatedSTLStorage, STL, "model/stl", "M3D"), text("the document")),
    ),
    _kind("ECG", _ecg),
    _kind("raw data", lambda: _alone(_raw(), text("raw data"))),
)
