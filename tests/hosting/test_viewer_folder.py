"""OHIF's folder, read: odd files in it, and what its digest follows from."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from stillframe.errors import UsageError
from stillframe.hosting.viewer_folder import read_viewer
from tests.support.ohif import APP, DECODER, FILES, write_ohif


def test_a_site_takes_what_is_needed(tmp_path: Path) -> None:
    viewer = read_viewer(write_ohif(tmp_path / "dist with space"))
    assert set(viewer.files) == {*FILES, "viewer-start.js"} - {"index.html", "app-config.js"}
    assert viewer.folder == f"ohif/{viewer.digest}/"
    assert len(viewer.digest) == 16
    assert viewer.read(DECODER) == FILES[DECODER]
    assert b"currentScript" in viewer.read(APP)


def test_links_are_not_followed(tmp_path: Path) -> None:
    dist = write_ohif(tmp_path / "dist")
    (tmp_path / "outside.js").write_bytes(b"secret")
    (dist / "link.js").symlink_to(tmp_path / "outside.js")
    (dist / "linked").symlink_to(tmp_path, target_is_directory=True)
    os.mkfifo(dist / "pipe.js")
    (dist / "folder.js").mkdir()
    assert set(read_viewer(dist).files) == set(read_viewer(write_ohif(tmp_path / "other")).files)


def test_the_digest_follows_from_names_and_content(tmp_path: Path) -> None:
    digests = {
        read_viewer(write_ohif(tmp_path / "a")).digest,
        read_viewer(write_ohif(tmp_path / "b", **{DECODER: b"\0asm other"})).digest,
        read_viewer(write_ohif(tmp_path / "c", **{"more.js": b""})).digest,
    }
    assert len(digests) == 3
    assert read_viewer(write_ohif(tmp_path / "d")).digest in digests
    assert read_viewer(write_ohif(tmp_path / "e", **{"sw.js": b"what is left out does not count"})).digest in digests


def test_what_is_no_viewer_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"not a prebuilt viewer, there is no index\.html"):
        read_viewer(tmp_path)
    with pytest.raises(UsageError, match=r"dist: no page of OHIF that is known how to rewrite"):
        read_viewer(write_ohif(tmp_path / "dist", **{"index.html": b"<!doctype html>"}))
    with pytest.raises(UsageError, match="no UTF-8"):
        read_viewer(write_ohif(tmp_path / "odd", **{"index.html": b"\xff"}))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read every file")
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    dist = write_ohif(tmp_path / "dist")
    (dist / DECODER).chmod(0)
    with pytest.raises(UsageError, match=DECODER):
        _ = read_viewer(dist).digest
