"""What people see of an instance without a viewer: its thumbnail, and what is under `rendered`."""

from __future__ import annotations

from typing import Final

from stillframe.build.content import Content
from stillframe.dicom.json_model import SOP_CLASS_UID, binary_value, first_value
from stillframe.dicom.sop_classes import ENCAPSULATED_PDF
from stillframe.dicom.uids import InstanceUIDs
from stillframe.errors import CodecError, CodestreamError, LayoutError, has_memory
from stillframe.layout import HEAD_BYTES, Kind, media_type, rendered_key, thumbnail_key
from stillframe.options import BuildOptions, Rendered
from stillframe.pixels.display import read_display
from stillframe.pixels.thumbnail import PublishedFrame, make_rendered, make_thumbnail

_DOCUMENT: Final = "00420011"
_DOCUMENT_LENGTH: Final = "00420015"

# Objects by their keys, and what the owner of the image should know.
type Pictures = tuple[dict[str, bytes], tuple[str, ...]]


def make_pictures(uids: InstanceUIDs, options: BuildOptions, content: Content) -> Pictures:
    """The pictures of an instance that the options ask for, and the notes on it, of its content and of these."""
    pictures: dict[str, bytes] = {}
    notes: tuple[str, ...] = ()
    if content.middle is not None and (options.thumbnails or options.rendered is Rendered.ALWAYS):
        pictures, notes = _picture_frame(uids, options, content, content.middle)
    elif first_value(content.metadata, SOP_CLASS_UID) == ENCAPSULATED_PDF and options.rendered is not Rendered.NEVER:
        pictures, notes = _take_document(uids, content)
    return pictures, (*content.notes, *notes)


def _picture_frame(uids: InstanceUIDs, options: BuildOptions, content: Content, middle: PublishedFrame) -> Pictures:
    """Thumbnail and rendered frame; an image that cannot be drawn is published all the same, without them."""
    pictures = {}
    try:
        bulk = {value.path: value.data for value in content.bulk}
        display = read_display(content.metadata, middle.index, bulk, floating=middle.pixels.dtype.kind == "f")
        if options.thumbnails:
            pictures[thumbnail_key(uids.study, uids.series, uids.instance)] = make_thumbnail(middle, display)
        if options.rendered is Rendered.ALWAYS:
            pictures[rendered_key(uids)] = make_rendered(middle, display)
    except (CodecError, CodestreamError) as error:
        return pictures, (f"cannot be rendered: {error}",)
    except MemoryError:
        if not has_memory():
            raise  # of any input
        return pictures, ("cannot be rendered: there is not enough memory",)
    except (ArithmeticError, LookupError, TypeError, ValueError):
        return pictures, ("cannot be rendered: its window, tables or size of pixels cannot be applied",)
    return pictures, ()


def _take_document(uids: InstanceUIDs, content: Content) -> Pictures:
    """The document of an Encapsulated PDF (PS3.3 C.24.2) as it is, without the byte that pads it to even length."""
    bulk = {value.path: value.data for value in content.bulk}
    document = binary_value(content.metadata.get(_DOCUMENT, {}), bulk)
    if first_value(content.metadata, _DOCUMENT_LENGTH) == len(document) - 1:
        document = document[:-1]
    try:
        holds = media_type(Kind.RENDERED, document[:HEAD_BYTES])
    except LayoutError as error:
        return {}, (f"no document under rendered: {error}",)
    if holds != "application/pdf":
        return {}, (f"no document under rendered: an Encapsulated PDF that holds {holds}",)
    return {rendered_key(uids): document}, ()
