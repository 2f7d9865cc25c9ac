"""Archives of two studies, filled and emptied by several jobs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from stillframe.archive.delete import DeletionReport, Scope, delete
from stillframe.archive.documents import read_document
from stillframe.archive.roots import Roots
from stillframe.build.pipeline import build
from stillframe.build.report import Report
from stillframe.build.request import BuildRequest
from stillframe.dicom.files import ReadableFile
from stillframe.dicom.uids import InstanceUIDs
from stillframe.execute import SerialExecutor
from stillframe.layout import STUDIES, instance_key, metadata_key
from stillframe.options import BuildOptions
from stillframe.store.base import Store, Written
from tests.support.dicom_files import ROOT, SERIES, instance_uid
from tests.support.memory_store import MemoryStore
from tests.support.trees import NoProgress, objects

OTHER_SERIES = f"{ROOT}.1.2"


OTHER_STUDY = f"{ROOT}.9"


SECRET = b"nobody-would-guess-this-secret"


URL = "https://images.example.org/dicomweb"


type Making = Callable[[], Store]


def publish(store: Store, *sources: Path, secret: bytes = b"", replace: bool = False, **options: str) -> Report:
    request = BuildRequest(
        sources=tuple(map(str, sources)),
        options=BuildOptions(**options),  # type: ignore[arg-type]
        secret=secret,
        replace=replace,
    )
    report = build(request, store, SerialExecutor(), NoProgress())
    assert report.exit_code == 0, report.rejected
    return report


def remove(store: Store, scope: Scope, secret: bytes = b"", base_url: str = "") -> DeletionReport:
    return delete(Roots(store, secret), scope, base_url, NoProgress())


def objects_of_roots(store: Store) -> dict[str, dict[str, bytes]]:
    found = {name: objects(store.below(name)) for name in store.children("")}
    return {name: held for name, held in found.items() if held}  # a server may show folders without objects


def names_in_lists(store: Store) -> set[str]:
    """Every instance that a list or metadata name; each is there, with a frame."""
    named = set()
    for study in store.children(STUDIES):
        documents = [
            metadata_key(study),
            *(metadata_key(study, uid) for uid in store.children(f"studies/{study}/series")),
        ]
        for document in documents:
            for item in read_document(store, document) or ():
                uids = InstanceUIDs(*(item[tag]["Value"][0] for tag in ("0020000D", "0020000E", "00080018")))
                assert store.get(f"{instance_key(uids)}/metadata") is not None, document
                assert store.get(f"{instance_key(uids)}/frames/1") is not None, document
                named.add(instance_key(uids))
    return named


def catching(failures: list[BaseException], work: Callable[..., object], *arguments: object) -> None:
    try:
        work(*arguments)
    except BaseException as error:
        failures.append(error)


def uid_of(path: Path) -> str:
    return instance_uid(int(path.stem), SERIES if path.parent.name == "a" else OTHER_SERIES)


class Interrupted(MemoryStore):
    """A store in which something else happens just before the first write of a key that ends in some way."""

    def __init__(self, ending: str, act: Callable[[Store], object], shared: MemoryStore | None = None) -> None:
        super().__init__()
        if shared is not None:
            self.objects, self._lock, self._versions = shared.objects, shared._lock, shared._versions
        self.ending = ending
        self.act = act
        self.acted = False

    def put(
        self, key: str, data: bytes | ReadableFile, *, if_match: str | None = None, if_none_match: bool = False
    ) -> Written:
        if key.endswith(self.ending) and not self.acted:
            self.acted = True
            self.act(self)
        return super().put(key, data, if_match=if_match, if_none_match=if_none_match)
