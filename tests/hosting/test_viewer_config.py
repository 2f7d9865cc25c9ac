"""OHIF's configuration says by itself whether somebody has changed it."""

from __future__ import annotations

import hashlib
import re

import pytest

from stillframe.hosting.viewer_config import is_edited, render_viewer_config

TEXT = render_viewer_config()


def test_it_says_what_it_was_as_it_was_written() -> None:
    assert not is_edited(TEXT.encode())
    first, seal, *rest = TEXT.splitlines(keepends=True)
    assert first == "// Part of a Stillframe site.\n"
    digest = re.search(r"sha256 ([0-9a-f]{64})$", seal.rstrip("\n"))
    assert digest is not None
    assert digest[1] == hashlib.sha256("".join([first, *rest]).encode()).hexdigest()


@pytest.mark.parametrize(
    "changed",
    [
        f"{TEXT}//",
        TEXT.replace("showStudyList: true", "showStudyList: false"),
        TEXT.replace("\n", "\r\n"),
        f"// mine\n{TEXT}",
        re.sub(r"sha256 [0-9a-f]{64}", f"sha256 {'0' * 64}", TEXT),
    ],
)
def test_any_change_is_seen(changed: str) -> None:
    assert changed != TEXT
    assert is_edited(changed.encode())


def test_what_was_not_written_so_is_not_edited() -> None:
    first, _, *rest = TEXT.splitlines(keepends=True)
    assert not is_edited("".join([first, *rest]).encode())
    assert not is_edited(b"")
