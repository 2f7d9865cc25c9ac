"""From a file to the begin of its data set: the meta header, what the file is deflated with, how elements are written.

What the meta header says is a name; the first bytes of the data set decide where they contradict it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from stillframe.dicom.files import ReadableFile
from stillframe.dicom.header import PREAMBLE, Meta, find_encoding, read_meta
from stillframe.dicom.inflate import inflate, inflate_head
from stillframe.dicom.lenient import Unreadable, raw_element, raw_text, read_first_elements
from stillframe.dicom.syntaxes import EXPLICIT_BIG, EXPLICIT_LITTLE, IMPLICIT_LITTLE, transfer_syntax
from stillframe.dicom.walk import VRS, Encoding, Odd
from stillframe.errors import InputError

_META_BYTES: Final = 1 << 12
_SOP_CLASS: Final = 0x00020002
_TRANSFER_SYNTAX: Final = 0x00020010
_USUAL: Final = Encoding(implicit=False, little=True)
_NATIVE: Final = {transfer_syntax(uid).encoding: uid for uid in (IMPLICIT_LITTLE, EXPLICIT_LITTLE, EXPLICIT_BIG)}


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenDataSet:
    """A data set: the file that holds it, inflated if need be, at its first element, and how that is written.

    `transfer_syntax` is what the meta header names, or else the native one that the elements are written in; `named`
    says which. `sop_class` is that of the meta header.
    """

    file: ReadableFile
    encoding: Encoding
    transfer_syntax: str
    named: bool
    sop_class: str
    notes: tuple[str, ...]


def open_data_set(file: ReadableFile, max_unpacked: int) -> OpenDataSet:
    """Read a file up to its data set.

    A deflated data set is inflated into a temporary file first, which then stands in for `file`; it may have at most
    `max_unpacked` bytes.

    Raises:
        InputError: if the meta header cannot be read, the data set cannot be inflated, or there is none.
    """
    meta = _read_meta(file)
    file.seek(meta.end)
    head = file.read(8)
    file.seek(meta.end)
    if len(head) < 6:
        raise InputError("truncated: ends before its data set begins")
    syntax = transfer_syntax(meta.transfer_syntax)
    encoding = find_encoding(head)
    body, notes = file, list[str]()
    if syntax.deflated and encoding is not None:
        notes.append(f"{syntax} asks for a deflated data set, this one is not; it was read as it is")
    elif syntax.deflated or (encoding is None and _is_deflated(file)):
        if not syntax.deflated:
            notes.append(f"the data set is deflated, which {_told(meta)}; it was inflated")
        body, of_inflating = inflate(file, max_unpacked)
        notes += of_inflating
        encoding = find_encoding(body.read(8))
        body.seek(0)
    said = syntax.encoding if meta.transfer_syntax else _USUAL
    if encoding is not None and encoding != said and meta.transfer_syntax:
        notes.append(f"the data set is written in {_in_words(encoding)}, not in what {syntax} says")
    name = meta.transfer_syntax
    encoding = encoding or (said if name else _guess_encoding(head))
    if not name or (syntax.is_native and encoding != said):
        name = native_syntax(encoding)
    return OpenDataSet(
        file=body,
        encoding=encoding,
        transfer_syntax=name,
        named=bool(meta.transfer_syntax),
        sop_class=meta.sop_class,
        notes=tuple(notes),
    )


def native_syntax(encoding: Encoding) -> str:
    """UID of the transfer syntax of native pixel data whose data set is written so."""
    return _NATIVE[encoding]


def _told(meta: Meta) -> str:
    return f"{transfer_syntax(meta.transfer_syntax)} does not say" if meta.transfer_syntax else "no name says"


def _in_words(encoding: Encoding) -> str:
    return transfer_syntax(native_syntax(encoding)).name


def _guess_encoding(head: bytes) -> Encoding:
    """How a data set is written whose first tag has no small group: a VR is there or not."""
    return Encoding(implicit=head[4:6] not in VRS, little=True)


def _is_deflated(file: ReadableFile) -> bool:
    """Whether the bytes at the file's offset inflate to the begin of a data set."""
    head = inflate_head(file, 8)
    return find_encoding(head) == _USUAL and head[4:6] in VRS


def _read_meta(file: ReadableFile) -> Meta:
    """The meta header; pydicom reads one that is not well formed.

    Raises:
        InputError: if nothing can be made of it.
    """
    file.seek(0)
    head = file.read(_META_BYTES)
    try:
        return read_meta(head)
    except Odd:
        file.seek(PREAMBLE if head[128:PREAMBLE] == b"DICM" else 0)
    try:
        meta = read_first_elements(file, _USUAL, lambda tag: tag >> 16 != 0x0002)
    except (Unreadable, RecursionError) as error:
        raise InputError("cannot be parsed as DICOM: its meta header (group 0002) is damaged") from error
    named = raw_element(meta, _TRANSFER_SYNTAX)
    if named is not None and named.VR and named.VR.encode() not in VRS:
        raise InputError(f"Transfer Syntax UID (0002,0010) has the VR {named.VR!r}, expected UI")
    return Meta(raw_text(meta, _TRANSFER_SYNTAX).strip(), raw_text(meta, _SOP_CLASS).strip(), file.tell())
