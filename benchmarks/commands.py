"""Builds by the command line, start-up and worker processes included: elapsed time, all CPU, memory, reruns."""

from __future__ import annotations

import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tests.support.s3_server import S3Server

COMMAND: Final = (sys.executable, "-P", "-m", "stillframe")
_COUNTED: Final = (sys.executable, "-S", str(Path(__file__).with_name("counted.py")))
_SAMPLED_SECONDS: Final = 0.01


@dataclass
class Ran:
    """A command that ended: seconds by the clock, CPU seconds of all its processes, peaks of memory in MB."""

    seconds: float = 0.0
    cpu: float = 0.0
    main_megabytes: float = 0.0
    worker_megabytes: float = 0.0


def run_command(*command: str, memory: bool = False) -> Ran:
    """Run a command to its end; its memory is sampled on request, which takes some CPU of its own."""
    ran = Ran()
    with tempfile.TemporaryDirectory(prefix="stillframe-bench-") as folder:
        counted, said = Path(folder, "seconds"), Path(folder, "said")
        with said.open("wb") as stream:
            began = time.perf_counter()
            job = subprocess.Popen([*_COUNTED, str(counted), *command], stdout=subprocess.DEVNULL, stderr=stream)
            while memory and job.poll() is None:
                main, *others = [_peak_of(pid) for pid in processes_below(job.pid)] or [0.0]
                ran.main_megabytes = max(ran.main_megabytes, main)
                ran.worker_megabytes = max(ran.worker_megabytes, *others, 0.0)
                time.sleep(_SAMPLED_SECONDS)
            code = job.wait()
            ran.seconds = time.perf_counter() - began
        if code:
            raise SystemExit(f"{' '.join(command)}: exit code {code}\n{said.read_text()}")
        ran.cpu = float(counted.read_text())
    return ran


def processes_below(pid: int) -> Iterator[int]:
    """Process ids below a process (Linux), whichever of its threads started them."""
    try:
        tasks = list(Path(f"/proc/{pid}/task").iterdir())
        children = [child for task in tasks for child in (task / "children").read_text().split()]
    except OSError:
        return
    for child in map(int, children):
        yield child
        yield from processes_below(child)


def _peak_of(pid: int) -> float:
    """Peak resident memory of a process in MB (VmHWM)."""
    try:
        found = re.search(r"VmHWM:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())
    except OSError:
        return 0.0
    return int(found[1]) / 1e3 if found else 0.0


def build_command(source: Path, destination: str, workers: int | str, *options: str, memory: bool = False) -> Ran:
    """Build by the command line: by so many workers, or those of a scheduler."""
    who = "--scheduler" if isinstance(workers, str) else "--workers"
    return run_command(
        *COMMAND, "build", str(source), destination, who, str(workers), "--settle", "0", *options,
        memory=memory,
    )  # fmt: skip


def new_tree(work: Path) -> Path:
    """A folder in which nothing was before.

    Trees stay until the end of the run. A file system may leave what was just deleted alone and look at each of it
    again and again: after 1,500 files had gone, ext4 took a tenth of all CPU of the next build for that.
    """
    return Path(tempfile.mkdtemp(prefix="tree-", dir=work))


def build_anew(source: Path, tree: Path, workers: int | str, *, memory: bool = False) -> Ran:
    """Build into an empty folder; what was written before it is on the disk when it begins."""
    os.sync()
    return build_command(source, str(tree), workers, memory=memory)


def measure_builds(source: Path, work: Path, images: int, repeat: int) -> dict[str, Any]:
    """First builds with one worker and with two, in turns, and one of what is there already."""
    first = new_tree(work)
    build_anew(source, first, 2)  # the first one finds no caches
    pairs = [(build_anew(source, new_tree(work), 1), build_anew(source, new_tree(work), 2)) for _ in range(repeat)]
    one, two = ([runs[place] for runs in pairs] for place in (0, 1))
    again = [build_command(source, str(first), 2) for _ in range(repeat)]
    peaks = build_anew(source, new_tree(work), 2, memory=True)
    return {
        "framesPerSecond1": images / statistics.median(ran.seconds for ran in one),
        "framesPerSecond2": images / statistics.median(ran.seconds for ran in two),
        "twoWorkersOverOne": statistics.median(ran.seconds / other.seconds for ran, other in pairs),
        "seconds": statistics.median(ran.seconds for ran in two),
        "cpuSeconds": statistics.median(ran.cpu for ran in two),
        "againSeconds": statistics.median(ran.seconds for ran in again),
        "againCPUSeconds": statistics.median(ran.cpu for ran in again),
        "mainMegabytes": peaks.main_megabytes,
        "workerMegabytes": peaks.worker_megabytes,
    }


def measure_bucket_rerun(source: Path, server: S3Server) -> dict[str, Any]:
    """A build into a bucket, and a second one that finds all unchanged."""
    destination = f"s3://{server.make_bucket().name}/tree"
    options = ("--endpoint-url", server.endpoint_url, "--region", "us-east-1")
    first = build_command(source, destination, 2, *options)
    again = build_command(source, destination, 2, *options)
    return {"firstSeconds": first.seconds, "againSeconds": again.seconds, "againCPUSeconds": again.cpu}


def measure_help(repeat: int) -> float:
    """Seconds of `stillframe --help`."""
    program = Path(sys.executable).with_name("stillframe")

    def seconds() -> float:
        began = time.perf_counter()
        subprocess.run([program, "--help"], check=True, stdout=subprocess.DEVNULL)
        return time.perf_counter() - began

    return statistics.median(seconds() for _ in range(max(5, repeat)))


def measure_peer(peer: str, source: Path, work: Path, repeat: int) -> dict[str, Any]:
    """The same series by Static-DICOMWeb's creator, as HTJ2K and without its checks, and by this one, in turns.

    `peer` is its program `mkdicomweb`. It verifies no frame.
    """
    pairs = []
    for _ in range(repeat):
        other = run_command(peer, "create", "-t", "jhc", "-o", str(new_tree(work)), str(source))
        pairs.append((other, build_anew(source, new_tree(work), 2)))
    return {
        "peerSeconds": statistics.median(other.seconds for other, _ in pairs),
        "peerCPUSeconds": statistics.median(other.cpu for other, _ in pairs),
        "peerOverStillframe": statistics.median(other.seconds / ran.seconds for other, ran in pairs),
    }
