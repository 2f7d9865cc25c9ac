"""The list `studies` as bytes: merged record by record, so that it may be long without being parsed.

A line holds a record; records are sorted by Study Instance UID. A list of another form is parsed, and so is one that is
small: that finds damage which a look at its lines does not. Records of other versions stay in it, without the values
that clients cannot read.
"""

from __future__ import annotations

import re
from bisect import insort
from collections.abc import Callable, Mapping
from typing import Final

from stillframe.archive.entries import BETWEEN
from stillframe.archive.qido import readable_study, uid_order
from stillframe.dicom.json_model import STUDY_UID, dumps, parse_datasets, text_value
from stillframe.dicom.uids import is_uid

_UID_START: Final = f'"{STUDY_UID}":{{"vr":"UI","Value":["'.encode("ascii")
_PARSED_BYTES: Final = 4 << 20
_LONGEST_UID: Final = 64
# Nulls, and names that are no objects: what a line may hold that clients cannot read.
_SUSPECT: Final = re.compile(rb'[\[,:]null\b|"vr":"PN","Value":\[[^{]')


def merge_study_list(
    data: bytes | None,
    records: Mapping[str, bytes | None],
    recover: Callable[[], Mapping[str, bytes | None]] = dict,
) -> bytes:
    """The list with the records of some studies put in, or taken out where they are None.

    Args:
        data: the list as it is, None if there is none.
        records: by Study Instance UID, each as `dumps` writes it: a job may have a hundred thousand studies.
        recover: makes the records of all studies, in place of a list that is damaged.
    """
    lines = {} if data is None else _read_lines(data)
    if lines is None:
        lines, records = {}, recover()
    order = list(lines)
    for study, record in records.items():
        if record is None:
            lines.pop(study, None)
            continue
        if study not in lines:
            insort(order, study, key=uid_order)
        lines[study] = record
    return b"[" + BETWEEN.join(lines[study] for study in order if study in lines) + b"]"


def listed_studies(data: bytes) -> set[str]:
    """The studies that have a record in a list; none if it is damaged."""
    return set(_read_lines(data) or ())


def _read_lines(data: bytes) -> dict[str, bytes] | None:
    """The records of a list by their studies, in its order; None if it is damaged."""
    if len(data) <= _PARSED_BYTES or _SUSPECT.search(data):
        return _parse_lines(data)
    lines = {}
    if data[:1] == b"[" and data[-1:] == b"]":
        for line in data[1:-1].split(BETWEEN):
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
    records = list(map(readable_study, datasets))
    lines = {text_value(record, STUDY_UID): dumps(record) for record in records}
    return {study: lines[study] for study in sorted(lines, key=uid_order)} if all(map(is_uid, lines)) else None
