"""Writes the files of every kind, and what must be seen of them: `python -m tests.e2e.samples FOLDER [KEY...]`.

What must be seen is printed as JSON.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from pydicom import dcmwrite
from pydicom.dataset import Dataset
from pydicom.uid import UID, generate_uid

from tests.e2e.kind import Kind, Made, View
from tests.e2e.kinds import KINDS
from tests.e2e.limits import limits_of
from tests.support.dicom_files import AVC

_VIDEO = ("1.2.840.10008.1.2.4.100", AVC)
_OWN_UIDS = ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "FrameOfReferenceUID")


def write_kind(folder: Path, kind: Kind) -> dict[str, object]:
    """The files of a kind as one study of its own, and what must be seen of it."""
    made = kind.make()
    _give_uids(kind.key, made.datasets)
    target = folder / kind.key
    target.mkdir(parents=True)
    for number, dataset in enumerate(made.datasets, 1):
        dataset.StudyDescription = kind.name
        dataset.PatientID = kind.key[:64]
        dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
        _write(target / f"{number:03}.dcm", dataset)
    limits = {viewer: {"module": limit.module} for viewer, limit in limits_of(kind.name).items()}
    return {"name": kind.name, "key": kind.key, "hosts": kind.hosts, "page": kind.page, "limits": limits} | _expected(
        made
    )


def _write(path: Path, dataset: Dataset) -> None:
    """pydicom does not know the transfer syntaxes of JPEG XL, and has to be told how such data sets are encoded."""
    if dataset.file_meta.TransferSyntaxUID.is_transfer_syntax:
        dataset.save_as(path, enforce_file_format=True)
    else:
        dcmwrite(path, dataset, implicit_vr=False, little_endian=True, force_encoding=True)


def _expected(made: Made) -> dict[str, object]:
    shown = made.datasets[made.instance]
    with_images = {dataset.SeriesInstanceUID for dataset in made.datasets if _has_images(dataset)}
    return {
        "bare": sorted({dataset.SeriesInstanceUID for dataset in made.datasets} - with_images),
        "study": shown.StudyInstanceUID,
        "series": shown.SeriesInstanceUID,
        "instance": shown.SOPInstanceUID,
        "views": [_view(view) for view in made.views],
    }


def _has_images(dataset: Dataset) -> bool:
    """Whether there is a thumbnail of it, which there is not of a video (PS3.5 A.4.5 and following)."""
    return "PixelData" in dataset and dataset.file_meta.TransferSyntaxUID not in _VIDEO


def _view(view: View) -> dict[str, object]:
    return {"opened": view.opened, "series": view.series, "typed": view.typed, "look": view.look.to_json()}


def _give_uids(key: str, datasets: Sequence[Dataset]) -> None:
    """UIDs of this kind alone, the same in every run, and in whatever refers to them."""
    own = {dataset[keyword].value for dataset in datasets for keyword in _OWN_UIDS if keyword in dataset}
    for dataset in datasets:
        for holder in _nested(dataset):
            for element in holder:
                if element.VR == "UI" and element.value in own:
                    element.value = UID(generate_uid(entropy_srcs=[key, str(element.value)]))


def _nested(dataset: Dataset) -> Iterator[Dataset]:
    """A data set and all items in it."""
    yield dataset
    for element in dataset:
        if element.VR == "SQ":
            for item in element.value:
                yield from _nested(item)


def main(folder: Path, *words: str) -> None:
    """Words are keys of kinds; `--core` stands for all of the core, and none for all."""
    chosen = [kind for kind in KINDS if not words or kind.key in words or ("--core" in words and kind.core)]
    json.dump([write_kind(folder, kind) for kind in chosen], sys.stdout)


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])
