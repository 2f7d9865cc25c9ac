"""What a build did: counts for the summary, and every input a person should look at. Carries no patient names."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from stillframe import __version__
from stillframe.build.report_entries import Entries, Group, Kind, Rows
from stillframe.build.results import Built, Outcome
from stillframe.build.shares import Share
from stillframe.dicom.uids import InstanceUIDs
from stillframe.source.inputs import Rejected, Skipped


@dataclass(frozen=True, slots=True)
class Unfinished:
    """What a job left undone: inputs that are not published, and instances that are, but in no list yet."""

    missing: Sequence[str] = ()
    unlisted: Sequence[InstanceUIDs] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Noted:
    """An input of which there is more to say than that it is published, by its path."""

    source: str
    outcome: Outcome
    notes: tuple[str, ...]
    uids: InstanceUIDs


class Report:
    """Filled in while a build runs. `stages` are CPU seconds, `seconds` is elapsed time.

    `share` is the part of the job that is reported, and counts what other shards take. `failure` says why the job ended
    early, `unfinished` what that left undone. `changed` are keys of objects that caches may hold as they were before;
    `roots` are the studies' own service roots, where they have such, `kept_roots` those of an earlier attempt.
    `on_reject` is told why an input is rejected, as it is.

    What there is to tell of single inputs, and of studies, stands in a temporary file. Each of these sequences is read
    from there whenever it is looked at, in the order that the report has.

    Raises:
        MachineError: in whatever takes in or reads such, if the disk of temporary files takes no more.
    """

    def __init__(
        self, *, share: Share | None = None, failure: str = "", on_reject: Callable[[str], None] = lambda _: None
    ) -> None:
        self.share = share or Share()
        self.outcomes: Counter[Outcome] = Counter()
        self.failure = failure
        self.frames = self.bytes_read = self.bytes_written = 0
        self.seconds = 0.0
        self.stages: defaultdict[str, float] = defaultdict(float)
        self.root_of: Callable[[str], str] | None = None
        self.kept_roots: dict[str, str] = {}
        self._on_reject = on_reject
        self._entries = Entries()
        self._rejections = 0

    def add(self, result: Built | Rejected) -> None:
        """Count one input's result."""
        if isinstance(result, Rejected):
            self._reject(result)
            return
        self.outcomes[result.outcome] += 1
        self._entries.add_series(result.uids.study, result.uids.series)
        self.frames += result.frames
        self.bytes_read += result.bytes_read
        self.bytes_written += result.bytes_written
        for key in result.changed:
            self.add_changed(key)
        for stage, seconds in result.times.items():
            self.stages[stage] += seconds
        if result.outcome is Outcome.DUPLICATE or result.notes:
            kind = Kind.DUPLICATE if result.outcome is Outcome.DUPLICATE else Kind.NOTED
            self._entries.add(kind, str(result.source), "", [result.outcome, result.notes, _values(result.uids)])

    def _reject(self, rejected: Rejected) -> None:
        self._rejections += 1
        self._entries.add(
            Kind.REJECTED, rejected.path, rejected.reason, [rejected.study, rejected.series, rejected.instance]
        )
        self._on_reject(rejected.reason)

    def pass_over(self, skipped: Skipped) -> None:
        """Count a file that is no input."""
        self._entries.add(Kind.PASSED_OVER, skipped.path, "", [skipped.reason, skipped.noteworthy])

    def add_changed(self, key: str) -> None:
        """Take down an object that caches may hold as it was before."""
        self._entries.add_changed(key)

    def take_over(self, earlier: Report) -> None:
        """Take over what an earlier attempt at the same job changed, and the roots of its studies."""
        for key in earlier.changed:
            self.add_changed(key)
        self.kept_roots |= earlier.roots

    def add_missing(self, path: str) -> None:
        """Take down an input that the job, which ends early, does not publish."""
        self._entries.add(Kind.MISSING, path)

    def add_unlisted(self, uids: InstanceUIDs) -> None:
        """Take down an instance that the job, which ends early, published and did not list."""
        self._entries.add(Kind.UNLISTED, "", "", _values(uids))

    @property
    def rejected(self) -> Rows[Rejected]:
        """What is not published, and why."""

        def make(path: str, reason: str, uids: list[str]) -> Rejected:
            return Rejected(path=path, reason=reason, study=uids[0], series=uids[1], instance=uids[2])

        return self._entries.of_kind(Kind.REJECTED, make)

    @property
    def reasons(self) -> Iterator[Group]:
        """Why inputs are rejected, the most frequent reason first; of those that differ in numbers and places, one."""
        return self._entries.reasons(Kind.REJECTED)

    @property
    def folders(self) -> Iterator[Group]:
        """Where inputs are that are rejected: folders, archives and manifests, that with the most first."""
        return self._entries.folders(Kind.REJECTED)

    @property
    def skipped(self) -> Rows[Skipped]:
        """What is no input."""
        return self._entries.of_kind(Kind.PASSED_OVER, lambda path, _, rest: Skipped(path, rest[0], noteworthy=rest[1]))

    @property
    def duplicates(self) -> Rows[Noted]:
        """Inputs that are the same instance as others."""
        return self._entries.of_kind(Kind.DUPLICATE, _noted)

    @property
    def noted(self) -> Rows[Noted]:
        """Inputs that differ from what is published of them."""
        return self._entries.of_kind(Kind.NOTED, _noted)

    @property
    def studies(self) -> Rows[str]:
        """The studies of all inputs that are published or unchanged."""
        return self._entries.studies

    @property
    def series(self) -> Rows[tuple[str, str]]:
        """UIDs of study and series, as `studies`."""
        return self._entries.series

    @property
    def changed(self) -> Rows[str]:
        """Keys of objects that were there before, and are others now or gone."""
        return self._entries.changed

    @property
    def unfinished(self) -> Unfinished:
        """What a job that ended early left undone."""
        missing = self._entries.of_kind(Kind.MISSING, lambda *entry: entry[0])
        return Unfinished(missing, self._entries.of_kind(Kind.UNLISTED, lambda *entry: InstanceUIDs(*entry[2])))

    @property
    def roots(self) -> dict[str, str]:
        """The service root of each study, where every study has its own."""
        own = {study: self.root_of(study) for study in self.studies} if self.root_of else {}
        return self.kept_roots | own

    @property
    def exit_code(self) -> int:
        """0 if everything is published, 2 if some inputs were rejected, 1 if the job could not finish."""
        return 1 if self.failure else 2 if self._rejections else 0

    def as_document(self) -> dict[str, Any]:
        """The report as it is written to a file; `docs/reference/report.md` describes it.

        Members that may be long are iterators, which make them one after the other.
        """
        roots = self.roots
        return {
            "version": 1,
            "stillframe": __version__,
            "summary": {
                **{str(outcome): self.outcomes[outcome] for outcome in Outcome},
                "rejected": self._rejections,
                "passedOver": len(self.skipped),
                "studies": len(self.studies),
                "series": len(self.series),
                "frames": self.frames,
                "bytesRead": self.bytes_read,
                "bytesWritten": self.bytes_written,
                "seconds": round(self.seconds, 3),
                "cpuSeconds": {stage: round(seconds, 3) for stage, seconds in sorted(self.stages.items())},
            },
            "studies": iter(self.studies),
            **self.share.as_json(),
            **({"roots": roots} if roots else {}),
            **({"failure": self._failure()} if self.failure else {}),
            "changed": iter(self.changed),
            "rejected": map(asdict, self.rejected),
            "passedOver": ({"path": file.path, "reason": file.reason} for file in self.skipped),
            "duplicates": map(_as_json, self.duplicates),
            "notes": map(_as_json, self.noted),
        }

    def as_json(self) -> dict[str, Any]:
        """`as_document` with all of it in memory."""
        return {name: _in_memory(member) for name, member in self.as_document().items()}

    def _failure(self) -> dict[str, Any]:
        left = self.unfinished
        return {
            "reason": self.failure,
            "notPublished": iter(left.missing),
            "notListed": map(asdict, left.unlisted),
        }


def _in_memory(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _in_memory(member) for name, member in value.items()}
    return [*value] if isinstance(value, Iterator) else value


def _noted(path: str, _: str, rest: list[Any]) -> Noted:
    outcome, notes, uids = rest
    return Noted(source=path, outcome=Outcome(outcome), notes=tuple(notes), uids=InstanceUIDs(*uids))


def _values(uids: InstanceUIDs) -> list[str]:
    return [uids.study, uids.series, uids.instance]


def _as_json(noted: Noted) -> dict[str, Any]:
    return {
        "path": noted.source,
        "outcome": str(noted.outcome),
        "notes": list(noted.notes),
        **asdict(noted.uids),
    }
