"""Where things lie that tests read."""

from __future__ import annotations

from pathlib import Path
from typing import Final

REPOSITORY: Final = Path(__file__).resolve().parents[2]
SHARED_DATA: Final = REPOSITORY.parent / "shared" / "data"
"""Larger real studies; this folder may be missing."""
