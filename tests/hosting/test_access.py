"""Whom the preview server answers: pages of other origins, and requests under other names."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from stillframe.errors import UsageError
from stillframe.hosting.access import Access
from stillframe.hosting.serve import create_app, make_config
from tests.support.served_tree import INSTANCE, TREE, write_tree
from tests.support.serving import Client, send_raw, serve_command, serving

_VIEWER = "https://viewer.example.org"
_STUDIES = "/dicomweb/studies"


@pytest.fixture(scope="module")
def get(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    """A server for two origins and one more name."""
    tree = tmp_path_factory.mktemp("access")
    write_tree(tree, TREE)
    access = Access(origins=(_VIEWER, "http://localhost:3000"), hosts=("Preview.example.org",))
    app = create_app(tree, access=access)
    with serving(app, make_config(app, access)) as client:
        yield client


@pytest.mark.parametrize("target", [_STUDIES, "/dicomweb/studies/9.9/metadata", f"/dicomweb/{INSTANCE}/frames/3", "/"])
def test_pages_of_named_origins_read_every_answer_and_others_none(get: Client, target: str) -> None:
    for origin in (_VIEWER, "http://localhost:3000"):
        for method in ("GET", "HEAD", "OPTIONS", "PUT"):
            reply = get(target, method, Origin=origin)
            assert reply.headers["access-control-allow-origin"] == origin
            assert reply.headers["vary"] == "Origin"
    for origin in ("https://evil.example", f"{_VIEWER}.evil.example", "https://VIEWER.example.org", "null", "", "*"):
        reply = get(target, Origin=origin)
        assert "access-control-allow-origin" not in reply.headers
        assert reply.headers["vary"] == "Origin"
        assert "access-control-allow-origin" not in get(target, "OPTIONS", Origin=origin).headers
    assert "access-control-allow-origin" not in get(target).headers


def test_what_is_no_http_is_read_by_no_other_origin_either(get: Client) -> None:
    answer = send_raw(get.port, f"GET {_STUDIES}\0 HTTP/1.1\r\nHost: 127.0.0.1\r\nOrigin: {_VIEWER}\r\n\r\n".encode())
    assert answer.startswith(b"HTTP/1.1 404 Not Found\r\n")
    assert b"access-control-allow-origin" not in answer
    assert answer.endswith(b"\r\n\r\nNot Found\n")


def status(port: int, host: bytes, version: bytes = b"1.1", method: bytes = b"GET") -> int:
    line = b"%s %s HTTP/%s\r\n" % (method, _STUDIES.encode(), version)
    answer = send_raw(port, line + host + b"Connection: close\r\n\r\n")
    assert (b"0020000D" in answer) == (answer[9:12] == b"200" and method == b"GET")
    return int(answer[9:12])


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "127.0.0.1:8080", "[::1]:8080", "[::1]", "localhost", "LOCALHOST:80", "localhost.", "a.localhost:1",
     "192.168.1.7:8080", "preview.example.org", "Preview.Example.org:8080", "[fe80::1]"],
)  # fmt: skip
def test_names_that_a_page_of_another_site_cannot_have(get: Client, host: str) -> None:
    assert status(get.port, f"Host: {host}\r\n".encode()) == 200


@pytest.mark.parametrize(
    "host",
    ["evil.example", "evil.example:8080", "127.0.0.1.evil.example", "localhost.evil.example", "evil",
     "x.preview.example.org", "1.2.3", "0x7f.1", "2130706433", "[::1].evil.example", "[evil]",
     "127.0.0.1@evil.example", "127.0.0.1, evil.example",
     "127.0.0.1:8080:1", "evil.example#127.0.0.1", "localhost:x", "", "[", "..", "notlocalhost"],
)  # fmt: skip
def test_names_that_lead_here_by_somebody_elses_doing_are_refused(get: Client, host: str) -> None:
    for method in (b"GET", b"HEAD", b"OPTIONS"):
        assert status(get.port, f"Host: {host}\r\n".encode(), method=method) == 421  # RFC 9110, 15.5.20


def test_requests_without_a_name(get: Client) -> None:
    """HTTP/1.0 allows them, and browsers do not send them; HTTP/1.1 does not (RFC 9112, 3.2)."""
    assert status(get.port, b"", b"1.0") == 200
    assert status(get.port, b"Host: evil.example\r\n", b"1.0") == 421
    assert status(get.port, b"") == 404
    assert status(get.port, b"Host: 127.0.0.1\r\nHost: evil.example\r\n") == 404


@pytest.mark.parametrize(
    "origin",
    ["viewer.example.org", "https://viewer.example.org/", "https://*.example.org", "*", "https://a b", "null", ""],
)
def test_what_is_no_origin(origin: str) -> None:
    with pytest.raises(UsageError, match="not an origin"):
        Access(origins=(origin,))


@pytest.mark.parametrize("host", ["http://a", "a:80", "a/b", "", "a b", "*", ".example.org"])
def test_what_is_no_name(host: str) -> None:
    with pytest.raises(UsageError, match="not a host name"):
        Access(hosts=(host,))


@pytest.mark.slow
def test_the_command_hands_over_what_it_is_given(tmp_path: Path) -> None:
    """Both options reach a server that listens under another name than it has."""
    write_tree(tmp_path, TREE)
    options = ("--cors", _VIEWER, "--cors", "http://a.test", "--allow-host", "preview.example.org")
    with serve_command(tmp_path, *options) as get:
        assert get(_STUDIES, Origin="http://a.test").headers["access-control-allow-origin"] == "http://a.test"
        assert "access-control-allow-origin" not in get(_STUDIES, Origin="http://b.test").headers
        assert status(get.port, b"Host: preview.example.org\r\n") == 200
        assert status(get.port, b"Host: other.example.org\r\n") == 421


@pytest.mark.slow
@pytest.mark.parametrize(
    ("host", "told"), [("127.0.0.1", ""), ("localhost", ""), ("0.0.0.0", "addresses, localhost, a.test")]
)
def test_the_command_says_when_other_machines_can_read(tmp_path: Path, host: str, told: str) -> None:
    write_tree(tmp_path, TREE)
    said: list[str] = []
    with serve_command(tmp_path, "--host", host, "--allow-host", "a.test", said=said) as get:
        assert status(get.port, b"Host: 127.0.0.1\r\n") == 200
    warning = f"Other machines can read the tree, without a password; answered under: {told}\n"
    assert said == ([warning] if told else [])
