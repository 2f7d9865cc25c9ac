"""The transfer syntax that the pixel data are written in, where the file names none or another kind.

Pixel data of undefined length hold fragments, all others hold native samples, whatever the name says (PS3.5 A.4).
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from stillframe.codec.probe import syntax_of_frame
from stillframe.dicom.encapsulated import read_fragments, read_frame
from stillframe.dicom.opening import native_syntax
from stillframe.dicom.read import Instance
from stillframe.dicom.syntaxes import Family, TransferSyntax, transfer_syntax
from stillframe.dicom.walk import Encoding
from stillframe.errors import PixelDataError

_HEAD_BYTES: Final = 1 << 20
_ITEM: Final = b"\xfe\xff\x00\xe0"


def settle_syntax(instance: Instance) -> Instance:
    """The instance with the transfer syntax of its pixel data, and a note if the file does not name it.

    Raises:
        PixelDataError: if the pixel data are encapsulated, and their frames do not tell how they are written.
    """
    syntax = transfer_syntax(instance.transfer_syntax)
    if instance.fragments is not None and syntax.is_native:
        return _by_frames(instance, syntax)
    if instance.pixels is None or instance.pixels.length is None or syntax.is_native:
        return instance
    # A private syntax may say more of native samples than their encoding does: their order, for one.
    return _by_length(instance, syntax) if syntax.name and syntax.has_frames else instance


def _by_frames(instance: Instance, syntax: TransferSyntax) -> Instance:
    """Fragments under a native name, or none: the first frame tells."""
    assert instance.fragments is not None
    said = f"the file names {syntax}" if instance.named else "the file names no transfer syntax"
    items = instance.fragments.items
    if not items:
        raise PixelDataError("the pixel data hold no fragments")
    head = read_frame(instance.file, [replace(items[0], length=min(items[0].length, _HEAD_BYTES))])
    found = syntax_of_frame(head)
    if found is None:
        raise PixelDataError(
            f"{said}, and the encapsulated pixel data do not tell it: frame 1 begins with {head[:4].hex()}"
        )
    loss = "" if found.lossless or found.family is Family.JPEG_XL else ", compressed with loss"
    note = f"{said}, but its frames are of {found}{loss}; they are taken for that"
    return _with_note(replace(instance, transfer_syntax=found.uid), note)


def _by_length(instance: Instance, syntax: TransferSyntax) -> Instance:
    """Pixel data with a length under the name of a syntax that encapsulates: fragments all the same, or samples."""
    pixels = instance.pixels
    assert pixels is not None
    assert pixels.length is not None
    instance.file.seek(pixels.offset)
    if instance.file.read(len(_ITEM)) == _ITEM:
        fragments = read_fragments(instance.file, pixels.offset, pixels.offset + pixels.length)
        settled = replace(instance, pixels=replace(pixels, length=None), fragments=fragments)
        return _with_note(settled, "the encapsulated pixel data have a length of their own; it was left out")
    uid = native_syntax(Encoding(*map(bool, instance.dataset.original_encoding)))
    return _with_note(
        replace(instance, transfer_syntax=uid),
        f"{syntax} asks for encapsulated pixel data, these are native; they were read as {transfer_syntax(uid).name}",
    )


def _with_note(instance: Instance, note: str) -> Instance:
    return replace(instance, notes=(*instance.notes, note))
