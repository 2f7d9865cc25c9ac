"""Videos (PS3.5 8.2.5 to 8.2.8): encapsulated pixel data whose fragments are one stream, of all frames."""

from __future__ import annotations

from stillframe.dicom.files import ReadableFile, join_files
from stillframe.dicom.read import Instance
from stillframe.dicom.syntaxes import Family, transfer_syntax
from stillframe.errors import PixelDataError


def is_video(instance: Instance) -> bool:
    """Whether the pixel data are a video."""
    return instance.pixels is not None and transfer_syntax(instance.transfer_syntax).family is Family.VIDEO


def open_video(instance: Instance) -> ReadableFile:
    """The stream, its fragments joined: to be read from its first byte to its end. The pad byte, if any, stays.

    Raises:
        PixelDataError: if the pixel data are not encapsulated, hold nothing or are cut short.
    """
    assert instance.pixels is not None
    if instance.pixels.length is not None:
        raise PixelDataError(f"transfer syntax {instance.transfer_syntax} asks for encapsulated pixel data")
    fragments = instance.fragments
    assert fragments is not None
    if not fragments.delimited:
        raise PixelDataError("truncated: the fragments of the video do not end")
    if not any(item.length for item in fragments.items):
        raise PixelDataError("the pixel data hold no fragments")
    return join_files([(instance.file, item.offset, item.length) for item in fragments.items])
