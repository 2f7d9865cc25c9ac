"""Text of others: nothing in it acts on a terminal, nothing in it opens anything."""

from __future__ import annotations

import json
import os
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stillframe.plain_text import HIDDEN, keep_secret, likeness, plain_json, plain_line, printable, without_secrets

BIDI = [chr(code) for code in (0x061C, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A))]


@pytest.mark.parametrize("character", [*map(chr, range(32)), *map(chr, range(0x7F, 0xA0)), *BIDI, "\u2028", "\u2029"])
def test_controls_and_directions_are_escaped(character: str) -> None:
    shown = printable(f"a{character}b")
    assert shown.isprintable()
    assert shown.encode().decode("unicode_escape") == f"a{character}b"


def test_letters_of_every_script_stay() -> None:
    text = "M\u00fcller \u0410\u0440\u0445\u0438\u0432 \u6771\u4eac \U0001f41f"
    assert printable(text) == text


@given(st.text())
def test_a_line_is_one_line_whatever_comes(text: str) -> None:
    assert plain_line(text).isprintable()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('Could not connect to "http://user:word@host:8333/b/k"', f'Could not connect to "http://{HIDDEN}@host:8333/b/k"'),
        ("proxy https://user:p@ss@proxy:3128", f"proxy https://{HIDDEN}@proxy:3128"),
        ("ftp://anonymous@host/x", f"ftp://{HIDDEN}@host/x"),
        ("cannot get https://h/f?X-Amz-Signature=ab&x=1: gone", f"cannot get https://h/f?{HIDDEN} gone"),
        ("https://h/f#access_token=abc", f"https://h/f#{HIDDEN}"),
        ("'HTTPS://H/F?Policy=a&Signature=b' answered 403", f"'HTTPS://H/F?{HIDDEN}' answered 403"),
        ("GET /f?X-Amz-Credential=A&X-Goog-Signature=2", f"GET /f?X-Amz-Credential={HIDDEN}&X-Goog-Signature={HIDDEN}"),
        ("see https://host/path and s3://bucket/a@b/c?d", "see https://host/path and s3://bucket/a@b/c?d"),
        ("scans/a@b?c#d.dcm", "scans/a@b?c#d.dcm"),
    ],
)  # fmt: skip
def test_what_opens_a_url_is_hidden(text: str, said: str) -> None:
    assert without_secrets(text) == said


@pytest.mark.parametrize("name", ["AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "STILLFRAME_SECRET"])
def test_secrets_of_the_environment_are_hidden_wherever_they_stand(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name, "  0123456789abcdef\n")
    assert without_secrets("the token 0123456789abcdef is no good") == f"the token {HIDDEN} is no good"


def test_secrets_that_were_learned_are_hidden() -> None:
    keep_secret("learned/secret+value")
    keep_secret("short")
    assert without_secrets("<learned/secret+value> is short") == f"<{HIDDEN}> is short"


@given(st.text(), st.text())
def test_a_report_gives_its_paths_back_and_acts_on_no_terminal(path: str, key: str) -> None:
    text = "".join(plain_json({"rejected": [{"path": path, "reason": "x"}], "changed": [key]}))
    assert all(line.isprintable() for line in text.split("\n"))
    assert json.loads(text) == {"rejected": [{"path": path, "reason": "x"}], "changed": [key]}


def test_a_report_names_files_that_no_unicode_names() -> None:
    path = os.fsdecode(b"in/\xff\x1b[2J http://a:b@c/?d.dcm")
    report = json.loads("".join(plain_json({"passedOver": [{"path": path}], "failure": {"notPublished": [path]}})))
    assert os.fsencode(report["passedOver"][0]["path"]) == b"in/\xff\x1b[2J http://a:b@c/?d.dcm"
    assert report["failure"]["notPublished"] == [path]


def test_reasons_and_notes_of_a_report_hold_no_secrets() -> None:
    url = "http://a:b@c/d?e"
    report = {
        "failure": {"reason": url},
        "invalidation": {"failure": url},
        "notes": [{"path": url, "notes": [url]}],
        "notListed": [{"key": url, "reason": url}],
    }
    hidden = f"http://{HIDDEN}@c/d?{HIDDEN}"
    assert json.loads("".join(plain_json(report))) == {
        "failure": {"reason": hidden},
        "invalidation": {"failure": hidden},
        "notes": [{"path": url, "notes": [hidden]}],
        "notListed": [{"key": url, "reason": hidden}],
    }


@pytest.mark.parametrize("text", ["http://" * 100_000, "http://a@" * 100_000, "a" * 1_000_000, "x?" * 500_000])
def test_long_texts_take_no_time_and_little_room(text: str) -> None:
    begun = time.process_time()
    assert len(plain_line(text)) < 30_000
    assert time.process_time() - begun < 1


def test_a_url_within_a_url_keeps_no_secret() -> None:
    assert plain_line("https://a.org/http://user:word@b.org/c?sig=d") == "https://a.org/http://***@b.org/c?***"
    assert plain_line(f"https://a.org/{'b' * 3000}?sig=d").endswith("b?***")


def test_places_make_no_other_reason() -> None:
    reasons = [
        "s3://bucket/a b/: no permission",
        "no such object, and none below it: s3://other/c,d/*",
        "in/x.dcm is damaged",
        "the same as /data/in/x y",
    ]
    assert list(map(likeness, reasons)) == [
        "…: no permission",
        "no such object, and none below it: …",
        "… is damaged",
        "the same as … y",
    ]
