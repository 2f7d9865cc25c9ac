"""stillframe.js, OHIF's configuration and its start in node: a fake registry of providers, a fake page."""

from __future__ import annotations

import gzip
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pydicom
import pytest

from stillframe.hosting.pages import render, templates_folder
from stillframe.hosting.viewer_config import CONFIG, render_viewer_config

HERE = Path(__file__).resolve().parent
DECODER = HERE.parent / "e2e" / "node_modules" / "codec-openjph-of-ohif"
MODULE = "stillframe.js"

needs_node = pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed")


def run_tests(name: str, **environment: str) -> None:
    """Run the tests of one file; that none is there is a failure too."""
    done = subprocess.run(
        ["node", "--test", str(HERE / name)], capture_output=True, text=True, check=False, env=os.environ | environment
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "# pass 0" not in done.stdout


@needs_node
def test_providers_and_extension() -> None:
    run_tests("stillframe.test.mjs")


@pytest.mark.slow
@needs_node
def test_frames() -> None:
    run_tests("frames.test.mjs")


@needs_node
@pytest.mark.slow
@pytest.mark.skipif(not (DECODER / "dist").is_dir(), reason="tests/e2e/node_modules is not installed")
def test_what_the_decoder_of_ohif_takes(tmp_path: Path) -> None:
    samples = Path(pydicom.__file__).parent / "data" / "test_files"
    command = [sys.executable, "-m", "stillframe", "build", str(samples), str(tmp_path)]
    assert subprocess.run(command, capture_output=True, check=False).returncode == 2  # some are broken
    run_tests("decoder.test.mjs", TREE=str(tmp_path / "studies"))


@needs_node
def test_configuration(tmp_path: Path) -> None:
    plain, titled = tmp_path / "plain.js", tmp_path / "titled.js"
    plain.write_text(render_viewer_config())
    titled.write_text(render(f"{CONFIG}.j2", title="</script>\"'"))
    run_tests("app-config.test.mjs", APP_CONFIG=str(plain), APP_CONFIG_TITLED=str(titled))


@needs_node
def test_the_viewer_s_start() -> None:
    run_tests("viewer-start.test.mjs")


def test_the_module_is_small() -> None:
    assert len(gzip.compress((templates_folder() / MODULE).read_bytes(), 9)) < 10 * 1024


def test_the_module_is_one_file_without_dependencies() -> None:
    text = (templates_folder() / MODULE).read_text()
    assert text.isascii()
    assert "\nimport " not in text
    assert "import(" not in text
