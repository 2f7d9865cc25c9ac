"""The preview server over real sockets, with raw paths and headers as hostile or careless clients send them."""

from __future__ import annotations

import contextlib
import gzip
import http.client
import os
import re
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stillframe.errors import UsageError
from stillframe.hosting import serve
from stillframe.hosting.conditional import decide, make_etag
from stillframe.hosting.publish_site import publish_site
from stillframe.hosting.site import list_site
from stillframe.hosting.viewer_folder import read_viewer
from stillframe.store.web_files import WebFolder
from tests.support.ohif import APP, DECODER, FILES, write_ohif
from tests.support.served_tree import FRAME, INSTANCE, JPHC, SERIES, TREE, write_tree
from tests.support.serving import Client, Reply, serving
from tests.support.waiting import until


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("serve") / "tree"
    write_tree(folder, TREE)
    (folder.parent / "outside").write_bytes(b"outside the tree")
    (folder / f"{INSTANCE}/bulkdata/0A").symlink_to(folder.parent / "outside")
    (folder / f"{INSTANCE}/bulkdata/0B").symlink_to("00420011")
    (folder / f"{INSTANCE}/bulkdata/0C").symlink_to("0C")
    (folder / f"{INSTANCE}/bulkdata/0D").mkdir()
    os.mkfifo(folder / f"{INSTANCE}/bulkdata/0E")
    return folder


@pytest.fixture(scope="module")
def get(tree: Path) -> Iterator[Client]:
    with serving(serve.create_app(tree)) as client:
        yield client


FRAME_URL = f"/dicomweb/{INSTANCE}/frames/1"


@pytest.mark.parametrize(
    ("key", "path", "media_type", "cached"),
    [
        ("studies", "studies/index.json", "application/dicom+json", False),
        ("studies/1.2/series", "studies/1.2/series/index.json", "application/dicom+json", False),
        ("studies/1.2/instances", "studies/1.2/instances", "application/dicom+json", False),
        ("studies/1.2/metadata", "studies/1.2/metadata", "application/dicom+json", False),
        (f"{SERIES}/instances", f"{SERIES}/instances/index.json", "application/dicom+json", False),
        (f"{SERIES}/frame-index", f"{SERIES}/frame-index", "application/json", False),
        (f"{SERIES}/thumbnail", f"{SERIES}/thumbnail", "image/jpeg", False),
        (INSTANCE, f"{INSTANCE}/index.dcm", "application/dicom", True),
        (f"{INSTANCE}/frames/1", f"{INSTANCE}/frames/1", JPHC, True),
        (f"{INSTANCE}/reduced/2/frames/1", f"{INSTANCE}/reduced/2/frames/1", JPHC, True),
        (
            f"{INSTANCE}/frames/2",
            f"{INSTANCE}/frames/2",
            'multipart/related; type="application/octet-stream"; boundary=b0',
            True,
        ),
        (f"{INSTANCE}/bulkdata/00420011", f"{INSTANCE}/bulkdata/00420011", "application/octet-stream", True),
        (f"{INSTANCE}/rendered", f"{INSTANCE}/rendered", "application/pdf", True),
    ],
)
def test_objects(get: Client, key: str, path: str, media_type: str, cached: bool) -> None:
    reply = get(f"/dicomweb/{key}")
    assert reply.status == 200
    assert reply.body == TREE[path]
    assert reply.headers["content-type"] == media_type
    assert reply.headers["content-length"] == str(len(TREE[path]))
    assert reply.headers["cache-control"] == ("public, max-age=31536000, immutable" if cached else "no-cache")
    assert reply.headers["accept-ranges"] == "bytes"
    assert reply.headers["etag"].startswith('"')
    assert "content-encoding" not in reply.headers
    assert_open_to_other_origins(reply)


def assert_open_to_other_origins(reply: Reply) -> None:
    assert reply.headers["access-control-allow-origin"] == "*"
    assert reply.headers["access-control-expose-headers"] == "Content-Range, Content-Length, ETag, Accept-Ranges"
    assert reply.headers["cross-origin-resource-policy"] == "cross-origin"
    assert reply.headers["x-content-type-options"] == "nosniff"


def test_query_accept_and_a_trailing_slash_change_nothing(get: Client) -> None:
    plain = get("/dicomweb/studies")
    for reply in (
        get("/dicomweb/studies?limit=101&offset=0&includefield=all"),
        get("/dicomweb/studies", Accept="text/html", Accept_Encoding="gzip, br"),
        get("/dicomweb/studies/"),
        get("/dicomweb/s%74udies"),
    ):
        assert (reply.status, reply.body, reply.headers["etag"]) == (200, plain.body, plain.headers["etag"])
    assert get(f"/dicomweb/{INSTANCE.replace('.', '%2E')}/frames/1?x=/..").body == FRAME
    assert get(f"/dicomweb/{INSTANCE}/").body == TREE[f"{INSTANCE}/index.dcm"]


@pytest.mark.parametrize("key", ["studies/9.9/series", "studies/9.9/metadata", f"{INSTANCE}/frames/9", "studies/1.2"])
def test_what_is_not_there(get: Client, key: str) -> None:
    reply = get(f"/dicomweb/{key}")
    assert reply.status == 404
    assert_open_to_other_origins(reply)


def test_a_tree_without_studies_has_an_empty_list(tmp_path: Path) -> None:
    with serving(serve.create_app(tmp_path)) as get:
        reply = get("/dicomweb/studies?limit=1")
        assert (reply.status, reply.body, reply.headers["content-type"]) == (200, b"[]", "application/dicom+json")
        assert reply.headers["cache-control"] == "no-cache"
        head = get("/dicomweb/studies", "HEAD")
        assert (head.status, head.body, head.headers["content-length"]) == (200, b"", "2")
        assert get("/").status == 200
        assert get("/dicomweb/studies/1.2/series").status == 404


@pytest.mark.parametrize(
    "target",
    [
        "/dicomweb//",
        "/dicomweb/studies//",
        "/dicomweb//studies",
        "//dicomweb/studies",
        "/dicomweb/secret",
        "/dicomweb/../secret",
        "/dicomweb/studies/index.json",
        "/dicomweb/studies/notes.txt",
        "/dicomweb/studies/1.2/series/index.json",
        f"/dicomweb/{INSTANCE}/index.dcm",
        "/dicomweb/../../../../../../etc/passwd",
        "/dicomweb/%2e%2e/%2e%2e/%2e%2e/%2e%2e/etc/passwd",
        "/dicomweb/..%2f..%2f..%2f..%2fetc%2fpasswd",
        "/dicomweb/%252e%252e%252fsecret",
        "/dicomweb/studies/..%2f..%2foutside",
        "/dicomweb/%2fetc%2fpasswd",
        "/dicomweb//etc/passwd",
        "/dicomweb/studies%00",
        "/dicomweb/studies/1.2%00/metadata",
        "/dicomweb/studies/%ff%fe/metadata",
        "/dicomweb/studies/..\\..\\outside",
        f"/dicomweb/{INSTANCE}/bulkdata/..%2f..%2fmetadata",
        f"/dicomweb/{INSTANCE}/bulkdata/0A",  # a link out of the tree
        f"/dicomweb/{INSTANCE}/bulkdata/0C",  # a link to itself
        f"/dicomweb/{INSTANCE}/bulkdata/0D",  # a folder
        f"/dicomweb/{INSTANCE}/bulkdata/0E",  # a pipe
        f"/dicomweb/{INSTANCE}/bulkdata/00420011/1",  # below a file
        f"/dicomweb/{INSTANCE}/bulkdata/" + "A" * 5000,
        "/etc/passwd",
        "/../secret",
    ],
)
def test_nothing_but_the_layout_can_be_reached(get: Client, target: str) -> None:
    reply = get(target)
    assert reply.status == 404
    assert reply.body == b"Not Found\n"
    assert_open_to_other_origins(reply)


def test_a_link_within_the_tree_is_followed(get: Client) -> None:
    assert get(f"/dicomweb/{INSTANCE}/bulkdata/0B").status == 200


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read every file")
def test_an_unreadable_file_is_forbidden(tmp_path: Path) -> None:
    write_tree(tmp_path, {"studies/index.json": b"[]"})
    (tmp_path / "studies/index.json").chmod(0)
    with serving(serve.create_app(tmp_path)) as get:
        assert get("/dicomweb/studies").status == 403


def test_a_damaged_tree_is_named(get: Client) -> None:
    reply = get(f"/dicomweb/{INSTANCE}/frames/3")
    assert reply.status == 500
    assert b"frames/3" in reply.body
    assert_open_to_other_origins(reply)


@pytest.mark.parametrize(
    ("value", "start", "stop"),
    [
        ("bytes=0-0", 0, 1),
        ("bytes=0-65535", 0, len(FRAME)),
        ("bytes=10-19", 10, 20),
        ("bytes=100-", 100, len(FRAME)),
        ("bytes=-7", len(FRAME) - 7, len(FRAME)),
        ("bytes=-99999999", 0, len(FRAME)),
        (f"bytes={len(FRAME) - 1}-", len(FRAME) - 1, len(FRAME)),
        ("BYTES=1-2", 1, 3),
        (f"bytes=1-{'9' * 900}", 1, len(FRAME)),
    ],
)
def test_one_range(get: Client, value: str, start: int, stop: int) -> None:
    reply = get(FRAME_URL, Range=value)
    assert reply.status == 206
    assert reply.body == FRAME[start:stop]
    assert reply.headers["content-range"] == f"bytes {start}-{stop - 1}/{len(FRAME)}"
    assert reply.headers["content-length"] == str(stop - start)
    assert reply.headers["content-type"].startswith("image/jphc; transfer-syntax=")
    assert reply.headers["cache-control"] == "public, max-age=31536000, immutable"
    assert reply.headers["etag"] == get(FRAME_URL).headers["etag"]
    assert_open_to_other_origins(reply)


@pytest.mark.parametrize(
    "value",
    [
        "bytes",
        "bytes=",
        "bytes=-",
        "bytes=a-b",
        "bytes=5-2",
        "bytes=1-2,5-6",
        "items=0-1",
        "bytes=0 - 1",
        "bytes=--1",
        "0-1",
    ],
)
def test_other_ranges_are_ignored(get: Client, value: str) -> None:
    reply = get(FRAME_URL, Range=value)
    assert (reply.status, reply.body) == (200, FRAME)
    assert "content-range" not in reply.headers


@pytest.mark.parametrize("value", [f"bytes={len(FRAME)}-", f"bytes={len(FRAME)}-{len(FRAME) + 5}", "bytes=-0"])
def test_ranges_past_the_end(get: Client, value: str) -> None:
    reply = get(FRAME_URL, Range=value)
    assert reply.status == 416
    assert reply.headers["content-range"] == f"bytes */{len(FRAME)}"
    assert_open_to_other_origins(reply)


def test_an_empty_object(get: Client) -> None:
    url = f"/dicomweb/{INSTANCE}/bulkdata/00420011"
    assert (get(url).status, get(url).body) == (200, b"")
    assert get(url, Range="bytes=-5").status == 200
    reply = get(url, Range="bytes=0-")
    assert (reply.status, reply.headers["content-range"]) == (416, "bytes */0")


def test_unchanged_objects_are_not_sent_again(get: Client) -> None:
    etag = get(FRAME_URL).headers["etag"]
    for value in (etag, f"W/{etag}", "*", f'"other", {etag}', f'W/"a,b" , W/{etag}'):
        reply = get(FRAME_URL, If_None_Match=value)
        assert (reply.status, reply.body, reply.headers["etag"]) == (304, b"", etag)
        assert reply.headers["cache-control"] == "public, max-age=31536000, immutable"
        assert_open_to_other_origins(reply)
    assert get(FRAME_URL, If_None_Match=etag, Range="bytes=0-1").status == 304
    assert get(FRAME_URL, "HEAD", If_None_Match=etag).status == 304
    for value in ('"other"', etag.strip('"'), ""):
        assert get(FRAME_URL, If_None_Match=value).status == 200


def test_if_range_decides_between_a_part_and_the_whole(get: Client) -> None:
    etag = get(FRAME_URL).headers["etag"]
    assert get(FRAME_URL, Range="bytes=0-1", If_Range=etag).status == 206
    for value in ('"other"', f"W/{etag}", "Wed, 21 Oct 2026 07:28:00 GMT"):
        reply = get(FRAME_URL, Range="bytes=0-1", If_Range=value)
        assert (reply.status, reply.body) == (200, FRAME)


def test_if_match(get: Client) -> None:
    etag = get(FRAME_URL).headers["etag"]
    assert get(FRAME_URL, If_Match=etag).status == 200
    assert get(FRAME_URL, If_Match="*").status == 200
    assert get(FRAME_URL, If_Match=f"W/{etag}").status == 412


def test_head(get: Client) -> None:
    whole = get(FRAME_URL)
    for head in (get(FRAME_URL, "HEAD"), get(FRAME_URL, "HEAD", Range="bytes=0-1")):
        assert (head.status, head.body) == (200, b"")
        for name in ("content-length", "content-type", "etag", "accept-ranges", "cache-control"):
            assert head.headers[name] == whole.headers[name]
    assert get("/dicomweb/studies/9.9/series", "HEAD").status == 404


@pytest.mark.parametrize("target", [FRAME_URL, "/dicomweb/studies/9.9", "/", "/nowhere"])
def test_preflight(get: Client, target: str) -> None:
    reply = get(target, "OPTIONS", Origin="https://viewer.example", Access_Control_Request_Headers="range")
    assert (reply.status, reply.body) == (204, b"")
    assert reply.headers["access-control-allow-methods"] == "GET, HEAD, OPTIONS"
    assert reply.headers["access-control-allow-headers"] == "*"
    assert int(reply.headers["access-control-max-age"]) > 0
    assert_open_to_other_origins(reply)


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
def test_nothing_can_be_written(get: Client, method: str) -> None:
    for target in (FRAME_URL, "/"):
        reply = get(target, method)
        assert reply.status == 405
        assert_open_to_other_origins(reply)


def test_a_failure_nobody_foresaw_is_readable_from_other_origins(tree: Path) -> None:
    app = serve.create_app(tree)

    async def fail(_request: object) -> None:
        raise ZeroDivisionError

    app.add_route("/fail", fail)  # type: ignore[arg-type]
    with serving(app) as get:
        reply = get("/fail")
        assert reply.status == 500
        assert_open_to_other_origins(reply)


def test_a_large_object_arrives_whole_and_in_parts(tmp_path: Path) -> None:
    data = b"\xff\x4f" + os.urandom(3_000_001)
    write_tree(tmp_path, {f"{INSTANCE}/frames/1": data})
    with serving(serve.create_app(tmp_path)) as get:
        assert get(FRAME_URL).body == data
        assert get(FRAME_URL, Range="bytes=1000000-2999999").body == data[1_000_000:3_000_000]


def test_a_file_replaced_while_it_is_sent_does_not_mix(tmp_path: Path) -> None:
    size = 40_000_000  # more than the sockets' buffers hold, so that the server waits for the reader
    old, new = b"\xff\x4f" + b"a" * size, b"\xff\x4f" + b"b" * size
    write_tree(tmp_path, {f"{INSTANCE}/frames/1": old, "new": new})
    with serving(serve.create_app(tmp_path)) as get:
        connection = http.client.HTTPConnection("127.0.0.1", get.port, timeout=20)
        with contextlib.closing(connection):
            connection.request("GET", FRAME_URL)
            response = connection.getresponse()
            first = response.read(10)
            (tmp_path / "new").replace(tmp_path / f"{INSTANCE}/frames/1")
            assert first + response.read() == old
        again = get(FRAME_URL, If_None_Match=response.headers["etag"])
        assert (again.status, again.body) == (200, new)


def test_clients_that_leave_early_cost_nothing_lasting(tmp_path: Path) -> None:
    write_tree(tmp_path, {f"{INSTANCE}/frames/1": b"\xff\x4f" + bytes(40_000_000)})
    with serving(serve.create_app(tmp_path)) as get:
        assert get(FRAME_URL, Range="bytes=0-9").status == 206
        before = count_descriptors()
        for _ in range(5):
            with socket.create_connection(("127.0.0.1", get.port), timeout=10) as connection:
                connection.sendall(f"GET {FRAME_URL} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode())
                connection.recv(100)
        until(lambda: count_descriptors() <= before)
        assert get(FRAME_URL, Range="bytes=0-9").status == 206


def count_descriptors() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


@pytest.mark.parametrize("target", ["/dicomweb", "/dicomweb/", "/dicomweb?a"])
def test_the_service_root_says_what_it_is(get: Client, target: str) -> None:
    reply = get(target)
    assert (reply.status, reply.headers["content-type"]) == (200, "text/plain; charset=utf-8")
    assert reply.body == b"A DICOMweb service. Its list of studies is at /dicomweb/studies\n"
    assert reply.headers["cache-control"] == "no-cache"
    assert_open_to_other_origins(reply)


def test_the_study_page_without_a_viewer(get: Client) -> None:
    page = get("/")
    assert (page.status, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert page.headers["cache-control"] == "no-cache"
    assert get("/index.html").body == page.body
    assert b"Stillframe" in page.body
    assert get("/service.js").body == (
        b'window.stillframe = { root: new URL("/dicomweb/", document.currentScript.src).href.slice(0, -1) };\n'
    )
    assert get("/study-page.js").headers["content-type"] == "text/javascript; charset=utf-8"
    assert get("/study-page.css").headers["content-type"] == "text/css; charset=utf-8"
    for target in ("/viewer", "/app-config.js", "/worklist", "/study-none.js"):
        assert get(target).status == 404


def test_a_page_is_sent_compressed_and_once(get: Client) -> None:
    plain = get("/study-page.js")
    assert "content-encoding" not in plain.headers
    for accepted in ("gzip", "br, gzip;q=0.5", "*", "GZIP"):
        reply = get("/study-page.js", Accept_Encoding=accepted)
        assert reply.headers["content-encoding"] == "gzip"
        assert gzip.decompress(reply.body) == plain.body
        assert reply.headers["vary"] == plain.headers["vary"]
        assert reply.headers["etag"] != plain.headers["etag"]
        again = get("/study-page.js", Accept_Encoding=accepted, If_None_Match=reply.headers["etag"])
        assert (again.status, again.body, again.headers["cache-control"]) == (304, b"", "no-cache")
    for accepted in ("", "br", "gzip;q=0", "identity, gzip; q=0.0", "*;q=0"):
        assert "content-encoding" not in get("/study-page.js", Accept_Encoding=accepted).headers
    head = get("/study-page.js", "HEAD")
    assert (head.status, head.body, head.headers["content-length"]) == (200, b"", str(len(plain.body)))
    assert get("/study-page.js", If_Match='"other"').status == 412


def assert_viewer(get: Client) -> None:
    """The files of a small OHIF beside the tree."""
    for target in ("/viewer?StudyInstanceUIDs=1.2", "/segmentation", "/worklist"):
        reply = get(target)
        assert (reply.status, reply.headers["content-type"]) == (200, "text/html; charset=utf-8")
        assert reply.headers["cache-control"] == "no-cache"
        assert b'<div id="root"></div>' in reply.body
    assert b"window.config" in get("/app-config.js").body
    folder = re.findall(rb'src="(ohif/[0-9a-f]{16}/)', get("/viewer").body)[0].decode()
    for name, media_type, compressed in (
        (APP, "text/javascript; charset=utf-8", True),
        (DECODER, "application/wasm", True),
        ("assets/favicon.ico", "image/x-icon", False),
    ):
        reply = get(f"/{folder}{name}", Accept_Encoding="gzip")
        assert (reply.status, reply.headers["content-type"]) == (200, media_type)
        assert reply.headers["cache-control"] == "public, max-age=31536000, immutable"
        assert ("content-encoding" in reply.headers) is compressed
        body = gzip.decompress(reply.body) if compressed else reply.body
        assert body == get(f"/{folder}{name}").body
        assert name == APP or body == FILES[name]
    for target in (
        f"/{folder}{APP}.gz", f"/{folder}missing.js", f"/{folder}sw.js", f"/{folder}", "/ohif/", "/viewer/",
        "/viewer/x", f"/{folder}../viewer", f"/{folder}%2e%2e/x", f"/{APP}", "/a%00.js", "/.git/config", "/outside.txt",
    ):  # fmt: skip
        assert get(target).status == 404, target
    assert get("/dicomweb/studies").headers["content-type"] == "application/dicom+json"


def test_a_viewer_beside_the_tree(tree: Path, tmp_path: Path) -> None:
    with serving(serve.create_app(tree, viewer=write_ohif(tmp_path / "dist"))) as get:
        assert_viewer(get)
    assert not (tree / "index.html").exists()


def test_a_written_site_is_served_as_it_is(tmp_path: Path) -> None:
    write_tree(tmp_path / "tree", TREE)
    publish_site(list_site(read_viewer(write_ohif(tmp_path / "dist"))), WebFolder(tmp_path / "tree"))
    (tmp_path / "outside.txt").write_bytes(b"outside")
    config = tmp_path / "tree/app-config.js"
    config.write_bytes(config.read_bytes() + b"// changed by hand")
    (tmp_path / "tree/study-link.js").symlink_to(tmp_path / "outside.txt")
    with serving(serve.create_app(tmp_path / "tree")) as get:
        assert_viewer(get)
        assert get("/app-config.js").body.endswith(b"// changed by hand")
        assert b'"/dicomweb/"' in get("/service.js").body
        assert get("/study-link.js").status == 404


def test_a_written_site_of_a_service_elsewhere_names_that(tmp_path: Path) -> None:
    publish_site(list_site(root="https://images.example.org/dicomweb"), WebFolder(tmp_path))
    with serving(serve.create_app(tmp_path)) as get:
        assert get("/service.js").body == b'window.stillframe = { root: "https://images.example.org/dicomweb" };\n'


def test_folders_must_be_what_they_should_be(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="not a folder"):
        serve.create_app(tmp_path / "missing")
    with pytest.raises(UsageError, match=r"no index\.html"):
        serve.create_app(tmp_path, viewer=tmp_path)
    with pytest.raises(UsageError, match="no page of OHIF"):
        serve.create_app(tmp_path, viewer=write_ohif(tmp_path / "dist", **{"index.html": b"<!doctype html>viewer"}))


def test_a_taken_port_is_a_usage_error(tmp_path: Path, get: Client) -> None:
    with pytest.raises(UsageError, match=f"port {get.port}"):
        serve.run(tmp_path, "127.0.0.1", get.port)


@given(st.integers(0, 50), st.integers(0, 60), st.one_of(st.none(), st.integers(0, 60)))
def test_a_range_is_a_slice(size: int, first: int, last: int | None) -> None:
    data = bytes(range(size))
    etag = make_etag(1, size)
    answer = decide("GET", {"range": f"bytes={first}-{'' if last is None else last}"}, etag, size)
    part = data[first:] if last is None else data[first : last + 1]
    if last is not None and last < first:
        assert (answer.status, answer.start, answer.stop) == (200, 0, size)
    elif part:
        assert answer.status == 206
        assert data[answer.start : answer.stop] == part
    else:
        assert answer.status == 416


@given(st.text(max_size=30))
def test_no_header_is_too_strange(text: str) -> None:
    for name in ("range", "if-range", "if-match", "if-none-match"):
        assert decide("GET", {"range": "bytes=0-1", name: text}, '"a"', 10).status in {200, 206, 304, 412, 416}
