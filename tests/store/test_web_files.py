"""Files of a site in a folder: written whole, one job at a time, and what is in their way."""

from __future__ import annotations

import gzip
import os
import threading
import time
from pathlib import Path

import pytest

from stillframe.errors import StoreError
from stillframe.store.web_files import WebFile, WebFolder


def page(key: str, data: bytes = b"x", *, copy: str = "") -> WebFile:
    return WebFile(
        key=key, data=data, media_type="text/html", cache_control="no-cache", compressed=bool(copy), copy=copy
    )


def test_a_file_is_read_as_it_was_put(tmp_path: Path) -> None:
    files = WebFolder(tmp_path / "new" / "folder")
    with files.alone():
        files.put(page("a/b.js", b"text " * 100, copy="a/b.js.gz"))
    assert files.get("a/b.js") == b"text " * 100
    assert gzip.decompress((files.root / "a/b.js.gz").read_bytes()) == b"text " * 100
    assert sorted(files.list("a/")) == ["a/b.js", "a/b.js.gz"]
    assert files.get("missing") is files.get("a/b.js/c") is None
    assert [*files.list("missing/")] == []


def test_folders_that_become_empty_go(tmp_path: Path) -> None:
    files = WebFolder(tmp_path)
    files.put(page("a/b/c"))
    files.put(page("a/d"))
    files.delete("a/b/c")
    assert not (tmp_path / "a/b").exists()
    files.delete("a/d")
    files.delete("a/d")
    assert [*tmp_path.iterdir()] == []


def test_a_link_is_not_written_through(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.write_bytes(b"outside")
    files = WebFolder(tmp_path / "site")
    files.put(page("other"))
    (files.root / ".page.part").symlink_to(outside)
    files.put(page("page", b"new"))
    assert (files.get("page"), outside.read_bytes()) == (b"new", b"outside")
    (files.root / "link").symlink_to(outside)
    with pytest.raises(StoreError, match="link is no file"):
        files.check("link")
    assert files.get("link") is None


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StoreError, match="file"), WebFolder(tmp_path / "file").alone():
        pass
    with pytest.raises(StoreError, match="file/x"):
        WebFolder(tmp_path / "file").put(page("x"))


def test_jobs_take_turns(tmp_path: Path) -> None:
    files = WebFolder(tmp_path)
    order: list[str] = []
    inside = threading.Event()

    def wait_for_turn() -> None:
        inside.wait()
        with WebFolder(tmp_path).alone():
            order.append("second")

    other = threading.Thread(target=wait_for_turn)
    other.start()
    with files.alone():
        inside.set()
        time.sleep(0.2)
        order.append("first")
    other.join()
    assert order == ["first", "second"]


def test_what_is_written_is_on_the_disk_before_it_has_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[bool] = []

    def note(_descriptor: int) -> None:
        synced.append((tmp_path / "page").exists())

    monkeypatch.setattr(os, "fsync", note)
    WebFolder(tmp_path).put(page("page"))
    assert synced == [False]
