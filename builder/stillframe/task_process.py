"""One worker process beside a process of somebody else's: it runs the tasks it is sent.

A worker of a cluster has threads from the start, keeps its secrets in its environment, and may be allowed no children
by `multiprocessing`. So it has its tasks done by processes that a command of its own starts (`task_server`), which
prepare themselves as the workers of a local job do (`worker_process`). The two speak through a pair of sockets. A
process ends with whoever had it started, and when it has been idle for a while.
"""

from __future__ import annotations

import math
import os
import pickle
import select
import socket
import struct
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from multiprocessing.connection import Connection
from typing import Any, Final, NoReturn

from stillframe.worker_process import prepare_worker, run_task

RESULT, FAILURE, NO_ROOM = b"r", b"f", b"m"
"""What an answer begins with: a pickled result, a pickled exception, or word that there was no memory for the task."""

_LENGTH: Final = struct.Struct("<Q")
IDLE_SECONDS: Final = 60.0
"""How long a process waits for a task before it ends."""

# Whoever finds a process that was idle for longer starts another one: this one may be about to end.
_FRESH_SECONDS: Final = 30.0


def pack_task(fn: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any], folder: str) -> bytes:
    """A task as it is sent; `folder` is what its relative paths start from."""
    return pickle.dumps((folder, fn, args, dict(kwargs)), protocol=5)


def unpack_answer(answer: bytes) -> Any:
    """The result of a task.

    Raises:
        Exception: the one that the task raised.
    """
    value = pickle.loads(answer[1:])  # noqa: S301  (from a worker of this job)
    if answer[:1] == FAILURE:
        raise value
    return value


def pack_failure(error: BaseException) -> bytes:
    """An exception as the answer to a task."""
    try:
        return FAILURE + pickle.dumps(error, protocol=5)
    except Exception:
        return FAILURE + pickle.dumps(RuntimeError(f"{type(error).__name__}: {error}"), protocol=5)


class TaskProcess:
    """The process, as whoever has it started (`task_server`) sees it. It does one task at a time."""

    def __init__(self, connection: socket.socket, kill: Callable[[], None]) -> None:
        """`connection` leads to it, `kill` ends it, whatever it does."""
        self._socket = connection
        self._kill = kill
        self._used = time.monotonic()

    def run(self, task: bytes) -> bytes:
        """Have it do a task (`pack_task`); the answer.

        Raises:
            OSError: if it ends before it has answered.
            EOFError: the same.
        """
        try:
            _send(self._socket, pickle.dumps((dict(os.environ), task), protocol=5))
            answer = _receive(self._socket)
        except (OSError, EOFError):
            self._used = -math.inf  # its end may take a moment, and nobody may come in between
            raise
        self._used = time.monotonic()
        return answer

    def is_fresh(self) -> bool:
        """Whether it may be given a task still."""
        return time.monotonic() - self._used < _FRESH_SECONDS and not is_told(self._socket)

    def end(self) -> None:
        """End it, whatever it does. Whoever waits for its answer learns of that."""
        self._kill()
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """End it and let go of the socket."""
        self.end()
        self._socket.close()


def _send(channel: socket.socket, data: bytes) -> None:
    channel.sendall(_LENGTH.pack(len(data)))
    channel.sendall(data)


def _receive(channel: socket.socket) -> bytes:
    (length,) = _LENGTH.unpack(_receive_exactly(channel, _LENGTH.size))
    return bytes(_receive_exactly(channel, length))


def _receive_exactly(channel: socket.socket, length: int) -> bytearray:
    data = bytearray(length)
    rest = memoryview(data)
    while rest:
        count = channel.recv_into(rest)
        if not count:
            raise EOFError
        rest = rest[count:]
    return data


def _carry_out(request: bytes) -> bytes:
    """The answer to a task. It is unpickled here alone: whoever relays it needs none of its libraries."""
    try:
        environment, task = pickle.loads(request)  # noqa: S301  (from the process that started this one)
        folder, fn, args, kwargs = pickle.loads(task)  # noqa: S301  (the same)
        with suppress(OSError):  # where it is not there, relative paths lead nowhere, and the task says so
            os.chdir(folder)
        return RESULT + pickle.dumps(run_task(environment, fn, *args, **kwargs), protocol=5)
    except MemoryError:
        return NO_ROOM
    except Exception as error:
        return pack_failure(error)


def is_told(channel: socket.socket, events: int = 0, milliseconds: int | None = 0) -> bool:
    """Whether a socket tells of some events, or of a closed other end, within a time; without one it is waited for."""
    poller = select.poll()
    poller.register(channel, events)
    return bool(poller.poll(milliseconds))


def _exit_with(channel: socket.socket) -> None:
    """End this process when the other end of the socket is closed: a task may be long."""
    is_told(channel, milliseconds=None)
    os._exit(1)


def do_tasks(channel: socket.socket, log: Connection) -> NoReturn:
    """In the process, which has one thread: do tasks until nobody sends any."""
    prepare_worker(log)
    threading.Thread(target=_exit_with, args=(channel,), daemon=True).start()
    with suppress(OSError, EOFError):
        while select.select([channel], [], [], IDLE_SECONDS)[0]:
            _send(channel, _carry_out(_receive(channel)))
    os._exit(0)
