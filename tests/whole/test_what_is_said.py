"""What others say (names, values, stores, libraries) is said without acting on a terminal, and without secrets."""

from __future__ import annotations

import http.server
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Final, override

import pytest

from tests.support.command import run
from tests.support.dicom_files import image, instance_uid, to_bytes, write, write_series

pytestmark = pytest.mark.slow

TOKEN: Final = "FwoGZXIvYXdzEBYaDHqa0AP/token+of=a-session"
SECRET: Final = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
KEYS: Final = {
    "AWS_ACCESS_KEY_ID": "AKIAIOSFODNN7EXAMPLE",
    "AWS_SECRET_ACCESS_KEY": SECRET,
    "AWS_SESSION_TOKEN": TOKEN,
    "AWS_DEFAULT_REGION": "us-east-1",
}


class HostileStore(http.server.BaseHTTPRequestHandler):
    """Refuses, and quotes what it was sent, among characters that act on a terminal."""

    def do_GET(self) -> None:
        sent = f"{self.headers.get('X-Amz-Security-Token')} {SECRET} http://user:hunter22@host/x?X-Amz-Signature=abcdef"
        text = f"<Error><Code>\u202eDenied</Code><Message>\x9b31m {sent}&#10;stillframe: all is well</Message></Error>"
        self.send_response(403)
        self.send_header("Content-Length", str(len(text.encode())))
        self.end_headers()
        self.wfile.write(text.encode())

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_PUT(self) -> None:
        self.do_GET()

    @override
    def log_message(self, format: str, *args: object) -> None: ...


@pytest.fixture
def hostile_store() -> Iterator[str]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), HostileStore) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def check_said(done: subprocess.CompletedProcess[str], *more: str) -> None:
    for text in (done.stdout, done.stderr, *more):
        assert all(line.isprintable() for line in text.split("\n")), text
        for secret in (TOKEN, SECRET, "hunter22", "abcdef"):
            assert secret not in text
        assert "Traceback" not in text


@pytest.mark.parametrize("side", ["source", "destination"])
def test_a_store_repeats_no_secret_and_draws_nothing(tmp_path: Path, hostile_store: str, side: str) -> None:
    write_series(tmp_path / "in", 1)
    locations = ("s3://bucket/in", tmp_path / "out") if side == "source" else (tmp_path / "in", "s3://bucket/out")
    options = ("--endpoint-url", hostile_store, "--patience", "1", "--report", tmp_path / "report.json")
    done = run("build", *locations, *options, **KEYS)
    assert done.returncode == 1
    assert "the store answered 403" in done.stderr
    check_said(done)
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize("command", [("index",), ("delete", "--study", "1.2.3")])
def test_users_and_passwords_of_endpoints_are_not_said(
    tmp_path: Path, free_port: int, command: tuple[str, ...]
) -> None:
    url = f"http://user:hunter22@127.0.0.1:{free_port}"
    done = run(*command, "s3://bucket/archive", "--endpoint-url", url, "--patience", "1", **KEYS)
    assert done.returncode == 1
    check_said(done)


def test_a_signed_url_is_not_said(hostile_store: str, free_port: int) -> None:
    for address in (hostile_store, f"http://127.0.0.1:{free_port}"):
        done = run("inspect", f"{address}/frame?X-Amz-Signature=abcdef&X-Amz-Credential=hunter22")
        assert done.returncode == 1
        assert f"{address}/frame?***" in done.stderr
        check_said(done)


def test_a_password_is_not_published(tmp_path: Path) -> None:
    done = run(
        "build", write_series(tmp_path / "in", 1), tmp_path / "out", "--base-url", "https://user:hunter22@host/x"
    )
    assert done.returncode == 1
    assert "--base-url would publish its user and password" in done.stderr
    check_said(done)


def test_names_stay_on_their_line_and_reports_give_them_back(tmp_path: Path) -> None:
    name = "a\nrejected   b.dcm: \x1b[2J\x9b\u202e\u2028\x7f http://user@host?x.dcm"
    (tmp_path / "in").mkdir()
    path = tmp_path / "in" / name.replace("/", "_")
    path.write_bytes(to_bytes(image(1, NumberOfFrames=9)))
    write(tmp_path, "in/good.dcm", image(2))
    done = run("build", tmp_path / "in", tmp_path / "out", "--report", tmp_path / "report.json")
    assert done.returncode == 2
    text = (tmp_path / "report.json").read_text()
    check_said(done, text)
    assert [line.partition(" ")[0] for line in done.stderr.splitlines()] == ["reading", "publishing:", "rejected"]
    assert [rejected["path"] for rejected in json.loads(text)["rejected"]] == [str(path)]


def test_what_is_wrong_with_an_option_draws_nothing(tmp_path: Path) -> None:
    done = run("build", "--\x1b[2J\u202e", tmp_path / "out")
    assert done.returncode == 1
    assert "No such option" in done.stderr
    check_said(done)


def test_a_fault_of_our_own_is_told_without_secrets() -> None:
    program = (
        "import stillframe.cli.main as main\n"
        f"def fail(**_): raise TypeError('http://user:hunter22@host \\x1b[2J {TOKEN}')\n"
        "main.cli.main = fail\nmain.main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], env=os.environ | KEYS, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "this is a fault of Stillframe" in done.stderr
    assert "TypeError: http://***@host \\x1b[2J ***" in done.stderr
    assert TOKEN not in done.stderr.replace(program, "")


def roots(folder: Path) -> dict[str, str]:
    found: dict[str, str] = json.loads((folder / "report.json").read_bytes())["roots"]
    return found


def test_a_secret_reads_the_same_from_a_file_and_the_environment(tmp_path: Path) -> None:
    secret, source = "0123456789abcdef" * 4, write_series(tmp_path / "in", 1)
    (tmp_path / "secret").write_text(f"\n{secret}\n")
    (tmp_path / "secret").chmod(0o640)
    options = ("--unlisted", "--report", tmp_path / "report.json")
    done = run("build", source, tmp_path / "out", *options, "--secret-file", tmp_path / "secret")
    assert f"warning: the secret {tmp_path}/secret is open to others: chmod go= (now 040)" in done.stderr
    from_file = roots(tmp_path)
    (tmp_path / "secret").chmod(0o600)
    done = run("build", source, tmp_path / "out", *options, "--secret-file", tmp_path / "secret")
    assert "warning" not in done.stderr
    done = run("build", source, tmp_path / "out", *options, STILLFRAME_SECRET=f" {secret}\r\n")
    assert done.returncode == 0
    assert "1 unchanged" in done.stdout
    assert roots(tmp_path) == from_file
    for said in (done.stdout, done.stderr, (tmp_path / "report.json").read_text()):
        assert secret not in said
    assert instance_uid(1) not in from_file.values()
