"""What planning needs of one input: its UIDs and its patient. Plain files are read without a DICOM library."""

from __future__ import annotations

from collections.abc import Callable
from typing import BinaryIO, Final

from builder.errors import InputError
from builder.layout import InstanceUIDs, check_uid
from builder.model import Header, InputRef, Rejected, Skipped
from builder.plain import STOP_SCAN, is_dicom, read_plain
from builder.source import open_input
from builder.text import PN_DELIMITERS, decode_text, parse_charset

_SNIFF_BYTES: Final = 256
_HEAD_BYTES: Final = 1 << 13
_FILE_SET_ID: Final = 0x00041130
_CHARACTER_SET: Final = 0x00080005
_SOP_INSTANCE_UID: Final = 0x00080018
_PATIENT_NAME: Final = 0x00100010
_PATIENT_ID: Final = 0x00100020
_STUDY_UID: Final = 0x0020000D
_SERIES_UID: Final = 0x0020000E

type Scanned = Header | Rejected | Skipped

# A text value of the header as it stands in the file, without padding; empty if absent.
type _Text = Callable[[int], bytes]


class NotPlain(Exception):
    """Raised where a file needs the full parser."""


def scan_plain(source: InputRef) -> Scanned:
    """What planning needs of an input.

    Raises:
        NotPlain: if only `scan_input` can tell.
    """
    return _scan(source, _plain_text)


def scan_input(source: InputRef) -> Scanned:
    """As `scan_plain`, for every file."""
    return _scan(source, _parsed_text)


def _scan(source: InputRef, read: Callable[[BinaryIO], _Text]) -> Scanned:
    try:
        with open_input(source) as file:
            if not is_dicom(file.read(_SNIFF_BYTES)):
                return _not_dicom(source)
            text = read(file)
        if text(_FILE_SET_ID):
            return Skipped(str(source), "a DICOMDIR, which lists instances and is none")  # PS3.10 8
        return _header(source, text)
    except InputError as error:
        return Rejected(str(source), str(error))
    except OSError as error:
        return Rejected(str(source), f"cannot be read: {error.strerror or error}")


def _not_dicom(source: InputRef) -> Rejected | Skipped:
    """Nothing to say of a file that is not DICOM, but of an archive that could not be opened: it may hold some."""
    if source.path.lower().endswith(".zip") and not source.member:
        return Rejected(str(source), "cannot be read as a zip archive")
    return Skipped(str(source), "not DICOM")


def _plain_text(file: BinaryIO) -> _Text:
    file.seek(0)
    plain = read_plain(file.read(_HEAD_BYTES), lambda tag: tag >= STOP_SCAN)
    if plain is None:
        raise NotPlain
    return plain.text


def _parsed_text(file: BinaryIO) -> _Text:
    from builder.dataset import raw_text, read_scan

    dataset = read_scan(file)
    if "DirectoryRecordSequence" in dataset:
        return lambda tag: b"DICOMDIR" if tag == _FILE_SET_ID else b""
    return lambda tag: raw_text(dataset, tag).encode("latin-1")


def _header(source: InputRef, text: _Text) -> Header | Rejected:
    study, series, instance = (text(tag).decode("latin-1") for tag in (_STUDY_UID, _SERIES_UID, _SOP_INSTANCE_UID))
    try:
        uids = InstanceUIDs(
            check_uid(study, "StudyInstanceUID"),
            check_uid(series, "SeriesInstanceUID"),
            check_uid(instance, "SOPInstanceUID"),
        )
    except InputError as error:
        return Rejected(str(source), str(error), study[:80], series[:80], instance[:80])
    charset, _ = parse_charset(text(_CHARACTER_SET))
    patient_id = decode_text(text(_PATIENT_ID), charset)[0]
    patient_name = decode_text(text(_PATIENT_NAME), charset, PN_DELIMITERS)[0]
    return Header(source, uids, patient_id.strip(), patient_name.strip())
