"""A worker tells how many frames are made."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, cast

import pytest

from stillframe.build import frame_count
from stillframe.build.frame_count import FrameCount, arrange_count, counting
from stillframe.build.frame_work import FrameWork, MadeFrame

NO_WORK = cast("FrameWork", None)


def make(_work: FrameWork, indices: Sequence[int]) -> Iterator[MadeFrame]:
    made: Iterator[Any] = iter(indices)
    return made


def test_frames_come_as_they_do_without_a_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(frame_count, "_EVERY_SECONDS", 0.0)
    count = arrange_count()
    frames = counting(count, make)(NO_WORK, range(300))
    assert [*map(int, cast("Iterator[int]", islice(frames, 100)))] == [*range(100)]
    assert count.read() == (100, 300)
    assert [*map(int, cast("Iterator[int]", frames))] == [*range(100, 300)]
    assert count.read() is None


def test_of_few_frames_nothing_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(frame_count, "_EVERY_SECONDS", 0.0)
    count = arrange_count()
    frames = counting(count, make)(NO_WORK, range(200))
    assert len([*islice(frames, 100)]) == 100
    assert count.read() is None


def test_a_worker_on_another_machine_tells_nobody(tmp_path: Path) -> None:
    count = FrameCount(str(tmp_path / "not here" / "count-1"))
    count.tell(1, 300)
    count.forget()
    assert count.read() is None
