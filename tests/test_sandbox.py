from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from stillframe.execute import ProcessExecutor
from stillframe.sandbox import BadAnswer, ChildDied, Limits, Receive, Sandbox, cpu_time
from stillframe.store.s3_client import S3Settings, client_of

GENEROUS = Limits(1 << 28, 20.0)
# A sandbox of the worker, kept from one task to the next.
_SANDBOX = Sandbox()


@pytest.fixture(scope="module")
def worker() -> Iterator[ProcessExecutor]:
    """One worker process, started where the environment has secrets."""
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("AWS_SECRET_ACCESS_KEY", "known-to-workers")
        environment.setenv("STILLFRAME_SECRET", "known-to-workers")
        environment.setenv("REGISTRY_TOKEN", "known-to-workers")
        with ProcessExecutor(1) as executor:
            yield executor


def take_all(head: bytes, receive: Receive) -> bytes:
    """The head, which tells the length of the body, and the body."""
    body = bytearray(int(head))
    receive(memoryview(body))
    return bytes(body)


def evaluate(expression: str, limits: Limits) -> bytes | tuple[int, bool]:
    """Runs in a worker: what an expression gives in its sandbox, in bytes, or how that died."""
    code = f"(lambda body: (str(len(body)).encode(), body))({expression})"
    try:
        return _SANDBOX.run(eval, (code,), limits, take_all)
    except ChildDied as death:
        return death.exit_code, death.late


def make_client() -> bool:
    """Runs in a worker: makes a client of a store, and says whether its library is loaded."""
    client_of(S3Settings(endpoint_url="http://127.0.0.1:1", region="us-east-1"))
    return "botocore" in sys.modules


def ask(worker: ProcessExecutor, expression: str, limits: Limits = GENEROUS) -> Any:
    return worker.submit(evaluate, expression, limits).result(timeout=120)


@pytest.mark.slow
def test_an_answer_comes_back(worker: ProcessExecutor) -> None:
    assert ask(worker, "b'as it is'") == b"as it is"
    assert ask(worker, "bytes(3_000_000)") == bytes(3_000_000)
    assert ask(worker, "bytes(40_000_000)") == bytes(40_000_000)  # more than fits in what they share
    assert ask(worker, f"str({'7' * 40_000_000!r}.count('7')).encode()", Limits(1 << 30, 60.0)) == b"40000000"


def take_too_much(head: bytes, receive: Receive) -> bytes:
    receive(memoryview(bytearray(40_000_000)))
    return head


def ask_too_much() -> str:
    """Runs in a worker: what comes of an answer that is shorter than its head says."""
    try:
        _SANDBOX.run(eval, ("(b'', b'short')",), GENEROUS, take_too_much)
    except BadAnswer as error:
        return str(error)
    return ""


def test_no_more_is_taken_than_was_shared(worker: ProcessExecutor) -> None:
    assert worker.submit(ask_too_much).result(timeout=60) == "a body that is larger than the area"
    assert ask(worker, "b'next'") == b"next"


def test_the_child_is_kept(worker: ProcessExecutor) -> None:
    process = "str(__import__('os').getpid()).encode()"
    first = ask(worker, process)
    assert first == ask(worker, process) != str(worker.submit(os.getpid).result()).encode()


def test_a_child_knows_no_secrets_and_its_worker_does(worker: ProcessExecutor) -> None:
    assert worker.submit(os.getenv, "AWS_SECRET_ACCESS_KEY").result() == "known-to-workers"
    assert b"known-to-workers" not in ask(worker, "repr(__import__('os').environ).encode()")
    pid = int(ask(worker, "str(__import__('os').getpid()).encode()"))
    # The tests' own credentials were there before any process was started.
    started_with = Path(f"/proc/{pid}/environ").read_bytes()
    assert os.environ["AWS_ACCESS_KEY_ID"]
    assert b"AWS_" not in started_with
    assert b"PATH=" in started_with


def test_a_child_has_no_clients_of_stores(worker: ProcessExecutor) -> None:
    assert worker.submit(make_client).result(timeout=60)
    assert ask(worker, "str('botocore' in __import__('sys').modules).encode()") == b"False"


@pytest.mark.parametrize(
    "attempt",
    [
        "__import__('socket').socket()",
        "open('/dev/null')",
        "open('/proc/self/environ')",
        "__import__('os').open('/dev/null', 0)",
        "__import__('os').fork()",
        "__import__('subprocess').run(['true'])",
    ],
)
def test_a_child_opens_and_starts_nothing(worker: ProcessExecutor, attempt: str) -> None:
    source = f"try: {attempt}\nexcept OSError as error: told.append(type(error).__name__)\nelse: told.append('done')"
    told = f"(lambda told: (exec({source!r}, dict(told=told)), told[0].encode())[1])([])"
    assert ask(worker, told) in (b"PermissionError", b"OSError", b"BlockingIOError")


def test_a_child_has_no_descriptors_but_its_own(worker: ProcessExecutor) -> None:
    pid = int(ask(worker, "str(__import__('os').getpid()).encode()"))
    opened = sorted(str(link.readlink()).partition(":")[0] for link in Path(f"/proc/{pid}/fd").iterdir())
    # What it shares with its worker, its size, the pipe by which its starter notices its end, and its socket.
    assert opened == [*3 * ["/dev/null"], "/memfd", f"/proc/{pid}/statm", "pipe", "socket"]


@pytest.mark.parametrize(
    ("crash", "number"),
    [
        ("__import__('os').abort()", signal.SIGABRT),
        ("__import__('ctypes').string_at(0)", signal.SIGSEGV),
    ],
)
def test_a_crash_ends_the_child_alone(worker: ProcessExecutor, crash: str, number: int) -> None:
    before = worker.submit(os.getpid).result()
    assert ask(worker, crash) == (-number, False)
    assert ask(worker, "b'next'") == b"next"
    assert worker.submit(os.getpid).result() == before


def test_an_exit_code_is_told(worker: ProcessExecutor) -> None:
    assert ask(worker, "__import__('os')._exit(3)") == (3, False)


def test_memory_is_limited_for_each_piece_of_work(worker: ProcessExecutor) -> None:
    size = "str(len(bytearray(100 << 20))).encode()"
    assert ask(worker, size, Limits(200 << 20, 20.0)) == str(100 << 20).encode()
    assert ask(worker, size, Limits(50 << 20, 20.0)) == (1, False)  # a MemoryError that nobody catches
    assert ask(worker, size, Limits(200 << 20, 20.0)) == str(100 << 20).encode()


@pytest.mark.slow
def test_processor_time_is_limited_for_each_piece_of_work(worker: ProcessExecutor) -> None:
    busy = "(lambda t, began: [0 for _ in iter(lambda: t.process_time() - began > 0.7, True)] and b'done')"
    busy = f"{busy}(__import__('time'), __import__('time').process_time())"
    for _ in range(4):  # more in all than any may take
        assert ask(worker, busy, Limits(1 << 28, 1.5)) == b"done"
    # On a busy machine the clock may end it first.
    ends = (ask(worker, "any(iter(int, 1))", Limits(1 << 28, 0.5)) for _ in range(5))
    assert (-signal.SIGXCPU, True) in ends
    assert ask(worker, "b'next'") == b"next"


@pytest.mark.slow
def test_a_child_that_sleeps_is_ended(worker: ProcessExecutor) -> None:
    assert ask(worker, "__import__('time').sleep(1000)", Limits(1 << 28, 0.05)) == (-signal.SIGKILL, True)
    assert ask(worker, "b'next'") == b"next"


def test_work_that_an_older_child_died_of_is_tried_in_a_new_one(worker: ProcessExecutor) -> None:
    ask(worker, "setattr(__import__('os'), 'spoilt', True) or b''")
    dies_if_spoilt = "__import__('os').abort() if hasattr(__import__('os'), 'spoilt') else b'well'"
    assert ask(worker, dies_if_spoilt) == b"well"


def test_a_child_that_grew_makes_room_for_another(worker: ProcessExecutor) -> None:
    process = "str(__import__('os').getpid()).encode()"
    before = ask(worker, process)
    ask(worker, "setattr(__import__('os'), 'leak', bytearray(200 << 20)) or b''")
    assert ask(worker, process) != before


def cpu_of_sandbox(limits: Limits) -> tuple[float, float]:
    """Runs in a worker: the CPU time of a task that burns half a second in its sandbox, and that of its own thread."""
    began, own = cpu_time(), time.thread_time()
    burn = "(lambda t, began: [0 for _ in iter(lambda: t.process_time() - began > 0.5, True)] and b'')"
    evaluate(f"{burn}(__import__('time'), __import__('time').process_time())", limits)
    return cpu_time() - began, time.thread_time() - own


def test_processor_time_of_a_child_counts_as_the_thread_s(worker: ProcessExecutor) -> None:
    together, own = worker.submit(cpu_of_sandbox, GENEROUS).result(timeout=120)
    assert together - own >= 0.5


def descendants(pid: int) -> list[int]:
    """Processes below a process, from /proc."""
    children = [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return [process for child in children for process in (child, *descendants(child))]


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.slow
@pytest.mark.parametrize("work", ["b''", "any(iter(int, 1))"])
def test_with_a_killed_worker_its_child_and_starter_end(work: str) -> None:
    with ProcessExecutor(1) as executor:
        pid = executor.submit(os.getpid).result(timeout=60)
        ask(executor, "b''")
        (started, child) = descendants(pid)
        if work != "b''":
            executor.submit(evaluate, work, Limits(1 << 28, 600.0))
            while int(Path(f"/proc/{child}/stat").read_text().rpartition(")")[2].split()[11]) < 20:
                time.sleep(0.05)  # until it has used 20 ticks
        executor._ended = True  # the task is not to be tried again
        os.kill(pid, signal.SIGKILL)
        deadline = time.monotonic() + 60
        while is_alive(started) or is_alive(child):
            assert time.monotonic() < deadline
            time.sleep(0.02)


@pytest.mark.slow
def test_a_worker_whose_starter_is_gone_is_replaced() -> None:
    with ProcessExecutor(1) as executor:
        pid = executor.submit(os.getpid).result(timeout=60)
        ask(executor, "b''")
        os.kill(descendants(pid)[0], signal.SIGKILL)
        assert ask(executor, "__import__('os').abort()") == (-signal.SIGABRT, False)
        assert ask(executor, "b'next'") == b"next"


def test_a_child_that_cannot_be_started_is_told() -> None:
    code = """
import os
from stillframe.sandbox import NO_PROCESS, ChildDied, Limits, Sandbox, start_starter

fork, forks = os.fork, []

def fork_once():
    forks.append(1)
    if len(forks) > 1:
        raise BlockingIOError("no more processes")
    return fork()

os.fork = fork_once
start_starter()
sandbox = Sandbox()
for _ in range(2):
    try:
        sandbox.run(eval, ("(b'', b'')",), Limits(1 << 28, 10.0), lambda head, receive: head)
    except ChildDied as death:
        assert death.exit_code == NO_PROCESS
        print("told")
os._exit(0)
"""
    done = subprocess.run([sys.executable, "-u", "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert (done.stdout, done.stderr, done.returncode) == ("told\ntold\n", "", 0)


def test_whoever_ignores_the_end_of_children_learns_of_one() -> None:
    program = (
        "import signal\n"
        "from stillframe.sandbox import ChildDied, Limits, Sandbox, start_starter\n"
        "signal.signal(signal.SIGCHLD, signal.SIG_IGN)\n"
        "start_starter()\n"
        "try:\n"
        "    Sandbox().run(eval, ('__import__(\"os\").abort()',), Limits(1 << 28, 20.0), print)\n"
        "except ChildDied as death:\n"
        "    print(death.exit_code)\n"
    )
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stdout) == (0, f"{-signal.SIGABRT}\n"), ran.stderr
