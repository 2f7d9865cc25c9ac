"""stillframe.js in browsers: what prebuilt OHIF and a Cornerstone3D page draw, against the standard's formulas.

`tests/e2e/module.mjs` does it. What it needs comes with `make e2e`: the packages in `tests/e2e/node_modules`, and OHIF.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

E2E = Path(__file__).resolve().parents[1] / "e2e"
MODULES = E2E / "node_modules"
CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or "/usr/bin/chromium"
_MINUTES = 20

pytestmark = [
    pytest.mark.browser,
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed"),
    pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="ffmpeg is not installed"),
    pytest.mark.skipif(not Path(CHROMIUM).exists(), reason="chromium is not installed"),
    pytest.mark.skipif(not (MODULES / "playwright-core").is_dir(), reason="tests/e2e/node_modules is not installed"),
]


@pytest.mark.parametrize("viewer", ["ohif-3.13.2", "ohif-3.14.0-beta.6", "cornerstone"])
def test_what_is_drawn(viewer: str) -> None:
    if viewer.startswith("ohif") and not (MODULES / ".viewers" / viewer / "package" / "dist").is_dir():
        pytest.skip(f"{viewer} is not in tests/e2e/node_modules/.viewers")
    environment = os.environ | {"CHROMIUM": CHROMIUM, "STILLFRAME_BIN": str(Path(sys.executable).parent)}
    command = ["node", str(E2E / "module.mjs"), viewer]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment, timeout=_MINUTES * 60)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"ok   {viewer} shows sigmoid (" in done.stdout
