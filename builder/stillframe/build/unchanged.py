"""Which instances of a series are published from the inputs that the job has: no worker is needed for these.

What costs most comes last: first a look at the lists, then at the instance's metadata, then at the input.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from functools import cache
from typing import Final

from stillframe.archive.holdings import (
    Contents,
    HeldInstance,
    held_in_series,
    read_contents,
    read_metadata,
    with_thumbnail,
)
from stillframe.archive.record import Record
from stillframe.archive.roots import Roots
from stillframe.archive.stored_series import StudyListing
from stillframe.build.decide import Asked, Decision, decide, published_record
from stillframe.build.plan import SeriesPlan
from stillframe.build.request import BuildRequest
from stillframe.dicom.uids import InstanceUIDs
from stillframe.digests import algorithm_of
from stillframe.parallel import side_by_side
from stillframe.source.inputs import InputRef
from stillframe.source.open import source_digest
from stillframe.store.base import Store
from stillframe.store.s3_client import PARALLEL

MANY_SERIES: Final = 8
"""Series of one study that are worth one listing of it all."""


class UnchangedCheck:
    """Compares what is published of a job's series with its inputs. For any thread."""

    def __init__(self, request: BuildRequest, roots: Roots) -> None:
        self._request = request
        self._roots = roots
        self._listing: StudyListing | None = None
        self._lock = threading.Lock()

    def find(
        self, plan: SeriesPlan, listed: Mapping[str, Record | None], *, at_once: int | None = None
    ) -> tuple[frozenset[str], frozenset[str]]:
        """The instances whose first input is what they were published from, and those that have a thumbnail.

        Args:
            plan: of the series.
            listed: what its lists say of each instance, by SOP Instance UID.
            at_once: how many instances are looked at side by side; if None, as many as the store and the job take.

        Raises:
            StoreError: if a store fails.
        """
        if not any(listed.values()):
            return frozenset(), frozenset()
        store = self._roots.of(plan.study)
        held = self._held(plan, store)
        far = max(store.parallel, PARALLEL if self._request.far_sources else 1)

        def check(instance: str) -> bool:
            uids, source = InstanceUIDs(plan.study, plan.series, instance), plan.instances[instance][0].source
            return self._is_unchanged(store, uids, source, listed.get(instance), held.get(instance, HeldInstance()))

        results = side_by_side(at_once or max(self._request.workers_here, far), check, plan.instances)
        unchanged = (instance for instance, same in zip(plan.instances, results, strict=True) if same)
        return frozenset(unchanged), with_thumbnail(held)

    def _held(self, plan: SeriesPlan, store: Store) -> Mapping[str, HeldInstance]:
        """What the store holds of each instance of a series; many series of a study are listed together."""
        if store.parallel <= 1 or plan.in_study < MANY_SERIES:
            return held_in_series(store, plan.study, plan.series)
        with self._lock:
            if self._listing is None or self._listing.study != plan.study:  # studies come one after the other
                self._listing = StudyListing(store, plan.study)
            listing = self._listing
        return listing.held(plan.series)

    def _is_unchanged(
        self, store: Store, uids: InstanceUIDs, source: InputRef, listed: Record | None, held: HeldInstance
    ) -> bool:
        """Whether an instance is published as it is listed, and from the bytes of its input."""
        if listed is None:
            return False
        request = self._request
        asked = Asked(listed.digest, request.options, request.replace, verify=request.verify_stored)

        @cache
        def contents() -> Contents:
            return read_contents(store, uids, listed)

        def is_kept(published: Record | None) -> bool:
            return decide(asked, published, listed, lambda: held, contents) is Decision.UNCHANGED

        return (
            is_kept(listed)
            and is_kept(published_record(read_metadata(store, uids)))
            and source_digest(source, algorithm_of(listed.digest)) == listed.digest
        )
