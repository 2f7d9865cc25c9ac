"""What comes out of encodings that pydicom does not know, of frames nothing here decodes, and of contradictions."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from openjpeg.utils import decode as openjpeg_decode
from pydicom.uid import SegmentationStorage

from stillframe.build.results import Built
from stillframe.codec.codestream import nonconformities
from stillframe.codec.markers import parse_header
from stillframe.layout import Kind, media_type
from stillframe.options import Lossy
from stillframe.source.inputs import Rejected
from tests.support.dicom_files import (
    DEFLATED_FRAMES,
    EXPLICIT,
    UNCOMPRESSED_ITEMS,
    encapsulated_value,
    image_attributes,
    jpeg,
    offset_table,
    random_samples,
    write_dicom,
)
from tests.support.frame_encoders import (
    deflated,
    htj2k,
    j2k,
    j2k_lossy,
    jpeg_lossy,
    jpeg_ls_near,
    jpegls,
    jpegxl,
    jpegxl_lossy,
    jpegxl_of_jpeg,
)
from tests.support.published import Published, build, publish_file, rejected

HTJ2K = jpeg(202)
PRIVATE = "1.2.826.0.1.3680043.9.9.9"
type Publish = Callable[..., Published]


@pytest.fixture
def publish(tmp_path: Path) -> Publish:
    return lambda path, **options: publish_file(path, tmp_path / "tree", **options)


# --- published as HTJ2K or natively ------------------------------------------------------------------------------


@pytest.mark.parametrize(("syntax", "encode"), [(DEFLATED_FRAMES, deflated), (UNCOMPRESSED_ITEMS, bytes)])
@pytest.mark.parametrize(("shape", "dtype"), [((40, 50), "u1"), ((40, 50), "i2"), ((41, 51, 3), "u1")])
def test_items_of_native_samples_become_htj2k(
    tmp_path: Path, publish: Publish, syntax: str, encode: Any, shape: tuple[int, ...], dtype: str
) -> None:
    frames = [random_samples(shape, dtype, 8 * np.dtype(dtype).itemsize, seed) for seed in range(2)]
    value = encapsulated_value([encode(frame.astype(f"<{dtype}").tobytes()) for frame in frames])
    published = publish(write_dicom(tmp_path / "file", syntax, image_attributes(frames[0], 2), value, vr="OB"))
    assert published.syntax == HTJ2K
    assert all(nonconformities(data) == [] for data in published.frames)
    assert np.array_equal([openjpeg_decode(data, j2k_format=0) for data in published.frames], frames)
    assert "00282110" not in published.metadata


@pytest.mark.parametrize(("syntax", "encode"), [(DEFLATED_FRAMES, deflated), (UNCOMPRESSED_ITEMS, bytes)])
def test_one_bit_items_become_native(tmp_path: Path, publish: Publish, syntax: str, encode: Any) -> None:
    """A segmentation: the frames are 105 bits, each in items of their own 14 bytes."""
    frames = random_samples((3, 7, 15), "u1", 1)
    natives = [np.packbits(frame.reshape(-1), bitorder="little").tobytes() for frame in frames]
    attributes = image_attributes(frames[0], 3, SOPClassUID=SegmentationStorage, BitsAllocated=1, BitsStored=1)
    path = write_dicom(tmp_path / "file", syntax, attributes, encapsulated_value(map(encode, natives)), vr="OB")
    published = publish(path)
    assert published.syntax == EXPLICIT
    assert [payload for _, payload in published.parts()] == natives


@pytest.mark.parametrize(
    ("shape", "dtype", "bits"), [((40, 50), "u1", 8), ((40, 50), "u2", 12), ((41, 51, 3), "u1", 8)]
)
def test_lossless_jpeg_xl_becomes_htj2k(
    tmp_path: Path, publish: Publish, shape: tuple[int, ...], dtype: str, bits: int
) -> None:
    frames = [random_samples(shape, dtype, bits, seed) for seed in range(2)]
    attributes = image_attributes(frames[0], 2, BitsStored=bits)
    value = encapsulated_value([jpegxl(frame, bits) for frame in frames])
    published = publish(write_dicom(tmp_path / "file", jpeg(110), attributes, value, vr="OB"))
    assert published.syntax == HTJ2K
    assert np.array_equal([openjpeg_decode(data, j2k_format=0) for data in published.frames], frames)
    assert published.built.notes == ()
    assert "00282110" not in published.metadata


def test_cells_of_12_bits_are_published_in_16(tmp_path: Path, publish: Publish) -> None:
    frame = random_samples((40, 50), "u2", 12)
    cells = sum(int(sample) << 12 * index for index, sample in enumerate(frame.reshape(-1)))
    attributes = image_attributes(frame, BitsAllocated=12, BitsStored=12)
    path = write_dicom(tmp_path / "file", EXPLICIT, attributes, cells.to_bytes(3000, "little"))
    published = publish(path)
    assert [published.values(f"0028010{n}") for n in range(4)] == [[16], [12], [11], [0]]
    assert np.array_equal(openjpeg_decode(published.frames[0], j2k_format=0), frame)
    assert parse_header(published.frames[0]).components[0].precision == 12


# --- kept --------------------------------------------------------------------------------------------------------

OPAQUE = [
    (jpeg(92), b"image/jpx", "JPEG 2000 Part 2"),
    (jpeg(55), b"application/octet-stream", "Full Progression, Non-Hierarchical"),
    (jpeg(66), b"application/octet-stream", "Lossless, Hierarchical"),
    (PRIVATE, b"application/octet-stream", ""),
]


@pytest.mark.parametrize(("syntax", "media", "name"), OPAQUE)
def test_frames_that_nothing_decodes_are_published_as_they_are(
    tmp_path: Path, publish: Publish, syntax: str, media: bytes, name: str
) -> None:
    frames = [f"frame {number} of an unknown kind".encode() for number in range(3)]
    fragments = [part for frame in frames for part in (frame[:8], frame[8:])]
    value = encapsulated_value(fragments, offset_table(fragments, [0, 2, 4]))
    attributes = image_attributes(random_samples((8, 8), "u1", 8), 3)
    published = publish(write_dicom(tmp_path / "file", syntax, attributes, value, vr="OB"))
    assert published.syntax == syntax
    assert published.parts() == [(media + f"; transfer-syntax={syntax}".encode(), frame) for frame in frames]
    assert media_type(Kind.FRAME, published.frames[0]).startswith(
        f'multipart/related; type="{media.decode()}"; boundary='
    )
    (note,) = published.built.notes
    assert note.startswith(f"frames of transfer syntax {syntax}")
    assert name in note
    assert note.endswith("are published as they are, neither decoded nor verified")
    assert published.built.rows == ()
    assert "00282110" not in published.metadata


def test_lengths_of_frames_in_the_data_set_cut_their_padding(tmp_path: Path, publish: Publish) -> None:
    frames = [b"odd", b"even", b"odd as well"]
    attributes = image_attributes(random_samples((8, 8), "u1", 8), 3)
    attributes["ExtendedOffsetTable"] = offset_table(frames, [0, 1, 2], "Q")
    attributes["ExtendedOffsetTableLengths"] = b"".join(len(frame).to_bytes(8, "little") for frame in frames)
    published = publish(write_dicom(tmp_path / "file", PRIVATE, attributes, encapsulated_value(frames), vr="OB"))
    assert [payload for _, payload in published.parts()] == frames


def test_frames_that_cannot_be_told_apart_are_refused(tmp_path: Path) -> None:
    attributes = image_attributes(random_samples((8, 8), "u1", 8), 2)
    path = write_dicom(tmp_path / "a", PRIVATE, attributes, encapsulated_value([b"1234", b"5678", b"90ab"]), vr="OB")
    assert rejected(path, tmp_path / "tree") == "Number of Frames is 2, the pixel data hold 1"
    attributes |= {"NumberOfFrames": None, "SOPClassUID": "1.2.840.10008.5.1.4.1.1.7.2"}
    path = write_dicom(tmp_path / "b", PRIVATE, attributes, encapsulated_value([b"1234", b"5678", b"90ab"]), vr="OB")
    reason = "Number of Frames is missing, and the pixel data are 3 fragments that do not say it"
    assert rejected(path, tmp_path / "tree") == reason


def test_a_transfer_syntax_that_is_no_uid_reaches_no_head(tmp_path: Path) -> None:
    attributes = image_attributes(random_samples((8, 8), "u1", 8))
    path = write_dicom(tmp_path / "file", "1.2.3", attributes, encapsulated_value([b"1234"]), vr="OB")
    whole = path.read_bytes()
    place = whole.index(b"UI\x06\x001.2.3\0")
    path.write_bytes(whole[: place + 4] + b"1\r\n2.3" + whole[place + 10 :])
    assert rejected(path, tmp_path / "tree").startswith("TransferSyntaxUID is not a UID")


@pytest.mark.parametrize(
    ("number", "encode", "method"),
    [(112, jpegxl_lossy, "ISO_18181_1"), (111, jpegxl_of_jpeg, "ISO_10918_1"), (110, jpegxl_lossy, "ISO_18181_1")],
)
@pytest.mark.parametrize("shape", [(40, 50), (41, 51, 3)])
def test_lossy_jpeg_xl_is_kept_or_transcoded(
    tmp_path: Path, publish: Publish, number: int, encode: Any, method: str, shape: tuple[int, ...]
) -> None:
    """Whatever the syntax promises: colours in XYB or from a JPEG image have their loss."""
    frame = random_samples(shape, "u1", 8)
    data = encode(frame, 8)
    path = write_dicom(tmp_path / "file", jpeg(number), image_attributes(frame), encapsulated_value([data]), vr="OB")
    kept = publish(path, lossy=Lossy.KEEP)
    assert kept.syntax == jpeg(number)
    assert kept.parts()[0] == (
        f"image/jxl; transfer-syntax={jpeg(number)}".encode(), data + bytes(len(data) % 2)
    )  # fmt: skip
    made = publish(path, lossy=Lossy.TRANSCODE)
    assert made.syntax == HTJ2K
    assert np.abs(openjpeg_decode(made.frames[0], j2k_format=0).astype(int) - frame).mean() < 40
    for published in (kept, made):
        assert (published.values("00282110"), published.values("00282114")) == (["01"], [method])


@pytest.mark.parametrize("choice", list(Lossy))
def test_lossless_jpeg_xl_is_what_its_header_says(tmp_path: Path, publish: Publish, choice: Lossy) -> None:
    """PS3.5 8.2.15 has no YBR_FULL, and lets the bit stream say how it is to be decoded."""
    frame = random_samples((40, 50, 3), "u1", 8)
    attributes = image_attributes(frame, PhotometricInterpretation="YBR_FULL")
    path = write_dicom(tmp_path / "file", jpeg(110), attributes, encapsulated_value([jpegxl(frame, 8)]), vr="OB")
    published = publish(path, lossy=choice)
    assert np.array_equal(openjpeg_decode(published.frames[0], j2k_format=0), frame)
    assert published.values("00280004") == ["YBR_RCT"]
    assert published.built.notes == (
        "Photometric Interpretation is YBR_FULL, but the image header of JPEG XL says that the samples are RGB;"
        " they are taken for that",
    )
    assert "00282110" not in published.metadata


@pytest.mark.parametrize("choice", list(Lossy))
@pytest.mark.parametrize(("number", "encode"), [(110, jpegxl), (112, jpegxl_lossy)])
def test_jpeg_xl_with_signed_samples_is_kept(
    tmp_path: Path, publish: Publish, number: int, encode: Any, choice: Lossy
) -> None:
    """JPEG XL has no signed samples, and nothing says how they are meant."""
    frame = random_samples((40, 50), "u2", 12)
    attributes = image_attributes(frame, BitsStored=12, PixelRepresentation=1)
    data = encode(frame, 12)
    path = write_dicom(tmp_path / "file", jpeg(number), attributes, encapsulated_value([data]), vr="OB")
    published = publish(path, lossy=choice)
    assert published.parts()[0][1].removesuffix(b"\0") == data.removesuffix(b"\0")
    if number == 110 or choice is not Lossy.KEEP:
        assert published.built.notes[0] == ("JPEG XL has no signed samples in 16 bits; the frames are kept as they are")


def test_a_jpeg_xl_frame_that_is_damaged_or_of_another_size_is_refused(tmp_path: Path) -> None:
    frame = random_samples((40, 50), "u1", 8)
    attributes = image_attributes(frame)
    path = write_dicom(
        tmp_path / "a", jpeg(112), attributes, encapsulated_value([jpegxl_lossy(frame, 8)[:60]]), vr="OB"
    )
    assert rejected(path, tmp_path / "tree").startswith("frame 1: cannot be decoded by libjxl")
    path = write_dicom(
        tmp_path / "b", jpeg(112), attributes, encapsulated_value([jpegxl_lossy(frame.T.copy(), 8)]), vr="OB"
    )
    assert rejected(path, tmp_path / "tree") == "frame 1: the frame is 40 x 50, the data set says 50 x 40"


@pytest.mark.parametrize("number", [94, 95, 204, 205])
def test_jpip_references_are_refused_by_name(tmp_path: Path, number: int) -> None:
    attributes = image_attributes(random_samples((8, 8), "u1", 8)) | {"PixelDataProviderURL": "http://127.0.0.1/image"}
    path = write_dicom(tmp_path / "file", jpeg(number), attributes, b"", tag=(0x7FE1, 0x0010), vr="OB", native=True)
    reason = rejected(path, tmp_path / "tree")
    assert reason.startswith(f"transfer syntax {jpeg(number)} (JPIP ")
    assert reason.endswith("refers to a JPIP provider; there are no pixel data to publish")


# --- lossy history -----------------------------------------------------------------------------------------------

LOSSY = [(50, jpeg_lossy, "ISO_10918_1"), (81, jpeg_ls_near, "ISO_14495_1"), (91, j2k_lossy, "ISO_15444_1")]


OURS = "this step"
HISTORIES: list[tuple[dict[str, str], list[Any], list[Any]]] = [
    ({}, [OURS], [OURS]),
    ({"LossyImageCompression": "00"}, [OURS], [OURS]),
    ({"LossyImageCompressionMethod": OURS, "LossyImageCompressionRatio": "7.5"}, [OURS], [7.5]),
    ({"LossyImageCompressionMethod": "OTHER", "LossyImageCompressionRatio": "7.5"}, ["OTHER", OURS], [7.5, OURS]),
]


@pytest.mark.parametrize(("number", "encode", "method"), LOSSY)
@pytest.mark.parametrize("option", list(Lossy))
@pytest.mark.parametrize(("stated", "methods", "ratios"), HISTORIES)
def test_frames_with_loss_say_so_whether_their_source_did(
    tmp_path: Path, publish: Publish, number: int, encode: Any, method: str, option: Lossy, stated: dict[str, str],
    methods: list[Any], ratios: list[Any],
) -> None:  # fmt: skip
    frames = [random_samples((40, 50), "u1", 8, seed) for seed in range(2)]
    encoded = [encode(frame, 8) for frame in frames]
    ratio = float(f"{2 * frames[0].nbytes / sum(map(len, encoded)):.3g}")
    attributes = image_attributes(frames[0], 2)
    attributes |= {keyword: method if value == OURS else value for keyword, value in stated.items()}
    path = write_dicom(tmp_path / "file", jpeg(number), attributes, encapsulated_value(encoded), vr="OB")
    published = publish(path, lossy=option)
    assert published.values("00282110") == ["01"]
    assert published.values("00282114") == [method if value == OURS else value for value in methods]
    assert published.values("00282112") == [ratio if value == OURS else value for value in ratios]


@pytest.mark.parametrize(("lossy", "lossless", "number"), [(j2k_lossy, j2k, 91), (jpeg_ls_near, jpegls, 81)])
@pytest.mark.parametrize("option", list(Lossy))
def test_one_lossy_frame_behind_others_makes_the_instance_lossy(
    tmp_path: Path, publish: Publish, lossy: Any, lossless: Any, number: int, option: Lossy
) -> None:
    frame = random_samples((40, 50), "u1", 8)
    encoded = [lossless(frame, 8), lossy(frame, 8)]
    path = write_dicom(
        tmp_path / "file", jpeg(number), image_attributes(frame, 2), encapsulated_value(encoded), vr="OB"
    )
    published = publish(path, lossy=option)
    assert published.syntax == (HTJ2K if option is Lossy.TRANSCODE else jpeg(number))
    assert published.values("00282110") == ["01"]
    if option is not Lossy.TRANSCODE:
        assert [payload for _, payload in published.parts()] == encoded


# --- contradictions ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("number", "encode"), [(90, j2k), (201, htj2k), (80, jpegls), (110, jpegxl)])
def test_the_codestream_counts_and_the_metadata_say_what_is_published(
    tmp_path: Path, publish: Publish, number: int, encode: Any
) -> None:
    """Only the last of the frames does not fit Bits Stored; all of them are then published as it says."""
    frames: list[npt.NDArray[Any]] = [random_samples((40, 50), "u2", bits) for bits in (8, 8, 12)]
    value = encapsulated_value([encode(frame, 12) for frame in frames])
    attributes = image_attributes(frames[0], 3, BitsStored=10)
    published = publish(write_dicom(tmp_path / "file", jpeg(number), attributes, value, vr="OB"))
    assert [published.values(f"0028010{n}") for n in range(4)] == [[16], [12], [11], [0]]
    (note,) = published.built.notes
    assert note == (
        "the codestream has unsigned samples of 12 bits, not 10 bits with Pixel Representation 0; they are published as"
        " they are"
    )
    for data, frame in zip(published.frames, frames, strict=True):
        assert parse_header(data).components[0].precision == 12
        assert np.array_equal(openjpeg_decode(data, j2k_format=0), frame)


@pytest.mark.parametrize("encode", [j2k_lossy, jpeg_ls_near])
def test_kept_frames_are_described_as_their_codestream_has_them(tmp_path: Path, publish: Publish, encode: Any) -> None:
    frame = random_samples((40, 50), "u2", 12)
    number = 91 if encode is j2k_lossy else 81
    path = write_dicom(
        tmp_path / "file", jpeg(number), image_attributes(frame, BitsStored=10), encapsulated_value([encode(frame, 12)])
    )
    published = publish(path)
    assert published.syntax == jpeg(number)
    assert published.values("00280101") == [12]


def test_a_missing_number_of_frames_is_published(tmp_path: Path, publish: Publish) -> None:
    frames = [random_samples((40, 50), "u2", 12, seed) for seed in range(3)]
    attributes = image_attributes(frames[0], BitsStored=12) | {"NumberOfFrames": None}
    value = b"".join(frame.tobytes() for frame in frames)
    published = publish(write_dicom(tmp_path / "file", EXPLICIT, attributes, value))
    assert published.values("00280008") == [3]
    assert published.built.notes == ("Number of Frames is missing; the pixel data hold 3",)
    assert np.array_equal([openjpeg_decode(data, j2k_format=0) for data in published.frames], frames)


def test_frames_above_the_limit_are_refused(tmp_path: Path, publish: Publish) -> None:
    frame = random_samples((40, 50), "u2", 12)
    path = write_dicom(tmp_path / "file", EXPLICIT, image_attributes(frame, BitsStored=12), frame.tobytes())
    result = build(path, tmp_path / "tree", max_frame_bytes=frame.nbytes - 1)
    assert isinstance(result, Rejected)
    assert result.reason == "a frame of 4000 bytes exceeds the limit of 3999"
    assert publish(path, max_frame_bytes=frame.nbytes).syntax == HTJ2K
    assert isinstance(build(path, tmp_path / "tree"), Built)  # published under another limit, and unchanged
