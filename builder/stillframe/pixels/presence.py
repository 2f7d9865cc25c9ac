"""Whether an instance has frames or a video to publish: its SOP class says so first, then what it really holds."""

from __future__ import annotations

from typing import Final

from pydicom.dataset import Dataset

from stillframe.dicom.lenient import raw_element, raw_text
from stillframe.dicom.read import Instance
from stillframe.dicom.sop_classes import RT_DOSE, holds_image
from stillframe.dicom.syntaxes import transfer_syntax
from stillframe.errors import PixelDataError
from stillframe.pixels.reader import check_still_frames

_SOP_CLASS: Final = 0x00080016
_DESCRIPTION: Final = {0x00280010: "Rows", 0x00280011: "Columns", 0x00280100: "Bits Allocated"}
_PROVIDER_URL: Final = 0x00287FE0
# What objects are about that have no pixels: Encapsulated Document, Content Sequence, ROI Contour Sequence,
# DVH Sequence, Waveform Sequence, Spectroscopy Data.
_OTHER_CONTENT: Final = (0x00420011, 0x0040A730, 0x30060039, 0x30040050, 0x54000100, 0x56000020)


def find_pixels(instance: Instance) -> tuple[bool, tuple[str, ...]]:
    """Whether the pixel data are to be published as frames or as a video; if not, what the report says of that.

    The pixel data of a SOP class that DICOM does not define are those of an image if Rows, Columns and Bits Allocated
    (PS3.3 C.7.6.3) say so. Where they are missing or have no bytes, it lost its pixels only if it says what they were,
    and holds nothing else.

    Raises:
        PixelDataError: if the instance is an image, and its pixels are not there.
    """
    dataset, size = instance.dataset, _size(instance)
    sop_class = raw_text(dataset, _SOP_CLASS)
    is_image = holds_image(sop_class)
    if size and sop_class in ("", RT_DOSE):
        is_image = True
    missing = [name for tag, name in _DESCRIPTION.items() if not _is_said(dataset, tag)]
    if is_image is False:
        why = f"SOP class {sop_class} holds no image"
    elif size and (is_image or not missing):
        return True, ()
    else:
        why = f"no value of {', '.join(missing)}"
        other_content = any(_is_said(dataset, tag) for tag in _OTHER_CONTENT)
        if is_image or not (missing or other_content):
            _check_stripped(instance, described=len(missing) < len(_DESCRIPTION))
    if size:
        return False, (f"the {size} bytes of pixel data are not published as frames: {why}",)
    if instance.pixels is not None:
        return False, (f"{instance.pixels.keyword} has no bytes, so there are no frames",)
    return False, ("its SOP class is that of an image, but there are no pixel data",) if is_image else ()


def _check_stripped(instance: Instance, *, described: bool) -> None:
    """Refuse an image whose pixels are missing, if it says that it had some.

    Raises:
        PixelDataError: saying what is missing.
    """
    syntax = transfer_syntax(instance.transfer_syntax)
    if described and instance.pixels is None:
        check_still_frames(syntax)
        if _is_said(instance.dataset, _PROVIDER_URL):
            raise PixelDataError("its pixels are at the provider of (0028,7FE0); there are no pixel data to publish")
        raise PixelDataError("has Rows and Columns but no pixel data")
    if instance.pixels is not None:
        what = "bytes" if instance.fragments is None else "fragments"
        raise PixelDataError(f"the pixel data of an image hold no {what}")


def _size(instance: Instance) -> int:
    """Bytes of the pixel data; of a video, or of what cannot be read as items, those up to the end of the file."""
    if instance.pixels is None:
        return 0
    if instance.pixels.length is not None:
        return instance.pixels.length
    if instance.fragments is not None:
        return sum(item.length for item in instance.fragments.items)
    return instance.size - instance.pixels.offset


def _is_said(dataset: Dataset, tag: int) -> bool:
    """Whether an attribute is there with a value other than zeros."""
    value = getattr(raw_element(dataset, tag), "value", None)
    return any(value) if isinstance(value, bytes) else bool(value)
