from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from stillframe import task_process
from stillframe.errors import MachineError
from stillframe.task_process import NO_ROOM, TaskProcess, pack_failure, pack_task, unpack_answer
from stillframe.task_server import TaskServer
from tests.support.trees import processes_of_session
from tests.support.waiting import until

pytestmark = pytest.mark.slow


@pytest.fixture
def process() -> Iterator[TaskProcess]:
    server = TaskServer(lambda *_: None)
    made = server.start_process()
    yield made
    made.close()
    server.close()


def fail(message: str) -> None:
    raise ValueError(message)


def take_memory(size: int) -> int:
    return len(bytes(size))


def log(message: str) -> None:
    logging.getLogger("stillframe.tests").warning("%s", message)


def unpicklable() -> object:
    return lambda: None


class Unpicklable(Exception):
    def __init__(self, one: object, two: object) -> None:
        super().__init__(f"{one} and {two}")


def ask(process: TaskProcess, fn: object, *args: object, folder: str = "/") -> object:
    assert callable(fn)
    return unpack_answer(process.run(pack_task(fn, args, {}, folder)))


def test_answers_are_results_or_exceptions(process: TaskProcess, tmp_path: Path) -> None:
    assert ask(process, divmod, 17, 5) == (3, 2)
    assert ask(process, os.getcwd, folder=str(tmp_path)) == str(tmp_path)
    with pytest.raises(ValueError, match="as it is"):
        ask(process, fail, "as it is")
    with pytest.raises(Exception, match="pickle"):
        ask(process, unpicklable)
    assert ask(process, len, bytes(5 << 20)) == 5 << 20


def test_a_folder_that_is_not_there_is_left_to_the_task(process: TaskProcess, tmp_path: Path) -> None:
    assert ask(process, os.path.exists, "anything", folder=str(tmp_path / "none")) is False


def test_it_is_in_the_environment_of_who_started_it(process: TaskProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOMETHING_NEW", "a value")
    assert ask(process, os.getenv, "SOMETHING_NEW") == "a value"


def test_too_large_a_task_is_told_apart(process: TaskProcess) -> None:
    assert process.run(pack_task(take_memory, (1 << 60,), {}, "/")) == NO_ROOM
    assert ask(process, take_memory, 10) == 10


def test_a_death_is_seen_at_once(process: TaskProcess) -> None:
    with pytest.raises((OSError, EOFError)):
        process.run(pack_task(os._exit, (1,), {}, "/"))
    assert not process.is_fresh()


def test_what_it_logs_is_told() -> None:
    lines: list[tuple[str, int, str]] = []
    server = TaskServer(lambda *line: lines.append(line))
    process = server.start_process()
    ask(process, log, "a line")
    process.close()
    server.close()
    until(lambda: lines)
    assert lines == [("stillframe.tests", logging.WARNING, "a line")]


def test_it_ends_with_who_started_it() -> None:
    program = (
        "import os, time\n"
        "from stillframe.task_process import pack_task, unpack_answer\n"
        "from stillframe.task_server import TaskServer\n"
        "process = TaskServer(print).start_process()\n"
        "print(unpack_answer(process.run(pack_task(os.getsid, (0,), {}, '/'))), flush=True)\n"
        "process.run(pack_task(time.sleep, (600,), {}, '/'))\n"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE) as starter:
        assert starter.stdout is not None
        session = int(starter.stdout.readline())  # what it was forked from leads its own
        assert session in processes_of_session(session)
        starter.send_signal(signal.SIGKILL)
    until(lambda: not processes_of_session(session))


def test_one_that_was_idle_for_long_is_not_trusted(process: TaskProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    assert process.is_fresh()
    monkeypatch.setattr(task_process, "_FRESH_SECONDS", 0.0)
    assert not process.is_fresh()


def test_a_failure_that_cannot_be_sent_is_described() -> None:
    with pytest.raises(MachineError, match="as it is"):
        unpack_answer(pack_failure(MachineError("as it is")))
    error = Unpicklable(1, lambda: None)
    error.args = (lambda: None,)
    with pytest.raises(RuntimeError, match="Unpicklable: "):
        unpack_answer(pack_failure(error))
