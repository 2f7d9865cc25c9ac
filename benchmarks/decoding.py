"""What it costs to decode in a sandbox what others encoded.

    python benchmarks/decoding.py [--repeat N]

Series of 512 x 512, 12 bits in 16, compressed by JPEG-LS, lossless JPEG and RLE, are built alternately in two ways: the
frames are decoded in a sandbox, or in the process itself. The ratio of their CPU times, sandbox included, is what to
compare between versions. What it takes to start a sandbox is the time of the first answer of one, and of another after
that one crashed.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import patch

sys.path.insert(0, str(Path(__file__).parents[1]))

import numpy as np

from stillframe.options import BuildOptions, Rendered, Thumbnails
from stillframe.pixels import decoding
from stillframe.sandbox import ChildDied, Limits, Receive, Sandbox, start_starter
from stillframe.worker_process import prepare_process
from tests.support import frame_encoders
from tests.support.dicom_files import encapsulated, jpeg, write
from tests.support.trees import build_tree

SLICES = 48
FAMILIES: dict[str, tuple[str, Callable[..., bytes]]] = {
    "JPEG-LS": (jpeg(80), frame_encoders.jpegls),
    "lossless JPEG": (jpeg(70), frame_encoders.lossless_jpeg),
    "RLE": ("1.2.840.10008.1.2.5", frame_encoders.rle),
}
OPTIONS = BuildOptions(rendered=Rendered.NEVER, thumbnails=Thumbnails.NONE)


def write_series(folder: Path, syntax: str, encode: Callable[..., bytes]) -> Path:
    """Noisy discs, as a CT series has."""
    rows, columns = np.mgrid[-1:1:512j, -1:1:512j]
    noise = np.random.default_rng(3)
    for number in range(1, SLICES + 1):
        body = np.where(rows**2 + columns**2 < 0.8, 1040 + 100 * np.sin(9 * rows + number / 9), 24)
        pixels = np.clip(body + noise.normal(0, 10, body.shape), 0, 4095).astype("<u2")
        write(folder, f"{number}.dcm", encapsulated([encode(pixels, 12)], syntax, number=number, pixels=pixels))
    return folder


def cpu_below(pid: int) -> float:
    """CPU seconds of the processes below one, from /proc (proc(5), Linux)."""
    seconds = 0.0
    for child in map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split()):
        fields = Path(f"/proc/{child}/stat").read_text().rpartition(")")[2].split()
        seconds += sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK") + cpu_below(child)
    return seconds


def in_a_process(target: Callable[..., None], *arguments: Any) -> Any:
    """What a function, run in a process of its own, sends through the pipe that is its last argument."""
    context = multiprocessing.get_context("forkserver")
    ours, theirs = context.Pipe()
    process = context.Process(target=target, args=(*arguments, theirs))
    process.start()
    theirs.close()
    with ours:
        answer = ours.recv()
    process.join()
    return answer


def build_pairs(source: Path, repeat: int, answer: Any) -> None:
    """Send CPU seconds of builds, each first with a sandbox and then without."""
    prepare_process()
    start_starter()
    with tempfile.TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as folder:
        build_once(source, Path(folder), boxed=True)
        answer.send([[build_once(source, Path(folder), boxed=boxed) for boxed in (True, False)] for _ in range(repeat)])


def build_once(source: Path, folder: Path, *, boxed: bool) -> float:
    """CPU seconds of one build."""
    shutil.rmtree(folder / "tree", ignore_errors=True)
    before = time.process_time() + cpu_below(os.getpid())
    with patch.object(decoding, "has_starter", lambda: boxed):
        report = build_tree(folder / "tree", source, options=OPTIONS)
    if report.exit_code or report.frames != SLICES:
        raise SystemExit("some inputs were rejected")
    return time.process_time() + cpu_below(os.getpid()) - before


def start_twice(answer: Any) -> None:
    """Send the seconds until a sandbox has answered, and until another has when that one has crashed."""
    limits = Limits(1 << 28, 10.0)

    def take(head: bytes, _receive: Receive) -> bytes:
        return head

    began = time.perf_counter()
    start_starter()
    sandbox = Sandbox()
    sandbox.run(eval, ("(b'', b'')",), limits, take)
    first = time.perf_counter() - began
    try:
        sandbox.run(eval, ("__import__('os').abort()",), limits, take)
    except ChildDied:
        began = time.perf_counter()
    sandbox.run(eval, ("(b'', b'')",), limits, take)
    answer.send((first, time.perf_counter() - began))


def measure_decoding(repeat: int) -> dict[str, Any]:
    """Print and return the figures."""
    figures: dict[str, Any] = {}
    print(f"\ndecoding in a sandbox, {SLICES} slices of 512 x 512, without pictures, the tree in memory")
    multiprocessing.get_context("forkserver").set_forkserver_preload(["stillframe.build.instance"])
    with tempfile.TemporaryDirectory(prefix="stillframe-bench-") as folder:
        for name, (syntax, encode) in FAMILIES.items():
            source = write_series(Path(folder, name), syntax, encode)
            pairs = in_a_process(build_pairs, source, repeat)
            boxed, bare = (statistics.median(seconds) / SLICES * 1e3 for seconds in zip(*pairs, strict=True))
            ratio = statistics.median(one / other for one, other in pairs)
            figures[name] = {"ratio": ratio, "boxedMilliseconds": boxed, "bareMilliseconds": bare}
            print(f"  {name:<14} {boxed:6.2f} ms/slice, {bare:6.2f} without: ratio {ratio:.3f}")
    starts = [in_a_process(start_twice) for _ in range(repeat)]
    first, again = (statistics.median(seconds) * 1e3 for seconds in zip(*starts, strict=True))
    figures["start"] = {"firstMilliseconds": first, "againMilliseconds": again}
    print(f"  the first sandbox of a worker answers after {first:.0f} ms, another after a crash in {again:.0f} ms")
    return figures


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="What it costs to decode in a sandbox.")
    parser.add_argument("--repeat", type=int, default=5, help="pairs of builds of which the median counts")
    measure_decoding(parser.parse_args().repeat)


if __name__ == "__main__":
    main()
