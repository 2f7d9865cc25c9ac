"""Every kind of object that these tests open, in the order of the table."""

from __future__ import annotations

from tests.e2e import colour_kinds, grey_kinds, media_kinds, object_kinds, series_kinds
from tests.e2e.kind import Kind

KINDS: tuple[Kind, ...] = (
    *series_kinds.KINDS,
    *grey_kinds.KINDS,
    *colour_kinds.KINDS,
    *object_kinds.KINDS,
    *media_kinds.KINDS,
)
