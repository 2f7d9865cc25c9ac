from __future__ import annotations

import random
import subprocess
import sys

import pytest

from stillframe.archive.new_instances import NewInstances
from stillframe.dicom.json_model import dumps


@pytest.mark.parametrize("bytes_each", [100, 50_000, 1_500_000])
def test_lines_come_back_as_they_were_added(bytes_each: int) -> None:
    """However many fit into memory, in whatever order they are asked for, the last of two that were added."""
    rng = random.Random(bytes_each)
    lines = {
        f"1.{number}": dumps({"00080018": {"vr": "UI", "Value": [f"1.{number}"]}, "00431000": {"vr": "LO", "Value": [
            "x" * rng.randrange(bytes_each)
        ]}})
        for number in range(60)
    }  # fmt: skip
    waiting = NewInstances()
    waiting.add("1.3", dumps({"00080018": {"vr": "UI", "Value": ["of before"]}}))
    for uid, line in lines.items():
        waiting.add(uid, line, None)
        assert waiting.line(uid) == line
    for uid in rng.sample(sorted(lines), len(lines)):
        assert waiting.line(uid) == lines[uid]
    assert len(waiting) == len(lines)
    assert set(waiting.rows.values()) == {None}
    summaries = waiting.summaries({"1.3", "1.50"})
    assert summaries == {uid: {"00080018": {"vr": "UI", "Value": [uid]}} for uid in ("1.3", "1.50")}
    waiting.close()


# Adds lines of 300 kB to a file that takes no more than a million bytes, and says at which of them that was told.
FILL = """
import resource
from stillframe.archive.new_instances import NewInstances
resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000))
waiting = NewInstances()
for number in range(20):
    try:
        waiting.add(str(number), b"x" * 300_000)
    except OSError as error:
        print(number, error.strerror)
        break
"""


def test_a_line_that_finds_no_room_is_told() -> None:
    """Four of them are more than what waits in memory: the file takes a part of these."""
    done = subprocess.run([sys.executable, "-c", FILL], capture_output=True, text=True, check=True)
    assert done.stdout == "3 File too large\n"
