"""Whether an input is published already, as it would be published now."""

from __future__ import annotations

from builder.errors import InputError
from builder.holdings import read_metadata
from builder.inputs import InputRef
from builder.open import digest_of, open_to_end
from builder.options import BuildOptions
from builder.record import Holding, Record, describe_options, record_of
from builder.store import Store
from builder.uids import InstanceUIDs


def is_intact(held: Holding, record: Record, options: BuildOptions) -> bool:
    """Whether a store holds what was published under the same options, to the number of objects and bytes."""
    return record.options == describe_options(options) and held == record.promised


def is_unchanged(
    store: Store, uids: InstanceUIDs, source: InputRef, options: BuildOptions, listed: Record, held: Holding
) -> bool:
    """Whether an input is published already, from the same bytes and under the same options, and listed as such.

    `held` is what the store holds of the instance.
    """
    if not is_intact(held, listed, options):
        return False
    metadata = read_metadata(store, uids)
    if metadata is None or record_of(metadata) != listed:
        return False
    try:
        with open_to_end(source) as file:
            return listed.digest == digest_of(file)
    except (InputError, OSError):
        return False  # whoever builds it will say what is wrong
