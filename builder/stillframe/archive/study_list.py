"""The list `studies` as bytes: merged record by record, so that it may be long without being parsed.

A line holds a record; records are sorted by Study Instance UID. A list of another form is parsed, and so is one that is
small: that finds damage which a look at its lines does not.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Mapping
from typing import Final

from stillframe.archive.query import uid_order
from stillframe.dicom.json_model import STUDY_UID, JSONDataset, dumps, parse_datasets, text_value
from stillframe.dicom.uids import check_uid
from stillframe.errors import InvalidUID

_BETWEEN: Final = b",\n"
_UID_START: Final = f'"{STUDY_UID}":{{"vr":"UI","Value":["'.encode("ascii")
_PARSED_BYTES: Final = 4 << 20
_LONGEST_UID: Final = 64


def merge_study_list(data: bytes | None, records: Mapping[str, JSONDataset | None]) -> bytes | None:
    """The list with the records of some studies put in, or taken out where they are None.

    Args:
        data: the list as it is, None if there is none.
        records: by Study Instance UID.

    Returns:
        The new list; None if the old one is damaged.
    """
    lines = _read_lines(data) if data is not None else {}
    if lines is None:
        return None
    order: list[str] | None = None
    for study, record in records.items():
        if record is None:
            lines.pop(study, None)
            continue
        line = dumps(record)
        if study not in lines and lines:
            if order is None:
                order = list(lines)
            order.insert(bisect_left(order, uid_order(study), key=uid_order), study)
        lines[study] = line
    if order is not None:
        lines = {study: lines[study] for study in order if study in lines}
    return b"[" + _BETWEEN.join(lines.values()) + b"]"


def make_study_list(records: Iterable[JSONDataset]) -> bytes:
    """The list of these studies."""
    found = {text_value(record, STUDY_UID): record for record in records}
    ordered = sorted(found, key=uid_order)
    return b"[" + _BETWEEN.join(dumps(found[study]) for study in ordered) + b"]"


def _read_lines(data: bytes) -> dict[str, bytes] | None:
    """The records of a list by their studies, in its order; None if it is damaged."""
    if len(data) <= _PARSED_BYTES:
        return _parse_lines(data)
    lines = {}
    if data[:1] == b"[" and data[-1:] == b"]":
        for line in data[1:-1].split(_BETWEEN):
            study = _study_of(line)
            if study is None:
                return _parse_lines(data)
            lines[study] = line
    return lines or _parse_lines(data)


def _study_of(line: bytes) -> str | None:
    """The study that a line is the record of; None if it is not just that."""
    start = line.find(_UID_START)
    if start < 0 or line[:1] != b"{" or line[-1:] != b"}" or line.count(_UID_START) > 1:
        return None
    start += len(_UID_START)
    end = line.find(b'"', start, start + _LONGEST_UID + 1)
    return line[start:end].decode("ascii", "replace") if end > 0 else None


def _parse_lines(data: bytes) -> dict[str, bytes] | None:
    datasets = parse_datasets(data)
    if datasets is None:
        return None
    found = {}
    for record in datasets:
        study = text_value(record, STUDY_UID)
        try:
            check_uid(study, "StudyInstanceUID")
        except InvalidUID:
            return None
        found[study] = dumps(record)
    return {study: found[study] for study in sorted(found, key=uid_order)}
