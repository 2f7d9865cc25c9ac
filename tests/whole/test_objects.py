"""What is more, or less, than a plain image: in which form each kind of object is published, and how it is served."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from io import BytesIO
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from openjpeg.utils import decode
from PIL import Image
from pydicom import dcmread, uid
from pydicom.dataset import FileDataset
from pydicom.encaps import generate_frames

from stillframe.build.results import Outcome
from stillframe.hosting import serve
from stillframe.options import Part10
from tests.support import dicom_objects
from tests.support.dicom_files import STUDY, encapsulated_value, image, noise, pdf, to_bytes, without_pixels, write
from tests.support.elements import UNDEFINED, element, head
from tests.support.multipart import unwrap_part
from tests.support.serving import serving
from tests.support.trees import PICTURED, build_tree, contents, document

MASK = np.zeros((3, 96, 80), bool)
MASK[1, 10:50, 10:40] = True


def leaves(tree: Path, dataset: FileDataset) -> dict[str, bytes]:
    """The objects of an instance by what follows its UID; the whole object under an empty name."""
    part = f"/instances/{dataset.SOPInstanceUID}/"
    return {
        path.partition(part)[2].removesuffix("index.dcm"): data for path, data in contents(tree).items() if part in path
    }


def published(tmp_path: Path, dataset: FileDataset, **options: Any) -> dict[str, bytes]:
    report = build_tree(tmp_path / "tree", write(tmp_path, "in.dcm", dataset), options=replace(PICTURED, **options))
    assert report.exit_code == 0, report.rejected
    return leaves(tmp_path / "tree", dataset)


def picture(data: bytes) -> np.ndarray[Any, Any]:
    return np.asarray(Image.open(BytesIO(data))).astype(int)


def test_a_binary_segmentation(tmp_path: Path) -> None:
    dataset = dicom_objects.segmentation("BINARY", MASK)
    found = published(tmp_path, dataset)
    assert set(found) == {"", "metadata", "frames/1", "frames/2", "frames/3", "thumbnail", "rendered"}
    assert np.array_equal(dcmread(BytesIO(found[""])).pixel_array, MASK)
    bits = np.frombuffer(unwrap_part(found["frames/2"]), "u1")
    assert np.array_equal(np.unpackbits(bits, bitorder="little").reshape(96, 80), MASK[1])
    shape = picture(found["rendered"])  # Pixel Spacing is 2 \ 1
    assert shape.shape == (96, 40)
    assert np.abs(shape[:, :] - (MASK[1].reshape(96, 40, 2).mean(axis=2) * 255)).mean() < 3


def test_a_fractional_segmentation(tmp_path: Path) -> None:
    dataset = dicom_objects.segmentation("FRACTIONAL", MASK * 0.5)
    found = published(tmp_path, dataset)
    assert set(found) >= {"", "frames/2", "reduced/2/frames/2", "thumbnail"}
    half = round(0.5 * dataset.MaximumFractionalValue)
    assert np.array_equal(decode(found["frames/2"], j2k_format=0), MASK[1] * half)
    assert abs(picture(found["thumbnail"])[30, 12] - 255 * half / dataset.MaximumFractionalValue) <= 3


def test_a_parametric_map(tmp_path: Path) -> None:
    values = np.linspace(0, 1, 3 * 96 * 80).reshape(3, 96, 80).astype("f4")
    dataset = dicom_objects.parametric_map(values)
    found = published(tmp_path, dataset)
    assert set(found) >= {"", "frames/1", "frames/2", "frames/3", "thumbnail", "rendered"}
    frames = np.frombuffer(dataset.FloatPixelData, "<f4").reshape(3, 96, 80)  # highdicom has sorted the planes
    assert np.array_equal(np.frombuffer(unwrap_part(found["frames/3"]), "<f4").reshape(96, 80), frames[2])
    assert np.abs(picture(found["rendered"]) - values[1].reshape(96, 40, 2).mean(axis=2) * 255).mean() < 2


def test_a_dose_of_32_bits_is_read_by_frames(tmp_path: Path) -> None:
    pixels = np.stack([noise(number).astype("u4") * 1000 for number in range(2)])
    dataset = image(1, pixels, SOPClassUID=uid.RTDoseStorage, BitsStored=32, HighBit=31)
    found = published(tmp_path, dataset)
    assert set(found) == {"metadata", "frames/1", "frames/2", "thumbnail", "rendered"}
    assert np.array_equal(np.frombuffer(unwrap_part(found["frames/2"]), "<u4").reshape(96, 80), pixels[1])
    expected = (pixels[1] - pixels[1].min()) / np.ptp(pixels[1].astype(float)) * 255
    assert np.abs(picture(found["rendered"]) - expected).mean() < 6


@pytest.mark.parametrize("choice", list(Part10))
def test_whole_objects_by_option(tmp_path: Path, choice: Part10) -> None:
    """Of what has frames only segmentations and parametric maps are published whole, unless told otherwise."""
    wanted = {Part10.AUTO: (True, False), Part10.ALWAYS: (True, True), Part10.NEVER: (False, False)}[choice]
    labels = image(1, noise(1, bits=8), SOPClassUID="1.2.840.10008.5.1.4.1.1.66.7", SegmentationType="LABELMAP")
    assert ("" in published(tmp_path / "a", labels, part10=choice)) == wanted[0]
    assert ("" in published(tmp_path / "b", image(2), part10=choice)) == wanted[1]


@pytest.mark.parametrize("make", [dicom_objects.key_objects, dicom_objects.presentation_state])
def test_objects_without_pixels_are_published_whole(tmp_path: Path, make: Callable[[], FileDataset]) -> None:
    dataset = make()
    found = published(tmp_path, dataset)
    assert set(found) == {"", "metadata"}
    assert dcmread(BytesIO(found[""])).SOPClassUID == dataset.SOPClassUID
    assert "frames" not in document(tmp_path / "tree", f"studies/{STUDY}/metadata")[0]


@pytest.mark.parametrize("name", ["test-SR.dcm", "reportsi.dcm", "rtplan.dcm", "rtstruct.dcm", "waveform_ecg.dcm"])
def test_reports_plans_and_waveforms_are_published_whole(tmp_path: Path, pydicom_files: list[Path], name: str) -> None:
    source = next(path for path in pydicom_files if path.name == name)
    assert build_tree(tmp_path / "tree", source).exit_code == 0
    found = leaves(tmp_path / "tree", dcmread(source, force=True))
    assert {leaf for leaf in found if not leaf.startswith("bulkdata/")} == {"", "metadata"}
    data = source.read_bytes()
    assert found[""] == data if data[128:132] == b"DICM" else found[""].endswith(data)


@pytest.mark.parametrize(
    "sop_class",
    [uid.EncapsulatedCDAStorage, uid.EncapsulatedSTLStorage, uid.EncapsulatedOBJStorage, uid.EncapsulatedMTLStorage],
)
def test_other_documents_are_published_whole_and_not_rendered(tmp_path: Path, sop_class: str) -> None:
    dataset = without_pixels(1, SOPClassUID=sop_class, EncapsulatedDocument=b"<x/>" * 500)
    found = published(tmp_path, dataset)
    assert set(found) == {"", "metadata", "bulkdata/00420011"}
    assert found["bulkdata/00420011"] == b"<x/>" * 500


@pytest.mark.parametrize("splits", [[0, 1000], [0, 0, 600, 600, 1400]])
def test_a_document_in_fragments_is_published_as_one(tmp_path: Path, splits: list[int]) -> None:
    """Only pixel data may be in fragments, and only theirs begin with a table of offsets (PS3.5 A.4)."""
    document_bytes = b"%PDF-1.4\n" + bytes(range(256)) * 8 + b"%%EOF\n\n"
    fragments = [document_bytes[start:end] for start, end in pairwise([*splits, len(document_bytes)])]
    written = element(0x00420011, "OB", document_bytes)
    source = to_bytes(pdf(document_bytes))
    assert source.count(written) == 1
    in_fragments = head(0x00420011, "OB", UNDEFINED) + encapsulated_value(fragments[1:], fragments[0])
    (tmp_path / "1.dcm").write_bytes(source.replace(written, in_fragments))
    report = build_tree(tmp_path / "tree", tmp_path / "1.dcm")
    assert report.noted[0].notes[0].startswith("00420011: its value is in fragments")
    found = leaves(tmp_path / "tree", pdf(document_bytes))
    assert found["rendered"] == found["bulkdata/00420011"] == document_bytes


def test_raw_data_are_published_whole(tmp_path: Path) -> None:
    dataset = without_pixels(1, SOPClassUID=uid.RawDataStorage)
    dataset.private_block(0x0011, "RAW", create=True).add_new(1, "OB", bytes(range(256)) * 20)
    assert set(published(tmp_path, dataset)) == {"", "metadata", "bulkdata/00111001"}


def test_spectra_are_published_whole(tmp_path: Path) -> None:
    """MR Spectroscopy has Rows, Columns and Number of Frames, and no Pixel Data (PS3.3 A.36.3)."""
    spectra = np.linspace(-1, 1, 1024, dtype="<f4").tobytes()
    attributes: dict[str, Any] = {"Rows": 2, "Columns": 1, "NumberOfFrames": 2, "SpectroscopyData": spectra}
    dataset = image(1, SOPClassUID=uid.MRSpectroscopyStorage, PixelData=None, **attributes)
    found = published(tmp_path, dataset)
    assert set(found) == {"", "metadata", "bulkdata/56000020"}
    assert found["bulkdata/56000020"] == spectra
    metadata = json.loads(found["metadata"])[0]
    assert [metadata[tag]["Value"] for tag in ("00280008", "00280010", "00280011")] == [[2], [2], [1]]


@pytest.mark.parametrize(
    ("pixels", "note"),
    [
        ({"PixelData": b"", "Rows": 0, "Columns": 0}, "PixelData has no bytes, so there are no frames"),
        ({}, "the 15360 bytes of pixel data are not published as frames: SOP class 1.2.840.10008.5.1.4.1.1.88.11 "),
    ],
    ids=["empty", "full"],
)
def test_a_report_with_pixel_data_is_published_whole(tmp_path: Path, pixels: dict[str, Any], note: str) -> None:
    """And says nothing of frames, not even where the source does."""
    dataset = image(1, SOPClassUID=uid.BasicTextSRStorage, **pixels)
    dataset.add_new(0x00083002, "UI", "1.2.840.10008.1.2.4.202")  # Available Transfer Syntax UID
    report = build_tree(tmp_path / "tree", write(tmp_path, "in.dcm", dataset))
    (noted,) = report.noted
    assert " ".join(noted.notes).startswith(note)
    found = leaves(tmp_path / "tree", dataset)
    assert set(found) == {"", "metadata"}
    assert "00083002" not in json.loads(found["metadata"])[0]
    assert (dcmread(BytesIO(found[""])).PixelData or b"") == dataset.PixelData
    assert build_tree(tmp_path / "tree", tmp_path / "in.dcm").outcomes == {Outcome.UNCHANGED: 1}


@pytest.mark.slow
def test_a_study_of_many_kinds_over_http(tmp_path: Path, shared_data: Path) -> None:
    """As OHIF opens it: frames, the whole segmentation, the document, thumbnails, each with the type that it needs."""
    sources = [dcmread(path, stop_before_pixels=True) for path in sorted((shared_data / "mr-seg-sr-pdf").iterdir())]
    report = build_tree(tmp_path / "tree", shared_data / "mr-seg-sr-pdf", options=PICTURED)
    assert report.exit_code == 0
    images = [ds for ds in sources if "Rows" in ds and ds.SOPClassUID != uid.SegmentationStorage]
    (segmentation,) = (ds for ds in sources if ds.SOPClassUID == uid.SegmentationStorage)
    (pdf,) = (ds for ds in sources if ds.SOPClassUID == uid.EncapsulatedPDFStorage)
    reports = [ds for ds in sources if ds.SOPClassUID == uid.EnhancedSRStorage]

    def series_path(dataset: FileDataset) -> str:
        return f"/dicomweb/studies/{dataset.StudyInstanceUID}/series/{dataset.SeriesInstanceUID}"

    def path(dataset: FileDataset) -> str:
        return f"{series_path(dataset)}/instances/{dataset.SOPInstanceUID}"

    with serving(serve.create_app(tmp_path / "tree")) as get:

        def body(target: str, media_type: str) -> bytes:
            reply = get(target)
            assert (reply.status, reply.headers["content-type"]) == (200, media_type)
            return reply.body

        for dataset in images:
            frame = body(f"{path(dataset)}/frames/1", "image/jphc; transfer-syntax=1.2.840.10008.1.2.4.202")
            assert decode(frame, j2k_format=0).shape == (dataset.Rows, dataset.Columns)
        whole = body(f"{path(segmentation)}?accept=x", "application/dicom")
        assert dcmread(BytesIO(whole)).SegmentSequence
        assert body(f"{path(pdf)}/rendered?accept=application/pdf", "application/pdf").startswith(b"%PDF-")
        for dataset in reports:
            body(path(dataset), "application/dicom")
            assert get(f"{series_path(dataset)}/thumbnail").status == 404
        for target in (path(images[0]), series_path(images[0]), series_path(images[0]).partition("/series/")[0]):
            thumbnail = body(f"{target}/thumbnail?viewport=256,256", "image/jpeg")
            assert max(Image.open(BytesIO(thumbnail)).size) == 256
        assert Image.open(BytesIO(body(f"{path(images[0])}/rendered", "image/jpeg"))).size == (
            images[0].Columns,
            images[0].Rows,
        )


@pytest.mark.slow
def test_the_tiles_of_a_slide_are_served_byte_for_byte(tmp_path: Path, shared_data: Path) -> None:
    (source,) = (shared_data / "wsi-tiles").glob("*.dcm")
    slide = dcmread(source)
    assert build_tree(tmp_path / "tree", source).exit_code == 0
    place = f"studies/{slide.StudyInstanceUID}/series/{slide.SeriesInstanceUID}/instances/{slide.SOPInstanceUID}"
    tiles = list(generate_frames(slide.PixelData, number_of_frames=int(slide.NumberOfFrames)))
    assert len(tiles) == 15
    with serving(serve.create_app(tmp_path / "tree")) as get:
        for number, tile in enumerate(tiles, 1):
            reply = get(f"/dicomweb/{place}/frames/{number}")
            assert reply.headers["content-type"].startswith('multipart/related; type="image/jpeg"; boundary=')
            assert b"Content-Type: image/jpeg; transfer-syntax=1.2.840.10008.1.2.4.50\r\n" in reply.body[:200]
            assert unwrap_part(reply.body) == (tile[:-1] if tile.endswith(b"\xff\xd9\0") else tile)
