"""What becomes of frames that are otherwise than their transfer syntax or their data set says."""

from __future__ import annotations

from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import numpy.typing as npt
import pytest
from openjpeg.utils import decode as openjpeg_decode
from PIL import Image
from pydicom.pixels.processing import convert_color_space

from stillframe.layout import rendered_key, thumbnail_key
from stillframe.options import Lossy
from stillframe.source.inputs import Rejected
from stillframe.store.directory import DirectoryStore
from tests.support.dicom_files import (
    EXPLICIT,
    RLE,
    encapsulated_value,
    image,
    image_attributes,
    jpeg,
    noise,
    random_samples,
    to_bytes,
    without_pixels,
    write_dicom,
)
from tests.support.frame_encoders import (
    adobe,
    htj2k,
    htj2k_lossy,
    j2k,
    j2k_lossy,
    jpeg_lossy,
    jpeg_ls_near,
    jpeg_of_components,
    jpegls,
    jpegxl,
    jpegxl_lossy,
    lossless_jpeg,
    rle,
    with_segments,
)
from tests.support.published import PICTURES, UIDS, Published, build, publish_file, rejected
from tests.support.trees import build_tree

type Frame = npt.NDArray[Any]

HTJ2K = jpeg(202)
GREY = random_samples((40, 50), "u1", 8)


def publish(
    folder: Path,
    syntax: str,
    fragments: list[bytes],
    like: Frame,
    *,
    options: dict[str, Any] | None = None,
    **attributes: Any,
) -> Published:
    folder.mkdir(exist_ok=True)
    path = write_dicom(
        folder / "file",
        syntax,
        image_attributes(like, **attributes),
        encapsulated_value(fragments),
        vr="OB",
        native=False,
    )
    return publish_file(path, folder / "tree", **(options or {}))


# --- the name of the transfer syntax --------------------------------------------------------------------------------

LOSSLESS = [(jpeg(70), lossless_jpeg), (jpeg(80), jpegls), (jpeg(90), j2k), (jpeg(201), htj2k), (RLE, rle)]
LOSSLESS_NAMES = (RLE, *(jpeg(number) for number in (57, 70, 80, 90, 202)))


@pytest.mark.parametrize(("found", "encode"), LOSSLESS)
@pytest.mark.parametrize("named", [EXPLICIT, RLE, *(jpeg(number) for number in (50, 57, 70, 80, 90, 91, 110, 202))])
def test_lossless_frames_are_read_as_what_they_are(
    tmp_path: Path, named: str, found: str, encode: Callable[[Frame, int], bytes]
) -> None:
    published = publish(tmp_path, named, [encode(GREY, 8)], GREY)
    assert published.syntax == HTJ2K
    assert np.array_equal(openjpeg_decode(published.frames[0], j2k_format=0), GREY)
    assert "00282110" not in published.metadata
    allowed = {jpeg(57): (jpeg(57), jpeg(70)), jpeg(91): (jpeg(91), jpeg(90)), jpeg(202): (jpeg(202), jpeg(201))}
    if found in allowed.get(named, (named,)):
        assert published.built.notes == ()
        return
    (note,) = published.built.notes
    assert note.startswith(f"the file names transfer syntax {named} (")
    assert f"but its frames are of transfer syntax {found} (" in note
    assert "loss" not in note.partition("frames")[2].replace("Lossless", "")


@pytest.mark.parametrize("named", LOSSLESS_NAMES)
def test_jpeg_xl_under_the_name_of_a_lossless_syntax_is_lossless_where_it_can_be(tmp_path: Path, named: str) -> None:
    """Nothing in an image tells that it lost nothing (PS3.5 8.2.15)."""
    published = publish(tmp_path, named, [jpegxl(GREY, 8)], GREY)
    assert published.syntax == HTJ2K
    assert np.array_equal(openjpeg_decode(published.frames[0], j2k_format=0), GREY)
    assert "but its frames are of transfer syntax 1.2.840.10008.1.2.4.110 (" in published.built.notes[0]
    assert "with loss" not in published.built.notes[0]
    for choice, syntax in ((Lossy.AUTO, HTJ2K), (Lossy.KEEP, jpeg(112))):
        lossy = publish(tmp_path / choice, named, [jpegxl_lossy(GREY, 8)], GREY, options={"lossy": choice})
        assert lossy.syntax == syntax
        assert lossy.values("00282110") == ["01"]
        assert "but its frames are of transfer syntax 1.2.840.10008.1.2.4.112 (" in lossy.built.notes[0]
        assert "with loss" not in lossy.built.notes[0]


LOSSY = [
    (jpeg(50), jpeg_lossy, b"image/jpeg", "ISO_10918_1"),
    (jpeg(81), jpeg_ls_near, b"image/jls", "ISO_14495_1"),
    (jpeg(91), j2k_lossy, b"image/jp2", "ISO_15444_1"),
    (jpeg(203), htj2k_lossy, b"image/jphc", "ISO_15444_15"),
]


@pytest.mark.parametrize(("found", "encode", "media", "method"), LOSSY)
@pytest.mark.parametrize("named", [EXPLICIT, RLE, *(jpeg(number) for number in (70, 80, 90, 201, 202))])
def test_loss_under_the_name_of_a_lossless_syntax_is_published_as_what_it_is(
    tmp_path: Path, named: str, found: str, encode: Callable[[Frame, int], bytes], media: bytes, method: str
) -> None:
    data = encode(GREY, 8)
    kept = publish(tmp_path / "kept", named, [data], GREY)
    assert kept.syntax == found
    ((content_type, payload),) = kept.parts()
    assert content_type == media + f"; transfer-syntax={found}".encode()
    assert payload.removesuffix(b"\0") == data.removesuffix(b"\0")
    made = publish(tmp_path / "made", named, [data], GREY, options={"lossy": Lossy.TRANSCODE})
    assert made.syntax == HTJ2K
    for published in (kept, made):
        assert (published.values("00282110"), published.values("00282114")) == (["01"], [method])
        (note,) = published.built.notes
        assert note.startswith(f"the file names transfer syntax {named} (")
        assert f"its frames are of transfer syntax {found} (" in note
        assert "compressed with loss" in note


def test_a_lossy_frame_behind_lossless_ones_makes_the_instance_lossy(tmp_path: Path) -> None:
    frames = [j2k(GREY, 8), j2k_lossy(GREY, 8)]
    published = publish(tmp_path, jpeg(90), frames, GREY, NumberOfFrames=2)
    assert published.syntax == jpeg(91)
    assert [data.removesuffix(b"\0") for _, data in published.parts()] == [data.removesuffix(b"\0") for data in frames]
    assert "compressed with loss" in published.built.notes[0]


def test_lossy_frames_of_two_transfer_syntaxes_are_transcoded_or_refused(tmp_path: Path) -> None:
    attributes = image_attributes(GREY, 2)
    value = encapsulated_value([jpeg_lossy(GREY, 8), j2k_lossy(GREY, 8)])
    path = write_dicom(tmp_path / "file", jpeg(50), attributes, value, vr="OB")
    reason = rejected(path, tmp_path / "kept", lossy=Lossy.KEEP)
    assert reason.startswith(f"frame 2: is of transfer syntax {jpeg(91)} (")
    assert f"while others are of transfer syntax {jpeg(50)} (" in reason
    assert reason.endswith("; --lossy auto transcodes them")
    published = publish_file(path, tmp_path / "tree")
    assert published.syntax == HTJ2K
    assert published.frames == publish_file(path, tmp_path / "made", lossy=Lossy.TRANSCODE).frames
    assert published.built.notes[0] == (
        reason.removesuffix("--lossy auto transcodes them") + "all frames are published by what they decode to"
    )


def test_lossless_frames_of_two_transfer_syntaxes_become_one(tmp_path: Path) -> None:
    other = GREY[::-1].copy()
    published = publish(tmp_path, jpeg(90), [j2k(GREY, 8), jpegls(other, 8)], GREY, NumberOfFrames=2)
    assert np.array_equal([openjpeg_decode(data, j2k_format=0) for data in published.frames], [GREY, other])


@pytest.mark.parametrize("progressive", [True, False])
def test_progressive_jpeg_keeps_the_name_that_viewers_know_with_a_note(tmp_path: Path, progressive: bool) -> None:
    file = BytesIO()
    Image.fromarray(GREY).save(file, "JPEG", progressive=progressive)
    assert (b"\xff\xc2" in file.getvalue()) == progressive
    published = publish(tmp_path, jpeg(50), [file.getvalue()], GREY)
    assert published.syntax == jpeg(50)
    assert len(published.built.notes) == progressive
    assert all("the frames are progressive JPEG, which" in note for note in published.built.notes)


def test_kept_colour_is_described_as_the_codestream_says(tmp_path: Path) -> None:
    frame = random_samples((40, 50, 3), "u1", 8)
    data = with_segments(jpeg_of_components(frame), adobe(0))
    published = publish(tmp_path, jpeg(50), [data], frame, PhotometricInterpretation="YBR_FULL_422")
    assert published.syntax == jpeg(50)
    assert published.values("00280004") == ["RGB"]
    assert published.built.notes == (
        "Photometric Interpretation is YBR_FULL_422, but Adobe's APP14 segment (transform 0) says that the samples are"
        " RGB; the metadata say so",
    )
    made = publish(
        tmp_path / "made", jpeg(50), [data], frame,
        options={"lossy": Lossy.TRANSCODE}, PhotometricInterpretation="YBR_FULL_422",
    )  # fmt: skip
    assert made.values("00280004") == ["YBR_RCT"]
    assert made.built.notes[0].endswith("says that the samples are RGB; they are taken for that")
    assert np.array_equal(
        openjpeg_decode(made.frames[0], j2k_format=0),
        imagecodecs.jpeg8_decode(data, colorspace="RGB", outcolorspace="RGB"),
    )


@pytest.mark.parametrize("lossy", [Lossy.KEEP, Lossy.TRANSCODE])
@pytest.mark.parametrize(("application", "stated", "ybr"), [(adobe(0), "YBR_FULL", False), (adobe(1), "RGB", True)])
def test_pictures_show_the_colours_of_the_codestream(
    tmp_path: Path, lossy: Lossy, application: bytes, stated: str, ybr: bool
) -> None:
    frame = np.zeros((32, 48, 3), "u1")
    frame[:, :24], frame[:, 24:] = ((200, 60, 90), (60, 150, 220))
    data = with_segments(jpeg_of_components(frame), application)
    publish(tmp_path, jpeg(50), [data], frame, options={"lossy": lossy} | PICTURES, PhotometricInterpretation=stated)
    # By hand: 200 + 1.402 * (90 - 128), 200 - 0.344 * (60 - 128) - 0.714 * (90 - 128), 200 + 1.772 * (60 - 128).
    left = (147, 251, 80) if ybr else (200, 60, 90)
    store = DirectoryStore(str(tmp_path / "tree"))
    for key in (rendered_key(UIDS), thumbnail_key(UIDS.study, UIDS.series, UIDS.instance)):
        stored = store.get(key)
        assert stored is not None
        picture = np.asarray(Image.open(BytesIO(stored.data)), "i4")
        assert np.abs(picture[16, 8] - left).max() <= 6


# --- High Bit -------------------------------------------------------------------------------------------------------


def publish_native(folder: Path, frames: Frame, **attributes: Any) -> Published:
    attributes = image_attributes(frames[0], len(frames), **attributes)
    return publish_file(write_dicom(folder / "file", EXPLICIT, attributes, frames.tobytes()), folder / "tree")


def bits_of(published: Published) -> list[Any]:
    return [published.values(f"0028010{number}") for number in range(4)]


@pytest.mark.parametrize("signed", [False, True])
def test_samples_above_a_field_of_zeros_are_shifted(tmp_path: Path, signed: bool) -> None:
    frames = np.stack([random_samples((40, 50), "i2" if signed else "u2", 12, seed) for seed in range(2)])
    frames[0] = 0  # a frame that tells nothing
    published = publish_native(tmp_path, frames << 4, BitsStored=12, HighBit=15)
    assert bits_of(published) == [[16], [12], [11], [int(signed)]]
    assert np.array_equal([openjpeg_decode(data, j2k_format=0) for data in published.frames], frames)
    assert published.built.notes == (
        "High Bit is 15, Bits Stored 12; the samples are in the bits from 4 on, and published shifted to 0",
    )


@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("high", [15, 13, 9])
def test_samples_at_the_right_end_of_their_cells_stay_there(tmp_path: Path, signed: bool, high: int) -> None:
    frames = np.stack([random_samples((40, 50), "i2" if signed else "u2", 12, seed) for seed in range(2)])
    published = publish_native(tmp_path, frames, BitsStored=12, HighBit=high)
    assert bits_of(published) == [[16], [12], [11], [int(signed)]]
    assert np.array_equal([openjpeg_decode(data, j2k_format=0) for data in published.frames], frames)
    assert published.built.notes == (
        f"High Bit is {high}, Bits Stored 12; the samples are in the bits from 0 on, and published so",
    )


def test_samples_of_nothing_but_zeros_are_where_they_like(tmp_path: Path) -> None:
    published = publish_native(tmp_path, np.zeros((1, 40, 50), "u2"), BitsStored=12, HighBit=15)
    assert bits_of(published)[2] == [11]
    assert not openjpeg_decode(published.frames[0], j2k_format=0).any()
    assert len(published.built.notes) == 1


@pytest.mark.parametrize("sample", [0xF001, 0x1001, 0x8001])
@pytest.mark.parametrize("dtype", ["u2", "i2"])
def test_samples_that_do_not_tell_their_bits_are_refused(tmp_path: Path, sample: int, dtype: str) -> None:
    """The last frame has bits on both sides: below the named field, and above Bits Stored."""
    frames = np.zeros((3, 4, 4), "u2")
    frames[2, 3, 3] = sample
    attributes = image_attributes(frames[0].view(dtype), 3, BitsStored=12, HighBit=15)
    reason = rejected(write_dicom(tmp_path / "file", EXPLICIT, attributes, frames.tobytes()), tmp_path / "tree")
    assert reason == "High Bit is 15, Bits Stored 12, and the samples do not tell which bits are theirs (PS3.5 8.1.1)"


@pytest.mark.parametrize("high", [0, 6, 8, 15])
def test_samples_as_large_as_their_cells_have_no_other_high_bit(tmp_path: Path, high: int) -> None:
    published = publish_native(tmp_path, GREY[None], HighBit=high)
    assert bits_of(published) == [[8], [8], [7], [0]]
    assert np.array_equal(openjpeg_decode(published.frames[0], j2k_format=0), GREY)
    (note,) = published.built.notes
    assert note.startswith(f"High Bit is {high}, Bits Stored 8 of 8 allocated")


@pytest.mark.parametrize(("number", "encode"), [(70, lossless_jpeg), (80, jpegls), (90, j2k), (201, htj2k)])
def test_a_codestream_says_which_bits_are_its_samples(tmp_path: Path, number: int, encode: Any) -> None:
    frame = random_samples((40, 50), "u2", 12)
    published = publish(tmp_path, jpeg(number), [encode(frame, 12)], frame, BitsStored=12, HighBit=15)
    assert bits_of(published) == [[16], [12], [11], [0]]
    assert np.array_equal(openjpeg_decode(published.frames[0], j2k_format=0), frame)
    (note,) = published.built.notes
    assert note.startswith("High Bit is 15, Bits Stored 12; the codestreams say")


def test_lossless_jpeg_of_whole_cells_is_as_native_samples_are(tmp_path: Path) -> None:
    frame = random_samples((40, 50), "u2", 12)
    published = publish(tmp_path, jpeg(70), [lossless_jpeg(frame << 4, 16)], frame, BitsStored=12, HighBit=15)
    assert np.array_equal(openjpeg_decode(published.frames[0], j2k_format=0), frame)
    assert "published shifted to 0" in published.built.notes[0]


def test_rle_of_whole_cells_is_as_native_samples_are(tmp_path: Path) -> None:
    frame = random_samples((40, 50), "u2", 12)
    published = publish(tmp_path, RLE, [rle(frame << 4, 16)], frame, BitsStored=12, HighBit=15)
    assert np.array_equal(openjpeg_decode(published.frames[0], j2k_format=0), frame)
    assert "published shifted to 0" in published.built.notes[0]


# --- what one decoder gives up --------------------------------------------------------------------------------------


def test_what_charls_gives_up_is_read_by_gdcm(tmp_path: Path) -> None:
    """A zero byte before the end marker, as in an official sample of JPEG-LS; runs may end with it (14495-1 A.7)."""
    data = jpegls(GREY, 8)
    published = publish(tmp_path, jpeg(80), [data[:-2] + b"\0" + data[-2:]], GREY)
    assert np.array_equal(openjpeg_decode(published.frames[0], j2k_format=0), GREY)
    assert published.built.notes == ("CharLS could not decode what GDCM could",)


def test_what_every_decoder_gives_up_is_refused_with_their_names(tmp_path: Path) -> None:
    data = bytearray(jpegls(GREY, 8))
    data[200:220] = bytes(20)
    attributes = image_attributes(GREY, 2)
    value = encapsulated_value([jpegls(GREY, 8), bytes(data)])
    reason = rejected(write_dicom(tmp_path / "file", jpeg(80), attributes, value, vr="OB"), tmp_path / "tree")
    assert reason == "frame 2: cannot be decoded by CharLS or GDCM"


def test_a_note_names_the_frames_that_it_is_about(tmp_path: Path) -> None:
    data = jpegls(GREY, 8)
    frames = [data, data[:-2] + b"\0" + data[-2:], data]
    published = publish(tmp_path, jpeg(80), frames, GREY, NumberOfFrames=3)
    assert published.built.notes == ("CharLS could not decode what GDCM could (frame 2)",)


def test_rle_in_several_fragments_is_one_frame(tmp_path: Path) -> None:
    data = rle(GREY, 8)
    fragments = [data[:200], data[200:700], data[700:]]
    for number, frames in enumerate((None, 1)):
        published = publish(tmp_path / str(number), RLE, fragments, GREY, NumberOfFrames=frames)
        assert np.array_equal(openjpeg_decode(published.frames[0], j2k_format=0), GREY)
        assert published.built.notes == ()


# --- damaged frames -------------------------------------------------------------------------------------------------

FRAMES = [random_samples((40, 50), "u1", 8, seed) for seed in range(10)]
KEEP = {"keep_damaged": True}


def cine(damaged: set[int], encode: Callable[[Frame, int], bytes]) -> list[bytes]:
    """Ten frames, some of which begin with zeros, as a disk gives them back that lost a sector."""
    return [
        bytes(40) + data[40:] if index + 1 in damaged else data
        for index, data in enumerate(encode(frame, 8) for frame in FRAMES)
    ]


@pytest.mark.parametrize(
    ("number", "encode"), [(50, jpeg_lossy), (70, lossless_jpeg), (80, jpegls), (90, j2k), (201, htj2k)]
)
@pytest.mark.parametrize("damaged", [1, 7, 10])
def test_an_image_with_one_damaged_frame_is_refused_and_the_frame_named(
    tmp_path: Path, number: int, encode: Any, damaged: int
) -> None:
    value = encapsulated_value(cine({damaged}, encode))
    path = write_dicom(tmp_path / "file", jpeg(number), image_attributes(GREY, 10), value, vr="OB")
    assert rejected(path, tmp_path / "tree").startswith(f"frame {damaged}: not a JPEG")


@pytest.mark.parametrize("encode", [lossless_jpeg, jpegls, j2k, htj2k])
@pytest.mark.parametrize("damaged", [{7}, {1}, {10}, {1, 2, 3, 6, 8, 9}])
def test_the_other_frames_are_published_where_that_is_asked_for(tmp_path: Path, encode: Any, damaged: set[int]) -> None:
    syntax = {lossless_jpeg: jpeg(70), jpegls: jpeg(80), j2k: jpeg(90), htj2k: jpeg(201)}[encode]
    published = publish(tmp_path, syntax, cine(damaged, encode), GREY, options=KEEP, NumberOfFrames=10)
    for number, (data, frame) in enumerate(zip(published.frames, FRAMES, strict=True), 1):
        expected = np.zeros_like(frame) if number in damaged else frame
        assert np.array_equal(openjpeg_decode(data, j2k_format=0), expected)
    (note,) = published.built.notes
    assert note.startswith("damaged: not a JPEG")
    numbers = (
        {7: "frame 7", 1: "frame 1", 10: "frame 10"}[max(damaged)] if len(damaged) == 1 else "frames 1 to 3, 6, 8 to 9"
    )
    assert note.endswith(f"; all samples of the frame are 0 ({numbers})")
    assert any(note in element.get("Value", []) for element in published.metadata.values())
    assert len(published.built.rows) == 10


def test_damaged_frames_that_are_lossy_keep_their_bytes(tmp_path: Path) -> None:
    frames = cine({1, 7}, jpeg_lossy)
    published = publish(tmp_path, jpeg(50), frames, GREY, options=KEEP, NumberOfFrames=10)
    assert [data.removesuffix(b"\0") for _, data in published.parts()] == [data.removesuffix(b"\0") for data in frames]
    (note,) = published.built.notes
    assert note == (
        "damaged: not a JPEG image: begins with 00000000; the bytes of the frame are kept as they are (frames 1, 7)"
    )


def test_an_image_of_nothing_but_damaged_frames_is_refused_all_the_same(tmp_path: Path) -> None:
    for name, frames in (("many", cine(set(range(1, 11)), j2k)), ("one", cine({1}, j2k)[:1])):
        attributes = image_attributes(GREY, len(frames))
        path = write_dicom(tmp_path / name, jpeg(90), attributes, encapsulated_value(frames), vr="OB")
        result = build(path, tmp_path / "tree", **KEEP)
        assert isinstance(result, Rejected)
        assert "not a JPEG 2000 codestream" in result.reason


# --- what a decoder would make up, or leave out -----------------------------------------------------------------------


@pytest.mark.parametrize("left", [0.5, 0.9])
def test_a_jpeg_image_that_is_cut_is_rejected(tmp_path: Path, left: float) -> None:
    frame = jpeg_lossy(GREY, 8)
    cut = frame[: int(len(frame) * left) & ~1]
    attributes = image_attributes(GREY)
    path = write_dicom(tmp_path / "1", jpeg(50), attributes, encapsulated_value([cut]), vr="OB", native=False)
    assert rejected(path, tmp_path / "tree") == "frame 1: truncated: the JPEG image has no end marker"


@pytest.mark.parametrize("attributes", [{"NumberOfFrames": 1}, {}])
def test_whole_images_are_not_taken_for_one(tmp_path: Path, attributes: dict[str, Any]) -> None:
    """Under a Basic Offset Table that names the first alone."""
    images = [lossless_jpeg(GREY, 8)] * 3
    described = image_attributes(GREY, **attributes)
    path = write_dicom(tmp_path / "1", jpeg(70), described, encapsulated_value(images, bytes(4)), vr="OB", native=False)
    assert "the pixel data " in rejected(path, tmp_path / "tree")


def test_lossy_frames_of_several_colours_are_transcoded_or_rejected(tmp_path: Path) -> None:
    colour = random_samples((40, 50, 3), "u1", 8)
    frames = [with_segments(jpeg_of_components(colour), adobe(transform)) for transform in (0, 1)]
    described = image_attributes(colour, NumberOfFrames=2)
    path = write_dicom(tmp_path / "1", jpeg(50), described, encapsulated_value(frames), vr="OB", native=False)
    reason = "frame 2: its colours are YBR_FULL, those of frames before RGB; "
    kept = rejected(path, tmp_path / "kept", lossy=Lossy.KEEP)
    assert kept == f"{reason}--lossy auto transcodes them"
    published = publish_file(path, tmp_path / "tree")
    assert published.built.notes[0] == f"{reason}all frames are published by what they decode to"
    assert published.values("00280004") == ["YBR_RCT"]
    shown = [openjpeg_decode(data, j2k_format=0).astype(int) for data in published.frames]
    expected = [colour, convert_color_space(colour, "YBR_FULL", "RGB")]
    assert max(np.abs(one - other).mean() for one, other in zip(shown, expected, strict=True)) < 10


def test_indices_of_a_palette_have_no_sign(tmp_path: Path) -> None:
    """SIZ marks them as signed (its depth has bit 7 set), Pixel Representation does not."""
    codestream = bytearray(j2k(GREY, 8))
    codestream[codestream.index(b"\xff\x51") + 40] |= 0x80
    palette: dict[str, Any] = {
        f"{colour}PaletteColorLookupTable{part}": value
        for colour in ("Red", "Green", "Blue")
        for part, value in (("Descriptor", [256, 0, 8]), ("Data", bytes(range(256))))
    }
    published = publish(
        tmp_path / "1", jpeg(90), [bytes(codestream)], GREY, PhotometricInterpretation="PALETTE COLOR", **palette
    )
    decoded = openjpeg_decode(published.frames[0], j2k_format=0)
    assert published.values("00280103") == [0]
    assert np.array_equal(decoded, imagecodecs.jpeg2k_decode(bytes(codestream)).view("u1"))


def test_still_frames_under_the_name_of_a_video_are_frames(tmp_path: Path) -> None:
    published = publish(tmp_path / "1", jpeg(103), [lossless_jpeg(GREY, 8)] * 2, GREY, NumberOfFrames=2)
    assert [np.array_equal(openjpeg_decode(data, j2k_format=0), GREY) for data in published.frames] == [True, True]
    assert any("its frames are of" in note for note in published.built.notes)


def test_no_memory_is_no_damage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise MemoryError

    monkeypatch.setattr("stillframe.pixels.decoders.get_decoder", fail)
    described = image_attributes(GREY, NumberOfFrames=2)
    frames = [j2k(GREY, 8)] * 2
    path = write_dicom(tmp_path / "1", jpeg(90), described, encapsulated_value(frames), vr="OB", native=False)
    with pytest.raises(MemoryError):  # the executor tells whose fault that is
        build(path, tmp_path / "tree", keep_damaged=True)


@pytest.mark.parametrize(
    ("keyword", "bits", "dtype"), [("FloatPixelData", 64, "f4"), ("DoubleFloatPixelData", 32, "f8")]
)
def test_floats_of_another_width_than_their_element_has_are_rejected(
    tmp_path: Path, keyword: str, bits: int, dtype: str
) -> None:
    dataset = without_pixels(1)
    dataset.Rows, dataset.Columns, dataset.BitsAllocated = 8, 8, bits
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    setattr(dataset, keyword, np.ones((8, 8), dtype).tobytes())
    (tmp_path / "1").write_bytes(to_bytes(dataset))
    (item,) = build_tree(tmp_path / "tree", tmp_path / "1").rejected
    assert item.reason == f"Bits Allocated is {bits}, but {keyword} has samples of {96 - bits} bits"


@pytest.mark.parametrize("vr", ["US", "UL", "IS", "SS"])
def test_numbers_of_the_image_may_have_another_vr(tmp_path: Path, vr: str) -> None:
    dataset = image(1, noise(1, (20, 30)))
    for keyword in ("Rows", "Columns", "BitsStored"):
        dataset[keyword].VR = vr
    (tmp_path / "1").write_bytes(to_bytes(dataset))
    assert build_tree(tmp_path / "tree", tmp_path / "1").rejected == []
