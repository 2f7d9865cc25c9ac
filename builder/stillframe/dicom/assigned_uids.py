"""UIDs in place of values that are none: they follow from the old ones, so that every job makes the same of them.

PS3.5 B.2: `2.25.` and the number that a UUID is. Needs no DICOM library, since planning groups inputs by them.
"""

from __future__ import annotations

import uuid
from typing import Final

from stillframe.dicom.uids import is_uid

_OF_VALUES: Final = uuid.UUID("6f3d9c5e-2b0a-5c1e-9a47-0d6f3a5b8e21")
_OF_CONTENT: Final = uuid.UUID("b8a1f0c4-7e52-5d3b-8c19-4f2e6d7a9b30")


def assigned_uid(value: str) -> str:
    """The UID that stands for a value: itself if it is one, or if it is empty."""
    return value if not value or is_uid(value) else _uid(_OF_VALUES, value)


def uid_of_content(digest: str) -> str:
    """The UID of an instance that has none, from the digest of its file."""
    return _uid(_OF_CONTENT, digest)


def _uid(namespace: uuid.UUID, name: str) -> str:
    return f"2.25.{uuid.uuid5(namespace, name).int}"
