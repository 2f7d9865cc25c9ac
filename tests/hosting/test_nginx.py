"""nginx with the configuration that is rendered for it: the same answers as the preview server's."""

from __future__ import annotations

import contextlib
import gzip
import http.client
import json
import os
import random
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pydicom
import pytest

from stillframe.archive.roots import root_token
from stillframe.errors import LayoutError, UsageError
from stillframe.hosting.nginx import NginxSettings, find_module, find_service_url, render_nginx, script_file
from stillframe.hosting.publish_site import publish_site
from stillframe.hosting.serve import create_app
from stillframe.hosting.site import list_site
from stillframe.hosting.site_keys import is_compressed, is_shell
from stillframe.hosting.viewer_folder import read_viewer
from stillframe.layout import HEAD_BYTES, Kind, key_of_path, media_type, parse_key
from stillframe.store.web_files import WebFolder
from tests.support.command import run
from tests.support.dicom_files import MP4, image, instance_uid, pdf, write, write_video
from tests.support.nginx_server import PROGRAM, free_port, needs_nginx, nginx
from tests.support.ohif import write_ohif
from tests.support.served_tree import FRAME, INSTANCE, TREE, write_tree
from tests.support.serving import Client, Reply, serving
from tests.support.trees import build_tree, contents

_SAMPLES = Path(pydicom.__file__).parent / "data" / "test_files"
# Headers that both servers must agree on, and those of CORS with them.
_SAME = (
    "content-type", "content-length", "content-range", "cache-control", "accept-ranges", "allow",
    "access-control-allow-origin", "access-control-expose-headers", "access-control-allow-methods",
    "access-control-allow-headers", "access-control-max-age", "cross-origin-resource-policy", "x-content-type-options",
)  # fmt: skip

needs_node = pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed")


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every kind of object: built of files of pydicom's, of a video and of a document."""
    folder = tmp_path_factory.mktemp("nginx")
    sources = [_SAMPLES / name for name in ("CT_small.dcm", "SC_rgb_jpeg_dcmtk.dcm", "liver_1frame.dcm", "rtdose.dcm")]
    write(folder / "in", "document.dcm", pdf(b"%PDF-1.7 " + bytes(2000), SOPInstanceUID=instance_uid(9)))
    write(folder / "in", "large-value.dcm", image(5, TextValue="x" * 100_000))
    write_video(folder / "in/video.dcm", [MP4])
    report = build_tree(folder / "a tree", *sources, folder / "in")
    assert not report.rejected
    return folder / "a tree"


@pytest.fixture(scope="module")
def pair(tree: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Client, Client]]:
    """nginx, and the preview server that it must agree with."""
    state = tmp_path_factory.mktemp("state") / "nginx"
    with nginx(state, free_port(), tree) as tried, serving(create_app(tree)) as reference:
        yield tried, reference


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    """nginx on the small tree of the preview server's tests, with what does not belong into a tree."""
    folder = tmp_path_factory.mktemp("made") / "tree"
    write_tree(folder, TREE)
    (folder.parent / "outside").write_bytes(b"outside the tree")
    (folder / f"{INSTANCE}/bulkdata/0A").symlink_to(folder.parent / "outside")
    (folder / f"{INSTANCE}/bulkdata/0D").mkdir()
    (folder / f"{INSTANCE}/frames/4").symlink_to(folder.parent / "outside")
    os.mkfifo(folder / f"{INSTANCE}/frames/5")
    (folder / f"{INSTANCE}/frames/6").mkdir()
    (folder / f"{INSTANCE}/frames/.7.part").write_bytes(FRAME)
    with nginx(folder.parent / "state", free_port(), folder) as client:
        yield client


def same(reply: Reply) -> dict[str, str]:
    return {name: reply.headers[name] for name in _SAME if name in reply.headers}


def assert_readable(reply: Reply) -> None:
    assert reply.headers["access-control-allow-origin"] == "*"
    assert reply.headers["access-control-expose-headers"] == "Content-Range, Content-Length, ETag, Accept-Ranges"
    assert reply.headers["cross-origin-resource-policy"] == "cross-origin"
    assert reply.headers["x-content-type-options"] == "nosniff"


@pytest.mark.slow
@needs_nginx
def test_every_object_is_what_the_preview_server_says(tree: Path, pair: tuple[Client, Client]) -> None:
    tried, reference = pair
    kinds, types = set(), set()
    for path, data in contents(tree).items():
        key = key_of_path(path)
        target = f"/dicomweb/{key}"
        reply, expected = tried(target), reference(target)
        assert (reply.status, reply.body) == (200, data), key
        assert same(reply) == same(expected), key
        assert reply.headers["etag"].startswith('"')
        assert same(tried(target, "HEAD")) == same(expected)
        part, expected_part = (get(target, Range="bytes=1-9") for get in pair)
        del expected_part.headers["accept-ranges"]  # nginx sends it with whole objects only
        assert (part.status, part.body, same(part)) == (206, data[1:10], same(expected_part))
        assert tried(f"{target}/?x=1").body == data
        kinds.add(parse_key(key).kind)
        types.add(reply.headers["content-type"].partition("boundary")[0])
    assert kinds == set(Kind) - {Kind.PENDING}
    assert {
        "application/dicom+json", "application/json", "application/dicom", "application/pdf", "video/mp4", "image/jpeg",
        "image/jphc; transfer-syntax=1.2.840.10008.1.2.4.202", 'multipart/related; type="image/jpeg"; ',
        'multipart/related; type="application/octet-stream"; ', "application/octet-stream",
    } <= types  # fmt: skip


@needs_nginx
def test_ranges(made: Client) -> None:
    target = f"/dicomweb/{INSTANCE}/frames/1"
    for value, start, stop in (
        ("bytes=0-0", 0, 1),
        ("bytes=100-", 100, len(FRAME)),
        ("bytes=-7", len(FRAME) - 7, None),
    ):
        reply = made(target, Range=value)
        assert (reply.status, reply.body) == (206, FRAME[start:stop])
        assert reply.headers["content-type"].startswith("image/jphc; transfer-syntax=")
        assert reply.headers["cache-control"] == "public, max-age=31536000, immutable"
        assert_readable(reply)
    reply = made(target, Range=f"bytes={len(FRAME)}-")
    assert (reply.status, reply.headers["content-range"]) == (416, f"bytes */{len(FRAME)}")
    assert reply.headers["cache-control"] == "no-store"
    assert_readable(reply)
    assert (made(target, Range="bytes=1-2,5-6").status, made(target, Range="bytes=1-2,5-6").body) == (200, FRAME)


@needs_nginx
def test_no_header_is_sent_twice(made: Client) -> None:
    frame = f"/dicomweb/{INSTANCE}/frames/1"
    requests: list[tuple[int, str, str, dict[str, str]]] = [
        (200, "GET", frame, {}), (206, "GET", frame, {"Range": "bytes=0-1"}),
        (416, "GET", frame, {"Range": "bytes=9999-"}),
        (304, "GET", frame, {"If-None-Match": made(frame).headers["etag"]}), (404, "GET", f"{frame}0", {}),
        (405, "POST", frame, {}), (204, "OPTIONS", frame, {}), (200, "GET", "/dicomweb/studies", {}),
        (500, "GET", f"/dicomweb/{INSTANCE}/frames/3", {}),
    ]  # fmt: skip
    for status, method, target, headers in requests:
        connection = http.client.HTTPConnection("127.0.0.1", made.port, timeout=10)
        with contextlib.closing(connection):
            connection.request(method, target, headers=headers)
            response = connection.getresponse()
            names = [name.lower() for name, _ in response.getheaders()]
        assert (response.status, len(names)) == (status, len(set(names))), names


@needs_nginx
def test_conditions(made: Client) -> None:
    target = f"/dicomweb/{INSTANCE}/frames/1"
    etag = made(target).headers["etag"]
    reply = made(target, If_None_Match=etag)
    assert (reply.status, reply.headers["cache-control"]) == (304, "public, max-age=31536000, immutable")
    assert_readable(reply)
    assert made(target, Range="bytes=0-1", If_Range=etag).status == 206
    assert made(target, Range="bytes=0-1", If_Range='"other"').status == 200
    assert made(target, If_Match='"other"').status == 412


@needs_nginx
def test_json_is_compressed_on_its_way_and_frames_are_not(tree: Path, pair: tuple[Client, Client]) -> None:
    get, _ = pair
    for path, data in contents(tree).items():
        key = key_of_path(path)
        reply = get(f"/dicomweb/{key}", Accept_Encoding="gzip, br")
        if reply.headers.get("content-encoding") == "gzip":
            assert reply.headers["content-type"] in {"application/dicom+json", "application/json"}
            assert gzip.decompress(reply.body) == data
            assert reply.headers["vary"] == "Accept-Encoding"
        else:
            assert reply.body == data
            assert not key.endswith("/metadata") or len(data) < 1024


@needs_nginx
def test_preflights_and_other_methods(made: Client) -> None:
    for target in (f"/dicomweb/{INSTANCE}/frames/1", "/dicomweb/studies/9.9", "/", "/nowhere"):
        reply = made(target, "OPTIONS", Origin="https://viewer.example", Access_Control_Request_Headers="range")
        assert (reply.status, reply.body) == (204, b"")
        assert reply.headers["access-control-allow-methods"] == "GET, HEAD, OPTIONS"
        assert reply.headers["access-control-allow-headers"] == "*"
        assert reply.headers["access-control-max-age"] == "86400"
        assert_readable(reply)
        for method in ("POST", "PUT", "DELETE", "PATCH", "PROPFIND"):
            refused = made(target, method)
            assert (refused.status, refused.headers["allow"]) == (405, "GET, HEAD, OPTIONS")
            assert_readable(refused)


@needs_nginx
@pytest.mark.parametrize(
    "target",
    [
        "/dicomweb//", "/dicomweb/studies//", "/dicomweb//studies", "//dicomweb/studies",
        "/dicomweb/secret", "/dicomweb/../secret", "/dicomweb/studies/index.json", "/dicomweb/studies/notes.txt",
        "/dicomweb/studies/1.2", "/dicomweb/studies/1.2/series/index.json", f"/dicomweb/{INSTANCE}/index.dcm",
        "/dicomweb/%2e%2e/secret", "/dicomweb/..%2fsecret", "/dicomweb/%252e%252e%252fsecret",
        "/dicomweb/%2fetc%2fpasswd",
        "/dicomweb/studies%0a", "/dicomweb/studies/1.2%0a/metadata", "/dicomweb/studies/%ff%fe/metadata",
        "/dicomweb/studies/..\\..\\outside", f"/dicomweb/{INSTANCE}/bulkdata/0D",
        f"/dicomweb/{INSTANCE}/bulkdata/00420011/1", f"/dicomweb/{INSTANCE}/bulkdata/" + "A" * 5000,
        f"/dicomweb/{INSTANCE}/frames/0", f"/dicomweb/{INSTANCE}/frames/9", f"/dicomweb/{INSTANCE}/frames/6",
        f"/dicomweb/{INSTANCE}/frames/.7.part", f"/dicomweb/{INSTANCE}/frames/5", "/dicomweb/studies/9.9/metadata",
        f"/dicomweb/studies/{'1' * 65}/metadata", "/dicomweb/Studies", "/etc/passwd", "/", "/secret", "/../secret",
        "/dicomweb/studies%00", "/dicomweb/../../secret", "/.stillframe/studies", "/.stillframe/frame/secret",
    ],
)  # fmt: skip
def test_nothing_but_the_layout_can_be_reached(made: Client, target: str) -> None:
    reply = made(target)
    assert (reply.status, reply.body) == (404, b"Not Found\n")
    assert "location" not in reply.headers
    assert reply.headers["content-type"] == "text/plain"
    assert reply.headers["cache-control"] == "no-store"
    assert_readable(reply)
    assert made(target, "HEAD").status == 404


@needs_nginx
def test_links_are_not_followed(made: Client) -> None:
    for target in (f"/dicomweb/{INSTANCE}/bulkdata/0A", f"/dicomweb/{INSTANCE}/frames/4"):
        reply = made(target)
        assert reply.status in (403, 404)
        assert b"outside" not in reply.body


@needs_nginx
def test_a_damaged_tree_is_named(made: Client) -> None:
    reply = made(f"/dicomweb/{INSTANCE}/frames/3")
    assert reply.status == 500
    assert b"damaged" in reply.body
    assert_readable(reply)


@needs_nginx
def test_a_tree_without_studies_has_an_empty_list(tmp_path: Path, free_port: int) -> None:
    (tmp_path / "tree").mkdir()
    with nginx(tmp_path / "state", free_port, tmp_path / "tree") as get:
        reply = get("/dicomweb/studies?limit=1")
        assert (reply.status, reply.body, reply.headers["content-type"]) == (200, b"[]", "application/dicom+json")
        assert reply.headers["cache-control"] == "no-cache"
        assert_readable(reply)
        assert get("/dicomweb/studies/1.2/series").status == 404


@needs_nginx
def test_service_roots_of_one_study_and_at_the_root_of_the_host(tmp_path: Path, free_port: int) -> None:
    token = root_token(bytes(16), "1.2")
    write_tree(tmp_path / "tree" / token, TREE)
    with nginx(tmp_path / "state", free_port, tmp_path / "tree", root_path="") as get:
        assert get(f"/{token}/studies").body == TREE["studies/index.json"]
        assert get(f"/{token}/{INSTANCE}/frames/1").body == FRAME
        assert get(f"/{token}").status == get(f"/{token}/{token}/studies").status == get("/").status == 404
        assert get("/service.js").body == (
            b'window.stillframe = { root: new URL("/", document.currentScript.src).href.slice(0, -1) };\n'
        )
        assert get("/studies").body == b"[]"


@needs_nginx
def test_a_site_beside_the_tree(tmp_path: Path, free_port: int) -> None:
    """The same answers as the preview server's, and compressed copies from the folder."""
    tree = tmp_path / "a tree"
    write_tree(tree, TREE)
    site = list_site(read_viewer(write_ohif(tmp_path / "dist")))
    publish_site(site, WebFolder(tree))
    (tmp_path / "outside.js").write_bytes(b"outside")
    (tree / "study-link.js").symlink_to(tmp_path / "outside.js")
    with nginx(tmp_path / "state", free_port, tree) as tried, serving(create_app(tree)) as reference:
        for key in site.files:
            for target in (f"/{key}", f"/{key}?a=/.."):
                expected, reply = reference(target), tried(target)
                assert (reply.status, reply.body) == (200, expected.body), target
                for name in ("content-type", "cache-control", "access-control-allow-origin", "x-content-type-options"):
                    assert reply.headers[name] == expected.headers[name], (target, name)
            if not is_shell(key) and is_compressed(key):
                packed = tried(f"/{key}", Accept_Encoding="gzip")
                assert packed.headers["content-encoding"] == "gzip"
                assert packed.body == (tree / f"{key}.gz").read_bytes()
                assert packed.headers["vary"] == "Accept-Encoding"
                assert tried(f"/{key}", If_None_Match=tried(f"/{key}").headers["etag"]).status == 304
        assert tried("/").body == tried("/index.html").body == reference("/").body
        packed = tried("/viewer", Accept_Encoding="gzip")
        assert gzip.decompress(packed.body) == site.files["viewer"]()
        for target in ("/dicomweb", "/dicomweb/", "/service.js"):
            assert (tried(target).status, tried(target).body) == (200, reference(target).body)
            assert tried(target).headers["cache-control"] == "no-cache"
            assert tried(target, "HEAD").status == 200
        assert tried("/study-link.js").status == 403
        asset = next(key for key in site.files if key.endswith(".wasm"))
        for target in (
            f"/{asset}.gz",
            "/viewer/",
            "/ohif/",
            f"/{asset}/",
            "/study-none.js",
            "/.stillframe/page/viewer",
        ):
            assert (tried(target).status, tried(target).body) == (404, b"Not Found\n"), target


@needs_nginx
def test_a_site_of_a_service_elsewhere(tmp_path: Path, free_port: int) -> None:
    root = 'https://images.example.org/"dicom"web'
    publish_site(list_site(root=root), WebFolder(tmp_path / "tree"))
    assert find_service_url(tmp_path / "tree") == root
    with nginx(tmp_path / "state", free_port, tmp_path / "tree", service_url=root) as get:
        assert get("/service.js").body == (tmp_path / "tree/service.js").read_bytes()
    assert find_service_url(tmp_path) == ""


@pytest.mark.slow
@needs_node
def test_the_script_names_types_as_the_layout_does(tmp_path: Path) -> None:
    heads = [*_proper_heads(), *_made_heads(random.Random(1), 4000)]
    script = tmp_path / "nginx.mjs"
    shutil.copy(script_file(), script)
    code = f"""
        import {{ readFileSync, writeFileSync }} from 'node:fs';
        import script from {json.dumps(str(script))};
        const types = JSON.parse(readFileSync(0)).map((head) => {{
          const text = Buffer.from(head, 'hex').toString('latin1');
          writeFileSync({json.dumps(str(tmp_path / "object"))}, text, 'latin1');
          const read = script.readHead({json.dumps(str(tmp_path / "object"))});
          return [script.frameType(read), script.renderedType(read)];
        }});
        process.stdout.write(JSON.stringify(types));
    """
    done = subprocess.run(
        ["node", "--input-type=module", "-e", code],
        input=json.dumps([head.hex() for head in heads]),
        capture_output=True,
        text=True,
        check=True,
    )
    expected = [[_type(Kind.FRAME, head), _type(Kind.RENDERED, head)] for head in heads]
    assert json.loads(done.stdout) == expected
    assert len({kind for pair in expected for kind in pair}) > 8


def _type(kind: Kind, head: bytes) -> str:
    try:
        return media_type(kind, head[:HEAD_BYTES])
    except LayoutError:
        return ""


def _proper_heads() -> list[bytes]:
    part = b"--b(1)\r\nContent-Type: image/jls ; transfer-syntax=1.2\r\n\r\n"
    return [
        b"", b"\xff", b"\xff\x4f\xff\x51", b"\xff\xd8\xff", part, part[:-3], b"--" + b"b" * 71 + part[6:],
        b"\0\0\0\x20ftypisom", b"G" + bytes(187) + b"G", bytes(4) + b"G" + bytes(191) + b"G", b"%PDF-1.7",
        bytes(500) + b"%PDF-1.7", bytes(508) + b"%PDF-1.7", b"\0\0\x01\xba\x44", b"\0\0\0\x01\xb3\0",
        b"\0\0\0\x01\x40\x01", b"\0\0\x01\x46\x01", b"\0\0\0\x01\x67\x42", b"\0\0\x01\x09\x10", b"\0\0\x01\x06\x05",
        b"\0\0\x01", b"\0\0\x01\x67",
    ]  # fmt: skip


def _made_heads(source: random.Random, count: int) -> list[bytes]:
    """Start codes before all bytes, and proper heads with bytes changed: to none that Python alone strips."""
    others = [byte for byte in range(256) if byte not in b"\x1c\x1d\x1e\x1f\x85"]
    codes = [b"\0" * (2 + code % 3) + bytes([1, code, code % 3]) for code in range(256)]
    proper = [head for head in _proper_heads() if head]
    for _ in range(count):
        head = bytearray(source.choice(proper))
        head[source.randrange(len(head))] = source.choice(others)
        codes.append(bytes(head))
    return codes


@pytest.mark.parametrize(
    "changes",
    [
        {"server_name": "a b"}, {"server_name": "a;"}, {"server_name": ""}, {"host": "x y"}, {"root_path": "/a/"},
        {"root_path": "dicomweb"}, {"root_path": "/a.*"}, {"tree": Path("/srv/$HOME")}, {"tree": Path("/srv/a\nb")},
        {"script": Path("/srv/$x")}, {"service_url": "https://$host/dicomweb"},
    ],
)  # fmt: skip
def test_what_a_configuration_cannot_hold_is_refused(changes: dict[str, object]) -> None:
    given: dict[str, object] = {"tree": Path("/srv/tree"), "script": Path("/srv/nginx.js"), "module": ""}
    with pytest.raises(UsageError):
        render_nginx(NginxSettings(**{**given, **changes}))  # type: ignore[arg-type]


def test_a_part_for_an_http_block() -> None:
    settings = NginxSettings(
        tree=Path('/srv/"a" tree'), script=Path("/srv/nginx.js"), module="/m.so", host="::1", complete=False
    )
    text = render_nginx(settings)
    assert "load_module" not in text
    assert "events" not in text
    assert 'alias "/srv/\\"a\\" tree/$key/index.json";' in text
    assert "listen [::1]:8080;" in text


@pytest.mark.slow
def test_the_command_prints_the_configuration(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path, target_is_directory=True)
    done = run("nginx", tmp_path / "link", "--module", "")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == render_nginx(NginxSettings(tree=tmp_path.resolve(), script=script_file(), module=""))
    assert "load_module" not in done.stdout
    assert f'load_module "{find_module()}";' in run("nginx", tmp_path).stdout
    copy = Path(shutil.copy(script_file(), tmp_path / "copy.js"))
    assert f'js_import stillframe from "{copy}";' in run("nginx", tmp_path, "--script", copy, "--http-part").stdout


@pytest.mark.slow
def test_the_command_refuses_what_cannot_be(tmp_path: Path) -> None:
    for arguments, message in (
        ((tmp_path / "missing",), "does not exist"),
        ((tmp_path, "--root-path", "/a b"), "the root path must be"),
        ((tmp_path, "--server-name", "a{"), "not a server name"),
        ((tmp_path, "--port", "0"), "0 is not in the range"),
    ):
        done = run("nginx", *arguments)
        assert (done.returncode, done.stdout) == (1, "")
        assert message in done.stderr


@needs_nginx
def test_nginx_accepts_the_part_for_an_http_block(tmp_path: Path) -> None:
    settings = NginxSettings(
        tree=tmp_path.resolve(), script=script_file(), module="", complete=False, server_name="*.example.org"
    )
    (tmp_path / "part.conf").write_text(render_nginx(settings))
    (tmp_path / "nginx.conf").write_text(
        f'load_module "{find_module()}";\npid nginx.pid;\nevents {{ }}\nhttp {{ include part.conf; }}\n'
    )
    done = subprocess.run(
        [PROGRAM, "-t", "-p", tmp_path, "-c", "nginx.conf"], capture_output=True, text=True, check=False
    )
    assert "syntax is ok" in done.stderr, done.stderr
