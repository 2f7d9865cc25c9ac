"""Archives: within each other, damaged, locked, and made to fill disks."""

from __future__ import annotations

import bz2
import gzip
import lzma
import struct
import tarfile
import tracemalloc
import zipfile
import zlib
from io import BytesIO
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stillframe.build.results import Outcome
from stillframe.errors import InputError
from stillframe.options import BuildOptions
from stillframe.source.find import iter_inputs
from stillframe.source.inputs import InputRef, Rejected
from stillframe.source.open import open_input, read_head
from stillframe.source.zip_archive import MAX_DEPTH, MAX_DIRECTORY_BYTES, MAX_MEMBERS, read_directory, unpack
from tests.support.dicom_files import image, instance_uid, to_bytes
from tests.support.trees import build_tree, contents
from tests.support.zips import zip_bytes

METHODS = [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA]


def raw_zip(members: list[tuple[bytes, int, int, bytes]], *, lap: int = 0) -> bytes:
    """Members of name, method, promised size and packed bytes, each `lap` bytes nearer to the one before it."""
    body, directory = bytearray(), bytearray()
    for name, method, size, packed in members:
        offset = max(0, len(body) - lap)
        crc = zlib.crc32(bytes(size)) if size < 1 << 20 else 0
        fields = struct.pack("<HHHHHLLLHH", 20, 0, method, 0, 0x21, crc, len(packed), size, len(name), 0)
        body += b"PK\x03\x04" + fields + name + packed
        directory += b"PK\x01\x02\x14\0" + fields + struct.pack("<HHHLL", 0, 0, 0, 0, offset) + name
    count = len(members) & 0xFFFF
    return (
        bytes(body + directory)
        + b"PK\x05\x06"
        + struct.pack("<HHHHLLH", 0, 0, count, count, len(directory), len(body), 0)
    )


def only_member(path: Path) -> InputRef:
    (member,) = iter_inputs([str(path)])
    assert isinstance(member, InputRef)
    return member


def rejected(path: Path, max_unpacked: int = 8_000_000_000) -> list[tuple[str, str]]:
    found = [item for item in iter_inputs([str(path)], "", max_unpacked) if isinstance(item, Rejected)]
    return [(item.path.removeprefix(f"{path}"), item.reason) for item in found]


# --- archives within archives ----------------------------------------------------------------------------------------


def test_archives_within_archives_give_the_tree_of_their_files(tmp_path: Path) -> None:
    files = {f"IM{number}": to_bytes(image(number)) for number in range(1, 7)}
    names = list(files)
    innermost = zip_bytes({name: files[name] for name in names[4:]})
    inner = zip_bytes({f"DICOM/{name}": files[name] for name in names[2:4]} | {"deep/more.ZIP": innermost})
    (tmp_path / "export.zip").write_bytes(
        zip_bytes({name: files[name] for name in names[:2]} | {"b/study.zip": inner, "read me": b"no image"})
    )
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
    found = [str(item) for item in iter_inputs([str(tmp_path / "export.zip")])]
    assert found == [
        f"{tmp_path}/export.zip!{name}"
        for name in ("IM1", "IM2", "b/study.zip!DICOM/IM3", "b/study.zip!DICOM/IM4",
                     "b/study.zip!deep/more.ZIP!IM5", "b/study.zip!deep/more.ZIP!IM6", "read me")
    ]  # fmt: skip
    report = build_tree(tmp_path / "zipped", tmp_path / "export.zip")
    assert report.outcomes == {Outcome.PUBLISHED: 6}
    assert [(item.path, item.reason) for item in report.skipped] == [(f"{tmp_path}/export.zip!read me", "not DICOM")]
    build_tree(tmp_path / "files", *(tmp_path / name for name in names))
    assert contents(tmp_path / "zipped") == contents(tmp_path / "files")
    assert build_tree(tmp_path / "files", tmp_path / "export.zip").outcomes == {Outcome.UNCHANGED: 6}


def test_archives_are_read_so_deep_and_no_deeper(tmp_path: Path) -> None:
    data = to_bytes(image(1))
    for _ in range(MAX_DEPTH):
        data = zip_bytes({"next.zip": data, "IM": to_bytes(image(2))})
    (tmp_path / "a.zip").write_bytes(zip_bytes({"next.zip": data}))
    told = [("!next.zip!next.zip!next.zip", f"archives within each other are read {MAX_DEPTH} deep")]
    assert rejected(tmp_path / "a.zip") == told
    report = build_tree(tmp_path / "tree", tmp_path / "a.zip")
    assert len(report.rejected) == 1
    assert report.outcomes == {Outcome.PUBLISHED: 1, Outcome.DUPLICATE: 1}


def test_a_damaged_archive_within_an_archive_costs_itself(tmp_path: Path) -> None:
    good, locked = to_bytes(image(1)), bytearray(zip_bytes({"IM": to_bytes(image(2))}))
    locked[6] |= 1
    locked[locked.index(b"PK\x01\x02") + 8] |= 1
    (tmp_path / "a.zip").write_bytes(zip_bytes({"bad.zip": b"PK\x03\x04" + bytes(50), "good": good,
                                                "locked.zip": bytes(locked)}))  # fmt: skip
    report = build_tree(tmp_path / "tree", tmp_path / "a.zip")
    assert report.outcomes == {Outcome.PUBLISHED: 1}
    reasons = {item.path.removeprefix(f"{tmp_path}/"): item.reason for item in report.rejected}
    assert reasons.pop("a.zip!bad.zip") == (
        "cannot be read as a zip archive: its directory is damaged, or of a kind that is not read"
    )
    assert reasons == {"a.zip!locked.zip!IM": "is encrypted"}


# --- members ---------------------------------------------------------------------------------------------------------


@given(st.binary(max_size=3000), st.sampled_from(METHODS), st.integers(1, 50))
def test_what_the_library_packs_is_what_is_unpacked(data: bytes, method: int, times: int) -> None:
    file = BytesIO(zip_bytes({"a": data * times, "b": data}, method))
    assert [b"".join(unpack(file, member)) for member in read_directory(file)] == [data * times, data]


@given(st.data(), st.sampled_from(METHODS))
def test_a_damaged_archive_raises_nothing_but_input_errors(data: st.DataObject, method: int) -> None:
    content = bytes(range(200)) * 5
    packed = bytearray(zip_bytes({"a": content, "b": content[::-1]}, method))
    for _ in range(data.draw(st.integers(1, 4))):
        packed[data.draw(st.integers(0, len(packed) - 1))] = data.draw(st.integers(0, 255))
    file = BytesIO(bytes(packed))
    try:
        members = read_directory(file)
    except InputError:
        return
    for member in members:
        try:
            found = b"".join(unpack(file, member))
        except InputError:
            continue
        assert zlib.crc32(found) == member.crc
        assert len(found) == member.size


def test_of_what_is_not_dicom_only_the_head_is_unpacked(tmp_path: Path) -> None:
    """Its CRC-32 is wrong, which whoever unpacks it whole finds out."""
    (tmp_path / "a.zip").write_bytes(raw_zip([(b"film", zipfile.ZIP_STORED, 3 << 20, bytes(3 << 20))]))
    report = build_tree(tmp_path / "tree", tmp_path / "a.zip")
    assert [item.reason for item in report.skipped] == ["not DICOM"]
    ref = only_member(tmp_path / "a.zip")
    assert read_head(ref, 100) == bytes(100)
    with pytest.raises(InputError, match="another CRC-32"):
        open_input(ref)


def test_members_of_other_methods_and_places_are_named(tmp_path: Path) -> None:
    data = bytearray(raw_zip([(b"ppmd", 98, 10, bytes(10)), (b"moved", 0, 10, bytes(10))]))
    data[data.rindex(b"PK\x03\x04")] = 0
    (tmp_path / "a.zip").write_bytes(data)
    report = build_tree(tmp_path / "tree", tmp_path / "a.zip")
    assert {item.path.rpartition("!")[2]: item.reason for item in report.rejected} == {
        "ppmd": "packed by the method 98 of zip, which is not read",
        "moved": "no zip member where the directory says one is",
    }


# --- made to do harm -------------------------------------------------------------------------------------------------


def peak_of(ref: InputRef) -> int:
    """Bytes that unpacking takes at most, if it fails as it should."""
    tracemalloc.start()
    try:
        with pytest.raises(InputError):
            open_input(ref)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.slow
@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_member_that_grows_beyond_its_promise_takes_no_memory(tmp_path: Path, method: int) -> None:
    """200 MB of zeros in 140 to 200,000 bytes, said to be 1000."""
    zeros = bytes(200_000_000)
    if method == zipfile.ZIP_BZIP2:
        packed = bz2.compress(zeros)
    elif method == zipfile.ZIP_DEFLATED:
        packed = zlib.compress(zeros, wbits=-15)
    else:
        filters = [{"id": lzma.FILTER_LZMA1, "preset": 0, "dict_size": 1 << 16, "lc": 3, "lp": 0, "pb": 2}]
        packed = struct.pack("<HHBL", 9, 5, 93, 1 << 16) + lzma.compress(zeros, lzma.FORMAT_RAW, filters=filters)
    (tmp_path / "a.zip").write_bytes(raw_zip([(b"bomb", method, 1000, packed)]))
    assert peak_of(only_member(tmp_path / "a.zip")) < 8_000_000


def test_a_vast_dictionary_is_refused(tmp_path: Path) -> None:
    packed = struct.pack("<HHBL", 9, 5, 93, 0xFFFFFFFF) + bytes(100)
    (tmp_path / "a.zip").write_bytes(raw_zip([(b"bomb", zipfile.ZIP_LZMA, 2_000_000_000, packed)]))
    with pytest.raises(InputError, match="LZMA dictionary"):
        open_input(only_member(tmp_path / "a.zip"))


def test_members_that_lie_over_each_other_are_refused_together(tmp_path: Path) -> None:
    packed = zlib.compress(bytes(100_000), wbits=-15)
    members = [(b"%d" % number, zipfile.ZIP_DEFLATED, 100_000, packed) for number in range(50)]
    (tmp_path / "a.zip").write_bytes(raw_zip(members))
    assert rejected(tmp_path / "a.zip") == []
    (tmp_path / "a.zip").write_bytes(raw_zip(members, lap=60))
    assert rejected(tmp_path / "a.zip") == [("", "its members lie over each other, as in archives made to fill disks")]


def test_what_members_unpack_to_is_bounded_one_by_one_and_together(tmp_path: Path) -> None:
    sizes = {"small": 900_000, "large": 1_100_000}
    (tmp_path / "a.zip").write_bytes(zip_bytes({name: bytes(size) for name, size in sizes.items()}, zipfile.ZIP_STORED))
    assert rejected(tmp_path / "a.zip", 1_000_000) == [
        ("!large", "would unpack to 1100000 bytes, 1000000 are allowed (--max-unpacked)")
    ]
    dense = {str(number): bytes(900_000) for number in range(3)}
    (tmp_path / "b.zip").write_bytes(zip_bytes(dense))
    told = [("", "its members would unpack to more than 200 times its size (--max-unpacked)")]
    assert rejected(tmp_path / "b.zip", 1_000_000) == told
    assert rejected(tmp_path / "b.zip", 3_000_000) == []
    # Packed once more, what is within counts, too.
    (tmp_path / "c.zip").write_bytes(zip_bytes({f"{number}.zip": zip_bytes(dense) for number in range(3)}))
    assert rejected(tmp_path / "c.zip", 3_000_000) == told


@pytest.mark.slow
def test_more_members_than_anybody_exports_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.zip").write_bytes(raw_zip([(b"", 0, 0, b"")] * (MAX_MEMBERS + 1)))
    assert rejected(tmp_path / "a.zip") == [("", f"holds {MAX_MEMBERS + 1} files, at most {MAX_MEMBERS} are read")]


def test_a_vast_directory_is_not_read(tmp_path: Path) -> None:
    size = MAX_DIRECTORY_BYTES + 1
    with (tmp_path / "a.zip").open("wb") as file:
        file.truncate(size)
        file.seek(size)
        file.write(b"PK\x05\x06" + struct.pack("<HHHHLLH", 0, 0, 1, 1, size, 0, 0))
    assert rejected(tmp_path / "a.zip") == [
        ("", f"its directory has {size} bytes, at most {MAX_DIRECTORY_BYTES} are read")
    ]


def test_a_deflated_data_set_is_bounded_too(tmp_path: Path) -> None:
    head = to_bytes(image(1, TransferSyntaxUID="1.2.840.10008.1.2.1.99"))
    (tmp_path / "1.dcm").write_bytes(head)
    assert build_tree(tmp_path / "tree", tmp_path / "1.dcm").exit_code == 0
    report = build_tree(tmp_path / "no", tmp_path / "1.dcm", options=BuildOptions(max_unpacked=10_000))
    assert [item.reason for item in report.rejected] == [
        "its deflated data set has more than 10000 bytes (--max-unpacked)"
    ]
    again = build_tree(tmp_path / "tree", tmp_path / "1.dcm", options=BuildOptions(max_unpacked=1 << 20))
    assert again.outcomes == {Outcome.UNCHANGED: 1}


# --- other archives --------------------------------------------------------------------------------------------------


def test_archives_of_other_kinds_are_named(tmp_path: Path) -> None:
    data = to_bytes(image(1))
    (tmp_path / "in").mkdir()
    with tarfile.open(tmp_path / "in" / "a.tar", "w") as tar:
        info = tarfile.TarInfo("IM1")
        info.size = len(data)
        tar.addfile(info, BytesIO(data))
    (tmp_path / "in" / "b.tgz").write_bytes(gzip.compress((tmp_path / "in" / "a.tar").read_bytes()))
    (tmp_path / "in" / "c.tar.xz").write_bytes(lzma.compress(data))
    (tmp_path / "in" / "d.bz2").write_bytes(bz2.compress(data))
    (tmp_path / "in" / "e.7z").write_bytes(b"7z\xbc\xaf\x27\x1c" + bytes(300))
    (tmp_path / "in" / "EXPORT").write_bytes(zip_bytes({"IM1": data}))
    (tmp_path / "in" / "IM1").write_bytes(data)
    report = build_tree(tmp_path / "tree", tmp_path / "in")
    assert report.outcomes == {Outcome.PUBLISHED: 1}
    assert report.exit_code == 0
    kinds = {Path(item.path).name: item.reason for item in report.skipped if item.noteworthy}
    wanted = {"a.tar": "tar", "b.tgz": "gzip", "c.tar.xz": "xz", "d.bz2": "bzip2", "e.7z": "7z"}
    wanted["EXPORT"] = "zip, without .zip in its name"
    assert kinds == {name: f"an archive of a kind that is not read ({kind})" for name, kind in wanted.items()}


def test_the_uid_of_a_nested_instance_is_its_own(tmp_path: Path) -> None:
    (tmp_path / "a.zip").write_bytes(zip_bytes({"b.zip": zip_bytes({"IM": to_bytes(image(7))})}))
    build_tree(tmp_path / "tree", tmp_path / "a.zip")
    assert any(f"/{instance_uid(7)}/" in path for path in contents(tmp_path / "tree"))
