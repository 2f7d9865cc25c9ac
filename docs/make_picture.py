"""Make `docs/sharpening.webp`, the picture in the README: `make picture`.

An image that the package `pydicom-data` brings is built into an archive. The bytes of its published frame are cut where
resolutions end, and what each of these beginnings decodes to is shown side by side.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import data_store
import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont
from pydicom import dcmread

from stillframe.codec.htj2k import decode_prefix

SAMPLE = "MR2_J2KR.dcm"  # a shoulder of 1024 x 1024 from the image set of DICOM's working group 4
PICTURE = Path(__file__).with_name("sharpening.webp")
SHOWN_LEVELS = (4, 3, 2, 0)
SIDE, GAP, CAPTION = 396, 8, 34
QUALITY = 80


def main() -> None:
    """Build the sample, then draw a panel for each shown level of its frame."""
    with tempfile.TemporaryDirectory() as folder:
        sample = Path(data_store.__file__).with_name("data") / SAMPLE
        subprocess.run([sys.executable, "-m", "stillframe", "build", sample, f"{folder}/archive"], check=True)
        (index,) = Path(folder).glob("archive/studies/*/series/*/frame-index")
        (frame,) = Path(folder).glob("archive/studies/*/series/*/instances/*/frames/1")
        data = frame.read_bytes()
        panels = [draw_panel(data[:length], level, len(data)) for level, length in prefixes(index)]
    picture = Image.new("RGB", (len(panels) * (SIDE + GAP) - GAP, SIDE + CAPTION), "white")
    for place, panel in enumerate(panels):
        picture.paste(panel, (place * (SIDE + GAP), 0))
    picture.save(PICTURE, quality=QUALITY)
    print(f"{PICTURE}: {PICTURE.stat().st_size} bytes")


def prefixes(index: Path) -> list[tuple[int, int]]:
    """The shown levels, and how many bytes of the frame reach each of them, as the published frame index says."""
    (group,) = json.loads(index.read_bytes())["groups"]
    ((row,),) = group["instances"].values()
    lengths = {level["decodeLevel"]: length for level, length in zip(group["levels"], row, strict=True)}
    return [(level, lengths[level]) for level in SHOWN_LEVELS]


def draw_panel(prefix: bytes, level: int, size: int) -> Image.Image:
    """What the first bytes of a frame show, enlarged to the size of a panel, and how many they are."""
    pixels = decode_prefix(prefix, level)
    rows, columns = pixels.shape
    panel = Image.new("RGB", (SIDE, SIDE + CAPTION), "white")
    panel.paste(Image.fromarray(in_window(pixels)).resize((SIDE, SIDE), Image.Resampling.BILINEAR), (0, 0))
    text = f"{len(prefix) / 1000:.1f} KB ({len(prefix) / size:.0%}): {columns} x {rows}"
    font = ImageFont.load_default(18)
    ImageDraw.Draw(panel).text((SIDE / 2, SIDE + CAPTION / 2), text, fill="black", font=font, anchor="mm")
    return panel


def in_window(pixels: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    """Grey samples in the units and the window that the sample brings."""
    sample = dcmread(Path(data_store.__file__).with_name("data") / SAMPLE, stop_before_pixels=True)
    centre, width = float(sample.WindowCenter), float(sample.WindowWidth)
    values = pixels * float(sample.RescaleSlope) + float(sample.RescaleIntercept)
    shown = (values - (centre - width / 2)) / width
    return (shown.clip(0, 1) * 255).astype(np.uint8)


if __name__ == "__main__":
    main()
