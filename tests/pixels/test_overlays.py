"""Overlays in unused bits of pixels, as data sets before 2004 had them; the expected planes are those put there."""

from __future__ import annotations

import json
import math
import struct
from base64 import b64decode
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from openjpeg.utils import decode as openjpeg_decode
from pydicom import Dataset, dcmread

from stillframe.build.instance import build_instance
from stillframe.build.results import Built
from stillframe.build.tasks import InstanceTask
from stillframe.dicom.uids import InstanceUIDs
from stillframe.layout import bulk_data_key, frame_key, metadata_key
from stillframe.options import BuildOptions
from stillframe.source.inputs import InputRef
from stillframe.store.directory import DirectoryStore
from tests.support import elements
from tests.support.dicom_files import (
    EXPLICIT,
    INSTANCE,
    RLE,
    SERIES,
    STUDY,
    encapsulated_value,
    image_attributes,
    jpeg,
    random_samples,
    write_dicom,
)
from tests.support.frame_encoders import j2k, lossless_jpeg, rle

type Array = npt.NDArray[Any]

UIDS = InstanceUIDs(STUDY, SERIES, INSTANCE)
BITS = 12


def planes(shape: tuple[int, ...], seed: int) -> Array:
    return np.random.default_rng(seed).integers(0, 2, shape).astype("u1")


def with_planes(samples: Array, overlays: dict[int, Array]) -> Array:
    """Pixel cells that hold the planes above Bits Stored."""
    cells = samples.view("u2") & (1 << BITS) - 1
    for bit, plane in overlays.items():
        cells = cells | plane.astype("u2") << bit
    return np.asarray(cells, "u2")


def write_with_overlays(path: Path, syntax: str, samples: Array, value: bytes, bits: list[int], **overlay: Any) -> Path:
    """A file whose groups 6000, 6002 ... name these bits."""
    attributes = image_attributes(samples[0], len(samples), BitsStored=BITS)
    write_dicom(path, syntax, attributes, value)
    groups = Dataset()
    for index, bit in enumerate(bits):
        group = 0x6000 + 2 * index
        numbers = {
            0x10: ("US", samples.shape[1]),
            0x11: ("US", samples.shape[2]),
            0x100: ("US", 16),
            0x102: ("US", bit),
        }
        numbers |= {int(element, 16): given for element, given in overlay.items()}
        groups.add_new((group, 0x40), "CS", "G")
        groups.add_new((group, 0x50), "SS", [1, 1])
        for element, (vr, number) in numbers.items():
            groups.add_new((group, element), vr, number)
    dataset = dcmread(path)
    dataset.update(groups)
    dataset.save_as(path)
    return path


def publish(path: Path, tree: Path, **options: Any) -> tuple[Built, dict[str, Any], DirectoryStore]:
    store = DirectoryStore(str(tree))
    built = build_instance(
        InstanceTask(store=store, source=InputRef(path=str(path)), uids=UIDS, options=BuildOptions(**options))
    )
    assert isinstance(built, Built), built
    stored = store.get(metadata_key(STUDY, SERIES, INSTANCE))
    assert stored is not None
    return built, json.loads(stored.data)[0], store


def overlay_data(metadata: dict[str, Any], group: int, store: DirectoryStore) -> bytes:
    element = metadata[f"{group:04X}3000"]
    assert element["vr"] == "OW"
    if "InlineBinary" in element:
        return b64decode(element["InlineBinary"])
    assert element["BulkDataURI"] == f"bulkdata/{group:04X}3000"
    stored = store.get(bulk_data_key(UIDS, f"{group:04X}3000"))
    assert stored is not None
    return stored.data


def read_by_pydicom(data: bytes, frames: int, rows: int, columns: int) -> Array:
    """The planes in a value of Overlay Data, as pydicom unpacks them."""
    dataset = Dataset()
    for element, vr, value in (
        (0x10, "US", rows), (0x11, "US", columns), (0x15, "IS", frames), (0x100, "US", 1), (0x102, "US", 0),
        (0x3000, "OW", data),
    ):  # fmt: skip
        dataset.add_new((0x6000, element), vr, value)
    return np.asarray(dataset.overlay_array(0x6000)).reshape(frames, rows, columns)


ENCODERS = {
    RLE: lambda cells: rle(cells, 16),
    jpeg(90): lambda cells: j2k(cells, 16),
    jpeg(70): lambda cells: lossless_jpeg(cells, 16),
}


@pytest.mark.parametrize("syntax", [EXPLICIT, *ENCODERS])
@pytest.mark.parametrize("dtype", ["u2", "i2"])
@pytest.mark.parametrize(("frames", "shape"), [(1, (40, 50)), (3, (5, 7)), (3, (70, 90))])
def test_overlays_in_the_pixels_become_overlay_data(
    tmp_path: Path, syntax: str, dtype: str, frames: int, shape: tuple[int, int]
) -> None:
    """Small ones stand in the metadata, large ones are bulk data; frames that are no whole bytes join at the bit."""
    samples = np.array([random_samples(shape, dtype, BITS, seed) for seed in range(frames)])
    overlays = {12: planes(samples.shape, 1), 15: planes(samples.shape, 2)}
    cells = with_planes(samples, overlays)
    value = cells.tobytes() if syntax == EXPLICIT else encapsulated_value([ENCODERS[syntax](cell) for cell in cells])
    path = write_with_overlays(tmp_path / "file", syntax, samples, value, list(overlays))
    built, metadata, store = publish(path, tmp_path / "tree")
    assert list(built.notes) == [
        f"the overlay in bit {bit} of the pixels was taken out into Overlay Data ({group:04X},3000)"
        for group, bit in ((0x6000, 12), (0x6002, 15))
    ]
    for index in range(frames):
        stored = store.get(frame_key(UIDS, index + 1))
        assert stored is not None
        assert np.array_equal(openjpeg_decode(stored.data, j2k_format=0), samples[index])
    for group, plane in zip((0x6000, 0x6002), overlays.values(), strict=True):
        key = f"{group:04X}"
        assert [metadata[key + element]["Value"][0] for element in ("0100", "0102")] == [1, 0]
        if frames > 1:
            assert [metadata[key + element]["Value"][0] for element in ("0015", "0051")] == [frames, 1]
        data = overlay_data(metadata, group, store)
        assert len(data) == (plane.size + 15) // 16 * 2
        assert np.array_equal(read_by_pydicom(data, frames, *shape), plane)


def test_an_overlay_of_some_frames_is_that_of_those(tmp_path: Path) -> None:
    samples = np.array([random_samples((5, 7), "u2", BITS, seed) for seed in range(4)])
    plane = planes(samples.shape, 1)
    value = with_planes(samples, {13: plane}).tobytes()
    given = {"0015": ("IS", 2), "0051": ("US", 2)}
    path = write_with_overlays(tmp_path / "file", EXPLICIT, samples, value, [13], **given)
    _, metadata, store = publish(path, tmp_path / "tree")
    assert [metadata[f"6000{element}"]["Value"][0] for element in ("0015", "0051")] == [2, 2]
    assert np.array_equal(read_by_pydicom(overlay_data(metadata, 0x6000, store), 2, 5, 7), plane[1:3])


def test_other_bits_above_bits_stored_are_still_noted(tmp_path: Path) -> None:
    samples = random_samples((1, 40, 50), "u2", BITS)
    value = with_planes(samples, {12: planes(samples.shape, 1), 14: planes(samples.shape, 2)}).tobytes()
    built, _, _ = publish(write_with_overlays(tmp_path / "file", EXPLICIT, samples, value, [12]), tmp_path / "tree")
    assert built.notes[0] == "bits above Bits Stored were set in 1 frame; they are not published"
    assert built.notes[1].startswith("the overlay in bit 12")


@pytest.mark.parametrize(
    "given",
    [
        {"0102": ("US", 3)},
        {"0102": ("US", 16)},
        {"0100": ("US", 1)},
        {"0010": ("US", 39)},
        {"3000": ("OW", bytes(250))},
    ],
    ids=["a sample's bit", "no bit", "a plane of its own", "another size", "has data"],
)
def test_what_is_no_overlay_in_unused_bits_is_left_alone(tmp_path: Path, given: dict[str, Any]) -> None:
    samples = random_samples((1, 40, 50), "u2", BITS)
    path = write_with_overlays(tmp_path / "file", EXPLICIT, samples, samples.tobytes(), [12], **given)
    built, metadata, _ = publish(path, tmp_path / "tree")
    assert built.notes == ()
    assert ("60003000" in metadata) == ("3000" in given)


def _with_rows(path: Path, written: bytes) -> Path:
    """A file of 40 rows whose Overlay Rows are written so."""
    samples = random_samples((1, 40, 50), "u2", BITS)
    value = with_planes(samples, {12: planes(samples.shape, 1)}).tobytes()
    data = write_with_overlays(path, EXPLICIT, samples, value, [12]).read_bytes()
    own = elements.element(0x60000010, "US", 40)
    assert data.count(own) == 1
    path.write_bytes(data.replace(own, written))
    return path


@pytest.mark.parametrize(
    ("vr", "value"), [("OB", b"(\0"), ("OW", b"(\0"), ("UL", b"(\0\0\0"), ("FD", struct.pack("<d", 40)), ("XX", b"(\0")]
)
def test_a_number_of_an_overlay_in_another_vr_counts(tmp_path: Path, vr: str, value: bytes) -> None:
    built, _, _ = publish(_with_rows(tmp_path / "file", elements.element(0x60000010, vr, value)), tmp_path / "tree")
    assert any(note.startswith("the overlay in bit 12") for note in built.notes)


@pytest.mark.parametrize(
    "written",
    [
        elements.head(0x60000010, "US", 3) + b"(\0\0",
        elements.element(0x60000010, "FD", struct.pack("<d", math.inf)),
        elements.element(0x60000010, "DS", b"9e999 "),
        elements.element(0x60000010, "LO", b"forty "),
        elements.element(0x60000010, "AT", b"(\0\0\0"),
    ],
)
def test_a_number_of_an_overlay_that_is_none_keeps_no_image_back(tmp_path: Path, written: bytes) -> None:
    built, _, _ = publish(_with_rows(tmp_path / "file", written), tmp_path / "tree")
    assert "bits above Bits Stored were set in 1 frame; they are not published" in built.notes


def test_the_same_file_published_again_gives_the_same_bytes(tmp_path: Path) -> None:
    samples = random_samples((2, 70, 90), "u2", BITS)
    value = with_planes(samples, {12: planes(samples.shape, 1)}).tobytes()
    path = write_with_overlays(tmp_path / "file", EXPLICIT, samples, value, [12])
    for tree in ("a", "b"):
        publish(path, tmp_path / tree)
    trees = [
        {file.relative_to(root): file.read_bytes() for file in root.rglob("*") if file.is_file()}
        for root in (tmp_path / "a", tmp_path / "b")
    ]
    assert trees[0] == trees[1]


def test_a_damaged_frame_has_an_empty_plane(tmp_path: Path) -> None:
    samples = random_samples((3, 8, 16), "u2", BITS)
    plane = planes(samples.shape, 1)
    frames = [rle(frame, 16) for frame in with_planes(samples, {15: plane})]
    value = encapsulated_value([frames[0], frames[1][:70], frames[2]])
    path = write_with_overlays(tmp_path / "file", RLE, samples, value, [15])
    built, metadata, store = publish(path, tmp_path / "tree", keep_damaged=True)
    plane[1] = 0
    found = np.unpackbits(np.frombuffer(overlay_data(metadata, 0x6000, store), "u1"), bitorder="little")
    assert np.array_equal(found[: plane.size].reshape(plane.shape), plane)
    assert built.notes[0].startswith("damaged: ")
    assert built.notes[0].endswith("all samples of the frame are 0 (frame 2)")
