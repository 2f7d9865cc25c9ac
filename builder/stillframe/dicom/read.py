"""Reading one DICOM instance: its header whole, its pixel data only by offset and length.

The elements before and behind the pixel data are one data set, in whatever order they are. Half a data set is refused;
behind complete pixel data, what can be no element ends it.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final

from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.tag import BaseTag

from stillframe.dicom.data_set import DataSetReader, Failure
from stillframe.dicom.encapsulated import Fragments, read_fragments
from stillframe.dicom.files import ReadableFile
from stillframe.dicom.header import PlanStop
from stillframe.dicom.lenient import raw_text
from stillframe.dicom.opening import OpenDataSet, open_data_set
from stillframe.dicom.syntaxes import Family, transfer_syntax
from stillframe.dicom.uids import InstanceUIDs, check_uid
from stillframe.dicom.walk import LONG_VRS, UNDEFINED_LENGTH
from stillframe.errors import InputError
from stillframe.options import MAX_UNPACKED

PIXEL_TAGS: Final = {0x7FE00008: "FloatPixelData", 0x7FE00009: "DoubleFloatPixelData", 0x7FE00010: "PixelData"}

_SOP_CLASS: Final = BaseTag(0x00080016)
_UIDS: Final = {0x0020000D: "StudyInstanceUID", 0x0020000E: "SeriesInstanceUID", 0x00080018: "SOPInstanceUID"}
# What says which object this is, whose, and what its pixels are (PS3.3 C.7.6.3): two different values are a riddle.
_DECISIVE: Final = {
    **_UIDS,
    0x00080016: "SOPClassUID",
    0x00100020: "PatientID",
    0x00280002: "SamplesPerPixel",
    0x00280004: "PhotometricInterpretation",
    0x00280006: "PlanarConfiguration",
    0x00280008: "NumberOfFrames",
    0x00280010: "Rows",
    0x00280011: "Columns",
    0x00280100: "BitsAllocated",
    0x00280101: "BitsStored",
    0x00280102: "HighBit",
    0x00280103: "PixelRepresentation",
    0x7FE00001: "ExtendedOffsetTable",
    0x7FE00002: "ExtendedOffsetTableLengths",
}


@dataclass(frozen=True, slots=True)
class PixelElement:
    """Where the pixel data are in the file: `length` is None when they are encapsulated (undefined length)."""

    keyword: str
    vr: str
    offset: int
    length: int | None


@dataclass(slots=True, kw_only=True)
class Instance:
    """One opened instance. `file` holds the uncompressed data set and is the caller's to close.

    `transfer_syntax` is what the meta header names, or, if that is not so or `named` is false, the native one that the
    elements are written in. `fragments` are those of encapsulated pixel data. `former_uids` are UIDs by what they stand
    for (`assign_uids`). `notes` tell what the file contradicts itself in.
    """

    dataset: Dataset
    transfer_syntax: str
    file: ReadableFile
    size: int
    pixels: PixelElement | None
    fragments: Fragments | None = None
    named: bool = True
    former_uids: dict[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def uids(self) -> InstanceUIDs:
        """Study, Series and SOP Instance UID, each fit to be part of a key.

        Raises:
            InvalidUID: naming the attribute that is missing or malformed.
        """
        return InstanceUIDs(*(check_uid(raw_text(self.dataset, tag), name) for tag, name in _UIDS.items()))


def read_scan(file: ReadableFile, max_unpacked: int = MAX_UNPACKED) -> Dataset:
    """The elements that a plan is made of, up to the Series and Study UIDs; all where these are not in their place.

    Raises:
        InputError: if the file cannot be parsed that far.
    """
    stop = PlanStop()
    opened = open_data_set(file, max_unpacked)
    try:
        reader = DataSetReader(opened.file, opened.encoding)
        failure = reader.read(lambda tag: stop(tag) or tag in PIXEL_TAGS)
        if not stop.reached:
            _read_rest(reader, failure, opened)
            _check_repeated(reader)
        return reader.dataset
    finally:
        if opened.file is not file:
            opened.file.close()


def read_instance(file: ReadableFile, max_unpacked: int = MAX_UNPACKED) -> Instance:
    """Read everything but the value of the pixel data.

    A deflated data set is inflated into a temporary file first, which then stands in for `file`; it may have at most
    `max_unpacked` bytes.

    Raises:
        InputError: if the file is truncated or cannot be parsed; the message says where.
    """
    opened = open_data_set(file, max_unpacked)
    with _closed_on_error(opened.file, file):
        reader = DataSetReader(opened.file, opened.encoding)
        rest = _read_rest(reader, reader.read(PIXEL_TAGS.__contains__), opened)
        notes = [*opened.notes, *rest.notes, *_check_repeated(reader), *_complete(reader, opened.sop_class)]
    return Instance(
        dataset=reader.dataset,
        transfer_syntax=opened.transfer_syntax,
        file=opened.file,
        size=reader.size,
        pixels=rest.pixels,
        fragments=rest.fragments,
        named=opened.named,
        notes=tuple(notes),
    )


@contextmanager
def _closed_on_error(body: ReadableFile, file: ReadableFile) -> Iterator[None]:
    """Close an inflated copy of `file` if the block fails, since nobody else will."""
    try:
        yield
    except BaseException:
        if body is not file:
            body.close()
        raise


@dataclass(frozen=True, slots=True)
class _Rest:
    """The pixel data, and what the owner should know of them and of what is behind them."""

    pixels: PixelElement | None = None
    fragments: Fragments | None = None
    notes: tuple[str, ...] = ()


def _read_rest(reader: DataSetReader, failure: Failure | None, opened: OpenDataSet) -> _Rest:
    """Read on from the first pixel data element, or from the end, to the end; `failure` is what came in between.

    Raises:
        InputError: if the data set is not whole.
    """
    if failure is not None:
        raise InputError(str(failure))
    if reader.stopped is None:
        if not reader.elements:
            raise InputError("holds no elements")
        return _Rest()
    pixels = _read_pixel_element(reader, PIXEL_TAGS[reader.stopped])
    fragments = None
    end = pixels.offset + (pixels.length or 0)
    note = ""
    if pixels.length is None:
        syntax = transfer_syntax(opened.transfer_syntax)
        if not syntax.has_frames and syntax.family is not Family.VIDEO:
            return _Rest(pixels)
        fragments = read_fragments(reader.file, pixels.offset, reader.size)
        end = fragments.end
        note = fragments.note
    reader.file.seek(end)
    behind = _read_behind(reader, complete=not note)
    return _Rest(pixels, fragments, tuple(filter(None, (note, behind))))


def _read_behind(reader: DataSetReader, *, complete: bool) -> str:
    """Read what is behind the pixel data; a note on what is none of the data set, if anything.

    Raises:
        InputError: if there are pixel data once more, the file ends there before its UIDs, or something is no element
            behind pixel data of which nothing says that they are `complete`.
    """
    failure = reader.read(PIXEL_TAGS.__contains__, strict=True)
    if reader.stopped is not None:
        raise InputError(
            f"holds pixel data twice: {PIXEL_TAGS[reader.stopped]} {BaseTag(reader.stopped)}"
            f" at offset {reader.file.tell()} is behind others"
        )
    if failure is None:
        return ""
    if not complete:
        raise InputError(f"the pixel data have no sequence delimiter, and what follows is no data set: {failure.text}")
    if failure.cut and any(tag not in reader.elements for tag in _UIDS):
        raise InputError(str(failure))
    if failure.cut:
        return f"behind its pixel data, the file {failure.text}; that is not published"
    count = reader.size - failure.offset
    return f"{count} bytes behind the pixel data, from offset {failure.offset} on, are no elements; not published"


def _read_pixel_element(reader: DataSetReader, keyword: str) -> PixelElement:
    """The head of the pixel data element at the file's offset."""
    file, size = reader.file, reader.size
    head = file.read(12)
    order = "<" if reader.encoding.little else ">"
    offset = file.tell() - len(head) + 8
    vr = head[4:6]
    if reader.encoding.implicit:
        vr, length = b"OW", struct.unpack(f"{order}L", head[4:8])[0]
    elif vr not in LONG_VRS:
        raise InputError(f"cannot be parsed as DICOM: the pixel data have the VR {vr.decode('latin-1')!r}")
    elif len(head) < 12:
        raise InputError("truncated: ends inside the head of the pixel data")
    else:
        length, offset = struct.unpack(f"{order}L", head[8:12])[0], offset + 4
    if length == UNDEFINED_LENGTH:
        return PixelElement(keyword, vr.decode(), offset, None)
    if offset + length > size:
        raise InputError(f"truncated: {keyword} promises {length} bytes, {size - offset} are there")
    return PixelElement(keyword, vr.decode(), offset, length)


def _check_repeated(reader: DataSetReader) -> list[str]:
    """Notes on elements that are there twice with different values.

    Raises:
        InputError: if one says which object this is, or what its pixels are.
    """
    for tag in sorted(reader.repeated):
        if tag in _DECISIVE:
            raise InputError(f"{_DECISIVE[tag]} {tag} is there twice, with different values")
    return [
        f"{tag} is there more than once, with different values; the last one counts" for tag in sorted(reader.repeated)
    ]


def _complete(reader: DataSetReader, sop_class: str) -> list[str]:
    """Take the SOP Class UID from the meta header if the data set has none (PS3.10 7.1); a note that says so."""
    held = reader.elements.get(_SOP_CLASS)
    if not sop_class or (held is not None and held.value):
        return []
    value = sop_class.encode("latin-1")
    reader.elements[_SOP_CLASS] = RawDataElement(_SOP_CLASS, "UI", len(value), value, 0, *reader.encoding)
    return [f"SOPClassUID {_SOP_CLASS} is missing; it is that of the meta header (0002,0002)"]
