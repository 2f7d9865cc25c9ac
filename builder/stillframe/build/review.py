"""Whether an instance that an older version of the format published would be the same now."""

from __future__ import annotations

from stillframe.archive.format_changes import is_touched
from stillframe.archive.record import notes_of, record_of, without_record
from stillframe.build.content import Content
from stillframe.dicom.json_model import JSONDataset
from stillframe.dicom.syntaxes import transfer_syntax
from stillframe.pixels.lossy import RATIO


def is_as_published(content: Content, source_syntax: str, published: JSONDataset) -> bool:
    """Whether published metadata are those that would be made now, and their frames and pictures, too.

    Args:
        content: of the input, made without any of its frames, so that this costs no more than reading a header.
        source_syntax: UID of the transfer syntax of the input.
        published: the metadata of the instance, made from the same input with the same options.
    """
    record = record_of(published)
    if record is None or is_touched(published, transfer_syntax(source_syntax), record.version):
        return False
    before, now = without_record(published), content.metadata
    differing = {tag for tag in before.keys() | now.keys() if before.get(tag) != now.get(tag)}
    return differing <= {RATIO} and set(content.notes) <= set(notes_of(published))  # the ratio is that of the frames
