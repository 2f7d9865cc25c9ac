"""A machine that lacks something: each row of the table in docs/reference/limits.md, as a user without rights."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import numpy as np
import pytest

from tests.support.dicom_files import image, to_bytes, write, write_series
from tests.support.places import REPOSITORY
from tests.support.surroundings import limit_processes, open_folder, run_in, run_with_mounts
from tests.support.trees import contents
from tests.support.zips import zip_bytes

pytestmark = pytest.mark.slow

type Done = subprocess.CompletedProcess[str]

_ROW: Final = re.compile(r"^\| (.+?) \| .+ \| ([012]) \| (?:`(.+)`)? *\|$", re.MULTILINE)


def documented() -> dict[str, tuple[int, str]]:
    """Exit code and words of every row."""
    text = (REPOSITORY / "docs/reference/limits.md").read_text()
    section = text.partition("## A machine that lacks something")[2].partition("\n## ")[0]
    return {title: (int(code), said) for title, code, said in _ROW.findall(section)}


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder to work in, with two images in `in`. Those of pytest let nobody through."""
    with TemporaryDirectory(prefix="stillframe-") as name:
        write_series(Path(name, "in"), 2)
        yield open_folder(Path(name))


def build(folder: Path, surroundings: str, *more: str, **environment: str) -> Done:
    return run_in(surroundings, "build", folder / "in", folder / "out", "--report", folder / "report.json", *more,
                  **environment)  # fmt: skip


def build_mounted(folder: Path, mounts: str, *more: str, **environment: str) -> Done:
    return run_with_mounts(mounts, "build", folder / "in", folder / "out", "--report", folder / "report.json", *more,
                           **environment)  # fmt: skip


def report_of(folder: Path) -> Any:
    path = folder / "report.json"
    assert path.stat().st_mode & 0o777 == 0o600
    return json.loads(path.read_bytes())


def full_temporary(folder: Path) -> Done:
    """A deflated member of an archive that does not fit into where it is unpacked."""
    pixels = np.random.default_rng(1).integers(0, 1 << 16, (3000, 4000), "u2")
    (folder / "in/a.zip").write_bytes(zip_bytes({"large.dcm": to_bytes(image(3, pixels))}))
    temporary = open_folder(folder / "temporary")
    mount = f"mount -t tmpfs -o size=5m,mode=1777 tmpfs {temporary}"
    return build_mounted(folder, mount, TMPDIR=str(temporary))


def full_report(folder: Path) -> Done:
    reports = open_folder(folder / "reports")
    mount = f"mount -t tmpfs -o size=4k,mode=777 tmpfs {reports}; echo 1 > {reports}/1"
    done = run_with_mounts(mount, "build", folder / "in", folder / "out", "--report", reports / "report.json")
    assert "2 published" in done.stdout
    return done


def large_input(folder: Path) -> Done:
    """Of 256 MiB a frame beside two that need little."""
    write(folder, "in/large.dcm", image(3, np.zeros((8192, 16384), "u2")))
    return build(folder, "ulimit -v 700000", "--workers", "2")


def long_name(folder: Path) -> Done:
    return build(folder, "", TMPDIR=str(open_folder(folder / ("x" * 120))))


CASES: dict[str, Callable[[Path], Done]] = {
    "standard output is closed, or full": lambda folder: build(folder, "exec >/dev/full"),
    "the same, where a command's work is to print": lambda folder: run_in("exec >&-", "nginx", folder),
    "standard error is closed, or full": lambda folder: build(folder, "exec 2>&-"),
    "letters in the terminal's encoding": lambda folder: build(folder, "", PYTHONIOENCODING="ascii:strict"),
    "a short `TMPDIR` (more than 72 bytes)": long_name,
    "`/dev/shm` to write in": lambda folder: build_mounted(folder, "mount -t tmpfs -o ro tmpfs /dev/shm"),
    "threads and processes": lambda folder: build(folder, limit_processes(3)),
    "64 open files": lambda folder: build(folder, "ulimit -n 64", "--workers", "2"),
    "open files": lambda folder: build(folder, "ulimit -n 16", "--workers", "2"),
    "room for temporary files": full_temporary,
    "room at the destination": lambda folder: build_mounted(
        folder, f"mkdir {folder}/out; mount -t tmpfs -o size=16k,mode=777 tmpfs {folder}/out"
    ),
    "room for the report": full_report,
    "large files (`ulimit -f`)": lambda folder: build(folder, "ulimit -f 1"),
    "a destination to write in": lambda folder: build_mounted(
        folder, f"mkdir {folder}/out; mount -t tmpfs -o ro tmpfs {folder}/out"
    ),
    "a working folder that is still there": lambda folder: build(
        folder, f"mkdir {folder}/gone; cd {folder}/gone; rmdir {folder}/gone"
    ),
    "memory for any input": lambda folder: build(folder, "ulimit -v 120000", "--workers", "0"),
    "memory for one input alone": large_input,
}


def test_the_table_has_a_test_for_every_row() -> None:
    assert documented().keys() == CASES.keys()


@pytest.mark.parametrize("title", CASES)
def test_what_the_machine_lacks_is_said_as_documented(folder: Path, title: str) -> None:
    code, words = documented()[title]
    done = CASES[title](folder)
    assert done.returncode == code, done.stderr
    assert words in done.stderr
    assert "Traceback" not in done.stderr + done.stdout
    if code == 0:
        assert report_of(folder)["summary"]["published"] == 2
    elif (folder / "report.json").exists():
        report = report_of(folder)
        assert [Path(rejected["path"]).name for rejected in report["rejected"]] == ["large.dcm"] * (code == 2)
        assert ("failure" in report) == (code == 1)


def test_what_is_known_of_many_inputs_needs_room_for_temporary_files(folder: Path) -> None:
    """Names of 28 MB, of which a part stays in memory. Nothing is published of what was found."""
    members = {f"{number:05}{'x' * 700}": b"" for number in range(40_000)}
    (folder / "in/many.zip").write_bytes(zip_bytes(members))
    temporary = open_folder(folder / "temporary")
    mount = f"mount -t tmpfs -o size=5m,mode=1777 tmpfs {temporary}"
    done = build_mounted(folder, mount, "--workers", "0", TMPDIR=str(temporary))
    assert (done.returncode, done.stderr.count("no room is left on a disk of this machine")) == (1, 1)
    assert "Traceback" not in done.stderr
    assert "no room is left" in report_of(folder)["failure"]["reason"]


@pytest.mark.parametrize("count", [2, 4, 6, 7, 9, 12])
def test_no_limit_of_processes_lets_a_job_hang_or_blames_an_input(folder: Path, count: int) -> None:
    done = build(folder, limit_processes(count), "--workers", "2")
    assert "Traceback" not in done.stderr
    if done.returncode:
        assert done.returncode == 1
        assert "can be started on this machine" in done.stderr
    if (folder / "report.json").exists():
        assert not report_of(folder)["rejected"]


@pytest.mark.parametrize("count", [8, 11, 14, 18])
def test_no_limit_of_open_files_lets_a_job_hang_or_blames_an_input(folder: Path, count: int) -> None:
    done = build(folder, f"ulimit -n {count}", "--workers", "2")
    assert "Traceback" not in done.stderr
    assert (done.returncode, "no more files can be opened" in done.stderr) in ((0, False), (1, True))
    if (folder / "report.json").exists():
        assert not report_of(folder)["rejected"]


@pytest.mark.parametrize("kibibytes", range(80_000, 320_000, 20_000))
def test_no_limit_of_memory_ends_a_job_without_a_word_or_blames_an_input(folder: Path, kibibytes: int) -> None:
    done = build(folder, f"ulimit -v {kibibytes}", "--workers", "0")
    assert "Traceback" not in done.stderr
    assert (done.returncode, "there is not enough memory on this machine" in done.stderr) in ((0, False), (1, True))
    if (folder / "report.json").exists():
        assert not report_of(folder)["rejected"]


@pytest.mark.parametrize(
    "redirect", ["exec >&-", "exec >/dev/full", "exec 2>&-", "exec 2>/dev/full", "exec <&- >&- 2>&-"]
)
def test_streams_that_lack_keep_no_command_from_its_work(folder: Path, redirect: str) -> None:
    assert build(folder, redirect).returncode == 0
    assert report_of(folder)["summary"]["published"] == 2
    before = contents(folder / "out")
    (folder / "out/studies/index.json").unlink()
    assert run_in(redirect, "index", folder / "out").returncode == 0
    assert contents(folder / "out") == before
    study = report_of(folder)["studies"][0]
    assert run_in(redirect, "delete", folder / "out", "--study", study).returncode == 0
    assert contents(folder / "out") == {"studies/index.json": b"[]"}
