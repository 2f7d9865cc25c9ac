"""Every sample file that pydicom and pydicom-data install, built together and alone, judged by other decoders.

The tables of docs/inputs.md are made from what comes out. To write them anew:

    STILLFRAME_WRITE_DOCS=1 python -m pytest tests/whole/test_sample_files.py -k document
"""

from __future__ import annotations

import functools
import importlib.util
import json
import os
import re
import warnings
import zlib
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from dataclasses import astuple, dataclass, replace
from importlib.metadata import version
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pydicom
import pytest
from openjpeg.utils import decode as openjpeg_decode
from PIL import Image
from pydicom import Dataset
from pydicom.encaps import generate_frames
from pydicom.pixels.utils import pixel_array
from pydicom.uid import UID, ImplicitVRLittleEndian, SegmentationStorage

from stillframe.archive.pictures import read_rendered, read_thumbnail
from stillframe.build.pipeline import build
from stillframe.build.report import Noted, Report
from stillframe.build.request import BuildRequest
from stillframe.build.results import Outcome
from stillframe.codec import codestream
from stillframe.codec.codestream import level_size
from stillframe.codec.htj2k import decode_frame, decode_prefix, encode_frame
from stillframe.codec.markers import parse_header
from stillframe.dicom.syntaxes import transfer_syntax
from stillframe.dicom.uids import InstanceUIDs
from stillframe.execute import ProcessExecutor, SerialExecutor
from stillframe.layout import (
    frame_index_key,
    frame_key,
    instance_key,
    metadata_key,
    reduced_key,
    rendered_key,
    thumbnail_key,
)
from stillframe.options import BuildOptions, DecoderLimits
from stillframe.source.inputs import Rejected
from stillframe.store.directory import DirectoryStore
from stillframe.worker_process import prepare_process
from tests.support.dicom_files import (
    BIG_ENDIAN,
    DEFLATED,
    DEFLATED_FRAMES,
    EXPLICIT,
    IMPLICIT,
    RLE,
    UNCOMPRESSED_ITEMS,
    encapsulated_value,
    image_attributes,
    jpeg,
    random_samples,
    write_dicom,
)
from tests.support.frame_encoders import (
    deflated,
    htj2k,
    htj2k_lossy,
    j2k,
    j2k_lossy,
    jpeg_lossy,
    jpeg_ls_near,
    jpegls,
    jpegxl,
    jpegxl_lossy,
    jpegxl_of_jpeg,
    lossless_jpeg,
    rle,
)
from tests.support.kinds import published_kinds
from tests.support.older_trees import without_comment
from tests.support.places import REPOSITORY
from tests.support.shared_result import shared_result
from tests.support.trees import PICTURED, NoProgress

type Pixels = npt.NDArray[Any]

HTJ2K = "1.2.840.10008.1.2.4.202"
NATIVE = "1.2.840.10008.1.2.1"
DOCUMENT = REPOSITORY / "docs" / "inputs.md"
SAMPLE_VERSIONS = {"pydicom": "3.0.2", "pydicom-data": "1.0.0"}


def _sample_files() -> dict[str, Path]:
    """Installed samples by name; the folders are listed, since pydicom's own functions download what is missing."""
    found = {}
    for label, package in (("pydicom", "pydicom"), ("pydicom-data", "data_store")):
        spec = importlib.util.find_spec(package)
        for folder in (spec.submodule_search_locations or []) if spec else []:
            root = Path(folder) / "data"
            for path in sorted(root.rglob("*")):
                if path.is_file() and path.suffix != ".pyc":
                    found[f"{label}/{path.relative_to(root)}"] = path
    return found


FILES = _sample_files()
pytestmark = pytest.mark.skipif(not FILES, reason="neither pydicom nor pydicom-data has sample files here")

# What has no place in a service, and why: read in the files, one by one.
_NO_STUDY = "StudyInstanceUID is missing or empty"
_NO_PIXELS = "has Rows and Columns but no pixel data"
REJECTED = {
    # Data sets cut down to what one test of pydicom needs.
    **dict.fromkeys(
        [
            "pydicom/charset_files/chrSQEncoding.dcm",
            "pydicom/charset_files/chrSQEncoding1.dcm",
            "pydicom/test_files/JPEGLSNearLossless_08.dcm",
            "pydicom/test_files/JPEGLSNearLossless_16.dcm",
            "pydicom/test_files/SC_rgb_jls_lossy_line.dcm",
            "pydicom/test_files/SC_rgb_jls_lossy_sample.dcm",
            "pydicom/test_files/UN_sequence.dcm",
            "pydicom/test_files/empty_charset_LEI.dcm",
            "pydicom/test_files/meta_missing_tsyntax.dcm",
            "pydicom/test_files/nested_priv_SQ.dcm",
            "pydicom/test_files/no_meta_group_length.dcm",
            "pydicom/test_files/priv_SQ.dcm",
        ],
        _NO_STUDY,
    ),
    # Color Palette objects belong to no study (PS3.3 A.58).
    **dict.fromkeys(
        [
            f"pydicom/palettes/{name}.dcm"
            for name in ["fall", "hotiron", "hotmetalblue", "pet", "pet20step", "spring", "summer", "winter"]
        ],
        _NO_STUDY,
    ),
    **dict.fromkeys(
        [
            "pydicom/charset_files/chrJapMulti.dcm",
            "pydicom/charset_files/chrJapMultiExplicitIR6.dcm",
            "pydicom/charset_files/chrKoreanMulti.dcm",
        ],
        _NO_PIXELS,
    ),
    # Anonymised with hexadecimal digests for UIDs.
    "pydicom-data/bad_sequence.dcm": (
        "StudyInstanceUID is not a UID: '05fa52f0e599f17b8186ff18fcdf2b5570a52206a75c4d03afebf5c475dc8758' "
        "(--assign-uids publishes it)"
    ),
    # An IS of letters.
    "pydicom/test_files/badVR.dcm": "NumberOfFrames is not a number: '1A'",
    # The delimiter was written over the SIZ marker segment of the codestream.
    "pydicom/test_files/JPEG2000-embedded-sequence-delimiter.dcm": (
        "frame 1: the frame is 3722445056 x 1024, the data set says 256 x 1024"
    ),
    "pydicom/test_files/MR_truncated.dcm": "truncated: PixelData promises 8192 bytes, 8130 are there",
    "pydicom/test_files/rtplan_truncated.dcm": "truncated: ends inside (300A,00B0), which begins at offset 1410",
}

# Has no preamble, and its first byte is gone: nothing says that it is DICOM.
NOT_DICOM = {"pydicom/test_files/no_meta.dcm"}

# Notes a person should read.
_UNMARKED = (
    "the kept frames are JPEG with RGB components, and no marker in them says so clearly;"
    " viewers that go by the markers show other colours, those of --lossy transcode are right"
)
_CONVERTED = "YBR_FULL samples were converted to RGB, with the rounding of PS3.3 C.7.6.3.1.2"
NOTES = {
    "pydicom-data/SC_ybr_full_uncompressed.dcm": [_CONVERTED],
    "pydicom/test_files/SC_ybr_full_422_uncompressed.dcm": [_CONVERTED],
    "pydicom/test_files/SC_jpeg_no_color_transform.dcm": [_UNMARKED],
    "pydicom/test_files/MR_small_padded.dcm": ["128 bytes behind the last frame are not published"],
    "pydicom/test_files/J2K_pixelrep_mismatch.dcm": [
        "the codestreams say unsigned; their samples are signed, as Pixel Representation says"
    ],
    "pydicom-data/emri_small_jpeg_2k_lossless_too_short.dcm": ["the pixel data end without a sequence delimiter"],
    "pydicom/test_files/SC_rgb_jpeg.dcm": [
        "the data set is written in Implicit VR Little Endian, not in what"
        " transfer syntax 1.2.840.10008.1.2.4.50 (JPEG Baseline (Process 1)) says",
        _UNMARKED,
    ],
    # CT slices without an Image Pixel module.
    **{
        name: ["its SOP class is that of an image, but there are no pixel data"]
        for name in FILES
        if name.startswith("pydicom/test_files/dicomdirtests/TINY_ALPHA/PT")
    },
    "pydicom-data/mlut_18.dcm": ["bits above Bits Stored were set in 1 frame; they are not published"],
    **{
        f"pydicom-data/RG1_{form}.dcm": [
            "Pixel Spacing (0028,0030) 0.0\\0.0 is left out: along a side of more than one pixel it is more than 0"
            " (PS3.3 10.7.1.3)"
        ]
        for form in ("J2KI", "J2KR", "UNCI", "UNCR")
    },
}

# pydicom cannot decode JPEG of 12 bits with any permissively licensed plugin; the frames are kept as they are.
UNDECODABLE = {"pydicom/test_files/JPEG-lossy.dcm", "pydicom/test_files/JPGExtended.dcm"}
# pydicom returns an empty data set for want of the sequence delimiter; all frames are there, as in the file named.
TWINS = {
    "pydicom-data/emri_small_jpeg_2k_lossless_too_short.dcm": "pydicom-data/emri_small_jpeg_2k_lossless.dcm",
}


def _looks_dicom(path: Path) -> bool:
    if path.suffix == ".dcm":
        return True
    with path.open("rb") as file:
        return file.read(132)[128:] == b"DICM"


def _expected_not_dicom(name: str) -> bool:
    return name in NOT_DICOM or "DICOMDIR" in name or not _looks_dicom(FILES[name])


def _what_it_is(name: str) -> str:
    if FILES[name].read_bytes()[:2] == b"\x1f\x8b":
        return "an archive of a kind that is not read (gzip)"
    return "a DICOMDIR, which lists instances and is none" if "DICOMDIR" in name else "not DICOM"


SAMPLES = [name for name in FILES if not _expected_not_dicom(name)]


@dataclass(frozen=True)
class Told:
    """What a report tells, as values that another process can read."""

    rejected: list[Rejected]
    outcomes: Counter[Outcome]
    noted: list[Noted]
    duplicates: list[Noted]


@dataclass(frozen=True)
class Alone:
    """One file built into a tree of its own."""

    report: Told
    store: DirectoryStore


def told(report: Report) -> Told:
    return Told(list(report.rejected), report.outcomes, list(report.noted), list(report.duplicates))


@pytest.fixture(scope="module")
def alone(run_folder: Path) -> Callable[[str], Alone]:
    """Builds a file into its own tree, once."""
    prepare_process()

    def build_alone(name: str) -> Alone:
        folder = run_folder / "alone" / name

        def make() -> Alone:
            store = DirectoryStore(str(folder / "tree"))
            request = BuildRequest(sources=(str(FILES[name]),), options=replace(PICTURED, reduced=(1, 2, 3)))
            return Alone(told(build(request, store, SerialExecutor(), NoProgress())), store)

        return shared_result(folder, make)

    return functools.cache(build_alone)


@pytest.fixture(scope="module")
def together(run_folder: Path) -> Alone:
    """All files built into one tree, by processes."""
    folder = run_folder / "together"

    def make() -> Alone:
        store = DirectoryStore(str(folder / "tree"))
        request = BuildRequest(
            sources=tuple(map(str, FILES.values())), options=replace(PICTURED, reduced=()), workers=2
        )
        with ProcessExecutor(2) as executor:
            return Alone(told(build(request, store, executor, NoProgress())), store)

    return shared_result(folder, make)


def read_source(name: str) -> Dataset:
    """The data set as pydicom reads it; a missing meta header means Implicit VR Little Endian in these files."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        dataset = pydicom.dcmread(FILES[TWINS.get(name, name)], force=True)
        if "TransferSyntaxUID" not in dataset.file_meta:
            dataset.file_meta.TransferSyntaxUID = UID(ImplicitVRLittleEndian)
    return dataset


def source_frames(dataset: Dataset) -> list[Pixels]:
    """pydicom's pixels of every frame, colour as RGB.

    pydicom 3.0 leaves bits above Bits Stored in native samples alone, and they are no part of them (PS3.5 8.1.1).
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        array = pixel_array(dataset, raw=False)
    frames = int(dataset.get("NumberOfFrames") or 1)
    array = array.reshape(-1, *array.shape[-2 if dataset.SamplesPerPixel == 1 else -3 :])
    assert len(array) == frames
    unused = dataset.BitsAllocated - dataset.BitsStored
    if unused and dataset.BitsAllocated > 1:
        array = (array << unused) >> unused
    return list(array)


def part_payload(body: bytes, syntax: str) -> bytes:
    """The one part of a multipart body, taken apart by RFC 2046 and not by the project's own code."""
    delimiter, _, rest = body.partition(b"\r\n")
    assert re.fullmatch(rb"--[0-9a-z-]{1,70}", delimiter)
    head, _, content = rest.partition(b"\r\n\r\n")
    assert head.endswith(f"; transfer-syntax={syntax}".encode())
    assert content.endswith(b"\r\n" + delimiter + b"--\r\n")
    assert content.count(delimiter) == 1
    return content[: -len(delimiter) - 6]


def value_of(metadata: dict[str, Any], tag: str) -> Any:
    return metadata[tag]["Value"][0]


# --- alone ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [name for name in FILES if name in REJECTED or _expected_not_dicom(name)])
def test_a_file_that_cannot_be_published_leaves_nothing_but_its_reason(
    name: str, alone: Callable[[str], Alone]
) -> None:
    built = alone(name)
    (rejected,) = built.report.rejected
    if name in REJECTED:
        assert rejected.reason == REJECTED[name]
    else:
        assert rejected.reason.startswith(_what_it_is(name))
    assert built.report.outcomes.total() == 0
    leaves = [path for path in Path(built.store.root).rglob("*") if path.is_file()]
    assert [json.loads(path.read_bytes()) for path in leaves] == [[]]  # the list of studies


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in SAMPLES if name not in REJECTED])
def test_a_file_built_alone_is_published_and_its_frames_are_those_of_the_source(
    name: str, alone: Callable[[str], Alone]
) -> None:
    built = alone(name)
    assert built.report.rejected == []
    assert built.report.outcomes == {Outcome.PUBLISHED: 1}
    assert [note for item in built.report.noted for note in item.notes] == NOTES.get(name, [])
    dataset = read_source(name)
    uids = InstanceUIDs(dataset.StudyInstanceUID, dataset.SeriesInstanceUID, dataset.SOPInstanceUID)
    _check_instance(name, dataset, uids, built.store)


def _check_instance(name: str, dataset: Dataset, uids: InstanceUIDs, store: DirectoryStore) -> None:
    (metadata,) = json.loads(_stored(store, metadata_key(uids.study, uids.series, uids.instance)))
    index = json.loads(_stored(store, frame_index_key(uids.study, uids.series)))
    frames = sorted(
        (key for key, _ in store.list(f"{instance_key(uids)}/") if key.startswith(f"{instance_key(uids)}/frames/")),
        key=lambda key: int(key.rpartition("/")[2]),
    )
    if not {"PixelData", "FloatPixelData", "DoubleFloatPixelData"} & {element.keyword for element in dataset}:
        assert frames == []
        assert index["groups"] == []
        assert _stored(store, instance_key(uids)).endswith(FILES[name].read_bytes()[-200:])
        return
    assert frames == [frame_key(uids, number + 1) for number in range(int(dataset.get("NumberOfFrames") or 1))]
    _check_pictures(dataset, uids, store)
    objects = [_stored(store, key) for key in frames]
    syntax = value_of(metadata, "00083002")
    if syntax == HTJ2K:
        _check_htj2k(dataset, metadata, index, objects, uids, store)
        return
    assert index["groups"] == []
    if syntax == NATIVE:
        _check_native(dataset, metadata, objects)
    else:
        _check_kept(name, dataset, metadata, [part_payload(data, syntax) for data in objects])


def _check_pictures(dataset: Dataset, uids: InstanceUIDs, store: DirectoryStore) -> None:
    """The same thumbnail for the instance, its series and its study, and the frame rendered at its own size.

    What was drawn while it was built is what is drawn of what is published.
    """
    keys = [thumbnail_key(*part) for part in ((uids.study,), (uids.study, uids.series), astuple(uids))]
    thumbnails = {_stored(store, key) for key in keys}
    metadata = json.loads(_stored(store, metadata_key(*astuple(uids))))[0]
    assert thumbnails == {read_thumbnail(store, metadata, DecoderLimits())}
    assert _stored(store, rendered_key(uids)) == read_rendered(store, metadata, DecoderLimits())
    thumbnail = Image.open(BytesIO(thumbnails.pop()))
    rendered = Image.open(BytesIO(_stored(store, rendered_key(uids))))
    assert not thumbnails
    assert max(thumbnail.size) <= 256
    spacing = dataset.get("PixelSpacing") or dataset.get("PixelAspectRatio") or [1, 1]
    if spacing[0] == spacing[1] and "SharedFunctionalGroupsSequence" not in dataset:
        assert rendered.size == (dataset.Columns, dataset.Rows)
        small = rendered.resize(thumbnail.size, Image.Resampling.BOX)
        assert np.abs(np.asarray(small).astype(int) - np.asarray(thumbnail)).mean() < 12
    colour = dataset.SamplesPerPixel == 3 or dataset.PhotometricInterpretation == "PALETTE COLOR"
    assert thumbnail.mode == rendered.mode == ("RGB" if colour else "L")


def _stored(store: DirectoryStore, key: str) -> bytes:
    stored = store.get(key)
    assert stored is not None, key
    return stored.data


def _check_htj2k(
    dataset: Dataset, metadata: dict[str, Any], index: dict[str, Any], objects: list[bytes], uids: InstanceUIDs,
    store: DirectoryStore,
) -> None:  # fmt: skip
    source = source_frames(dataset)
    (group,) = index["groups"]
    rows, sums = group["instances"][uids.instance], group["crc32"][uids.instance]
    assert len(rows) == len(sums) == len(objects) == len(source)
    samples = 1 if source[0].ndim == 2 else 3
    for data, pixels, row, crc in zip(objects, source, rows, sums, strict=True):
        header = parse_header(data)
        assert codestream.nonconformities(data) == []
        decoded = openjpeg_decode(data, j2k_format=0)
        assert decoded.dtype.kind == pixels.dtype.kind
        assert np.array_equal(decoded, pixels)
        little = np.ascontiguousarray(pixels.astype(pixels.dtype.newbyteorder("<")))
        assert little.itemsize * 8 == dataset.BitsAllocated
        assert crc == f"{zlib.crc32(little):08x}"
        assert {(component.precision, component.signed) for component in header.components} == {
            (value_of(metadata, "00280101"), value_of(metadata, "00280103") == 1)
        }
        assert (header.height, header.width) == (value_of(metadata, "00280010"), value_of(metadata, "00280011"))
        assert len(header.components) == value_of(metadata, "00280002") == samples
        assert row[-1] == len(data)
    if samples == 3:
        assert (value_of(metadata, "00280004"), value_of(metadata, "00280006")) == ("YBR_RCT", 0)
    else:
        assert value_of(metadata, "00280004") == dataset.PhotometricInterpretation
    for number in {1, len(objects)}:
        _check_levels(objects[number - 1], group["levels"], rows[number - 1], number, uids, store)


def _check_levels(
    data: bytes, levels: list[dict[str, int]], row: list[int], number: int, uids: InstanceUIDs, store: DirectoryStore
) -> None:
    """Prefix, cut and whole codestream give one image at every level; OpenJPEG, which also clips, gives it too."""
    assert [level["decodeLevel"] for level in levels] == list(range(len(levels) - 1, -1, -1))
    assert len(levels) >= 4
    assert max(levels[0]["width"], levels[0]["height"]) <= 64
    for level, prefix in zip(levels, row, strict=True):
        halvings = level["decodeLevel"]
        expected = decode_frame(data, halvings)
        assert expected.shape[:2] == (level["height"], level["width"])
        assert level_size(parse_header(data), halvings) == (level["width"], level["height"])
        assert np.array_equal(decode_prefix(data[:prefix], halvings), expected)
        if halvings in (1, 2, 3):
            reduced = _stored(store, reduced_key(uids, halvings, number))
            assert codestream.nonconformities(reduced, min_levels=0) == []
            assert np.array_equal(decode_frame(reduced), expected)
            assert np.array_equal(openjpeg_decode(reduced, j2k_format=0), expected)


def _check_native(dataset: Dataset, metadata: dict[str, Any], objects: list[bytes]) -> None:
    assert dataset.BitsAllocated not in (8, 16)
    for data, pixels in zip(objects, source_frames(dataset), strict=True):
        payload = part_payload(data, NATIVE)
        if dataset.BitsAllocated == 1:
            assert len(payload) == (pixels.size + 7) // 8
            found = np.unpackbits(np.frombuffer(payload, "u1"), count=pixels.size, bitorder="little")
        else:
            found = np.frombuffer(payload, pixels.dtype.newbyteorder("<"))
        assert np.array_equal(found.reshape(pixels.shape), pixels)
    if dataset.SamplesPerPixel == 3:
        assert (value_of(metadata, "00280004"), value_of(metadata, "00280006")) == ("RGB", 0)


def _check_kept(name: str, dataset: Dataset, metadata: dict[str, Any], payloads: list[bytes]) -> None:
    assert value_of(metadata, "00083002") == dataset.file_meta.TransferSyntaxUID
    frames = list(generate_frames(dataset.PixelData, number_of_frames=len(payloads)))
    for payload, frame in zip(payloads, frames, strict=True):
        assert frame in (payload, payload + b"\0")
        assert payload.endswith((b"\xff\xd9", b"\xff\xd9\xff"))  # some encoders pad with 0xFF
    for tag, keyword in (("00280010", "Rows"), ("00280011", "Columns"), ("00280101", "BitsStored")):
        assert value_of(metadata, tag) == dataset[keyword].value
    assert value_of(metadata, "00280004") == dataset.PhotometricInterpretation
    if name in UNDECODABLE:
        with pytest.raises(RuntimeError, match="Unable to decode"):
            pixel_array(dataset)


# --- together ---------------------------------------------------------------------------------------------------
# Two data sets without pixel data that share a SOP Instance UID with another one, and what comes of it.
_CONFLICT = (
    "another object with this SOP Instance UID is published already, or comes earlier in this job, and differs in "
)
WITHOUT_PIXELS = {
    "pydicom/test_files/ExplVR_LitEndNoMeta.dcm": None,  # the other byte order of ExplVR_BigEndNoMeta.dcm
    "pydicom/test_files/reportsi_with_empty_number_tags.dcm": (
        f"{_CONFLICT}(00081161, 00109431, 00186020, 00186024, 00189218, 00189219, 00640009)"
    ),
}


@dataclass(frozen=True)
class Fate:
    """What becomes of a file among all others; `reason` begins like this if it is rejected."""

    outcome: str
    reason: str = ""


def _expected_fates(form_of: Callable[[str], str]) -> dict[str, Fate]:
    """Who is published, a duplicate or a conflict, from the UIDs and pixels that pydicom reads."""
    fates = {name: Fate("rejected", reason) for name, reason in REJECTED.items()}
    groups: dict[tuple[str, ...], list[str]] = defaultdict(list)
    for name in SAMPLES:
        if name not in REJECTED:
            dataset = read_source(name)
            groups[dataset.StudyInstanceUID, dataset.SeriesInstanceUID, dataset.SOPInstanceUID].append(name)
    for published, *others in groups.values():
        fates[published] = Fate("published")
        for other in others:
            fates[other] = _fate_of_second(published, other, form_of)
    return fates


def _fate_of_second(published: str, other: str, form_of: Callable[[str], str]) -> Fate:
    if other in WITHOUT_PIXELS:
        reason = WITHOUT_PIXELS[other]
        return Fate("rejected", reason) if reason else Fate("duplicate")
    if form_of(published) == KEPT:  # kept frames are compared by their bytes, their pixels are not looked at
        same = _kept_payloads(published) == (_kept_payloads(other) if form_of(other) == KEPT else None)
        return Fate("duplicate") if same else Fate("rejected", f"{_CONFLICT}frame 1")
    one, two = source_frames(read_source(published)), source_frames(read_source(other))
    for number, (a, b) in enumerate(zip(one, two, strict=False), 1):
        containers = {a.dtype.itemsize, b.dtype.itemsize}  # HTJ2K frames of 8 and 16 allocated bits may be equal
        different = (max(containers) > 2 and len(containers) > 1) or not np.array_equal(a, b)
        if different:
            return Fate("rejected", f"{_CONFLICT}frame {number}")
    if len(two) < len(one):
        return Fate("rejected", f"{_CONFLICT}Number of Frames")
    return Fate("rejected", f"{_CONFLICT}frame {len(one) + 1}") if len(two) > len(one) else Fate("duplicate")


def _kept_payloads(name: str) -> list[bytes]:
    dataset = read_source(name)
    return list(generate_frames(dataset.PixelData, number_of_frames=int(dataset.get("NumberOfFrames") or 1)))


def _found_fates(report: Told) -> dict[str, Fate]:
    names = {str(path): name for name, path in FILES.items()}
    found = {name: Fate("published") for name in SAMPLES}
    found |= {names[str(item.source)]: Fate("duplicate") for item in report.duplicates}
    rejected = {names[item.path]: Fate("rejected", item.reason) for item in report.rejected}
    return found | {name: fate for name, fate in rejected.items() if not _expected_not_dicom(name)}


@pytest.mark.slow
def test_all_files_in_one_build_are_published_or_named_with_the_reason(
    alone: Callable[[str], Alone], together: Alone
) -> None:
    report = together.report
    others = [str(FILES[name]) for name in FILES if _expected_not_dicom(name)]
    assert {item.path for item in report.rejected}.issuperset(others)  # they are named one by one
    found = _found_fates(report)
    assert found == _expected_fates(lambda name: published_form(name, alone(name)))
    fates = Counter(fate.outcome for fate in found.values())
    assert report.outcomes == {Outcome.PUBLISHED: fates["published"], Outcome.DUPLICATE: fates["duplicate"]}
    assert len(report.rejected) == fates["rejected"] + len(others)
    assert fates.total() + len(others) == len(FILES)


@pytest.mark.slow
def test_what_is_published_among_others_is_what_is_published_alone(
    alone: Callable[[str], Alone], together: Alone
) -> None:
    compared = 0
    for name, fate in _found_fates(together.report).items():
        if fate.outcome == "published":
            (path,) = Path(alone(name).store.root).glob("studies/*/series/*/instances/*/metadata")
            for file in path.parent.rglob("*"):
                place = file.relative_to(alone(name).store.root)
                if file.is_file() and file != path and "reduced" not in place.parts:
                    # A thumbnail names the objects beside it.
                    found = (Path(together.store.root) / place).read_bytes()
                    assert without_comment(found) == without_comment(file.read_bytes()), name
                    compared += 1
    assert compared > 200


# --- the document -----------------------------------------------------------------------------------------------

KEPT, ENCODED, AS_NATIVE, NO_PIXELS = "kept as it is", "HTJ2K", "native", "no pixel data"
PASSED = "HTJ2K, byte for byte"
GIVEN_BACK = "the JPEG image that it was made of"
_OR_PASSED = f"{ENCODED}, byte for byte if it conforms"
# Stands for every other encapsulated syntax in the table; it is one of nobody's.
OTHER = "1.2.826.0.1.3680043.9.9.9"
PASSED_ON = "passed on, not decoded"
FORMS = (
    "grey or palette, 8 or 16 bits", "colour, 8 or 16 bits", "grey, 12 bits packed", "1 bit", "32, 64 bits or float",
    "1 bit, segmentation",
)  # fmt: skip
_DECODED = (ENCODED, ENCODED, ENCODED, ENCODED, AS_NATIVE, AS_NATIVE)
_EITHER = f"{ENCODED}, or {KEPT} if lossy"
_OR_IMAGE = f"{GIVEN_BACK}, or {ENCODED} if it gives none back"
_WITHOUT_CELLS = ("–", "–", "–", "–")
RULES: dict[str, tuple[str, ...]] = {
    "1.2.840.10008.1.2": _DECODED,
    "1.2.840.10008.1.2.1": _DECODED,
    "1.2.840.10008.1.2.1.98": _DECODED,
    "1.2.840.10008.1.2.1.99": _DECODED,
    "1.2.840.10008.1.2.2": _DECODED,
    "1.2.840.10008.1.2.5": (ENCODED, ENCODED, "–", "–", AS_NATIVE, "–"),
    "1.2.840.10008.1.2.8.1": _DECODED,
    "1.2.840.10008.1.2.4.50": (KEPT, KEPT, *_WITHOUT_CELLS),
    "1.2.840.10008.1.2.4.51": (KEPT, KEPT, *_WITHOUT_CELLS),
    "1.2.840.10008.1.2.4.57": (ENCODED, ENCODED, *_WITHOUT_CELLS),
    "1.2.840.10008.1.2.4.70": (ENCODED, ENCODED, *_WITHOUT_CELLS),
    "1.2.840.10008.1.2.4.80": (ENCODED, ENCODED, *_WITHOUT_CELLS),
    "1.2.840.10008.1.2.4.81": (_EITHER, _EITHER, *_WITHOUT_CELLS),
    "1.2.840.10008.1.2.4.90": (ENCODED, ENCODED, *_WITHOUT_CELLS),
    "1.2.840.10008.1.2.4.91": (_EITHER, _EITHER, *_WITHOUT_CELLS),
    "1.2.840.10008.1.2.4.110": (ENCODED, ENCODED, *_WITHOUT_CELLS),
    "1.2.840.10008.1.2.4.111": (_OR_IMAGE, _OR_IMAGE, *_WITHOUT_CELLS),
    "1.2.840.10008.1.2.4.112": (_OR_IMAGE, _OR_IMAGE, *_WITHOUT_CELLS),
    "1.2.840.10008.1.2.4.201": (_OR_PASSED, _OR_PASSED, *_WITHOUT_CELLS),
    "1.2.840.10008.1.2.4.202": (_OR_PASSED, _OR_PASSED, *_WITHOUT_CELLS),
    "1.2.840.10008.1.2.4.203": (f"{_OR_PASSED}; {KEPT} if lossy",) * 2 + _WITHOUT_CELLS,
    OTHER: (PASSED_ON,) * 6,
}


def published_form(name: str, built: Alone) -> str:
    """How the frames of a published file are stored."""
    (path,) = Path(built.store.root).glob("studies/*/series/*/instances/*/metadata")
    (metadata,) = json.loads(path.read_bytes())
    if "00083002" not in metadata:
        return NO_PIXELS
    syntax = value_of(metadata, "00083002")
    if syntax not in (HTJ2K, NATIVE):
        return KEPT
    if syntax == HTJ2K and read_source(name).file_meta.TransferSyntaxUID == HTJ2K:
        return PASSED
    return ENCODED if syntax == HTJ2K else AS_NATIVE


def pixel_form(dataset: Dataset) -> str:
    if dataset.BitsAllocated == 1:
        return FORMS[5 if dataset.SOPClassUID == SegmentationStorage else 3]
    if dataset.BitsAllocated > 16:
        return FORMS[4]
    return FORMS[dataset.SamplesPerPixel == 3]


def _table(head: list[str], rows: Iterable[Iterable[object]]) -> str:
    lines: list[Iterable[object]] = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)


def _syntax(uid: str) -> str:
    if uid == OTHER:
        return "any other encapsulated syntax: retired JPEG processes, JPEG 2000 Part 2, private ones"
    return f"{transfer_syntax(uid).name or uid} (`{uid}`)"


def _short(names: Iterable[str]) -> str:
    short = [name.partition("/")[2].removeprefix("test_files/") for name in sorted(names)]
    folder = os.path.commonpath(short)
    many = folder and len(short) > 12
    return f"{len(short)} files in `{folder}`" if many else ", ".join(f"`{name}`" for name in short)


def make_tables(forms: dict[str, str], fates: dict[str, Fate], kinds: list[list[str]]) -> dict[str, str]:
    """The tables of docs/inputs.md by their names, as its markers have them.

    `forms` of every file published alone, `fates` of every DICOM file among all others.
    """
    alone_counts = Counter(forms.values())
    counts = Counter(fate.outcome for fate in fates.values())
    rejected = {name for name in fates if fates[name].outcome == "rejected"}
    conflicts = {name for name in rejected if fates[name].reason.startswith(_CONFLICT)}
    images = [(name, forms[name], read_source(name)) for name in forms if forms[name] != NO_PIXELS]
    cells = Counter((d.file_meta.TransferSyntaxUID, pixel_form(d), form) for _, form, d in images)
    reasons: dict[str, list[str]] = defaultdict(list)
    for name in rejected - conflicts:
        reasons[fates[name].reason].append(name)
    differences: dict[str, list[str]] = defaultdict(list)
    for name in conflicts:
        differences[fates[name].reason.removeprefix(_CONFLICT)].append(name)
    not_dicom = sum(map(_expected_not_dicom, FILES))
    return {
        "forms": _table(["transfer syntax", *FORMS], ([_syntax(uid), *row] for uid, row in RULES.items())),
        "kinds": _table(["kind", "what is published of it"], kinds),
        "samples": _table(
            ["what became of it", "built alone", "all in one build"],
            [
                *([f"published: {form}", alone_counts[form], ""] for form in (ENCODED, PASSED, AS_NATIVE, KEPT)),
                [f"published: {NO_PIXELS}", alone_counts[NO_PIXELS], ""],
                ["published, all together", len(forms), counts["published"]],
                ["duplicate", 0, counts["duplicate"]],
                ["rejected: conflict", 0, len(conflicts)],
                ["rejected: other reasons", len(REJECTED), len(rejected - conflicts)],
                ["not DICOM", not_dicom, not_dicom],
                ["files", len(forms) + len(REJECTED) + not_dicom, len(FILES)],
            ],
        ),
        "samples by transfer syntax": _table(
            ["transfer syntax", "pixels", "published", "files"],
            (
                [_syntax(uid), form, published, cells[uid, form, published]]
                for uid, form, published in sorted(cells, key=lambda c: (list(RULES).index(c[0]), *c[1:]))
            ),
        ),
        "rejected": _table(
            ["reason", "files"], ([f"`{reason}`", _short(names)] for reason, names in sorted(reasons.items()))
        ),
        "conflicts": _table(
            ["differs in", "files"], ([what, _short(names)] for what, names in sorted(differences.items()))
        ),
        "noted": _table(
            ["note", "files"], ([note, _short(n for n in NOTES if note in NOTES[n])] for note in set_of_notes())
        ),
    }


_MARKED = re.compile(r"(<!-- begin: table (?P<name>[^>]+) -->\n\n)(?:.*?)(\n\n<!-- end -->)", re.DOTALL)


def set_of_notes() -> list[str]:
    return sorted({note for notes in NOTES.values() for note in notes})


@pytest.mark.slow
@pytest.mark.skipif(
    {package: version(package) for package in SAMPLE_VERSIONS} != SAMPLE_VERSIONS,
    reason="docs/inputs.md tells of other versions of the sample files",
)
def test_the_tables_of_the_document_are_what_the_files_give(
    alone: Callable[[str], Alone], together: Alone, pydicom_files: list[Path], tmp_path: Path
) -> None:
    forms = {name: published_form(name, alone(name)) for name in SAMPLES if name not in REJECTED}
    tables = make_tables(forms, _found_fates(together.report), published_kinds(tmp_path, pydicom_files))
    before = DOCUMENT.read_text(encoding="utf-8")
    assert [match["name"] for match in _MARKED.finditer(before)] == list(tables)
    after = _MARKED.sub(lambda match: match[1] + tables[match["name"]] + match[3], before)
    if os.environ.get("STILLFRAME_WRITE_DOCS"):
        DOCUMENT.write_text(after, encoding="utf-8")
    assert DOCUMENT.read_text(encoding="utf-8") == after


def test_the_document_names_the_versions_of_the_samples_and_the_reason_of_conflicts() -> None:
    text = DOCUMENT.read_text(encoding="utf-8")
    samples = " and ".join(f"{name} {number}" for name, number in SAMPLE_VERSIONS.items())
    assert f"## The sample files of {samples}" in text
    assert f"`{_CONFLICT}…`" in text


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in SAMPLES if name not in REJECTED])
def test_a_file_is_published_in_the_form_that_the_document_promises(name: str, alone: Callable[[str], Alone]) -> None:
    form = published_form(name, alone(name))
    dataset = read_source(name)
    if form == NO_PIXELS:
        assert "PixelData" not in dataset
        return
    rule = RULES[dataset.file_meta.TransferSyntaxUID][FORMS.index(pixel_form(dataset))]
    assert form in ((ENCODED, KEPT) if rule == _EITHER else (rule,))


# --- the table, cell by cell, from files made for it ------------------------------------------------------------


def _made_pixels(form: str) -> tuple[Pixels, dict[str, Any]]:
    """Pixels of a column of the table, and what the Image Pixel module says of them."""
    if form == FORMS[0]:
        frame = random_samples((40, 50), "u1", 8)
        return frame, image_attributes(frame)
    if form == FORMS[1]:
        frame = random_samples((40, 50, 3), "u1", 8)
        return frame, image_attributes(frame)
    if form == FORMS[2]:
        frame = random_samples((40, 50), "u2", 12)
        return frame, image_attributes(frame, BitsAllocated=12, BitsStored=12)
    if form in (FORMS[3], FORMS[5]):
        frame = random_samples((40, 50), "u1", 1)
        attributes = image_attributes(frame, BitsAllocated=1, BitsStored=1)
        return frame, attributes | ({"SOPClassUID": SegmentationStorage} if form == FORMS[5] else {})
    frame = random_samples((40, 50), "u4", 32)
    return frame, image_attributes(frame)


def _made_native(frame: Pixels, form: str, *, big_endian: bool = False) -> bytes:
    if form == FORMS[2]:
        stream = sum(int(sample) << 12 * index for index, sample in enumerate(frame.reshape(-1))).to_bytes(
            3000, "little"
        )
        return np.frombuffer(stream, "<u2").astype(">u2").tobytes() if big_endian else stream
    if form in (FORMS[3], FORMS[5]):
        return np.packbits(frame.reshape(-1), bitorder="little").tobytes()
    return frame.astype(frame.dtype.newbyteorder(">" if big_endian else "<")).tobytes()


def _as_published(frame: Pixels, bits: int) -> bytes:
    return encode_frame(frame, bits)


# Encoders by transfer syntax, and what each makes of a lossless and of a lossy frame.
_MAKERS: dict[str, list[tuple[Callable[[Pixels, int], bytes], str]]] = {
    jpeg(50): [(jpeg_lossy, KEPT)],
    jpeg(51): [(jpeg_lossy, KEPT)],
    jpeg(57): [(lossless_jpeg, ENCODED)],
    jpeg(70): [(lossless_jpeg, ENCODED)],
    jpeg(80): [(jpegls, ENCODED)],
    jpeg(81): [(jpegls, ENCODED), (jpeg_ls_near, KEPT)],
    jpeg(90): [(j2k, ENCODED)],
    jpeg(91): [(j2k, ENCODED), (j2k_lossy, KEPT)],
    jpeg(110): [(jpegxl, ENCODED), (jpegxl_lossy, ENCODED)],
    jpeg(111): [(jpegxl_of_jpeg, GIVEN_BACK), (jpegxl_lossy, ENCODED)],
    jpeg(112): [(jpegxl_of_jpeg, GIVEN_BACK), (jpegxl_lossy, ENCODED), (jpegxl, ENCODED)],
    jpeg(201): [(htj2k, ENCODED), (_as_published, PASSED)],
    jpeg(202): [(htj2k, ENCODED), (_as_published, PASSED)],
    jpeg(203): [(htj2k, ENCODED), (_as_published, PASSED), (htj2k_lossy, KEPT)],
}


def _made_files(folder: Path, syntax: str, form: str) -> Iterable[tuple[Path, bytes, str]]:
    """Files of a cell of the table: the path, the encoded frame, and the form that it is to be published in."""
    frame, attributes = _made_pixels(form)
    native = _made_native(frame, form, big_endian=syntax == BIG_ENDIAN)
    rule = RULES[syntax][FORMS.index(form)]
    if syntax in (IMPLICIT, EXPLICIT, BIG_ENDIAN, DEFLATED[0]):
        vr = "OB" if frame.itemsize == 1 else "OW"
        yield write_dicom(folder / "file", syntax, attributes, native, vr=vr, native=True), native, rule
        return
    items: dict[str, Callable[[bytes], bytes]] = {
        UNCOMPRESSED_ITEMS: bytes, DEFLATED_FRAMES: deflated, OTHER: bytes, RLE: lambda _: rle(frame, 0),
    }  # fmt: skip
    if syntax in items:
        data = items[syntax](native)
        yield write_dicom(folder / "file", syntax, attributes, encapsulated_value([data]), vr="OB"), data, rule
        return
    if syntax in (jpeg(90), jpeg(91), jpeg(201), jpeg(202), jpeg(203)) and frame.ndim == 3:
        attributes["PhotometricInterpretation"] = "YBR_RCT"
    for number, (encode, expected) in enumerate(_MAKERS[syntax]):
        data = encode(frame, attributes["BitsStored"])
        yield write_dicom(folder / f"{number}", syntax, attributes, encapsulated_value([data]), vr="OB"), data, expected


@pytest.mark.parametrize("syntax", RULES)
@pytest.mark.parametrize("form", FORMS)
def test_every_cell_of_the_table_is_what_a_file_made_for_it_gives(syntax: str, form: str, tmp_path: Path) -> None:
    rule = RULES[syntax][FORMS.index(form)]
    if rule == "–":
        return
    found = []
    for path, source, expected in _made_files(tmp_path, syntax, form):
        store = DirectoryStore(str(path.with_suffix(".tree")))
        report = build(
            BuildRequest(sources=(str(path),), options=BuildOptions()), store, SerialExecutor(), NoProgress()
        )
        assert report.rejected == []
        (place,) = Path(store.root).glob("studies/*/series/*/instances/*/metadata")
        (metadata,) = json.loads(place.read_bytes())
        frame = (place.parent / "frames/1").read_bytes()
        published = value_of(metadata, "00083002")
        if published == HTJ2K:
            found.append(PASSED if frame == source else ENCODED)
        elif published == NATIVE:
            found.append(AS_NATIVE)
        elif expected == GIVEN_BACK:
            assert part_payload(frame, jpeg(50)) == jpeg_lossy(_made_pixels(form)[0], 8)
            found.append(GIVEN_BACK)
        else:
            assert part_payload(frame, syntax) in (source, source + b"\0")  # padded to even length
            unseen = any("neither decoded nor verified" in note for item in report.noted for note in item.notes)
            found.append(PASSED_ON if unseen else KEPT)
        assert found[-1] == expected
    said = {form: form in found for form in (PASSED, KEPT, GIVEN_BACK, ENCODED, AS_NATIVE)}
    assert (KEPT in rule) == said[KEPT]
    assert ("byte for byte" in rule) == said[PASSED]
    assert (GIVEN_BACK in rule) == said[GIVEN_BACK]
    assert (ENCODED in rule) == said[ENCODED]
    assert (rule == AS_NATIVE) == said[AS_NATIVE]
    assert (rule == PASSED_ON) == (found == [PASSED_ON])
