"""Series of slices, and images of several frames."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from pydicom import uid
from pydicom.dataset import Dataset, FileDataset

from tests.e2e.cards import colour_card, grey_levels
from tests.e2e.grey_kinds import shown
from tests.e2e.kind import LIST, MPR, SERIES, Kind, Made, View, picture
from tests.e2e.rendering import Picture, modality_values, render, show_values
from tests.support.dicom_files import ROOT, image

_SIZE = 96, 128
SLICES: Final = 24
_THICKNESS: Final = 4.0
_FRAME_OF_REFERENCE: Final = f"{ROOT}.3"


def volume(count: int = SLICES, **attributes: Any) -> list[FileDataset]:
    """CT slices, `_THICKNESS` mm apart from the feet up, of a scene that changes from one to the next."""
    slices = []
    for number in range(1, count + 1):
        levels = grey_levels(*_SIZE, 400, 1600, turn=(number - 1) / (count - 1)).astype("u2")
        dataset = image(number, levels, PixelSpacing=[1, 1], RescaleSlope=1, RescaleIntercept=-1024, **attributes)
        _place(dataset, (number - 1) * _THICKNESS)
        dataset.WindowCenter, dataset.WindowWidth = 0, 1100
        slices.append(dataset)
    return slices


def _place(dataset: FileDataset, z: float) -> None:
    dataset.FrameOfReferenceUID, dataset.PositionReferenceIndicator = _FRAME_OF_REFERENCE, ""
    dataset.ImageOrientationPatient, dataset.ImagePositionPatient = [1, 0, 0, 0, 1, 0], [-64, -48, z]
    dataset.SliceThickness = _THICKNESS
    dataset.StudyDate, dataset.StudyTime, dataset.StudyID, dataset.AccessionNumber = "20240102", "101112", "1", "A1"
    dataset.PatientBirthDate, dataset.PatientSex, dataset.ReferringPhysicianName = "19700101", "O", ""
    dataset.SeriesDescription = dataset.get("SeriesDescription", "slices")


def _ct() -> Made:
    slices = volume()
    return Made(datasets=slices, instance=-1, views=[View(look=picture(render(slices[-1])))])


def _ct_in_planes() -> Made:
    """Axial, sagittal and coronal through the middle, between two of an even number: the head is up."""
    slices = volume()
    stack = np.stack([modality_values(dataset, dataset.pixel_array) for dataset in slices])
    axial, coronal, sagittal = (
        stack.take([length // 2 - 1, length // 2], axis).mean(axis=axis) for axis, length in enumerate(stack.shape)
    )
    sagittal, coronal = sagittal[::-1], coronal[::-1]
    drawn = [show_values(plane, slices[0]) for plane in (axial, sagittal, coronal)]
    tall = SLICES * _THICKNESS
    look = picture(*drawn, aspects=[128 / 96, 96 / tall, 128 / tall], tolerance=10.0, correlation=0.95)
    return Made(datasets=slices, views=[View(opened=MPR, look=look)])


def _mr() -> Made:
    levels = grey_levels(*_SIZE, 100, 3000).astype("u2")
    dataset = image(1, levels, SOPClassUID=uid.MRImageStorage, Modality="MR", PixelSpacing=[1, 1])
    _place(dataset, 0)
    dataset.WindowCenter, dataset.WindowWidth = 1400, 2500
    return shown(dataset)


def _pet_ct() -> Made:
    slices = volume(8, SeriesDescription="the CT")
    pet = []
    for number in range(1, 9):
        levels = grey_levels(64, 64, 0, 20000, turn=number / 8).astype("u2")
        dataset = image(
            number, levels, SOPClassUID=uid.PositronEmissionTomographyImageStorage, Modality="PT", BitsStored=16,
            SeriesInstanceUID=f"{ROOT}.1.2", SeriesNumber=2, SeriesDescription="the PET", PixelSpacing=[2, 2],
            RescaleSlope=1, RescaleIntercept=0, WindowCenter=9000, WindowWidth=16000,
        )  # fmt: skip
        _place(dataset, (number - 1) * _THICKNESS)
        dataset.Units, dataset.DecayCorrection, dataset.CorrectedImage = "BQML", "START", ["ATTN", "DECY"]
        dataset.SeriesDate = dataset.AcquisitionDate = "20240102"
        dataset.SeriesTime = dataset.AcquisitionTime = "101112"
        dataset.PatientWeight = 70
        drug = Dataset()
        drug.RadiopharmaceuticalStartTime, drug.RadionuclideTotalDose, drug.RadionuclideHalfLife = "091112", 3e8, 6588
        dataset.RadiopharmaceuticalInformationSequence = [drug]
        pet.append(dataset)
    views = [
        View(look=picture(render(slices[-1]))),
        View(opened=SERIES, series="the PET", look=picture(_uptake(pet[-1]))),
    ]
    return Made(datasets=[*slices, *pet], instance=len(slices) - 1, views=views)


def _uptake(dataset: FileDataset) -> Picture:
    """SUV by body weight, of the dose that is left when the series begins, in the range that OHIF opens PET with."""
    left = 3e8 * 0.5 ** (3600 / 6588)
    uptake = modality_values(dataset, dataset.pixel_array) * 70_000 / left
    return np.repeat(255 * np.clip(uptake / 5, 0, 1)[..., None], 3, axis=-1)


def several(frames: npt.NDArray[Any], sop_class: str, modality: str, **attributes: Any) -> FileDataset:
    """An image of several frames."""
    return image(1, frames, SOPClassUID=sop_class, Modality=modality, **attributes)


def grey_frames(count: int, low: int, high: int, dtype: str, size: tuple[int, int] = _SIZE) -> npt.NDArray[Any]:
    """Frames of the card as its parts move."""
    return np.stack([grey_levels(*size, low, high, turn=n / max(1, count - 1)) for n in range(count)]).astype(dtype)


def colour_frames(count: int, size: tuple[int, int] = _SIZE) -> npt.NDArray[Any]:
    """Frames of the colour card as its parts move."""
    return np.stack([colour_card(*size, turn=n / max(1, count - 1)) for n in range(count)])


def _nm() -> FileDataset:
    return several(grey_frames(4, 0, 900, "u2"), uid.NuclearMedicineImageStorage, "NM", BitsStored=16)


def _cine(sop_class: str, modality: str, frames: npt.NDArray[Any], **attributes: Any) -> FileDataset:
    return several(frames, sop_class, modality, FrameTime=40, **attributes)


def item(**attributes: Any) -> Dataset:
    """An item of a sequence."""
    dataset = Dataset()
    for keyword, value in attributes.items():
        setattr(dataset, keyword, value)
    return dataset


def _enhanced(sop_class: str, modality: str, pixels: npt.NDArray[Any], **attributes: Any) -> FileDataset:
    """Frames with positions, and a window and a rescale that each has for itself."""
    dataset = several(pixels, sop_class, modality, **attributes)
    _place(dataset, 0)
    for keyword in ("ImageOrientationPatient", "ImagePositionPatient", "SliceThickness"):
        delattr(dataset, keyword)
    dataset.SharedFunctionalGroupsSequence = [
        item(
            PixelMeasuresSequence=[item(PixelSpacing=[1, 1], SliceThickness=_THICKNESS)],
            PlaneOrientationSequence=[item(ImageOrientationPatient=[1, 0, 0, 0, 1, 0])],
        )
    ]
    dataset.PerFrameFunctionalGroupsSequence = [_frame_groups(number) for number in range(len(pixels))]
    return dataset


def _frame_groups(number: int) -> Dataset:
    return item(
        FrameContentSequence=[
            item(StackID="1", InStackPositionNumber=number + 1, DimensionIndexValues=[1, number + 1])
        ],
        PlanePositionSequence=[item(ImagePositionPatient=[-64, -48, number * _THICKNESS])],
        FrameVOILUTSequence=[item(WindowCenter=200 + 20 * number, WindowWidth=1400, VOILUTFunction="LINEAR")],
        PixelValueTransformationSequence=[item(RescaleIntercept=-600, RescaleSlope=0.5, RescaleType="HU")],
    )


def _enhanced_ct() -> FileDataset:
    return _enhanced(uid.EnhancedCTImageStorage, "CT", grey_frames(6, 200, 3600, "u2"))


def _enhanced_mr() -> FileDataset:
    return _enhanced(uid.EnhancedMRImageStorage, "MR", grey_frames(6, 200, 3600, "u2"))


def _tomosynthesis() -> FileDataset:
    pixels = grey_frames(6, 60, 960, "u2", (240, 160))
    dataset = _enhanced(uid.BreastTomosynthesisImageStorage, "MG", pixels, BitsStored=10)
    for groups in dataset.PerFrameFunctionalGroupsSequence:
        groups.FrameVOILUTSequence[0].WindowCenter = -350
        groups.FrameVOILUTSequence[0].WindowWidth = 500
    return dataset


def _from_list(name: str, typed: str) -> Made:
    """Found in the list by a part of the patient's name; to OHIF case counts."""
    slices = volume(3)
    for dataset in slices:
        dataset.PatientName = name
        dataset.SpecificCharacterSet = "ISO_IR 192"
    view = View(opened=LIST, typed=typed, look=picture(render(slices[-1])))
    return Made(datasets=slices, views=[view])


def _kind(name: str, make: Callable[[], FileDataset], *, core: bool = False, **look: Any) -> Kind:
    return Kind(name=name, make=lambda: shown(make(), **look), core=core)


KINDS: Sequence[Kind] = (
    Kind(name="CT, a volume", make=_ct, core=True, hosts=True),
    Kind(name="CT, a volume, in three planes", make=_ct_in_planes, core=True, hosts=True),
    Kind(name="MR", make=_mr),
    Kind(name="PET and CT", make=_pet_ct, core=True),
    Kind(
        name="a name in Latin letters, from the list",
        make=lambda: _from_list("Tester^Latina", "Test"),
        page=False,
        core=True,
    ),
    Kind(
        name="a name in Cyrillic letters, from the list", make=lambda: _from_list("Иванова^Анна", "Иванова"), page=False
    ),
    Kind(
        name="a name in Han characters, from the list",
        make=lambda: _from_list("Yamada^Tarou=山田^太郎", "Yama"),
        page=False,
    ),
    _kind("NM, several frames", _nm),
    _kind("XA, cine", lambda: _cine(uid.XRayAngiographicImageStorage, "XA", grey_frames(8, 10, 240, "u1"))),
    _kind(
        "US, cine in grey", lambda: _cine(uid.UltrasoundMultiFrameImageStorage, "US", grey_frames(12, 10, 240, "u1"))
    ),
    _kind(
        "US, cine in colour", lambda: _cine(uid.UltrasoundMultiFrameImageStorage, "US", colour_frames(12)), core=True
    ),
    _kind(
        "captured cine of 96 colour frames",
        lambda: _cine(uid.MultiFrameTrueColorSecondaryCaptureImageStorage, "OT", colour_frames(96, (48, 64))),
        core=True,
    ),
    _kind("enhanced CT", _enhanced_ct, core=True),
    _kind("enhanced MR", _enhanced_mr),
    _kind("breast tomosynthesis", _tomosynthesis, core=True),
)
