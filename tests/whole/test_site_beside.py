"""A site beside an archive: builds, dry runs, lists and deletions neither see it nor touch it, listed or not."""

from __future__ import annotations

from pathlib import Path

import pytest

from stillframe.archive.roots import find_roots
from stillframe.hosting.publish_site import publish_site
from stillframe.hosting.site import list_site
from stillframe.hosting.viewer_folder import read_viewer
from stillframe.store.base import Store
from stillframe.store.directory import DirectoryStore
from stillframe.store.s3 import S3Store
from stillframe.store.s3_client import Bucket
from stillframe.store.web_files import WebBucket, WebFiles, WebFolder
from tests.support.command import run
from tests.support.dicom_files import ROOT, STUDY, image, write, write_series
from tests.support.ohif import write_ohif
from tests.support.trees import objects

_OTHER = f"{ROOT}.2"
_SECRET = "0123456789abcdef0123456789abcdef"  # of nobody
pytestmark = pytest.mark.slow


class Place:
    """An archive's destination, as the command line names it and as it is read."""

    def __init__(self, location: str, options: tuple[str, ...], store: Store, files: WebFiles) -> None:
        self.location = location
        self.options = options
        self.store = store
        self.files = files

    def stillframe(self, command: str, *arguments: str | Path) -> str:
        first = (*arguments, "--workers", "0") if command == "build" else ()
        rest = () if command == "build" else arguments
        done = run(command, *first, self.location, *rest, *self.options, STILLFRAME_SECRET=_SECRET)
        assert done.returncode == 0, done.stderr
        return done.stdout


@pytest.fixture(params=["folder", pytest.param("server", marks=pytest.mark.s3)])
def places(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Place, Place]:
    """Two empty destinations of one kind."""
    if request.param == "folder":
        folders = [tmp_path / name for name in ("with", "without")]
        first, second = (Place(str(path), (), DirectoryStore(str(path)), WebFolder(path)) for path in folders)
    else:
        bucket: Bucket = request.getfixturevalue("s3_server").make_bucket()
        endpoint = ("--endpoint-url", bucket.settings.endpoint_url)
        first, second = (
            Place(f"s3://{bucket.name}/{name}", endpoint, S3Store(bucket, name), WebBucket(bucket, name))
            for name in ("with", "without")
        )
    return first, second


def site_of(place: Place, dist: Path) -> dict[str, bytes | None]:
    return {key: place.files.get(key) for key in list_site(read_viewer(dist)).files}


def archive_of(store: Store) -> dict[str, dict[str, bytes]]:
    """The objects of each root, by its name: empty for the archive's own."""
    return {"": objects(store)} | {name: objects(store.below(name)) for name in find_roots(store)}


@pytest.mark.parametrize("unlisted", [False, True])
def test_an_archive_is_the_same_with_a_site_and_without(
    places: tuple[Place, Place], tmp_path: Path, unlisted: bool
) -> None:
    beside, alone = places
    dist = write_ohif(tmp_path / "dist")
    sources = write_series(tmp_path / "in", 3)
    more = write(tmp_path / "more", "other.dcm", image(7, StudyInstanceUID=_OTHER, SeriesInstanceUID=f"{_OTHER}.1"))
    secret = ("--unlisted",) if unlisted else ()
    report = ("--report", str(tmp_path / "report.json")) if unlisted else ()
    publish_site(list_site(read_viewer(dist)), beside.files)
    site = site_of(beside, dist)
    assert None not in site.values()

    def same() -> dict[str, dict[str, bytes]]:
        found = archive_of(beside.store)
        assert found == archive_of(alone.store)
        assert site_of(beside, dist) == site
        return found

    for place in places:
        place.stillframe("build", sources, *secret, *report)
    assert sum(map(len, same().values())) > 10
    planned = [place.stillframe("build", more.parent, *secret, "--dry-run") for place in places]
    counts = [[line for line in text.splitlines() if " in all" in line] for text in planned]
    assert counts[0] == counts[1] != []
    for place in places:
        place.stillframe("build", more.parent, *secret, *report)
        place.stillframe("index")
    assert len(same()) == (3 if unlisted else 1)
    for place in places:
        place.stillframe("delete", "--study", STUDY, *secret)
        place.stillframe("delete", "--study", _OTHER, *secret)
    same()
    publish_site(list_site(read_viewer(dist)), beside.files)
    same()
