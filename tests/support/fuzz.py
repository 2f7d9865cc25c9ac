"""Mutated files, built and judged: nothing may hang or end the job, every input is accounted for, published frames and
elements are what pydicom makes of the same mutated file, where it makes anything of it or no note says why not, and
pictures have the colours of the markers.

    python -m tests.support.fuzz --minutes 30 [--seed 7]       (make fuzz MINUTES=30)

A finding names its case; `python -m tests.support.fuzz --case NAME:SEED --keep FOLDER` leaves its file and tree in
FOLDER.
"""

from __future__ import annotations

import argparse
import contextlib
import faulthandler
import json
import os
import random
import re
import shutil
import sys
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path
from typing import Any, Final

import imagecodecs
import numpy as np
import numpy.typing as npt
import pydicom
from openjpeg.utils import decode as openjpeg_decode
from PIL import Image
from pydicom.encaps import generate_frames
from pydicom.pixels.utils import get_j2k_parameters, pixel_array

from stillframe.build.pipeline import build
from stillframe.build.request import BuildRequest
from stillframe.codec.htj2k import encode_frame
from stillframe.errors import WorkerDied
from stillframe.execute import ProcessExecutor, SerialExecutor
from stillframe.store.directory import DirectoryStore
from tests.support.dicom_files import (
    DEFLATED_FRAMES,
    EXPLICIT,
    RLE,
    UNCOMPRESSED_ITEMS,
    encapsulated_value,
    image_attributes,
    jpeg,
    random_samples,
    write_dicom,
)
from tests.support.frame_encoders import (
    JFIF,
    adobe,
    deflated,
    htj2k,
    htj2k_lossy,
    jpeg_ls_near,
    jpeg_of_components,
    jpegxl,
    jpegxl_lossy,
    jpegxl_of_jpeg,
    lossless_jpeg,
    with_segments,
)
from tests.support.multipart import unwrap_part
from tests.support.same_json import bulk_uris, check_elements, show_values
from tests.support.sample_files import sample_files
from tests.support.trees import PICTURED, NoProgress

HTJ2K, NATIVE = "1.2.840.10008.1.2.4.202", "1.2.840.10008.1.2.1"
PRIVATE = "1.2.826.0.1.3680043.9.9.9"
# The decoder that is pinned for each syntax: others differ on damaged entropy-coded data, and both may be right.
PLUGINS: Final = {
    **{f"1.2.840.10008.1.2.4.{number}": "gdcm" for number in (50, 51, 57, 70)},
    **{f"1.2.840.10008.1.2.4.{number}": "pyjpegls" for number in (80, 81)},
    **{f"1.2.840.10008.1.2.4.{number}": "pylibjpeg" for number in (90, 91, 201, 202, 203)},
    RLE: "pydicom",
}
_INTERLEAVED: Final = frozenset(uid for uid, plugin in PLUGINS.items() if plugin != "pyjpegls") - {RLE}
LARGEST_BYTES: Final = 300_000
HANG_SECONDS: Final = 20
# Notes on what pydicom does not see, or decides by other signs.
_UNSEEN: Final = (
    "published shifted to 0", "Photometric Interpretation is ", "unsigned (PS3.3 C.7.6.3.1.2)", "the file names ",
)  # fmt: skip
_SIGNED: Final = "the codestream has signed samples"
_READ_OTHERWISE: Final = ("are no elements", "its VR is none that DICOM defines", "the file names no transfer syntax")
# Elements of group 0028 in either byte order, with an explicit VR or without.
_IMAGE_PIXEL: Final = re.compile(rb"(?:\x28\0|\0\x28)..(?:US..|..\0\0)", re.DOTALL)
_PIXEL_TAGS: Final = (b"\xe0\x7f\x10\0", b"\x7f\xe0\0\x10")


@dataclass(frozen=True)
class Case:
    """One mutation of one file: the name of the sample and the seed of the mutation."""

    name: str
    seed: int

    def __str__(self) -> str:
        return f"{self.name}:{self.seed}"


@dataclass(frozen=True)
class Verdict:
    """What became of a case: `outcome` in a word, `finding` what is wrong with it, or nothing."""

    case: Case
    outcome: str
    finding: str = ""


def small_samples(each: int) -> dict[str, Path]:
    """The smallest files with pixel data of every transfer syntax and number of samples, so many of each kind."""
    kinds: dict[tuple[str, int, int], list[tuple[int, str, Path]]] = {}
    for path in sample_files():
        size = path.stat().st_size
        if size > LARGEST_BYTES:
            continue
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                dataset = pydicom.dcmread(path, stop_before_pixels=True)
                syntax = str(dataset.file_meta.TransferSyntaxUID)
                kind = (syntax, int(dataset.SamplesPerPixel), int(dataset.BitsAllocated))
            except Exception:
                continue
        if "StudyInstanceUID" in dataset and "Rows" in dataset:
            kinds.setdefault(kind, []).append((size, path.name, path))
    return {name: path for files in kinds.values() for _, name, path in sorted(files)[:each]}


def made_samples(folder: Path) -> dict[str, Path]:
    """A small file of every syntax that the installed samples lack; pydicom reads a few of them, and judges those."""
    frame = random_samples((40, 50), "u2", 12)
    colour = random_samples((41, 51, 3), "u1", 8)
    native = frame.tobytes()
    encoded: dict[str, bytes] = {
        DEFLATED_FRAMES: deflated(native),
        UNCOMPRESSED_ITEMS: native,
        jpeg(57): lossless_jpeg(frame, 12, 6),
        jpeg(81): jpeg_ls_near(frame, 12),
        jpeg(110): jpegxl(frame, 12),
        jpeg(112): jpegxl_lossy(frame, 12),
        jpeg(201): htj2k(frame, 12),
        jpeg(202): encode_frame(frame, 12),
        jpeg(203): htj2k_lossy(frame, 12),
        PRIVATE: native[:1000],
    }
    found = {}
    for syntax, data in encoded.items():
        attributes = image_attributes(frame, 2, BitsStored=12)
        found[f"made-{syntax}"] = write_dicom(
            folder / syntax, syntax, attributes, encapsulated_value([data, data]), vr="OB"
        )
    attributes = image_attributes(colour, PhotometricInterpretation="YBR_RCT")
    data = encapsulated_value([encode_frame(colour, 8)])
    found["made-colour"] = write_dicom(folder / "colour", jpeg(202), attributes, data, vr="OB")
    for name, markers in {"adobe-rgb": adobe(0), "adobe-ycbcr": adobe(1), "jfif": JFIF}.items():
        attributes = image_attributes(colour, PhotometricInterpretation="RGB")
        data = encapsulated_value([with_segments(jpeg_of_components(colour), markers)])
        found[f"made-{name}"] = write_dicom(folder / name, jpeg(50), attributes, data, vr="OB")
    data = encapsulated_value([jpegxl_of_jpeg(colour, 8)] * 2)
    attributes = image_attributes(colour, 2, PhotometricInterpretation="YBR_FULL_422")
    found["made-recompressed"] = write_dicom(folder / "recompressed", jpeg(111), attributes, data, vr="OB")
    attributes = image_attributes(frame, BitsAllocated=12, BitsStored=12)
    found["made-packed"] = write_dicom(folder / "packed", EXPLICIT, attributes, native[:3000])
    return found


def mutate(data: bytes, seed: int) -> bytes:
    """Odd seeds change the header, even ones the pixel data; one or a few changes, mostly of single bytes."""
    chance = random.Random(seed)
    changed = bytearray(data)
    pixels = max(data.rfind(tag) for tag in _PIXEL_TAGS)
    first, last = (132, max(pixels + 12, 133)) if seed % 2 else (max(pixels, 132), len(data))
    for _ in range(chance.choice((1, 1, 2, 4))):
        place = chance.randrange(first, last)
        match chance.randrange(8):
            case 0:
                changed[place : place + 1] = b""
            case 1:
                changed[place:place] = bytes([chance.randrange(256)])
            case 2:
                changed[place : place + 4] = chance.choice((bytes(4), b"\xff" * 4, b"\0\0\1\0", b"\xff\xff\0\0"))
            case 3 if chance.random() < 0.3:
                del changed[place:]
            case 4 if seed % 2:  # the value of an element of the Image Pixel module
                found = [match.end() for match in _IMAGE_PIXEL.finditer(changed, first, last - 2)]
                if found:
                    changed[chance.choice(found) + chance.randrange(2)] = chance.choice((0, 1, 2, 3, 8, 12, 16, 32))
            case _ if place < len(changed):
                changed[place] = chance.choice(
                    (0, 1, 255, chance.randrange(256), changed[place] ^ 1 << chance.randrange(8))
                )
            case _:
                pass
        last = min(last, len(changed))
        if first >= last:
            break
    return bytes(changed)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep what the native decoders write of damaged images out of the terminal."""
    sys.stdout.flush()
    saved, nothing = [os.dup(1), os.dup(2)], os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nothing, 1)
        os.dup2(nothing, 2)
        yield
    finally:
        for number, file in enumerate(saved, 1):
            os.dup2(file, number)
            os.close(file)
        os.close(nothing)


def attempt(source: str, case: Case, folder: str, *, keep: bool = False) -> Verdict:
    """Build a mutated file into a tree of its own, and judge it. What a worker does; a hang ends it."""
    faulthandler.dump_traceback_later(HANG_SECONDS, exit=True)
    path, tree = Path(folder) / f"{os.getpid()}.dcm", tempfile.mkdtemp(dir=folder)
    try:
        path.write_bytes(mutate(Path(source).read_bytes(), case.seed))
        with _quiet():
            return _verdict(case, path, tree)
    finally:
        faulthandler.cancel_dump_traceback_later()
        if not keep:
            shutil.rmtree(tree)


def _verdict(case: Case, path: Path, tree: str) -> Verdict:
    request = BuildRequest(sources=(str(path),), options=replace(PICTURED, max_frame_bytes=1 << 26))
    report = build(request, DirectoryStore(tree), SerialExecutor(), NoProgress())
    accounted = report.outcomes.total() + len(report.rejected) + len(report.skipped)
    if accounted != 1:
        return Verdict(case, "lost", f"{accounted} results for one input")
    if report.skipped:
        return Verdict(case, "not DICOM")
    for item in report.rejected:
        unexpected = item.reason.startswith("cannot be published") or not item.reason
        return Verdict(case, "rejected", item.reason if unexpected else "")
    notes = [note for item in report.noted for note in item.notes]
    (place,) = Path(tree).glob("studies/*/series/*/instances/*/metadata")
    (metadata,) = json.loads(place.read_bytes())
    finding = judge_frames(path, place.parent, metadata, notes) or judge_elements(path, place.parent, metadata, notes)
    return Verdict(case, "published", finding or judge_colours(place.parent, metadata))


def judge_elements(path: Path, folder: Path, metadata: dict[str, Any], notes: list[str]) -> str:
    """Which elements of the file the metadata lack, where pydicom reads and writes them all, and no note tells why."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            source = pydicom.dcmread(path, force=True)
            readable = bool(source.to_json_dict())
            show_values(source)
        except Exception:
            return ""
    if not readable or _reads_otherwise(source, metadata, notes):
        return ""
    bulk = {uri.removeprefix("bulkdata/"): (folder / uri).read_bytes() for _, _, uri in bulk_uris(metadata)}
    try:
        check_elements(source, metadata, bulk, "\n".join(notes))
    except AssertionError as error:
        return f"elements are not pydicom's: {str(error).partition(chr(10))[0] or 'others are missing'}"
    return ""


def _reads_otherwise(source: pydicom.Dataset, metadata: dict[str, Any], notes: list[str]) -> bool:
    """Whether there are bytes of which pydicom makes something else, with reason or not.

    Behind some bytes it reads on, it gives up before some lengths that are wrong, and takes others of odd VRs. An
    element of group 0000, which has no place in a data set (PS3.5 7.1), takes bytes of the next item there. What a file
    without a transfer syntax is written in, it guesses from less. A group length of no VR takes what follows it; we
    leave out group lengths, whatever their VR.
    """
    zero_group = re.search(r'"0000[0-9A-F]{4}":', json.dumps(metadata))
    swallowed = any(tag.element == 0 and source[tag].VM > 1 for tag in list(source.keys()))
    odd = any(phrase in note for note in notes for phrase in _READ_OTHERWISE)
    return odd or swallowed or bool(zero_group) or "TransferSyntaxUID" not in source.file_meta


def judge_colours(folder: Path, metadata: dict[str, Any]) -> str:
    """Whether the picture of a kept JPEG image has the colours that Pillow sees in it, where its markers tell them."""
    if _number(metadata, "00280002", 1) != 3 or metadata.get("00083002", {}).get("Value") != [jpeg(50)]:
        return ""
    middle = _number(metadata, "00280008", 1) // 2 + 1
    payload = unwrap_part((folder / "frames" / str(middle)).read_bytes())
    if b"JFIF" not in payload[:64] and b"Adobe" not in payload[:64]:
        return ""
    try:
        expected = np.asarray(Image.open(BytesIO(payload)).convert("RGB"), np.int16)
    except Exception:
        return ""
    found = np.asarray(Image.open(folder / "rendered").convert("RGB"), np.int16)
    if found.shape != expected.shape:
        return ""  # pixels that are not square became so
    return f"the picture has other colours than frame {middle}" if np.median(abs(found - expected)) > 12 else ""


def judge_frames(path: Path, folder: Path, metadata: dict[str, Any], notes: list[str]) -> str:
    """How the published frames differ from what pydicom makes of the file; nothing if they do not, or it cannot."""
    if "00083002" not in metadata or any(phrase in note for note in notes for phrase in _UNSEEN):
        return ""
    count = _number(metadata, "00280008", 1)
    stored = [(folder / "frames" / str(index + 1)).read_bytes() for index in range(count)]
    syntax = metadata["00083002"]["Value"][0]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            dataset = pydicom.dcmread(path, force=True)
            source = str(dataset.file_meta.get("TransferSyntaxUID", ""))
            if syntax not in (HTJ2K, NATIVE):
                return _judge_kept(dataset, stored)
            if source in _INTERLEAVED and "PlanarConfiguration" in dataset:
                dataset.PlanarConfiguration = 0  # without a meaning there (PS3.5 8.2), which pydicom gives it
            if dataset.get("PhotometricInterpretation") == "YBR_FULL_422":
                dataset.PlanarConfiguration = 0  # the only one that it has (PS3.3 C.7.6.3.1.2)
            if any(_SIGNED in note for note in notes) and _is_signed(dataset):
                dataset.PixelRepresentation = 1  # the codestream counts (PS3.5 8.2.4), of which pydicom cuts the sign
            array = pixel_array(dataset, raw=False, decoding_plugin=PLUGINS.get(source, ""))
        except Exception:
            return ""
    samples = int(dataset.SamplesPerPixel)
    expected = list(array.reshape(-1, *array.shape[-2 if samples == 1 else -3 :]))
    if len(expected) != count and "NumberOfFrames" in dataset and dataset.NumberOfFrames:
        return f"{count} frames, pydicom finds {len(expected)}"
    for number, (data, pixels) in enumerate(zip(stored, expected, strict=False), 1):
        found = openjpeg_decode(data, j2k_format=0) if syntax == HTJ2K else _native(data, metadata, pixels.shape)
        if found.shape != pixels.shape:
            return f"frame {number} has the shape {found.shape}, pydicom's {pixels.shape}"
        if syntax == HTJ2K and found.dtype.kind != "ui"[_number(metadata, "00280103", 0)]:
            return f"frame {number} has samples of another sign than the metadata"
        if not _same(found, pixels, _number(metadata, "00280101", 0), notes):
            return f"frame {number} is not pydicom's"
    return ""


def _is_signed(dataset: pydicom.Dataset) -> bool:
    """Whether the codestreams say that their samples are signed."""
    frames = generate_frames(dataset.PixelData, number_of_frames=int(dataset.get("NumberOfFrames") or 1))
    return all(get_j2k_parameters(frame).get("is_signed", False) for frame in frames)


def _number(metadata: dict[str, Any], tag: str, default: int) -> int:
    values = metadata.get(tag, {}).get("Value")
    return int(values[0]) if values else default


def _judge_kept(dataset: pydicom.Dataset, stored: list[bytes]) -> str:
    """pydicom ends encapsulated pixel data where a delimiter seems to stand, also inside the last fragment."""
    frames = list(generate_frames(dataset.PixelData, number_of_frames=len(stored)))
    for number, (body, frame) in enumerate(zip(stored, frames, strict=False), 1):
        payload = unwrap_part(body)
        if payload.startswith(b"\xff\xd8\xff") and not frame.startswith(b"\xff\xd8\xff"):
            if not _same_picture(payload, frame):
                return f"frame {number} shows another picture as a JPEG image than recompressed"
            continue
        if frame not in (payload, payload + b"\0") and not (number == len(stored) and payload.startswith(frame)):
            return f"kept frame {number} is not pydicom's"
    return ""


def _same_picture(image: bytes, recompressed: bytes) -> bool:
    """Whether a JPEG image and a JPEG XL image decode alike; decoders differ by their rounding."""
    found, expected = imagecodecs.jpeg8_decode(image), imagecodecs.jpegxl_decode(recompressed, keeporientation=True)
    return found.shape == expected.shape and bool(np.abs(found.astype(int) - expected).mean() < 4)


def _native(body: bytes, metadata: dict[str, Any], shape: tuple[int, ...]) -> npt.NDArray[Any]:
    bits = _number(metadata, "00280100", 0)
    payload = unwrap_part(body)
    if bits == 1:
        return np.unpackbits(np.frombuffer(payload, "u1"), count=int(np.prod(shape)), bitorder="little").reshape(shape)
    kind = "f" if "00280101" not in metadata else "ui"[_number(metadata, "00280103", 0)]
    return np.frombuffer(payload, f"<{kind}{bits // 8}").reshape(shape)


def _same(found: npt.NDArray[Any], expected: npt.NDArray[Any], bits: int, notes: list[str]) -> bool:
    """Equal in the bits that are stored: what stands above them is no part of a sample, and signs follow from it."""
    if found.dtype.kind == "f" or not bits:
        return np.array_equal(found, expected, equal_nan=found.dtype.kind == "f")
    if any("converted to RGB" in note for note in notes):  # with less exact numbers, pydicom rounds some otherwise
        return bool((abs(found.astype("i8") - expected) <= 1).all())
    mask = (1 << bits) - 1
    return bool(((found.astype("i8") & mask) == (expected.astype("i8") & mask)).all())


def run_cases(cases: Iterable[Case], samples: dict[str, Path], workers: int, folder: str) -> Iterator[Verdict]:
    """Verdicts of all cases, in their order; a worker that dies costs its case and nothing else."""
    with ProcessExecutor(workers) as executor:
        pending: list[tuple[Case, float, Future[Verdict]]] = []
        for case in cases:
            future = executor.submit(attempt, str(samples[case.name]), case, folder)
            pending.append((case, time.monotonic(), future))
            if len(pending) >= 4 * workers:
                yield _settle(*pending.pop(0))
        for item in pending:
            yield _settle(*item)


def _settle(case: Case, started: float, future: Future[Verdict]) -> Verdict:
    try:
        return future.result(timeout=10 * HANG_SECONDS)
    except TimeoutError:
        return Verdict(case, "hangs", "the executor does not come back")
    except WorkerDied:
        hung = time.monotonic() - started > HANG_SECONDS
        return Verdict(case, "hangs" if hung else "decoder crashed", "took too long" if hung else "")


def _endless(samples: dict[str, Path], seed: int, until: float) -> Iterator[Case]:
    names = sorted(samples)
    while time.monotonic() < until:
        for name in names:
            yield Case(name, seed)
        seed += 1


def main() -> int:
    """Fuzz for some minutes, or try one case again."""
    parser = argparse.ArgumentParser(description="Build mutated sample files and judge what is published.")
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--case", help="NAME:SEED of one case")
    parser.add_argument("--keep", help="folder for the file and the tree of --case")
    arguments = parser.parse_args()
    source = tempfile.TemporaryDirectory()
    samples = small_samples(6) | made_samples(Path(source.name))
    if arguments.case:
        name, _, number = arguments.case.rpartition(":")
        folder = arguments.keep or tempfile.mkdtemp()
        Path(folder).mkdir(parents=True, exist_ok=True)
        print(attempt(str(samples[name]), Case(name, int(number)), folder, keep=True), "in", folder)
        return 0
    outcomes: Counter[str] = Counter()
    findings = 0
    until = time.monotonic() + 60 * arguments.minutes
    with tempfile.TemporaryDirectory() as folder:
        for verdict in run_cases(
            _endless(samples, arguments.seed, until), samples, len(os.sched_getaffinity(0)), folder
        ):
            outcomes[verdict.outcome] += 1
            if verdict.finding:
                findings += 1
                print(f"{verdict.case}: {verdict.outcome}: {verdict.finding}", flush=True)
    tried = f"{outcomes.total()} cases of {len(samples)} files from seed {arguments.seed}"
    print(f"{tried}: {dict(outcomes)}; {findings} findings")
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
