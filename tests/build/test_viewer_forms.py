"""Samples that viewers show wrongly as they are stored come out in other cells, with the same values."""

from __future__ import annotations

import json
import zlib
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from openjpeg.utils import decode as openjpeg_decode
from pydicom.uid import CTImageStorage, MultiFrameSingleBitSecondaryCaptureImageStorage, SegmentationStorage

from stillframe.archive.frame_rows import read_rows
from stillframe.build.dryrun.run import Destination, forecast_build
from stillframe.build.request import BuildRequest
from stillframe.build.results import Outcome
from stillframe.codec.htj2k import encode_frame
from stillframe.codec.markers import parse_header
from stillframe.execute import SerialExecutor
from stillframe.layout import Kind, key_of_path, parse_key
from stillframe.options import BuildOptions, Lossy, Rendered
from stillframe.store.directory import DirectoryStore
from tests.support.dicom_files import (
    BIG_ENDIAN,
    DEFLATED,
    DEFLATED_FRAMES,
    EXPLICIT,
    IMPLICIT,
    RLE,
    UNCOMPRESSED_ITEMS,
    encapsulated_value,
    image,
    image_attributes,
    jpeg,
    random_samples,
    write,
    write_dicom,
)
from tests.support.frame_encoders import deflated, htj2k, j2k, j2k_lossy, jpeg_ls_near, jpegls, lossless_jpeg, rle
from tests.support.older_trees import make_older, without_comment
from tests.support.published import UIDS, publish_file
from tests.support.reading import read_frames
from tests.support.trees import PICTURED, NoProgress, build_tree, contents, document

type Samples = npt.NDArray[Any]

ALLOCATED, STORED, HIGH_BIT, SIGNED = "00280100", "00280101", "00280102", "00280103"
SINGLE_BIT = MultiFrameSingleBitSecondaryCaptureImageStorage


def crc(frame: Samples) -> int:
    return zlib.crc32(np.ascontiguousarray(frame.astype(frame.dtype.newbyteorder("<"))))


def decoded(frames: list[bytes]) -> list[Samples]:
    """Codestreams as another decoder reads them."""
    return [openjpeg_decode(data, j2k_format=0) for data in frames]


def kinds_of(frames: list[bytes]) -> set[tuple[int, bool]]:
    return {(component.precision, component.signed) for data in frames for component in parse_header(data).components}


def native(frames: Samples) -> bytes:
    return frames.tobytes()


def swapped(frames: Samples) -> bytes:
    """Samples of 8 bits in big endian words."""
    return np.frombuffer(frames.tobytes(), "u2").byteswap().tobytes()


def items(encode: Callable[[Samples, int], bytes], bits: int) -> Callable[[Samples], bytes]:
    return lambda frames: encapsulated_value([encode(frame, bits) for frame in frames])


def unsigned(encode: Callable[[Samples, int], bytes]) -> Callable[[Samples, int], bytes]:
    """Two's complement, of which the codestream knows no sign."""
    return lambda frame, bits: encode(frame.view("u1") & ((1 << bits) - 1), bits)


def file_of(folder: Path, syntax: str, attributes: dict[str, Any], value: bytes) -> Path:
    return write_dicom(folder / "file", syntax, attributes, value, native=True if syntax in DEFLATED else None)


# --- signed samples of up to 8 bits ------------------------------------------------------------------------------

SIGNED_SOURCES: dict[str, Callable[[int], Callable[[Samples], bytes]]] = {
    IMPLICIT: lambda _: native,
    EXPLICIT: lambda _: native,
    DEFLATED[0]: lambda _: native,
    BIG_ENDIAN: lambda _: swapped,
    UNCOMPRESSED_ITEMS: lambda bits: items(lambda frame, _: frame.tobytes(), bits),
    DEFLATED_FRAMES: lambda bits: items(lambda frame, _: deflated(frame.tobytes()), bits),
    RLE: lambda bits: items(unsigned(rle), 8),
    jpeg(57): lambda bits: items(unsigned(lossless_jpeg), bits),
    jpeg(70): lambda bits: items(unsigned(lossless_jpeg), bits),
    jpeg(80): lambda bits: items(unsigned(jpegls), bits),
    jpeg(90): lambda bits: items(j2k, bits),
    jpeg(201): lambda bits: items(htj2k, bits),
    jpeg(202): lambda bits: items(encode_frame, bits),  # as it would be published, were it not signed
}


@pytest.mark.parametrize("bits", [8, 5])
@pytest.mark.parametrize("syntax", SIGNED_SOURCES)
def test_signed_samples_of_up_to_8_bits_are_published_as_9_of_16(tmp_path: Path, syntax: str, bits: int) -> None:
    frames = np.stack([random_samples((40, 50), "i1", bits, seed) for seed in range(3)])
    assert (frames.min(), frames.max()) == (-(1 << bits - 1), (1 << bits - 1) - 1)
    attributes = image_attributes(frames[0], 3, BitsStored=bits)
    path = file_of(tmp_path, syntax, attributes, SIGNED_SOURCES[syntax](bits)(frames))
    published = publish_file(path, tmp_path / "tree")
    assert published.syntax == jpeg(202)
    assert [published.values(tag) for tag in (ALLOCATED, STORED, HIGH_BIT, SIGNED)] == [[16], [9], [8], [1]]
    assert kinds_of(published.frames) == {(9, True)}
    assert np.array_equal(decoded(published.frames), frames)
    rows = published.built.rows
    assert [row.crc32 for row in rows] == [crc(frame.astype("i2")) for frame in frames]
    assert read_rows(DirectoryStore(str(tmp_path / "tree")), UIDS, published.metadata) == rows
    assert published.built.notes == ()


@pytest.mark.parametrize(("bits", "stored"), [(8, 9), (3, 9), (9, 9), (12, 12)])
def test_cells_of_16_bits_are_told_by_the_bits_stored(tmp_path: Path, bits: int, stored: int) -> None:
    frame = random_samples((40, 50), "i2", bits)
    attributes = image_attributes(frame, BitsStored=bits)
    published = publish_file(write_dicom(tmp_path / "file", EXPLICIT, attributes, frame.tobytes()), tmp_path / "tree")
    assert [published.values(tag) for tag in (ALLOCATED, STORED, HIGH_BIT)] == [[16], [stored], [stored - 1]]
    assert kinds_of(published.frames) == {(stored, True)}
    assert np.array_equal(decoded(published.frames), [frame])


@pytest.mark.parametrize(("dtype", "bits"), [("u1", 8), ("u1", 5), ("u2", 8), ("u2", 5), ("u1", 1)])
def test_unsigned_samples_keep_their_cells(tmp_path: Path, dtype: str, bits: int) -> None:
    frame = random_samples((40, 50), dtype, bits)
    attributes = image_attributes(frame, BitsStored=bits)
    published = publish_file(write_dicom(tmp_path / "file", EXPLICIT, attributes, frame.tobytes()), tmp_path / "tree")
    assert [published.values(tag) for tag in (ALLOCATED, STORED)] == [[8 * frame.itemsize], [bits]]
    assert kinds_of(published.frames) == {(bits, False)}


def test_a_codestream_of_9_bits_under_8_stored_does_not_pass_as_it_is(tmp_path: Path) -> None:
    frame = random_samples((40, 50), "i1", 8)
    data = encode_frame(frame.astype("i2"), 9)
    path = write_dicom(tmp_path / "file", jpeg(202), image_attributes(frame), encapsulated_value([data]))
    published = publish_file(path, tmp_path / "tree")
    assert [published.values(tag) for tag in (ALLOCATED, STORED)] == [[16], [9]]
    assert np.array_equal(decoded(published.frames), [frame])
    assert published.built.rows[0].crc32 == crc(frame.astype("i2"))


def test_values_of_pixels_keep_their_vr_and_their_sign(tmp_path: Path) -> None:
    frame = random_samples((40, 50), "i1", 8)
    source = write(
        tmp_path,
        "image.dcm",
        image(1, frame, BitsStored=8, PixelPaddingValue=-128, SmallestImagePixelValue=-127, LargestImagePixelValue=127),
    )
    published = publish_file(source, tmp_path / "tree")
    expected = {"00280120": -128, "00280106": -127, "00280107": 127}
    assert {tag: published.metadata[tag] for tag in expected} == {
        tag: {"vr": "SS", "Value": [value]} for tag, value in expected.items()
    }


def test_signed_frames_that_no_encoder_brings_back_are_native_in_the_same_cells(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    frame = random_samples((40, 50), "i1", 8)
    monkeypatch.setattr("stillframe.codec.htj2k.encode_frame", lambda frame, _: encode_frame(frame + np.int16(1), 10))
    path = write_dicom(tmp_path / "file", EXPLICIT, image_attributes(frame), frame.tobytes())
    published = publish_file(path, tmp_path / "tree")
    assert published.syntax == EXPLICIT
    assert [published.values(tag) for tag in (ALLOCATED, STORED, HIGH_BIT, SIGNED)] == [[16], [9], [8], [1]]
    assert [payload for _, payload in published.parts()] == [frame.astype("<i2").tobytes()]


@pytest.mark.parametrize(
    ("number", "encode", "by_default"), [(81, unsigned(jpeg_ls_near), Lossy.KEEP), (91, j2k_lossy, Lossy.TRANSCODE)]
)
def test_lossy_signed_samples_have_their_own_cells_where_they_are_kept(
    tmp_path: Path, number: int, encode: Callable[[Samples, int], bytes], by_default: Lossy
) -> None:
    frame = np.add.outer(np.arange(40), np.arange(50)).astype("i1") - np.int8(60)
    path = write_dicom(tmp_path / "file", jpeg(number), image_attributes(frame), items(encode, 8)(frame[None]))
    kept = publish_file(path, tmp_path / "kept", lossy=Lossy.KEEP)
    assert kept.syntax == jpeg(number)
    assert [kept.values(tag) for tag in (ALLOCATED, STORED, HIGH_BIT, SIGNED)] == [[8], [8], [7], [1]]
    transcoded = publish_file(path, tmp_path / "transcoded", lossy=Lossy.TRANSCODE)
    assert transcoded.syntax == jpeg(202)
    assert [transcoded.values(tag) for tag in (ALLOCATED, STORED, HIGH_BIT, SIGNED)] == [[16], [9], [8], [1]]
    alike = {Lossy.KEEP: kept, Lossy.TRANSCODE: transcoded}[by_default]
    by_itself = publish_file(path, tmp_path / "auto")
    assert (by_itself.frames, by_itself.metadata[ALLOCATED]) == (alike.frames, alike.metadata[ALLOCATED])
    assert np.array_equal(decoded(transcoded.frames), read_frames(path))
    assert np.abs(decoded(transcoded.frames)[0].astype(int) - frame).max() <= 4  # NEAR is 3


def test_a_damaged_signed_frame_is_zeros_in_the_same_cells(tmp_path: Path) -> None:
    frames = np.stack([random_samples((40, 50), "i1", 8, seed) for seed in range(3)])
    encoded = [j2k(frame, 8) for frame in frames]
    encoded[1] = encoded[1][: len(encoded[1]) // 2]
    path = write_dicom(tmp_path / "file", jpeg(90), image_attributes(frames[0], 3), encapsulated_value(encoded))
    published = publish_file(path, tmp_path / "tree", keep_damaged=True)
    assert kinds_of(published.frames) == {(9, True)}
    assert np.array_equal(decoded(published.frames), frames * np.array([1, 0, 1], "i1")[:, None, None])


# --- 1-bit images ------------------------------------------------------------------------------------------------


def packed(frames: Samples) -> bytes:
    """Bits of all frames without padding between them, the first in the least significant bit (PS3.5 8.1.1)."""
    data = np.packbits(frames.reshape(-1), bitorder="little").tobytes()
    return data + bytes(len(data) % 2)


def packed_words(frames: Samples) -> bytes:
    return np.frombuffer(packed(frames), "u2").byteswap().tobytes()


ONE_BIT_SOURCES: dict[str, Callable[[Samples], bytes]] = {
    IMPLICIT: packed,
    EXPLICIT: packed,
    DEFLATED[0]: packed,
    BIG_ENDIAN: packed_words,
    UNCOMPRESSED_ITEMS: items(lambda frame, _: packed(frame), 1),
    DEFLATED_FRAMES: items(lambda frame, _: deflated(packed(frame)), 1),
    jpeg(90): items(j2k, 1),
    jpeg(201): items(htj2k, 1),
    jpeg(202): items(encode_frame, 1),
}


def bits(count: int, shape: tuple[int, ...] = (35, 51)) -> Samples:
    """Shapes with borders within bytes."""
    steps = np.add.outer(np.arange(shape[0]), np.arange(shape[1]))
    return np.stack([steps // (3 + index) % 2 for index in range(count)]).astype("u1")


@pytest.mark.parametrize("syntax", ONE_BIT_SOURCES)
def test_images_of_1_bit_are_published_in_8(tmp_path: Path, syntax: str) -> None:
    frames = bits(3)
    attributes = image_attributes(frames[0], 3, SOPClassUID=SINGLE_BIT, BitsAllocated=1, BitsStored=1, HighBit=0)
    path = file_of(tmp_path, syntax, attributes, ONE_BIT_SOURCES[syntax](frames))
    published = publish_file(path, tmp_path / "tree")
    assert published.syntax == jpeg(202)
    assert [published.values(tag) for tag in (ALLOCATED, STORED, HIGH_BIT, SIGNED)] == [[8], [1], [0], [0]]
    assert kinds_of(published.frames) == {(1, False)}
    assert np.array_equal(decoded(published.frames), frames)
    rows = published.built.rows
    assert [row.crc32 for row in rows] == [crc(frame) for frame in frames]
    assert read_rows(DirectoryStore(str(tmp_path / "tree")), UIDS, published.metadata) == rows
    if syntax == jpeg(202):
        assert published.frames == [encode_frame(frame, 1) for frame in frames]  # byte for byte
    assert published.built.notes == ()


@pytest.mark.parametrize("syntax", ONE_BIT_SOURCES)
def test_segmentations_keep_their_bits(tmp_path: Path, syntax: str) -> None:
    frames = bits(3)
    attributes = image_attributes(
        frames[0], 3, SOPClassUID=SegmentationStorage, BitsAllocated=1, BitsStored=1, SegmentationType="BINARY"
    )
    path = file_of(tmp_path, syntax, attributes, ONE_BIT_SOURCES[syntax](frames))
    published = publish_file(path, tmp_path / "tree")
    assert published.syntax == EXPLICIT
    assert [published.values(tag) for tag in (ALLOCATED, STORED, HIGH_BIT)] == [[1], [1], [0]]
    assert [payload for _, payload in published.parts()] == [
        np.packbits(frame.reshape(-1), bitorder="little").tobytes() for frame in frames
    ]
    assert published.built.rows == ()


@pytest.mark.parametrize("sop_class", [CTImageStorage, SINGLE_BIT, "1.2.3.4.5"])
def test_the_sop_class_decides_what_a_segmentation_is(tmp_path: Path, sop_class: str) -> None:
    (frame,) = bits(1)
    attributes = image_attributes(
        frame, SOPClassUID=sop_class, BitsAllocated=1, BitsStored=1, HighBit=0, SegmentationType="BINARY"
    )
    published = publish_file(write_dicom(tmp_path / "file", EXPLICIT, attributes, packed(frame)), tmp_path / "tree")
    assert published.values(ALLOCATED) == [8]
    assert np.array_equal(decoded(published.frames), [frame])


def test_bits_have_no_sign(tmp_path: Path) -> None:
    (frame,) = bits(1)
    attributes = image_attributes(frame, BitsAllocated=1, BitsStored=1, HighBit=0, PixelRepresentation=1)
    published = publish_file(write_dicom(tmp_path / "file", EXPLICIT, attributes, packed(frame)), tmp_path / "tree")
    assert [published.values(tag) for tag in (ALLOCATED, STORED, SIGNED)] == [[8], [1], [0]]
    assert np.array_equal(decoded(published.frames), [frame])
    assert published.built.notes == (
        "Pixel Representation is 1; samples of 1 bit are unsigned (PS3.3 A.8.2.4), and read so",
    )


def test_bits_that_no_encoder_brings_back_are_native_in_8(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (frame,) = bits(1)
    monkeypatch.setattr("stillframe.codec.htj2k.encode_frame", lambda frame, _: encode_frame(1 - frame, 1))
    attributes = image_attributes(frame, BitsAllocated=1, BitsStored=1, HighBit=0)
    published = publish_file(write_dicom(tmp_path / "file", EXPLICIT, attributes, packed(frame)), tmp_path / "tree")
    assert published.syntax == EXPLICIT
    assert [published.values(tag) for tag in (ALLOCATED, STORED)] == [[8], [1]]
    assert [payload for _, payload in published.parts()] == [frame.tobytes()]


# --- what is made of them -----------------------------------------------------------------------------------------


def sources(folder: Path) -> list[Path]:
    """A signed image, an image of 1 bit, one of each value that has another form, and one that has none."""
    (one_bit,) = bits(1)
    signed = np.add.outer(np.arange(35), np.arange(51)).astype("i1") - np.int8(60)
    segments = np.array([0, 1, 0, 1, 255, 65280], "<u2").tobytes()
    palette: dict[str, Any] = {"PhotometricInterpretation": "PALETTE COLOR"}
    for channel in ("Red", "Green", "Blue"):
        palette[f"{channel}PaletteColorLookupTableDescriptor"] = [256, 0, 16]
        palette[f"Segmented{channel}PaletteColorLookupTableData"] = segments
    grey = signed.view("u1")
    datasets = [
        image(1, signed, BitsStored=8),
        image(2, one_bit, BitsAllocated=1, BitsStored=1, HighBit=0, PixelData=packed(one_bit)),
        image(3, grey, VOILUTFunction="LINEAR", WindowCenter=40, WindowWidth=400),
        image(4, grey, **palette),
        image(5, grey, PixelSpacing=[0, 0]),
        image(6, grey, VOILUTFunction="SIGMOID", WindowCenter=40, WindowWidth=400),
        image(7, grey, WindowCenter=40, WindowWidth=0),
    ]
    return [write(folder, f"{number}.dcm", dataset) for number, dataset in enumerate(datasets, 1)]


def test_pictures_are_those_of_the_same_values_in_plain_cells(tmp_path: Path) -> None:
    """A signed image and one of 16 bits, one of 1 bit and one of 8: thumbnails and pictures are equal bytes."""
    signed = np.add.outer(np.arange(35), np.arange(51)).astype("i1") - np.int8(60)
    (one_bit,) = bits(1)
    options = BuildOptions(rendered=Rendered.ALWAYS)
    pairs = [
        (image(1, signed, BitsStored=8), image(1, signed.astype("i2"), BitsStored=12)),
        (
            image(1, one_bit, BitsAllocated=1, BitsStored=1, HighBit=0, PixelData=packed(one_bit)),
            image(1, one_bit, BitsStored=1),
        ),
    ]
    for number, pair in enumerate(pairs):
        pictures = []
        for side, dataset in enumerate(pair):
            tree = tmp_path / f"{number}{side}"
            build_tree(tree, write(tmp_path, f"{number}{side}.dcm", dataset), options=options)
            found = contents(tree)
            pictures.append(
                {path: without_comment(found[path]) for path in found if path.endswith(("thumbnail", "rendered"))}
            )
        assert len(pictures[0]) == 4
        assert pictures[0] == pictures[1]


def test_a_dry_run_foretells_them(tmp_path: Path) -> None:
    files = sources(tmp_path / "in")
    tree = tmp_path / "tree"
    request = BuildRequest(sources=tuple(map(str, files)), options=BuildOptions(), destination=str(tree))
    store = DirectoryStore(str(tree))
    _, forecast = forecast_build(request, Destination(store), SerialExecutor(), NoProgress())
    build_tree(tree, *files)
    found = Counter[Kind]()
    for path, data in contents(tree).items():
        found[parse_key(key_of_path(path)).kind] += len(data)
    for kind in (Kind.FRAME, Kind.BULK_DATA):
        assert forecast.objects.size[kind] == found[kind]
    assert found[Kind.FRAME] > 0


def test_an_archive_of_the_version_before_is_built_again_where_a_form_changed(tmp_path: Path) -> None:
    """Version 2 published what is in the sources: its metadata are put in the place of those of today."""
    files = sources(tmp_path / "in")
    tree = tmp_path / "tree"
    build_tree(tree, *files, options=PICTURED)
    build_tree(tmp_path / "fresh", *files)
    before = {
        1: {ALLOCATED: us(8), STORED: us(8), HIGH_BIT: us(7)},
        2: {ALLOCATED: us(1), "00083002": {"vr": "UI", "Value": [EXPLICIT]}},
        3: {"00281056": {"vr": "CS", "Value": ["LINEAR"]}},
        4: {"00281201": None, "00281221": {"vr": "OW", "InlineBinary": "AAABAAAAAQD/AAD/"}},
        5: {"00280030": {"vr": "DS", "Value": [0, 0]}},
        6: {},
        7: {"00281050": {"vr": "DS", "Value": [40]}, "00281051": {"vr": "DS", "Value": [0]}},
    }
    make_older(tree, 2)
    for path in tree.rglob("metadata"):
        published = json.loads(path.read_bytes())
        for dataset in published:
            dataset.update(before[dataset["00200013"]["Value"][0]])
        kept = [{tag: element for tag, element in dataset.items() if element is not None} for dataset in published]
        path.write_text(json.dumps(kept, separators=(",", ":")))
    assert build_tree(tree, *files).outcomes == {Outcome.REBUILT: 6, Outcome.REDRAWN: 1}
    assert contents(tree) == contents(tmp_path / "fresh")
    assert build_tree(tree, *files).outcomes == {Outcome.UNCHANGED: 7}


def us(value: int) -> dict[str, Any]:
    return {"vr": "US", "Value": [value]}


def test_two_builds_of_the_same_pixels_in_other_cells_are_duplicates(tmp_path: Path) -> None:
    signed = random_samples((35, 51), "i1", 8)
    (one_bit,) = bits(1)
    first = [
        write(tmp_path, "1.dcm", image(1, signed, BitsStored=8)),
        write(
            tmp_path, "2.dcm", image(2, one_bit, BitsAllocated=1, BitsStored=1, HighBit=0, PixelData=packed(one_bit))
        ),
    ]
    again = [
        write(tmp_path, "again/1.dcm", image(1, signed.astype("i2"), BitsStored=9)),
        write(tmp_path, "again/2.dcm", image(2, one_bit, BitsStored=1)),
    ]
    build_tree(tmp_path / "tree", *first)
    assert build_tree(tmp_path / "tree", *first).outcomes == {Outcome.UNCHANGED: 2}
    report = build_tree(tmp_path / "tree", *again)
    assert report.outcomes == {Outcome.DUPLICATE: 2}
    assert [duplicate.notes for duplicate in report.duplicates] == [(), ()]
    other = write(tmp_path, "other/2.dcm", image(2, 1 - one_bit, BitsStored=1))
    (rejected,) = build_tree(tmp_path / "tree", other).rejected
    assert "differs in frame 1" in rejected.reason


def test_an_object_without_pixels_is_a_duplicate_of_what_an_older_version_published(tmp_path: Path) -> None:
    """Its attributes alone decide: LINEAR that is in one and left out in the other is no difference."""
    tree = tmp_path / "tree"
    window = image(1, VOILUTFunction="LINEAR", WindowCenter=40, WindowWidth=400)
    for keyword in ("PixelData", "Rows", "Columns", "BitsAllocated", "SamplesPerPixel"):
        delattr(window, keyword)
    window.SOPClassUID = "1.2.840.10008.5.1.4.1.1.11.1"
    build_tree(tree, write(tmp_path, "1.dcm", window))
    (path,) = tree.glob("studies/*/series/*/instances/*/metadata")
    (published,) = document(tree, str(path.relative_to(tree)))
    assert "00281056" not in published
    published["00281056"] = {"vr": "CS", "Value": ["LINEAR"]}
    path.write_text(json.dumps([dict(sorted(published.items()))], separators=(",", ":")))
    window.preamble = b"other".ljust(128, b"\0")
    assert build_tree(tree, write(tmp_path, "2.dcm", window)).outcomes == {Outcome.DUPLICATE: 1}
