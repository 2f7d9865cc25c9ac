"""Sources for the browser module's tests in browsers: python -m tests.e2e.module_samples FOLDER > samples.json

Each study shows one thing that viewers read wrongly. Grey ramps run from 0 to 4080 along 256 columns, so what a canvas
must show of a column follows from the formulas of PS3.3 C.11.2.1.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import imagecodecs
import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset, FileDataset
from pydicom.uid import (
    UID,
    DigitalMammographyXRayImageStorageForPresentation,
    EnhancedCTImageStorage,
    KeyObjectSelectionDocumentStorage,
    MultiFrameGrayscaleWordSecondaryCaptureImageStorage,
    MultiFrameTrueColorSecondaryCaptureImageStorage,
    RTPlanStorage,
    SecondaryCaptureImageStorage,
    UltrasoundMultiFrameImageStorage,
    VideoPhotographicImageStorage,
    VLPhotographicImageStorage,
)

from tests.support import dicom_files as made

ROWS, COLUMNS = 128, 256
CENTER, WIDTH = 2048, 1024
_AVC: Final = "1.2.840.10008.1.2.4.102"
_MPEG2: Final = "1.2.840.10008.1.2.4.100"


def ramp() -> npt.NDArray[Any]:
    """Column c holds 16 c, in every row."""
    return np.tile(np.arange(COLUMNS, dtype="u2") * 16, (ROWS, 1))


def flat(value: int, shape: tuple[int, ...] = (ROWS, COLUMNS)) -> npt.NDArray[Any]:
    return np.full(shape, value, "u2")


def windowed(function: str | None, **others: Any) -> FileDataset:
    """A mammogram with one window; `function` is its VOI LUT Function."""
    attributes: dict[str, Any] = {"WindowCenter": CENTER, "WindowWidth": WIDTH, **others}
    if function is not None:
        attributes["VOILUTFunction"] = function
    sop_class = DigitalMammographyXRayImageStorageForPresentation
    return made.image(1, ramp(), SOPClassUID=sop_class, Modality="MG", **attributes)


def enhanced(*, shared: bool) -> FileDataset:
    """Two frames whose windows stand in functional groups."""
    item, group = Dataset(), Dataset()
    item.WindowCenter, item.WindowWidth, item.VOILUTFunction = CENTER, WIDTH, "SIGMOID"
    group.FrameVOILUTSequence = [item]
    others: dict[str, Any] = {"SharedFunctionalGroupsSequence": [group if shared else Dataset()]}
    others["PerFrameFunctionalGroupsSequence"] = [Dataset() if shared else group] * 2
    return made.image(1, np.stack([ramp(), ramp()]), SOPClassUID=EnhancedCTImageStorage, **others)


def add_overlay(
    dataset: Dataset, group: int, planes: npt.NDArray[Any], origin: tuple[int, int], first_frame: int | None = None
) -> None:
    """One overlay group: `planes` as (rows, columns), or (frames, rows, columns) with Image Frame Origin."""
    rows, columns = planes.shape[-2:]
    dataset.add_new((group, 0x0010), "US", rows)
    dataset.add_new((group, 0x0011), "US", columns)
    if first_frame is not None:
        dataset.add_new((group, 0x0015), "IS", len(planes))
        dataset.add_new((group, 0x0051), "US", first_frame)
    dataset.add_new((group, 0x0040), "CS", "G")
    dataset.add_new((group, 0x0050), "SS", list(origin))
    dataset.add_new((group, 0x0100), "US", 1)
    dataset.add_new((group, 0x0102), "US", 0)
    bits = np.packbits(planes.astype(bool).ravel(), bitorder="little").tobytes()
    dataset.add_new((group, 0x3000), "OW", bits + bytes(len(bits) % 2))


def overlays() -> FileDataset:
    """Two groups: a small one inside the image (inline in the metadata), one as large as the image (bulk data)."""
    dataset = made.image(1, flat(2048), WindowCenter=CENTER, WindowWidth=4096)
    add_overlay(dataset, 0x6000, np.ones((16, 32), "u1"), (41, 101))  # rows 41-56, columns 101-132
    large = np.zeros((ROWS, COLUMNS), "u1")
    large[96:112, 200:232] = 1
    add_overlay(dataset, 0x6002, large, (1, 1))
    return dataset


def overlay_frames() -> FileDataset:
    """Three frames, an overlay of the second and third: first at the left, then at the right."""
    dataset = made.image(
        1, np.stack([flat(2048)] * 3), SOPClassUID=MultiFrameGrayscaleWordSecondaryCaptureImageStorage, Modality="OT",
        WindowCenter=CENTER, WindowWidth=4096,
    )  # fmt: skip
    planes = np.zeros((2, ROWS, COLUMNS), "u1")
    planes[0, :, 8:40] = 1
    planes[1, :, 216:248] = 1
    add_overlay(dataset, 0x6000, planes, (1, 1), first_frame=2)
    return dataset


def colour_ramp(dtype: str, frames: int | None = None) -> npt.NDArray[Any]:
    """Red rises to the right, green is half, blue falls: over the whole range of the type."""
    top = np.iinfo(dtype).max
    red = np.linspace(0, top, COLUMNS)
    image = np.stack([red, np.full(COLUMNS, top // 2), red[::-1]], axis=-1)
    image = np.tile(image, (ROWS, 1, 1)).round().astype(dtype)
    return image if frames is None else np.stack([image] * frames)


def cine(frames: int) -> FileDataset:
    """A captured cine of true colour."""
    return made.image(
        1, colour_ramp("u1", frames), SOPClassUID=MultiFrameTrueColorSecondaryCaptureImageStorage, Modality="OT",
        FrameIncrementPointer=0x00181063, FrameTime="33.3",
    )  # fmt: skip


def lookup_table(first: int, values: npt.NDArray[Any]) -> Dataset:
    item = Dataset()
    item.add_new(0x00283002, "US", [len(values), first, 16])
    item.LUTExplanation = "made"
    item.add_new(0x00283006, "OW", values.astype("<u2").tobytes())
    return item


def voi_lut() -> FileDataset:
    """A VOI LUT that inverts, and no window."""
    item = lookup_table(0, np.linspace(65535, 0, 4096))
    return made.image(1, ramp(), SOPClassUID=SecondaryCaptureImageStorage, Modality="OT", VOILUTSequence=[item])


def modality_lut() -> FileDataset:
    """A Modality LUT that squares (0 to 4095), and a window over its output."""
    item = lookup_table(0, np.arange(4096.0) ** 2 / 4095)
    item.ModalityLUTType = "US"
    attributes = {"WindowCenter": CENTER, "WindowWidth": 4096, "ModalityLUTSequence": [item]}
    return made.image(1, ramp(), SOPClassUID=SecondaryCaptureImageStorage, Modality="OT", **attributes)


def palette(entries: int = 256, bits: int = 16) -> FileDataset:
    """A ramp of indices through a palette like `colour_ramp`."""
    indices = np.tile((np.arange(COLUMNS) * entries // COLUMNS).astype("u1" if entries <= 256 else "u2"), (ROWS, 1))
    top = (1 << bits) - 1
    red = np.linspace(0, top, entries).round().astype("<u2")
    tables = {"Red": red, "Green": np.full(entries, top // 2, "<u2"), "Blue": red[::-1]}
    dataset = made.image(
        1, indices, SOPClassUID=SecondaryCaptureImageStorage, Modality="OT",
        PhotometricInterpretation="PALETTE COLOR", BitsStored=8 if entries <= 256 else 16,
    )  # fmt: skip
    for name, values in tables.items():
        descriptor = f"{name}PaletteColorLookupTableDescriptor"
        setattr(dataset, descriptor, [entries % 65536, 0, bits])
        dataset[descriptor].VR = "US"
        setattr(dataset, f"{name}PaletteColorLookupTableData", values.tobytes())
    return dataset


def video(sop_class: UID, syntax: str, frames: int) -> FileDataset:
    """A moving test picture, coded by ffmpeg."""
    codec = ["libx264", "-pix_fmt", "yuv420p", "-movflags", "+faststart"] if syntax != _MPEG2 else ["mpeg2video"]
    form = "mp4" if syntax != _MPEG2 else "mpegts"
    source = ["-f", "lavfi", "-i", f"testsrc=size=256x128:rate=30:duration={frames / 30}"]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"video.{form}"  # a file, for MP4 is finished at its beginning
        subprocess.run(["ffmpeg", "-v", "error", *source, "-c:v", *codec, "-f", form, str(path)], check=True)
        stream = path.read_bytes()
    dataset = made.encapsulated([stream + bytes(len(stream) % 2)], syntax, pixels=colour_ramp("u1"))
    dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = sop_class
    dataset.PhotometricInterpretation = "YBR_PARTIAL_420"
    dataset.NumberOfFrames, dataset.Modality, dataset.FrameTime = frames, "US", "33.3"
    return dataset


def document(sop_class: UID, modality: str) -> FileDataset:
    """An object without pixels."""
    dataset = made.without_pixels(1, Modality=modality)
    dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = sop_class
    return dataset


def kept_jpeg() -> FileDataset:
    """Lossy JPEG, which is kept and has no reduced variant."""
    pixels = colour_ramp("u1")
    stream = imagecodecs.jpeg8_encode(pixels, level=95, subsampling="444", colorspace="rgb")
    others = {"SOPClassUID": SecondaryCaptureImageStorage, "Modality": "OT", "PhotometricInterpretation": "YBR_FULL"}
    return made.encapsulated([bytes(stream)], made.jpeg(50), pixels=pixels, **others)


def large_colour() -> FileDataset:
    """2048 x 1536 in colour, with the noise that makes it some megabytes."""
    noise = np.random.default_rng(0).integers(0, 24, (1536, 2048, 3))
    slope = np.linspace(0, 200, 2048)[None, :, None]
    return made.image(1, (slope + noise).astype("u1"), SOPClassUID=VLPhotographicImageStorage, Modality="XC")


SAMPLES: Final[dict[str, Callable[[], FileDataset]]] = {
    "linear": lambda: windowed(None),
    "sigmoid": lambda: windowed("SIGMOID"),
    "sigmoid-inverted": lambda: windowed("SIGMOID", PhotometricInterpretation="MONOCHROME1"),
    "sigmoid-rescaled": lambda: windowed(
        "SIGMOID", RescaleSlope=2, RescaleIntercept=-1024, WindowCenter=2 * CENTER - 1024, WindowWidth=2 * WIDTH
    ),
    "exact": lambda: windowed("LINEAR_EXACT"),
    "unknown-function": lambda: windowed("GAMMA"),
    "sigmoid-shared": lambda: enhanced(shared=True),
    "sigmoid-frames": lambda: enhanced(shared=False),
    "width-1": lambda: windowed(None, WindowWidth=1),
    "width-0": lambda: windowed(None, WindowWidth=0),
    "overlays": overlays,
    "overlay-frames": overlay_frames,
    "colour-16": lambda: made.image(
        1, colour_ramp("u2"), SOPClassUID=SecondaryCaptureImageStorage, Modality="OT", BitsStored=16
    ),
    "colour-12": lambda: made.image(
        1, colour_ramp("u2") >> 4, SOPClassUID=SecondaryCaptureImageStorage, Modality="OT", BitsStored=12, HighBit=11
    ),
    "aspect": lambda: made.image(
        1, ramp(), SOPClassUID=SecondaryCaptureImageStorage, Modality="OT", PixelAspectRatio=[2, 1],
        WindowCenter=CENTER, WindowWidth=4096,
    ),
    "voi-lut": voi_lut,
    "modality-lut": modality_lut,
    "palette": palette,
    "palette-bulk": lambda: palette(4096),
    "cine-95": lambda: cine(95),
    "mp4-us": lambda: video(UltrasoundMultiFrameImageStorage, _AVC, 60),
    "mpeg2": lambda: video(UltrasoundMultiFrameImageStorage, _MPEG2, 60),
    "large-colour": large_colour,
    "kept-jpeg": kept_jpeg,
    "mp4-fragmentable": lambda: video(UltrasoundMultiFrameImageStorage, f"{_AVC}.1", 60),
    "key-objects": lambda: document(KeyObjectSelectionDocumentStorage, "KO"),
    "plan": lambda: document(RTPlanStorage, "RTPLAN"),
    "retired-us": lambda: made.image(1, ramp(), SOPClassUID=UID("1.2.840.10008.5.1.4.1.1.3"), Modality="US"),
    "photographic-frames": lambda: made.image(
        1, colour_ramp("u1", 3), SOPClassUID=VideoPhotographicImageStorage, Modality="XC"
    ),
}  # fmt: skip


def main(folder: Path) -> None:
    """Write every sample as a study of its own, and say their UIDs."""
    found = {}
    for number, (name, make) in enumerate(SAMPLES.items(), start=1):
        dataset = make()
        study = f"{made.ROOT}.{100 + number}"
        dataset.StudyInstanceUID, dataset.SeriesInstanceUID = UID(study), UID(f"{study}.1")
        dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = UID(f"{study}.1.1")
        dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
        dataset.StudyDescription = dataset.PatientID = name
        dataset.StudyDate = "20240102"
        made.write(folder, f"{name}.dcm", dataset)
        found[name] = {"study": study, "series": f"{study}.1", "instance": f"{study}.1.1"}
    json.dump(found, sys.stdout)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
