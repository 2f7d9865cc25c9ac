"""Databases in temporary files: order, size, and what they say when there is no room."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stillframe.errors import MachineError
from stillframe.scratch import Scratch, stored_text, text_of

# Fills a scratch beyond its memory, with files of at most 1 MB, or says how many files its process holds in a folder.
FILL = """
import os, resource, sys
from stillframe.errors import MachineError
from stillframe.scratch import Scratch
if sys.argv[1] == "limited":
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))
scratch = Scratch("CREATE TABLE rows (number INTEGER PRIMARY KEY, data BLOB)")
try:
    for number in range(40_000):
        scratch.run("INSERT INTO rows VALUES (?, ?)", number, bytes(1000))
except MachineError as error:
    print(error)
else:
    links = [os.readlink(f"/proc/self/fd/{name}") for name in os.listdir("/proc/self/fd")
             if os.path.islink(f"/proc/self/fd/{name}")]
    print([link for link in links if link.startswith(os.environ["TMPDIR"])], os.listdir(os.environ["TMPDIR"]))
"""


def fill(folder: Path, limit: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", FILL, limit],
        capture_output=True,
        text=True,
        check=True,
        env=os.environ | {"TMPDIR": str(folder)},
    )
    return done.stdout.strip()


@given(st.text(st.characters(exclude_categories=())), st.text(st.characters(exclude_categories=())))
def test_any_text_is_held_and_ordered_as_it_is(one: str, other: str) -> None:
    assert text_of(stored_text(one)) == one
    assert (stored_text(one) < stored_text(other)) == (one < other)


def test_names_of_files_may_be_no_text() -> None:
    name = os.fsdecode(b"scan\xff\xfe.dcm")
    scratch = Scratch("CREATE TABLE names (name BLOB)")
    assert scratch.run("INSERT INTO names VALUES (?)", stored_text(name)) == 1
    assert [text_of(stored) for (stored,) in scratch.rows("SELECT name FROM names")] == [name]


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="open files are seen in /proc")
def test_a_large_one_lies_in_a_file_without_a_name(tmp_path: Path) -> None:
    held, named = fill(tmp_path, "none").split("] [")
    assert held.startswith(f"['{tmp_path}/")
    assert "(deleted)" in held
    assert named == "]"


def test_a_disk_that_takes_no_more_is_told(tmp_path: Path) -> None:
    assert "TMPDIR" in fill(tmp_path, "limited")


def test_a_database_that_is_full_is_the_machines_fault() -> None:
    scratch = Scratch("PRAGMA max_page_count = 20; CREATE TABLE rows (data BLOB)")
    with pytest.raises(MachineError, match="no room is left on a disk of this machine"):
        scratch.run("INSERT INTO rows VALUES (?)", bytes(1 << 20))


def test_an_answer_that_is_left_ends_without_a_word_after_its_database() -> None:
    scratch = Scratch("CREATE TABLE numbers (number INTEGER)")
    scratch.run_many("INSERT INTO numbers VALUES (?)", ((number,) for number in range(3)))
    rows = scratch.rows("SELECT number FROM numbers")
    assert next(rows) == (0,)
    scratch.close()
    rows.close()
