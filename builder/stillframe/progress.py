"""Who is told how far a job is."""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """Who is told how far a job is."""

    def stage(self, name: str, total: int) -> None:
        """A stage of `total` steps begins."""

    def step(self, count: int = 1) -> None:
        """Some steps of the stage are done."""
