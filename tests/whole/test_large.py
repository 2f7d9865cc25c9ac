"""Many instances and many frames: time, memory and open files follow what is under way, not what there is."""

from __future__ import annotations

import json
import resource
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from pydicom.uid import UID

from tests.support.dicom_files import EXPLICIT, ROOT, image, noise, to_bytes
from tests.support.elements import REPORT_CLASS, identity, meta_header, slide_tiles

# Publishes the first path into the second, and says what that took; one process, so that its peak is all there is.
SCRIPT = """
import os, resource, sys
from pathlib import Path
from stillframe.build.pipeline import build
from stillframe.build.request import BuildRequest
from stillframe.execute import SerialExecutor
from stillframe.options import BuildOptions
from tests.support.told_store import ToldStore
from tests.support.trees import NoProgress
source, tree = sys.argv[1:]
most = 0
class Watching(NoProgress):
    def step(self, count=1):
        global most
        most = max(most, len(os.listdir("/proc/self/fd")))
class WatchingStore(ToldStore):
    def before_put(self, key, data):
        Watching().step()
        return data
import stillframe.build.instance
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
store = WatchingStore(tree)
store.create()
report = build(BuildRequest(sources=(source,), options=BuildOptions(reduced=())), store, SerialExecutor(), Watching())
after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(report.outcomes.total(), report.frames, len(report.rejected), (after - before) // 1024, most)
"""


def measure(source: Path, tree: Path) -> tuple[int, int, int, int, int]:
    """Instances, frames, rejected inputs, megabytes taken beyond the libraries, and most files open at once."""
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(source), str(tree)], capture_output=True, text=True, check=True
    )
    instances, frames, rejected, megabytes, files = map(int, done.stdout.split())
    return instances, frames, rejected, megabytes, files


def write_copies(folder: Path, count: int) -> None:
    """Tiny images: 20 a series, 5 series a study, spread over folders, their names without ending."""
    instance, series, study = (f"{ROOT}.{kind}.1000000" for kind in (7, 8, 9))
    dataset = image(1, noise(1, (8, 8)), SOPInstanceUID=instance, SeriesInstanceUID=series, StudyInstanceUID=study)
    dataset.file_meta.MediaStorageSOPInstanceUID = UID(instance)
    data = to_bytes(dataset)
    for number in range(count):
        path = folder / f"{number % 10}" / f"{number // 1000}" / f"IM{number:05}"
        path.parent.mkdir(parents=True, exist_ok=True)
        content = data.replace(b".7.1000000", b".7.%07d" % (number + 1000000))
        content = content.replace(b".8.1000000", b".8.%07d" % (number // 20 + 1000000))
        path.write_bytes(content.replace(b".9.1000000", b".9.%07d" % (number // 100 + 1000000)))


@pytest.mark.slow
def test_thousands_of_tiny_instances(tmp_path: Path) -> None:
    write_copies(tmp_path / "in", 1200)
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    instances, frames, rejected, megabytes, files = measure(tmp_path / "in", tmp_path / "tree")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert (instances, frames, rejected) == (1200, 1200, 0)
    assert len(json.loads((tmp_path / "tree" / "studies" / "index.json").read_bytes())) == 12
    assert after.ru_utime - before.ru_utime < 15  # of a core's own time, however busy the machine is
    assert megabytes < 100
    assert files < 30


@pytest.mark.slow
@pytest.mark.parametrize("frames", [3000])
def test_a_file_of_thousands_of_frames(tmp_path: Path, frames: int) -> None:
    """Three hundred megabytes of frames, none of which is kept."""
    pixels = np.random.default_rng(1).integers(0, 4096, (224, 224), "u2")
    dataset = image(1, pixels)
    dataset.NumberOfFrames = frames
    data = to_bytes(dataset)
    place = data.rindex(b"\xe0\x7f\x10\0OW")
    with (tmp_path / "1.dcm").open("wb") as file:
        file.write(data[: place + 8] + struct.pack("<L", pixels.nbytes * frames))
        for number in range(frames):
            file.write(np.roll(pixels, number).tobytes())
    assert (tmp_path / "1.dcm").stat().st_size > 300_000_000
    instances, published, rejected, megabytes, files = measure(tmp_path / "1.dcm", tmp_path / "tree")
    assert (instances, published, rejected) == (1, frames, 0)
    assert megabytes < 100
    assert files < 30


@pytest.mark.slow
def test_an_instance_of_many_items_takes_what_its_json_takes(tmp_path: Path) -> None:
    """A hundred thousand elements and items; thirty times as many stay below a gigabyte."""
    tiles = 10_000
    data = b"".join([meta_header(EXPLICIT, REPORT_CLASS), *identity(sop_class=REPORT_CLASS), slide_tiles(tiles)])
    (tmp_path / "1.dcm").write_bytes(data)
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    instances, _, rejected, megabytes, _ = measure(tmp_path / "1.dcm", tmp_path / "tree")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert (instances, rejected) == (1, 0)
    assert megabytes < 50
    assert after.ru_utime - before.ru_utime < 25
    (metadata,) = json.loads(next((tmp_path / "tree").glob("studies/*/series/*/instances/*/metadata")).read_bytes())
    assert len(metadata["52009230"]["Value"]) == tiles
    last = metadata["52009230"]["Value"][-1]
    assert last["00209111"]["Value"][0]["00209157"]["Value"] == [(tiles - 1) % 400 + 1, (tiles - 1) // 400 + 1]
