"""The metadata and bulk data of published trees, read over HTTP as a client does, against what pydicom reads."""

from __future__ import annotations

import contextlib
import json
import logging
import struct
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urljoin, urlsplit

import pytest
from pydicom import Dataset, dcmread
from pydicom.sequence import Sequence
from pydicom.uid import ImplicitVRLittleEndian

from stillframe.build.report import Report
from stillframe.hosting import serve
from stillframe.options import BuildOptions
from tests.support.dicom_files import image, noise, write
from tests.support.same_json import bulk_uris, check_elements, show_values
from tests.support.serving import Client, serving
from tests.support.trees import build_tree

NUMBERS = {"FD": "d", "FL": "f", "SL": "i", "SS": "h", "SV": "q", "UL": "I", "US": "H", "UV": "Q"}


@dataclass(frozen=True)
class Tree:
    """A served tree: its service root, and the bytes and the JSON of whatever a URL names."""

    root: str
    client: Client

    def fetch(self, url: str) -> bytes:
        reply = self.client(urlsplit(url).path)
        assert reply.status == 200, url
        return reply.body

    def load(self, url: str) -> Any:
        return json.loads(self.fetch(url))


@pytest.fixture
def serve_tree() -> Iterator[Callable[[Path], Tree]]:
    with contextlib.ExitStack() as stack:

        def start(folder: Path) -> Tree:
            client = stack.enter_context(serving(serve.create_app(folder)))
            return Tree(f"http://127.0.0.1:{client.port}/dicomweb", client)

        yield start


@pytest.fixture(autouse=True)
def odd_values_are_expected() -> Iterator[None]:
    logging.disable(logging.ERROR)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module="pydicom")
        yield
    logging.disable(logging.NOTSET)


def read(path: Path) -> Dataset:
    return dcmread(path, force=True)


def element_at(dataset: Any, place: tuple[Any, ...]) -> Any:
    for step in place[:-1]:
        dataset = dataset[step].value if isinstance(dataset, Dataset) else dataset[step]
    return dataset[place[-1]]


def field_of(source: Dataset, place: tuple[Any, ...], vr: str) -> bytes:
    """The value there as docs/format.md says that its object holds it."""
    value = element_at(source, place).value
    if isinstance(value, bytes):
        swap = vr == "OW" and source.original_encoding[1] is False
        return b"".join(value[at : at + 2][::-1] for at in range(0, len(value), 2)) if swap else value
    values = [value] if isinstance(value, str | int | float) else list(value)
    if vr in NUMBERS:
        return struct.pack(f"<{len(values)}{NUMBERS[vr]}", *values)
    return "\\".join(map(str, values)).encode()


def parse_field(vr: str, data: bytes) -> Any:
    """A bulk value as pydicom wants it."""
    if vr in NUMBERS:
        return [number for (number,) in struct.iter_unpack(f"<{NUMBERS[vr]}", data)]
    return data if vr in ("OB", "OD", "OF", "OL", "OV", "OW", "UN") else data.decode()


def check_tree(tree: Tree, sources: dict[str, Path], report: Report) -> int:
    """Compare every instance with the file of its SOP Instance UID; how many bulk values there were."""
    notes = {noted.uids.instance: "\n".join(noted.notes) for noted in report.noted}
    compared = 0
    for study in tree.load(f"{tree.root}/studies"):
        study_url = f"{tree.root}/studies/{study['0020000D']['Value'][0]}/metadata"
        for of_study in tree.load(study_url):
            series_url = urljoin(study_url, f"series/{of_study['0020000E']['Value'][0]}/metadata")
            uid = of_study["00080018"]["Value"][0]
            url = urljoin(series_url, f"instances/{uid}/metadata")
            (metadata,) = tree.load(url)
            (of_series,) = (item for item in tree.load(series_url) if item["00080018"]["Value"] == [uid])
            documents = [(url, metadata), (series_url, of_series), (study_url, of_study)]
            compared += check_instance(tree, sources[uid], documents, notes.get(uid, ""))
    return compared


def check_instance(tree: Tree, path: Path, documents: list[tuple[str, dict[str, Any]]], notes: str) -> int:
    url, metadata = documents[0]
    resolved = [[urljoin(base, uri) for _, _, uri in bulk_uris(document)] for base, document in documents]
    assert resolved[0] == resolved[1] == resolved[2]
    source = read(path)
    show_values(source)
    bulk = {}
    for place, vr, uri in bulk_uris(metadata):
        bulk[uri.removeprefix("bulkdata/")] = data = tree.fetch(urljoin(url, uri))
        assert data.rstrip(b"\0 ") == field_of(source, place, vr).rstrip(b"\0 "), (path, place)
    check_elements(source, metadata, bulk, notes)
    check_read_back(tree, url, metadata, source)
    return len(resolved[0])


def check_read_back(tree: Tree, url: str, metadata: dict[str, Any], source: Dataset) -> None:
    """What pydicom makes of the JSON and the bulk data that it names has the values of the source."""

    def handler(_tag: str, vr: str, uri: str) -> Any:
        return parse_field(vr, tree.fetch(urljoin(url, uri)))

    back = Dataset.from_json(json.dumps(metadata), handler)
    for place, vr, _ in bulk_uris(metadata):
        copy, original = element_at(back, place), element_at(source, place)
        assert vr == copy.VR
        if not (vr == "OW" and source.original_encoding[1] is False):
            assert comparable(copy.value) == comparable(original.value)


def comparable(value: Any) -> Any:
    return value.rstrip(" \0") if isinstance(value, str) else value if isinstance(value, bytes) else list(value)


def groups_without_twins(files: list[Path]) -> list[dict[str, Path]]:
    """Files in groups within which no two share a SOP Instance UID."""
    by_uid: dict[str, list[Path]] = defaultdict(list)
    for path in files:
        uid = str(read(path).get("SOPInstanceUID", ""))
        if uid:
            by_uid[uid].append(path)
    most = max(map(len, by_uid.values()))
    return [{uid: twins[n] for uid, twins in by_uid.items() if len(twins) > n} for n in range(most)]


@pytest.mark.slow
def test_every_sample_file_is_published_with_the_values_that_pydicom_reads(
    tmp_path: Path, pydicom_files: list[Path], serve_tree: Callable[[Path], Tree]
) -> None:
    groups = groups_without_twins([path for path in pydicom_files if not path.name.startswith("DICOMDIR")])
    published = bulk = 0
    for number, group in enumerate(groups):
        report = build_tree(tmp_path / str(number), *group.values(), options=BuildOptions(reduced=()))
        published += report.outcomes.total()
        bulk += check_tree(serve_tree(tmp_path / str(number)), group, report)
    assert published > 210
    assert bulk > 10


@pytest.mark.slow
def test_the_shared_studies_are_published_with_the_values_that_pydicom_reads(
    tmp_path: Path, shared_data: Path, serve_tree: Callable[[Path], Tree]
) -> None:
    folders = [folder for folder in shared_data.iterdir() if folder.is_dir()]
    files = [path for folder in folders for path in sorted(folder.rglob("*.dcm"))[:3] if path.stat().st_size < 20e6]
    bulk = 0
    for number, group in enumerate(groups_without_twins(files)):
        report = build_tree(tmp_path / str(number), *group.values(), options=BuildOptions(reduced=()))
        bulk += check_tree(serve_tree(tmp_path / str(number)), group, report)
    assert bulk > 0


def item(**attributes: Any) -> Dataset:
    found = Dataset()
    for keyword, value in attributes.items():
        setattr(found, keyword, value)
    return found


@pytest.mark.slow
def test_every_kind_of_large_value_leaves_the_json_and_comes_back(
    tmp_path: Path, serve_tree: Callable[[Path], Tree]
) -> None:
    dataset = image(1, noise(1, (64, 64)), TransferSyntaxUID=ImplicitVRLittleEndian)
    dataset.SpecificCharacterSet = "ISO_IR 100"
    blob = bytes(range(256)) * 10
    lut = struct.pack("<2048H", *range(2048))
    dataset.add_new(0x60003000, "OW", blob)
    dataset.add_new(0x60023000, "OW", blob[::-1])
    dataset.WaveformSequence = Sequence([item(WaveformData=blob), item(WaveformData=bytes(5000))])
    dataset.WaveformSequence[0]["WaveformData"].VR = dataset.WaveformSequence[1]["WaveformData"].VR = "OW"
    dataset.VOILUTSequence = Sequence([item(LUTDescriptor=[2048, 0, 16], LUTData=lut)])
    dataset.VOILUTSequence[0]["LUTData"].VR = "OW"
    dataset.RedPaletteColorLookupTableDescriptor = [2048, 0, 16]
    dataset.RedPaletteColorLookupTableData = lut
    dataset.private_block(0x0009, "ACME", create=True).add_new(0x01, "OB", blob[:-2])
    dataset.TextValue = "Grün und blau. " * 6000
    dataset.SelectorUSValue = [number % 65536 for number in range(40000)]
    dataset.SelectorFLValue = [number / 4 for number in range(20000)]
    dataset.SelectorDSValue = [f"{number / 8}" for number in range(20000)]
    path = write(tmp_path, "in/1.dcm", dataset)
    report = build_tree(tmp_path / "tree", path)
    assert not report.rejected
    assert not report.noted
    tree = serve_tree(tmp_path / "tree")
    assert check_tree(tree, {dataset.SOPInstanceUID: path}, report) == 11

    folder = Path(next((tmp_path / "tree").rglob("bulkdata")))
    stored = {str(found.relative_to(folder)): found.read_bytes() for found in folder.rglob("*") if found.is_file()}
    assert {name: len(data) for name, data in stored.items()} == {
        "00091001": 2558,
        "00281201": 4096,
        "0040A160": len(("Grün und blau. " * 6000).rstrip().encode()),
        "00720072": len("\\".join(f"{number / 8}" for number in range(20000))),
        "00720076": 80000,
        "0072007A": 80000,
        "54000100/1/54001010": 2560,
        "54000100/2/54001010": 5000,
        "60023000": 2560,
    }
    (metadata,) = tree.load(tree.root + f"/{folder.parent.relative_to(tmp_path / 'tree')}/metadata")
    assert metadata["60003000"] == {"vr": "OW", "BulkDataURI": "bulkdata/54000100/1/54001010"}
    assert metadata["0072007A"] == {"vr": "US", "BulkDataURI": "bulkdata/0072007A"}
    assert metadata["0040A160"] == {"vr": "UT", "BulkDataURI": "bulkdata/0040A160"}
    table = metadata["00283010"]["Value"][0]["00283006"]
    assert table == {"vr": "OW", "BulkDataURI": "bulkdata/00281201"}
