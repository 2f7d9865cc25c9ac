"""The whole original object as a Part 10 file (PS3.10 7.1), copied piece by piece however large it is."""

from __future__ import annotations

import io
from typing import Final

from pydicom.dataset import FileMetaDataset
from pydicom.filebase import DicomIO
from pydicom.filewriter import write_file_meta_info
from pydicom.uid import UID

from stillframe.dicom.files import Part, ReadableFile, join_files
from stillframe.dicom.lenient import pydicom_at_work, raw_text
from stillframe.dicom.read import PIXEL_TAGS, Instance, PixelElement
from stillframe.dicom.syntaxes import EXPLICIT_LITTLE, transfer_syntax
from stillframe.dicom.uids import InstanceUIDs
from stillframe.dicom.walk import UNDEFINED_LENGTH, Encoding
from stillframe.dicom.write import dataset_bytes, element_head
from stillframe.errors import InputError

_SOP_CLASS: Final = 0x00080016
_DELIMITER: Final = b"\xfe\xff\xdd\xe0\0\0\0\0"
_FIRST_PIXELS, _LAST_PIXELS = min(PIXEL_TAGS), max(PIXEL_TAGS)


def open_part10(uids: InstanceUIDs, instance: Instance, file: ReadableFile) -> ReadableFile:
    """The original object, to be read from its first byte to its end; one without a Part 10 head gets it.

    One whose UIDs were replaced is written anew, all but the value of its pixel data. `file` is what the instance was
    read from; it must stay open and is moved by reading.
    """
    if instance.former_uids:
        return join_files(_rewritten(uids, instance))
    size = file.seek(0, io.SEEK_END)
    file.seek(0)
    head = file.read(132)
    if head[128:] == b"DICM":
        file.seek(0)
        return file
    start = bytes(128) + b"DICM" if head[:2] == b"\x02\x00" else _head(uids, instance, instance.transfer_syntax)
    return join_files([_part(start), (file, 0, size)])


def _head(uids: InstanceUIDs, instance: Instance, syntax: str) -> bytes:
    """Preamble, prefix and File Meta Information."""
    sop_class = raw_text(instance.dataset, _SOP_CLASS)
    if not sop_class:
        raise InputError("SOPClassUID is missing, which the meta header of the published object must name")
    start = io.BytesIO()
    start.write(bytes(128) + b"DICM")
    with pydicom_at_work():  # it warns of a class that is no UID
        meta = FileMetaDataset()
        meta.MediaStorageSOPClassUID = UID(sop_class)
        meta.MediaStorageSOPInstanceUID = UID(uids.instance)
        meta.TransferSyntaxUID = UID(syntax)
        write_file_meta_info(DicomIO(start), meta)
    return start.getvalue()


def _part(data: bytes) -> Part:
    return io.BytesIO(data), 0, len(data)


def _rewritten(uids: InstanceUIDs, instance: Instance) -> list[Part]:
    """The parts of an object with the elements of its data set: one that was deflated is not any more."""
    dataset, pixels = instance.dataset, instance.pixels
    implicit, little = dataset.original_encoding
    encoding = Encoding(bool(implicit), bool(little))
    deflated = transfer_syntax(instance.transfer_syntax).deflated
    head = _head(uids, instance, EXPLICIT_LITTLE if deflated else instance.transfer_syntax)
    before = dataset_bytes((dataset,), encoding, lambda tag: tag < _FIRST_PIXELS)
    behind = dataset_bytes((dataset,), encoding, lambda tag: tag > _LAST_PIXELS)
    if pixels is None:
        return [_part(head + before + behind)]
    tag = next(tag for tag, keyword in PIXEL_TAGS.items() if keyword == pixels.keyword)
    length = UNDEFINED_LENGTH if pixels.length is None else pixels.length
    before += element_head(tag, pixels.vr, length, encoding)
    end = _end_of(instance, pixels)
    if pixels.length is None and instance.fragments is not None and instance.fragments.items:
        last = instance.fragments.items[-1]  # whatever stands behind it for a delimiter
        end, behind = last.offset + last.length, _DELIMITER + behind
    return [_part(head + before), (instance.file, pixels.offset, end - pixels.offset), _part(behind)]


def _end_of(instance: Instance, pixels: PixelElement) -> int:
    """Where the value of the pixel data ends, its delimiter included; the end of the file if nothing tells."""
    if pixels.length is not None:
        return pixels.offset + pixels.length
    fragments = instance.fragments
    return fragments.end if fragments is not None and fragments.delimited else instance.size
