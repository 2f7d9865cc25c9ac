"""The study page in Chromium, over an archive with an object of each kind and over a list of 20,000 studies."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom import uid
from pydicom.dataset import FileDataset
from pydicom.uid import generate_uid

from tests.support import dicom_objects
from tests.support.dicom_files import AVC, MP4, encapsulated, image, pdf, without_pixels, write
from tests.support.ohif import write_ohif
from tests.support.places import REPOSITORY
from tests.support.trees import build_tree

_E2E = REPOSITORY / "tests" / "e2e"
_SAMPLES = Path(pydicom.__file__).parent / "data" / "test_files"
_CHROMIUM = os.environ.get("CHROMIUM") or "/usr/bin/chromium"

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed"),
    pytest.mark.skipif(not Path(_CHROMIUM).exists(), reason="Chromium is not installed (CHROMIUM names another)"),
    pytest.mark.skipif(
        not all((_E2E / "node_modules" / name).is_dir() for name in ("playwright-core", "axe-core")),
        reason="playwright-core and axe-core are not installed (npm install in tests/e2e)",
    ),
]

_CDA = """<?xml version="1.0"?>
<ClinicalDocument xmlns="urn:hl7-org:v3"><component><structuredBody><component><section><title>Findings</title>
<text><paragraph>No &lt;b>acute&lt;/b> fracture.</paragraph>
<table><tbody><tr><th>Side</th><td>left</td></tr></tbody></table></text></section></component></structuredBody></component>
</ClinicalDocument>"""


def _document(sop_class: str, content: bytes, **attributes: object) -> FileDataset:
    return without_pixels(1, SOPClassUID=sop_class, EncapsulatedDocument=content, **attributes)


def _sample(name: str) -> FileDataset:
    return pydicom.dcmread(_SAMPLES / name)


def _mask() -> np.ndarray[tuple[int, ...], np.dtype[np.bool]]:
    mask = np.zeros((2, 96, 80), bool)
    mask[1, 10:50, 10:40] = True
    return mask


# By its study description: how an object is made, and what the page offers for its series.
_VIEWER, _METADATA, _WHOLE = "Open in the viewer", "Metadata", "Download DICOM"
_KINDS: dict[str, tuple[Callable[[], FileDataset], list[str]]] = {
    "image": (lambda: image(1), ["Open", "Instances"]),
    "slide": (
        lambda: image(1, SOPClassUID=uid.VLWholeSlideMicroscopyImageStorage, Modality="SM"),
        ["Open", "Instances"],
    ),
    "segmentation": (lambda: dicom_objects.segmentation("BINARY", _mask()), ["Open", "Instances"]),
    "structured report": (lambda: _sample("test-SR.dcm"), ["Read", _VIEWER, _METADATA, _WHOLE]),
    "key object selection": (dicom_objects.key_objects, ["Read", _METADATA, _WHOLE]),
    "presentation state": (dicom_objects.presentation_state, ["Read", _METADATA, _WHOLE]),
    "waveform": (lambda: _sample("waveform_ecg.dcm"), ["Read", _VIEWER, _METADATA, _WHOLE]),
    "RT plan": (lambda: _sample("rtplan.dcm"), ["Read", _METADATA]),
    "raw data": (lambda: without_pixels(1, SOPClassUID=uid.RawDataStorage), ["Read", _METADATA]),
    "Encapsulated PDF": (
        lambda: pdf(b"%PDF-1.7 " + bytes(2000)),
        ["Open PDF", _VIEWER, _METADATA, _WHOLE],
    ),
    "Encapsulated CDA": (
        lambda: _document(uid.EncapsulatedCDAStorage, _CDA.encode(), Modality="DOC"),
        ["Read", "Download XML", _METADATA, _WHOLE],
    ),
    "Encapsulated STL": (
        lambda: _document(uid.EncapsulatedSTLStorage, bytes(2000), Modality="M3D"),
        ["Download STL", _METADATA, _WHOLE],
    ),
    "video": (
        lambda: encapsulated([MP4], AVC, SOPClassUID=uid.VideoEndoscopicImageStorage, Modality="ES"),
        ["Play", _VIEWER, _METADATA, _WHOLE],
    ),
}


def _write_kinds(folder: Path) -> None:
    for kind, (make, _) in _KINDS.items():
        dataset = make()
        dataset.StudyInstanceUID = generate_uid(entropy_srcs=[kind])
        dataset.SeriesInstanceUID = generate_uid(entropy_srcs=[kind, "series"])
        dataset.SOPInstanceUID = generate_uid(entropy_srcs=[kind, "instance"])
        dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
        dataset.StudyDescription = kind
        write(folder, f"{kind}.dcm", dataset)


@pytest.mark.slow
def test_the_page_in_chromium(tmp_path: Path) -> None:
    _write_kinds(tmp_path / "dicom")
    report = build_tree(tmp_path / "tree", tmp_path / "dicom")
    assert report.exit_code == 0, report.rejected
    kinds = tmp_path / "kinds.json"
    kinds.write_text(json.dumps({kind: labels for kind, (_, labels) in _KINDS.items()}))
    environment = {**os.environ, "STILLFRAME_BIN": str(Path(sys.executable).parent)}
    viewer = write_ohif(tmp_path / "dist")
    done = subprocess.run(
        ["node", str(_E2E / "study-page.mjs"), str(tmp_path / "tree"), str(kinds), str(viewer)],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=1800,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["firstRows"] > 0
