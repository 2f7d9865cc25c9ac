"""What is found among the sources, as rows that a temporary file holds instead of memory."""

from __future__ import annotations

import json
from typing import Any, Final

from stillframe.scratch import stored_text, text_of
from stillframe.source.inputs import Elsewhere, FileState, InputRef, Item, Rejected, S3Object, Skipped
from stillframe.source.nested_archives import NestedArchive, NestedArchives
from stillframe.source.zip_archive import Member
from stillframe.store.s3_client import Bucket

_REJECTED: Final = "rejected"
_SKIPPED: Final = "skipped"
_ELSEWHERE: Final = "elsewhere"
_dumps: Final = json.JSONEncoder(separators=(",", ":"), check_circular=False).encode


class Packing:
    """Packs what is found and makes it anew. It keeps what inputs share: buckets, and archives that were unpacked."""

    def __init__(self) -> None:
        self._buckets: list[Bucket] = []
        self._numbers: dict[Bucket, int] = {}
        self._holders: dict[int, NestedArchives] = {}

    def pack(self, found: Item) -> tuple[bytes, str]:
        """Its name, as reports have it, and the rest."""
        match found:
            case InputRef():
                name, rest = str(found), self._rest(found)
            case Rejected():
                name, rest = found.path, [_REJECTED, found.reason, found.study, found.series, found.instance]
            case Skipped():
                name, rest = found.path, [_SKIPPED, found.reason, found.noteworthy, found.files, found.study]
            case Elsewhere():
                name, rest = found.line, [_ELSEWHERE]
        return stored_text(name), _dumps(rest)

    def unpack(self, name: bytes, packed: str) -> Item:
        """What `pack` made a row of."""
        path, values = text_of(name), json.loads(packed)
        first, *rest = values
        if first == _REJECTED:
            reason, study, series, instance = rest
            return Rejected(path=path, reason=reason, study=study, series=series, instance=instance)
        if first == _SKIPPED:
            reason, noteworthy, files, study = rest
            return Skipped(path, reason, noteworthy=noteworthy, files=tuple(files), study=study)
        if first == _ELSEWHERE:
            return Elsewhere(path)
        return self._input(path, values)

    def _rest(self, source: InputRef) -> list[Any]:
        remote, entry, nested = source.remote, source.entry, source.nested
        if nested is not None and nested.holder is not None:
            self._holders[id(nested.holder)] = nested.holder
        return [
            len(source.path),
            source.size,
            source.state,
            source.study,
            [remote.key, remote.size, remote.etag, self._number(remote.bucket)] if remote else None,
            [len(source.member) - len(entry.name), *entry[1:]] if entry else None,
            [nested.path, nested.start, nested.size, id(nested.holder) if nested.holder else 0] if nested else None,
        ]

    def _number(self, bucket: Bucket) -> int:
        number = self._numbers.setdefault(bucket, len(self._buckets))
        if number == len(self._buckets):
            self._buckets.append(bucket)
        return number

    def _input(self, name: str, values: list[Any]) -> InputRef:
        length, size, state, study, remote, entry, nested = values
        member = name[length + 1 :]
        return InputRef(
            path=name[:length],
            member=member,
            size=size,
            state=FileState(*state) if state else None,
            study=study,
            remote=S3Object(self._buckets[remote[3]], *remote[:3]) if remote else None,
            entry=Member(member[entry[0] :], *entry[1:]) if entry else None,
            nested=_nested(nested[:3], self._holders.get(nested[3])) if nested else None,
        )


def _nested(values: tuple[str, int, int], holder: NestedArchives | None) -> NestedArchive:
    path, start, size = values
    return NestedArchive(path, start, size, holder)
