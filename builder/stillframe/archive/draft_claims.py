"""The right to write a new instance, where the store has drafts (`store.drafts`): whoever makes its draft has it.

No document of a claim is written then. What `claims` says of waiting holds: whoever finds that another job makes a
draft waits until it is committed or given up, or its holder shows no life for as long as a claim stands.
"""

from __future__ import annotations

import threading
import time
from contextlib import suppress
from typing import Self

from stillframe.archive.claims import LEASE_SECONDS, RENEWED_AT, CommitState, Lease, leases, settled_state
from stillframe.archive.holdings import held_objects
from stillframe.dicom.uids import InstanceUIDs
from stillframe.errors import ClaimLost
from stillframe.layout import instance_key, metadata_key
from stillframe.store.base import Draft, Store


class DraftLease:
    """The claim of whoever makes a `draft`. Its context renews it, and at its end removes what was not committed."""

    def __init__(self, draft: Draft, uids: InstanceUIDs, seconds: float) -> None:
        self.draft = draft
        self._metadata = metadata_key(uids.study, uids.series, uids.instance)
        self._renew = RENEWED_AT * seconds
        self._renewed = time.monotonic()
        self._lock = threading.Lock()
        self._held = True
        leases().add(self)

    def check(self) -> None:
        """See `claims.Lease`. Nothing that is written into a draft can be in another job's way."""

    def renew_if_due(self) -> None:
        """See `claims.Lease`."""
        with self._lock:
            if self._held and time.monotonic() - self._renewed >= self._renew:
                self.draft.renew()
                self._renewed = time.monotonic()

    def commit(self, document: bytes) -> None:
        """Put the instance in its place, with its finished metadata.

        Raises:
            ClaimLost: if another job took over.
        """
        self.draft.put(self._metadata, document)
        self.draft.commit()

    def give_up(self) -> None:
        """See `claims.Lease`: nothing of a draft remains."""

    def remove(self) -> None:
        """See `claims.Lease`: nothing of a draft remains."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Stop renewing, and remove what was not committed."""
        leases().discard(self)
        with self._lock:
            self._held = False
            self.draft.close()


def claim_instance(store: Store, uids: InstanceUIDs, state: CommitState, seconds: float) -> Lease | DraftLease:
    """The claim to an instance in this state: of a new one, where the store has drafts, that of its draft.

    Raises:
        ClaimLost: if the state is another by now.
    """
    if state.etag is None and (draft := store.draft(instance_key(uids), state.drafted)) is not None:
        return DraftLease(draft, uids, seconds)
    return Lease(store, uids, state, seconds)


def discard_instance(store: Store, uids: InstanceUIDs) -> None:
    """Remove what a dead worker left of an instance, unless its metadata had been published before."""
    state = settled_state(store, uids)
    if state.metadata is not None or not (state.etag is None or state.abandoned):
        return
    with suppress(ClaimLost), claim_instance(store, uids, state, LEASE_SECONDS) as lease:
        store.delete_many(list(held_objects(store, uids)))
        lease.remove()
