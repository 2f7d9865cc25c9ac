"""What starts the processes that do tasks beside somebody else's process: a command, from which they are forked.

It loads the libraries once for all of them, as the fork server of a local job does: each takes a second of a core and
tens of megabytes otherwise. It ends with whoever started it, its processes with it, and when it has had none for a
while.
"""

from __future__ import annotations

import ctypes
import os
import select
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from importlib import import_module
from multiprocessing.connection import Connection
from typing import Final, NoReturn

from stillframe.errors import MachineError
from stillframe.process_start import NO_PROCESS, protect_children, starting
from stillframe.task_process import IDLE_SECONDS, TaskProcess, do_tasks, is_told
from stillframe.worker_process import PRELOADED, few_variables, open_log

_START, _END = 0, 1
# What is asked of which process. Whoever has one started gets its number, or that of an error below 0.
_REQUEST: Final = struct.Struct("<Bq")
_REPLY: Final = struct.Struct("<q")
# How often the command looks whether processes have ended by themselves.
_LOOK_SECONDS: Final = 5.0
# How long it may take to start its first process, since it loads libraries before, perhaps from a slow folder; and
# another one.
_LOAD_SECONDS: Final = 300.0
_FORK_SECONDS: Final = 60.0
# How long it may take to end before it is ended.
_LEAVE_SECONDS: Final = 1.0
_PR_SET_PDEATHSIG: Final = 1  # linux/prctl.h


class TaskServer:
    """The command, as whoever uses it sees it: started when it is first needed, and again after it has ended."""

    def __init__(self, tell: Callable[[str, int, str], None]) -> None:
        """`tell` gets the logger's name, the level and the text of what the processes log."""
        self._tell = tell
        self._starting = threading.Lock()  # held while a process starts, which may take minutes
        self._lock = threading.Lock()  # of the two below, held for a moment
        self._command: _Command | None = None
        self._closed = False

    def start_process(self) -> TaskProcess:
        """A process for one task after the other.

        Raises:
            MachineError: if none can be started, or this was closed.
        """
        ours, theirs = socket.socketpair()
        with theirs, starting(), self._starting:
            try:
                command, number = self._start(theirs)
            except BaseException:
                ours.close()
                raise
        return TaskProcess(ours, partial(command.end_process, number))

    def _start(self, theirs: socket.socket) -> tuple[_Command, int]:
        """The command, and the number of the process that it started."""
        with self._lock:
            command = self._command
        if command is not None:
            with suppress(EOFError, ConnectionError, TimeoutError):  # it had nothing to do for long, was killed, hangs
                return command, command.start_process(theirs, _FORK_SECONDS)
        command = self._start_command()
        try:
            return command, command.start_process(theirs, _LOAD_SECONDS)
        except TimeoutError as error:
            command.close()
            raise MachineError(NO_PROCESS.format(f"none has started for {_LOAD_SECONDS:.0f} s")) from error

    def _start_command(self) -> _Command:
        """A new command in place of the one before."""
        with self._lock:
            if self._closed:
                raise MachineError("the job was ended")
            before, self._command = self._command, _Command(self._tell)
            command = self._command
        if before is not None:
            before.close()
        return command

    def forget_ended(self) -> None:
        """Let the system forget a command that has ended by itself. Nobody is waited for."""
        if not self._lock.acquire(blocking=False):
            return  # somebody else comes again
        try:
            command = self._command
            if command is None or not command.has_ended():
                return
            self._command = None
        finally:
            self._lock.release()
        command.close()

    def close(self) -> None:
        """End the command and all its processes, whatever they do, also one that is being started. It is for good."""
        with self._lock:
            self._closed = True
            command, self._command = self._command, None
        if command is not None:
            command.close()


class _Command:
    """One run of the command."""

    def __init__(self, tell: Callable[[str, int, str], None]) -> None:
        self._asking = threading.Lock()  # held while a process starts
        self._closing = threading.Lock()  # held for a moment
        self._control, theirs = socket.socketpair()
        with theirs, open_log(tell) as log:
            environment = few_variables()
            protect_children(environment)
            numbers = (theirs.fileno(), log.fileno())
            self._process = subprocess.Popen(  # noqa: S603  (this Python, with a module of its own)
                [sys.executable, "-P", "-m", "stillframe.task_server", *map(str, numbers)],
                env=environment,
                pass_fds=numbers,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,  # Ctrl-C at a terminal is for whoever started it
            )

    def start_process(self, connection: socket.socket, seconds: float) -> int:
        """The number of a new process, to which the other end of a socket leads; it may take some seconds.

        Raises:
            EOFError: if the command has ended.
            TimeoutError: if it does not answer.
            OSError: if it has ended, or has no process to give.
        """
        with self._asking:
            if self._control.fileno() < 0:
                raise EOFError
            self._control.settimeout(seconds)
            socket.send_fds(self._control, [_REQUEST.pack(_START, 0)], [connection.fileno()])
            reply = self._control.recv(_REPLY.size, socket.MSG_WAITALL)
        if len(reply) < _REPLY.size:
            raise EOFError
        (answer,) = _REPLY.unpack(reply)
        if answer < 0:
            raise OSError(-answer, os.strerror(-answer))
        return int(answer)

    def end_process(self, number: int) -> None:
        """Have a process ended, whatever it does. Nobody waits for that: the command may hang, or load libraries."""
        with self._closing, suppress(OSError):  # it has ended, and took its processes along
            if self._control.fileno() >= 0 and is_told(self._control, select.POLLOUT):  # there is room
                self._control.send(_REQUEST.pack(_END, number))

    def has_ended(self) -> bool:
        return self._process.poll() is not None

    def close(self) -> None:
        """End it, whatever it does. Whoever waits for a process learns of that."""
        with self._closing, suppress(OSError):
            self._control.shutdown(socket.SHUT_RDWR)
        try:
            self._process.wait(_LEAVE_SECONDS)
        except subprocess.TimeoutExpired:  # it loads libraries still, or hangs; its processes end with it
            self._process.kill()
            self._process.wait()
        with self._asking, self._closing:  # whoever asked knows that it has ended
            self._control.close()


class _Children:
    """The processes that were forked and have not been seen to end.

    They are counted from 1: the system gives the id of one that has ended to another.
    """

    def __init__(self, control: socket.socket, log: Connection) -> None:
        self._control = control
        self._log = log
        self._server = os.getpid()
        self._count = 0
        self._ids: dict[int, int] = {}  # by their numbers; ours to signal until they were waited for

    def __len__(self) -> int:
        return len(self._ids)

    def start(self, descriptor: int) -> int:
        """Fork one; see `_REPLY`."""
        with socket.socket(fileno=descriptor) as channel:
            try:
                process = os.fork()
            except OSError as error:
                return -(error.errno or 1)
            if process == 0:
                self._be_process(channel)
        self._count += 1
        self._ids[self._count] = process
        return self._count

    def _be_process(self, channel: socket.socket) -> NoReturn:
        try:
            self._control.close()
            _end_with_parent(self._server)
            do_tasks(channel, self._log)
        finally:
            os._exit(1)

    def end(self, number: int) -> None:
        """End a process, unless it has ended. Nobody waits for that: it may hang at a disk."""
        if number in self._ids:
            os.kill(self._ids[number], signal.SIGKILL)

    def end_all(self) -> None:
        """End all processes, and see them end."""
        for process in self._ids.values():
            os.kill(process, signal.SIGKILL)
        for process in self._ids.values():
            os.waitpid(process, 0)

    def forget_ended(self) -> None:
        """Let the system forget those that have ended."""
        for number, process in list(self._ids.items()):
            if os.waitpid(process, os.WNOHANG)[0]:
                del self._ids[number]


def _end_with_parent(parent: int) -> None:
    """Have the system end this process once the one that forked it is gone, also while native code lets no thread run.

    Linux does so (prctl(2)) when the parent's thread ends that forked; the command has one. On other systems a process
    ends as soon as Python's threads run (`do_tasks`).
    """
    prctl = getattr(ctypes.CDLL(None), "prctl", None)
    if prctl is not None:
        prctl.argtypes = (ctypes.c_int, *(4 * [ctypes.c_ulong]))
        prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:  # it went before
        os._exit(1)


def main() -> NoReturn:
    """Start processes until nobody asks for any."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # inherited as ignored, it would leave no child to wait for
    control, log = socket.socket(fileno=int(sys.argv[1])), Connection(int(sys.argv[2]), readable=False)
    for name in PRELOADED:
        with suppress(Exception):  # each process tries again, and tells
            import_module(name)
    children = _Children(control, log)
    used = time.monotonic()
    try:
        while children or time.monotonic() - used < IDLE_SECONDS:
            if select.select([control], [], [], _LOOK_SECONDS)[0]:
                request, descriptors, _, _ = socket.recv_fds(control, _REQUEST.size, 1)
                if len(request) < _REQUEST.size:
                    break
                what, number = _REQUEST.unpack(request)
                if what == _START:
                    control.sendall(_REPLY.pack(children.start(*descriptors)))
                else:
                    children.end(number)
            children.forget_ended()
            if children:
                used = time.monotonic()
    finally:
        children.end_all()
        os._exit(0)


if __name__ == "__main__":
    main()
