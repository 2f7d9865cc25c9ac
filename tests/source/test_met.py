"""What a search met before is known by what it is, not by its name."""

from __future__ import annotations

import os

from stillframe.source.inputs import S3Object
from stillframe.source.met import Met
from stillframe.store.s3_client import Bucket


def status(device: int, inode: int) -> os.stat_result:
    return os.stat_result((0o100644, inode, device, 1, 0, 0, 0, 0, 0, 0))


def test_files_and_folders_are_known_by_device_and_inode() -> None:
    """Both may have 64 bits."""
    met, most = Met(), (1 << 64) - 1
    assert met.file(status(1, most), "a\udcff") is None
    assert met.file(status(1, most), "b") == "a\udcff"
    assert met.file(status(1, most - 1), "b") is None
    assert met.file(status(most, most), "c") is None
    assert met.folder(status(1, most), "d") is None
    assert met.folder(status(1, most), "d") == "d"


def test_a_file_with_another_study_is_another() -> None:
    """As an object is."""
    met = Met()
    assert met.file(status(1, 2), "a", "1.2") is None
    assert met.file(status(1, 2), "b", "1.3\udcff") is None
    assert met.file(status(1, 2), "c") is None
    assert met.file(status(1, 2), "d", "1.2") == "a"
    assert met.folder(status(1, 3), "a", "1.2") is None
    assert met.folder(status(1, 3), "b", "1.3") is None
    assert met.folder(status(1, 3), "b", "1.2") == "a"


def test_objects_come_once_and_in_the_order_of_their_keys() -> None:
    bucket, met = Bucket("bucket"), Met()
    keys = ["b", "a/2", "a/10", "a", "a/\U0001f4a9", "a/\uffff"]
    first = [S3Object(bucket, key, len(key), f'"{key}"') for key in keys]
    assert [*met.new_objects(first)] == sorted(first, key=lambda item: item.key)
    other = S3Object(bucket, "c", 1, "")
    assert [*met.new_objects([*first, other])] == [other]
    assert [*met.new_objects([])] == []


def test_an_object_with_another_study_is_another() -> None:
    """A manifest may be wrong about one of them."""
    met, item = Met(), S3Object(Bucket("bucket"), "a", 1, "")
    assert [*met.new_objects([item], "1.2")] == [item]
    assert [*met.new_objects([item], "1.3\udcff")] == [item]
    assert [*met.new_objects([item], "1.2")] == []
    assert [*met.new_objects([item])] == [item]
