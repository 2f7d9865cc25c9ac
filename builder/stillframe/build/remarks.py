"""What is noted of single frames, and the notes that come of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

# A note lists so many runs of frames.
_RUNS: Final = 20


class Remarks:
    """Remarks on the frames of one instance; the same one on several of them becomes one note."""

    def __init__(self) -> None:
        self._indices: dict[str, list[int]] = {}

    def add(self, frame_index: int, *remarks: str) -> None:
        """Take down remarks on a frame, whose index counts from 0; empty ones are none."""
        for remark in filter(None, remarks):
            self._indices.setdefault(remark, []).append(frame_index)

    def notes(self, frames: int) -> list[str]:
        """A note for each remark; one that is not about all of so many frames names those that it is about."""
        return [
            remark if len(indices) == frames else f"{remark} ({_numbers(indices)})"
            for remark, indices in self._indices.items()
        ]


def _numbers(indices: Sequence[int]) -> str:
    """Frame numbers, those that follow each other as a run."""
    runs = [str(first) if first == last else f"{first} to {last}" for first, last in _runs(indices)]
    more = f" and {len(runs) - _RUNS} more runs" if len(runs) > _RUNS else ""
    return f"frame{'s' if len(indices) > 1 else ''} {', '.join(runs[:_RUNS])}{more}"


def _runs(indices: Sequence[int]) -> Iterator[tuple[int, int]]:
    """First and last frame number of every run of ascending indices."""
    first = previous = indices[0] + 1
    for index in indices[1:]:
        if index + 1 != previous + 1:
            yield first, previous
            first = index + 1
        previous = index + 1
    yield first, previous
