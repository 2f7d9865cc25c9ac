"""One truth about URLs: edge function, nginx and preview server answer each with the same object, or refuse it."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from infra.embed import FOLDER, NGINX_SCRIPT, embed_keys
from stillframe.hosting.serve import create_app
from stillframe.hosting.urls import find_object
from stillframe.layout import path_of_key
from tests.support.nginx_server import free_port, needs_nginx, nginx
from tests.support.places import REPOSITORY
from tests.support.served_tree import write_tree
from tests.support.serving import Client, send_raw, serving
from tests.support.urls import KEYS, TOKEN, TRAPS, WORD, make_urls

_URLS = make_urls(6000)
needs_node = pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed")
pytestmark = [pytest.mark.slow, needs_node]


@pytest.fixture(scope="module")
def keys() -> list[str | None]:
    """What the edge function makes of each URL."""
    script = f"""
        import {{ loadHandler, makeEvent }} from {json.dumps(str(REPOSITORY / "tests/infra/edge/load.mjs"))};
        import {{ readFileSync }} from 'node:fs';
        const handler = loadHandler({{ KeyPrefix: '' }});
        const urls = JSON.parse(readFileSync(0));
        process.stdout.write(JSON.stringify(urls.map((url) => {{
          const answer = handler(makeEvent(url));
          if (answer.uri === undefined && answer.statusCode !== 404) throw new Error(url);
          return answer.uri === undefined ? null : answer.uri.slice(1);
        }})));
    """
    given = json.dumps([url.decode("latin-1") for url in _URLS])
    done = subprocess.run(
        ["node", "--input-type=module", "-e", script], input=given, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    found: list[str | None] = json.loads(done.stdout)
    return found


@pytest.fixture(scope="module")
def stored(keys: list[str | None], tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, bytes]]:
    """A tree that holds every key that was found, wherever a folder can, with itself as content; and what is no key."""
    tree = tmp_path_factory.mktemp("urls") / "tree"
    written = {}
    for key in sorted({*KEYS, *(key for key in keys if key)}):
        root, _, rest = key.partition("/") if not key.startswith("studies") else ("", "", key)
        file = tree / root / path_of_key(rest)
        head = b"\xff\x4f" if "/frames/" in key else b"%PDF-" if key.endswith("/rendered") else b""
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(head + key.encode())
        except OSError:  # a name of more than 255 bytes, or one that is a file here and a folder there
            continue
        written[key] = head + key.encode()
    for path in TRAPS:
        file = tree / path
        file.parent.mkdir(parents=True, exist_ok=True)
        assert not file.exists()
        file.write_bytes(b"no object of the service")
    return tree, written


@pytest.fixture(scope="module")
def preview(stored: tuple[Path, dict[str, bytes]]) -> Iterator[Client]:
    with serving(create_app(stored[0])) as client:
        yield client


def answer(port: int, url: bytes) -> tuple[bytes, bytes]:
    """The status and the body that a server sends for a URL as it is."""
    reply = send_raw(port, b"GET %s HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n" % url)
    head, _, body = reply.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 "), (url[:200], reply)
    return head.split(b" ", 2)[1], body


def disagreements(port: int, keys: list[str | None], written: dict[str, bytes]) -> list[object]:
    """URLs that are answered otherwise than the edge function would have it, with that and the answer."""
    differ: list[object] = []
    for url, key in zip(_URLS, keys, strict=True):
        given = answer(port, url)
        # A URL is of visible ASCII characters (RFC 3986, 2). The function is shown no query, where others may stand.
        named = key in written and re.fullmatch(rb"[!-~]+", url)
        if given != ((b"200", written[key or ""]) if named else (b"404", b"Not Found\n")):
            differ.append((url[:200], key and key[:200], given))
    return differ


def test_there_is_something_to_agree_on(keys: list[str | None], stored: tuple[Path, dict[str, bytes]]) -> None:
    assert len(_URLS) >= 5000
    assert sum(key is None for key in keys) > 3000
    assert sum(key in stored[1] for key in keys) > 500
    assert {key for key in keys if key} >= set(KEYS)
    assert not [key for key in keys if key and not re.match(r"([0-9A-Za-z_-]{16,128}/)?studies(/|$)", key)]
    assert not [
        key for key in keys if key and (".." in key or "//" in key or not re.fullmatch(r"[0-9A-Za-z./_-]+", key))
    ]


def test_the_preview_server(preview: Client, keys: list[str | None], stored: tuple[Path, dict[str, bytes]]) -> None:
    assert disagreements(preview.port, keys, stored[1]) == []


@needs_nginx
def test_nginx(keys: list[str | None], stored: tuple[Path, dict[str, bytes]]) -> None:
    tree, written = stored
    with nginx(tree.parent / "nginx", free_port(), tree) as client:
        assert disagreements(client.port, keys, written) == []


def test_the_rule_alone(keys: list[str | None]) -> None:
    for url, key in zip(_URLS, keys, strict=True):
        found = find_object(url.partition(b"?")[0].decode("latin-1"), "/dicomweb")
        assert (found and found[1].removesuffix("/index.json").removesuffix("/index.dcm")) == key, url[:200]


@needs_nginx
def test_how_long_a_path_and_its_query_may_be(preview: Client, stored: tuple[Path, dict[str, bytes]]) -> None:
    """Longer than CloudFront takes (8,192 bytes), and alike where the servers count themselves."""
    tree, written = stored
    start = b"/dicomweb/studies?"
    with nginx(tree.parent / "nginx-long", free_port(), tree) as real:
        for server in (real, preview):
            for length, expected in ((9000, 200), (32_768, 200), (32_769, 404), (60_000, 404), (70_000, 404)):
                status, body = answer(server.port, start + b"a" * (length - len(start)))
                assert (int(status), body) == (expected, written["studies"] if expected == 200 else b"Not Found\n")


@needs_nginx
def test_a_viewer_beside_the_service(preview: Client, tmp_path: Path, stored: tuple[Path, dict[str, bytes]]) -> None:
    """What is no key is the viewer's, and what no viewer has a file for by that very name is nobody's."""
    files = {"index.html": b"<!doctype html>", "app.js": b"js", "a/x~1@2.js": b"js", ".git/config": b"secret"}
    write_tree(tmp_path / "dist", files)
    (tmp_path / "outside.js").write_bytes(b"outside")
    (tmp_path / "dist/link.js").symlink_to(tmp_path / "outside.js")
    page, missing = (b"200", b"<!doctype html>"), (b"404", b"Not Found\n")
    expected = {
        "/": page, "/viewer?StudyInstanceUIDs=1.2": page, "/viewer/dicomweb": page, "/dicomwebs": page, "/a/": page,
        "/app.js": (b"200", b"js"), "/a/x~1@2.js?v=1": (b"200", b"js"), "/missing.js": missing,
        "/.git/config": missing, "/a/../app.js": missing, "/%61pp.js": missing, "/x/../dicomweb/studies": missing,
        "/viewer/%2e%2e/app.js": missing, "//app.js": missing, "/a//x~1@2.js": missing, "/app.js%00": missing,
        "/dicomweb": missing, "/dicomweb/": missing, "/dicomweb/x": missing, "/viewer;a": missing, "/app.js/": page,
        "/" + "a" * 5000: missing, "/viewer#x": missing, "http://127.0.0.1/app.js": missing, "/app.css": missing,
    }  # fmt: skip
    with (
        nginx(tmp_path / "nginx", free_port(), stored[0], viewer=tmp_path / "dist") as real,
        serving(create_app(stored[0], viewer=tmp_path / "dist")) as previewed,
    ):
        for url, (status, body) in expected.items():
            for server in (real, previewed):
                assert answer(server.port, url.encode()) == (status, body), url
        assert answer(real.port, b"/link.js")[0] == b"403"
        assert answer(previewed.port, b"/link.js")[0] == b"404"


def test_words_of_jobs_are_served_by_none(preview: Client) -> None:
    for path in (f"pending/{WORD}", f"{TOKEN}/pending/{WORD}", f"pending/{WORD}/", f"p%65nding/{WORD}"):
        assert preview(f"/dicomweb/{path}").status == 404
        assert find_object(f"/dicomweb/{path}", "/dicomweb") is None


def test_nginx_has_the_rule_of_the_edge_function() -> None:
    script, source = NGINX_SCRIPT.read_text(), (FOLDER / "edge.js").read_text()
    assert embed_keys(script, source) == script, "python infra/embed.py puts it there"
    with pytest.raises(ValueError, match="no place for the code"):
        embed_keys("export default {};\n", source)
