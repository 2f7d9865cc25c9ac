"""What an idle worker does: it makes frames of an instance that another worker publishes, and gives them back.

Frames go back as values, each verified as in the worker that publishes them. A frame that cannot be made is not
explained: that worker tries it itself, and what then goes wrong counts.
"""

from __future__ import annotations

import pickle
import socket
from contextlib import closing, suppress
from dataclasses import dataclass
from typing import Any

from stillframe.build.channel import Channel, ChannelClosed
from stillframe.build.frame_work import FrameWork, MadeFrame
from stillframe.build.meeting import Meeting
from stillframe.dicom.files import ReadableFile, reopen_file
from stillframe.pixels.reader import StoredFrame


@dataclass(frozen=True, slots=True)
class HandedWork:
    """Work on the frames of a pass, pickled. With `opened`, the file comes along that its native frames are in."""

    work: bytes
    opened: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class HandedFrames:
    """Frames to make, of the work handed before: their indices and, where no file came along, their stored bytes.

    `number` and `round` come back with what they became.
    """

    round: int
    number: int
    indices: tuple[int, ...]
    stored: tuple[Any, ...] = ()  # a StoredFrame each, which may be a pickle.PickleBuffer on its way


@dataclass(frozen=True, slots=True, kw_only=True)
class MadeFrames:
    """What frames became, up to the first that could not be made; `times` are CPU seconds by stage."""

    round: int
    number: int
    made: tuple[MadeFrame, ...]
    times: dict[str, float]


def help_with_frames(meeting: Meeting) -> int:
    """Make frames for whoever holds a meeting, until that is over; how many, none if it is over already."""
    count = 0
    connection = socket.socket(socket.AF_UNIX)
    with closing(Channel(connection)) as channel:
        try:
            connection.connect(meeting.path)
        except OSError:
            return count
        with suppress(ChannelClosed), closing(_Helper(channel)) as helper:
            channel.send_bytes(meeting.key)
            while True:
                count += helper.answer(channel.receive())
    return count


class _Helper:
    """The work at hand, and the frames that came without a file."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._work: FrameWork | None = None
        self._file: ReadableFile | None = None
        self._stored: dict[int, StoredFrame] = {}

    def answer(self, message: HandedWork | HandedFrames) -> int:
        """Take over work, or do some of it and send what came of it; how many frames were made."""
        if isinstance(message, HandedWork):
            self._take_over(message)
            return 0
        assert self._work is not None
        self._stored.clear()
        self._stored.update(zip(message.indices, message.stored, strict=False))
        made: list[MadeFrame] = []
        # Whoever publishes the frame meets the same failure, or none, and says what it is.
        with suppress(Exception):
            made += map(self._work.make, message.indices)
        times = dict(self._work.clock.times)
        self._work.clock.times.clear()
        self._channel.send(MadeFrames(round=message.round, number=message.number, made=tuple(made), times=times))
        return len(made)

    def _take_over(self, handed: HandedWork) -> None:
        self.close()
        self._work = work = pickle.loads(handed.work)  # noqa: S301  (from a worker of this job)
        if handed.opened:
            self._file = reopen_file(self._channel.take_descriptor())
            work.reader.file = self._file
        else:
            work.reader.read_by(self._stored.__getitem__)

    def close(self) -> None:
        """Close the file at hand."""
        if self._file is not None:
            self._file.close()
            self._file = None
