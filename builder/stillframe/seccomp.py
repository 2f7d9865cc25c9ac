"""Linux's seccomp: a process gives up every system call but a few, for itself and for good.

See seccomp(2). What is left suffices to compute and to answer through what is open already: no file or
socket can be opened, no program or process started, no other process touched.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import struct
import sys
from typing import Final

# Numbers of the calls on x86_64 and on aarch64 (asm/unistd_64.h, asm-generic/unistd.h).
_ALLOWED: Final = {
    "read": (0, 63),
    "write": (1, 64),
    "close": (3, 57),
    "fstat": (5, 80),
    "lseek": (8, 62),
    "mmap": (9, 222),
    "mprotect": (10, 226),
    "munmap": (11, 215),
    "brk": (12, 214),
    "rt_sigaction": (13, 134),
    "rt_sigprocmask": (14, 135),
    "rt_sigreturn": (15, 139),
    "pread64": (17, 67),
    "writev": (20, 66),
    "sched_yield": (24, 124),
    "mremap": (25, 216),
    "madvise": (28, 233),
    "nanosleep": (35, 101),
    "getpid": (39, 172),
    "sendto": (44, 206),
    "recvfrom": (45, 207),
    "exit": (60, 93),
    "gettimeofday": (96, 169),
    "getrlimit": (97, 163),
    "getrusage": (98, 165),
    "sysinfo": (99, 179),
    "sigaltstack": (131, 132),
    "setrlimit": (160, 164),
    "gettid": (186, 178),
    "futex": (202, 98),
    "sched_getaffinity": (204, 123),
    "restart_syscall": (219, 128),
    "clock_gettime": (228, 113),
    "clock_getres": (229, 114),
    "clock_nanosleep": (230, 115),
    "exit_group": (231, 94),
    "getrandom": (318, 278),
}
# Only towards the process itself: abort(3) needs the one, limits of a process are set by the other.
_TGKILL: Final = (234, 131)
_PRLIMIT: Final = (302, 261)
# The name of a machine, its place in the pairs above, and its AUDIT_ARCH (linux/audit.h).
_MACHINES: Final = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7)}

_INSTRUCTION: Final = struct.Struct("HBBI")  # sock_filter (linux/filter.h)
_LOAD: Final = 0x20  # BPF_LD | BPF_W | BPF_ABS
_IF_EQUAL: Final = 0x15  # BPF_JMP | BPF_JEQ | BPF_K
_RETURN: Final = 0x06  # BPF_RET | BPF_K
_NUMBER, _ARCHITECTURE, _FIRST_ARGUMENT = 0, 4, 16  # offsets in seccomp_data (linux/seccomp.h); both are little endian
_ALLOW: Final = 0x7FFF0000
_REFUSE: Final = 0x00050000 | errno.EPERM

_PR_SET_NO_NEW_PRIVS: Final = 38  # linux/prctl.h
_SECCOMP: Final = (317, 277)
# SECCOMP_SET_MODE_FILTER and SECCOMP_FILTER_FLAG_SPEC_ALLOW (linux/seccomp.h, Linux 4.17). Without the flag, older
# kernels slow the process down, to keep what it holds from code that it runs itself: there is nothing to keep.
_FILTER_MODE, _SPECULATION_ALLOWED = 1, 4


class _Program(ctypes.Structure):
    """sock_fprog of linux/filter.h."""

    _fields_ = (("length", ctypes.c_ushort), ("instructions", ctypes.c_char_p))


def give_up_system_calls() -> bool:
    """Leave this process, and any that it could start, only the calls above; others fail with EPERM.

    Returns:
        Whether that was done: not where the system is not Linux on x86_64 or aarch64, or refuses it.
    """
    machine = _MACHINES.get(platform.machine())
    if sys.platform != "linux" or machine is None or sys.maxsize < 1 << 32:
        return False
    code = _program(*machine, os.getpid())
    library = ctypes.CDLL(None)
    library.prctl.argtypes = (ctypes.c_int, *(4 * [ctypes.c_ulong]))
    library.syscall.argtypes = 4 * [ctypes.c_ulong]
    if library.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0):
        return False
    program = _Program(len(code) // _INSTRUCTION.size, code)
    number = _SECCOMP[machine[0]]
    return not library.syscall(number, _FILTER_MODE, _SPECULATION_ALLOWED, ctypes.addressof(program))


def _program(column: int, architecture: int, pid: int) -> bytes:
    """The filter for a machine: what it does with a call, by number and first argument."""
    code = [(_LOAD, 0, 0, _ARCHITECTURE), (_IF_EQUAL, 1, 0, architecture), (_RETURN, 0, 0, _REFUSE)]
    code.append((_LOAD, 0, 0, _NUMBER))
    for numbers in _ALLOWED.values():
        code += [(_IF_EQUAL, 0, 1, numbers[column]), (_RETURN, 0, 0, _ALLOW)]
    for numbers, argument in ((_TGKILL, pid), (_PRLIMIT, 0)):
        code += [
            (_IF_EQUAL, 0, 4, numbers[column]),
            (_LOAD, 0, 0, _FIRST_ARGUMENT),
            (_IF_EQUAL, 0, 1, argument),
            (_RETURN, 0, 0, _ALLOW),
            (_RETURN, 0, 0, _REFUSE),
        ]
    code.append((_RETURN, 0, 0, _REFUSE))
    return b"".join(_INSTRUCTION.pack(*instruction) for instruction in code)
