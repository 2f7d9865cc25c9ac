"""Speed of a build, stage by stage, in one run: `make bench`.

    python benchmarks/run.py [--work FOLDER] [--repeat N] [--json FILE]

Two inputs: a CT series of 64 slices of 512 x 512 (the one in ../shared/data if it is there, else one made here), and a
radiograph of 2048 x 2048. Each is built in this process, so that one CPU clock covers every stage; elapsed time and
memory come from the command line with its worker processes. Times are the median run's.

The figure to hold on to is the ratio of all CPU time to what encoding and verifying alone take in the same run: it
says how much the pipeline adds, whatever the machine. Making five folders an instance costs from 5 to 150 microseconds
a folder, as the file system's state has it, so the trees are also built in memory (/dev/shm). Thumbnails and rendered
images are no part of the coding; the ratio is given with and without them.
"""

from __future__ import annotations

import argparse
import json
import re
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from decoding import measure_decoding
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import UID, ExplicitVRLittleEndian
from s3_upload import measure_s3
from syncing import measure_syncing

from stillframe.build.pipeline import build
from stillframe.build.report import Report
from stillframe.build.request import BuildRequest
from stillframe.execute import SerialExecutor
from stillframe.options import BuildOptions, Rendered
from stillframe.store.directory import DirectoryStore
from stillframe.worker_process import prepare_process

CT_SERIES = Path(__file__).parents[2] / "shared" / "data" / "ct-volume"
STAGES = ("scan", "read", "decode", "encode", "verify", "index", "reduce", "render", "JSON", "write", "lists")
CODING = ("encode", "verify")
MEMORY = Path("/dev/shm")
NO_PICTURES = BuildOptions(rendered=Rendered.NEVER, thumbnails=False)
COMMAND = (sys.executable, "-m", "stillframe")


@dataclass(frozen=True)
class Measured:
    """One serial build: CPU seconds in all and by stage, and what was built."""

    cpu: float
    stages: dict[str, float]
    report: Report

    @property
    def coding(self) -> float:
        """CPU seconds of encoding and verifying."""
        return sum(self.stages[stage] for stage in CODING)

    @property
    def ratio(self) -> float:
        """All CPU time over that of encoding and verifying."""
        return self.cpu / self.coding


class Quiet:
    """Progress that nobody watches."""

    def stage(self, name: str, total: int) -> None:
        """See `stillframe.build.pipeline.Progress`."""

    def step(self, count: int = 1) -> None:
        """See `stillframe.build.pipeline.Progress`."""


def build_serially(source: Path, destination: Path, options: BuildOptions) -> Measured:
    """Build in this process, into an empty folder."""
    shutil.rmtree(destination, ignore_errors=True)
    store = DirectoryStore(str(destination))
    store.create()
    start = time.process_time()
    report = build(BuildRequest(sources=(str(source),), options=options), store, SerialExecutor(), Quiet())
    cpu = time.process_time() - start
    if report.exit_code:
        raise SystemExit(f"{source}: some inputs were rejected")
    return Measured(cpu, dict.fromkeys(STAGES, 0.0) | dict(report.stages), report)


def median_of(repeat: int, measure: Callable[[], Measured]) -> Measured:
    """The run in the middle, by ratio, of several after one that warms the caches."""
    measure()
    runs = sorted((measure() for _ in range(repeat)), key=lambda run: run.ratio)
    return runs[len(runs) // 2]


def print_measured(name: str, measured: Measured) -> dict[str, Any]:
    """Print one input's figures and return them."""
    report, frames = measured.report, measured.report.frames
    megabytes = report.bytes_read / 1e6
    other = measured.cpu - sum(measured.stages.values())
    print(f"\n{name}: {frames} frames, {megabytes:.1f} MB in, {report.bytes_written / 1e6:.1f} MB out")
    print(f"  one core, in process: {frames / measured.cpu:7.1f} slices/s   {megabytes / measured.cpu:6.1f} MB/s")
    for stage, seconds in [*((stage, measured.stages[stage]) for stage in STAGES), ("other", other)]:
        print(f"  {stage:<8} {seconds / frames * 1e3:8.3f} ms/slice {seconds / measured.cpu:6.1%}")
    return {
        "slicesPerSecond": frames / measured.cpu,
        "megabytesPerSecond": megabytes / measured.cpu,
        "cpuSeconds": measured.stages | {"other": other},
    }


def measure_input(name: str, source: Path, tree: Path, repeat: int) -> dict[str, Any]:
    """Figures of one input; the ratio with and without thumbnails and rendered images, on disk and in memory."""
    figures = print_measured(name, median_of(repeat, lambda: build_serially(source, tree, BuildOptions())))
    with tempfile.TemporaryDirectory(prefix="stillframe-bench-", dir=MEMORY if MEMORY.is_dir() else None) as folder:
        for place, destination in (("on disk", tree), ("in memory", Path(folder, "tree"))):
            for what, options in (("with pictures", BuildOptions()), ("without pictures", NO_PICTURES)):
                ratio = median_of(repeat, partial(build_serially, source, destination, options)).ratio
                figures[f"ratio {what}, {place}"] = ratio
                print(f"  all CPU / (encode + verify), {what}, the tree {place}: {ratio:.2f}")
    return figures


def run_command(*arguments: str) -> float:
    """Elapsed seconds of one `stillframe` command."""
    start = time.perf_counter()
    done = subprocess.run([*COMMAND, *arguments], capture_output=True, check=False)
    if done.returncode:
        raise SystemExit(f"stillframe {' '.join(arguments)}: {done.stderr.decode()}")
    return time.perf_counter() - start


def measure_command(source: Path, destination: Path, frames: int) -> dict[str, Any]:
    """Elapsed time of first builds with one and two workers, and of building again what is there already."""
    figures: dict[str, Any] = {}
    print("\ncommand line, start-up included")
    for workers in ("1", "2"):
        shutil.rmtree(destination, ignore_errors=True)
        seconds = run_command("build", str(source), str(destination), "--workers", workers, "--settle", "0")
        figures[f"workers{workers}"] = seconds
        print(f"  first build, workers: {workers}   {seconds:6.2f} s {frames / seconds:7.1f} slices/s")
    again = run_command("build", str(source), str(destination), "--workers", "2", "--settle", "0")
    figures["again"] = again
    print(f"  building it again:      {again:6.2f} s  {again / figures['workers2']:.0%} of the first build")
    helps = statistics.median(run_command("--help") for _ in range(5))
    figures["help"] = helps
    print(f"  stillframe --help:      {helps:6.2f} s")
    return figures


def resource_unit() -> int:
    """Bytes in one unit of ru_maxrss."""
    return 1 if sys.platform == "darwin" else 1024


def workers_memory(source: Path, destination: Path) -> float:
    """Largest resident memory, in MB, of a worker process, sampled while a build runs."""
    shutil.rmtree(destination, ignore_errors=True)
    job = subprocess.Popen(
        [*COMMAND, "build", str(source), str(destination), "--workers", "2", "--settle", "0"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    peak = 0
    while job.poll() is None:
        for child in descendants(job.pid):
            peak = max(peak, peak_of(child))
        time.sleep(0.005)
    return peak / 1e3


def descendants(pid: int) -> Iterator[int]:
    """Process ids below a process (Linux)."""
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return
    for child in map(int, children):
        yield child
        yield from descendants(child)


def peak_of(pid: int) -> int:
    """Peak resident memory of a process in kB (VmHWM)."""
    try:
        found = re.search(r"VmHWM:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())
    except OSError:
        return 0
    return int(found[1]) if found else 0


def make_radiograph(folder: Path) -> Path:
    """One image of 2048 x 2048, 12 bits: smooth structures with detector noise, as a radiograph has."""
    folder.mkdir(parents=True, exist_ok=True)
    rows, columns = np.mgrid[0:2048, 0:2048] / 2048
    smooth = 2000 + 900 * np.sin(7 * rows) * np.cos(5 * columns) + 500 * np.sin(40 * rows * columns)
    noise = np.random.default_rng(1).normal(0, 12, smooth.shape)
    write_image(folder / "radiograph.dcm", np.clip(smooth + noise, 0, 4095).astype("<u2"), 1, modality="DX")
    return folder


def make_series(folder: Path) -> Path:
    """A CT series to measure with where the real one is absent: 64 noisy discs of 512 x 512, 12 bits."""
    folder.mkdir(parents=True, exist_ok=True)
    rows, columns = np.mgrid[-1:1:512j, -1:1:512j]
    noise = np.random.default_rng(2)
    for number in range(1, 65):
        body = np.where(rows**2 + columns**2 < 0.8, 1040 + 100 * np.sin(9 * rows + number / 9), 24)
        slice_ = np.clip(body + noise.normal(0, 10, body.shape), 0, 4095).astype("<u2")
        write_image(folder / f"{number}.dcm", slice_, number, modality="CT")
    return folder


def write_image(path: Path, pixels: np.ndarray[Any, Any], number: int, *, modality: str) -> None:
    """A small but complete DICOM file."""
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID = UID("1.2.840.10008.5.1.4.1.1.2")
    meta.MediaStorageSOPInstanceUID = UID(f"1.2.826.0.1.3680043.10.543.{len(modality)}.{ord(modality[0])}.{number}")
    image = FileDataset(str(path), {}, file_meta=meta, preamble=bytes(128))
    image.SOPClassUID, image.SOPInstanceUID = meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID
    image.StudyInstanceUID = image.SeriesInstanceUID = f"1.2.826.0.1.3680043.10.543.{ord(modality[0])}"
    image.Modality, image.PatientID, image.PatientName = modality, "BENCH", "Bench^Mark"
    image.InstanceNumber, image.SeriesNumber = number, 1
    image.Rows, image.Columns = pixels.shape
    image.BitsAllocated, image.BitsStored, image.HighBit, image.PixelRepresentation = 16, 12, 11, 0
    image.SamplesPerPixel, image.PhotometricInterpretation = 1, "MONOCHROME2"
    image.PixelData = pixels.tobytes()
    image.save_as(path, enforce_file_format=True)


@contextmanager
def work_folder(chosen: str | None) -> Iterator[Path]:
    """A folder for the trees, removed afterwards."""
    with tempfile.TemporaryDirectory(prefix="stillframe-bench-", dir=chosen) as folder:
        yield Path(folder)


def main() -> None:
    """Measure and print; the ratios are what to compare between versions."""
    parser = argparse.ArgumentParser(description="Speed of a build, stage by stage.")
    parser.add_argument("--work", metavar="FOLDER", help="where the trees are written (default: the system's)")
    parser.add_argument("--repeat", type=int, default=5, help="runs of which the median counts")
    parser.add_argument("--json", metavar="FILE", help="write the figures as JSON too")
    arguments = parser.parse_args()
    prepare_process()
    with work_folder(arguments.work) as work:
        series = CT_SERIES if CT_SERIES.is_dir() else make_series(work / "series")
        radiograph = make_radiograph(work / "radiograph")
        tree = work / "tree"
        figures: dict[str, Any] = {
            "ct": measure_input("CT series", series, tree, arguments.repeat),
            "radiograph": measure_input("2048 x 2048 radiograph", radiograph, tree, arguments.repeat),
        }
        figures["command"] = measure_command(series, tree, len(list(series.iterdir())))
        figures["workerPeakMegabytes"] = max(workers_memory(source, tree) for source in (series, radiograph))
        print(f"  peak memory of a worker: {figures['workerPeakMegabytes']:.0f} MB")
        figures["decoding"] = measure_decoding(arguments.repeat)
        figures["syncing"] = measure_syncing(arguments.repeat)
        figures["s3"] = measure_s3(series, arguments.repeat)
    own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * resource_unit() / 1e6
    print(f"  peak memory of this process, all benchmarks: {own:.0f} MB")
    if arguments.json:
        Path(arguments.json).write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
