"""Two objects under one SOP Instance UID: whether they are the same (one UID, one object)."""

from __future__ import annotations

from typing import Final

from stillframe.archive.record import promised_frames
from stillframe.build.content import Content
from stillframe.build.sinks import CompareSink
from stillframe.dicom.json_model import SYNTAX, JSONDataset
from stillframe.dicom.viewer_values import in_viewer_form
from stillframe.errors import InputError

_PHOTOMETRIC, _PLANAR = "00280004", "00280006"
# What only says how the frames are stored.
_STORED_AS: Final = frozenset({SYNTAX, _PHOTOMETRIC, _PLANAR})
_OURS: Final = "0099"
# Attributes that a message names.
_NAMED: Final = 8


def notes_on_duplicate(content: Content, sink: CompareSink, published: JSONDataset) -> tuple[str, ...]:
    """What an input that holds the same pixels as the published instance has otherwise, if anything.

    `content` is what became of the input in `sink`.

    Raises:
        InputError: if it is another object.
    """
    if content.video and sink.same_video is None:
        raise InputError(
            "another video with this SOP Instance UID is published already, or comes earlier in this job, as no "
            "object to compare with"
        )
    before = in_viewer_form(published).dataset  # an older version may have published other forms
    tags = sorted(_differing_tags(content.metadata, before) | sink.attributes)
    named = ", ".join(tags[:_NAMED])
    what = sink.frame
    if not what and content.video and not sink.same_video:
        what = "the video"
    if not what and content.frames and content.frames < promised_frames(published):
        what = "Number of Frames"
    if not what and tags and not content.frames:
        what = f"({named})"
    if what:
        raise InputError(
            "another object with this SOP Instance UID is published already, or comes earlier in this job, and "
            f"differs in {what}"
        )
    return (f"same pixels, but other values of {named}",) if tags else ()


def _differing_tags(metadata: JSONDataset, published: JSONDataset) -> set[str]:
    """Tags whose values differ, beside those that only say how the frames are stored or where they came from."""
    tags = (set(metadata) | set(published)) - _STORED_AS
    return {tag for tag in tags if metadata.get(tag) != published.get(tag) and not tag.startswith(_OURS)}
