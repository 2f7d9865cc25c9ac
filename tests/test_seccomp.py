from __future__ import annotations

import platform
import subprocess
import sys
import textwrap

import pytest

pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or platform.machine() not in ("x86_64", "aarch64"),
    reason="seccomp of Linux is what is tried",
)

_BEFORE = """
import ctypes, os, platform, resource, signal, socket, sys, threading
from stillframe.seccomp import give_up_system_calls

parent, pipe, x86 = os.getppid(), os.pipe(), platform.machine() == "x86_64"
assert give_up_system_calls()
"""


def run_confined(code: str) -> subprocess.CompletedProcess[str]:
    """Run code in a process that gave up its system calls."""
    return subprocess.run(
        [sys.executable, "-c", _BEFORE + textwrap.dedent(code)], capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize(
    "call",
    [
        "open('/dev/null')",
        "os.open('written', os.O_CREAT | os.O_WRONLY)",
        "os.listdir('/')",
        "os.unlink('/nothing')",
        "socket.socket()",
        "socket.socketpair()",
        "os.fork()",
        "os.execv(sys.executable, [sys.executable])",
        "os.kill(parent, 0)",
        "os.kill(os.getpid(), 0)",
        "os.pipe()",
        "os.dup(1)",
        "resource.prlimit(parent, resource.RLIMIT_CPU)",
        "os.chdir('/')",
        "os.setsid()",
        "os.memfd_create('x')",
    ],
)
def test_what_reaches_beyond_the_process_is_refused(call: str) -> None:
    done = run_confined(
        f"""
        try:
            {call}
        except PermissionError as error:
            print(error.errno)
        """
    )
    assert (done.stdout, done.stderr, done.returncode) == ("1\n", "", 0)  # EPERM (errno-base.h)


def test_a_signal_to_a_thread_of_another_process_and_its_memory_are_refused() -> None:
    done = run_confined(
        """
        libc = ctypes.CDLL(None, use_errno=True)
        for number, arguments in (
            (234 if x86 else 131, (parent, parent, 0)),  # tgkill
            (101 if x86 else 117, (16, parent, 0, 0)),  # ptrace: attach
            (310 if x86 else 270, (parent, 0, 0, 0, 0, 0)),  # process_vm_readv
            (425, (4, 0)),  # io_uring_setup
        ):
            ctypes.set_errno(0)
            assert libc.syscall(number, *arguments) == -1
            assert ctypes.get_errno() == 1, number
        """
    )
    assert (done.stderr, done.returncode) == ("", 0)


def test_computing_and_what_is_open_stay() -> None:
    done = run_confined(
        """
        os.write(pipe[1], b"x")
        assert os.read(pipe[0], 1) == b"x"
        assert len(bytearray(300_000_000)) == 300_000_000
        resource.setrlimit(resource.RLIMIT_CPU, (10, resource.getrlimit(resource.RLIMIT_CPU)[1]))
        print("here")
        """
    )
    assert (done.stdout, done.stderr, done.returncode) == ("here\n", "", 0)


def test_a_process_can_still_abort() -> None:
    assert run_confined("os.abort()").returncode == -6
