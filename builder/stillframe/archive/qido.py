"""Query results (QIDO-RS, PS3.18 10.6) as pure functions of the published metadata.

Every list depends only on the set of instances it is made of, never on the order in which they were built.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from itertools import chain, groupby
from typing import Any, Final

from stillframe.archive.readable_values import readable_element
from stillframe.dicom.json_model import SERIES_UID, SOP_INSTANCE_UID, STUDY_UID, JSONDataset, text_value
from stillframe.layout import STUDIES, instances_key, study_series_key

MODALITY: Final = "00080060"
SERIES_NUMBER: Final = "00200011"
INSTANCE_NUMBER: Final = "00200013"
RETRIEVE_URL: Final = "00081190"

# Attributes every record of a level carries, with or without a value, and their VR: those that PS3.18 tables 10.6.3-3,
# -4 and -5 require without a condition, beside the counted ones, and the UIDs of the levels above.
_STUDY_REQUIRED: Final = {
    "00080020": "DA",  # Study Date
    "00080030": "TM",  # Study Time
    "00080050": "SH",  # Accession Number
    "00080090": "PN",  # Referring Physician's Name
    "00100010": "PN",  # Patient's Name
    "00100020": "LO",  # Patient ID
    "00100030": "DA",  # Patient's Birth Date
    "00100040": "CS",  # Patient's Sex
    STUDY_UID: "UI",
    "00200010": "SH",  # Study ID
}
_SERIES_REQUIRED: Final = {MODALITY: "CS", STUDY_UID: "UI", SERIES_UID: "UI", SERIES_NUMBER: "IS"}
_INSTANCE_REQUIRED: Final = {
    "00080016": "UI",  # SOP Class UID
    SOP_INSTANCE_UID: "UI",
    MODALITY: "CS",
    STUDY_UID: "UI",
    SERIES_UID: "UI",
    INSTANCE_NUMBER: "IS",
}
# Attributes a record carries where the instances have a value: the conditional ones of the same tables, and a few
# that viewers show or sort by.
_STUDY_KNOWN: Final = {
    "00080201": "SH",  # Timezone Offset From UTC
    "00081030": "LO",  # Study Description
}
_SERIES_KNOWN: Final = {
    "00080021": "DA",  # Series Date
    "00080031": "TM",  # Series Time
    "00080201": "SH",  # Timezone Offset From UTC
    "0008103E": "LO",  # Series Description
    "00180015": "CS",  # Body Part Examined
    "00400244": "DA",  # Performed Procedure Step Start Date
    "00400245": "TM",  # Performed Procedure Step Start Time
}
_INSTANCE_KNOWN: Final = {
    "00080008": "CS",  # Image Type
    "00080201": "SH",  # Timezone Offset From UTC
    "00083002": "UI",  # Available Transfer Syntax UID
    "00280008": "IS",  # Number of Frames
    "00280010": "US",  # Rows
    "00280011": "US",  # Columns
    "00280100": "US",  # Bits Allocated
}
# Attributes that follow from the others, or are the same in every record.
_CHARACTER_SET: Final = "00080005"
_AVAILABILITY: Final = "00080056"
_MODALITIES: Final = "00080061"
_SERIES_COUNT: Final = "00201206"
_INSTANCE_COUNT: Final = "00201208"
_SERIES_INSTANCE_COUNT: Final = "00201209"
_STUDY_VRS: Final = (
    _STUDY_REQUIRED
    | _STUDY_KNOWN
    | {
        _CHARACTER_SET: "CS",
        _AVAILABILITY: "CS",
        _MODALITIES: "CS",
        RETRIEVE_URL: "UR",
        _SERIES_COUNT: "IS",
        _INSTANCE_COUNT: "IS",
    }
)
_SEVERAL: Final = frozenset({"00080008", "00083002", _MODALITIES})  # of a multiplicity above 1 (PS3.6 6)
_REQUEST_ATTRIBUTES: Final = "00400275"
_REQUEST_IDS: Final = {"00400009": "SH", "00401001": "SH"}  # Scheduled Procedure Step ID, Requested Procedure ID

LISTED: Final = frozenset(
    _STUDY_REQUIRED | _SERIES_REQUIRED | _INSTANCE_REQUIRED | _STUDY_KNOWN | _SERIES_KNOWN | _INSTANCE_KNOWN
) | {_REQUEST_ATTRIBUTES}
"""The attributes of an instance that these lists are made of."""

_EXACT: Final = 1 << 53  # up to here a double holds every integer

type _UIDOrder = tuple[tuple[int, str], ...]


def sort_instances(metadata: Iterable[JSONDataset]) -> list[JSONDataset]:
    """Series by number, then UID; in each its instances by number, then UID; what has no number comes last.

    Where the instances of a series disagree, its lowest number counts. Components of UIDs compare as numbers.
    """
    grouped: dict[str, list[JSONDataset]] = {}
    numbers: dict[str, float] = {}
    for instance in metadata:
        series = text_value(instance, SERIES_UID)
        grouped.setdefault(series, []).append(instance)
        numbers[series] = min(numbers.get(series, math.inf), _number(instance, SERIES_NUMBER))

    def order(instance: JSONDataset) -> tuple[float, _UIDOrder]:
        return _number(instance, INSTANCE_NUMBER), uid_order(text_value(instance, SOP_INSTANCE_UID))

    ordered = sorted(grouped, key=lambda series: (numbers[series], uid_order(series)))
    return [instance for series in ordered for instance in sorted(grouped[series], key=order)]


def _number(instance: JSONDataset, tag: str) -> float:
    """A number to sort by; infinity for none."""
    element = instance.get(tag)
    if element is None:
        return math.inf
    match element:
        case {"vr": "IS", "Value": [int(number)]} if type(number) is int and abs(number) < _EXACT:
            return float(number)  # as nearly all are
    readable = readable_element(element, "IS")
    return math.inf if readable is None else float(readable["Value"][0])


def uid_order(uid: str) -> _UIDOrder:
    """What sorts UIDs as lists have them: components compare as numbers."""
    return tuple([(len(component), component) for component in uid.split(".")])


def merge_instances(existing: Iterable[JSONDataset], new: Iterable[JSONDataset]) -> list[JSONDataset]:
    """The union by Series and SOP Instance UID, sorted as by `sort_instances`; the new one of two stays.

    Hostile files may repeat a SOP Instance UID in another series.
    """
    merged = {
        (text_value(instance, SERIES_UID), text_value(instance, SOP_INSTANCE_UID)): instance
        for instance in chain(existing, new)
    }
    return sort_instances(merged.values())


def _retrieve_url(document: str, resource: str, base_url: str) -> str:
    """The URL of a resource as a document names it: absolute under `base_url`, or relative to the document (RFC 3986).

    Both are named by their keys; the resource is below the folder of the document.
    """
    if base_url:
        return f"{base_url.rstrip('/')}/{resource}"
    return resource.removeprefix(document[: document.rfind("/") + 1])


def base_url_of(records: Iterable[JSONDataset]) -> str:
    """The URL of the service root that some records were made with; empty if their URLs are relative."""
    for record in records:
        base, _, _ = text_value(record, RETRIEVE_URL).rpartition(f"/{STUDIES}/")
        return base if "://" in base else ""
    return ""


def study_record(metadata: Iterable[JSONDataset], base_url: str = "") -> JSONDataset | None:
    """The record of a study (PS3.18 table 10.6.3-3) in the document `studies`; None if the study has no instance.

    Args:
        metadata: of every instance of the study.
        base_url: URL of the service root; without it RetrieveURL is relative to the document.
    """
    instances = sort_instances(metadata)
    if not instances:
        return None
    elements = (readable_element(instance.get(MODALITY, {}), "CS") for instance in instances)
    modalities = sorted({element["Value"][0] for element in elements if element})
    series = {text_value(instance, SERIES_UID) for instance in instances}
    counted = {
        _SERIES_COUNT: _element("IS", len(series)),
        _INSTANCE_COUNT: _element("IS", len(instances)),
    }
    if modalities:
        # Left out rather than empty where no series has one: OHIF's study list fails as a whole on an empty one.
        counted[_MODALITIES] = _element("CS", *modalities)
    url = _retrieve_url(STUDIES, f"{STUDIES}/{text_value(instances[0], STUDY_UID)}", base_url)
    return _record(instances, _STUDY_REQUIRED, _STUDY_KNOWN, url, counted)


def series_list(metadata: Iterable[JSONDataset], base_url: str = "") -> list[JSONDataset]:
    """The document `studies/{S}/series` (PS3.18 table 10.6.3-4); arguments as for `study_record`."""
    records = []
    for series, grouped in groupby(sort_instances(metadata), lambda instance: text_value(instance, SERIES_UID)):
        instances = list(grouped)
        document = study_series_key(text_value(instances[0], STUDY_UID))
        own = {_SERIES_INSTANCE_COUNT: _element("IS", len(instances))}
        requests = next(filter(None, map(_requests, instances)), None)
        if requests:
            own[_REQUEST_ATTRIBUTES] = _element("SQ", *requests)
        url = _retrieve_url(document, f"{document}/{series}", base_url)
        records.append(_record(instances, _SERIES_REQUIRED, _SERIES_KNOWN, url, own))
    return records


def instance_list(metadata: Iterable[JSONDataset], base_url: str = "", *, of_series: bool = False) -> list[JSONDataset]:
    """The document `studies/{S}/instances`, or with `of_series` `studies/{S}/series/{R}/instances` (table 10.6.3-5).

    Arguments as for `study_record`; `metadata` are those of every instance of the study, or of the series.
    """
    records = []
    for instance in sort_instances(metadata):
        study, series = text_value(instance, STUDY_UID), text_value(instance, SERIES_UID)
        resource = f"{instances_key(study, series)}/{text_value(instance, SOP_INSTANCE_UID)}"
        url = _retrieve_url(instances_key(study, series if of_series else ""), resource, base_url)
        records.append(_record([instance], _INSTANCE_REQUIRED, _INSTANCE_KNOWN, url, {}))
    return records


def _record(
    instances: Sequence[JSONDataset],
    required: dict[str, str],
    known: dict[str, str],
    retrieve_url: str,
    own: JSONDataset,
) -> JSONDataset:
    """What the records of all levels share, and the level's `own`; a value is of the first instance that has one."""
    record: JSONDataset = {
        _CHARACTER_SET: _element("CS", "ISO_IR 192"),
        _AVAILABILITY: _element("CS", "ONLINE"),
        RETRIEVE_URL: _element("UR", retrieve_url),
    }
    for tag, vr in required.items():
        record[tag] = _known_element(instances, tag, vr) or {"vr": vr}
    for tag, vr in known.items():
        element = _known_element(instances, tag, vr)
        if element:
            record[tag] = element
    return dict(sorted((record | own).items()))


def _known_element(instances: Iterable[JSONDataset], tag: str, vr: str) -> dict[str, Any] | None:
    """The attribute of the first instance of which clients can read a value."""
    several = tag in _SEVERAL
    for instance in instances:
        element = instance.get(tag)
        readable = None if element is None else readable_element(element, vr, several=several)
        if readable:
            return readable
    return None


def _requests(instance: JSONDataset) -> list[JSONDataset]:
    """What the items of Request Attributes Sequence name, as far as clients can read it."""
    element = instance.get(_REQUEST_ATTRIBUTES, {})
    items = [item for item in element.get("Value", ()) if isinstance(item, dict)] if element.get("vr") == "SQ" else []
    named = ({tag: _known_element([item], tag, vr) for tag, vr in _REQUEST_IDS.items()} for item in items)
    return [{tag: found for tag, found in item.items() if found} for item in named if any(item.values())]


def readable_study(record: JSONDataset) -> JSONDataset:
    """A record of a study without what clients cannot read, whoever wrote it; one of `study_record` stays the same."""
    vrs: dict[str, str] = {tag: _STUDY_VRS.get(tag) or element["vr"] for tag, element in record.items()}
    known = {tag: _known_element([record], tag, vr) or {"vr": vr} for tag, vr in vrs.items()}
    return {tag: element for tag, element in sorted(known.items()) if "Value" in element or tag in _STUDY_REQUIRED}


def _element(vr: str, *values: Any) -> dict[str, Any]:
    return {"vr": vr, "Value": list(values)}
