"""A process for native code that reads somebody's bytes: such code may crash or be taken over, and takes little along.

This child holds nothing of the worker that it computes for: no clients of stores, no secrets of its environment, no
open files but its end of a pair of sockets; it can open none. It is not forked from the worker, which has threads and
secrets by the time it needs one. A starter forks it: a process that the worker forks from itself before all else, and
that does nothing but start children, one at a time, and end them. A starter needs nothing of its worker but its end of
a pair of sockets: where workers have threads from the start, it may as well be a command of its own.
"""

from __future__ import annotations

import fcntl
import math
import mmap
import os
import pickle
import resource
import select
import signal
import socket
import struct
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Final, NoReturn

from stillframe.errors import StillframeError
from stillframe.seccomp import give_up_system_calls

type Work = Callable[..., tuple[bytes, bytes | memoryview]]
"""What a child computes: a short head and a body. A function at the top of a module, its arguments can be pickled."""
type Receive = Callable[[memoryview], None]
"""Fills a buffer with what follows of the body."""

NO_PROCESS: Final = -1000
"""The exit code of a child that could not be started: no signal has this number."""

CLOCK_FACTOR: Final = 20
"""Seconds by the clock for each CPU second that is allowed: a busy machine may give a process a small share."""

_STATUS: Final = struct.Struct("<i")
_REQUEST: Final = struct.Struct("<Q?")  # bytes of the request, and whether they are in the shared area
_REPLY: Final = struct.Struct("<dH?")  # CPU seconds, bytes of the head, and whether the body is in the shared area
# Two processes wake each other for every few KB of a socket, which takes longer than copying. What fits goes through
# memory that they share; pages count once they are used.
_AREA_BYTES: Final = 32 << 20
_START, _END = b"s", b"e"
_SOCKET_BYTES: Final = 1 << 20  # as much of a reply as the system lets wait in a socket
# A child that has grown by this, by leaks of libraries, makes room for a new one.
_MOST_GROWTH: Final = 128 << 20

_starter: socket.socket | None = None


class _Children(threading.local):
    """CPU seconds of children while they computed for this thread."""

    seconds = 0.0


_children: Final = _Children()


class ChildDied(StillframeError):
    """A child ended before its answer came.

    `exit_code` is negative for a signal, or `NO_PROCESS`. `late` says that the child was ended because it took longer
    than it may.
    """

    def __init__(self, exit_code: int, *, late: bool) -> None:
        super().__init__(f"a child process ended with {exit_code}")
        self.exit_code = exit_code
        self.late = late or exit_code == -signal.SIGXCPU


class BadAnswer(StillframeError):
    """A child answered what makes no sense."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What one piece of work may take: bytes of memory beside what the child had at its start, and CPU seconds."""

    memory: int
    seconds: float


def start_starter() -> None:
    """Fork the starter of this process, which must have one thread, and nothing yet that children must not have.

    Raises:
        OSError: if the system has no process to give.
    """
    global _starter
    ours, theirs = socket.socketpair()
    if not os.fork():
        _be_starter(theirs)
    theirs.close()
    _starter = ours


def has_starter() -> bool:
    """Whether this process can have a child."""
    return _starter is not None


def cpu_time() -> float:
    """CPU seconds of this thread, and of children while they computed for it."""
    return time.thread_time() + _children.seconds


class Sandbox:
    """The child of this process: started when it is first needed, kept, and followed by another when it ends."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._child: _Child | None = None

    def run[T](self, work: Work, arguments: tuple[Any, ...], limits: Limits, take: Callable[[bytes, Receive], T]) -> T:
        """What `take` makes of the answer, whose head it gets; if it raises, `BadAnswer` say, the child is ended.

        Work during which an older child dies is tried again in a new one: a library may have leaked or have been left
        in disorder by what was before.

        Raises:
            ChildDied: if the child ends before it has answered, or takes longer than it may.
        """
        request = memoryview(pickle.dumps((work, arguments, limits.memory, limits.seconds), protocol=5))
        with self._lock:
            if self._child is not None:
                try:
                    return self._run_once(self._child, request, limits, take)
                except ChildDied as death:
                    if death.late:
                        raise
            try:
                child = _Child()
            except ConnectionError:
                os._exit(1)  # without its starter this worker is of no use; its tasks are given to another
            return self._run_once(child, request, limits, take)

    def _run_once[T](
        self, child: _Child, request: memoryview, limits: Limits, take: Callable[[bytes, Receive], T]
    ) -> T:
        self._child = None
        try:
            answer = take(child.ask(request, limits.seconds * CLOCK_FACTOR), child.receive)
        except (OSError, EOFError) as error:
            raise ChildDied(child.end(), late=isinstance(error, TimeoutError)) from error
        except BaseException:
            child.end()  # what is left of its answer would be taken for the next
            raise
        self._child = child
        return answer


class _Child:
    """The worker's end of a child; there is one at a time."""

    def __init__(self) -> None:
        assert _starter is not None
        self._control = _starter
        self._socket, theirs = socket.socketpair()
        self._deadline = 0.0
        self._shared = memoryview(b"")  # what is left of a body in the area
        with theirs, _open_area() as area:
            theirs.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SOCKET_BYTES)
            self._area = _map_area(area.fileno())
            socket.send_fds(self._control, [_START], [theirs.fileno(), area.fileno()])

    def ask(self, request: memoryview, seconds: float) -> bytes:
        """Send a request; the head of the answer, which has to be there whole within some seconds by the clock."""
        self._deadline = time.monotonic() + seconds
        self._socket.settimeout(seconds)
        shared = len(request) <= len(self._area)
        if shared:
            self._area[: len(request)] = request
        self._socket.sendall(_REQUEST.pack(len(request), shared))
        if not shared:
            self._socket.sendall(request)
        self._shared = memoryview(b"")
        reply = memoryview(bytearray(_REPLY.size))
        self.receive(reply)
        cpu, length, shared = _REPLY.unpack(reply)
        head = bytearray(length)
        self.receive(memoryview(head))
        if shared:
            self._shared = self._area
        if 0 <= cpu <= seconds:  # whoever took the child over may say what he likes
            _children.seconds += cpu
        return bytes(head)

    def receive(self, buffer: memoryview) -> None:
        """Fill a buffer of bytes."""
        if self._shared:
            if len(buffer) > len(self._shared):
                raise BadAnswer("a body that is larger than the area")
            buffer[:] = self._shared[: len(buffer)]
            self._shared = self._shared[len(buffer) :]
            return
        while buffer:
            self._socket.settimeout(max(self._deadline - time.monotonic(), 0.001))
            count = self._socket.recv_into(buffer)
            if not count:
                raise EOFError
            buffer = buffer[count:]

    def end(self) -> int:
        """End the process, if it runs; its exit code."""
        self._socket.close()
        try:
            self._control.sendall(_END)
            status = self._control.recv(_STATUS.size, socket.MSG_WAITALL)
            return int(_STATUS.unpack(status)[0])
        except (OSError, struct.error):
            os._exit(1)  # as above: the starter is gone


def _be_starter(control: socket.socket) -> NoReturn:
    """Start a child for every socket that the worker sends, and tell how each ended; end with the worker."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # inherited as ignored, it would leave no child to wait for
    with suppress(OSError):  # the worker is gone
        _keep_open(control.fileno())
        while True:
            message, descriptors, _, _ = socket.recv_fds(control, 1, 2)
            if not message:
                break
            if descriptors:  # else a child was to end that had ended
                control.sendall(_STATUS.pack(_run_child(control, *descriptors)))
    os._exit(0)


def _run_child(control: socket.socket, channel: int, area: int) -> int:
    """Start a child and return its exit code; it is ended when the worker asks for that or is gone."""
    alive, held = os.pipe()
    try:
        pid = os.fork()
    except OSError:
        pid = -1
    if not pid:
        _be_child(socket.socket(fileno=channel), area, held)
    for descriptor in (channel, area, held):
        os.close(descriptor)
    if pid > 0:
        select.select([control.fileno(), alive], [], [])  # the pipe's other end is closed when the child ends
        os.kill(pid, signal.SIGKILL)  # which is nothing to one that has ended
        status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    os.close(alive)
    return status if pid > 0 else NO_PROCESS


def _be_child(channel: socket.socket, descriptor: int, held: int) -> NoReturn:
    """Answer requests until the worker closes its end."""
    code = 1
    try:
        _keep_open(channel.fileno(), descriptor, held)
        area = _map_area(descriptor)
        os.close(descriptor)
        size = _AddressSpace()
        _confine()
        with channel.makefile("rb") as requests:
            while size.growth() <= _MOST_GROWTH and _answer(requests, channel, area, size):
                pass
        code = 0
    finally:
        os._exit(code)


def _keep_open(*descriptors: int) -> None:
    """Close what else this process inherited; what is read from and printed is nothing."""
    nothing = os.open(os.devnull, os.O_RDWR)
    for standard in range(3):
        os.dup2(nothing, standard)
    first = 3
    for descriptor in sorted(descriptors):
        os.closerange(first, descriptor)
        first = descriptor + 1
    os.closerange(first, max(os.sysconf("SC_OPEN_MAX"), nothing + 1))


class _AddressSpace:
    """How large the address space of this process is, where the system tells (proc(5), Linux)."""

    def __init__(self) -> None:
        self._file = -1
        with suppress(OSError):
            self._file = os.open("/proc/self/statm", os.O_RDONLY)
        self.at_start = self._now()

    def _now(self) -> int:
        return int(os.pread(self._file, 64, 0).split()[0]) * resource.getpagesize() if self._file >= 0 else 0

    def growth(self) -> int:
        """Bytes that came to it since the start."""
        return self._now() - self.at_start


def _confine() -> None:
    """Open nothing, start nothing, leave nothing behind from here on."""
    for name in ("RLIMIT_CORE", "RLIMIT_FSIZE", "RLIMIT_NPROC", "RLIMIT_NOFILE"):
        with suppress(OSError, ValueError):  # some system may not take 0; the next fence does not depend on it
            resource.setrlimit(getattr(resource, name), (0, 0))
    give_up_system_calls()


def _answer(requests: BinaryIO, channel: socket.socket, area: memoryview, size: _AddressSpace) -> bool:
    """Carry out one request under its limits; whether there was one."""
    request = requests.read(_REQUEST.size)
    if len(request) < _REQUEST.size:
        return False
    length, shared = _REQUEST.unpack(request)
    content = area[:length] if shared else requests.read(length)
    work, arguments, memory, seconds = pickle.loads(content)  # noqa: S301  (from the worker)
    started = time.process_time()
    most = size.at_start + memory if size.at_start else None
    with _limited(resource.RLIMIT_CPU, math.ceil(started + seconds)), _limited(resource.RLIMIT_AS, most):
        head, body = work(*arguments)
    shared = 0 < len(body) <= len(area)
    if shared:
        area[: len(body)] = body
    channel.sendall(_REPLY.pack(time.process_time() - started, len(head), shared) + head)
    if not shared:
        channel.sendall(body)
    return True


def _open_area() -> BinaryIO:
    """A file in memory that two processes can map; an empty one where the system has none, or allows none so large."""
    if sys.platform != "linux":
        return Path(os.devnull).open("rb")
    try:
        descriptor = os.memfd_create("stillframe", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    except OSError:
        return Path(os.devnull).open("rb")
    try:
        os.ftruncate(descriptor, _AREA_BYTES)
    except OSError:  # RLIMIT_FSIZE counts for it, too
        os.close(descriptor)
        return Path(os.devnull).open("rb")
    # Whoever cut it off would end the process that reads it next.
    fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL)
    return os.fdopen(descriptor, "r+b", buffering=0)


def _map_area(descriptor: int) -> memoryview:
    return memoryview(mmap.mmap(descriptor, _AREA_BYTES)) if os.fstat(descriptor).st_size else memoryview(b"")


@contextmanager
def _limited(what: int, most: int | None) -> Iterator[None]:
    """Lower a limit while the block runs."""
    soft, hard = resource.getrlimit(what)
    if most is not None and (soft == resource.RLIM_INFINITY or most < soft):
        resource.setrlimit(what, (most, hard))
    try:
        yield
    finally:
        resource.setrlimit(what, (soft, hard))
