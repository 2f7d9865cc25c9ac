"""What of a job's inputs is one shard's: lines of manifests before anything is read, and inputs once it is.

An input of which no study is known (it cannot be read, or is no instance) is told of by one shard, by its path.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from stillframe.build.shard import WHOLE, Shard
from stillframe.dicom.assigned_uids import assigned_uid
from stillframe.errors import UsageError
from stillframe.source.find import Line
from stillframe.source.inputs import Elsewhere, Found, Header, InputRef, Item, Rejected
from stillframe.source.manifest import Listed
from stillframe.source.scan import Scanned


@dataclass(slots=True)
class Elsewheres:
    """How much of a job other shards take: inputs whose headers were read here, and lines that were not followed."""

    inputs: int = 0
    lines: int = 0


@dataclass(slots=True)
class Share:
    """The part of a job that is a shard's, and a count of what is not."""

    shard: Shard = WHOLE
    elsewhere: Elsewheres = field(default_factory=Elsewheres)

    def of_found(self, met: Iterable[Item]) -> Iterator[Found]:
        """What is found, without what another shard takes or tells of."""
        for item in met:
            if isinstance(item, Elsewhere):
                self.elsewhere.lines += 1
            elif isinstance(item, InputRef) or self._tells_of(item.study, item.path):
                yield item

    def of_scanned(self, source: InputRef, scanned: Scanned) -> Scanned | None:
        """What an input turns out to be; None if another shard takes it.

        A manifest that names a study promises that all of the source is of it: whoever splits by that word would lose
        what is not.
        """
        if not isinstance(scanned, Header):
            return scanned if self._tells_of(source.study, str(source)) else None
        if source.study and source.study != scanned.uids.study:
            reason = f"its Study Instance UID is not the one that the manifest gives: {source.study}"
            return Rejected.of(source, reason, scanned.uids)
        if self.shard.holds(scanned.uids.study):
            return scanned
        self.elsewhere.inputs += 1
        return None

    def as_json(self) -> dict[str, Any]:
        """As the report of a shard has it; nothing for a job that is not split."""
        if not self.shard.part:
            return {}
        others = {"inputs": self.elsewhere.inputs, "manifestLines": self.elsewhere.lines}
        return {"shard": {"number": self.shard.number, "of": self.shard.count, "inOtherShards": others}}

    def _tells_of(self, study: str, path: str) -> bool:
        """Whether this shard reports an input of which only the manifest, if any, says the study."""
        return bool(study) or self.shard.holds(path)


def own_lines(
    lines: Iterable[Listed | Rejected], shard: Shard, refuse: Callable[[str], str], *, assign_uids: bool
) -> Iterator[Line]:
    """The lines of manifests, those of other shards' studies marked as such: nothing of them is listed or read.

    Args:
        lines: as from `parse_manifest`.
        shard: the part of the job that is done here.
        refuse: says why a location may not be a source, or nothing.
        assign_uids: whether a study with a UID that is none counts as the one that is published in its place.
    """
    for line in lines:
        if isinstance(line, Rejected):
            yield line
            continue
        study = assigned_uid(line.study) if assign_uids else line.study
        if study and not shard.holds(study):
            yield Elsewhere(line.line)
            continue
        try:
            reason = refuse(line.location)
        except UsageError as error:
            reason = str(error)
        yield Rejected(path=line.line, reason=reason, study=study) if reason else replace(line, study=study)
