"""The whole original object as a Part 10 file (PS3.10 7.1), copied piece by piece however large it is."""

from __future__ import annotations

import io

from pydicom.dataset import FileMetaDataset
from pydicom.filebase import DicomIO
from pydicom.filewriter import write_file_meta_info
from pydicom.uid import UID

from stillframe.dicom.files import ReadableFile, join_files
from stillframe.dicom.read import Instance
from stillframe.dicom.uids import InstanceUIDs
from stillframe.errors import InputError


def open_part10(uids: InstanceUIDs, instance: Instance, file: ReadableFile) -> ReadableFile:
    """The original object, to be read from its first byte to its end; one without a Part 10 head gets it.

    `file` is what the instance was read from; it must stay open and is moved by reading.
    """
    size = file.seek(0, io.SEEK_END)
    file.seek(0)
    head = file.read(132)
    if head[128:] == b"DICM":
        file.seek(0)
        return file
    start = io.BytesIO()
    start.write(bytes(128) + b"DICM")
    if head[:2] != b"\x02\x00":
        sop_class = str(instance.dataset.get("SOPClassUID", ""))
        if not sop_class:
            raise InputError("SOPClassUID is missing, which the meta header of the published object must name")
        meta = FileMetaDataset()
        meta.MediaStorageSOPClassUID = UID(sop_class)
        meta.MediaStorageSOPInstanceUID = UID(uids.instance)
        meta.TransferSyntaxUID = UID(instance.transfer_syntax)
        write_file_meta_info(DicomIO(start), meta)
    return join_files([(start, 0, start.tell()), (file, 0, size)])
