"""Metadata in the form that viewers show, at every depth."""

from __future__ import annotations

import copy
from base64 import b64encode
from typing import Any

import numpy as np
import pytest

from stillframe.dicom.json_model import BulkValue
from stillframe.dicom.viewer_values import in_viewer_form

FUNCTION, SPACING = "00281056", "00280030"
SHARED, PER_FRAME, VOI_LUT, MEASURES = "52009229", "52009230", "00289132", "00289110"
LINEAR = {FUNCTION: {"vr": "CS", "Value": ["LINEAR"]}}
SIZE = {"00280010": {"vr": "US", "Value": [64]}, "00280011": {"vr": "US", "Value": [48]}}


def spacing(*values: Any) -> dict[str, Any]:
    return {SPACING: {"vr": "DS", "Value": list(values)}}


def sequence(tag: str, *items: dict[str, Any]) -> dict[str, Any]:
    return {tag: {"vr": "SQ", "Value": list(items)}}


def test_what_is_in_that_form_stays_the_same_object() -> None:
    dataset = SIZE | spacing(1, 1) | sequence(SHARED, sequence(MEASURES, spacing(0.5, 0.5)), {})
    form = in_viewer_form(dataset)
    assert form.dataset is dataset
    assert (form.bulk, form.notes) == ((), ())


@pytest.mark.parametrize(
    "around",
    [
        lambda item: item,
        lambda item: sequence(SHARED, sequence(VOI_LUT, item)),
        lambda item: sequence(PER_FRAME, sequence(VOI_LUT, item), sequence(VOI_LUT, item)),
        lambda item: sequence("00283110", item),
        lambda item: sequence("00091001", sequence("00091002", item)),
    ],
)
def test_linear_is_left_out_at_every_depth(around: Any) -> None:
    window = {"00281050": {"vr": "DS", "Value": [40]}, "00281051": {"vr": "DS", "Value": [400]}}
    dataset = SIZE | around(LINEAR | window)
    before = copy.deepcopy(dataset)
    form = in_viewer_form(dataset)
    assert form.dataset == dict(sorted((SIZE | around(window)).items()))
    assert list(form.dataset) == sorted(form.dataset)
    assert form.notes == ()
    assert dataset == before  # items may be shared with other instances


@pytest.mark.parametrize("values", [["SIGMOID"], ["LINEAR_EXACT"], ["linear"], ["LINEAR", "LINEAR"], ["LINEAR "], []])
def test_other_functions_stay(values: list[str]) -> None:
    dataset = {FUNCTION: {"vr": "CS", "Value": values}}
    assert in_viewer_form(dataset).dataset is dataset


def test_linear_stays_where_it_would_be_another_function_without_it() -> None:
    dataset = {FUNCTION: {"vr": "CS", "Value": ["SIGMOID"]}} | sequence(SHARED, sequence(VOI_LUT, dict(LINEAR)))
    assert in_viewer_form(dataset).dataset is dataset


def test_a_spacing_in_a_functional_group_is_that_of_the_image_around_it() -> None:
    groups = [sequence(MEASURES, spacing(0, 0)) for _ in range(3)]
    form = in_viewer_form(SIZE | sequence(PER_FRAME, *groups))
    assert form.dataset == SIZE | sequence(PER_FRAME, *[sequence(MEASURES, {})] * 3)
    assert form.notes == (
        "Pixel Spacing (0028,0030) 0\\0 is left out, and 2 more of them: along a side of more than one pixel it is more"
        " than 0 (PS3.3 10.7.1.3)",
    )


def test_a_spacing_in_an_icon_is_that_of_the_icon() -> None:
    icon = {"00280010": {"vr": "US", "Value": [1]}, "00280011": {"vr": "US", "Value": [1]}} | spacing(0, 0)
    dataset = SIZE | sequence("00880200", icon)
    assert in_viewer_form(dataset).dataset is dataset


def test_what_stood_there_before_stays() -> None:
    dataset = SIZE | sequence("04000561", sequence("04000550", LINEAR | spacing(0, 0)))
    assert in_viewer_form(dataset).dataset is dataset


def segmented(*tables: dict[str, str]) -> dict[str, Any]:
    """Palettes of 600 entries, which are bulk data once they are expanded."""
    dataset: dict[str, Any] = {}
    for number, table in enumerate(tables, 1):
        dataset[f"0028110{number}"] = {"vr": "US", "Value": [600, 0, 16]}
        dataset[f"0028122{number}"] = {"vr": "OW", **table}
    return dataset


def test_an_expanded_palette_stands_in_the_place_of_its_segments() -> None:
    data = np.array([0, 1, 0, 1, 599, 599], "<u2").tobytes()
    inline = {"InlineBinary": b64encode(data).decode()}
    far = {"BulkDataURI": "bulkdata/00281222"}
    red = np.arange(600, dtype="<u2").tobytes()
    down = np.array([0, 1, 599, 1, 599, 0], "<u2").tobytes()
    bulk = [BulkValue("00281222", down), BulkValue("00091001", b"other")]
    dataset = segmented(inline, far, inline) | {"00091001": {"vr": "OB", "BulkDataURI": "bulkdata/00091001"}}
    form = in_viewer_form(dataset, bulk)
    assert {tag: form.dataset[tag] for tag in form.dataset if tag.startswith("002812")} == {
        "00281201": {"vr": "OW", "BulkDataURI": "bulkdata/00281201"},
        "00281202": {"vr": "OW", "BulkDataURI": "bulkdata/00281202"},
        "00281203": {"vr": "OW", "BulkDataURI": "bulkdata/00281201"},  # equal values are stored once
    }
    assert list(form.dataset) == sorted(form.dataset)
    assert set(form.bulk) == {
        BulkValue("00091001", b"other"),
        BulkValue("00281201", red),
        BulkValue("00281202", np.arange(599, -1, -1, dtype="<u2").tobytes()),
    }
    assert form.notes == ()


def test_a_palette_in_a_sequence_is_expanded_there() -> None:
    inline = {"InlineBinary": b64encode(np.array([0, 1, 0, 1, 599, 599], "<u2").tobytes()).decode()}
    form = in_viewer_form(sequence("00480105", sequence("00480120", segmented(inline))))
    path = "00480105/1/00480120/1/00281201"
    (item,) = form.dataset["00480105"]["Value"][0]["00480120"]["Value"]
    assert item["00281201"] == {"vr": "OW", "BulkDataURI": f"bulkdata/{path}"}
    assert "00281221" not in item
    assert form.bulk == (BulkValue(path, np.arange(600, dtype="<u2").tobytes()),)


def test_an_expanded_table_that_is_there_already_is_stored_once() -> None:
    table = np.arange(600, dtype="<u2").tobytes()
    inline = {"InlineBinary": b64encode(np.array([0, 1, 0, 1, 599, 599], "<u2").tobytes()).decode()}
    icon = {"00281201": {"vr": "OW", "BulkDataURI": "bulkdata/00880200/1/00281201"}}
    form = in_viewer_form(segmented(inline) | sequence("00880200", icon), [BulkValue("00880200/1/00281201", table)])
    assert form.dataset["00281201"]["BulkDataURI"] == "bulkdata/00880200/1/00281201"
    assert form.bulk == (BulkValue("00880200/1/00281201", table),)


def test_a_palette_that_cannot_be_expanded_is_told_with_its_place() -> None:
    dataset = sequence("00480120", segmented({"InlineBinary": b64encode(b"\7\0\1\0\1\0").decode()}))
    form = in_viewer_form(dataset)
    assert form.dataset is dataset
    (note,) = form.notes
    assert note.startswith("00480120/1/Segmented Red Palette Color Lookup Table Data (0028,1221) cannot be expanded")


@pytest.mark.slow
def test_a_file_of_many_palettes_grows_no_further_than_images_have_palettes() -> None:
    """A linear segment of 8 bytes makes a table of 128 KB."""
    items = [
        {
            "00281101": {"vr": "US", "Value": [0, 0, 16]},
            "00281221": {"vr": "US", "Value": [0, 1, number, 1, 65535, 65535]},
        }
        for number in range(100)
    ]
    form = in_viewer_form(sequence("00480120", *items))
    kept = form.dataset["00480120"]["Value"]
    assert ["00281201" in item for item in kept] == [True] * 32 + [False] * 68
    assert kept[32:] == items[32:]
    assert len(form.bulk) == 32
    assert form.notes == ("of 100 segmented palettes the first 32 are expanded, the others stay as they are",)
