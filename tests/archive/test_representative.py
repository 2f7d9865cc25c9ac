"""Which instances viewers ask for by themselves; `tests/e2e/test_panel.py` compares that with OHIF."""

from __future__ import annotations

from typing import Any

import pytest
from pydicom import uid

from stillframe.archive.record import Record, describe_options, with_record
from stillframe.archive.representative import asked_for, series_candidates
from stillframe.dicom.json_model import JSONDataset
from stillframe.options import BuildOptions, Thumbnails

CT, DX, SEG = uid.CTImageStorage, uid.DigitalXRayImageStorageForPresentation, uid.SegmentationStorage
WSM, MR = uid.VLWholeSlideMicroscopyImageStorage, uid.MRImageStorage
HTJ2K = "1.2.840.10008.1.2.4.202"


def made(
    instance: str,
    number: Any = None,
    frames: int = 1,
    sop_class: str = CT,
    modality: str = "CT",
    syntax: str = HTJ2K,
    thumbnails: Thumbnails = Thumbnails.SERIES,
) -> JSONDataset:
    values = {
        "00080016": ("UI", sop_class),
        "00080018": ("UI", instance),
        "00080060": ("CS", modality),
        "00083002": ("UI", syntax),
        "00200013": ("IS", number),
        "00280008": ("IS", frames),
    }
    dataset = {tag: {"vr": vr, "Value": [value]} for tag, (vr, value) in values.items() if value is not None}
    return with_record(dataset, Record("sha256:1", describe_options(BuildOptions(thumbnails=thumbnails))))


def uids(metadata: list[JSONDataset]) -> list[str]:
    return [item["00080018"]["Value"][0] for item in metadata]


@pytest.mark.parametrize(
    ("instances", "asked"),
    [
        ([], []),
        ([made("1.1", 1)], ["1.1"]),
        ([made(f"1.{number}", number) for number in (1, 2, 3, 4)], ["1.3"]),
        ([made(f"1.{number}", number) for number in (4, 1, 3, 2, 5)], ["1.3"]),
        # Numbers are numbers; text that begins with one counts as that, and none as 0.
        ([made("1.1", 10), made("1.2", 9), made("1.3", 2)], ["1.2"]),
        ([made("1.1", "2b"), made("1.2", "x"), made("1.3", 1)], ["1.3"]),
        ([made("1.1", None), made("1.2", -1), made("1.3", 1)], ["1.1"]),
        # UIDs are text: 10 comes before 9.
        ([made("1.8", 1), made("1.9", 1), made("1.10", 1)], ["1.8"]),
        # Each image of several frames is a display set, and each of some modalities.
        ([made("1.1", 1, 5), made("1.2", 2, 2), made("1.3", 3), made("1.4", 4)], ["1.1", "1.2", "1.4"]),
        ([made(f"1.{number}", number, sop_class=DX, modality="DX") for number in (1, 2)], ["1.1", "1.2"]),
        # SOP classes are apart.
        ([made("1.1", 1), made("1.2", 2), made("1.3", 3, sop_class=MR)], ["1.2", "1.3"]),
        ([made("1.1", 1), made("1.2", 2, 9, sop_class=SEG)], ["1.1"]),
        ([made("1.1", 1, 9, WSM, "SM"), made("1.2", 2, 3, WSM, "SM"), made("1.3", 3, 3, WSM, "SM")], ["1.2"]),
        # What has no frames is no image, what was built without thumbnails counts and has none.
        ([made("1.1", 1), made("1.2", 2), made("1.3", 3, syntax="1.2.840.10008.1.2.4.102")], ["1.2"]),
        ([made("1.1", 1), made("1.2", 2, thumbnails=Thumbnails.NONE), made("1.3", 3)], []),
        ([made("1.1", 1), made("1.2", 2, syntax="1.2.3.4"), made("1.3", 3)], []),
    ],
)
def test_each_display_set_has_its_middle(instances: list[JSONDataset], asked: list[str]) -> None:
    assert uids(asked_for(instances)) == asked


def test_what_nothing_decodes_or_was_built_without_thumbnails_stands_for_nothing() -> None:
    instances = [made("1.1", 1), made("1.2", 2, syntax="1.2.3.4"), made("1.3", 3, thumbnails=Thumbnails.NONE)]
    assert uids(series_candidates(instances)) == ["1.1"]
