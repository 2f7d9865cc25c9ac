"""Display attributes where enhanced objects and others keep them."""

from __future__ import annotations

from io import BytesIO
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from pydicom import Dataset, Sequence, dcmread
from pydicom.dataset import FileDataset

from stillframe.dicom.json_convert import convert
from stillframe.dicom.json_model import JSONDataset
from stillframe.pixels.display import read_display
from stillframe.pixels.rendering import Display, LookupTable, Ramp, Rescale, linear_window, render_frame
from tests.support.dicom_files import image, noise, to_bytes


def display_of(dataset: FileDataset, frame_index: int = 0) -> Display:
    converted = convert(dcmread(BytesIO(to_bytes(dataset)), stop_before_pixels=True))
    return read_display(converted.dataset, frame_index, {value.path: value.data for value in converted.bulk})


def item(**attributes: Any) -> Dataset:
    dataset = Dataset()
    for keyword, value in attributes.items():
        setattr(dataset, keyword, value)
    return dataset


def test_functional_groups_of_the_frame_come_before_the_shared_ones() -> None:
    dataset = image(1, np.stack([noise(1), noise(2)]), PixelSpacing=[9, 9], WindowCenter="1", WindowWidth="2")
    transformation = item(RescaleSlope="2", RescaleIntercept="-5", RescaleType="US")
    dataset.SharedFunctionalGroupsSequence = Sequence(
        [
            item(
                PixelMeasuresSequence=Sequence([item(PixelSpacing=[2, 1])]),
                PixelValueTransformationSequence=Sequence([transformation]),
                FrameVOILUTSequence=Sequence([item(WindowCenter="50", WindowWidth="60")]),
            )
        ]
    )
    own = item(FrameVOILUTSequence=Sequence([item(WindowCenter="10", WindowWidth="20", VOILUTFunction="LINEAR_EXACT")]))
    dataset.PerFrameFunctionalGroupsSequence = Sequence([Dataset(), own])
    first, second = display_of(dataset, 0), display_of(dataset, 1)
    assert (first.voi, second.voi) == (linear_window(50, 60), Ramp(0, 20))
    for display in (first, second):
        assert (display.modality, display.spacing) == (Rescale(2, -5), (2, 1))
    assert display_of(dataset, 7).voi == linear_window(50, 60)


@pytest.mark.parametrize(
    ("attributes", "spacing"),
    [
        ({"PixelSpacing": [2, 1], "ImagerPixelSpacing": [3, 1]}, (2, 1)),
        ({"PixelSpacing": [0, 0], "ImagerPixelSpacing": [3, 1], "PixelAspectRatio": [4, 1]}, (3, 1)),
        ({"NominalScannedPixelSpacing": [1, 5], "PixelAspectRatio": [4, 1]}, (1, 5)),
        ({"PixelAspectRatio": [4, 3]}, (4, 3)),
        ({"PixelSpacing": [-1, 2]}, (1, 1)),
        ({"PixelSpacing": [100, 1]}, (100, 1)),
        ({"PixelSpacing": [1, 101]}, (1, 1)),
        ({"PixelSpacing": [1000, 1], "PixelAspectRatio": [4, 1]}, (4, 1)),
        ({}, (1, 1)),
    ],
)
def test_the_shape_of_pixels(attributes: dict[str, Any], spacing: tuple[float, float]) -> None:
    assert display_of(image(1, **attributes)).spacing == spacing


def test_broken_attributes_count_as_absent() -> None:
    metadata: JSONDataset = {
        "00280101": {"vr": "US"},
        "00281050": {"vr": "DS", "Value": ["NaN"]},
        "00281051": {"vr": "DS", "Value": [None]},
        "00281053": {"vr": "DS", "Value": [0]},
        "00283000": {"vr": "SQ", "Value": [{}]},
        "00283010": {"vr": "SQ", "Value": [{"00283002": {"vr": "US", "Value": [9, 0, 16]}, "00283006": {"vr": "US"}}]},
        "00280030": {"vr": "DS", "Value": ["x", 1]},
        "00280004": {"vr": "CS", "Value": ["PALETTE COLOR"]},
        "52009229": {"vr": "UN", "InlineBinary": "AAAA"},
        "52009230": {"vr": "SQ", "Value": [{}]},
    }
    assert read_display(metadata, 0, {}) == Display(bits=8, stored_range=(0, 255))


def test_segmentations_show_their_own_range() -> None:
    fraction = image(1, noise(1, bits=8), SegmentationType="FRACTIONAL", MaximumFractionalValue=200)
    assert display_of(fraction).stored_range == (0, 200)
    assert display_of(image(1, noise(1, bits=8), SegmentationType="LABELMAP")).stored_range is None
    assert display_of(image(1, noise(1, bits=8), BitsStored=1, HighBit=0)).stored_range == (0, 1)


def test_entries_decide_where_the_descriptor_is_wrong() -> None:
    """8-bit entries declared as 16 bits, and 16-bit ones declared as 8, are common."""
    found = []
    for entries, bits in ((np.arange(256), 16), (np.arange(256) * 256, 8)):
        table = item(LUTDescriptor=[256, 0, bits])
        table.add_new("LUTData", "US", entries.tolist())
        voi = display_of(image(1, VOILUTSequence=Sequence([table]))).voi
        assert isinstance(voi, LookupTable)
        found.append(voi.bits)
    assert found == [8, 16]


def palette_of(*tables: npt.NDArray[Any], first: int = 0, **attributes: Any) -> Display:
    dataset = image(1, noise(1, bits=8), PhotometricInterpretation="PALETTE COLOR", **attributes)
    for colour, entries in zip(("Red", "Green", "Blue"), tables, strict=True):
        descriptor = [len(entries), first, 16]
        dataset.add_new(f"{colour}PaletteColorLookupTableDescriptor", "US", descriptor)
        setattr(dataset, f"{colour}PaletteColorLookupTableData", entries.astype("<u2").tobytes())
    return display_of(dataset)


def test_the_tables_of_a_palette_have_the_same_bits() -> None:
    ramp, constant = np.arange(256), np.full(256, 200)
    frame = np.array([[255]], "u1")
    assert render_frame(frame, palette_of(ramp * 256, ramp * 256, constant)).tolist() == [[[255, 255, 0]]]
    assert render_frame(frame, palette_of(ramp, ramp, constant)).tolist() == [[[255, 255, 200]]]


@pytest.mark.parametrize(("signed", "expected"), [(0, 63536), (1, -2000)])
def test_the_first_input_of_a_table_is_signed_as_pixels_are(signed: int, expected: int) -> None:
    """Some writers give the unsigned reading of a negative value."""
    modality, voi = Dataset(), Dataset()
    for table in (modality, voi):
        table.add_new("LUTDescriptor", "US", [256, 63536, 8])
        table.add_new("LUTData", "OW", np.arange(256, dtype="<u2").tobytes())
    modality.ModalityLUTType = "US"
    pixels = noise(1).astype("i2" if signed else "u2")
    found = display_of(image(1, pixels, VOILUTSequence=Sequence([voi])))
    assert isinstance(found.voi, LookupTable)
    assert found.voi.first == expected
    # What a modality LUT makes is not signed, whatever pixels are.
    both = display_of(image(1, pixels, ModalityLUTSequence=Sequence([modality]), VOILUTSequence=Sequence([voi])))
    assert isinstance(both.modality, LookupTable)
    assert isinstance(both.voi, LookupTable)
    assert (both.modality.first, both.voi.first) == (expected, 63536)


@pytest.mark.parametrize(("signed", "expected"), [(0, 63536), (1, -2000)])
def test_the_first_input_of_a_palette_is_signed_as_pixels_are(signed: int, expected: int) -> None:
    found = palette_of(*[np.arange(256)] * 3, first=63536, PixelRepresentation=signed).palette
    assert found is not None
    assert [table.first for table in found] == [expected] * 3


@pytest.mark.parametrize(
    "descriptor", [[4_000_000_000, 0, 16], [65537, 0, 16], [-5, 0, 16], [9, 65536, 16], [9, -32769, 16], [9, 0, 17]]
)
def test_impossible_descriptors_count_as_absent(descriptor: list[int]) -> None:
    words = np.array([0, 1, 5, *[1, 65535, 9] * 100], "<u2")
    data = {"vr": "US", "Value": words.tolist()}
    metadata: JSONDataset = {"00280004": {"vr": "CS", "Value": ["PALETTE COLOR"]}}
    for channel in "123":
        metadata[f"0028110{channel}"] = {"vr": "UL", "Value": descriptor}
        metadata[f"0028122{channel}"] = data
    assert read_display(metadata, 0, {}).palette is None
    table: JSONDataset = {"00283002": {"vr": "UL", "Value": descriptor}, "00283006": data}
    metadata = {"00283000": {"vr": "SQ", "Value": [table]}, "00283010": {"vr": "SQ", "Value": [table]}}
    assert read_display(metadata, 0, {}) == Display(bits=8, stored_range=(0, 255))
