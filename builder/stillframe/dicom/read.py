"""Reading one DICOM instance: its header whole, its pixel data only by offset and length.

Well-formed elements are walked; pydicom parses the others. This module finds the pixel data, and refuses a file that
ends too early.
"""

from __future__ import annotations

import io
import struct
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final, cast

from pydicom.dataelem import DataElement, RawDataElement
from pydicom.dataset import Dataset
from pydicom.tag import BaseTag

from stillframe.dicom.encapsulated import Fragments, read_fragments
from stillframe.dicom.files import ReadableFile
from stillframe.dicom.header import PREAMBLE, STOP_SCAN, Stop, read_elements, read_growing, read_plain
from stillframe.dicom.lenient import Unreadable, one_line, pydicom_at_work, raw_element, read_odd
from stillframe.dicom.sequences import raw_dataset
from stillframe.dicom.syntaxes import EXPLICIT_BIG, EXPLICIT_LITTLE, IMPLICIT_LITTLE, transfer_syntax
from stillframe.dicom.uids import InstanceUIDs, check_uid
from stillframe.dicom.walk import LONG_VRS, UNDEFINED_LENGTH, VRS, Encoding, Walker
from stillframe.errors import InputError, StoreError
from stillframe.options import MAX_UNPACKED

PIXEL_TAGS: Final = {0x7FE00008: "FloatPixelData", 0x7FE00009: "DoubleFloatPixelData", 0x7FE00010: "PixelData"}

# What is read first of a file: enough for most headers up to the pixel data.
_PLAIN_HEAD: Final = 1 << 16
_TRANSFER_SYNTAX_UID: Final = 0x00020010


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

    `fragments` are those of encapsulated pixel data.
    """

    dataset: Dataset
    transfer_syntax: str
    file: ReadableFile
    size: int
    pixels: PixelElement | None
    fragments: Fragments | None = None

    @property
    def uids(self) -> InstanceUIDs:
        """Study, Series and SOP Instance UID, each fit to be part of a key.

        Raises:
            InvalidUID: naming the attribute that is missing or malformed.
        """
        return InstanceUIDs(
            check_uid(raw_text(self.dataset, 0x0020000D), "StudyInstanceUID"),
            check_uid(raw_text(self.dataset, 0x0020000E), "SeriesInstanceUID"),
            check_uid(raw_text(self.dataset, 0x00080018), "SOPInstanceUID"),
        )


def raw_text(dataset: Dataset, tag: int) -> str:
    """A text value as it stands in the file, one character a byte, without its padding (PS3.5 6.2); "" if absent."""
    value = getattr(raw_element(dataset, tag), "value", None)
    if value is None:
        return ""
    raw = value if isinstance(value, bytes) else str(value).encode("latin-1", "replace")
    return raw.strip(b"\0 ").decode("latin-1")


def read_scan(file: ReadableFile, max_unpacked: int = MAX_UNPACKED) -> Dataset:
    """The elements up to the Series and Study UIDs; enough to plan with.

    Raises:
        InputError: if the file cannot be parsed that far.
    """
    dataset, _, body = _open(file, lambda tag: tag >= STOP_SCAN, max_unpacked)
    if body is not file:
        body.close()
    return dataset


def read_instance(file: ReadableFile, max_unpacked: int = MAX_UNPACKED) -> Instance:
    """Read everything but the value of the pixel data.

    A deflated data set is inflated into a temporary file first, which then stands in for `file`; it may have at most
    `max_unpacked` bytes.

    Raises:
        InputError: if the file is truncated or cannot be parsed; the message says where.
    """
    dataset, syntax, body = _open(file, PIXEL_TAGS.__contains__, max_unpacked)
    fragments: Fragments | None = None
    with _closed_on_error(body, file):
        stopped_at = body.tell()
        size = body.seek(0, io.SEEK_END)
        body.seek(stopped_at)
        pixels = _read_pixel_element(body, dataset, syntax, size)
        if pixels is None:
            _check_complete(dataset, body, size)
        elif pixels.length is not None:
            _read_rest(body, dataset, pixels.offset + pixels.length, size)
        elif transfer_syntax(syntax).has_frames and not transfer_syntax(syntax).is_native:
            fragments = read_fragments(body, pixels.offset, size)
            _read_rest(body, dataset, fragments.end, size if fragments.delimited else 0)
    return Instance(dataset=dataset, transfer_syntax=syntax, file=body, size=size, pixels=pixels, fragments=fragments)


@contextmanager
def _closed_on_error(body: ReadableFile, file: ReadableFile) -> Iterator[None]:
    """Close an inflated copy of `file` if the block fails, since nobody else will."""
    try:
        yield
    except BaseException:
        if body is not file:
            body.close()
        raise


def _open(file: ReadableFile, stop: Stop, max_unpacked: int) -> tuple[Dataset, str, ReadableFile]:
    """Data set up to `stop`, its transfer syntax, and the file positioned where reading stopped."""
    file.seek(0)
    plain = read_growing(file, _PLAIN_HEAD, lambda head, whole: read_plain(head, stop, whole=whole))
    if plain is not None:
        file.seek(plain.stopped_at)
        return raw_dataset(plain), plain.transfer_syntax, file
    with _parsing("cannot be parsed as DICOM"):
        syntax, body = _read_meta(file, max_unpacked)
        with _closed_on_error(body, file):
            dataset = _read_elements(body, transfer_syntax(syntax).encoding, stop, cut=False)
    return dataset, syntax, body


@contextmanager
def _parsing(failure: str) -> Iterator[None]:
    """Turn what pydicom makes of a file it cannot read into the reason to reject it, which begins with `failure`."""
    try:
        yield
    except Unreadable as error:
        raise InputError(f"{failure}: {error.details}") from error
    except RecursionError as error:
        raise InputError("sequences nested too deeply") from error
    except (InputError, StoreError, OSError):
        raise
    except Exception as error:  # whatever it is, it is this input's
        raise InputError(f"{failure}: {one_line(error)}") from error


def _read_elements(body: ReadableFile, encoding: Encoding, stop: Stop, *, cut: bool) -> Dataset:
    """The elements from the file's offset on; by pydicom if they are odd, which then may be `cut` short or not."""
    start = body.tell()
    plain = read_growing(
        body,
        _PLAIN_HEAD,
        lambda data, whole: read_elements(Walker(data, encoding), 0, len(data), stop, whole=whole),
    )
    if plain is not None:
        body.seek(start + plain.stopped_at)
        return raw_dataset(plain, start)
    body.seek(start)
    return read_odd(body, encoding, stop=stop, cut=cut)


def _read_meta(file: ReadableFile, max_unpacked: int) -> tuple[str, ReadableFile]:
    """Transfer syntax, and the file that holds the data set, positioned at its first element."""
    file.seek(0)
    start = PREAMBLE if file.read(PREAMBLE)[128:] == b"DICM" else 0
    file.seek(start)
    meta = read_odd(file, transfer_syntax(EXPLICIT_LITTLE).encoding, stop=lambda tag: tag >> 16 != 0x0002, cut=False)
    named = raw_element(meta, _TRANSFER_SYNTAX_UID)
    if named is not None and named.VR and named.VR.encode() not in VRS:
        raise InputError(f"Transfer Syntax UID (0002,0010) has the VR {named.VR!r}, expected UI")
    syntax = raw_text(meta, _TRANSFER_SYNTAX_UID).strip()
    if transfer_syntax(syntax).deflated:
        return syntax, _inflate(file, max_unpacked)
    return syntax or _guess_syntax(file), file


def _guess_syntax(file: ReadableFile) -> str:
    """Native transfer syntax of a data set without a meta header, from its first element."""
    head = file.read(6)
    file.seek(-len(head), 1)
    if len(head) < 6:
        raise InputError("ends before its data set begins")
    if head[4:6] not in VRS:
        return IMPLICIT_LITTLE
    # A big endian group 0008 reads as 0800 in little endian order; no data set begins with such a group.
    return EXPLICIT_BIG if head[0] == 0 and head[1] != 0 else EXPLICIT_LITTLE


def _inflate(file: ReadableFile, max_unpacked: int) -> ReadableFile:
    """The deflated data set (PS3.5 A.5), inflated into an unnamed temporary file."""
    inflated = tempfile.TemporaryFile()  # noqa: SIM115  (closed with the instance)
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    total = 0
    with _closed_on_error(inflated, file):
        try:
            while block := file.read(1 << 20):
                while block and not inflater.eof:
                    piece = inflater.decompress(block, 1 << 24)
                    block = inflater.unconsumed_tail
                    total += len(piece)
                    if total > max_unpacked:
                        raise InputError(f"its deflated data set has more than {max_unpacked} bytes (--max-unpacked)")
                    inflated.write(piece)
        except zlib.error as error:
            raise InputError(f"deflated data set is damaged: {error}") from error
        if not inflater.eof:
            raise InputError("truncated: the deflated data set ends early")
    inflated.seek(0)
    return inflated


def _read_pixel_element(file: ReadableFile, dataset: Dataset, syntax: str, size: int) -> PixelElement | None:
    """The pixel data element at the file's offset, or None at its end."""
    head = file.read(12)
    if len(head) < 8:
        return None
    order = ">" if syntax == EXPLICIT_BIG else "<"
    group, element, vr = struct.unpack(f"{order}HH2s", head[:6])
    keyword = PIXEL_TAGS.get(group << 16 | element)
    if keyword is None:
        raise InputError(f"cannot be parsed as DICOM: stopped at ({group:04X},{element:04X})")
    offset = file.tell() - len(head) + 8
    if dataset.original_encoding[0]:
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


def _read_rest(file: ReadableFile, dataset: Dataset, offset: int, size: int) -> None:
    """Add the elements behind the pixel data (digital signatures, padding) to the data set."""
    if size - offset < 8:
        return
    file.seek(offset)
    if not any(file.read(8)):
        return  # padding
    file.seek(offset)
    implicit, little = dataset.original_encoding
    with _parsing("damaged behind its pixel data"), pydicom_at_work():
        rest = _read_elements(file, Encoding(bool(implicit), bool(little)), lambda _: False, cut=True)
        for tag in list(rest.keys()):
            if tag > 0x7FE00010:
                dataset[tag] = rest.get_item(tag)


def _check_complete(dataset: Dataset, file: ReadableFile, size: int) -> None:
    """Raise if the last element's value ends beyond the end of the file, or the head of another is cut short there."""
    tags = list(dataset.keys())
    if not tags:
        raise InputError("holds no elements")
    last = cast("DataElement | RawDataElement", dataset.get_item(tags[-1]))
    value, length = getattr(last, "value", None), getattr(last, "length", None)
    if isinstance(value, bytes) and isinstance(length, int) and len(value) < length != UNDEFINED_LENGTH:
        raise InputError(f"truncated: ends inside {BaseTag(tags[-1])}, {length - len(value)} bytes early")
    if isinstance(last, RawDataElement) and 0 < size - last.value_tell - last.length < 8:
        file.seek(last.value_tell + last.length)
        if any(file.read()):  # zeros are padding
            raise InputError("truncated: ends inside the head of an element")
