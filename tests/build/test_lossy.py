"""Frames that were compressed with loss: every kind by every choice, and what a change of the choice rebuilds."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any, Final

import imagecodecs
import numpy as np
import numpy.typing as npt
import pytest
from openjpeg.utils import decode as openjpeg_decode
from PIL import Image

from stillframe.archive.record import record_of
from stillframe.build.dryrun.run import Destination, forecast_build
from stillframe.build.request import BuildRequest
from stillframe.build.results import Outcome
from stillframe.execute import SerialExecutor
from stillframe.layout import rendered_key, thumbnail_key
from stillframe.options import BuildOptions, Lossy, Thumbnails
from stillframe.store.directory import DirectoryStore
from tests.support.dicom_files import (
    INSTANCE,
    SERIES,
    STUDY,
    encapsulated_value,
    image_attributes,
    jpeg,
    noise,
    write_dicom,
)
from tests.support.ffmpeg import needs_ffmpeg
from tests.support.frame_encoders import (
    adobe,
    htj2k_lossy,
    j2k_lossy,
    jpeg_lossy,
    jpeg_ls_near,
    jpeg_of_components,
    jpegxl,
    jpegxl_lossy,
    with_segments,
)
from tests.support.older_trees import make_older
from tests.support.published import PICTURES, UIDS, Published, publish_file, rejected
from tests.support.trees import NoProgress, build_tree, contents

type Frame = npt.NDArray[Any]

AUTO, KEEP, TRANSCODE = Lossy
HTJ2K: Final = 202
ROWS, COLUMNS = np.mgrid[:97, :123]


def waves(samples: int, bits: int = 8) -> Frame:
    """A picture without noise or edges, which lossy compression hardly changes; its samples differ in size and hue."""
    parts = [np.sin(COLUMNS / (11 + 4 * index) + index) * np.cos(ROWS / (17 - 3 * index)) for index in range(samples)]
    frame = ((np.stack(parts, -1) + 1) / 2 * ((1 << bits) - 1)).astype("u1" if bits == 8 else "u2")
    return frame if samples > 1 else frame[..., 0]


GREY, COLOUR = waves(1), waves(3)


def recompressed(image: bytes) -> bytes:
    return bytes(imagecodecs.jpegxl_encode_jpeg(image))


def without_jpeg(image: bytes) -> bytes:
    """A recompressed JPEG image without the box that brings it back (ISO/IEC 18181-2)."""
    kept, offset = [], 0
    while offset < len(image):
        length = int.from_bytes(image[offset : offset + 4]) or len(image) - offset
        kept.append(image[offset : offset + length] if image[offset + 4 : offset + 8] != b"jbrd" else b"")
        offset += length
    assert b"" in kept
    return b"".join(kept)


def saved(frame: Frame, **options: Any) -> bytes:
    """A JPEG image as Pillow writes it, with JFIF segment and sub-sampled chrominance."""
    file = BytesIO()
    Image.fromarray(frame).save(file, "JPEG", **({"quality": 90} | options))
    return file.getvalue()


def turned() -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = 6  # viewers of photographs turn such an image
    return exif


def dicom(folder: Path, number: int, frames: list[bytes], like: Frame, **attributes: Any) -> Path:
    described = image_attributes(like, len(frames), **attributes)
    return write_dicom(folder / "file", jpeg(number), described, encapsulated_value(frames), vr="OB")


def pixels(published: Published) -> list[Frame]:
    """What an independent decoder finds in HTJ2K frames."""
    return [openjpeg_decode(data, j2k_format=0) for data in published.frames]


def unrecorded(published: Published) -> dict[str, Any]:
    return {tag: element for tag, element in published.metadata.items() if not tag.startswith("0099")}


def choices(published: Published) -> str:
    record = record_of(published.metadata)
    assert record is not None
    return next(part for part in record.options.split(";") if part.startswith("lossy="))


def picture(tree: Path) -> Frame:
    stored = DirectoryStore(str(tree)).get(rendered_key(UIDS))
    assert stored is not None
    return np.asarray(Image.open(BytesIO(stored.data)))


# --- every kind by every choice ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Kind:
    """A frame of one kind: the syntax that its file names, what it is called there, and how it is to be published.

    `kept` are syntax, Photometric Interpretation and choices where its bytes are kept, `auto` by default; `transcoded`
    are the choices otherwise. `image` makes the JPEG image that is given back.
    """

    named: int
    encode: Callable[[Frame], bytes]
    like: Frame
    photometric: str
    method: str
    auto: tuple[int, str, str]
    kept: tuple[int, str, str]
    transcoded: str = "lossy=transcode"
    image: Callable[[Frame], bytes] | None = None


OF_JPEG, OF_JXL = "ISO_10918_1", "ISO_18181_1"
LIKE_TRANSCODED: Final = (HTJ2K, "YBR_RCT", "lossy=auto,transcode")
GREY_TRANSCODED: Final = (HTJ2K, "MONOCHROME2", "lossy=auto,transcode")


def _xyb(frame: Frame) -> bytes:
    return bytes(imagecodecs.jpegxl_encode(frame, distance=0.1, bitspersample=8 * frame.itemsize))


def _jpeg_xl(named: int, photometric: str, like: Frame = COLOUR, encode: Any = _xyb, **others: Any) -> Kind:
    made = LIKE_TRANSCODED if like.ndim == 3 else GREY_TRANSCODED
    kept = (named, photometric, "lossy=keep")
    return Kind(named, encode, like, photometric, others.get("method", OF_JXL), made, kept, made[2])


def _was_jpeg(named: int, photometric: str, found: str, image: Callable[[Frame], bytes], like: Frame = COLOUR) -> Kind:
    given_back, kept = (50, found, "lossy=auto"), (named, photometric, "lossy=keep")
    made = "lossy=transcode"
    return Kind(
        named, lambda frame: recompressed(image(frame)), like, photometric, OF_JPEG, given_back, kept, made, image
    )


def _of_viewers(named: int, photometric: str, method: str, encode: Any, like: Frame, bits: int = 8) -> Kind:
    kept = (named, photometric, "lossy=auto,keep")
    return Kind(named, lambda frame: encode(frame, bits), like, photometric, method, kept, kept)


def _plain(frame: Frame) -> bytes:
    return with_segments(saved(frame, subsampling=0))


KINDS = {
    "JPEG": _of_viewers(50, "YBR_FULL_422", OF_JPEG, lambda frame, _: saved(frame), COLOUR),
    "JPEG, 12 bits": _of_viewers(51, "MONOCHROME2", OF_JPEG, jpeg_lossy, waves(1, 12), 12),
    "JPEG 2000": _of_viewers(91, "MONOCHROME2", "ISO_15444_1", j2k_lossy, GREY),
    "XYB under its name": _jpeg_xl(112, "XYB"),
    "XYB called RGB": _jpeg_xl(112, "RGB"),
    "XYB called YBR_FULL": _jpeg_xl(112, "YBR_FULL"),
    "XYB under a lossless name": _jpeg_xl(110, "XYB"),
    "XYB of 16 bits": _jpeg_xl(112, "XYB", waves(3, 16)),
    "grey JPEG XL": _jpeg_xl(112, "MONOCHROME2", GREY),
    "grey JPEG XL of 16 bits": _jpeg_xl(112, "MONOCHROME2", waves(1, 16)),
    "JPEG XL that may be lossless": _jpeg_xl(112, "RGB", encode=lambda frame: jpegxl(frame, 8)),
    "recompressed, without what brings it back": _jpeg_xl(
        111, "YBR_FULL_422", encode=lambda frame: without_jpeg(recompressed(saved(frame))), method=OF_JPEG
    ),
    "recompressed": _was_jpeg(111, "YBR_FULL_422", "YBR_FULL_422", saved),
    "recompressed, grey": _was_jpeg(111, "MONOCHROME2", "MONOCHROME2", saved, GREY),
    "recompressed, called JPEG XL": _was_jpeg(112, "YBR_FULL_422", "YBR_FULL_422", saved),
    "recompressed, called lossless": _was_jpeg(110, "YBR_FULL_422", "YBR_FULL_422", saved),
    "recompressed, called RGB": _was_jpeg(111, "RGB", "YBR_FULL_422", saved),
    "recompressed, called XYB": _was_jpeg(111, "XYB", "YBR_FULL_422", saved),
    "recompressed RGB": _was_jpeg(111, "RGB", "RGB", lambda frame: saved(frame, keep_rgb=True)),
    "recompressed RGB, called XYB": _was_jpeg(111, "XYB", "RGB", lambda frame: saved(frame, keep_rgb=True)),
    "recompressed, without markers": _was_jpeg(111, "YBR_FULL", "YBR_FULL", _plain),
}  # fmt: skip


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
@pytest.mark.parametrize("choice", list(Lossy))
def test_every_kind_by_every_choice(tmp_path: Path, kind: Kind, choice: Lossy) -> None:
    """The published form, what the metadata say of it, its record, and that its pictures show it."""
    data = kind.encode(kind.like)
    path = dicom(tmp_path, kind.named, [data], kind.like, PhotometricInterpretation=kind.photometric)
    published = publish_file(path, tmp_path / "tree", lossy=choice, **PICTURES)
    made = HTJ2K, "YBR_RCT" if kind.like.ndim == 3 else "MONOCHROME2", kind.transcoded
    whole = 255 if kind.like.itemsize == 1 else 4095 if kind.like.max() < 4096 else 65535
    syntax, photometric, recorded = {AUTO: kind.auto, KEEP: kind.kept, TRANSCODE: made}[choice]
    assert published.syntax == jpeg(syntax)
    assert published.values("00280004") == [photometric]
    assert published.values("00282110") == ["01"]
    assert published.values("00282114") == [kind.method]
    assert choices(published) == recorded
    if syntax == HTJ2K:
        assert np.abs(pixels(published)[0].astype(float) - kind.like).mean() < whole / 80
    else:
        ((content, payload),) = published.parts()
        assert content.endswith(f"transfer-syntax={jpeg(syntax)}".encode())
        kept = kind.image(kind.like) if kind.image and choice is AUTO else data
        assert payload.removesuffix(b"\0") == kept.removesuffix(b"\0")
        assert published.values("00282112") == [float(f"{kind.like.nbytes / len(payload):.3g}")]
    assert np.abs(picture(tmp_path / "tree") / 255 - kind.like / whole).mean() < 1 / 80
    assert DirectoryStore(str(tmp_path / "tree")).head(thumbnail_key(STUDY, SERIES, INSTANCE)) is not None


@pytest.mark.parametrize(
    ("named", "photometric", "encode"),
    [
        (50, "YBR_FULL_422", lambda frame, _: saved(frame)),
        (81, "RGB", jpeg_ls_near),
        (91, "YBR_ICT", j2k_lossy),
        (203, "YBR_ICT", htj2k_lossy),
        (112, "RGB", jpegxl_lossy),
    ],
)
def test_kept_colour_has_no_planes(tmp_path: Path, named: int, photometric: str, encode: Any) -> None:
    """Image formats order components themselves, so that Planar Configuration shall be 0 (PS3.5 8.2.1 to 8.2.4)."""
    attributes = {"PhotometricInterpretation": photometric, "PlanarConfiguration": 1}
    path = dicom(tmp_path, named, [encode(COLOUR, 8)], COLOUR, **attributes)
    published = publish_file(path, tmp_path / "tree", lossy=KEEP)
    assert published.syntax == jpeg(named)
    assert published.values("00280006") == [0]


IMAGES = {
    "baseline": saved(COLOUR),
    "4:4:4": saved(COLOUR, subsampling=0),
    "4:2:0": saved(COLOUR, subsampling=2),
    "grey": saved(GREY),
    "RGB": saved(COLOUR, keep_rgb=True),
    "progressive": saved(COLOUR, progressive=True),
    "restart markers": saved(COLOUR, restart_marker_rows=1),
    "a comment": saved(COLOUR, comment=b"of a camera"),
    "to be turned": saved(COLOUR, exif=turned()),
    "Adobe": with_segments(jpeg_of_components(COLOUR), adobe(1)),
    "bytes behind its end": saved(COLOUR) + b"\xff\xff and more",
}


@pytest.mark.parametrize("image", IMAGES.values(), ids=IMAGES)
def test_a_recompressed_image_is_given_back_bit_for_bit(tmp_path: Path, image: bytes) -> None:
    like = GREY if image is IMAGES["grey"] else COLOUR
    frames = [image, saved(like[::-1].copy(), quality=70) if image in (IMAGES["grey"], IMAGES["baseline"]) else image]
    path = dicom(tmp_path, 111, [recompressed(frame) for frame in frames], like)
    published = publish_file(path, tmp_path / "tree")
    assert [payload for _, payload in published.parts()] == frames
    assert {content for content, _ in published.parts()} == {f"image/jpeg; transfer-syntax={jpeg(50)}".encode()}
    notes = "".join(published.built.notes)
    assert ("progressive JPEG" in notes) == (image is IMAGES["progressive"])
    assert "the file names" not in notes


def test_a_given_back_image_is_published_as_the_same_image_under_its_own_syntax(tmp_path: Path) -> None:
    """By the same words of its colours, whatever they are, and with the same notes."""
    for number, image in enumerate((saved(COLOUR), saved(COLOUR, keep_rgb=True), _plain(COLOUR))):
        for photometric in ("RGB", "YBR_FULL_422"):
            folder = tmp_path / f"{number} {photometric}"
            folder.mkdir()
            plain = dicom(folder, 50, [image], COLOUR, PhotometricInterpretation=photometric)
            expected = publish_file(plain, folder / "plain", **PICTURES)
            given = dicom(folder, 111, [recompressed(image)], COLOUR, PhotometricInterpretation=photometric)
            found = publish_file(given, folder / "tree", **PICTURES)
            assert found.built.notes == expected.built.notes
            assert [payload for _, payload in found.parts()] == [image]
            assert unrecorded(found) == unrecorded(expected)
            assert np.array_equal(picture(folder / "tree"), picture(folder / "plain"))


def test_a_given_back_image_and_its_jpeg_are_duplicates(tmp_path: Path) -> None:
    """Whichever is published first, both are published as the same bytes."""
    image = saved(COLOUR)
    folders = tmp_path / "plain", tmp_path / "recompressed"
    for folder in folders:
        folder.mkdir()
    described = {"PhotometricInterpretation": "YBR_FULL_422"}
    plain = dicom(folders[0], 50, [image], COLOUR, **described)
    paths = plain, dicom(folders[1], 111, [recompressed(image)], COLOUR, **described)
    for number, (first, second) in enumerate((paths, paths[::-1])):
        tree = tmp_path / f"tree {number}"
        assert build_tree(tree, first).outcomes == {Outcome.PUBLISHED: 1}
        before = contents(tree)
        again = build_tree(tree, second)
        assert again.outcomes == {Outcome.DUPLICATE: 1}
        assert contents(tree) == before


# --- colours -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("distance", [0.1, 1.0, 4.0])
@needs_ffmpeg
def test_xyb_becomes_the_rgb_that_another_program_shows(tmp_path: Path, distance: float) -> None:
    data = bytes(imagecodecs.jpegxl_encode(COLOUR, distance=distance))
    (tmp_path / "image.jxl").write_bytes(data)
    command = ["ffmpeg", "-v", "error", "-nostdin", "-i", str(tmp_path / "image.jxl")]
    shown = subprocess.run([*command, "-f", "rawvideo", "-pix_fmt", "rgb24", "-"], capture_output=True, timeout=60)
    if shown.returncode:
        pytest.skip("the command ffmpeg is here without JPEG XL")
    expected = np.frombuffer(shown.stdout, "u1").reshape(COLOUR.shape).astype(int)
    published = publish_file(dicom(tmp_path, 112, [data], COLOUR, PhotometricInterpretation="XYB"), tmp_path / "tree")
    assert np.abs(pixels(published)[0] - expected).max() <= 1
    assert published.built.notes == ()


def test_a_recompressed_image_whose_colours_nothing_tells_is_transcoded(tmp_path: Path) -> None:
    """XYB is not defined for JPEG; what recompressed it took it for YCbCr, as all decoders do."""
    data = recompressed(_plain(COLOUR))
    published = publish_file(dicom(tmp_path, 111, [data], COLOUR, PhotometricInterpretation="XYB"), tmp_path / "tree")
    assert published.syntax == jpeg(HTJ2K)
    assert np.abs(pixels(published)[0].astype(int) - COLOUR).mean() < 3
    assert published.built.notes[0].startswith("frame 1: XYB is not defined for transfer syntax")
    assert published.built.notes[0].endswith("; all frames are published by what they decode to")


# --- frames that differ ------------------------------------------------------------------------------------------


def test_one_frame_that_gives_no_image_back_has_all_of_them_transcoded(tmp_path: Path) -> None:
    frames = [recompressed(saved(GREY)), jpegxl_lossy(GREY, 8), recompressed(saved(GREY))]
    published = publish_file(dicom(tmp_path, 111, frames, GREY), tmp_path / "tree")
    assert published.syntax == jpeg(HTJ2K)
    assert choices(published) == "lossy=auto"  # transcoding them has no note
    assert published.built.notes == (
        "frame 2: does not give its JPEG image back; all frames are published by what they decode to",
    )
    assert published.frames == publish_file(tmp_path / "file", tmp_path / "made", lossy=TRANSCODE).frames
    assert max(np.abs(one.astype(int) - GREY).max() for one in pixels(published)) < 20
    assert publish_file(tmp_path / "file", tmp_path / "kept", lossy=KEEP).syntax == jpeg(111)


def test_images_beside_recompressed_ones_are_given_back_with_them(tmp_path: Path) -> None:
    image = saved(GREY)
    published = publish_file(dicom(tmp_path, 111, [recompressed(image), image], GREY), tmp_path / "tree")
    assert [payload.removesuffix(b"\0") for _, payload in published.parts()] == [image.removesuffix(b"\0")] * 2


def test_a_lossy_frame_behind_lossless_ones_has_all_of_them_transcoded(tmp_path: Path) -> None:
    frames = [jpegxl(COLOUR, 8), _xyb(COLOUR)]
    published = publish_file(dicom(tmp_path, 110, frames, COLOUR), tmp_path / "tree")
    assert published.syntax == jpeg(HTJ2K)
    assert published.values("00282110") == ["01"]
    assert np.array_equal(pixels(published)[0], COLOUR)


def test_recompressed_images_that_are_cut_are_damaged(tmp_path: Path) -> None:
    good, image = recompressed(saved(GREY)), saved(GREY)
    for place in (len(good) - 40, len(good) // 2, 70):
        reason = rejected(dicom(tmp_path, 111, [good, good[:place]], GREY), tmp_path / "tree")
        assert reason.startswith("frame 2: ")
    published = publish_file(tmp_path / "file", tmp_path / "tree", keep_damaged=True)
    assert published.syntax == jpeg(HTJ2K)
    found = pixels(published)
    assert np.abs(found[0].astype(int) - imagecodecs.jpeg8_decode(image)).max() <= 4
    assert not found[1].any()
    assert any("damaged: " in note for note in published.built.notes)


# --- what a change of the choice rebuilds ------------------------------------------------------------------------


def _files(folder: Path) -> dict[str, Path]:
    pixels = noise(1, (40, 48), 8)
    colour = noise(2, (40, 48, 3), 8)
    made = {
        "lossless": (110, [jpegxl(pixels, 8)], pixels),
        "JPEG": (50, [jpeg_lossy(pixels, 8)], pixels),
        "JPEG XL": (112, [jpegxl_lossy(colour, 8)], colour),
        "recompressed": (111, [recompressed(saved(pixels))], pixels),
        "mixed": (111, [recompressed(saved(pixels)), jpegxl_lossy(pixels, 8)], pixels),
    }
    for name in made:
        (folder / name).mkdir(parents=True)
    return {name: dicom(folder / name, number, frames, like) for name, (number, frames, like) in made.items()}


REBUILT: dict[tuple[Lossy, Lossy], set[str]] = {
    (KEEP, AUTO): {"JPEG XL", "recompressed", "mixed"},
    (AUTO, KEEP): {"JPEG XL", "recompressed", "mixed"},
    (KEEP, TRANSCODE): {"JPEG", "JPEG XL", "recompressed", "mixed"},
    (TRANSCODE, KEEP): {"JPEG", "JPEG XL", "recompressed", "mixed"},
    (AUTO, TRANSCODE): {"JPEG", "recompressed", "mixed"},
    (TRANSCODE, AUTO): {"JPEG", "recompressed", "mixed"},
}


def dry_run(tree: Path, source: Path, choice: Lossy) -> dict[str, Any]:
    request = BuildRequest(sources=(str(source),), options=BuildOptions(lossy=choice), destination=str(tree))
    _, forecast = forecast_build(request, Destination(DirectoryStore(str(tree))), SerialExecutor(), NoProgress())
    return forecast.as_json()


@pytest.mark.parametrize(("before", "after"), REBUILT)
def test_another_choice_rebuilds_what_comes_out_otherwise(tmp_path: Path, before: Lossy, after: Lossy) -> None:
    for name, path in _files(tmp_path / "in").items():
        tree = tmp_path / "trees" / name
        build_tree(tree, path, options=BuildOptions(lossy=before))
        stands = contents(tree)
        differs = name in REBUILT[before, after]
        told = dry_run(tree, path, after)["inputs"]
        assert {outcome for outcome, count in told.items() if count} == {"rebuild" if differs else "unchanged"}
        again = build_tree(tree, path, options=BuildOptions(lossy=after))
        assert again.outcomes == {Outcome.REBUILT if differs else Outcome.UNCHANGED: 1}, name
        assert (contents(tree) != stands) == differs
        build_tree(tmp_path / "fresh" / name, path, options=BuildOptions(lossy=after))
        assert contents(tree) == contents(tmp_path / "fresh" / name)


@pytest.mark.parametrize("after", [AUTO, KEEP])
def test_what_was_published_before_there_was_a_default_of_its_own_is_built_again(tmp_path: Path, after: Lossy) -> None:
    """Records named the choice that was made, `lossy=keep` by default."""
    for name, path in _files(tmp_path / "in").items():
        tree = tmp_path / "trees" / name
        build_tree(tree, path, options=BuildOptions(lossy=KEEP, thumbnails=Thumbnails.NONE))
        make_older(tree, 2, lossy="keep")
        told = dry_run(tree, path, after)["inputs"]
        assert {outcome for outcome, count in told.items() if count} == {"rebuild"}
        again = build_tree(tree, path, options=BuildOptions(lossy=after))
        assert again.outcomes == {Outcome.REBUILT: 1}, name
        build_tree(tmp_path / "fresh" / name, path, options=BuildOptions(lossy=after))
        assert contents(tree) == contents(tmp_path / "fresh" / name)


@pytest.mark.parametrize("choice", list(Lossy))
def test_a_dry_run_tells_the_sizes(tmp_path: Path, choice: Lossy) -> None:
    for name, path in _files(tmp_path / "in").items():
        told = dry_run(tmp_path / "tree" / name, path, choice)["objects"]
        build_tree(tmp_path / "tree" / name, path, options=BuildOptions(lossy=choice))
        frames = [file for file in (tmp_path / "tree" / name).rglob("frames/*") if "reduced" not in file.parts]
        assert told["frame"] == {"count": len(frames), "bytes": sum(file.stat().st_size for file in frames)}, name
