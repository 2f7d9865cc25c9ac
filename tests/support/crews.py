"""Crews whose members are threads of the test: what they make is what other processes would."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from stillframe.build.crew import Crew
from stillframe.build.helper import help_with_frames
from stillframe.build.meeting import arrange_meeting


@contextmanager
def crew_of(members: int) -> Iterator[Crew]:
    """A crew to which so many members have come."""
    meeting = arrange_meeting()
    threads = [threading.Thread(target=help_with_frames, args=(meeting,), name="member") for _ in range(members)]
    with Crew(meeting) as crew:
        assert crew.open()
        for thread in threads:
            thread.start()
        deadline = time.monotonic() + 60
        while len(crew.members) < members:
            assert not list(crew.answers(wait=False))
            assert time.monotonic() < deadline, "members do not come"
            time.sleep(0.001)
        yield crew
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive(), "a member does not leave when the meeting has ended"
