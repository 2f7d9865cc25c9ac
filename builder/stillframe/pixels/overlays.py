"""Overlay planes in the unused high bits of the pixels (retired; PS3.3-2004 C.9.2): found, and taken out.

What comes of one is a plane of its own: Overlay Data, a bit a pixel, Overlay Bits Allocated 1, Overlay Bit Position 0.
"""

from __future__ import annotations

from base64 import b64encode
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset
from pydicom.tag import BaseTag

from stillframe.dicom.json_elements import INLINE_BYTES
from stillframe.dicom.json_model import BulkValue, JSONDataset
from stillframe.errors import InputError
from stillframe.pixels.description import PixelDescription, read_integer

_GROUPS: Final = range(0x6000, 0x6020, 2)
_ROWS, _COLUMNS, _FRAMES, _FIRST_FRAME = 0x0010, 0x0011, 0x0015, 0x0051
_BITS_ALLOCATED, _BIT_POSITION, _DATA = 0x0100, 0x0102, 0x3000


class EmbeddedOverlay:
    """One plane: its `group`, its `bit` of the pixel cells, and the frames that have it, collected one by one.

    `pixels` is how many a frame has. Bits of successive frames follow each other without padding, the first in the
    least significant bit (PS3.5 8.1.2).
    """

    def __init__(self, group: int, bit: int, frames: range, pixels: int) -> None:
        self.group = group
        self.bit = bit
        self.frames = frames
        self._pixels = pixels
        self.restart()

    def restart(self) -> None:
        """Give up what was collected: the frames come again."""
        self._packed = bytearray()
        self._rest = np.empty(0, "u1")

    def plane(self, frame_index: int, cells: npt.NDArray[Any]) -> bytes:
        """The plane of a frame, a bit a pixel, out of its cells, unmasked and unsigned; empty if it has none."""
        if frame_index not in self.frames:
            return b""
        return np.packbits(cells.reshape(-1) >> self.bit & 1, bitorder="little").tobytes()

    def collect(self, plane: bytes) -> None:
        """Add what `plane` made of the next frame; frames come in order."""
        if not plane:
            return
        bits = np.unpackbits(np.frombuffer(plane, "u1"), count=self._pixels, bitorder="little")
        bits = np.concatenate([self._rest, bits])
        whole = len(bits) - len(bits) % 8
        self._packed += np.packbits(bits[:whole], bitorder="little").tobytes()
        self._rest = bits[whole:]

    def overlay_data(self) -> bytes:
        """The collected planes as a value of Overlay Data, of even length."""
        data = bytes(self._packed) + np.packbits(self._rest, bitorder="little").tobytes()
        return data + bytes(len(data) % 2)

    def publish(self, all_frames: int) -> tuple[JSONDataset, BulkValue | None]:
        """What changes in the metadata, and the value that is too large for them."""
        key = f"{self.group:04X}"
        path, data = f"{key}{_DATA:04X}", self.overlay_data()
        bulk = BulkValue(path, data) if len(data) > INLINE_BYTES else None
        value = {"BulkDataURI": f"bulkdata/{path}"} if bulk else {"InlineBinary": b64encode(data).decode("ascii")}
        changes: JSONDataset = {
            f"{key}{_BITS_ALLOCATED:04X}": {"vr": "US", "Value": [1]},
            f"{key}{_BIT_POSITION:04X}": {"vr": "US", "Value": [0]},
            path: {"vr": "OW", **value},
        }
        if all_frames > 1:
            changes[f"{key}{_FRAMES:04X}"] = {"vr": "IS", "Value": [len(self.frames)]}
            changes[f"{key}{_FIRST_FRAME:04X}"] = {"vr": "US", "Value": [self.frames.start + 1]}
        return changes, bulk

    @property
    def collected(self) -> bool:
        """Whether any frame's plane was."""
        return bool(self._packed) or bool(len(self._rest))

    @property
    def note(self) -> str:
        """What the owner of the image should know."""
        return f"the overlay in bit {self.bit} of the pixels was taken out into Overlay Data ({self.group:04X},3000)"


def embedded_overlays(dataset: Dataset, description: PixelDescription) -> tuple[EmbeddedOverlay, ...]:
    """The overlay planes in the unused bits above Bits Stored.

    A plane whose size is not that of the image, or whose bit is not unused, is none: its bit means nothing then.
    """
    if description.floating or description.samples > 1:
        return ()
    overlays = []
    cell_bits = 12 if description.packed else description.bits_allocated
    present = {tag >> 16 for tag in dataset.keys()}  # noqa: SIM118  (a data set iterates over its elements)
    for group in filter(present.__contains__, _GROUPS):
        values = {
            element: _value(dataset, group, element) for element in (_ROWS, _COLUMNS, _BITS_ALLOCATED, _BIT_POSITION)
        }
        if BaseTag(group << 16 | _DATA) in dataset or None in values.values():
            continue
        bit = values[_BIT_POSITION] or 0
        if (values[_ROWS], values[_COLUMNS]) == (description.rows, description.columns) and (
            values[_BITS_ALLOCATED] == cell_bits and description.bits_stored <= bit < cell_bits
        ):
            frames = _frames(dataset, group, description.frames)
            overlays.append(EmbeddedOverlay(group, bit, frames, description.rows * description.columns))
    return tuple(overlays)


def _frames(dataset: Dataset, group: int, frames: int) -> range:
    """Indices of the frames that have the plane: those that the overlay names, or all (PS3.3 C.9.2)."""
    count, first = _value(dataset, group, _FRAMES), _value(dataset, group, _FIRST_FRAME)
    if count is None or not 1 <= (first or 1) <= (first or 1) + count - 1 <= frames:
        return range(frames)
    return range((first or 1) - 1, (first or 1) - 1 + count)


def _value(dataset: Dataset, group: int, element: int) -> int | None:
    """A number of an overlay group; None if it is missing or no number."""
    try:
        return read_integer(dataset, BaseTag(group << 16 | element), "")
    except InputError:
        return None
