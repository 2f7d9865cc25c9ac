"""Keys, paths and media types: what is built parses back, and nothing else parses."""

from __future__ import annotations

from pathlib import PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stillframe import layout
from stillframe.dicom.uids import InstanceUIDs
from stillframe.errors import InputError, LayoutError
from stillframe.layout import Key, Kind
from stillframe.store.s3_client import MAX_PREFIX_BYTES

uids = st.lists(st.integers(0, 999_999_999), min_size=1, max_size=6).map(lambda parts: ".".join(map(str, parts)))
frame_numbers = st.integers(1, 9_999_999_999)
levels = st.integers(1, 32)
bulk_paths = st.lists(st.sampled_from(["00420011", "0", "12", "7FE00010"]), min_size=1, max_size=5).map("/".join)


@st.composite
def keys(draw: st.DrawFn) -> tuple[str, Key]:
    """Any key of the layout as the functions of `layout` make it, with what it says."""
    s, r, i = draw(uids), draw(uids), draw(uids)
    instance = InstanceUIDs(s, r, i)
    frame, level, path = draw(frame_numbers), draw(levels), draw(bulk_paths)
    return draw(
        st.sampled_from(
            [
                (layout.STUDIES, Key(kind=Kind.QUERY)),
                (layout.study_series_key(s), Key(kind=Kind.QUERY, study=s)),
                (layout.instances_key(s), Key(kind=Kind.QUERY, study=s)),
                (layout.instances_key(s, r), Key(kind=Kind.QUERY, study=s, series=r)),
                (layout.metadata_key(s), Key(kind=Kind.METADATA, study=s)),
                (layout.metadata_key(s, r), Key(kind=Kind.METADATA, study=s, series=r)),
                (layout.metadata_key(s, r, i), Key(kind=Kind.METADATA, study=s, series=r, instance=i)),
                (layout.frame_index_key(s, r), Key(kind=Kind.FRAME_INDEX, study=s, series=r)),
                (
                    layout.frame_key(instance, frame),
                    Key(kind=Kind.FRAME, study=s, series=r, instance=i, frame_number=frame),
                ),
                (
                    layout.reduced_key(instance, level, frame),
                    Key(kind=Kind.REDUCED_FRAME, study=s, series=r, instance=i, frame_number=frame, level=level),
                ),
                (
                    layout.bulk_data_key(instance, path),
                    Key(kind=Kind.BULK_DATA, study=s, series=r, instance=i, path=path),
                ),
                (layout.instance_key(instance), Key(kind=Kind.PART10, study=s, series=r, instance=i)),
                (f"{layout.instance_key(instance)}/rendered", Key(kind=Kind.RENDERED, study=s, series=r, instance=i)),
                (f"{layout.instance_key(instance)}/thumbnail", Key(kind=Kind.THUMBNAIL, study=s, series=r, instance=i)),
                (f"studies/{s}/series/{r}/thumbnail", Key(kind=Kind.THUMBNAIL, study=s, series=r)),
                (f"studies/{s}/thumbnail", Key(kind=Kind.THUMBNAIL, study=s)),
            ]
        )
    )


@given(keys())
def test_every_key_parses_back_to_what_it_was_made_of(made: tuple[str, Key]) -> None:
    key, parsed = made
    assert layout.parse_key(key) == parsed


@given(keys())
def test_path_and_key_are_inverse(made: tuple[str, Key]) -> None:
    path = layout.path_of_key(made[0])
    assert layout.key_of_path(path) == made[0]
    assert str(PurePosixPath(path)) == path
    assert not PurePosixPath(path).is_absolute()
    assert ".." not in PurePosixPath(path).parts


@given(keys(), keys())
def test_no_file_stands_where_another_needs_a_folder(one: tuple[str, Key], other: tuple[str, Key]) -> None:
    first, second = layout.path_of_key(one[0]), layout.path_of_key(other[0])
    assert not second.startswith(f"{first}/")
    assert (first == second) == (one[0] == other[0])


@pytest.mark.parametrize(
    ("key", "path"),
    [
        ("studies", "studies/index.json"),
        ("studies/1.2/series", "studies/1.2/series/index.json"),
        ("studies/1.2/instances", "studies/1.2/instances"),
        ("studies/1.2/series/1.3/instances", "studies/1.2/series/1.3/instances/index.json"),
        ("studies/1.2/series/1.3/instances/1.4", "studies/1.2/series/1.3/instances/1.4/index.dcm"),
        ("studies/1.2/series/1.3/instances/1.4/frames/1", "studies/1.2/series/1.3/instances/1.4/frames/1"),
    ],
)
def test_paths_of_the_keys_that_are_prefixes(key: str, path: str) -> None:
    assert layout.path_of_key(key) == path
    assert layout.key_of_path(path) == key


INSTANCE = "studies/1.2/series/1.3/instances/1.4"


@pytest.mark.parametrize(
    "key",
    [
        "",
        "/",
        "/studies",
        "studies/",
        "studies//series",
        "Studies",
        "studies/1.2",
        "studies/1.2/",
        "studies/1.2/series/1.3",
        "studies/1.2/series/",
        "studies/1.2/series//metadata",
        "studies/1.2/series//instances",
        "studies/1.2/series/1.3/instances//metadata",
        "studies/1.2/series/1.3/instances//frames/1",
        "studies/..",
        "studies/../series",
        "studies/./metadata",
        "studies/1..2/metadata",
        "studies/.1.2/metadata",
        "studies/1.2./metadata",
        "studies/1.2\n/metadata",
        "studies/1.2\0/metadata",
        "studies/1.2 /metadata",
        "studies/1.a/metadata",
        "studies/\u0661.2/metadata",  # a digit to str.isdigit, not to DICOM
        f"studies/{'1' * 65}/metadata",
        "studies/index.json",
        "studies/1.2/series/index.json",
        "studies/1.2/rendered",
        "studies/1.2/frame-index",
        f"{INSTANCE}/index.dcm",
        f"{INSTANCE}/frame-index",
        f"{INSTANCE}/instances",
        f"{INSTANCE}/frames",
        f"{INSTANCE}/frames/",
        f"{INSTANCE}/frames/0",
        f"{INSTANCE}/frames/01",
        f"{INSTANCE}/frames/-1",
        f"{INSTANCE}/frames/1,2",
        f"{INSTANCE}/frames/99999999999",
        f"{INSTANCE}/frames/1/rendered",
        f"{INSTANCE}/reduced/0/frames/1",
        f"{INSTANCE}/reduced/2/frames",
        f"{INSTANCE}/bulkdata",
        f"{INSTANCE}/bulkdata/",
        f"{INSTANCE}/bulkdata/..",
        f"{INSTANCE}/bulkdata/../../metadata",
        f"{INSTANCE}/bulkdata/00420011/../x",
        f"{INSTANCE}/bulkdata//etc/passwd",
        f"{INSTANCE}/bulkdata/a.b",
    ],
)
def test_what_is_no_key_does_not_parse(key: str) -> None:
    with pytest.raises(LayoutError):
        layout.parse_key(key)
    with pytest.raises(LayoutError):
        layout.path_of_key(key)


@given(st.lists(st.sampled_from(["studies", "series", "instances", "metadata", "frames", "..", ".", "", "1.2", "1"])))
def test_what_parses_stays_below_the_root(parts: list[str]) -> None:
    key = "/".join(parts)
    try:
        path = layout.path_of_key(key)
    except LayoutError:
        return
    assert layout.key_of_path(path) == key
    assert not {"", ".", ".."} & set(path.split("/"))


@pytest.mark.parametrize(
    "path",
    [
        "studies",
        "studies/index.dcm",
        "studies/index.json/index.json",
        "studies/1.2/instances/index.json",
        "studies/1.2/metadata/index.json",
        "studies/1.2/series/1.3/instances",
        INSTANCE,
        f"{INSTANCE}/index.json",
        "index.json",
        "studies/../index.json",
    ],
)
def test_a_file_elsewhere_has_no_key(path: str) -> None:
    with pytest.raises(LayoutError):
        layout.key_of_path(path)


MULTIPART = (
    b"--b0\r\nContent-Type: application/octet-stream; transfer-syntax=1.2.840.10008.1.2.1\r\n\r\n\x00\x01\r\n--b0--\r\n"
)


@pytest.mark.parametrize(
    ("kind", "head", "expected"),
    [
        (Kind.QUERY, b"[]", "application/dicom+json"),
        (Kind.METADATA, b"[]", "application/dicom+json"),
        (Kind.FRAME_INDEX, b"{}", "application/json"),
        (Kind.PART10, b"", "application/dicom"),
        (Kind.BULK_DATA, b"", "application/octet-stream"),
        (Kind.THUMBNAIL, b"\xff\xd8", "image/jpeg"),
        (Kind.FRAME, b"\xff\x4f\xff\x51", "image/jphc; transfer-syntax=1.2.840.10008.1.2.4.202"),
        (Kind.REDUCED_FRAME, b"\xff\x4f\xff\x51", "image/jphc; transfer-syntax=1.2.840.10008.1.2.4.202"),
        (Kind.FRAME, MULTIPART, 'multipart/related; type="application/octet-stream"; boundary=b0'),
        (Kind.RENDERED, b"%PDF-1.7", "application/pdf"),
        (Kind.RENDERED, b"\xff\xd8\xff\xe0", "image/jpeg"),
        (Kind.RENDERED, b"\xef\xbb\xbf%PDF-1.7", "application/pdf"),
        (Kind.RENDERED, b"\0\0\0\x18ftypmp42", "video/mp4"),
        (Kind.RENDERED, b"\0\0\x01\xba\x44", "video/mpeg"),
        (Kind.RENDERED, b"\0\0\0\0\x01\xb3\x44", "video/mpeg"),
        (Kind.RENDERED, b"G" + bytes(187) + b"G" + bytes(187), "video/mp2t"),
        (Kind.RENDERED, b"time" + b"G" + bytes(191) + b"G" + bytes(187), "video/mp2t"),
        (Kind.RENDERED, b"\0\0\0\x01\x67\x64", "video/H264"),
        (Kind.RENDERED, b"\0\0\x01\x09\xf0", "video/H264"),
        (Kind.RENDERED, b"\0\0\0\x01\x40\x01", "video/H265"),
    ],
)
def test_media_types_follow_from_kind_and_first_bytes(kind: Kind, head: bytes, expected: str) -> None:
    assert layout.media_type(kind, head) == expected


@pytest.mark.parametrize("kind", [Kind.FRAME, Kind.REDUCED_FRAME, Kind.RENDERED])
@pytest.mark.parametrize("head", [b"", b"\xff", b"<html>", b"--\r\nContent-Type: a/b\r\n", b"--b\nContent-Type: a/b\n"])
def test_bytes_of_no_known_type_are_refused(kind: Kind, head: bytes) -> None:
    with pytest.raises(LayoutError):
        layout.media_type(kind, head)


@pytest.mark.parametrize("kind", Kind)
def test_lists_are_revalidated_and_the_rest_is_immutable(kind: Kind) -> None:
    if layout.is_list(kind):
        assert layout.cache_control(kind) == layout.cache_control(kind, public=False) == "no-cache"
    else:
        assert layout.cache_control(kind) == "public, max-age=31536000, immutable"
        assert layout.cache_control(kind, public=False) == "private, max-age=31536000, immutable"


UIDS = InstanceUIDs("1.2", "1.2.3", "1.2.3.4")


def test_keys_of_up_to_1024_bytes_with_their_prefix_pass() -> None:
    start = layout.bulk_data_key(UIDS, "")
    for prefix in ("", "archive/", "ü/"):
        room = 1024 - len(f"{prefix}{start}".encode())
        layout.check_key_length(f"{start}{'0' * room}", prefix)
        with pytest.raises(InputError, match=r"^bulk data 000.*…0+: its key would have 1025 bytes, stores take 1024$"):
            layout.check_key_length(f"{start}{'0' * (room + 1)}", prefix)


def test_every_other_key_is_short() -> None:
    """The longest UIDs (PS3.5 9.1) and frame numbers, in the longest prefix and a root of its own."""
    longest = InstanceUIDs("1" * 64, "2" * 64, "3" * 64)
    prefix = f"{'p' * MAX_PREFIX_BYTES}/{'t' * 32}/"
    layout.check_key_length(layout.reduced_key(longest, 32, 9_999_999_999), prefix)
