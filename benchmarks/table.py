"""The figures of all benchmarks as one table in plain text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

ROWS: Final[Sequence[tuple[str, str, str]]] = (
    ("all CPU / (encode + verify), in memory", "memoryRatio", ".2f"),
    ("  without pictures", "memoryBareRatio", ".2f"),
    ("  with a thumbnail and a JPEG of every image", "memoryPicturesRatio", ".2f"),
    ("  on disk", "diskRatio", ".2f"),
    ("  into a bucket, client only", "bucketRatio", ".2f"),
    ("frames/s, 1 worker, start-up included", "framesPerSecond1", ".1f"),
    ("frames/s, 2 workers", "framesPerSecond2", ".1f"),
    ("  as fast as 1 worker, times", "twoWorkersOverOne", ".2f"),
    ("seconds, 2 workers", "seconds", ".2f"),
    ("seconds of CPU, all processes", "cpuSeconds", ".2f"),
    ("unchanged rerun, seconds", "againSeconds", ".2f"),
    ("  seconds of CPU", "againCPUSeconds", ".2f"),
    ("objects, each image", "objects", ".2f"),
    ("requests that write, each image", "writes", ".2f"),
    ("requests that read, each image", "reads", ".2f"),
    ("peak MB, main process", "mainMegabytes", ".0f"),
    ("peak MB, a worker", "workerMegabytes", ".0f"),
    ("MB in", "megabytesIn", ".1f"),
    ("MB out", "megabytesOut", ".1f"),
)
CODING_ROWS: Final[Sequence[tuple[str, str, str]]] = (
    ("HTJ2K, ms of CPU, encode + verify", "htj2kMilliseconds", ".2f"),
    ("  encode", "encodeMilliseconds", ".2f"),
    ("  verify", "verifyMilliseconds", ".2f"),
    ("  cut reduced/2", "reduceMilliseconds", ".3f"),
    ("  two processes, as fast as one, times", "timesAsFastByTwo", ".2f"),
    ("JPEG-LS, ms of CPU, encode + verify", "jpeglsMilliseconds", ".2f"),
    ("  times those of HTJ2K", "jpeglsOverHtj2k", ".2f"),
    ("HTJ2K, bytes", "htj2kBytes", ",.0f"),
    ("  times those of JPEG-LS", "bytesOverJpegls", ".3f"),
)
_FIRST: Final = 46


def table(columns: Mapping[str, Mapping[str, Any]], rows: Sequence[tuple[str, str, str]]) -> str:
    """Rows of figures, a column for each input; what was not measured is a dash."""
    heads = [name.split(", ")[0] for name in columns]
    width = max(12, *map(len, heads))
    lines = [" " * _FIRST + "".join(f"  {head:>{width}}" for head in heads)]
    for title, key, form in rows:
        cells = (format(figures[key], form) if key in figures else "-" for figures in columns.values())
        lines.append(f"{title:<{_FIRST}}" + "".join(f"  {cell:>{width}}" for cell in cells))
    return "\n".join(lines)


def stages(columns: Mapping[str, Mapping[str, Any]]) -> str:
    """Milliseconds of CPU a frame by stage, of default builds in memory."""
    rows = [(stage, stage, ".3f") for figures in columns.values() for stage in figures.get("stageMilliseconds", {})]
    by_input = {name: figures.get("stageMilliseconds", {}) for name, figures in columns.items()}
    return table(by_input, list(dict.fromkeys(rows)))
