"""Every kind of object that has a form of its own, built: what of it is published. For the table in docs/inputs.md."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from pydicom import uid
from pydicom.dataset import FileDataset

from tests.support import dicom_objects
from tests.support.dicom_files import MP4, image, pdf, without_pixels, write, write_video
from tests.support.trees import build_tree, contents

_MASK = np.zeros((2, 96, 80), bool)
_MASK[1, 10:50, 10:40] = True


def _document(sop_class: str) -> FileDataset:
    return without_pixels(1, SOPClassUID=sop_class, EncapsulatedDocument=bytes(2000))


# What is made, or the file of pydicom's that is one.
_KINDS: dict[str, Callable[[], FileDataset] | str] = {
    "image": lambda: image(1),
    "segmentation, binary": lambda: dicom_objects.segmentation("BINARY", _MASK),
    "segmentation, fractional": lambda: dicom_objects.segmentation("FRACTIONAL", _MASK),
    "parametric map": lambda: dicom_objects.parametric_map(np.random.default_rng(1).random((2, 96, 80))),
    "RT Dose": "rtdose.dcm",
    "RT Structure Set": "rtstruct.dcm",
    "MR Spectroscopy": lambda: image(
        1, SOPClassUID=uid.MRSpectroscopyStorage, PixelData=None, SpectroscopyData=bytes(2048)
    ),
    "RT Plan": "rtplan.dcm",
    "structured report": "test-SR.dcm",
    "key object selection": dicom_objects.key_objects,
    "presentation state": dicom_objects.presentation_state,
    "waveform": "waveform_ecg.dcm",
    "Encapsulated PDF": lambda: pdf(b"%PDF-1.7 " + bytes(2000)),
    "Encapsulated CDA": lambda: _document(uid.EncapsulatedCDAStorage),
    "Encapsulated STL": lambda: _document(uid.EncapsulatedSTLStorage),
    "raw data": lambda: without_pixels(1, SOPClassUID=uid.RawDataStorage),
}
_NAMES = {"": "whole object", "metadata": "metadata", "thumbnail": "thumbnail", "rendered": "rendered"}


def published_kinds(folder: Path, samples: list[Path]) -> list[list[str]]:
    """Rows of kind and what is published of it."""
    rows = []
    for number, (kind, make) in enumerate(_KINDS.items()):
        if isinstance(make, str):
            source = next(path for path in samples if path.name == make)
        else:
            source = write(folder, f"in/{number}.dcm", make())
        rows.append([kind, _published(folder / f"{number}", source)])
    video = write_video(folder / "video", [MP4])
    return [*rows, ["video (MP4)", _published(folder / "v", video)]]


def _published(tree: Path, source: Path) -> str:
    report = build_tree(tree, source)
    assert report.exit_code == 0, report.rejected
    leaves = {path.partition("/instances/")[2].partition("/")[2] for path in contents(tree) if "/instances/" in path}
    leaves -= {"", "index.json"}
    found = {_NAMES.get(leaf.removesuffix("index.dcm"), leaf.partition("/")[0]) for leaf in leaves}
    return ", ".join(sorted(found - {"index.json"}))
