"""Query results (QIDO-RS, PS3.18 10.6) as pure functions of the published metadata.

Every list depends only on the set of instances it is made of, never on the order in which they were built.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any, Final

from stillframe.dicom.json_model import (
    SERIES_UID,
    SOP_INSTANCE_UID,
    STUDY_UID,
    JSONDataset,
    first_value,
    text_value,
)
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
_REQUEST_ATTRIBUTES: Final = "00400275"
_REQUEST_IDS: Final = ("00400009", "00401001")  # Scheduled Procedure Step ID, Requested Procedure ID

type _UIDOrder = tuple[tuple[int, str], ...]


def sort_instances(metadata: Iterable[JSONDataset]) -> list[JSONDataset]:
    """Series by number, then UID; in each its instances by number, then UID; what has no number comes last.

    Where the instances of a series disagree, its lowest number counts. Components of UIDs compare as numbers.
    """
    instances = list(metadata)
    numbers: dict[str, float] = {}
    for instance in instances:
        series = text_value(instance, SERIES_UID)
        numbers[series] = min(numbers.get(series, math.inf), _number(instance, SERIES_NUMBER))

    def order(instance: JSONDataset) -> tuple[float, _UIDOrder, float, _UIDOrder]:
        series = text_value(instance, SERIES_UID)
        uid = text_value(instance, SOP_INSTANCE_UID)
        return numbers[series], uid_order(series), _number(instance, INSTANCE_NUMBER), uid_order(uid)

    return sorted(instances, key=order)


def _number(instance: JSONDataset, tag: str) -> float:
    """A number to sort by; infinity for none."""
    value = first_value(instance, tag)
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        return math.inf
    return number if math.isfinite(number) else math.inf


def uid_order(uid: str) -> _UIDOrder:
    """What sorts UIDs as lists have them: components compare as numbers."""
    return tuple((len(component), component) for component in uid.split("."))


def merge_instances(existing: Sequence[JSONDataset], new: Iterable[JSONDataset]) -> list[JSONDataset]:
    """The union by Series and SOP Instance UID, sorted as by `sort_instances`; the new one of two stays."""
    merged = {_place(instance): instance for instance in existing}
    merged |= {_place(instance): instance for instance in new}
    return sort_instances(merged.values())


def _place(instance: JSONDataset) -> tuple[str, str]:
    """What makes an instance one of its study: hostile files may repeat a SOP Instance UID in another series."""
    return text_value(instance, SERIES_UID), text_value(instance, SOP_INSTANCE_UID)


def merge_studies(existing: Iterable[JSONDataset], new: Iterable[JSONDataset]) -> list[JSONDataset]:
    """The union of study records by Study Instance UID, sorted by it; of two with the same UID the new one stays."""
    merged = {text_value(record, STUDY_UID): record for record in existing}
    merged |= {text_value(record, STUDY_UID): record for record in new}
    return [merged[uid] for uid in sorted(merged, key=uid_order)]


def resource_url(document: str, resource: str, base_url: str = "") -> str:
    """The URL of a resource as a document names it: absolute under `base_url`, or relative to the document (RFC 3986).

    Args:
        document: key of the document that holds the reference, such as `studies` or `studies/{S}/series`.
        resource: key of a resource below the document's folder; a trailing slash stays, so that `{instance}/` makes
            the prefix that `rebase_bulk` takes.
        base_url: URL of the service root.
    """
    if base_url:
        return f"{base_url.rstrip('/')}/{resource}"
    folder = document.rpartition("/")[0]
    return resource.removeprefix(f"{folder}/") if folder else resource


def base_url_of(records: Iterable[JSONDataset]) -> str:
    """The URL of the service root that some records were made with; empty if their URLs are relative."""
    for record in records:
        base, found, _ = text_value(record, RETRIEVE_URL).rpartition(f"/{STUDIES}/")
        return base if found and "://" in base else ""
    return ""


def study_record(metadata: Iterable[JSONDataset], retrieve_url: str) -> JSONDataset:
    """The record of a study (PS3.18 table 10.6.3-3) from the metadata of all its instances."""
    instances = sort_instances(metadata)
    modalities = sorted({text_value(instance, MODALITY) for instance in instances} - {""})
    series = {text_value(instance, SERIES_UID) for instance in instances}
    counted = {
        "00201206": _element("IS", len(series)),
        "00201208": _element("IS", len(instances)),
    }
    if modalities:
        # Left out rather than empty where no series has one: OHIF's study list fails as a whole on an empty one.
        counted["00080061"] = _element("CS", *modalities)
    return _sorted(_record(instances, _STUDY_REQUIRED, _STUDY_KNOWN, retrieve_url) | counted)


def series_record(metadata: Iterable[JSONDataset], retrieve_url: str) -> JSONDataset:
    """The record of a series (PS3.18 table 10.6.3-4) from the metadata of all its instances."""
    instances = sort_instances(metadata)
    record = _record(instances, _SERIES_REQUIRED, _SERIES_KNOWN, retrieve_url)
    record["00201209"] = _element("IS", len(instances))
    requests = _known_element(instances, _REQUEST_ATTRIBUTES, "SQ")
    if requests:
        items = [{tag: item[tag] for tag in _REQUEST_IDS if tag in item} for item in requests["Value"]]
        record[_REQUEST_ATTRIBUTES] = {"vr": "SQ", "Value": items}
    return _sorted(record)


def instance_record(metadata: JSONDataset, retrieve_url: str) -> JSONDataset:
    """The record of an instance (PS3.18 table 10.6.3-5)."""
    return _sorted(_record([metadata], _INSTANCE_REQUIRED, _INSTANCE_KNOWN, retrieve_url))


def study_list(metadata: Iterable[JSONDataset], base_url: str = "") -> list[JSONDataset]:
    """The document `studies`, from the metadata of every instance of any number of studies."""
    studies = _group(metadata, STUDY_UID)
    records = [
        study_record(instances, resource_url(STUDIES, f"{STUDIES}/{uid}", base_url))
        for uid, instances in studies.items()
    ]
    return merge_studies([], records)


def series_list(metadata: Iterable[JSONDataset], base_url: str = "") -> list[JSONDataset]:
    """The document `studies/{S}/series`, from the metadata of every instance of the study."""
    return [
        series_record(instances, _series_url(instances[0], uid, base_url))
        for uid, instances in _group(sort_instances(metadata), SERIES_UID).items()
    ]


def _series_url(instance: JSONDataset, series: str, base_url: str) -> str:
    document = study_series_key(text_value(instance, STUDY_UID))
    return resource_url(document, f"{document}/{series}", base_url)


def instance_list(metadata: Iterable[JSONDataset], base_url: str = "", *, of_series: bool = False) -> list[JSONDataset]:
    """The document `studies/{S}/instances`, or with `of_series` the document `studies/{S}/series/{R}/instances`.

    Args:
        metadata: of every instance of the study or of the series.
        base_url: URL of the service root; without it RetrieveURL is relative to the document.
        of_series: whether the document is the series' own.
    """
    records = []
    for instance in sort_instances(metadata):
        study, series = text_value(instance, STUDY_UID), text_value(instance, SERIES_UID)
        resource = f"{instances_key(study, series)}/{text_value(instance, SOP_INSTANCE_UID)}"
        document = instances_key(study, series if of_series else "")
        records.append(instance_record(instance, resource_url(document, resource, base_url)))
    return records


def _group(metadata: Iterable[JSONDataset], tag: str) -> dict[str, list[JSONDataset]]:
    groups: dict[str, list[JSONDataset]] = {}
    for instance in metadata:
        groups.setdefault(text_value(instance, tag), []).append(instance)
    return groups


def _record(
    instances: Sequence[JSONDataset], required: dict[str, str], known: dict[str, str], retrieve_url: str
) -> JSONDataset:
    """What the records of all levels share; a value comes from the first instance that has one."""
    record: JSONDataset = {
        "00080005": _element("CS", "ISO_IR 192"),
        "00080056": _element("CS", "ONLINE"),
        RETRIEVE_URL: _element("UR", retrieve_url),
    }
    for tag, vr in required.items():
        record[tag] = _known_element(instances, tag, vr) or {"vr": vr}
    for tag, vr in known.items():
        found = _known_element(instances, tag, vr)
        if found:
            record[tag] = found
    return record


def _known_element(instances: Sequence[JSONDataset], tag: str, vr: str) -> dict[str, Any] | None:
    """The attribute of the first instance that has a value for it, in line and of the VR that PS3.6 gives it."""
    elements = (instance[tag] for instance in instances if tag in instance)
    return next((element for element in elements if element["vr"] == vr and element.get("Value")), None)


def _element(vr: str, *values: Any) -> dict[str, Any]:
    return {"vr": vr, "Value": list(values)} if values else {"vr": vr}


def _sorted(record: JSONDataset) -> JSONDataset:
    return dict(sorted(record.items()))
