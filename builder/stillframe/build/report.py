"""What a build did: counts for the summary, and every input a person should look at. Carries no patient names."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from stillframe import __version__
from stillframe.build.results import Built, Outcome
from stillframe.dicom.uids import InstanceUIDs
from stillframe.source.inputs import Rejected, Skipped


@dataclass(frozen=True, slots=True)
class Unfinished:
    """What a job left undone: inputs that are not published, and instances that are, but in no list yet."""

    missing: tuple[str, ...] = ()
    unlisted: tuple[InstanceUIDs, ...] = ()


@dataclass(slots=True, kw_only=True)
class Report:
    """Filled in while a build runs. `stages` are CPU seconds, `seconds` is elapsed time.

    `failure` says why the job ended early, `unfinished` what that left undone. `changed` are keys of objects that
    caches may hold as they were before; `roots` are the studies' own service roots, where they have such.
    """

    outcomes: Counter[Outcome] = field(default_factory=Counter)
    rejected: list[Rejected] = field(default_factory=list)
    duplicates: list[Built] = field(default_factory=list)
    noted: list[Built] = field(default_factory=list)
    studies: set[str] = field(default_factory=set)
    series: set[tuple[str, str]] = field(default_factory=set)
    skipped: list[Skipped] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)
    roots: dict[str, str] = field(default_factory=dict)
    failure: str = ""
    unfinished: Unfinished = Unfinished()
    frames: int = 0
    bytes_read: int = 0
    bytes_written: int = 0
    seconds: float = 0.0
    stages: defaultdict[str, float] = field(default_factory=lambda: defaultdict(float))

    def add(self, result: Built | Rejected) -> None:
        """Count one input's result."""
        if isinstance(result, Rejected):
            self.rejected.append(result)
            return
        self.outcomes[result.outcome] += 1
        self.studies.add(result.uids.study)
        self.series.add((result.uids.study, result.uids.series))
        self.frames += result.frames
        self.bytes_read += result.bytes_read
        self.bytes_written += result.bytes_written
        self.changed += result.changed
        for stage, seconds in result.times.items():
            self.stages[stage] += seconds
        if result.outcome is Outcome.DUPLICATE:
            self.duplicates.append(replace(result, metadata={}, rows=()))
        elif result.notes:
            self.noted.append(replace(result, metadata={}, rows=()))

    @property
    def exit_code(self) -> int:
        """0 if everything is published, 2 if some inputs were rejected, 1 if the job could not finish."""
        return 1 if self.failure else 2 if self.rejected else 0

    def as_json(self) -> dict[str, Any]:
        """The report as it is written to a file; `docs/reference/report.md` describes it."""
        return {
            "version": 1,
            "stillframe": __version__,
            "summary": {
                **{str(outcome): self.outcomes[outcome] for outcome in Outcome},
                "rejected": len(self.rejected),
                "passedOver": len(self.skipped),
                "studies": len(self.studies),
                "series": len(self.series),
                "frames": self.frames,
                "bytesRead": self.bytes_read,
                "bytesWritten": self.bytes_written,
                "seconds": round(self.seconds, 3),
                "cpuSeconds": {stage: round(seconds, 3) for stage, seconds in sorted(self.stages.items())},
            },
            "studies": sorted(self.studies),
            **({"roots": dict(sorted(self.roots.items()))} if self.roots else {}),
            **({"failure": self._failure()} if self.failure else {}),
            "changed": sorted(set(self.changed)),
            "rejected": [
                asdict(rejected) for rejected in sorted(self.rejected, key=lambda file: (file.path, file.reason))
            ],
            "passedOver": [
                {"path": file.path, "reason": file.reason} for file in sorted(self.skipped, key=lambda file: file.path)
            ],
            "duplicates": _entries(self.duplicates),
            "notes": _entries(self.noted),
        }

    def _failure(self) -> dict[str, Any]:
        unlisted = [asdict(uids) for uids in self.unfinished.unlisted]
        return {"reason": self.failure, "notPublished": list(self.unfinished.missing), "notListed": unlisted}


def _entries(results: list[Built]) -> list[dict[str, Any]]:
    return [
        {
            "path": str(result.source),
            "outcome": str(result.outcome),
            "notes": list(result.notes),
            **asdict(result.uids),
        }
        for result in sorted(results, key=lambda result: str(result.source))
    ]
