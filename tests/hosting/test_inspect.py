from __future__ import annotations

import os
import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import numpy as np
import pytest

from stillframe.codec.codestream import reduce_codestream
from stillframe.codec.htj2k import encode_frame
from stillframe.codec.markers import parse_header
from stillframe.errors import CodestreamError, StoreError
from stillframe.hosting.byte_source import GetBytes, file_source, http_source
from stillframe.hosting.inspect import format_report, inspect_frame

FRAME = encode_frame(np.random.default_rng(5).integers(0, 4096, (300, 200), dtype=np.uint16), 12)
SIZE = len(FRAME)


def memory_source(data: bytes, asked: list[tuple[int, int]] | None = None) -> GetBytes:
    def get_bytes(offset: int, length: int) -> bytes:
        if asked is not None:
            asked.append((offset, length))
        return data[offset : offset + length]

    return get_bytes


def multipart(part_type: str, body: bytes) -> bytes:
    return b"--frame-7\r\nContent-Type: " + part_type.encode() + b"\r\n\r\n" + body + b"\r\n--frame-7--\r\n"


def test_a_codestream_is_known_from_small_ranges() -> None:
    asked: list[tuple[int, int]] = []
    report = inspect_frame(memory_source(FRAME, asked), SIZE)
    header = parse_header(FRAME)
    assert report.header == header
    assert report.notes == ()
    assert (report.offset, report.length, report.media_type) == (0, SIZE, "")
    assert [p.length for p in report.tile_parts] == list(header.tile_part_lengths)
    assert [(r.decode_level, r.width, r.height) for r in report.resolutions] == [
        (3, 25, 38), (2, 50, 75), (1, 100, 150), (0, 200, 300),
    ]  # fmt: skip
    # Every prefix ends where the next tile-part begins.
    assert [r.prefix_length for r in report.resolutions[:-1]] == [p.offset for p in report.tile_parts[1:]]
    assert sum(length for _, length in asked) < 10_000 < SIZE


def test_a_codestream_of_unknown_size_is_as_long_as_tlm_says() -> None:
    report = inspect_frame(memory_source(FRAME), None)
    assert report.size is None
    assert report.resolutions[-1].prefix_length == SIZE
    assert "of unknown size" in format_report(report)


def test_a_long_main_header_is_read_in_full() -> None:
    header = parse_header(FRAME)
    comment = b"\xff\x64" + (9_004).to_bytes(2) + b"\0\1" + b"x" * 8_998 + b"yz"
    data = FRAME[: header.header_length] + comment + FRAME[header.header_length :]
    report = inspect_frame(memory_source(data), len(data))
    assert report.header is not None
    assert report.header.comments[-1] == "x" * 8_998 + "yz"
    assert report.resolutions[-1].prefix_length == len(data)


def test_a_malformed_header_is_not_searched_for_through_the_whole_object() -> None:
    asked: list[tuple[int, int]] = []
    data = FRAME[:60] + bytes(50_000_000)
    with pytest.raises(CodestreamError):
        inspect_frame(memory_source(data, asked), len(data))
    assert sum(length for _, length in asked) < 2_000_000


def test_an_object_cut_short_says_so() -> None:
    report = inspect_frame(memory_source(FRAME[:-100]), SIZE - 100)
    assert report.resolutions == ()
    assert len(report.tile_parts) == 4
    assert report.notes == (f"TLM adds up to {SIZE} bytes with EOC, the codestream has {SIZE - 100}",)
    assert report.notes[0] in format_report(report)


def test_a_codestream_inside_a_multipart_body_is_inspected() -> None:
    media_type = "image/jphc; transfer-syntax=1.2.840.10008.1.2.4.202"
    body = multipart(media_type, FRAME)
    for size in (len(body), None):
        report = inspect_frame(memory_source(body), size)
        assert report.media_type == media_type
        assert body[report.offset : report.offset + SIZE] == FRAME
        assert report.length == (SIZE if size else None)
        assert report.resolutions == inspect_frame(memory_source(FRAME), SIZE).resolutions
        assert report.tile_parts[0].offset == parse_header(FRAME).header_length


def test_another_part_is_named() -> None:
    media_type = "image/jpeg; transfer-syntax=1.2.840.10008.1.2.4.50"
    body = multipart(media_type, b"\xff\xd8\xff\xe0" + bytes(5000))
    report = inspect_frame(memory_source(body), len(body))
    assert (report.media_type, report.length, report.header) == (media_type, 5004, None)
    text = format_report(report)
    assert f"{media_type}, 5004 bytes at offset {report.offset}" in text
    assert "not a JPEG 2000 codestream" in text


def test_a_body_without_its_closing_delimiter_has_no_known_length() -> None:
    body = multipart("image/jpeg", b"\xff\xd8" + bytes(50))[:-4]
    assert inspect_frame(memory_source(body), len(body)).length is None


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "begins with"),
        (b"\x89PNG\r\n\x1a\n", "begins with 89504e470d0a1a0a"),
        (bytes(128) + b"DICM" + bytes(100), "a DICOM file, not one of its frames"),
        (b"--x\r\nContent-Type: image/jphc\r\n", "no header"),
        (b"-- no delimiter", "no header"),
        (FRAME[:70], "cut short"),
        (FRAME[:5000].replace(b"\xff\x90", b"\0\0"), "no marker segment"),
        (FRAME[:2] + b"\xff\x52" + bytes(9000), "cut short"),
    ],
)
def test_what_is_no_frame_is_refused(data: bytes, message: str) -> None:
    with pytest.raises(CodestreamError, match=message):
        inspect_frame(memory_source(data), len(data))


def test_the_report_in_words() -> None:
    lines = format_report(inspect_frame(memory_source(FRAME), SIZE)).splitlines()
    header = parse_header(FRAME)
    assert lines[0] == f"object       {SIZE} bytes"
    assert "image        200 x 300, 1 component of 12 bits, unsigned" in lines
    assert "resolutions  3 decomposition levels, code blocks 64 x 64" in lines
    tables = [re.sub(" +", " ", line).strip() for line in lines]
    assert "SIZ 2 43" in tables
    assert f"SOT {header.header_length} 12" in tables
    assert f"0 1 {header.header_length + header.tile_part_lengths[0]} {header.tile_part_lengths[1]}" in tables
    prefix = header.header_length + header.tile_part_lengths[0]
    assert f"3 25 x 38 {prefix} {100 * prefix / SIZE:.1f} %" in tables
    assert tables[-1] == f"0 200 x 300 {SIZE} 100.0 %"


def test_comments_cannot_drive_the_terminal() -> None:
    at = parse_header(FRAME).header_length
    comment = b"\xff\x64" + (2 + 2 + 5).to_bytes(2) + b"\0\1" + b"\x1b[31m"
    data = FRAME[:at] + comment + FRAME[at:]
    text = format_report(inspect_frame(memory_source(data), len(data)))
    assert "\x1b" not in text
    assert "?[31m" in text


def test_a_reduced_frame_has_fewer_rows() -> None:
    reduced = reduce_codestream(FRAME, 2)
    report = inspect_frame(memory_source(reduced), len(reduced))
    assert [(r.decode_level, r.width, r.height) for r in report.resolutions] == [(1, 25, 38), (0, 50, 75)]


def test_a_file_is_read_in_ranges(tmp_path: Path) -> None:
    path = tmp_path / "1"
    path.write_bytes(FRAME)
    get_bytes, size = file_source(path)
    assert size == SIZE
    assert get_bytes(10, 20) == FRAME[10:30]
    assert get_bytes(SIZE - 3, 100) == FRAME[-3:]
    assert get_bytes(SIZE + 3, 100) == b""
    assert inspect_frame(get_bytes, size) == inspect_frame(memory_source(FRAME), SIZE)


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"cannot read .*absent: No such file"):
        file_source(tmp_path / "absent")
    with pytest.raises(StoreError, match=r"cannot read .*: not a file"):
        file_source(tmp_path)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(StoreError, match=r"cannot read .*pipe: not a file"):
        file_source(tmp_path / "pipe")


class _Handler(BaseHTTPRequestHandler):
    """Answers as the first part of the path says."""

    requests: list[str]

    def do_GET(self) -> None:
        asked = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers["Range"])
        assert asked is not None
        first, last = int(asked[1]), min(int(asked[2]), SIZE - 1)
        self.requests.append(f"{first}-{last}")
        body, total, status = FRAME[first : last + 1], str(SIZE), 206
        match self.path:
            case "/absent":
                body, status = b"", 404
            case "/whole":
                body, status = FRAME, 200
            case "/other":
                first += 1
            case "/longer":
                body, last = body + b"1", last + 1
            case "/unknown":
                total = "*"
        self.send_response(status)
        if status == 206 and self.path != "/unmarked":
            self.send_header("Content-Range", f"bytes {first}-{last}/{total}")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class names it
        pass


@contextmanager
def serving() -> Iterator[tuple[str, list[str]]]:
    """A server of FRAME, and the ranges it was asked for."""
    requests: list[str] = []
    handler = type("Handler", (_Handler,), {"requests": requests})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}", requests
        finally:
            server.shutdown()
            thread.join()


def test_a_url_is_read_in_ranges() -> None:
    with serving() as (root, requests):
        get_bytes, size = http_source(f"{root}/frame")
        assert size == SIZE
        assert inspect_frame(get_bytes, size) == inspect_frame(memory_source(FRAME), SIZE)
        assert get_bytes(SIZE - 3, 100) == FRAME[-3:]
        assert get_bytes(SIZE, 100) == b""
        assert requests[0] == "0-4095"
        assert len(requests) == len(set(requests))


def test_a_server_may_keep_the_size_to_itself() -> None:
    with serving() as (root, _):
        get_bytes, size = http_source(f"{root}/unknown")
        assert size is None
        assert inspect_frame(get_bytes, size).resolutions[-1].prefix_length == SIZE


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("whole", "ignores Range requests: answered 200, expected 206"),
        ("absent", "answered 404"),
        ("other", "Content-Range 'bytes 1-4095/"),
        ("longer", "answered 4097 bytes with Content-Range 'bytes 0-4096/"),
        ("unmarked", "with Content-Range ''"),
    ],
)
def test_a_server_that_does_not_answer_the_range_is_refused(path: str, message: str) -> None:
    with serving() as (root, _), pytest.raises(StoreError, match=re.escape(message)):
        http_source(f"{root}/{path}")


def test_a_server_that_is_not_there_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with pytest.raises(StoreError, match=f"cannot get http://127.0.0.1:{port}/"):
        http_source(f"http://127.0.0.1:{port}/frame")


@pytest.mark.parametrize("url", ["file:///etc/hostname", "ftp://host/frame", "frame"])
def test_other_schemes_are_refused(url: str) -> None:
    with pytest.raises(StoreError, match="only http and https URLs"):
        http_source(url)
