"""What starts the processes that do tasks beside somebody else's process: a command, from which they are forked.

It loads the libraries once for all of them, as the fork server of a local job does: each takes a second of a core and
tens of megabytes otherwise. It ends with whoever started it, its processes with it, and when it has had none for a
while.
"""

from __future__ import annotations

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
from importlib import import_module
from multiprocessing.connection import Connection
from typing import Final, NoReturn

from stillframe.process_start import protect_children, starting
from stillframe.task_process import IDLE_SECONDS, TaskProcess, do_tasks
from stillframe.worker_process import PRELOADED, few_variables, open_log

_START, _END = 0, 1
# What is asked of which process, and the answer: a process id, or the number of an error below 0.
_REQUEST: Final = struct.Struct("<Bq")
_REPLY: Final = struct.Struct("<q")
# How often the command looks whether processes have ended by themselves.
_LOOK_SECONDS: Final = 5.0
# How long it may take to end before it is ended.
_LEAVE_SECONDS: Final = 1.0


class TaskServer:
    """The command, as whoever uses it sees it: started when it is first needed, and again after it has ended."""

    def __init__(self, tell: Callable[[str, int, str], None]) -> None:
        """`tell` gets the logger's name, the level and the text of what the processes log."""
        self._tell = tell
        self._lock = threading.Lock()
        self._command: _Command | None = None

    def start_process(self) -> TaskProcess:
        """A process for one task after the other.

        Raises:
            MachineError: if none can be started.
        """
        ours, theirs = socket.socketpair()
        with theirs, starting(), self._lock:
            try:
                command, number = self._start(theirs)
            except BaseException:
                ours.close()
                raise
        return TaskProcess(ours, lambda: self._end(command, number))

    def _start(self, theirs: socket.socket) -> tuple[_Command, int]:
        """The command, and the number of the process that it started."""
        if self._command is not None:
            with suppress(EOFError, ConnectionError):  # it had nothing to do for long, or was killed
                return self._command, self._command.ask(_START, 0, theirs)
            self._command.close()
        self._command = _Command(self._tell)
        return self._command, self._command.ask(_START, 0, theirs)

    def _end(self, command: _Command, number: int) -> None:
        """End a process of a command, whatever it does."""
        with self._lock, suppress(OSError, EOFError):  # it took its processes along
            command.ask(_END, number)

    def forget_ended(self) -> None:
        """Let the system forget a command that has ended by itself."""
        with self._lock:
            if self._command is not None and self._command.has_ended():
                self._command.close()
                self._command = None

    def close(self) -> None:
        """End the command and all its processes, whatever they do."""
        with self._lock:
            if self._command is not None:
                self._command.close()
                self._command = None


class _Command:
    """One run of the command."""

    def __init__(self, tell: Callable[[str, int, str], None]) -> None:
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

    def ask(self, what: int, number: int, connection: socket.socket | None = None) -> int:
        """The answer to a request.

        Raises:
            EOFError: if the command has ended.
            OSError: the same, or if it cannot do it.
        """
        descriptors = [] if connection is None else [connection.fileno()]
        socket.send_fds(self._control, [_REQUEST.pack(what, number)], descriptors)
        reply = self._control.recv(_REPLY.size, socket.MSG_WAITALL)
        if len(reply) < _REPLY.size:
            raise EOFError
        (answer,) = _REPLY.unpack(reply)
        if answer < 0:
            raise OSError(-answer, os.strerror(-answer))
        return int(answer)

    def has_ended(self) -> bool:
        return self._process.poll() is not None

    def close(self) -> None:
        with suppress(OSError):
            self._control.shutdown(socket.SHUT_RDWR)
        try:
            self._process.wait(_LEAVE_SECONDS)
        except subprocess.TimeoutExpired:  # it loads libraries still: there are no processes yet
            self._process.kill()
            self._process.wait()
        self._control.close()


class _Children:
    """The processes that were forked and have not been seen to end."""

    def __init__(self, control: socket.socket, log: Connection) -> None:
        self._control = control
        self._log = log
        self._numbers: set[int] = set()

    def __len__(self) -> int:
        return len(self._numbers)

    def answer(self, what: int, number: int, descriptors: list[int]) -> int:
        """Do what is asked; see `_REPLY`."""
        if what == _END:
            self.end(number)
            return 0
        (descriptor,) = descriptors
        with socket.socket(fileno=descriptor) as channel:
            try:
                number = os.fork()
            except OSError as error:
                return -(error.errno or 1)
            if number == 0:
                self._be_process(channel)
        self._numbers.add(number)
        return number

    def _be_process(self, channel: socket.socket) -> NoReturn:
        try:
            self._control.close()
            do_tasks(channel, self._log)
        finally:
            os._exit(1)

    def end(self, number: int) -> None:
        """End a process, unless it has ended."""
        if number in self._numbers:
            os.kill(number, signal.SIGKILL)
            os.waitpid(number, 0)
            self._numbers.discard(number)

    def end_all(self) -> None:
        for number in list(self._numbers):
            self.end(number)

    def forget_ended(self) -> None:
        """Let the system forget those that have ended by themselves; until then nobody else gets their numbers."""
        for number in list(self._numbers):
            if os.waitpid(number, os.WNOHANG)[0]:
                self._numbers.discard(number)


def main() -> NoReturn:
    """Start processes until nobody asks for any."""
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
                control.sendall(_REPLY.pack(children.answer(what, number, descriptors)))
            children.forget_ended()
            if children:
                used = time.monotonic()
    finally:
        children.end_all()
        os._exit(0)


if __name__ == "__main__":
    main()
