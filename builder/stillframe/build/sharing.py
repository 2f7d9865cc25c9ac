"""Frames of one instance made by several workers, in the order and with the failures that one would have met.

The worker that publishes the instance hands out some frames and makes others itself. What they become is given back in
the order of the frames. A frame that could not be made ahead of its turn, by whomever, is tried anew when its turn
comes: what goes wrong then counts.
"""

from __future__ import annotations

import pickle
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import batched
from typing import Final

from stillframe.build.budget import chunk_frames, chunks_under_way
from stillframe.build.crew import Crew, Member
from stillframe.build.frame_work import FrameWork, MadeFrame
from stillframe.build.helper import HandedFrames, HandedWork, MadeFrames
from stillframe.build.results import StageClock
from stillframe.dicom.files import descriptor_of

type MakeFrames = Callable[[FrameWork, Sequence[int]], Iterator[MadeFrame]]
"""Makes what frames of those indices become, in their order; raises what `FrameWork.make` raises of the first of them
that cannot be made."""

_SHARED_BYTES: Final = 16 << 20  # of decoded frames: with fewer, a worker is done before another has begun


def make_alone(work: FrameWork, indices: Sequence[int]) -> Iterator[MadeFrame]:
    """See `MakeFrames`: here, one after the other."""
    return map(work.make, indices)


def sharing_with(crew: Crew) -> MakeFrames:
    """See `MakeFrames`: together with a crew, where there are so many frames that it pays."""

    def make(work: FrameWork, indices: Sequence[int]) -> Iterator[MadeFrame]:
        first, rest = indices[:1], indices[1:]
        yield from make_alone(work, first)  # it often shows that all are to be published otherwise
        worth = work.computes and len(rest) * work.reader.description.frame_bytes >= _SHARED_BYTES
        if worth and crew.open():
            yield from _Round(crew, work, rest).run()
        else:
            yield from make_alone(work, rest)

    return make


@dataclass(slots=True)
class _Chunk:
    """Frames that are made together: by somebody, then `made`, as far as that was possible."""

    number: int
    indices: tuple[int, ...]
    made: tuple[MadeFrame, ...] | None = None

    @property
    def failed(self) -> bool:
        """Whether a frame could not be made."""
        return self.made is not None and len(self.made) < len(self.indices)


class _Round:
    """One pass over frames. `chunks` are those under way or done whose turn has not come, in order."""

    def __init__(self, crew: Crew, work: FrameWork, indices: Sequence[int]) -> None:
        self._crew = crew
        self._work = work
        self._number = crew.begin_round()
        self._frame_bytes = work.reader.description.frame_bytes
        self._coming = enumerate(batched(indices, chunk_frames(self._frame_bytes)))
        self._chunks: deque[_Chunk] = deque()
        self._descriptor = _descriptor(work)
        self._handed: HandedWork | None = None

    def run(self) -> Iterator[MadeFrame]:
        """What the frames become, in their order."""
        while True:
            self._turn()
            head = self._chunks[0] if self._chunks else None
            if head is not None and head.made is not None:
                self._chunks.popleft()
                yield from head.made
                yield from make_alone(self._work, head.indices[len(head.made) :])
            elif (chunk := self._begin()) is not None:
                self._make_ahead(chunk)
            elif head is not None:
                self._turn(wait=True)
            else:
                return

    def _begin(self) -> _Chunk | None:
        """The next chunk, if there is one and room for it; none ahead of a failure, which may end the pass."""
        under_way = chunks_under_way(self._frame_bytes, 1 + len(self._crew.members))
        if len(self._chunks) >= under_way or any(chunk.failed for chunk in self._chunks):
            return None
        for number, indices in self._coming:
            self._chunks.append(_Chunk(number, indices))
            return self._chunks[-1]
        return None

    def _turn(self, *, wait: bool = False) -> None:
        """Take what members made, and give them more to do."""
        for answer in self._crew.answers(wait=wait):
            if answer.round == self._number:
                self._take(answer)
        for member in self._crew.members:
            while not member.busy and (chunk := self._begin()) is not None:
                self._hand_out(member, chunk)

    def _take(self, answer: MadeFrames) -> None:
        for chunk in self._chunks:
            if chunk.number == answer.number:
                chunk.made = answer.made
        self._work.clock.add(answer.times)

    def _hand_out(self, member: Member, chunk: _Chunk) -> None:
        """Have a member make a chunk; one that cannot be handed out is not made ahead of its turn."""
        try:
            if member.round != self._number:
                member.hand_work(self._number, self._work_for_members(), self._descriptor)
            stored = self._stored(chunk) if self._descriptor is None else ()
        except Exception:  # it counts when the frame's turn comes
            chunk.made = ()
            return
        member.hand_frames(HandedFrames(round=self._number, number=chunk.number, indices=chunk.indices, stored=stored))

    def _stored(self, chunk: _Chunk) -> tuple[bytes | pickle.PickleBuffer, ...]:
        """The frames of a chunk as they are stored."""
        with self._work.clock("read"):
            read = map(self._work.reader.stored, chunk.indices)
            return tuple(data if isinstance(data, bytes) else pickle.PickleBuffer(data) for data in read)

    def _work_for_members(self) -> HandedWork:
        """The work as it is now: what this process takes down of the frames is of no use to others."""
        if self._handed is None:
            work = pickle.dumps(replace(self._work, clock=StageClock()), protocol=5)
            self._handed = HandedWork(work, self._descriptor is not None)
        return self._handed

    def _make_ahead(self, chunk: _Chunk) -> None:
        """Make a chunk here before its turn comes."""
        made: list[MadeFrame] = []
        for index in chunk.indices:
            with suppress(Exception):  # it counts when the frame's turn comes
                made.append(self._work.make(index))
            if not made or made[-1].index != index:
                break
            self._turn()
        chunk.made = tuple(made)


def _descriptor(work: FrameWork) -> int | None:
    """The open file that holds native frames, which others can read as well; None of others, or without such a file.

    Compressed frames are small, and where they are in the file would be long to tell.
    """
    return descriptor_of(work.reader.file) if work.reader.native else None
