"""What the list of 100,000 studies costs: its size, and the parts of one update of it.

python benchmarks/study_list.py [NUMBER OF STUDIES]
"""

from __future__ import annotations

import gzip
import random
import sys
import time
from collections.abc import Callable
from typing import Any

from stillframe.archive.study_list import merge_study_list
from stillframe.dicom.json_model import dumps


def record(study: str, rng: random.Random) -> bytes:
    """A record as a CT study has it, as a line of the list."""
    values: dict[str, tuple[str, list[Any]]] = {
        "00080005": ("CS", ["ISO_IR 192"]),
        "00080020": ("DA", [str(rng.randrange(20000101, 20261231))]),
        "00080030": ("TM", [f"{rng.randrange(235959):06}"]),
        "00080050": ("SH", [f"A{rng.randrange(10**8)}"]),
        "00080056": ("CS", ["ONLINE"]),
        "00080061": ("CS", ["CT"]),
        "00080090": ("PN", [{"Alphabetic": f"REFERRING^{rng.randrange(1000)}"}]),
        "00081030": ("LO", [rng.choice(["Thorax", "Abdomen", "Head without contrast"])]),
        "00081190": ("UR", [f"studies/{study}"]),
        "00100010": ("PN", [{"Alphabetic": f"NAME{rng.randrange(10**6)}^FIRST{rng.randrange(1000)}"}]),
        "00100020": ("LO", [str(rng.randrange(10**8))]),
        "00100030": ("DA", [str(rng.randrange(19300101, 20201231))]),
        "00100040": ("CS", [rng.choice("FM")]),
        "0020000D": ("UI", [study]),
        "00200010": ("SH", [str(rng.randrange(10**6))]),
        "00201206": ("IS", [rng.randrange(1, 9)]),
        "00201208": ("IS", [rng.randrange(1, 900)]),
    }
    return dumps({tag: {"vr": vr, "Value": value} for tag, (vr, value) in values.items()})


def timed[T](what: str, work: Callable[[], T]) -> T:
    start = time.perf_counter()
    result = work()
    print(f"  {what:<34} {time.perf_counter() - start:6.2f} s")
    return result


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    rng = random.Random(1)
    root = "1.3.6.1.4.1.14519.5.2.1"
    names = [f"{root}.{rng.randrange(10**9)}.{rng.randrange(10**20)}" for _ in range(count)]
    data = merge_study_list(None, {study: record(study, rng) for study in names})
    packed = gzip.compress(data, 6, mtime=0)
    print(f"list of {count} studies: {len(data) / 1e6:.1f} MB, {len(packed) / 1e6:.1f} MB as stored in a bucket")
    timed("unpacked", lambda: gzip.decompress(packed))
    new = {study: record(study, rng) for study in (f"{root}.5.{number}" for number in range(10))}
    merged = timed("ten studies merged into it", lambda: merge_study_list(data, new))
    timed("packed", lambda: gzip.compress(merged, 6, mtime=0))


if __name__ == "__main__":
    main()
