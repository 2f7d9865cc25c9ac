"""Builds on a Dask cluster against builds by as many processes, in turns: `python benchmarks/cluster.py`.

    python benchmarks/cluster.py [--images N] [--repeat N] [--workers N] [--threads N] [--work FOLDER]

The cluster has one worker of two threads, as the documentation advises for a machine of two cores. Its throughput is
given as a part of that of two local processes, as the median of pairs: of the whole command, with its start and the end
of its processes; and once the work runs, from what all images take beyond a quarter of them. CPU seconds are given in
the same two ways, those of the cluster's processes included. A cluster takes some also when it has nothing to do, which
is told apart.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

sys.path.insert(0, str(Path(__file__).parents[1]))

from commands import Ran, build_anew, new_tree, processes_below
from inputs import series

from tests.support.dask_cluster import DaskCluster

_IDLE_SECONDS: Final = 10.0


def cpu_seconds(cluster: DaskCluster) -> float:
    """CPU seconds of all processes of a cluster, and of those that have ended."""
    ticks = 0
    for pid in {child for top in cluster.process_ids() for child in (top, *processes_below(top))}:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        ticks += sum(map(int, fields[11:15]))
    return ticks / os.sysconf("SC_CLK_TCK")


def build_there(source: Path, tree: Path, cluster: DaskCluster) -> Ran:
    """A build on the cluster, with the CPU seconds that its processes took meanwhile."""
    before = cpu_seconds(cluster)
    ran = build_anew(source, tree, cluster.address)
    ran.cpu += cpu_seconds(cluster) - before
    return ran


class Ratios:
    """Pairs of what a quarter and all of the images took: how many times as much the one took as the other."""

    def __init__(self) -> None:
        self._wholes: list[float] = []
        self._runnings: list[float] = []

    def add(self, one: Sequence[float], other: Sequence[float]) -> None:
        """Take down a pair."""
        self._wholes.append(one[1] / other[1])
        self._runnings.append((one[1] - one[0]) / (other[1] - other[0]))

    def whole(self) -> float:
        """Of the whole command, the median."""
        return statistics.median(self._wholes)

    def running(self) -> float:
        """Of what all images took beyond a quarter of them, the median."""
        return statistics.median(self._runnings)


def _listed(runs: Sequence[Ran]) -> str:
    return " and ".join(f"{ran.seconds:.1f} s ({ran.cpu:.1f} of CPU)" for ran in runs)


def main() -> None:
    parser = argparse.ArgumentParser(description="Builds on a Dask cluster against local ones.")
    parser.add_argument("--work", metavar="FOLDER", help="where the trees are written (default: the system's)")
    parser.add_argument("--images", type=int, default=1600, help="images of 512 x 512 in the series")
    parser.add_argument("--workers", type=int, default=1, help="workers of the cluster")
    parser.add_argument("--threads", type=int, default=2, help="threads of each of them, which are tasks at once")
    parser.add_argument("--repeat", type=int, default=3, help="pairs of runs of which the median counts")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="stillframe-bench-", dir=arguments.work) as folder:
        work, sources = Path(folder), (Path(folder, "quarter"), Path(folder, "in"))
        for source, images in zip(sources, (arguments.images // 4, arguments.images), strict=True):
            source.mkdir()
            series(images).write(source)
        processes = arguments.workers * arguments.threads
        with DaskCluster(work / "dask", arguments.workers, threads=arguments.threads) as cluster:
            cluster.worker_ids()
            build_anew(sources[0], new_tree(work), cluster.address)  # the first one finds no caches
            before, began = cpu_seconds(cluster), time.monotonic()
            time.sleep(_IDLE_SECONDS)
            idle = (cpu_seconds(cluster) - before) / (time.monotonic() - began)
            speeds, cpus = Ratios(), Ratios()
            for _ in range(arguments.repeat):
                here = [build_anew(source, new_tree(work), processes) for source in sources]
                there = [build_there(source, new_tree(work), cluster) for source in sources]
                speeds.add([ran.seconds for ran in here], [ran.seconds for ran in there])
                cpus.add([ran.cpu for ran in there], [ran.cpu for ran in here])
                print(f"a quarter and all: local {_listed(here)}; Dask {_listed(there)}")
    print(
        f"throughput of Dask's workers: {speeds.whole():.2f} of that of local processes, {speeds.running():.2f} once "
        f"the work runs, with {cpus.whole():.2f} of their CPU time, {cpus.running():.2f} once the work runs; "
        f"an idle cluster takes {idle:.2f} s of CPU a second"
    )


if __name__ == "__main__":
    main()
