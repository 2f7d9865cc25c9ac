"""Every kind of bad input beside one good file: each is one line of the report, and the good one is published."""

from __future__ import annotations

import json
import os
import re
import resource
import struct
import subprocess
import sys
import warnings
import zipfile
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path
from typing import Any, override

import imagecodecs
import numpy as np
import pytest
from pydicom import dcmread
from pydicom.encaps import encapsulate, generate_frames
from pydicom.uid import UID, JPEG2000Lossless, RLELossless

from stillframe.build.pipeline import build
from stillframe.build.request import BuildRequest
from stillframe.build.results import Outcome
from stillframe.codec.htj2k import encode_frame
from stillframe.dicom.files import ReadableFile
from stillframe.execute import ProcessExecutor, SerialExecutor
from stillframe.options import BuildOptions
from tests.support.dicom_files import ROOT, STUDY, encapsulated, image, instance_uid, noise, to_bytes, write
from tests.support.told_store import ToldStore
from tests.support.trees import NoProgress, build_tree, contents
from tests.support.zips import zip_bytes

J2K = "1.2.840.10008.1.2.4.90"
HTJ2K = "1.2.840.10008.1.2.4.202"
JPEG = "1.2.840.10008.1.2.4.50"
JPEG_LS = "1.2.840.10008.1.2.4.80"
RLE = "1.2.840.10008.1.2.5"


def changed(old: bytes, new: bytes, **attributes: Any) -> bytes:
    """A good file with some bytes replaced, once."""
    data = to_bytes(image(1, **attributes))
    assert data.count(old) >= 1
    return data.replace(old, new, 1)


def relabelled(syntax: str) -> bytes:
    """A native file whose meta header names another transfer syntax; lengths stay right."""
    dataset = image(1)
    dataset.file_meta.TransferSyntaxUID = UID("1.2.840.10008.1.2.1")
    data = to_bytes(dataset)
    old, new = b"1.2.840.10008.1.2.1\0", syntax.encode() + b"\0" * (len(syntax) % 2)
    data = data.replace(struct.pack("<H", len(old)) + old, struct.pack("<H", len(new)) + new, 1)
    # (0002,0000) counts the bytes of its group.
    place = data.index(b"\x02\0\0\0UL\x04\0") + 8
    length = struct.unpack_from("<L", data, place)[0] + len(new) - len(old)
    return data[:place] + struct.pack("<L", length) + data[place + 4 :]


def uid_file(keyword: str, value: str) -> bytes:
    """A file with a UID that pydicom would not write: put in as bytes of the same length."""
    filler = "9" * len(value)
    return to_bytes(image(1, None, **{keyword: filler})).replace(filler.encode(), value.encode())


def codestream_claiming(width: int, height: int) -> bytes:
    data = bytearray(encode_frame(noise(1), 12))
    siz = data.index(b"\xff\x51")
    struct.pack_into(">LL", data, siz + 6, width, height)
    struct.pack_into(">LL", data, siz + 22, width, height)
    return bytes(data)


def nested(depth: int) -> bytes:
    """Sequences of undefined length inside each other, in front of the pixel data."""
    data = to_bytes(image(1))
    start = data.index(b"\x20\0\x0d\0UI")
    open_item = b"\x08\0\x40\x11SQ\0\0\xff\xff\xff\xff" + b"\xfe\xff\0\xe0\xff\xff\xff\xff"
    close_item = b"\xfe\xff\x0d\xe0\0\0\0\0" + b"\xfe\xff\xdd\xe0\0\0\0\0"
    return data[:start] + open_item * depth + close_item * depth + data[start:]


def truncated(kept: float) -> Callable[[], bytes]:
    data = to_bytes(image(1))
    return lambda: data[: int(len(data) * kept)]


def made(**attributes: Any) -> Callable[[], bytes]:
    return lambda: to_bytes(image(1, **attributes))


def frames_of(*frames: bytes, syntax: str = J2K, **attributes: Any) -> Callable[[], bytes]:
    return lambda: to_bytes(encapsulated(frames, syntax, **attributes))


def tail_cut(dataset: Any, count: int) -> bytes:
    return to_bytes(dataset)[:-count]


# Two planes of 96 x 80 bytes whose last run writes past the plane.
RLE_PLANE = bytes([129, 7]) * 59 + bytes([126]) + bytes(127) + bytes([129, 7])
RLE_OVERRUN = struct.pack("<16L", 2, 64, 64 + len(RLE_PLANE), *[0] * 13) + 2 * RLE_PLANE
ANY_FRAME = encode_frame(noise(1), 12)
TWO = np.stack([noise(1), noise(2)])

JPIP = "1.2.840.10008.1.2.4.94"

# name: (the file, what the reason must say)
BAD: dict[str, tuple[Callable[[], bytes], str]] = {
    "cut in the pixel data": (truncated(0.7), r"truncated: PixelData promises 15360 bytes, \d+ are there"),
    "cut in the header": (lambda: to_bytes(image(1))[:420], r"truncated|StudyInstanceUID is missing|cannot be parsed"),
    "no study": (made(StudyInstanceUID=None), "StudyInstanceUID is missing or empty"),
    "empty series": (made(SeriesInstanceUID=""), "SeriesInstanceUID is missing or empty"),
    "no instance": (made(SOPInstanceUID=None), r"SOPInstanceUID is missing or empty \(--assign-uids publishes it\)$"),
    "slash": (lambda: uid_file("StudyInstanceUID", "1.2/3.4.5"), "StudyInstanceUID is not a UID: '1.2/3.4.5'"),
    "dots": (lambda: uid_file("SeriesInstanceUID", "../../../etc"), "SeriesInstanceUID is not a UID"),
    "letters": (lambda: uid_file("SOPInstanceUID", "1.2.abc.9"), "SOPInstanceUID is not a UID"),
    "double dot": (lambda: uid_file("SOPInstanceUID", "1..2.34.9"), "SOPInstanceUID is not a UID"),
    "long": (lambda: uid_file("StudyInstanceUID", "1." + "2" * 70), "StudyInstanceUID has 72 characters, 64 are"),
    "short pixels": (made(Rows=97), r"1 frames need 15520 bytes, the pixel data have 15360"),
    "too many frames": (made(NumberOfFrames=3), r"3 frames need 46080 bytes, the pixel data have 15360"),
    "too few frames": (made(pixels=TWO, NumberOfFrames=1), "Number of Frames is 1, the pixel data hold 2"),
    "negative frames": (made(NumberOfFrames=-3), "Number of Frames is -3"),
    "frames no number": (lambda: changed(b"IS\x02\x0042", b"IS\x02\x004A", NumberOfFrames=42), "is not a number: '4A'"),
    "no rows": (made(Rows=None), "Rows is missing"),
    "zero rows": (made(Rows=0), "an image of 80 x 0 pixels"),
    "huge native": (made(Rows=65535, Columns=65535), "exceeds the limit|need .* bytes"),
    "bits": (made(BitsStored=17, HighBit=16), "Bits Stored 17 with Bits Allocated 16"),
    "high bit": (made(BitsStored=10, HighBit=11), "High Bit is 11, Bits Stored 10, and the samples do not tell which"),
    "allocated": (made(BitsAllocated=10), "Bits Allocated 10 is not supported"),
    "not packed": (made(BitsAllocated=12), "1 frames of Bits Allocated 12 need 11520 bytes, the pixel data have 15360"),
    "samples": (made(SamplesPerPixel=4), "with 4 samples is not supported"),
    "photometric": (made(PhotometricInterpretation="ARGB"), "'ARGB' with 1 samples is not supported"),
    "no pixels": (made(PixelData=None), "has Rows and Columns but no pixel data"),
    "empty pixels": (made(PixelData=b""), "the pixel data of an image hold no bytes"),
    "native called private": (lambda: relabelled("1.2.840.113619.5.2"), "asks for encapsulated pixel data, these are"),
    "noise called native": (
        lambda: to_bytes(encapsulated([b"no image" * 9], J2K)).replace(
            b"1.2.840.10008.1.2.4.90", b"1.2.840.10008.1.2.1\0\0\0", 1
        ),
        r"and the encapsulated pixel data do not tell it: frame 1 begins with 6e6f2069",
    ),
    "noise called JPEG": (frames_of(bytes(100), syntax=JPEG), "not a JPEG image"),
    "damaged JPEG called J2K": (frames_of(b"\xff\xd8\xff\xe0" + bytes(60)), "damaged JPEG image: no marker at byte 4"),
    "live video": (frames_of(ANY_FRAME, syntax="1.2.840.10008.1.2.7.1"), r"1.2.7.1 \(SMPTE .*\) is not supported"),
    "JPIP": (frames_of(ANY_FRAME, syntax=JPIP), "JPIP Referenced.* refers to a JPIP provider"),
    "noise called J2K": (frames_of(np.random.default_rng(1).bytes(500)), "not a JPEG 2000 codestream"),
    "damaged J2K": (frames_of(ANY_FRAME[:300] + bytes(400), syntax=HTJ2K), "tile 0 has 1 of its 4 tile-parts"),
    "J2K of other size": (frames_of(ANY_FRAME, Rows=95), "the frame is 80 x 96, the data set says 80 x 95"),
    "huge J2K": (frames_of(codestream_claiming(65535, 65535), Rows=65535, Columns=65535), "exceeds the limit"),
    "vast J2K": (frames_of(codestream_claiming(1 << 31, 1 << 31)), r"the frame is \d+ x \d+, the data set says"),
    "huge RLE": (frames_of(bytes([2]) + bytes(99), syntax=RLE, Rows=9000, Columns=9000), "cannot hold 9000 x 9000"),
    "RLE past its plane": (frames_of(RLE_OVERRUN, syntax=RLE), "cannot be decoded"),
    "short RLE": (frames_of(b"\x02\0", syntax=RLE), "shorter than its header"),
    "one frame of two": (frames_of(ANY_FRAME, NumberOfFrames=2), "Number of Frames is 2, the pixel data hold 1"),
    "fragment past the end": (lambda: tail_cut(encapsulated([ANY_FRAME], J2K), 40), "ends beyond the file"),
    "no fragments": (lambda: to_bytes(encapsulated([], J2K)), "hold no fragments"),
    "nested": (lambda: nested(5000), "nest"),
    "absurd length": (lambda: changed(b"\x10\0\x20\0LO\x02\0", b"\x10\0\x20\0UT\0\0\xff\xff\xff\x7f"), "ends inside"),
}  # fmt: skip


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    """One build over all of them; most claim the same SOP Instance UID, and none may take it."""
    folder = tmp_path_factory.mktemp("bad")
    good = write(folder, "in/good.dcm", image(999))
    assert good.is_file()
    for name, (make, _) in BAD.items():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # pydicom warns of the values that are wrong on purpose
            (folder / "in" / f"{name}.dcm").write_bytes(make())
    (folder / "in" / "empty.dcm").write_bytes(b"")
    (folder / "in" / "noise").write_bytes(np.random.default_rng(5).bytes(5000))
    (folder / "in" / "text.txt").write_text("no image")
    return folder, build_tree(folder / "tree", folder / "in")


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_rejected_with_its_reason(built: tuple[Path, Any], name: str) -> None:
    folder, report = built
    found = [item for item in report.rejected if Path(item.path) == folder / "in" / f"{name}.dcm"]
    assert len(found) == 1, f"{name} was not rejected once"
    assert re.search(BAD[name][1], found[0].reason), found[0].reason
    assert "\n" not in found[0].reason
    assert "Traceback" not in found[0].reason


def test_the_rest_of_the_job_is_done(built: tuple[Path, Any]) -> None:
    folder, report = built
    assert report.exit_code == 2
    assert len(report.rejected) == len(BAD)
    assert len(report.skipped) == 3
    instances = {path.parts[-3] for path in (folder / "tree").rglob("frames/1") if "reduced" not in path.parts}
    assert instances == {instance_uid(999)}
    left = {path for path in contents(folder / "tree") if "/instances/" in path and instance_uid(999) not in path}
    assert {path for path in left if not path.endswith("index.json")} == set()


@pytest.mark.slow
def test_impossible_sizes_are_not_allocated(tmp_path: Path) -> None:
    for name in ("huge native", "huge J2K", "vast J2K", "huge RLE", "absurd length"):
        (tmp_path / f"{name}.dcm").write_bytes(BAD[name][0]())
    limit = 1500 << 20  # of address space, which the libraries themselves need most of

    def limit_memory() -> None:
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))

    done = subprocess.run(
        [sys.executable, "-m", "stillframe", "build", str(tmp_path), str(tmp_path.parent / "tree"), "--workers", "0"],
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=limit_memory,
        env=os.environ | {"OPENBLAS_NUM_THREADS": "1"},
    )
    assert done.returncode == 2, done.stderr
    assert done.stderr.count("rejected") == 5
    assert "asks for too much" not in done.stderr


def test_damaged_and_encrypted_archives(tmp_path: Path) -> None:
    archive = tmp_path / "in.zip"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as opened:
        opened.writestr("good.dcm", to_bytes(image(1)))
        opened.writestr("damaged.dcm", to_bytes(image(2)))
        opened.writestr("locked.dcm", to_bytes(image(3)))
    data = bytearray(archive.read_bytes())
    with zipfile.ZipFile(archive) as opened:
        place = opened.getinfo("damaged.dcm").header_offset + 60
        locked = opened.getinfo("locked.dcm").header_offset
    data[place : place + 40] = bytes(40)
    data[locked + 6] |= 1  # the flag for encryption, in the local header and in the directory
    directory = data.rindex(b"PK\x01\x02")
    data[directory + 8] |= 1
    archive.write_bytes(data)
    report = build_tree(tmp_path / "tree", archive)
    assert sorted(item.path.rpartition("!")[2] for item in report.rejected) == ["damaged.dcm", "locked.dcm"]
    assert report.frames == 1
    (tmp_path / "broken.zip").write_bytes(data[:-30])
    report = build_tree(tmp_path / "tree2", tmp_path / "broken.zip")
    assert [(Path(item.path).name, item.reason) for item in report.rejected] == [
        ("broken.zip", "cannot be read as a zip archive")
    ]


def test_an_undecodable_frame_leaves_nothing_of_the_ones_before_it(tmp_path: Path) -> None:
    dataset = image(1, TWO)
    dataset.compress(RLELossless, generate_instance_uid=False)
    good = to_bytes(dataset)
    dataset.PixelData = encapsulate([encode_frame(TWO[0], 12), encode_frame(TWO[1], 12)[:400]])
    dataset["PixelData"].is_undefined_length = True
    dataset.file_meta.TransferSyntaxUID = JPEG2000Lossless
    (tmp_path / "bad.dcm").write_bytes(to_bytes(dataset))
    report = build_tree(tmp_path / "tree", tmp_path / "bad.dcm")
    assert len(report.rejected) == 1
    assert set(contents(tmp_path / "tree")) == {"studies/index.json"}
    (tmp_path / "good.dcm").write_bytes(good)
    assert build_tree(tmp_path / "tree", tmp_path / "good.dcm").frames == 2
    assert report.rejected[0].study == STUDY


@pytest.mark.slow
def test_a_file_cut_anywhere_in_its_elements_is_rejected(tmp_path: Path) -> None:
    """Only a cut between two elements before the image's description leaves what may be a whole object."""
    whole = to_bytes(image(1, noise(1, (8, 8))))
    dataset = dcmread(BytesIO(whole), stop_before_pixels=True)
    values = [element.file_tell or 0 for element in dataset] + [len(whole)]
    starts = {place - 8 for place in values}  # of the elements themselves
    (tmp_path / "in").mkdir()
    for cut in range(132, len(whole)):
        data = to_bytes(image(cut, noise(1, (8, 8))))  # each has its own UID, so lengths may differ by a few
        (tmp_path / "in" / f"{cut:04}").write_bytes(data[: cut - len(whole)])
    report = build_tree(tmp_path / "tree", tmp_path / "in")
    rejected = {Path(item.path).name for item in report.rejected}
    names = {path.name for path in (tmp_path / "in").iterdir()}
    accepted = names - rejected
    assert len(report.skipped) == 0
    assert len(accepted) <= len(starts)
    assert accepted <= {f"{cut:04}" for cut in range(132, len(whole)) if any(abs(cut - start) <= 4 for start in starts)}
    assert not [path for path in contents(tmp_path / "tree") if "frames/" in path]


def damaged_copies(count: int) -> Iterator[tuple[int, bytes]]:
    """Files of many transfer syntaxes with a few bytes overwritten, cut out or repeated, each with its own UID."""
    pixels = noise(1, (64, 64))
    rle = image(1, pixels)
    rle.compress(RLELossless, generate_instance_uid=False)
    sources: list[Callable[[int], Any]] = [
        lambda n: image(n, pixels),
        lambda n: encapsulated([encode_frame(pixels, 12)], HTJ2K, number=n, pixels=pixels),
        lambda n: encapsulated([bytes(imagecodecs.jpeg2k_encode(pixels, codecformat="j2k", reversible=True))], J2K,
                               number=n, pixels=pixels, BitsStored=16, HighBit=15),
        lambda n: encapsulated([bytes(imagecodecs.jpegls_encode(pixels))], JPEG_LS, number=n, pixels=pixels),
        lambda n: encapsulated([bytes(imagecodecs.jpeg_encode(noise(1, (64, 64), 8)))], JPEG,
                               number=n, pixels=noise(1, (64, 64), 8)),
        lambda n: encapsulated(list(generate_frames(rle.PixelData, number_of_frames=1)), RLE, number=n, pixels=pixels),
    ]  # fmt: skip
    generator = np.random.default_rng(20)
    for number in range(count):
        data = bytearray(to_bytes(sources[number % len(sources)](number)))
        for _ in range(generator.integers(1, 4)):
            # Half of the damage in the header and the start of the pixel data, half anywhere.
            place = int(generator.integers(132, 1100 if generator.random() < 0.5 else len(data)))
            length = int(generator.integers(1, 9))
            match generator.integers(3):
                case 0:
                    data[place : place + length] = generator.bytes(length)
                case 1:
                    del data[place : place + length]
                case _:
                    data[place:place] = data[place : place + length]
        yield number, bytes(data)


@pytest.mark.slow
def test_whatever_is_damaged_every_input_has_one_outcome(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    for number, data in damaged_copies(400):
        (tmp_path / "in" / f"{number:04}").write_bytes(data)
    report = build_tree(tmp_path / "tree", tmp_path / "in")
    assert report.outcomes.total() + len(report.rejected) + len(report.skipped) == 400
    paths = [item.path for item in report.rejected]
    assert len(paths) == len(set(paths))
    assert all(item.reason and "\n" not in item.reason for item in report.rejected)
    tree = contents(tmp_path / "tree")
    instances = {path.rpartition("/")[0] for path in tree if re.search(r"/instances/[^/]+/metadata$", path)}
    assert len(instances) == report.outcomes[Outcome.PUBLISHED]
    owners = {found[1] for path in tree if (found := re.match(r"(.*/instances/[^/]+)/", path))}
    assert owners == instances
    again = build_tree(tmp_path / "tree", tmp_path / "in")
    assert again.outcomes[Outcome.PUBLISHED] == 0
    assert {item.path for item in again.rejected} == set(paths)
    assert contents(tmp_path / "tree") == tree


def test_uids_are_told_where_they_are_known(built: tuple[Path, Any]) -> None:
    _, report = built
    by_name = {Path(item.path).stem: item for item in report.rejected}
    for name, item in by_name.items():
        if re.search("UID (is|has)|parsed|nest", item.reason) or name == "absurd length":
            continue
        assert (item.study, item.instance) == (STUDY, instance_uid(1)), name
    assert (by_name["no instance"].study, by_name["no instance"].instance) == (STUDY, "")


def test_workers_and_no_workers_reject_the_same_for_the_same_reasons(built: tuple[Path, Any]) -> None:
    folder, report = built
    with ProcessExecutor(2) as executor:
        other = build_tree(folder / "by workers", folder / "in", executor=executor)
    assert sorted(map(repr, other.rejected)) == sorted(map(repr, report.rejected))
    assert contents(folder / "by workers") == contents(folder / "tree")


def test_a_frame_count_of_zero_means_one_and_is_published_so(tmp_path: Path) -> None:
    report = build_tree(tmp_path / "tree", write(tmp_path, "zero.dcm", image(1, NumberOfFrames=0)))
    assert report.outcomes == {Outcome.PUBLISHED: 1}
    documents = [data for path, data in contents(tmp_path / "tree").items() if path.endswith("metadata")]
    assert [json.loads(data)[0]["00280008"] for data in documents] == [{"vr": "IS", "Value": [1]}] * 3


# --- hostile but well formed ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("tag", "attribute"), [(0x00400275, "requests"), (0x00080018, "instance"), (0x0020000E, "series")]
)
@pytest.mark.parametrize("vr", ["US", "LO", "DS", "OB", "UN"])
def test_an_attribute_of_another_vr_does_not_reach_the_lists(tmp_path: Path, tag: int, attribute: str, vr: str) -> None:
    dataset = image(1)
    if tag == 0x00400275:
        dataset.RequestAttributesSequence = []
        value = b"5 "
    else:
        value = dataset[tag].value.encode()
        value += b"\0" * (len(value) % 2)
    data = to_bytes(dataset)
    head = struct.pack("<HH", tag >> 16, tag & 0xFFFF)
    start = data.index(head)
    end = start + (12 if tag == 0x00400275 else 8 + len(value))
    long = vr in ("OB", "UN")
    element = (
        head + vr.encode() + (struct.pack("<HL", 0, len(value)) if long else struct.pack("<H", len(value))) + value
    )
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "1.dcm").write_bytes(data[:start] + element + data[end:])
    write(tmp_path, "in/2.dcm", image(2, StudyInstanceUID=f"{ROOT}.8", SeriesInstanceUID=f"{ROOT}.8.1"))
    report = build_tree(tmp_path / "tree", tmp_path / "in")
    assert report.outcomes[Outcome.PUBLISHED] + len(report.rejected) == 2
    records = json.loads((tmp_path / "tree" / "studies" / STUDY / "instances").read_bytes())
    (record,) = records
    assert record["00080018"] == {"vr": "UI", "Value": [instance_uid(1)]}
    (series,) = json.loads((tmp_path / "tree" / "studies" / STUDY / "series" / "index.json").read_bytes())
    assert series["00081190"]["Value"][0].split("/")[-1] == series["0020000E"]["Value"][0]
    assert series.get("00400275", {"vr": "SQ"})["vr"] == "SQ"


@pytest.mark.parametrize("name", ["=", "Doe^John==", "^^^", "Doe^John=\u6f22=\u304b"])
def test_names_alone_tell_the_same_patient_the_second_time(tmp_path: Path, name: str) -> None:
    source = write(tmp_path, "1.dcm", image(1, PatientID="", PatientName=name, SpecificCharacterSet="ISO_IR 192"))
    assert build_tree(tmp_path / "tree", source).exit_code == 0
    assert build_tree(tmp_path / "tree", source).outcomes == {Outcome.UNCHANGED: 1}


def test_two_members_of_one_name_are_two_inputs(tmp_path: Path) -> None:
    one, two = to_bytes(image(1)), to_bytes(image(2))
    assert len(one) == len(two)
    (tmp_path / "a.zip").write_bytes(zip_bytes([("IM", one), ("IM", two)], zipfile.ZIP_STORED))
    assert build_tree(tmp_path / "tree", tmp_path / "a.zip").outcomes == {Outcome.PUBLISHED: 2}


def test_damaged_members_cost_themselves(tmp_path: Path) -> None:
    good = to_bytes(image(1))
    damaged = bytearray(zip_bytes({"IM": to_bytes(image(2))}, zipfile.ZIP_LZMA))
    damaged[60:90] = bytes(30)
    named = zip_bytes({"\u00e4" * 8: to_bytes(image(3))}, zipfile.ZIP_STORED).replace("\u00e4".encode(), b"\xff\xfe")
    (tmp_path / "in").mkdir()
    for name, data in (("good", good), ("lzma.zip", bytes(damaged)), ("name.zip", named)):
        (tmp_path / "in" / name).write_bytes(data)
    report = build_tree(tmp_path / "tree", tmp_path / "in")
    assert report.outcomes == {Outcome.PUBLISHED: 1}
    assert len(report.rejected) == 2


def test_a_lossy_frame_under_a_lossless_syntax_is_published_as_what_it_is(tmp_path: Path) -> None:
    pixels = noise(1, bits=8)
    lossy = bytes(imagecodecs.jpeg2k_encode(pixels, level=40, reversible=False, codecformat="j2k"))
    for number, syntax in enumerate((J2K, "1.2.840.10008.1.2.4.201", HTJ2K), 1):
        dataset = encapsulated([lossy], syntax, pixels=pixels, number=number)
        report = build_tree(tmp_path / "tree", write(tmp_path, f"{number}.dcm", dataset))
        ((note,),) = [item.notes for item in report.noted]
        assert note.startswith(f"the file names transfer syntax {syntax} (")
        assert "its frames are of transfer syntax 1.2.840.10008.1.2.4.91 (" in note
        assert "compressed with loss" in note
    dataset = encapsulated([lossy], "1.2.840.10008.1.2.4.91", pixels=pixels, number=4)
    assert build_tree(tmp_path / "tree", write(tmp_path, "4.dcm", dataset)).exit_code == 0


@pytest.mark.parametrize("marker", [0xC0, 0xC2, 0xC3])
def test_a_few_bytes_of_jpeg_cannot_claim_a_large_image(tmp_path: Path, marker: int) -> None:
    head = struct.pack(">BBHBHHBBBB", 0xFF, marker, 11, 8, 20000, 20000, 1, 1, 0x11, 0)
    frame = b"\xff\xd8" + head + b"\xff\xda\x00\x08\x01\x01\x00\x00\x3f\x00" + bytes(500) + b"\xff\xd9"
    syntax = "1.2.840.10008.1.2.4.70" if marker == 0xC3 else JPEG
    dataset = encapsulated([frame], syntax, pixels=noise(1, bits=8))
    dataset.Rows = dataset.Columns = 20000
    (rejected,) = build_tree(tmp_path / "tree", write(tmp_path, "1.dcm", dataset)).rejected
    assert "bytes of JPEG cannot hold 20000 x 20000 pixels" in rejected.reason


@pytest.mark.parametrize("photometric", ["YBR_RCT", "YBR_ICT", "YBR_PARTIAL_420", "XYB"])
def test_photometric_interpretations_of_one_encoding_are_refused_elsewhere(tmp_path: Path, photometric: str) -> None:
    dataset = image(1, noise(1, (20, 20, 3), 8), PhotometricInterpretation=photometric)
    (rejected,) = build_tree(tmp_path / "tree", write(tmp_path, "1.dcm", dataset)).rejected
    assert rejected.reason.startswith(f"{photometric} is not defined for transfer syntax")


def test_elements_behind_compressed_pixels_are_published(tmp_path: Path) -> None:
    dataset = encapsulated([encode_frame(noise(1), 12)], HTJ2K)
    data = to_bytes(dataset) + bytes.fromhex("faff0100") + b"LO\x04\x00tail"
    (tmp_path / "1.dcm").write_bytes(data)
    assert build_tree(tmp_path / "tree", tmp_path / "1.dcm").exit_code == 0
    (metadata,) = json.loads((tmp_path / "tree" / "studies" / STUDY / "metadata").read_bytes())
    assert metadata["FFFA0001"] == {"vr": "LO", "Value": ["tail"]}


def test_a_file_that_is_written_to_during_the_build_is_refused(tmp_path: Path) -> None:
    """Beyond what is read at once, its digest and its pixels could be of two different contents."""
    pixels = np.random.default_rng(1).integers(0, 4096, (40, 512, 512), "u2")
    source = write(tmp_path, "1.dcm", image(1, pixels))
    assert source.stat().st_size > 16 << 20

    class MeddlingStore(ToldStore):
        @override
        def before_put(self, key: str, data: bytes | ReadableFile) -> bytes | ReadableFile:
            os.utime(source)
            return data

    store = MeddlingStore(str(tmp_path / "tree"))
    report = build(BuildRequest(sources=(str(source),), options=BuildOptions()), store, SerialExecutor(), NoProgress())
    (rejected,) = report.rejected
    assert rejected.reason == "changed while it was being read; build again once it is whole"
    assert not list((tmp_path / "tree" / "studies").glob("*/series/*/instances/*"))
