"""What reaches the terminal."""

from __future__ import annotations

import itertools
import subprocess
import sys
from pathlib import Path

import pytest

from stillframe.cli.terminal import TerminalProgress, duration
from tests.support.dicom_files import encapsulated_value, image_attributes, jpeg, random_samples, write_dicom
from tests.support.frame_encoders import jpeg_lossy


@pytest.mark.slow
def test_a_decoder_in_the_process_of_the_command_says_nothing_on_the_terminal(tmp_path: Path) -> None:
    """libjpeg warns of an image that was cut short and closed again."""
    frame = random_samples((40, 50), "u1", 8)
    data = jpeg_lossy(frame, 8)
    value = encapsulated_value([data[: len(data) // 2] + b"\xff\xd9"])
    path = write_dicom(tmp_path / "file.dcm", jpeg(50), image_attributes(frame), value, vr="OB")
    command = [sys.executable, "-m", "stillframe", "build", "--workers", "0", str(path), str(tmp_path / "out")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    *stages, rejected = done.stderr.splitlines()
    assert stages == ["reading headers: 1", "publishing: 1"]
    assert "frame 1: truncated: the data of the JPEG image end before its pixels do" in rejected


def test_a_log_tells_now_and_then_how_fast_it_goes(capsys: pytest.CaptureFixture[str]) -> None:
    """Twelve seconds a step: a line for each, with what is rejected so far and the frame of a large instance."""
    clock = itertools.count(0, 12)
    now = next(clock)
    progress = TerminalProgress(lambda: now)
    progress.stage("publishing", 1000)
    for number in range(5):
        progress.reject(f"{number} frames need 4 bytes")
    progress.reject("is encrypted")
    now = next(clock)
    progress.step(240)
    now = next(clock)
    progress.inside("in/large.dcm", 300, 4000)
    assert capsys.readouterr().err.splitlines() == [
        "publishing: 1000",
        "publishing: 240 of 1000, 20/s, 38 s left, 6 rejected (5: # frames need # bytes; 1: is encrypted)",
        "publishing: 240 of 1000, 10/s, 76 s left, 6 rejected (5: # frames need # bytes; 1: is encrypted), "
        "large.dcm: frame 300 of 4,000",
    ]


def test_reasons_are_told_apart_up_to_a_hundred(capsys: pytest.CaptureFixture[str]) -> None:
    now = 0.0
    progress = TerminalProgress(lambda: now)
    progress.stage("finding files", 0)
    for number in range(150):
        progress.reject(f"because {chr(0x4E00 + number)}")
    now = 11.0
    progress.step()
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("finding files: 1, 0.1/s, 150 rejected (50: for other reasons; 1: because ")
    assert line.endswith("; ...)")


@pytest.mark.parametrize(("seconds", "text"), [(0.4, "0 s"), (99, "99 s"), (100, "2 min"), (6000, "1.7 h")])
def test_a_span_of_time_is_told_in_one_unit(seconds: float, text: str) -> None:
    assert duration(seconds) == text
