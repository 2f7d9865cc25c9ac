"""Pictures of an instance as it is published: drawn from its stored frames and its metadata, whoever wrote them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from stillframe.archive.record import mark_of, promised_frames, record_of
from stillframe.codec.codestream import resolutions
from stillframe.codec.markers import MainHeader, parse_header
from stillframe.dicom.json_model import JSONDataset, named_uids
from stillframe.dicom.uids import InstanceUIDs
from stillframe.errors import CannotDraw, CodecError, CodestreamError, PixelDataError, has_memory
from stillframe.jpeg_comment import with_comment
from stillframe.layout import bulk_data_key, frame_key
from stillframe.options import DecoderLimits
from stillframe.pixels.display import read_display
from stillframe.pixels.foreign_codestreams import decode_prefix, decode_published
from stillframe.pixels.native import Frame
from stillframe.pixels.published import check_size, decode_stored, is_blank, is_codestream, is_floating
from stillframe.pixels.rendering import Display
from stillframe.pixels.thumbnail import PublishedFrame, draw_thumbnail, make_rendered, sufficient_level
from stillframe.store.base import Store

# Of a codestream this much is read at first: its header, and of most images as much as a thumbnail needs.
_FIRST_BYTES: Final = 64 << 10
_EOC_BYTES: Final = 2


def read_thumbnail(store: Store, metadata: JSONDataset, limits: DecoderLimits, own_mark: str = "") -> bytes:
    """The thumbnail of an instance, as `docs/format.md` has it, with the mark of what it shows.

    Args:
        store: where the instance is published.
        metadata: of the instance, as published, or as a list of its series or study has them.
        limits: what a decoder may take.
        own_mark: the mark, where the metadata do not give it.

    Raises:
        CannotDraw: if nothing can be drawn of it.
        StoreError: if the store fails.
    """
    picture = _draw(store, metadata, lambda index, display: _thumbnail(store, metadata, index, display, limits))
    return with_comment(picture, own_mark or mark_of(metadata))


def read_rendered(store: Store, metadata: JSONDataset, limits: DecoderLimits) -> bytes:
    """The rendered frame of an instance; arguments and errors as those of `read_thumbnail`."""

    def render(index: int, display: Display) -> bytes | None:
        pixels = decode_stored(_read(store, metadata, index), metadata, limits)
        return None if _is_blank(pixels, metadata) else make_rendered(PublishedFrame(index, pixels), display)

    return _draw(store, metadata, render)


def _draw(store: Store, metadata: JSONDataset, draw: Callable[[int, Display], bytes | None]) -> bytes:
    """The picture of the frame that stands for all: the middle one, or the first one behind it that is not damaged."""
    frames, record = promised_frames(metadata), record_of(metadata)
    tolerant = record is not None and record.keeps_damaged
    bulk = _StoredBulk(store, InstanceUIDs(*named_uids(metadata)))
    for index in range(frames // 2, frames):
        try:
            with drawing():
                picture = draw(index, read_display(metadata, index, bulk, floating=is_floating(metadata)))
        except CannotDraw:
            if not tolerant:
                raise
            continue
        if picture is not None:
            return picture
    raise CannotDraw("it has no frame that is not damaged")


@contextmanager
def drawing() -> Iterator[None]:
    """Tell in one way why something cannot be drawn.

    Raises:
        CannotDraw: for what is wrong with an image.
        MemoryError: if there is not enough for any.
    """
    try:
        yield
    except (CodecError, CodestreamError, PixelDataError) as error:
        raise CannotDraw(str(error)) from error
    except MemoryError as error:
        if not has_memory():
            raise
        raise CannotDraw("there is not enough memory") from error
    except (ArithmeticError, LookupError, TypeError, ValueError) as error:
        raise CannotDraw("its window, tables or size of pixels cannot be applied") from error


def _thumbnail(
    store: Store, metadata: JSONDataset, index: int, display: Display, limits: DecoderLimits
) -> bytes | None:
    """The thumbnail of one frame, from the bytes of its codestream that reach the smallest sufficient resolution."""
    if not is_codestream(metadata):
        pixels = decode_stored(_read(store, metadata, index), metadata, limits)
        rows, columns = pixels.shape[:2]
    else:
        pixels, header = _read_reduced(store, metadata, index, display, limits)
        rows, columns = header.height, header.width
    return None if _is_blank(pixels, metadata) else draw_thumbnail(pixels, rows, columns, display)


def _read_reduced(
    store: Store, metadata: JSONDataset, index: int, display: Display, limits: DecoderLimits
) -> tuple[Frame, MainHeader]:
    """The pixels of a frame at the smallest sufficient resolution, and the header of its codestream."""
    data = _read(store, metadata, index, 0, _FIRST_BYTES)
    header = parse_header(data)
    check_size(header, metadata)
    level = sufficient_level(header, display)
    whole = header.header_length + sum(header.tile_part_lengths) + _EOC_BYTES
    end = resolutions(header, whole)[header.levels - level].prefix_length
    if end > len(data):
        data += _read(store, metadata, index, len(data), end - len(data))
    if len(data) < end:
        raise CodecError(f"frame {index + 1} is cut short: {len(data)} bytes are there")
    if not level:
        return decode_published(data[:end], limits), header
    return decode_prefix(data[:end], level, header, limits), header


def _read(store: Store, metadata: JSONDataset, index: int, offset: int = 0, length: int = 0) -> bytes:
    """The bytes of a stored frame, or some of them."""
    key = frame_key(InstanceUIDs(*named_uids(metadata)), index + 1)
    if length:
        data = store.get_range(key, offset, length)
    else:
        stored = store.get(key)
        data = stored.data if stored is not None else None
    if data is None:
        raise CodecError(f"frame {index + 1} is missing")
    return data


def _is_blank(pixels: Frame, metadata: JSONDataset) -> bool:
    """Whether a frame may be one that was damaged: zeros, where damage is tolerated."""
    record = record_of(metadata)
    return record is not None and record.keeps_damaged and is_blank(pixels)


class _StoredBulk:
    """The values that left the metadata of an instance, read when they are asked for."""

    def __init__(self, store: Store, uids: InstanceUIDs) -> None:
        self._store = store
        self._uids = uids

    def get(self, path: str, default: bytes, /) -> bytes:
        """See `json_model.BulkData`; a document of a series or study names a path from there."""
        stored = self._store.get(bulk_data_key(self._uids, path.rpartition("bulkdata/")[2]))
        return default if stored is None else stored.data
