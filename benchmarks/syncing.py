"""What it costs to see that a folder is on the disk before it is spoken of.

    python benchmarks/syncing.py [--repeat N]

A series of 128 slices of 512 x 512 is built into a folder by the command with two workers, alternately with and without
`--no-sync`; so are 60 series of one small image each, whose lists are synced one by one. The ratio of their elapsed
times is what to compare. Disks differ: the folder for temporary files, or TMPDIR, says which one is measured.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from commands import new_tree

from tests.support.dicom_files import ROOT, image, noise, write

SLICES, SERIES = 128, 60


def write_slices(folder: Path) -> Path:
    """One series."""
    for number in range(1, SLICES + 1):
        write(folder, f"{number}.dcm", image(number, noise(number, (512, 512))))
    return folder


def write_many_series(folder: Path) -> Path:
    """Series of one image."""
    for number in range(1, SERIES + 1):
        write(folder, f"{number}.dcm", image(1, noise(number, (64, 64)), SeriesInstanceUID=f"{ROOT}.1.{number}"))
    return folder


def build(source: Path, *options: str) -> float:
    """Elapsed seconds of a build into a new folder beside it. What was written before is on the disk when it begins."""
    tree = new_tree(source.parent)
    os.sync()
    command = [
        sys.executable,
        "-m",
        "stillframe",
        "build",
        str(source),
        str(tree),
        "--workers",
        "2",
        "--settle",
        "0",
        *options,
    ]
    began = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    return time.perf_counter() - began


def measure_syncing(repeat: int) -> dict[str, dict[str, float]]:
    """Print and return the figures."""
    figures = {}
    print("\nsyncing a folder to its disk")
    with tempfile.TemporaryDirectory(prefix="stillframe-bench-") as folder:
        inputs = {f"{SLICES} slices": write_slices, f"{SERIES} series of one image": write_many_series}
        for name, make in inputs.items():
            source = make(Path(folder, name))
            build(source)  # the first one finds no caches
            pairs = [(build(source), build(source, "--no-sync")) for _ in range(repeat)]
            synced, bare = map(statistics.median, zip(*pairs, strict=True))
            ratio = statistics.median(one / other for one, other in pairs)
            figures[name] = {"ratio": ratio, "synced": synced, "unsynced": bare}
            print(f"  {name:<24} {synced:6.2f} s, {bare:6.2f} s with --no-sync: ratio {ratio:.3f}")
    return figures


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="What syncing a folder to its disk costs.")
    parser.add_argument("--repeat", type=int, default=5, help="pairs of builds of which the median counts")
    measure_syncing(parser.parse_args().repeat)


if __name__ == "__main__":
    main()
