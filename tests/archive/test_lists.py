"""Lists that are written while other jobs publish the same instances."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from stillframe.archive.entries import encode_list
from stillframe.dicom.json_model import dumps
from stillframe.layout import STUDIES, Kind, parse_key
from tests.support.archives import Interrupted, publish
from tests.support.dicom_files import SERIES, STUDY, image, instance_uid, noise, write
from tests.support.memory_store import MemoryStore
from tests.support.trees import objects

MIDDLE = f"{instance_uid(1)}/thumbnail"
LISTS = (
    MIDDLE,
    "/frame-index", f"{SERIES}/metadata", f"{SERIES}/thumbnail", f"{SERIES}/instances", f"{STUDY}/metadata",
    f"{STUDY}/thumbnail", f"{STUDY}/series", f"{STUDY}/instances", STUDIES,
)  # fmt: skip
SERIES_KEY = f"{STUDIES}/{STUDY}/series/{SERIES}"
LINES = {Kind.QUERY, Kind.METADATA}


@pytest.mark.parametrize("late", LISTS)
def test_a_job_that_lists_late_does_not_list_what_another_one_replaced(tmp_path: Path, late: str) -> None:
    """Both replace one instance: the last one's pixels are there, so its record and rows have to be listed."""
    first, second, third = (
        write(tmp_path, f"{name}.dcm", image(1, noise(20, (24, size)), StudyDescription=name, SeriesDescription=name))
        for name, size in (("first", 20), ("second", 21), ("third", 22))
    )
    shared = MemoryStore()
    publish(shared, first)
    late_job = Interrupted(late, lambda _: publish(shared, third, replace=True), shared)
    publish(late_job, second, replace=True)
    assert late_job.acted
    clean = MemoryStore()
    publish(clean, third)
    assert objects(shared) == objects(clean)


def test_documents_that_versions_before_wrote_are_merged(tmp_path: Path) -> None:
    """One data set a line or all on one: the tree comes out as from one build."""
    half = [write(tmp_path / "half", f"{number}.dcm", image(number)) for number in (2, 4)]
    rest = [
        write(tmp_path / "rest", "1.dcm", image(1)),
        write(tmp_path / "rest", "5.dcm", image(5, SeriesInstanceUID=f"{SERIES}.5", SeriesNumber=0)),
    ]
    store = MemoryStore()
    publish(store, *half)
    for key, data in objects(store).items():
        if parse_key(key).kind in LINES and not parse_key(key).instance:
            assert data == encode_list(json.loads(data)), key
            store.put(key, dumps(json.loads(data)))
    publish(store, *rest)
    clean = MemoryStore()
    publish(clean, *half, *rest)
    assert objects(store) == objects(clean)


def test_values_with_line_feeds_and_brackets_stay_in_their_line(tmp_path: Path) -> None:
    """Of text, of private elements, and of what has bulk data beside it."""
    words = '},\n{"0020000D":\r\n"BulkDataURI":"x",\n{'
    sources = []
    for number in (1, 2, 3):
        dataset = image(number, ImageComments=f"{words}{number}")
        dataset.add_new(0x00420011, "OB", bytes(2000 + number))
        sources.append(write(tmp_path, f"{number}.dcm", dataset))
    store, clean = MemoryStore(), MemoryStore()
    publish(store, sources[1])
    publish(store, sources[0], sources[2])
    publish(clean, *sources)
    assert objects(store) == objects(clean)
    for key, prefix in ((f"{STUDIES}/{STUDY}/metadata", f"series/{SERIES}/"), (f"{SERIES_KEY}/metadata", "")):
        lines = objects(store)[key].split(b"\n")
        assert len(lines) == len(sources)
        for number, line in enumerate(lines, 1):
            dataset = json.loads(line.strip(b"[],"))
            assert dataset["00204000"]["Value"] == [f"{words}{number}"]
            assert dataset["00420011"]["BulkDataURI"] == f"{prefix}instances/{instance_uid(number)}/bulkdata/00420011"


DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "cut short": lambda data: data[:-40],
    "a line that is no JSON": lambda data: data.replace(b",\n{", b',\n{"x', 1),
    "a line without its study": lambda data: data[::-1].replace(b"D0000200", b"E0000200", 1)[::-1],
    "a line of another study": lambda data: data.replace(f'"{STUDY}"'.encode(), f'"{STUDY}9"'.encode(), 1),
    "a line that is a number": lambda data: data.replace(b",\n{", b",\n5,\n{", 1),
    "an empty line": lambda data: data.replace(b",\n{", b",\n,\n{", 1),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=list(DAMAGES))
@pytest.mark.parametrize("key", ["series", "study"])
def test_a_document_with_one_damaged_line_is_made_anew(
    tmp_path: Path, damage: Callable[[bytes], bytes], key: str
) -> None:
    sources = [write(tmp_path, f"{number}.dcm", image(number)) for number in (1, 2, 3, 4, 5)]
    store, clean = MemoryStore(), MemoryStore()
    publish(store, *sources[:4])
    document = f"{SERIES_KEY}/metadata" if key == "series" else f"{STUDIES}/{STUDY}/metadata"
    before = objects(store)[document]
    assert damage(before) != before
    store.put(document, damage(before))
    publish(store, sources[4])
    publish(clean, *sources)
    assert objects(store) == objects(clean)
