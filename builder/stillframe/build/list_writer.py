"""When lists are written: each as soon as all that it names is there, the list of studies last.

Where the store is far away, or a disk is waited for, the lists of several series are written side by side; those of one
study after all of its series.
"""

from __future__ import annotations

import math
import threading
import time
from collections import defaultdict
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import AbstractContextManager, closing, nullcontext
from dataclasses import replace
from typing import Final

from stillframe.archive.drawing import Drawer
from stillframe.archive.in_step import is_in_step
from stillframe.archive.list_thumbnails import update_series_thumbnails, update_study_thumbnail
from stillframe.archive.lists import publish_series, publish_studies, publish_study
from stillframe.archive.new_instances import NewInstances
from stillframe.archive.roots import Roots
from stillframe.build.plan import SeriesPlan
from stillframe.build.request import BuildRequest
from stillframe.stopping import is_stop_held_up
from stillframe.store.counted import CountedStore

_THREADS: Final = 8
# Series that wait for their lists.
_MOST_WAITING: Final = 2 * _THREADS
# How often whoever waits for one of them looks whether the job is to stop.
_LOOK_SECONDS: Final = 0.5
# Lists of more instances are written one after the other: each takes some times the bytes of its document.
_MOST_AT_ONCE: Final = 1000


class ListWriter:
    """Writes the lists of a job, and the thumbnails that belong to them. `draw` draws what is missing.

    It does so through `roots`. Who reads lists through the same ones spares it requests.
    """

    def __init__(self, roots: Roots, request: BuildRequest, stages: defaultdict[str, float], draw: Drawer) -> None:
        self.draw = draw
        self._store = CountedStore(roots.store)
        self.roots = replace(roots, store=self._store)
        self._base_url = request.options.base_url
        self._stages = stages
        self._left: dict[str, int] = {}  # series of a study that are not closed
        self._instances: dict[str, int] = defaultdict(int)  # of those that are, by study
        self._touched: dict[str, list[str]] = {}
        waits = roots.store.parallel > 1 or roots.store.durable or draw.apart
        self._threads = ThreadPoolExecutor(_THREADS) if waits else None
        self._pending: set[Future[None]] = set()
        self._lock = threading.Lock()
        self._large = threading.Lock()
        self._listed: list[SeriesPlan] = []
        self._hurries = False

    def close_series(self, plan: SeriesPlan, built: NewInstances, thumbnails: frozenset[str] | None) -> None:
        """All instances of a series are settled.

        Args:
            plan: of the series.
            built: those of its instances that its lists do not know yet.
            thumbnails: the instances that had a thumbnail before; None if the series was in no list.

        Raises:
            StoreError: if the store fails, perhaps with lists of a series before.
        """
        if self._threads is None:
            self._write(plan, built, thumbnails)
            return
        while len(self._pending) >= _MOST_WAITING and not (self._hurries or is_stop_held_up()):
            self._take(wait(self._pending, _LOOK_SECONDS, FIRST_COMPLETED).done)
        self._pending.add(self._threads.submit(self._write, plan, built, thumbnails))

    @property
    def bytes_written(self) -> int:
        """Of all documents and thumbnails up to now."""
        return self._store.written

    def take_listed(self) -> list[SeriesPlan]:
        """The series whose own lists were written since this was asked last."""
        with self._lock:
            listed, self._listed = self._listed, []
        return listed

    def _take(self, done: set[Future[None]]) -> None:
        self._pending -= done
        for future in done:
            future.result()

    def _write(self, plan: SeriesPlan, built: NewInstances, thumbnails: frozenset[str] | None) -> None:
        started = time.thread_time()
        concerned = bool(built) or thumbnails is not None
        store, base_url = self.roots.of(plan.study), self.roots.base_url(plan.study, self._base_url)
        if concerned:
            store.sync()  # of what the lists will name
            with self._room(len(plan.instances)), closing(built):
                before = thumbnails or frozenset[str]()
                if built or not is_in_step(store, plan.study, plan.series, before, base_url):
                    known = publish_series(store, plan.study, plan.series, built, base_url)
                    update_series_thumbnails(store, plan.study, plan.series, known | before, self.draw)
        with self._lock:
            if concerned:
                self._touched.setdefault(plan.study, []).append(plan.series)
            self._listed.append(plan)
            self._instances[plan.study] += len(plan.instances)
            left = self._left[plan.study] = self._left.get(plan.study, plan.in_study) - 1
            last, touched, instances = not left, self._touched.get(plan.study), self._instances[plan.study]
            if last:
                del self._left[plan.study], self._instances[plan.study]
        if last and touched:
            with self._room(instances):
                publish_study(store, plan.study, touched, base_url)
                update_study_thumbnail(store, plan.study, self.draw)
        with self._lock:
            self._stages["lists"] += time.thread_time() - started

    def _room(self, instances: int) -> AbstractContextManager[object]:
        """Where lists of so many instances may be written."""
        return self._large if instances > _MOST_AT_ONCE else nullcontext()

    def finish(self) -> None:
        """Wait for the lists under way, then write the list of studies.

        Raises:
            StoreError: if the store fails.
        """
        while self._pending:
            self._take(wait(self._pending, return_when=FIRST_COMPLETED).done)
        self.stop()
        started = time.thread_time()
        for store, studies in self.roots.grouped(self._touched):
            publish_studies(store, studies, self.roots.base_url(studies[0], self._base_url) if studies else "")
        self.roots.store.sync()
        self._stages["lists"] += time.thread_time() - started

    def hurry(self) -> None:
        """The job is ending: from now on nobody waits until lists of an earlier series are written."""
        self._hurries = True

    def stop(self, seconds: float = math.inf) -> None:
        """Begin no more lists, and wait for those under way. What they have drawn has so many seconds: a cluster
        without workers is waited for much longer.
        """
        if self._threads is None:
            return
        self._threads.shutdown(wait=False, cancel_futures=True)
        if seconds < math.inf:
            wait([future for future in self._pending if not future.cancelled()], seconds)
            self.draw.give_up()
        self._threads.shutdown()
