"""What is waited for is said: in the log, and by the command line, from whichever process waits."""

from __future__ import annotations

import fcntl
import logging
import os
import pty
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import override

import pytest

from stillframe.archive.claims import CommitState, Lease, settled_state
from stillframe.cli.streams import SafeStream
from stillframe.cli.terminal import shown_logs
from stillframe.dicom.uids import InstanceUIDs
from stillframe.execute import ProcessExecutor
from stillframe.store.directory import DirectoryStore
from stillframe.store.s3 import S3Store
from stillframe.store.s3_client import Bucket
from stillframe.wait_log import LOGGER, waiting
from tests.support.dicom_files import ROOT, write_series
from tests.support.faulty_proxy import Fault, FaultyProxy, Plan, Request
from tests.support.memory_store import MemoryStore
from tests.support.waiting import until

UIDS = InstanceUIDs("1.2", "1.2.3", "1.2.3.4")


@pytest.fixture
def said() -> Iterator[list[str]]:
    """What is logged of waits, as it comes."""
    messages: list[str] = []

    class Keep(logging.Handler):
        @override
        def emit(self, record: logging.LogRecord) -> None:
            messages.append(f"{record.levelname} {record.getMessage()}")

    handler, level = Keep(), LOGGER.level
    LOGGER.addHandler(handler)
    LOGGER.setLevel(logging.INFO)
    yield messages
    until(lambda: not messages or messages[-1].startswith("INFO"))  # the next test must not hear of it
    LOGGER.removeHandler(handler)
    LOGGER.setLevel(level)


def failing_for(seconds: float, fault: Fault = Fault.SLOW_DOWN, target: str = "") -> Plan:
    """A fault of every request for some seconds, from the first one on whose target holds a word."""
    began: list[float] = []

    def plan(number: int, request: Request) -> Fault | None:
        if not began and target in request.target:
            began.append(time.monotonic())
        return fault if began and time.monotonic() - began[0] < seconds else None

    return plan


def test_a_wait_is_said_once_it_has_taken_long_and_so_is_its_end(said: list[str]) -> None:
    with waiting("a thing", "a reason", quiet=0.1):
        until(lambda: said)
    until(lambda: len(said) == 2)
    assert said[0] in ("WARNING waiting for a thing (a reason), 0 s", "WARNING waiting for a thing (a reason), 1 s")
    assert said[1].startswith("INFO waited ")
    assert said[1].endswith(" s for a thing")


@pytest.mark.slow
def test_what_is_waited_for_by_many_is_said_once(said: list[str]) -> None:
    def wait() -> None:
        with waiting("a thing", quiet=0.1):
            time.sleep(2)

    threads = [threading.Thread(target=wait) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    until(lambda: len(said) > 1)
    assert [message.split()[1] for message in said] == ["waiting", "waited"]


@pytest.mark.slow
def test_what_does_not_take_long_is_not_said(said: list[str]) -> None:
    for _ in range(100):
        with waiting("a thing"):
            time.sleep(0.01)
    time.sleep(1)
    assert said == []


def test_a_store_that_fails_is_waited_for_aloud(bucket: Bucket, said: list[str]) -> None:
    """The bucket is named, and nothing that is in it."""
    with FaultyProxy(bucket.settings.endpoint_url, failing_for(6)) as proxy:
        settings = replace(bucket.settings, endpoint_url=proxy.endpoint_url, patience=50)
        S3Store(Bucket(bucket.name, settings), "secret").put("studies/1.2.3/metadata", b"[]")
    until(lambda: said[-1].startswith("INFO"))
    assert said[0].startswith(f"WARNING waiting for s3://{bucket.name} (503 SlowDown), ")
    assert said[0].endswith(" s of 50 s")
    assert said[-1].startswith("INFO waited ")
    assert not any(word in message for message in said for word in ("secret", "1.2.3", "metadata", "127.0.0.1"))


@pytest.mark.parametrize(
    ("fault", "reason"), [(Fault.RESET_BEFORE, "connection lost"), (Fault.ERROR, "500 InternalError")]
)
def test_why_a_store_is_waited_for(bucket: Bucket, said: list[str], fault: Fault, reason: str) -> None:
    with FaultyProxy(bucket.settings.endpoint_url, failing_for(5, fault)) as proxy:
        settings = replace(bucket.settings, endpoint_url=proxy.endpoint_url, patience=50)
        S3Store(Bucket(bucket.name, settings)).put("studies/1.2.3/metadata", b"[]")
    assert f"({reason})" in said[0]


def test_a_store_that_is_not_there_is_waited_for_aloud(said: list[str], bucket: Bucket, free_port: int) -> None:
    settings = replace(bucket.settings, endpoint_url=f"http://127.0.0.1:{free_port}", patience=14)
    with pytest.raises(Exception, match="Could not connect"):
        S3Store(Bucket("archive", settings)).get("studies")
    assert said[0].startswith("WARNING waiting for s3://archive (no connection), ")


@pytest.mark.slow
def test_a_file_that_another_job_writes_is_waited_for_aloud(tmp_path: Path, said: list[str]) -> None:
    store = DirectoryStore(str(tmp_path))
    (tmp_path / "studies").mkdir()
    with (tmp_path / "studies" / ".index.json.part").open("wb") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        job = threading.Thread(target=store.put, args=("studies", b"[]"))
        job.start()
        until(lambda: said)
    job.join()
    assert said[0].startswith("WARNING waiting for another job that writes a file, ")
    until(lambda: len(said) > 1)


@pytest.mark.slow
def test_an_instance_that_another_job_writes_is_waited_for_aloud(said: list[str]) -> None:
    store = MemoryStore()
    with Lease(store, UIDS, CommitState(None, None)) as lease:
        other = threading.Thread(target=settled_state, args=(store, UIDS))
        other.start()
        until(lambda: said)
        lease.give_up()
    other.join()
    assert said[0].startswith("WARNING waiting for another job that writes an instance, ")


def wait_in_a_worker(seconds: float) -> None:
    with waiting("what only the worker knows of", quiet=0.1):
        time.sleep(seconds)


@pytest.mark.slow
def test_what_workers_wait_for_is_said_in_the_process_of_the_job(said: list[str]) -> None:
    with ProcessExecutor(2) as executor:
        for future in [executor.submit(wait_in_a_worker, 2) for _ in range(2)]:
            future.result()
        until(lambda: len(said) == 4)
    assert {message.split()[1] for message in said} == {"waiting", "waited"}
    assert all(message.endswith(" s for what only the worker knows of") for message in said if "waited" in message)


class Terminal:
    """A terminal as stderr, and what it was shown."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.leader, self.follower = pty.openpty()
        monkeypatch.setattr(sys, "stderr", SafeStream(self.follower, "utf-8"))

    def shown(self) -> str:
        """All that was written so far. One read may give a part of it: a terminal hands it over in its own time."""
        end = b"<end>"
        os.write(self.follower, end)
        text = b""
        while not text.endswith(end):
            text += os.read(self.leader, 1 << 16)
        return text.removesuffix(end).decode()


def test_a_terminal_shows_one_line_and_clears_it(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal(monkeypatch)
    with shown_logs():
        LOGGER.warning("waiting for s3://a, 4 s")
        LOGGER.warning("waiting for s3://a\x1b[2J, 14 s")
        LOGGER.info("waited 15 s for s3://a")
        LOGGER.warning("waiting for s3://b, 4 s")
    LOGGER.warning("nobody hears this")
    assert terminal.shown().split("\r\x1b[K") == [
        "", "waiting for s3://a, 4 s", "waiting for s3://a\\x1b[2J, 14 s", "", "waiting for s3://b, 4 s", ""
    ]  # fmt: skip


def test_a_log_gets_a_line_now_and_then(capsys: pytest.CaptureFixture[str]) -> None:
    with shown_logs():
        LOGGER.info("waited 3 s for what was not shown")
        for number in range(100):
            LOGGER.warning("waiting for s3://a, %d s", number)
        LOGGER.info("waited 100 s for s3://a")
        LOGGER.info("waited 100 s for s3://a")
    assert capsys.readouterr().err == "waiting for s3://a, 0 s\nwaited 100 s for s3://a\n"


def test_warnings_of_libraries_are_a_line_without_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    with shown_logs():
        try:
            raise ValueError("of a library")
        except ValueError:
            logging.getLogger("library").exception("first\nhttp://user:word@host/ \x1b[2J")
    assert capsys.readouterr().err == "library: first http://***@host/ \\x1b[2J (ValueError: of a library)\n"


@pytest.mark.parametrize("workers", ["0", "2"])
def test_the_command_says_what_it_waits_for(bucket: Bucket, tmp_path: Path, workers: str) -> None:
    source = write_series(tmp_path / "in", 3)
    with FaultyProxy(bucket.settings.endpoint_url) as proxy:
        proxy.plan = failing_for(7, target="/frames/")  # it is workers that meet them
        done = subprocess.run(
            [sys.executable, "-m", "stillframe", "build", str(source), f"s3://{bucket.name}/archive",
             "--workers", workers, "--endpoint-url", proxy.endpoint_url, "--region", "us-east-1", "--patience", "50"],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
    assert done.returncode == 0, done.stderr
    told = [line for line in done.stderr.splitlines() if "wait" in line]
    assert told[0].startswith(f"waiting for s3://{bucket.name} (503 SlowDown), ")
    assert all(
        line.startswith(("waiting for ", "waited ")) for line in told
    )  # who ends soon does not say that it waited
    assert ROOT not in "".join(told)
