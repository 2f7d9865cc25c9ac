"""Reads from one input what planning needs: its UIDs and its patient. Plain files need no DICOM library for that."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Iterator
from functools import partial
from typing import Final

from stillframe.dicom.assigned_uids import assigned_uid, uid_of_content
from stillframe.dicom.header import is_dicom, read_plain
from stillframe.dicom.text import PN_DELIMITERS, decode_text, parse_charset
from stillframe.dicom.uids import InstanceUIDs, check_uid
from stillframe.digests import SHA256
from stillframe.errors import FailedJob, InputError
from stillframe.options import MAX_UNPACKED
from stillframe.parallel import map_ahead
from stillframe.source.changes import has_changed, reason_of_input
from stillframe.source.inputs import CHANGED, Header, InputRef, Rejected, Skipped
from stillframe.source.open import open_input, read_head, source_digest
from stillframe.store.s3_client import PARALLEL

_HEAD_BYTES: Final = 1 << 13
_CHARACTER_SET: Final = 0x00080005
_SOP_INSTANCE_UID: Final = 0x00080018
_PATIENT_NAME: Final = 0x00100010
_PATIENT_ID: Final = 0x00100020
_STUDY_UID: Final = 0x0020000D
_SERIES_UID: Final = 0x0020000E

A_DICOMDIR: Final = "a DICOMDIR, which lists instances and is none"

# First bytes of archives that this package does not read. A tar file is known by the end of its first header.
_ARCHIVES: Final = {
    b"\x1f\x8b": "gzip",
    b"BZh": "bzip2",
    b"\xfd7zXZ\0": "xz",
    b"\x28\xb5\x2f\xfd": "Zstandard",
    b"7z\xbc\xaf\x27\x1c": "7z",
    b"Rar!\x1a\x07": "RAR",
    b"PK\x03\x04": "zip, without .zip in its name",
}
_TAR: Final = slice(257, 262)

type Scanned = Header | Rejected | Skipped

# Returns the text value of a tag as it stands in the file, without padding; empty if absent.
type _Text = Callable[[int], bytes]


def scan_plain(source: InputRef, *, assign_uids: bool = False) -> Scanned | None:
    """What planning needs of an input; None if only the full parser (`scan_input`) can tell.

    With `assign_uids` what is no UID counts as the one that is published in its place.

    Raises:
        StoreError: if the store of the input fails.
    """
    try:
        head = read_head(source, _HEAD_BYTES)
        scanned = _scan_head(source, head, assign_uids=assign_uids)
    except (FailedJob, MemoryError):
        raise
    except Exception as error:
        return Rejected.of(source, reason_of_input(source, error))
    # Other files, logs say, may grow. What is not written yet begins with nothing or with zeros.
    if has_changed(source) and (not any(head) or not isinstance(scanned, Skipped)):
        return Rejected.of(source, CHANGED)
    return scanned


def _scan_head(source: InputRef, head: bytes, *, assign_uids: bool) -> Scanned | None:
    if not is_dicom(head):
        return _not_dicom(source, head)
    plain = read_plain(head)
    return None if plain is None else _header(source, plain.text, assign_uids=assign_uids)


def scan_heads(sources: Iterable[InputRef], *, assign_uids: bool = False) -> Iterator[Scanned | None]:
    """As `scan_plain` for each input, in their order.

    Heads of objects are read side by side, so that a scan does not wait for one answer after another.

    Raises:
        StoreError: if a store of inputs fails.
    """
    scan = partial(scan_plain, assign_uids=assign_uids)
    return map_ahead(scan, sources, PARALLEL, window=2 * PARALLEL, apart=lambda source: source.remote is not None)


def scan_input(source: InputRef, max_unpacked: int = MAX_UNPACKED, *, assign_uids: bool = False) -> Scanned:
    """As `scan_plain`, for every file."""
    if scanned := scan_plain(source, assign_uids=assign_uids):
        return scanned
    from stillframe.dicom.dicomdir import referenced_files
    from stillframe.dicom.lenient import raw_text
    from stillframe.dicom.read import read_scan

    try:
        with open_input(source) as file:
            dataset = read_scan(file, max_unpacked)
        if "DirectoryRecordSequence" in dataset:
            return Skipped(str(source), A_DICOMDIR, files=referenced_files(dataset))
        scanned = _header(source, lambda tag: raw_text(dataset, tag).encode("latin-1"), assign_uids=assign_uids)
    except (FailedJob, MemoryError):
        raise
    except Exception as error:
        return Rejected.of(source, reason_of_input(source, error))
    return Rejected.of(source, CHANGED) if has_changed(source) else scanned


def _not_dicom(source: InputRef, head: bytes) -> Rejected | Skipped:
    """Why a file is passed over. An archive that is not read is worth a note, since it may hold DICOM."""
    if source.path.lower().endswith(".zip") and source.entry is None:
        return Rejected.of(source, "cannot be read as a zip archive")
    kind = next((name for magic, name in _ARCHIVES.items() if head.startswith(magic)), "")
    if head[_TAR] == b"ustar":
        kind = "tar"
    if kind:
        return Skipped(str(source), f"an archive of a kind that is not read ({kind})", noteworthy=True)
    return Skipped(str(source), "not DICOM")


def _header(source: InputRef, text: _Text, *, assign_uids: bool) -> Header | Rejected:
    study, series, instance = (text(tag).decode("latin-1") for tag in (_STUDY_UID, _SERIES_UID, _SOP_INSTANCE_UID))
    assignable = bool(study and series)  # nothing says what belongs together, if one is missing
    if assign_uids and assignable:
        study, series, instance = map(assigned_uid, (study, series, instance))
        digest = "" if instance else source_digest(source, SHA256)
        instance = uid_of_content(digest) if digest else instance
    try:
        uids = InstanceUIDs(
            check_uid(study, "StudyInstanceUID"),
            check_uid(series, "SeriesInstanceUID"),
            check_uid(instance, "SOPInstanceUID"),
        )
    except InputError as error:
        reason = f"{error} (--assign-uids publishes it)" if assignable and not assign_uids else str(error)
        return Rejected(path=str(source), reason=reason, study=study[:80], series=series[:80], instance=instance[:80])
    charset, _ = parse_charset(text(_CHARACTER_SET))
    patient_id = decode_text(text(_PATIENT_ID), charset)[0]
    patient_name = decode_text(text(_PATIENT_NAME), charset, PN_DELIMITERS)[0]
    return Header(source, uids, patient_id.strip(), patient_name.strip())


def with_missing_told(directory: Skipped, present: Collection[str]) -> Skipped:
    """The DICOMDIR, telling how many of the files it names are not among those `present`, in lower case."""
    folder = re.split("[^/!]*$", directory.path, maxsplit=1)[0]
    missing = sum(f"{folder}{name}".lower() not in present for name in directory.files)
    if not missing:
        return directory
    reason = f"{directory.reason}; {missing} of the {len(directory.files)} files it names are not among the sources"
    return Skipped(directory.path, reason, noteworthy=True)
