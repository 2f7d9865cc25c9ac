from __future__ import annotations

import ctypes
import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from stillframe.sandbox import has_starter
from stillframe.task_process import TaskProcess, pack_task, unpack_answer
from stillframe.task_server import TaskServer
from tests.support.trees import processes_of_session

pytestmark = pytest.mark.slow


@pytest.fixture
def server() -> Iterator[TaskServer]:
    made = TaskServer(lambda *_: None)
    yield made
    made.close()


def ask(process: TaskProcess, fn: Any, *args: Any) -> Any:
    return unpack_answer(process.run(pack_task(fn, args, {}, "/")))


def until_ended(session: int) -> None:
    deadline = time.monotonic() + 60
    while processes_of_session(session):
        assert time.monotonic() < deadline
        time.sleep(0.02)


def sleep_with_lock(begun: str) -> None:
    """Sleep as native code does that lets no other thread of its process run."""
    Path(begun).touch()
    ctypes.PyDLL(None).sleep(600)


def test_processes_are_forked_from_one_that_has_the_libraries(server: TaskServer) -> None:
    one, two = server.start_process(), server.start_process()
    assert ask(one, os.getppid) == ask(two, os.getppid) != os.getpid()
    assert ask(one, os.getpid) != ask(two, os.getpid)
    assert ask(one, has_starter)
    one.close()
    assert ask(two, divmod, 17, 5) == (3, 2)
    two.close()


def test_a_process_that_hears_nothing_can_be_ended(server: TaskServer, tmp_path: Path) -> None:
    process, other = server.start_process(), server.start_process()
    number = ask(process, os.getpid)
    timer = threading.Thread(target=end_once_begun, args=(process, tmp_path / "begun"))
    timer.start()
    with pytest.raises((OSError, EOFError)):
        ask(process, sleep_with_lock, str(tmp_path / "begun"))
    timer.join()
    assert not Path(f"/proc/{number}").exists()
    assert ask(other, divmod, 17, 5) == (3, 2)
    process.close()
    other.close()


def close_once_begun(server: TaskServer, begun: Path) -> None:
    while not begun.exists():
        time.sleep(0.02)
    server.close()


def end_once_begun(process: TaskProcess, begun: Path) -> None:
    while not begun.exists():
        time.sleep(0.02)
    process.end()


def test_one_that_was_killed_leaves_nothing_and_is_started_anew(server: TaskServer) -> None:
    before = server.start_process()
    first = ask(before, os.getppid)
    os.kill(first, signal.SIGKILL)
    deadline = time.monotonic() + 60
    while Path(f"/proc/{first}").exists():
        server.forget_ended()
        assert time.monotonic() < deadline
        time.sleep(0.02)
    after = server.start_process()
    assert ask(after, os.getppid) != first
    before.close()  # of the one that is gone: nobody else is meant
    assert ask(after, divmod, 17, 5) == (3, 2)
    after.close()


def test_one_that_ended_unseen_is_started_anew(server: TaskServer) -> None:
    before = server.start_process()
    os.kill(ask(before, os.getppid), signal.SIGKILL)
    after = server.start_process()
    assert ask(after, divmod, 17, 5) == (3, 2)
    before.close()
    after.close()


def test_it_takes_its_processes_along(server: TaskServer, tmp_path: Path) -> None:
    process, other = server.start_process(), server.start_process()
    session = ask(other, os.getsid, 0)
    begun = tmp_path / "begun"
    closer = threading.Thread(target=close_once_begun, args=(server, begun))
    closer.start()
    with pytest.raises((OSError, EOFError)):
        ask(process, sleep_with_lock, str(begun))
    closer.join()
    until_ended(session)
    process.close()
    other.close()


def test_it_can_be_closed_while_it_loads_libraries(server: TaskServer) -> None:
    starter = threading.Thread(target=lambda: server.start_process().close())
    starter.start()
    server.close()
    starter.join()
