"""Who is told how far a job is."""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """Who is told how far a job is."""

    def stage(self, name: str, total: int) -> None:
        """A stage of `total` steps begins."""

    def step(self, count: int = 1) -> None:
        """Some steps of the stage are done."""

    def reject(self, reason: str) -> None:
        """An input is rejected, for this reason."""

    def inside(self, name: str, done: int, total: int) -> None:
        """So many frames of a large instance are made; its input has this name. Without a `total` none is under way."""
