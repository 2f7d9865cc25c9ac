"""The frames of one instance in their published form, put into a sink one by one.

Lossless sources become HTJ2K, each frame decoded again and compared before it counts; a frame that does not come back
exactly sends the whole instance to the native form. Lossy sources keep their bytes unless told otherwise.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import BinaryIO, Final, Protocol

import numpy as np

from builder import codec, codestream
from builder.errors import CodecError, PixelDataError
from builder.layout import EXPLICIT_VR_LITTLE_ENDIAN, HTJ2K_RPCL, InstanceUIDs, frame_key, reduced_key
from builder.model import BuildOptions, FrameRow, JSONDataset, Lossy
from builder.multipart import wrap_part
from builder.pixels import DecodedFrame, Form, Frame, FrameReader, native_bytes
from builder.preview import PublishedFrame

_HTJ2K: Final = frozenset(f"1.2.840.10008.1.2.4.{n}" for n in (201, 202, 203))
# Lossy Image Compression Method (PS3.3 C.7.6.1.1.5.1) of the syntaxes that can be lossy.
_LOSSY_METHODS: Final = {
    "1.2.840.10008.1.2.4.50": "ISO_10918_1",
    "1.2.840.10008.1.2.4.51": "ISO_10918_1",
    "1.2.840.10008.1.2.4.81": "ISO_14495_1",
    "1.2.840.10008.1.2.4.91": "ISO_15444_1",
    "1.2.840.10008.1.2.4.203": "ISO_15444_15",
}


class Sink(Protocol):
    """Where objects go on their way to a store."""

    def put(self, key: str, data: bytes | BinaryIO) -> None:
        """Take one object."""

    def restart(self) -> None:
        """Give up all objects taken so far: the frames come again in another form."""


class StageClock:
    """CPU seconds by stage."""

    def __init__(self) -> None:
        self.times: defaultdict[str, float] = defaultdict(float)

    @contextmanager
    def __call__(self, stage: str) -> Iterator[None]:
        """Count the time of the block as that stage's."""
        start = time.process_time()
        try:
            yield
        finally:
            self.times[stage] += time.process_time() - start


@dataclass(frozen=True, slots=True)
class PublishedFrames:
    """How the frames were published: their transfer syntax, what that changes in the metadata, rows, notes.

    `middle` is the frame that stands for all.
    """

    syntax: str
    changes: JSONDataset
    rows: tuple[FrameRow, ...]
    notes: tuple[str, ...]
    middle: PublishedFrame


def publish_frames(
    reader: FrameReader, uids: InstanceUIDs, options: BuildOptions, sink: Sink, clock: StageClock
) -> PublishedFrames:
    """Put every frame of an instance into `sink`.

    Raises:
        PixelDataError: if a frame cannot be read or decoded.
    """
    publisher = _Publisher(reader, uids, options, sink, clock)
    with clock("read"):
        form = reader.form()
    if form is Form.LOSSY and options.lossy is Lossy.KEEP:
        return publisher.keep()
    if not reader.description.encodable:
        return publisher.native(())
    try:
        return publisher.encode(lossy=form is Form.LOSSY)
    except CodecError as error:
        sink.restart()
        return publisher.native((f"published as native frames: {error}",))


class _Publisher:
    """One pass over the frames of one instance."""

    def __init__(
        self, reader: FrameReader, uids: InstanceUIDs, options: BuildOptions, sink: Sink, clock: StageClock
    ) -> None:
        self.reader = reader
        self.uids = uids
        self.options = options
        self.sink = sink
        self.clock = clock
        self.masked = 0
        self.converted = 0
        self.middle: PublishedFrame | None = None

    def keep(self) -> PublishedFrames:
        """Every frame's bytes as they are, after a look that they decode."""
        for index in range(self.reader.description.frames):
            with self.clock("read"):
                data = self.reader.encoded(index)
            with self.clock("decode"):
                decoded = self.reader.decode(data)
            self._show(index, decoded.array)
            self._put(frame_key(self.uids, index + 1), wrap_part(data, self.reader.syntax))
        return self._published(self.reader.syntax, {"00083002": _ui(self.reader.syntax)}, (), ())

    def native(self, notes: tuple[str, ...]) -> PublishedFrames:
        """Every frame as Explicit VR Little Endian stores it."""
        self.masked = self.converted = 0
        description = self.reader.description
        for index in range(description.frames):
            frame = self._decoded(index)
            self._show(index, frame)
            payload = native_bytes(frame, description.bits_allocated)
            self._put(frame_key(self.uids, index + 1), wrap_part(payload, EXPLICIT_VR_LITTLE_ENDIAN))
        changes: JSONDataset = {"00083002": _ui(EXPLICIT_VR_LITTLE_ENDIAN)}
        if description.samples > 1:
            changes |= _colour("RGB")
        return self._published(EXPLICIT_VR_LITTLE_ENDIAN, changes, (), (*notes, *self._notes()))

    def encode(self, *, lossy: bool) -> PublishedFrames:
        """Every frame as HTJ2K, with its reduced variants.

        Raises:
            CodecError: if a frame does not come back from its codestream as it went in.
        """
        rows = tuple(self._encode(index) for index in range(self.reader.description.frames))
        changes: JSONDataset = {"00083002": _ui(HTJ2K_RPCL)}
        if self.reader.description.samples > 1:
            changes |= _colour("YBR_RCT")
        if lossy:
            changes["00282110"] = {"vr": "CS", "Value": ["01"]}
            changes["00282114"] = {"vr": "CS", "Value": [_LOSSY_METHODS[self.reader.syntax]]}
        return self._published(HTJ2K_RPCL, changes, rows, self._notes())

    def _encode(self, index: int) -> FrameRow:
        data, header, frame = self._codestream(index)
        self._show(index, frame, data, header)
        with self.clock("index"):
            row = FrameRow(codestream.resolutions(header, len(data)), codec.frame_crc32(frame))
        self._put(frame_key(self.uids, index + 1), data)
        for level in self.options.reduced:
            if level <= header.levels:
                with self.clock("reduce"):
                    reduced = codestream.reduce_codestream(data, level, header)
                self._put(reduced_key(self.uids, level, index + 1), reduced)
        return row

    def _codestream(self, index: int) -> tuple[bytes, codestream.MainHeader, Frame]:
        """A verified codestream, its header and its pixels; the source's own if it already is what is published."""
        if not self.reader.native:
            with self.clock("read"):
                data = self.reader.encoded(index)
            if self._is_published_form(data):
                with self.clock("verify"):
                    header = codestream.parse_header(data)
                    return data, header, self._check_passed(data, header, index)
        frame = self._decoded(index)
        bits = self.reader.description.bits_stored
        with self.clock("encode"):
            data = codec.encode_frame(frame, bits)
        with self.clock("verify"):
            header = codestream.parse_header(data)
            if not np.array_equal(codec.decode_lossless(data, header), frame):
                raise CodecError(f"frame {index + 1} did not come back from its codestream as it went in")
        return data, header, frame

    def _check_passed(self, data: bytes, header: codestream.MainHeader, index: int) -> Frame:
        """The pixels of a codestream that passes as it is; every prefix must hold the resolution it promises.

        Raises:
            CodecError: if it does not, or cannot be decoded.
        """
        for resolution in codestream.resolutions(header, len(data)):
            level = resolution.decode_level
            prefix = codec.decode_prefix(data[: resolution.prefix_length], level)
            if not np.array_equal(prefix, codec.decode_frame(data, level)):
                raise CodecError(f"the tile-parts of frame {index + 1} are not its resolutions")
        return codec.decode_lossless(data, header).astype(self.reader.description.dtype, copy=False)

    def _is_published_form(self, data: bytes) -> bool:
        """Whether a source frame already is a codestream as published here, and agrees with its data set."""
        d = self.reader.description
        if self.reader.syntax not in _HTJ2K or codestream.nonconformities(data):
            return False
        self.reader.probe(data)
        component = codestream.parse_header(data).components[0]
        return (component.precision, component.signed) == (d.bits_stored, d.pixel_representation == 1) and (
            d.samples == 1 or d.photometric in ("RGB", "YBR_RCT")
        )

    def _decoded(self, index: int) -> Frame:
        with self.clock("read" if self.reader.native else "decode"):
            decoded: DecodedFrame = self.reader.decoded(index)
        self.masked += decoded.masked
        self.converted += decoded.converted
        return decoded.array

    def _show(
        self, index: int, pixels: Frame, data: bytes | None = None, header: codestream.MainHeader | None = None
    ) -> None:
        """Keep the frame that stands for all."""
        if index == self.reader.description.frames // 2:
            self.middle = PublishedFrame(index, pixels, data, header)

    def _published(
        self, syntax: str, changes: JSONDataset, rows: tuple[FrameRow, ...], notes: tuple[str, ...]
    ) -> PublishedFrames:
        assert self.middle is not None
        return PublishedFrames(syntax, changes, rows, notes, self.middle)

    def _put(self, key: str, data: bytes) -> None:
        with self.clock("write"):
            self.sink.put(key, data)

    def _notes(self) -> tuple[str, ...]:
        notes = []
        if self.masked:
            notes.append(f"bits above Bits Stored were set in {self.masked} frames; they are not published")
        if self.converted:
            notes.append("YBR_FULL samples were converted to RGB, with the rounding of PS3.3 C.7.6.3.1.2")
        return tuple(notes)


def _ui(uid: str) -> dict[str, object]:
    return {"vr": "UI", "Value": [uid]}


def _colour(photometric: str) -> JSONDataset:
    """What the Image Pixel module says of interleaved colour frames."""
    return {"00280004": {"vr": "CS", "Value": [photometric]}, "00280006": {"vr": "US", "Value": [0]}}


def same_frame(one: bytes, other: bytes) -> bool:
    """Whether two stored frames hold the same pixels: equal bytes, or codestreams that decode alike."""
    if one == other:
        return True
    if not (one.startswith(b"\xff\x4f") and other.startswith(b"\xff\x4f")):
        return False
    try:
        return bool(np.array_equal(codec.decode_lossless(one), codec.decode_lossless(other)))
    except CodecError as error:
        raise PixelDataError(f"a published frame cannot be decoded: {error}") from error
