"""What the header of a sparse whole-slide image costs: seconds and memory to read it and to write it as JSON.

PYTHONPATH=. python benchmarks/many_items.py [TILES]   14 elements and items a tile, each count in a process
"""

from __future__ import annotations

import io
import resource
import subprocess
import sys
import time

from stillframe.dicom.json_convert import convert
from stillframe.dicom.json_model import dumps
from stillframe.dicom.read import read_instance
from tests.support.elements import REPORT_CLASS, identity, meta_header, slide_tiles


def main() -> None:
    if sys.argv[1:2] == ["--one"]:
        measure(int(sys.argv[2]))
        return
    tiles = int(sys.argv[1]) if len(sys.argv) > 1 else 215_000
    for count in (tiles // 4, tiles // 2, tiles):
        subprocess.run([sys.executable, __file__, "--one", str(count)], check=True)


def measure(tiles: int) -> None:
    class_and_uids = identity(sop_class=REPORT_CLASS)
    data = b"".join([meta_header(sop_class=REPORT_CLASS), *class_and_uids, slide_tiles(tiles)])
    begun = time.process_time()
    with io.BytesIO(data) as file:
        text = dumps([convert(read_instance(file).dataset).dataset])
    seconds = time.process_time() - begun
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    print(
        f"{tiles:8,} tiles, {14 * tiles:10,} elements and items, {len(data) / 1e6:5.1f} MB: {seconds:5.1f} s,"
        f" {len(text) / 1e6:6.1f} MB of JSON, peak {peak} MB"
    )


if __name__ == "__main__":
    main()
