"""The right to write one instance, held by one worker of one job at a time, on any store.

A claim is a version of the instance's metadata, its commit record. Before the first object is written, a conditional
write puts a document there that says who writes. A second one puts the finished metadata in its place. So a worker that
lost its claim cannot commit, and a store needs nothing but conditional writes. The holder renews its claim. Whoever
finds another's claim waits until it is committed, given up, or not renewed for `LEASE_SECONDS`. Nobody waits for a
process of the same machine that has ended. No clock is compared with another: a waiter counts how long it saw the same
version.
"""

from __future__ import annotations

import os
import re
import threading
import time
import uuid
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from functools import cache
from hashlib import blake2b
from pathlib import Path
from typing import Final, Protocol, Self

from stillframe.archive.record import claimed, holder_of
from stillframe.dicom.json_model import JSONDataset, dumps, named_uids, parse_datasets
from stillframe.dicom.uids import InstanceUIDs
from stillframe.errors import ClaimLost, PreconditionFailed, StillframeError, StoreError
from stillframe.layout import instance_key, metadata_key
from stillframe.parallel import Watched, made_once
from stillframe.store.base import Store
from stillframe.wait_log import waiting

LEASE_SECONDS: Final = 30.0
"""A claim that stands so long without being renewed belongs to nobody any more."""
RENEWED_AT: Final = 0.2
"""Renewed when it is this part of a lease old; from twice that age on the work waits for the renewal."""
# Writes of one claim that may find that an earlier one of it took place after all.
_TRIES: Final = 5
# The process of a holder: a claim names the attempt, the process (machine, number, start), and its renewals.
_PROCESS: Final = re.compile(r"\S+ (?P<machine>[0-9a-f]+)\.(?P<pid>[0-9]{1,19})\.(?P<started>[0-9]+) [0-9]+")
_PROCESSES: Final = Path("/proc")
_FIRST_LOOK: Final = 0.02
_LAST_LOOK: Final = 1.0
# Of whoever comes back later: what another job has nearly done is done by then.
_PATIENCE: Final = 0.1


@dataclass(frozen=True, slots=True)
class CommitState:
    """An instance's metadata as the store has them, None if it is not published; `etag` is None if nothing is there.

    `abandoned` says that a job began to write the instance and did not end: objects of it may be there. `drafted` is
    the version of a draft whose holder shows no life any more.
    """

    metadata: JSONDataset | None
    etag: str | None
    abandoned: bool = False
    drafted: str = ""


@dataclass(frozen=True, slots=True)
class Watch:
    """A claim that another job holds: the version that was seen, and since when on the clock of `time.monotonic`."""

    etag: str
    since: float


class ClaimHeld(StillframeError):
    """Another job writes an instance, or did until its machine went away: which, time will tell (`watch`)."""

    def __init__(self, watch: Watch) -> None:
        super().__init__("another job writes the instance")
        self.watch = watch


def settled_state(
    store: Store,
    uids: InstanceUIDs,
    lease: float = LEASE_SECONDS,
    watch: Watch | None = None,
    *,
    patient: bool = True,
) -> CommitState:
    """The state of an instance's commit when nobody writes it, or whoever does has died.

    `watch` is what a call before this one saw, if there was one. So whoever has other things to do meanwhile waits for
    the claims of a dead machine all at once, not for one after the other.

    Raises:
        ClaimHeld: unless it is `patient`, soon, if another job may be writing the instance.
    """
    begun, pause = time.monotonic(), _FIRST_LOOK
    with ExitStack() as waits:
        while True:
            held, state, ended = _look(store, uids)
            if not held:
                return state
            now = time.monotonic()
            if watch is None or held != watch.etag:
                watch = Watch(held, now)
            if ended or now - watch.since >= lease:
                return state
            if not patient and now - begun >= _PATIENCE:
                raise ClaimHeld(watch)
            if pause == _FIRST_LOOK:
                waits.enter_context(waiting("another job that writes an instance"))
            time.sleep(pause)
            pause = min(2 * pause, _LAST_LOOK)


def _look(store: Store, uids: InstanceUIDs) -> tuple[str, CommitState, bool]:
    """The version of another job's claim, empty if there is none; the state without it; whether its holder ended."""
    stored = store.get(metadata_key(uids.study, uids.series, uids.instance))
    if stored is None:
        drafted = store.drafted(instance_key(uids))
        return drafted, CommitState(None, None, drafted=drafted), False
    datasets = parse_datasets(stored.data) or []
    known = bool(datasets) and InstanceUIDs(*named_uids(datasets[0])) == uids
    metadata = datasets[0] if known else None
    holder = holder_of(datasets[0]) if datasets else ""
    if not holder:
        # Metadata that are damaged say nothing of the objects beside them.
        return "", CommitState(metadata, stored.etag, abandoned=metadata is None), False
    return stored.etag, CommitState(metadata, stored.etag, abandoned=True), _has_ended(holder)


def retract(store: Store, uids: InstanceUIDs, state: CommitState) -> None:
    """Take back the commit of an instance at one stroke: it is not published any more, its objects are still there.

    Whoever builds it next builds it anew.

    Raises:
        ClaimLost: if the metadata are others by now.
    """
    key = metadata_key(uids.study, uids.series, uids.instance)
    _replace_version(store, key, dumps([claimed(state.metadata or {}, "")]), state.etag)


def _replace_version(
    store: Store, key: str, document: bytes, etag: str | None, is_own: Callable[[bytes], bool] = lambda _: False
) -> str:
    """Put a document in the place of a version, None for nothing; the tag of the new version.

    Where that is refused, a write may have taken place although its answer got lost: this one, or an earlier one, whose
    document `is_own`.

    Raises:
        ClaimLost: if another job's version is there.
    """
    for _ in range(_TRIES):
        try:
            return store.put(key, document, if_match=etag, if_none_match=etag is None).etag
        except PreconditionFailed:
            stored = store.get(key)
            if stored is not None and stored.data == document:
                return stored.etag
            if stored is None or not is_own(stored.data):
                break
            etag = stored.etag
    raise ClaimLost(f"{key} is written by another job")


class Lease:
    """A claim. Its context ends the renewals; what the store then holds tells other jobs whether the work is done."""

    def __init__(self, store: Store, uids: InstanceUIDs, state: CommitState, seconds: float = LEASE_SECONDS) -> None:
        """Take the claim.

        Raises:
            ClaimLost: if the metadata are others by now.
        """
        self._store = store
        self._key = metadata_key(uids.study, uids.series, uids.instance)
        self._before = state.metadata
        self._renew = RENEWED_AT * seconds
        self._lock = threading.Lock()
        self._name = uuid.uuid4().hex  # of this attempt
        self._renewed = 0
        self._etag = state.etag
        self._confirmed = 0.0
        self._held = True
        self._put()
        leases().add(self)

    def _put(self) -> None:
        asked = time.monotonic()
        self._write(dumps([claimed(self._before or {}, f"{self._name} {_this_process()} {self._renewed}")]))
        self._confirmed = asked

    def _write(self, document: bytes) -> None:
        """Put a version of the record in the place of the one before."""
        try:
            self._etag = _replace_version(self._store, self._key, document, self._etag, self._is_own)
        except ClaimLost:
            self._held = False
            raise

    def _is_own(self, document: bytes) -> bool:
        datasets = parse_datasets(document) or []
        return any(holder_of(dataset).partition(" ")[0] == self._name for dataset in datasets)

    def renew(self, older_than: float = 0.0) -> None:
        """Show that the holder lives, if the last sign of it is so many seconds old.

        Raises:
            ClaimLost: if another job took the claim.
        """
        with self._lock:
            if self._held and time.monotonic() - self._confirmed >= older_than:
                self._renewed += 1
                self._put()

    def check(self) -> None:
        """See that the claim is held still, before an object is written.

        Raises:
            ClaimLost: if it is not.
        """
        self.renew(older_than=2 * self._renew)
        if not self._held:
            raise ClaimLost(f"{self._key} is written by another job")

    def renew_if_due(self) -> None:
        """Renew from beside the work. What goes wrong is told by `check`, or by the commit."""
        with suppress(StoreError):
            self.renew(older_than=self._renew)

    def commit(self, document: bytes) -> None:
        """Put the finished metadata in the place of the claim.

        Raises:
            ClaimLost: if another job took it.
        """
        with self._lock:
            if not self._held:
                raise ClaimLost(f"{self._key} is written by another job")
            try:
                self._write(document)
            finally:
                self._held = False

    def give_up(self) -> None:
        """Tell whoever comes next that nobody writes the instance, although it is not whole.

        Raises:
            ClaimLost: if another job took the claim.
        """
        self.check()
        with self._lock:
            self._held = False
            self._write(dumps([claimed(self._before or {}, "")]))

    def remove(self) -> None:
        """Remove the record: nothing of the instance is there any more."""
        self.check()
        with self._lock:
            self._held = False
            self._store.delete(self._key)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Stop renewing."""
        with self._lock:
            self._held = False
        leases().discard(self)


class Renewed(Protocol):
    """What shows that its holder lives."""

    def renew_if_due(self) -> None:
        """Show it, if the last sign is old."""


def _renew(claims: list[Renewed]) -> None:
    for claim in claims:
        claim.renew_if_due()


@made_once
def leases() -> Watched[Renewed]:
    """The claims of this process, renewed by a thread of its own."""
    return Watched("claims", 1.0, _renew)


@cache
def _machine() -> str:
    """A name for the running kernel and the process numbers valid on it; empty where there is none."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        numbers = str(Path("/proc/self/ns/pid").readlink())
    except OSError:
        return ""
    return blake2b(f"{boot} {numbers}".encode(), digest_size=8).hexdigest()


def _started(pid: int) -> str | None:
    """When a process started, in ticks; empty if that cannot be told, None if there is no such process any more.

    A process that /proc does not show may be another user's, hidden (proc(5), hidepid): the kernel is asked for it.
    """
    try:
        fields = (_PROCESSES / f"{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return "" if _is_there(pid) else None
    return None if fields[0] in "ZX" else fields[19]


def _is_there(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        pass  # another user's
    return True


def _this_process() -> str:
    machine = _machine()
    return f"{machine}.{os.getpid()}.{_started(os.getpid())}" if machine else "unknown"


def _has_ended(holder: str) -> bool:
    """Whether the holder was a process of this machine that has ended; a stranger, in other words, may live."""
    process = _PROCESS.fullmatch(holder)
    if not process or process["machine"] != _machine():
        return False
    return _started(int(process["pid"])) not in (process["started"], "")
