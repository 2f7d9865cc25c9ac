from __future__ import annotations

import ctypes
import os
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from stillframe import task_server
from stillframe.errors import MachineError
from stillframe.sandbox import has_starter
from stillframe.task_process import TaskProcess, pack_task, unpack_answer
from stillframe.task_server import TaskServer
from tests.support.trees import processes_of_session
from tests.support.waiting import until

pytestmark = pytest.mark.slow


@pytest.fixture
def server() -> Iterator[TaskServer]:
    made = TaskServer(lambda *_: None)
    yield made
    made.close()


def ask(process: TaskProcess, fn: Any, *args: Any) -> Any:
    return unpack_answer(process.run(pack_task(fn, args, {}, "/")))


def until_ended(session: int) -> None:
    until(lambda: not processes_of_session(session))


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


def test_no_process_has_the_number_of_another(server: TaskServer) -> None:
    """As process ids may come again."""
    numbers = []
    for _ in range(3):
        ours, theirs = socket.socketpair()
        with ours, theirs:
            command, number = server._start(theirs)
        numbers.append(number)
        command.end_process(number)
    assert numbers == [1, 2, 3]


def test_a_process_that_hears_nothing_can_be_ended(server: TaskServer, tmp_path: Path) -> None:
    process, other = server.start_process(), server.start_process()
    number = ask(process, os.getpid)
    timer = threading.Thread(target=end_once_begun, args=(process, tmp_path / "begun"))
    timer.start()
    with pytest.raises((OSError, EOFError)):
        ask(process, sleep_with_lock, str(tmp_path / "begun"))
    timer.join()
    until(lambda: not Path(f"/proc/{number}").exists())
    assert ask(other, divmod, 17, 5) == (3, 2)
    process.close()
    other.close()


def close_once_begun(server: TaskServer, begun: Path) -> None:
    until(begun.exists)
    server.close()


def end_once_begun(process: TaskProcess, begun: Path) -> None:
    until(begun.exists)
    process.end()


def test_one_that_was_killed_leaves_nothing_and_is_started_anew(server: TaskServer) -> None:
    before = server.start_process()
    first = ask(before, os.getppid)
    os.kill(first, signal.SIGKILL)

    def is_gone() -> bool:
        server.forget_ended()
        return not Path(f"/proc/{first}").exists()

    until(is_gone)
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


@pytest.fixture
def slow_libraries(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Python starts as from a folder that does not answer; the file names the process that waits for it."""
    begun = tmp_path / "begun"
    lines = "import os, time", f"open({str(begun)!r}, 'x').write(f'{{os.getpid()}} ')", "time.sleep(600)"
    (tmp_path / "sitecustomize.py").write_text("\n".join(lines))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join((str(tmp_path), os.environ["PYTHONPATH"])))
    yield begun
    with suppress(ProcessLookupError):
        os.kill(int(begun.read_text()), signal.SIGKILL)


def start_in_thread(server: TaskServer) -> tuple[threading.Thread, list[BaseException]]:
    """A thread that starts a process, and the error with which it ends."""
    errors: list[BaseException] = []

    def start() -> None:
        try:
            server.start_process().close()
        except Exception as error:
            errors.append(error)

    thread = threading.Thread(target=start, daemon=True)
    thread.start()
    return thread, errors


def test_it_can_be_closed_while_it_loads_libraries(slow_libraries: Path) -> None:
    server = TaskServer(lambda *_: None)
    starter, errors = start_in_thread(server)
    until(lambda: slow_libraries.exists() and slow_libraries.read_text().endswith(" "))
    server.forget_ended()  # as others do meanwhile, who have nothing to wait for
    closer = threading.Thread(target=server.close, daemon=True)
    closer.start()
    until(lambda: not closer.is_alive() and not starter.is_alive())
    assert not Path(f"/proc/{int(slow_libraries.read_text())}").exists()
    (error,) = errors
    assert isinstance(error, MachineError)
    with pytest.raises(MachineError, match="the job was ended"):
        server.start_process()


def test_one_that_does_not_load_its_libraries_is_given_up(
    slow_libraries: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(task_server, "_LOAD_SECONDS", 3.0)
    server = TaskServer(lambda *_: None)
    starter, errors = start_in_thread(server)
    until(lambda: not starter.is_alive())
    (error,) = errors
    assert "none has started for 3 s" in str(error)
    assert not Path(f"/proc/{int(slow_libraries.read_text())}").exists()
    server.close()


def test_one_that_hangs_is_replaced(server: TaskServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(task_server, "_FORK_SECONDS", 0.5)
    before = server.start_process()
    session = ask(before, os.getsid, 0)
    os.kill(session, signal.SIGSTOP)
    after = server.start_process()
    assert ask(after, os.getsid, 0) != session
    before.close()
    until_ended(session)
    after.close()


@pytest.mark.skipif(sys.platform != "linux", reason="of Linux alone")
@pytest.mark.parametrize("signal_number", [signal.SIGKILL, signal.SIGSTOP])
def test_a_process_that_hears_nothing_ends_with_its_server(
    server: TaskServer, tmp_path: Path, signal_number: int
) -> None:
    """Its server is killed, or cannot end it itself."""
    process = server.start_process()
    session = ask(process, os.getsid, 0)
    begun = tmp_path / "begun"
    task = pack_task(sleep_with_lock, (str(begun),), {}, "/")

    def run() -> None:
        with suppress(OSError, EOFError):
            process.run(task)

    threading.Thread(target=run, daemon=True).start()
    try:
        until(begun.exists)
        os.kill(session, signal_number)
        if signal_number == signal.SIGSTOP:
            server.close()
        until_ended(session)
    finally:
        for number in processes_of_session(session):
            os.kill(number, signal.SIGKILL)
    process.close()


def test_whoever_ignores_the_end_of_children_has_it_end_them(server: TaskServer) -> None:
    before = signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    try:
        one, other = server.start_process(), server.start_process()
        one.close()
        assert ask(other, divmod, 17, 5) == (3, 2)
        after = server.start_process()
        assert ask(after, os.getppid) == ask(other, os.getppid)
    finally:
        signal.signal(signal.SIGCHLD, before)
    other.close()
    after.close()
