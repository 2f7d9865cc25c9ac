"""The transfer syntax that the pixel data are written in, where the file names none or another kind.

Pixel data of undefined length hold fragments, all others hold native samples, whatever the name says (PS3.5 A.4).
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final, NoReturn

from stillframe.codec.probe import syntax_of_frame
from stillframe.dicom.encapsulated import Fragments, read_fragments, read_frame
from stillframe.dicom.opening import native_syntax
from stillframe.dicom.read import Instance, PixelElement
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
    if instance.fragments is not None and syntax.family is Family.VIDEO:
        return _by_frames(instance, syntax) or instance
    if instance.fragments is not None and syntax.is_native:
        return _by_frames(instance, syntax) or _refuse(instance, instance.fragments, syntax)
    if instance.pixels is None or instance.pixels.length is None:
        return instance
    if syntax.is_native:
        settled = _unwrapped(instance, instance.pixels, instance.pixels.length)
        return (settled and _by_frames(settled, syntax)) or instance
    # A private syntax may say more of native samples than their encoding does: their order, for one.
    return _by_length(instance, syntax) if syntax.name and syntax.has_frames else instance


def _by_frames(instance: Instance, syntax: TransferSyntax) -> Instance | None:
    """Fragments whose transfer syntax the first frame tells, against the name or without one; None if it tells none."""
    assert instance.fragments is not None
    found = syntax_of_frame(_head(instance, instance.fragments))
    if found is None:
        return None
    loss = "" if found.lossless or found.family is Family.JPEG_XL else ", compressed with loss"
    note = f"{_said(instance, syntax)}, but its frames are of {found}{loss}; they are taken for that"
    return _with_note(replace(instance, transfer_syntax=found.uid), note)


def _refuse(instance: Instance, fragments: Fragments, syntax: TransferSyntax) -> NoReturn:
    if not fragments.items:
        raise PixelDataError("the pixel data hold no fragments")
    begin = _head(instance, fragments)[:4].hex()
    raise PixelDataError(
        f"{_said(instance, syntax)}, and the encapsulated pixel data do not tell it: frame 1 begins with {begin}"
    )


def _said(instance: Instance, syntax: TransferSyntax) -> str:
    return f"the file names {syntax}" if instance.named else "the file names no transfer syntax"


def _by_length(instance: Instance, syntax: TransferSyntax) -> Instance:
    """Pixel data with a length under the name of a syntax that encapsulates: fragments all the same, or samples."""
    pixels = instance.pixels
    assert pixels is not None
    assert pixels.length is not None
    if (settled := _unwrapped(instance, pixels, pixels.length)) is not None:
        return settled
    uid = native_syntax(Encoding(*map(bool, instance.dataset.original_encoding)))
    return _with_note(
        replace(instance, transfer_syntax=uid),
        f"{syntax} asks for encapsulated pixel data, these are native; they were read as {transfer_syntax(uid).name}",
    )


def _unwrapped(instance: Instance, pixels: PixelElement, length: int) -> Instance | None:
    """Fragments in pixel data with a length, which is left out; None if they hold something else."""
    instance.file.seek(pixels.offset)
    if instance.file.read(len(_ITEM)) != _ITEM:
        return None
    try:
        fragments = read_fragments(instance.file, pixels.offset, pixels.offset + length)
    except PixelDataError:
        return None  # samples that begin as an item does
    settled = replace(instance, pixels=replace(pixels, length=None), fragments=fragments)
    return _with_note(settled, "the encapsulated pixel data have a length of their own; it was left out")


def _head(instance: Instance, fragments: Fragments) -> bytes:
    """The bytes that the fragments begin with: as many as tell what the first frame is."""
    parts, left = [], _HEAD_BYTES
    for fragment in fragments.items:
        parts.append(replace(fragment, length=min(fragment.length, left)))
        left -= parts[-1].length
        if left <= 0:
            break
    return read_frame(instance.file, parts)


def _with_note(instance: Instance, note: str) -> Instance:
    return replace(instance, notes=(*instance.notes, note))
