"""What reaches the terminal."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

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
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stderr.splitlines() == ["reading headers: 1", "publishing: 1"]
