"""Who makes the frames of a large instance: the worker that publishes it, and idle ones that come to help.

They find it at a meeting. A member that dies leaves its frames to the worker that publishes them.
"""

from __future__ import annotations

import hmac
import os
import socket
import threading
from collections.abc import Iterator
from contextlib import suppress
from queue import SimpleQueue
from typing import Any, Final, Self

from stillframe.build.channel import Channel, ChannelClosed
from stillframe.build.helper import HandedFrames, HandedWork, MadeFrames
from stillframe.build.meeting import Meeting

_AHEAD: Final = 2
"""Messages with frames that a member has at once: one to work on, one that waits for it."""


class Crew:
    """The members who came to a meeting, which is opened when help is first wanted.

    A meeting that was opened before is not opened again: the worker that did so died, and this attempt is to take place
    in one process.
    """

    def __init__(self, meeting: Meeting | None) -> None:
        self._meeting = meeting
        self._listener: socket.socket | None = None
        self._inbox: SimpleQueue[tuple[Member, Any]] = SimpleQueue()
        self._admitted: list[Member] = []
        self.members: list[Member] = []
        self._rounds = 0

    def open(self) -> bool:
        """Open the meeting, unless it is open; whether it is."""
        if self._listener is None and self._meeting is not None:
            self._listener = _listen_at(self._meeting.path)
            if self._listener is None:
                self._meeting = None
        return self._listener is not None

    def begin_round(self) -> int:
        """A number that tells what members make from now on from what they made before."""
        self._rounds += 1
        return self._rounds

    def answers(self, *, wait: bool) -> Iterator[MadeFrames]:
        """What members made and was not taken yet; with `wait`, the next word of a member is waited for.

        What a member was to make who left has not been made: the answer is empty.
        """
        self._admit()
        while wait or not self._inbox.empty():
            wait = False
            member, answer = self._inbox.get()
            if isinstance(answer, MadeFrames):
                member.under_way.remove((answer.round, answer.number))
                yield answer
            elif answer is Came:
                self.members.append(member)
            else:
                if member in self.members:
                    self.members.remove(member)
                member.close()
                for round_, number in member.under_way:
                    yield MadeFrames(round=round_, number=number, made=(), times={})

    def _admit(self) -> None:
        """Let in who stands before the door; a member is who knows the key."""
        while self._listener is not None and self._meeting is not None:
            try:
                connection, _ = self._listener.accept()
            except OSError:  # nobody
                return
            connection.setblocking(True)
            channel = Channel(connection)
            try:
                self._admitted.append(Member(channel, self._meeting.key, self._inbox))
            except RuntimeError:  # no thread starts any more: frames are made without this member
                channel.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """End the meeting. Members are told, whatever they work on."""
        if self._listener is not None and self._meeting is not None:
            with suppress(FileNotFoundError):  # the job removes its folder when it ends
                os.unlink(self._meeting.path)  # noqa: PTH108
            self._listener.close()
        for member in self._admitted:
            member.close()


class Came:
    """Said of a member who knows the key."""


class Left:
    """Said of a member with whom the connection is broken."""


class Member:
    """A process that helps. Two threads speak with it, so that none of both waits for the other to listen.

    `round` is that of the work that was handed to it last, `under_way` has the rounds and numbers of frames handed.
    """

    def __init__(self, channel: Channel, key: bytes, inbox: SimpleQueue[tuple[Member, Any]]) -> None:
        self._channel = channel
        self._outbox: SimpleQueue[tuple[HandedWork | HandedFrames, int | None] | None] = SimpleQueue()
        self.round = 0
        self.under_way: list[tuple[int, int]] = []
        threading.Thread(target=self._listen, args=(key, inbox), name="frames-in", daemon=True).start()
        threading.Thread(target=self._speak, name="frames-out", daemon=True).start()

    @property
    def busy(self) -> bool:
        """Whether it has enough to do."""
        return len(self.under_way) >= _AHEAD

    def hand_work(self, round_: int, work: HandedWork, descriptor: int | None) -> None:
        """Hand over work, and the open file that its frames are in.

        Raises:
            OSError: if no more files can be opened.
        """
        self._outbox.put((work, None if descriptor is None else os.dup(descriptor)))
        self.round = round_

    def hand_frames(self, frames: HandedFrames) -> None:
        """Have frames made."""
        self.under_way.append((frames.round, frames.number))
        self._outbox.put((frames, None))

    def close(self) -> None:
        """End the connection, with what is under way."""
        self._outbox.put(None)
        self._channel.close()

    def _listen(self, key: bytes, inbox: SimpleQueue[tuple[Member, Any]]) -> None:
        try:
            with suppress(ChannelClosed, MemoryError):
                if hmac.compare_digest(self._channel.receive_bytes(len(key)), key):
                    inbox.put((self, Came))
                    while True:
                        inbox.put((self, self._channel.receive()))
        finally:
            inbox.put((self, Left))  # whatever it was: nobody may wait for this member any more

    def _speak(self) -> None:
        while (message := self._outbox.get()) is not None:
            value, descriptor = message
            try:
                self._channel.send(value, descriptor)
            except (ChannelClosed, MemoryError):
                self._channel.hang_up()  # what it was to hear is lost: `_listen` tells
            finally:
                if descriptor is not None:
                    os.close(descriptor)


def _listen_at(path: str) -> socket.socket | None:
    """A socket with that name, once it listens; None if there is one already, or none can be made."""
    if os.path.lexists(path):
        return None
    listener = socket.socket(socket.AF_UNIX)
    try:
        listener.bind(f"{path}~")
        listener.listen()
        listener.setblocking(False)
        os.rename(f"{path}~", path)  # noqa: PTH104
    except OSError:  # nothing depends on it: frames are made without help
        listener.close()
        return None
    return listener
