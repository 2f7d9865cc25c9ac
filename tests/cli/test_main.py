from __future__ import annotations

import contextlib
import gzip
import json
import os
import pty
import re
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import numpy as np
import pydicom
import pytest

from stillframe.cli.build import build
from tests.support.command import run
from tests.support.dicom_files import image, instance_uid, to_bytes, write, write_series
from tests.support.places import REPOSITORY
from tests.support.trees import contents


@pytest.mark.slow
def test_all_published_is_exit_code_0_and_a_calm_summary(tmp_path: Path) -> None:
    done = run("build", write_series(tmp_path / "in", 3), tmp_path / "out")
    assert done.returncode == 0
    # On a busy machine a stage that takes long is told of on its way, too.
    stages = [line for line in done.stderr.splitlines() if " of " not in line]
    assert stages == ["reading headers: 3", "publishing: 3"]
    first, second = done.stdout.splitlines()
    assert first == f"{tmp_path / 'out'}: 3 published"
    assert re.fullmatch(r"1 study, 1 series, 3 frames, 0\.0 MB in, 0\.\d MB out, [\d.]+ s, \d+ frames/s", second)


@pytest.mark.slow
def test_rejected_inputs_are_exit_code_2_and_listed_everywhere(tmp_path: Path) -> None:
    write_series(tmp_path / "in", 2)
    write(tmp_path, "in/bad.dcm", image(7, NumberOfFrames=5))
    write(tmp_path, "in/copy.dcm", image(1))
    (tmp_path / "in" / "notes.txt").write_text("nothing")
    done = run("build", tmp_path / "in", tmp_path / "out", "--report", tmp_path / "report.json")
    assert done.returncode == 2
    assert f"rejected   {tmp_path}/in/bad.dcm: 5 frames need" in done.stderr
    assert instance_uid(7) in done.stderr
    assert f"duplicate  {tmp_path}/in/copy.dcm" in done.stderr
    assert "2 published, 1 duplicate, 1 rejected, 1 other file passed over" in done.stdout
    report = json.loads((tmp_path / "report.json").read_text())
    summary = report["summary"]
    assert {name: summary[name] for name in ("published", "duplicate", "rejected", "passedOver", "frames")} == {
        "published": 2,
        "duplicate": 1,
        "rejected": 1,
        "passedOver": 1,
        "frames": 2,
    }
    (rejected,) = report["rejected"]
    assert rejected["path"] == str(tmp_path / "in" / "bad.dcm")
    assert rejected["instance"] == instance_uid(7)
    assert "Sample" not in (tmp_path / "report.json").read_text() + done.stdout + done.stderr


def test_what_decoders_may_take_is_given_in_mib_and_seconds() -> None:
    arguments = ["in", "out", "--max-decoder-memory", "5", "--max-decoder-seconds", "2.5"]
    given = build.make_context("build", arguments).params
    assert (given["max_decoder_memory"], given["max_decoder_seconds"]) == (5 * 1024 * 1024, 2.5)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("build", "missing", "out"), "no such file or folder: missing"),
        (("build", "in", "in/out"), "source and destination overlap"),
        (("build", "in/a", "in"), "source and destination overlap"),
        (("build", "in", "s3://bu cket/x"), "expected s3://bucket/prefix"),
        (("build", "in", "s3://bucket/a b"), "the prefix of a destination"),
        (("build", "in", f"s3://bucket/{'a' * 725}"), "has at most 724 characters, this one 725"),
        (("build", "in", "out", "--unlisted"), "must hold a secret"),
        (("build", "in", "S3://bucket/x"), "only files, folders and s3://bucket/prefix"),
        (("build", "in", "s3:/bucket/x"), "only files, folders and s3://bucket/prefix"),
        (("build", "gs://bucket/x", "out"), "only files, folders and s3://bucket/prefix"),
        (("build", "in", "out", "--max-unpacked", "nan"), "nan is no number"),
        (("build", "in", "out", "--max-decoder-seconds", "nan"), "nan is no number"),
        (("build", "in", "out", "--max-decoder-memory", "0"), "0 is not in the range"),
        (("build", "in", "out", "--patience", "inf"), "inf is no number"),
        (("build", "in", "out", "--max-unpacked", "1e300"), "1e+300 is not in the range"),
        (("build", "in", "out", "--settle", "1e300"), "1e+300 is not in the range"),
        (("build", "in", "out", "--secret-file", "file"), "goes with --unlisted"),
        (("build", "in", "out", "--endpoint-url", "ftp://x"), "must begin with http"),
        (("build", "in", "file"), "the destination is not a folder"),
        (("build", "in", "out", "--reduced", "x"), "expected decode levels"),
        (("build", "in", "out", "--reduced", "0"), "from 1 to 32"),
        (("build", "in", "out", "--lossy", "drop"), "'drop' is not one of 'auto', 'keep', 'transcode'"),
        (("build", "in"), "DEST is missing"),
        (("build",), "Missing argument"),
        (("build", "in", "out", "--report", "missing/report.json"), "the report cannot be written to"),
        (("build", "in", "out", "--report", "out/report.json"), "the report would be published"),
        (("inspect", "ftp://x/y"), "only http and https URLs"),
        (("bild",), "No such command"),
        (("serve", "missing"), "does not exist"),
        (("inspect", "missing"), "missing"),
    ],
)
def test_what_cannot_be_done_is_exit_code_1_and_one_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    write(tmp_path, "in/a/1.dcm", image(1))
    (tmp_path / "file").write_text("")
    done = subprocess.run(
        [sys.executable, "-m", "stillframe", *arguments],
        capture_output=True,
        text=True,
        check=False,
        env={"PYTHONPATH": str(REPOSITORY), "PATH": "/usr/bin:/bin"},
    )
    assert done.returncode == 1
    assert message in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_control_characters_in_names_do_not_reach_the_terminal(tmp_path: Path) -> None:
    write(tmp_path, "in/evil\x1b[2J.dcm", image(1, NumberOfFrames=9))
    done = run("build", tmp_path / "in", tmp_path / "out")
    assert done.returncode == 2
    assert "\x1b" not in done.stderr
    assert "evil\\x1b[2J.dcm" in done.stderr


@pytest.mark.slow
def test_names_that_are_not_unicode_are_reported(tmp_path: Path) -> None:
    source = tmp_path / "in"
    source.mkdir()
    (source / os.fsdecode(b"\xff bad.dcm")).write_bytes(to_bytes(image(1, NumberOfFrames=9)))
    (source / os.fsdecode(b"\xff good.dcm")).write_bytes(to_bytes(image(2)))
    done = run("build", source, tmp_path / os.fsdecode(b"out\xff"), "--report", tmp_path / "report.json")
    assert done.returncode == 2, done.stderr
    assert "\\udcff bad.dcm" in done.stderr
    (rejected,) = json.loads((tmp_path / "report.json").read_bytes())["rejected"]
    assert rejected["path"] == str(source / os.fsdecode(b"\xff bad.dcm"))


@pytest.mark.slow
def test_a_terminal_gets_a_bar_that_is_gone_at_the_end(tmp_path: Path) -> None:
    source = write_series(tmp_path / "in", 3)
    leader, follower = pty.openpty()
    job = subprocess.Popen(
        [sys.executable, "-m", "stillframe", "build", source, tmp_path / "out"],
        stdout=subprocess.DEVNULL,
        stderr=follower,
    )
    os.close(follower)
    shown = b""
    with contextlib.suppress(OSError):  # Linux says EIO when the last process has closed the terminal
        while block := os.read(leader, 1 << 16):
            shown += block
    os.close(leader)
    assert job.wait() == 0
    assert b"publishing" in shown
    assert b"\n" not in shown
    assert shown.endswith(b"\r\x1b[K")


def test_a_report_that_cannot_be_written_is_exit_code_1(tmp_path: Path) -> None:
    done = run("build", write_series(tmp_path / "in", 1), tmp_path / "out", "--report", tmp_path / "no" / "report.json")
    assert done.returncode == 1
    assert "the report cannot be written to" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.fixture(scope="module")
def slow_source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An image of many frames, which takes seconds to build."""
    frame = np.random.default_rng(1).integers(0, 4096, (1024, 1024), "u2")
    return write(tmp_path_factory.mktemp("slow"), "large.dcm", image(1, np.stack([frame] * 50)))


@pytest.mark.slow
@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("delay", [0.0, 0.02, 0.1, 0.3, 0.6])
def test_ctrl_c_ends_every_process_with_one_line(tmp_path: Path, slow_source: Path, workers: int, delay: float) -> None:
    """Of a terminal it reaches the workers and the server that forks them, too."""
    arguments = ["-m", "stillframe", "build", str(slow_source), str(tmp_path / "out"), f"--workers={workers}"]
    with subprocess.Popen(
        [sys.executable, *arguments], stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True, process_group=0
    ) as job:
        assert job.stderr is not None
        told = [job.stderr.readline()]
        time.sleep(delay)
        os.killpg(job.pid, signal.SIGINT)
        told += job.stderr.readlines()  # up to the end that comes when no process holds the pipe any more
    expected = ["reading headers: 1", "publishing: 1", "", "stillframe: stopped; build again to go on from here"]
    assert [line.rstrip() for line in told] in (expected, expected[:1] + expected[2:])
    assert job.returncode == 1


@pytest.mark.slow
@pytest.mark.parametrize("workers", [0, 2])
def test_sigterm_ends_a_job_that_says_what_is_left(tmp_path: Path, slow_source: Path, workers: int) -> None:
    """Clusters and services send it to the command alone."""
    report = tmp_path / "report.json"
    arguments = ["-m", "stillframe", "build", str(slow_source), str(tmp_path / "out"), f"--workers={workers}"]
    arguments += ["--report", str(report)]
    with subprocess.Popen(
        [sys.executable, *arguments], stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True
    ) as job:
        assert job.stderr is not None
        job.stderr.readline()
        job.send_signal(signal.SIGTERM)
        told = job.stderr.readlines()
    assert "stillframe: the job was asked to stop (SIGTERM)\n" in told
    assert job.returncode == 1
    failure = json.loads(report.read_text())["failure"]
    assert failure["reason"] == "the job was asked to stop (SIGTERM)"
    assert failure["notPublished"] in ([], [str(slow_source)])  # it may come before there is a plan


@pytest.mark.slow
def test_sigterm_leaves_the_report_of_a_job_that_has_ended_whole(tmp_path: Path, slow_source: Path) -> None:
    """It comes while the report is written: into a pipe, which waits for who reads it."""
    report = tmp_path / "report"
    os.mkfifo(report)
    arguments = ["-m", "stillframe", "build", str(slow_source.parent), str(tmp_path / "out"), "--report", str(report)]
    with subprocess.Popen([sys.executable, *arguments], stderr=subprocess.PIPE, text=True) as job:
        while not (tmp_path / "out" / "studies" / "index.json").exists():
            assert job.poll() is None
            time.sleep(0.02)
        time.sleep(0.5)
        job.send_signal(signal.SIGTERM)
        written = json.loads(report.read_text())
    assert written["summary"]["published"] == 1
    if "failure" not in written:  # it may come as the lists are written
        assert job.returncode == 0


@pytest.mark.slow
@pytest.mark.parametrize("workers", [0, 2])
def test_a_second_sigterm_ends_a_job_at_once(tmp_path: Path, slow_source: Path, workers: int) -> None:
    arguments = ["-m", "stillframe", "build", str(slow_source), str(tmp_path / "out"), f"--workers={workers}"]
    with subprocess.Popen(
        [sys.executable, *arguments], stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True
    ) as job:
        assert job.stderr is not None
        lines = iter(job.stderr.readline, "")
        next(lines)
        job.send_signal(signal.SIGTERM)
        while job.poll() is None:  # the first is being seen to, or the job is over
            job.send_signal(signal.SIGTERM)
            time.sleep(0.2)
        told = list(lines)
    assert job.returncode in (1, -signal.SIGTERM)  # it may come where Python has put its own handlers back
    assert any(line.startswith("stillframe: ") for line in told)


@pytest.mark.slow
def test_nobody_reading_the_progress_does_not_end_the_job(tmp_path: Path) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    source = write_series(tmp_path / "in", 2)
    command = [sys.executable, "-m", "stillframe", "build", str(source), str(tmp_path / "out")]
    done = subprocess.run(command, stderr=writer, stdout=subprocess.PIPE, text=True, check=False)
    os.close(writer)
    assert done.returncode == 0
    assert "2 published" in done.stdout


@pytest.mark.slow
def test_zip_archives_bare_data_sets_and_names_without_ending(tmp_path: Path) -> None:
    source = tmp_path / "in"
    source.mkdir()
    with zipfile.ZipFile(source / "export.ZIP", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("DICOM/IM1", to_bytes(image(1)))
        archive.writestr("DICOM/IM2", to_bytes(image(2)), zipfile.ZIP_STORED)
    data = to_bytes(image(3))
    (source / "no-preamble").write_bytes(data[132:])
    data = to_bytes(image(4))
    (source / "no-meta").write_bytes(data[data.index(b"\x08\x00\x16\x00UI") :])
    write(source, "plain", image(5))
    done = run("build", source, tmp_path / "out")
    assert done.returncode == 0, done.stderr
    frames = {path.parts[-3] for path in (tmp_path / "out").rglob("frames/1") if "reduced" not in path.parts}
    assert frames == {instance_uid(number) for number in range(1, 6)}


@pytest.mark.slow
def test_a_dicomdir_is_no_instance(tmp_path: Path) -> None:
    folder = Path(pydicom.__file__).parent / "data" / "test_files" / "dicomdirtests"
    for path in folder.glob("DICOMDIR*"):
        (tmp_path / "in").mkdir(exist_ok=True)
        shutil.copy(path, tmp_path / "in" / path.name)
    count = len(list((tmp_path / "in").iterdir()))
    assert count > 3
    done = run("build", tmp_path / "in", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    assert f"0 published, {count} other files passed over" in done.stdout
    assert "no DICOM found in" in done.stderr
    assert contents(tmp_path / "out") == {"studies/index.json": b"[]"}


@pytest.mark.slow
def test_archives_that_are_not_read_are_shown(tmp_path: Path) -> None:
    write(tmp_path, "in/1.dcm", image(1))
    (tmp_path / "in" / "more.tgz").write_bytes(gzip.compress(to_bytes(image(2))))
    (tmp_path / "in" / "notes.txt").write_text("nothing")
    done = run("build", tmp_path / "in", tmp_path / "out")
    assert done.returncode == 0
    lines = [line for line in done.stderr.splitlines() if line.startswith("not read")]
    assert lines == [f"not read   {tmp_path}/in/more.tgz: an archive of a kind that is not read (gzip)"]
    assert "1 published, 2 other files passed over" in done.stdout


@pytest.mark.slow
def test_what_may_be_unpacked_is_an_option(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("IM1", to_bytes(image(1)))
    done = run("build", tmp_path / "a.zip", tmp_path / "out", "--max-unpacked", "0.00001")
    assert done.returncode == 2
    assert "bytes, 10000 are allowed (--max-unpacked)" in done.stderr
    assert run("build", tmp_path / "a.zip", tmp_path / "out", "--max-unpacked", "0.1").returncode == 0


@pytest.mark.slow
def test_the_old_word_for_no_thumbnails_is_taken_and_told(tmp_path: Path) -> None:
    source = write_series(tmp_path / "in", 3)
    old = run("build", source, tmp_path / "old", "--no-thumbnails", "--workers", "0")
    new = run("build", source, tmp_path / "new", "--thumbnails", "none", "--workers", "0")
    assert (old.returncode, new.returncode) == (0, 0)
    assert "--no-thumbnails is deprecated: give --thumbnails none" in old.stderr
    assert "deprecated" not in new.stderr
    assert contents(tmp_path / "old") == contents(tmp_path / "new")
    assert not [path for path in contents(tmp_path / "new") if path.endswith("/thumbnail")]


def test_the_old_word_and_another_choice_are_refused_together(tmp_path: Path) -> None:
    source = write_series(tmp_path / "in", 1)
    done = run("build", source, tmp_path / "out", "--no-thumbnails", "--thumbnails", "instances")
    assert done.returncode == 1
    assert "--no-thumbnails is --thumbnails none, and --thumbnails instances is given, too" in done.stderr


def test_a_dry_run_tells_of_pictures_that_would_be_drawn(tmp_path: Path) -> None:
    source = write_series(tmp_path / "in", 2)
    assert run("build", source, tmp_path / "out", "--workers", "0").returncode == 0
    done = run("build", source, tmp_path / "out", "--workers", "0", "--thumbnails", "instances", "--dry-run")
    assert re.search(r"^ +2 would get other pictures", done.stdout, re.MULTILINE)


@pytest.mark.slow
def test_writing_lists_loads_no_heavy_library_where_workers_draw(tmp_path: Path) -> None:
    """Nor does looking at thumbnails that are right."""
    source = write_series(tmp_path / "in", 3)
    script = (
        "import sys\n"
        "from stillframe.cli.main import cli\n"
        "status = cli(sys.argv[1:], standalone_mode=False)\n"
        "print('loaded', [name for name in ('numpy', 'pydicom', 'imagecodecs') if name in sys.modules], status)"
    )
    for _ in range(2):
        command = [sys.executable, "-c", script, "build", str(source), str(tmp_path / "tree"), "--workers", "1"]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        assert done.stdout.splitlines()[-1] == "loaded [] 0"
    assert len([path for path in contents(tmp_path / "tree") if path.endswith("/thumbnail")]) == 3


def test_help_loads_the_options_and_not_the_work() -> None:
    script = (
        "import sys, stillframe.cli.main\n"
        "print([name for name in ('stillframe.build.report', 'stillframe.source', 'sqlite3', 'ssl', 'urllib.request') "
        "if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_help_and_planning_need_no_heavy_library(tmp_path: Path) -> None:
    script = (
        "import sys, stillframe.cli.main, stillframe.build.pipeline\n"
        "print([name for name in ('numpy', 'pydicom', 'imagecodecs', 'starlette', 'boto3') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
