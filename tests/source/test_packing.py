"""What is found comes back from its rows as it was."""

from __future__ import annotations

import pytest

from stillframe.source.inputs import Elsewhere, FileState, InputRef, Item, Rejected, S3Object, Skipped
from stillframe.source.nested_archives import NestedArchives
from stillframe.source.packing import Packing
from stillframe.source.zip_archive import Member
from stillframe.store.s3_client import Bucket, S3Settings

STATE = FileState(10, 1 << 60, (1 << 60) + 1, (1 << 64) - 1)
MEMBER = Member("b!c.dcm", 5, 4, 3, 8, 0, 0xFFFFFFFF)
OBJECT = S3Object(Bucket("bucket", S3Settings(region="eu-west-1")), "prefix/a!b.zip", 10, '"etag"')


@pytest.mark.parametrize(
    "found",
    [
        InputRef(path="a/b.dcm"),
        InputRef(path="a/\udcff!\n.dcm", size=1 << 40, state=STATE),
        InputRef(path="a!b.zip", member="b!c.dcm", size=5, state=STATE, entry=MEMBER),
        InputRef(path="a.zip", member="in.zip!b!c.dcm", size=5, state=STATE, entry=MEMBER),
        InputRef(path=str(OBJECT), size=5, member="b!c.dcm", entry=MEMBER, remote=OBJECT),
        Rejected(path="a", reason="b", study="1", series="2", instance="3"),
        Skipped("a", "b", noteworthy=True, files=("c", "d")),
        InputRef(path=str(OBJECT), size=10, remote=OBJECT, study="1.2"),
        Skipped("a", "b", study="1.2"),
        Elsewhere("m.csv, line 7"),
    ],
)
def test_everything_that_is_found_comes_back(found: Item) -> None:
    packing = Packing()
    assert packing.unpack(*packing.pack(found)) == found


def test_an_archive_that_was_unpacked_stays_while_its_members_are_packed() -> None:
    kept = NestedArchives()
    nested = kept.keep([b"archive"], 7)
    packing = Packing()
    row = packing.pack(InputRef(path="a.zip", member="in.zip!b!c.dcm", entry=MEMBER, nested=nested))
    del kept, nested
    source = packing.unpack(*row)
    assert isinstance(source, InputRef)
    assert source.nested is not None
    with open(source.nested.path, "rb") as file:  # noqa: PTH123  (a descriptor of this process)
        assert file.read() == b"archive"
