"""What people see of an instance without a viewer: its thumbnail, and what is under `rendered`."""

from __future__ import annotations

from typing import Final

from stillframe.archive.pictures import drawing, read_rendered, read_thumbnail
from stillframe.archive.record import mark, promised_frames
from stillframe.build.content import Content
from stillframe.dicom.json_model import SOP_CLASS_UID, SYNTAX, JSONDataset, binary_value, first_value
from stillframe.dicom.sop_classes import ENCAPSULATED_PDF
from stillframe.dicom.syntaxes import transfer_syntax
from stillframe.dicom.uids import InstanceUIDs
from stillframe.errors import CannotDraw, LayoutError
from stillframe.jpeg_comment import with_comment
from stillframe.layout import HEAD_BYTES, Kind, media_type, rendered_key, thumbnail_key
from stillframe.options import BuildOptions, Rendered, Thumbnails
from stillframe.pixels.display import read_display
from stillframe.pixels.rendering import Display
from stillframe.pixels.thumbnail import PublishedFrame, make_rendered, make_thumbnail
from stillframe.store.base import Store

NOT_DRAWN: Final = "cannot be rendered: "
"""What the note on an image begins with of which there is no picture."""

_DOCUMENT: Final = "00420011"
_DOCUMENT_LENGTH: Final = "00420015"

# Objects by their keys, and what the owner of the image should know.
type Pictures = tuple[dict[str, bytes], tuple[str, ...]]


def take_document(uids: InstanceUIDs, options: BuildOptions, content: Content) -> Pictures:
    """The document of an Encapsulated PDF that goes under `rendered`, if the options ask for it."""
    if first_value(content.metadata, SOP_CLASS_UID) != ENCAPSULATED_PDF or options.rendered is Rendered.NEVER:
        return {}, ()
    return ({}, ()) if content.middle is not None else _take_document(uids, content)


def make_pictures(uids: InstanceUIDs, options: BuildOptions, content: Content, contents: str) -> Pictures:
    """The pictures of its own that the options ask for, of an instance whose other objects have the digest `contents`.

    An image that cannot be drawn is published all the same, without them.
    """
    wanted = options.thumbnails is Thumbnails.INSTANCES, options.rendered is Rendered.ALWAYS
    middle = content.middle
    if middle is None or not any(wanted):
        return {}, ()
    pictures = {}
    try:
        with drawing():
            display = _read_display(content, middle)
            if wanted[0]:
                picture = with_comment(make_thumbnail(middle, display), mark(contents))
                pictures[thumbnail_key(uids.study, uids.series, uids.instance)] = picture
            if wanted[1]:
                pictures[rendered_key(uids)] = make_rendered(middle, display)
    except CannotDraw as error:
        return pictures, (f"{NOT_DRAWN}{error}",)
    return pictures, ()


def redraw_pictures(
    store: Store, uids: InstanceUIDs, options: BuildOptions, metadata: JSONDataset, contents: str
) -> Pictures:
    """As `make_pictures`, of an instance that is published: from its stored frames.

    Raises:
        StoreError: if the store fails.
    """
    pictures: dict[str, bytes] = {}
    syntax = first_value(metadata, SYNTAX)
    if not promised_frames(metadata) or transfer_syntax(str(syntax)).is_passed_through:
        return pictures, ()
    limits = options.decoder_limits
    try:
        if options.thumbnails is Thumbnails.INSTANCES:
            picture = read_thumbnail(store, metadata, limits, mark(contents))
            pictures[thumbnail_key(uids.study, uids.series, uids.instance)] = picture
        if options.rendered is Rendered.ALWAYS:
            pictures[rendered_key(uids)] = read_rendered(store, metadata, limits)
    except CannotDraw as error:
        return pictures, (f"{NOT_DRAWN}{error}",)
    return pictures, ()


def measure_thumbnail(content: Content) -> int:
    """The bytes of the thumbnail of an instance; 0 if it has none."""
    if content.middle is None:
        return 0
    try:
        with drawing():
            return len(make_thumbnail(content.middle, _read_display(content, content.middle)))
    except CannotDraw:
        return 0


def _read_display(content: Content, middle: PublishedFrame) -> Display:
    """How the frame that stands for all is shown."""
    bulk = {value.path: value.data for value in content.bulk}
    return read_display(content.metadata, middle.index, bulk, floating=middle.pixels.dtype.kind == "f")


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
