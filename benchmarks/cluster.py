"""Builds on a Dask cluster of two workers against builds by two processes, in turns: `python benchmarks/cluster.py`.

    python benchmarks/cluster.py [--images N] [--repeat N] [--work FOLDER]

The throughput of the cluster is given as a part of that of two local processes, as the median of pairs: of the whole
command, with its start and the end of its processes; and once the work runs, from what all images take beyond a quarter
of them. CPU seconds are told, too, those of the cluster's processes included. A cluster takes some also when it has
nothing to do, which is told apart.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Final

sys.path.insert(0, str(Path(__file__).parents[1]))

from commands import build_anew, new_tree, processes_below
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


def main() -> None:
    parser = argparse.ArgumentParser(description="Builds on a Dask cluster against local ones.")
    parser.add_argument("--work", metavar="FOLDER", help="where the trees are written (default: the system's)")
    parser.add_argument("--images", type=int, default=1600, help="images of 512 x 512 in the series")
    parser.add_argument("--repeat", type=int, default=3, help="pairs of runs of which the median counts")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="stillframe-bench-", dir=arguments.work) as folder:
        work, sources = Path(folder), (Path(folder, "quarter"), Path(folder, "in"))
        for source, images in zip(sources, (arguments.images // 4, arguments.images), strict=True):
            source.mkdir()
            series(images).write(source)
        with DaskCluster(work / "dask") as cluster:
            cluster.worker_ids()
            build_anew(sources[0], new_tree(work), cluster.address)  # the first one finds no caches
            before, began = cpu_seconds(cluster), time.monotonic()
            time.sleep(_IDLE_SECONDS)
            idle = (cpu_seconds(cluster) - before) / (time.monotonic() - began)
            wholes, runnings, cpus = [], [], []
            for _ in range(arguments.repeat):
                here = [build_anew(source, new_tree(work), 2) for source in sources]
                before = cpu_seconds(cluster)
                there = [build_anew(source, new_tree(work), cluster.address) for source in sources]
                cpu = sum(ran.cpu for ran in there) + cpu_seconds(cluster) - before
                wholes.append(here[1].seconds / there[1].seconds)
                runnings.append((here[1].seconds - here[0].seconds) / (there[1].seconds - there[0].seconds))
                cpus.append(cpu / sum(ran.cpu for ran in here))
                print(
                    f"a quarter and all: two processes {here[0].seconds:.1f} and {here[1].seconds:.1f} s, "
                    f"two workers of Dask {there[0].seconds:.1f} and {there[1].seconds:.1f} s"
                )
    print(
        f"throughput of Dask's workers: {statistics.median(wholes):.2f} of that of local processes, "
        f"{statistics.median(runnings):.2f} once the work runs, with {statistics.median(cpus):.2f} of their CPU time; "
        f"an idle cluster takes {idle:.2f} s of CPU a second"
    )


if __name__ == "__main__":
    main()
