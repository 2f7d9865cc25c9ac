"""ZIP archives made for the tests."""

from __future__ import annotations

import warnings
import zipfile
from collections.abc import Mapping, Sequence
from io import BytesIO


def zip_bytes(members: Mapping[str, bytes] | Sequence[tuple[str, bytes]], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    """An archive of these members; in a sequence of pairs a name may come twice."""
    pairs = members.items() if isinstance(members, Mapping) else members
    file = BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of names that come twice
        for name, data in pairs:
            archive.writestr(name, data)
    return file.getvalue()
