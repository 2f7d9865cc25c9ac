"""A site put beside an archive, in a folder and in buckets: again, after a kill, after an update, among other files."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from stillframe.archive.roots import find_roots
from stillframe.errors import StoreError, UsageError
from stillframe.hosting.publish_site import publish_site
from stillframe.hosting.site import Site, list_site
from stillframe.hosting.site_keys import is_compressed, is_shell, site_cache_control, site_media_type
from stillframe.hosting.viewer_folder import read_viewer
from stillframe.store.base import Store
from stillframe.store.directory import DirectoryStore
from stillframe.store.s3 import S3Store
from stillframe.store.s3_client import Checksums
from stillframe.store.web_files import WebBucket, WebFile, WebFiles, WebFolder
from tests.support.moto_server import run_moto_bucket
from tests.support.ohif import DECODER, write_ohif
from tests.support.served_tree import TREE

PREFIX: Final = "some/prefix"
TOKEN: Final = "abcdefghijklmnopqrstuvwxyz234567"


class Place:
    """Where a site goes, with all that is there: an archive's objects by key, and the site's files."""

    def __init__(self, files: WebFiles, store: Store) -> None:
        self.files = files
        self.store = store
        for key in ("studies", "studies/1.2/series", "studies/1.2/metadata", "studies/1.2/series/1.3/frame-index"):
            store.put(key, b"[]")
        store.below(TOKEN).put("studies", b"[]")

    def archive(self) -> dict[str, bytes]:
        found = {key: stored.data for key, _ in self.store.list("") if (stored := self.store.get(key))}
        assert len(found) == 4
        return found

    def stored(self) -> dict[str, object]:
        """What is stored of the site: bytes as they lie there, and the headers that a bucket keeps."""
        if isinstance(self.files, WebFolder):
            root = self.files.root
            paths = (path for path in root.rglob("*") if path.is_file())
            named = ((path.relative_to(root).as_posix(), path.read_bytes()) for path in paths)
            return {name: data for name, data in named if not name.startswith(("studies/", TOKEN))}
        assert isinstance(self.files, WebBucket)
        bucket, found = self.files.bucket, dict[str, object]()
        for page in bucket.client.get_paginator("list_objects_v2").paginate(Bucket=bucket.name, Prefix=f"{PREFIX}/"):
            for content in page.get("Contents", ()):
                name = content["Key"].removeprefix(f"{PREFIX}/")
                if name.startswith(("studies", TOKEN)):
                    continue
                answer = bucket.client.get_object(Bucket=bucket.name, Key=content["Key"])
                headers = [answer.get(header, "") for header in ("ContentType", "CacheControl", "ContentEncoding")]
                found[name] = (answer["Body"].read(), *headers)
        return found


_S3: Final = [pytest.param(name, marks=pytest.mark.s3) for name in ("moto", "server", "server without checksums")]


@pytest.fixture(params=["folder", *_S3])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    if request.param == "folder":
        yield Place(WebFolder(tmp_path / "tree"), DirectoryStore(str(tmp_path / "tree")))
    elif request.param == "moto":
        with run_moto_bucket("site") as bucket:
            yield Place(WebBucket(bucket, PREFIX), S3Store(bucket, PREFIX))
    else:
        checksums = Checksums.ALWAYS if request.param == "server" else Checksums.REQUIRED
        bucket = request.getfixturevalue("s3_server").make_bucket(checksums=checksums)
        yield Place(WebBucket(bucket, PREFIX), S3Store(bucket, PREFIX))


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return list_site(read_viewer(write_ohif(tmp_path / "dist")))


def assert_published(site: Site, place: Place) -> None:
    """Everything is there, as a host sends it, and nothing else."""
    stored = place.stored()
    expected: dict[str, object] = {}
    for key, read in site.files.items():
        if isinstance(place.files, WebFolder):
            expected[key] = read()
            if is_compressed(key) and not is_shell(key):
                copy = stored[f"{key}.gz"]
                assert isinstance(copy, bytes)
                assert gzip.decompress(copy) == read()
                assert copy[4:8] == bytes(4)  # no time
                expected[f"{key}.gz"] = copy
            continue
        kept = stored[key]
        assert isinstance(kept, tuple)
        data, headers = kept[0], list(kept[1:])
        encoding = "gzip" if is_compressed(key) else ""
        assert headers == [site_media_type(key), site_cache_control(key), encoding]
        assert (gzip.decompress(data) if encoding else data) == read()
        expected[key] = stored[key]
    assert stored == expected


def test_a_site_is_published_beside_an_archive(place: Place, site: Site) -> None:
    before = place.archive()
    report = publish_site(site, place.files)
    assert (report.written, report.unchanged, report.removed) == (len(site.files), 0, 0)
    assert_published(site, place)
    assert place.archive() == before
    assert list(find_roots(place.store)) == [TOKEN]


def test_again_it_is_the_same(place: Place, site: Site) -> None:
    publish_site(site, place.files)
    before = place.stored()
    report = publish_site(site, place.files)
    assert (report.written, report.unchanged, report.removed) == (0, len(site.files), 0)
    assert place.stored() == before


def test_an_update_takes_the_place_of_what_was_there(place: Place, site: Site, tmp_path: Path) -> None:
    publish_site(site, place.files)
    other = list_site(read_viewer(write_ohif(tmp_path / "other", **{DECODER: b"\0asm another"})))
    report = publish_site(other, place.files)
    assert_published(other, place)
    assert report.removed == sum(key not in other.files for key in site.files)
    without = list_site()
    publish_site(without, place.files)
    assert_published(without, place)
    assert len(place.archive()) == 4


def edited(site: Site) -> bytes:
    return site.files["app-config.js"]().replace(b"showStudyList: true", b"showStudyList: false")


def put_config(place: Place, data: bytes) -> None:
    place.files.put(
        WebFile(key="app-config.js", data=data, media_type="text/javascript", cache_control="no-cache", compressed=True)
    )


def test_an_edited_configuration_stays_until_it_is_to_be_replaced(place: Place, site: Site) -> None:
    publish_site(site, place.files)
    changed = edited(site)
    put_config(place, changed)
    for other in (site, list_site()):  # without a viewer, too
        report = publish_site(other, place.files)
        assert (report.kept, report.unchanged + report.written) == (
            True,
            len(other.files) - ("app-config.js" in other.files),
        )
        assert place.files.get("app-config.js") == changed
    report = publish_site(site, place.files, replace_config=True)
    assert not report.kept
    assert_published(site, place)


def test_a_configuration_of_an_older_version_is_renewed(place: Place, site: Site) -> None:
    lines = site.files["app-config.js"]().splitlines(keepends=True)
    put_config(place, b"".join(lines[:1] + lines[2:]) + b"// older\n")
    assert not publish_site(site, place.files).kept
    assert_published(site, place)


class _Killed(BaseException):
    pass


class _DyingFiles(WebFiles):
    """Files that let some writes and removals through, and then end the job."""

    def __init__(self, files: WebFiles, left: int) -> None:
        self._files = files
        self._left = left

    def _count(self) -> None:
        if not self._left:
            raise _Killed
        self._left -= 1

    def get(self, key: str) -> bytes | None:
        return self._files.get(key)

    def list(self, start: str) -> Iterator[str]:
        return self._files.list(start)

    def put(self, file: WebFile) -> None:
        self._count()
        self._files.put(file)

    def delete(self, key: str) -> None:
        self._count()
        self._files.delete(key)


@pytest.mark.slow
def test_a_killed_job_leaves_no_page_without_what_it_names(tmp_path: Path, site: Site) -> None:
    """At each moment of an update, every page that is there names only what is there; run again, it ends the same."""
    other = list_site(read_viewer(write_ohif(tmp_path / "other", **{DECODER: b"\0asm another"})))
    for left in range(0, len(other.files), 3):
        place = Place(WebFolder(tmp_path / str(left)), DirectoryStore(str(tmp_path / str(left))))
        publish_site(site, place.files)
        with pytest.raises(_Killed):
            publish_site(other, _DyingFiles(place.files, left))
        stored = place.stored()
        for files in (site.files, other.files):
            if stored["viewer"] == files["viewer"]():
                assert set(files) <= set(stored) | {"index.html"}
        publish_site(other, place.files)
        assert_published(other, place)


def test_what_a_killed_job_was_writing_is_cleared_away(tmp_path: Path, site: Site) -> None:
    place = Place(WebFolder(tmp_path / "tree"), DirectoryStore(str(tmp_path / "tree")))
    asset = next(key for key in site.files if key.endswith(DECODER))
    part = tmp_path / "tree" / asset.replace(DECODER, f".{DECODER}.part")
    part.parent.mkdir(parents=True)
    part.write_bytes(b"half")
    publish_site(site, place.files)
    assert_published(site, place)


def test_another_site_s_pages_are_not_overwritten(place: Place, site: Site) -> None:
    mine = b'<h1>Mine</h1><script type="module">import { install } from "./stillframe.js";</script>'
    for key in ("index.html", "viewer", "app-config.js", "service.js", "stillframe.js", "study-page.css"):
        page = WebFile(key=key, data=mine, media_type="text/html", cache_control="no-cache")
        place.files.put(page)
        before = place.stored()
        with pytest.raises(UsageError, match=f"there is a file {key} that is not of Stillframe"):
            publish_site(site, place.files)
        assert place.stored() == before
        place.files.delete(key)
    publish_site(site, place.files)


def test_another_site_s_files_stay(place: Place, site: Site) -> None:
    names = {"worklist", "ohif/readme.txt", "other/index.html", "study-tips.css", "study-results.js", "app-config.js"}
    for key in names:
        place.files.put(WebFile(key=key, data=b"mine", media_type="text/plain", cache_control="no-cache"))
    assert publish_site(list_site(), place.files).removed == 0
    assert names <= set(place.stored())


def test_a_folder_in_the_way_is_named(tmp_path: Path, site: Site) -> None:
    (tmp_path / "viewer").mkdir()
    with pytest.raises(StoreError, match=r"viewer is no file: a site has one there"):
        publish_site(site, WebFolder(tmp_path))
    (tmp_path / "viewer").rmdir()
    (tmp_path / "viewer").symlink_to("elsewhere")
    with pytest.raises(StoreError, match=r"viewer is no file: a site has one there"):
        publish_site(site, WebFolder(tmp_path))


def test_a_folder_of_a_name_that_the_site_does_not_use_stays(tmp_path: Path) -> None:
    (tmp_path / "viewer/dist").mkdir(parents=True)
    (tmp_path / "local").symlink_to("elsewhere")
    publish_site(list_site(), WebFolder(tmp_path))
    assert (tmp_path / "index.html").is_file()
    assert (tmp_path / "viewer/dist").is_dir()


def test_the_tree_of_the_preview_server_is_untouched(tmp_path: Path, site: Site) -> None:
    for path, data in TREE.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_bytes(data)
    publish_site(site, WebFolder(tmp_path))
    assert {path: (tmp_path / path).read_bytes() for path in TREE} == TREE
