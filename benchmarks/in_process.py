"""Builds in this process, so that one CPU clock covers every stage: what the pipeline adds to the coding.

The figure to hold on to is the ratio of all CPU time to what encoding and verifying take in the same build. It does not
depend on the machine. Start-up is apart, as is the server of a bucket: only this process is counted.
"""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any, Final

from commands import new_tree

from stillframe.build.pipeline import build
from stillframe.build.report import Report
from stillframe.build.request import BuildRequest
from stillframe.execute import SerialExecutor
from stillframe.options import BuildOptions, Rendered, Thumbnails
from stillframe.store.base import Store
from stillframe.store.directory import DirectoryStore
from stillframe.store.s3 import S3Store
from stillframe.store.s3_client import Bucket
from tests.support.faulty_proxy import FaultyProxy
from tests.support.trees import NoProgress

STAGES: Final = ("scan", "read", "decode", "encode", "verify", "index", "reduce", "render", "JSON", "write", "lists")
_CODING: Final = ("encode", "verify")
_MEMORY: Final = Path("/dev/shm")
DEFAULT: Final = BuildOptions()
NO_PICTURES: Final = BuildOptions(rendered=Rendered.NEVER, thumbnails=Thumbnails.NONE)
ALL_PICTURES: Final = BuildOptions(rendered=Rendered.ALWAYS, thumbnails=Thumbnails.INSTANCES)


@dataclass(frozen=True)
class Measured:
    """One build: CPU seconds in all and by stage, and what was built."""

    cpu: float
    report: Report

    @property
    def stages(self) -> dict[str, float]:
        """Seconds by stage, and of what is in none."""
        stages = {stage: self.report.stages.get(stage, 0.0) for stage in STAGES}
        return stages | {"other": self.cpu - sum(stages.values())}

    @property
    def ratio(self) -> float:
        """All CPU time over that of encoding and verifying."""
        return self.cpu / sum(self.report.stages[stage] for stage in _CODING)


def build_into(store: Store, source: Path, options: BuildOptions) -> Measured:
    """Build in this process."""
    request = BuildRequest(sources=(str(source),), options=options)
    began = time.process_time()
    report = build(request, store, SerialExecutor(), NoProgress())
    cpu = time.process_time() - began
    if report.exit_code:
        raise SystemExit(f"{source}: some inputs were rejected, or the build failed: {report.failure}")
    return Measured(cpu, report)


def _into_folder(folder: Path, source: Path, options: BuildOptions, *, keep: bool = False) -> Measured:
    tree = new_tree(folder)
    store = DirectoryStore(str(tree), durable=True)
    store.create()
    measured = build_into(store, source, options)
    if not keep:
        shutil.rmtree(tree)
    return measured


def median_of(repeat: int, measure: Callable[[], Measured]) -> Measured:
    """The run in the middle, by ratio, of several after one that warms the caches."""
    measure()
    runs = sorted((measure() for _ in range(repeat)), key=lambda run: run.ratio)
    return runs[len(runs) // 2]


def measure_ratios(source: Path, work: Path, bucket: Bucket | None, repeat: int) -> dict[str, Any]:
    """All CPU over that of the coding, by place and by pictures; and the stages of the default in memory."""
    with tempfile.TemporaryDirectory(prefix="stillframe-bench-", dir=_MEMORY if _MEMORY.is_dir() else None) as memory:
        into_memory = partial(_into_folder, Path(memory), source)
        run = median_of(repeat, partial(into_memory, DEFAULT))
        frames, report = run.report.frames, run.report
        figures: dict[str, Any] = {
            "megabytesIn": report.bytes_read / 1e6,
            "megabytesOut": report.bytes_written / 1e6,
            "stageMilliseconds": {name: seconds / frames * 1e3 for name, seconds in run.stages.items()},
            "memoryRatio": run.ratio,
            "memoryBareRatio": median_of(repeat, partial(into_memory, NO_PICTURES)).ratio,
            "memoryPicturesRatio": median_of(repeat, partial(into_memory, ALL_PICTURES)).ratio,
        }
    figures["diskRatio"] = median_of(repeat, partial(_into_folder, work, source, DEFAULT, keep=True)).ratio
    if bucket is not None:
        runs = count()
        figures["bucketRatio"] = median_of(
            repeat, lambda: build_into(S3Store(bucket, f"{source.name}/{next(runs)}"), source, DEFAULT)
        ).ratio
    return figures


def count_requests(source: Path, bucket: Bucket, images: int) -> dict[str, Any]:
    """Objects, and requests that write and that read, for each image of a build into an empty prefix."""
    prefix = f"{source.name}/counted"
    with FaultyProxy(bucket.settings.endpoint_url or "") as proxy:
        through = replace(bucket, settings=replace(bucket.settings, endpoint_url=proxy.endpoint_url))
        build_into(S3Store(through, prefix), source, DEFAULT)
    written = sum(request.method in ("PUT", "POST", "DELETE") for request in proxy.requests)
    return {
        "objects": sum(1 for _ in S3Store(bucket, prefix).list("studies")) / images,
        "writes": written / images,
        "reads": (len(proxy.requests) - written) / images,
    }
