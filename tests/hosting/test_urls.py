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
from stillframe.hosting.service_script import service_script_beside
from stillframe.hosting.site_keys import find_site_key
from stillframe.hosting.urls import find_object, is_service_root, service_line
from stillframe.layout import path_of_key
from tests.support.nginx_server import free_port, needs_nginx, nginx
from tests.support.places import REPOSITORY
from tests.support.serving import Client, send_raw, serving
from tests.support.urls import KEYS, SITE_KEYS, SITE_TRAPS, TOKEN, TRAPS, WORD, make_urls

_URLS = make_urls(6000)
_ANSWERS = {"root": service_line("/dicomweb").encode(), "service.js": service_script_beside("/dicomweb/").encode()}
"""What hosts answer themselves."""
needs_node = pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed")
pytestmark = [pytest.mark.slow, needs_node]


@pytest.fixture(scope="module")
def keys() -> list[str | None]:
    """What the edge function makes of each URL: a key, or one of `_ANSWERS`; None for a 404."""
    script = f"""
        import {{ loadHandler, makeEvent }} from {json.dumps(str(REPOSITORY / "tests/infra/edge/load.mjs"))};
        import {{ readFileSync }} from 'node:fs';
        const handler = loadHandler({{ KeyPrefix: '' }});
        const urls = JSON.parse(readFileSync(0));
        process.stdout.write(JSON.stringify(urls.map((url) => {{
          const answer = handler(makeEvent(url));
          if (answer.uri !== undefined) return answer.uri.slice(1);
          if (answer.statusCode === 404) return null;
          if (answer.statusCode !== 200) throw new Error(url);
          return answer.headers['content-type'].value.indexOf('javascript') === -1 ? 'root' : 'service.js';
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
    for key in sorted({*KEYS, *SITE_KEYS, *(key for key in keys if key and key not in _ANSWERS)}):
        root, _, rest = key.partition("/") if not key.startswith("studies") else ("", "", key)
        content = b"" if find_site_key(f"/{key}") else _head(key)
        file = tree / key if find_site_key(f"/{key}") else tree / root / path_of_key(rest)
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content + b"stillframe site " + key.encode())
        except OSError:  # a name of more than 255 bytes, or one that is a file here and a folder there
            continue
        written[key] = content + b"stillframe site " + key.encode()
    for path in (*TRAPS, *SITE_TRAPS):
        file = tree / path
        file.parent.mkdir(parents=True, exist_ok=True)
        assert not file.exists()
        file.write_bytes(b"no object of the service")
    return tree, written


def _head(key: str) -> bytes:
    return b"\xff\x4f" if "/frames/" in key else b"%PDF-" if key.endswith("/rendered") else b""


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
        expected = {**written, **_ANSWERS}.get(key or "") if re.fullmatch(rb"[!-~]+", url) else None
        if given != ((b"404", b"Not Found\n") if expected is None else (b"200", expected)):
            differ.append((url[:200], key and key[:200], given))
    return differ


def test_there_is_something_to_agree_on(keys: list[str | None], stored: tuple[Path, dict[str, bytes]]) -> None:
    assert len(_URLS) >= 5000
    assert sum(key is None for key in keys) > 3000
    assert sum(key in stored[1] for key in keys) > 500
    assert {key for key in keys if key} >= {*KEYS, *SITE_KEYS, *_ANSWERS}
    objects = [key for key in keys if key and key not in _ANSWERS and not find_site_key(f"/{key}")]
    assert not [key for key in objects if not re.match(r"([0-9A-Za-z_-]{16,128}/)?studies(/|$)", key)]
    assert not [key for key in objects if ".." in key or "//" in key or not re.fullmatch(r"[0-9A-Za-z./_-]+", key)]


def test_the_preview_server(preview: Client, keys: list[str | None], stored: tuple[Path, dict[str, bytes]]) -> None:
    assert disagreements(preview.port, keys, stored[1]) == []


@needs_nginx
def test_nginx(keys: list[str | None], stored: tuple[Path, dict[str, bytes]]) -> None:
    tree, written = stored
    with nginx(tree.parent / "nginx", free_port(), tree) as client:
        assert disagreements(client.port, keys, written) == []


def test_the_rule_alone(keys: list[str | None]) -> None:
    for url, key in zip(_URLS, keys, strict=True):
        path = url.partition(b"?")[0].decode("latin-1")
        if found := find_object(path, "/dicomweb"):
            assert found[1].removesuffix("/index.json").removesuffix("/index.dcm") == key, url[:200]
        else:
            assert ("root" if is_service_root(path, "/dicomweb") else find_site_key(path) or None) == key, url[:200]


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


def test_words_of_jobs_are_served_by_none(preview: Client) -> None:
    for path in (f"pending/{WORD}", f"{TOKEN}/pending/{WORD}", f"pending/{WORD}/", f"p%65nding/{WORD}"):
        assert preview(f"/dicomweb/{path}").status == 404
        assert find_object(f"/dicomweb/{path}", "/dicomweb") is None


def test_nginx_has_the_rule_of_the_edge_function() -> None:
    script, source = NGINX_SCRIPT.read_text(), (FOLDER / "edge.js").read_text()
    assert embed_keys(script, source) == script, "python infra/embed.py puts it there"
    with pytest.raises(ValueError, match="no place for the code"):
        embed_keys("export default {};\n", source)
