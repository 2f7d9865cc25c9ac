"""One file built into a tree of its own: how it was published, or why it was not."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stillframe.build.instance import build_instance
from stillframe.build.results import Built
from stillframe.build.tasks import InstanceTask
from stillframe.dicom.uids import InstanceUIDs
from stillframe.layout import frame_key, metadata_key
from stillframe.options import BuildOptions, Rendered, Thumbnails
from stillframe.source.inputs import InputRef, Rejected
from stillframe.store.directory import DirectoryStore
from tests.support.dicom_files import INSTANCE, SERIES, STUDY

UIDS = InstanceUIDs(STUDY, SERIES, INSTANCE)
PICTURES: dict[str, Any] = {"rendered": Rendered.ALWAYS, "thumbnails": Thumbnails.INSTANCES}
"""Options that ask for both pictures of an image."""


@dataclass(frozen=True)
class Published:
    """One file as it was published."""

    built: Built
    metadata: dict[str, Any]
    frames: list[bytes]

    def values(self, tag: str) -> list[Any]:
        return list(self.metadata.get(tag, {}).get("Value", []))

    @property
    def syntax(self) -> str:
        return str(self.values("00083002")[0])

    def parts(self) -> list[tuple[bytes, bytes]]:
        """Content type and payload of multipart frames, taken apart by RFC 2046."""
        found = []
        for body in self.frames:
            delimiter, _, rest = body.partition(b"\r\n")
            head, _, content = rest.partition(b"\r\n\r\n")
            assert content.endswith(b"\r\n" + delimiter + b"--\r\n")
            found.append((head.removeprefix(b"Content-Type: "), content[: -len(delimiter) - 6]))
        return found


def build(path: Path, tree: Path, **options: Any) -> Built | Rejected:
    task = InstanceTask(
        store=DirectoryStore(str(tree)), source=InputRef(path=str(path)), uids=UIDS, options=BuildOptions(**options)
    )
    result = build_instance(task)
    assert isinstance(result, Built | Rejected)
    return result


def publish_file(path: Path, tree: Path, **options: Any) -> Published:
    """A file of the instance that the tests write, as it was published."""
    built = build(path, tree, **options)
    assert isinstance(built, Built), built
    store = DirectoryStore(str(tree))
    keys = [metadata_key(STUDY, SERIES, INSTANCE), *(frame_key(UIDS, n + 1) for n in range(built.frames))]
    found = [store.get(key) for key in keys]
    data = [stored.data for stored in found if stored is not None]
    assert len(data) == len(keys)
    return Published(built, json.loads(data[0])[0], data[1:])


def rejected(path: Path, tree: Path, **options: Any) -> str:
    result = build(path, tree, **options)
    assert isinstance(result, Rejected)
    assert list(DirectoryStore(str(tree)).list("studies")) == []
    return result.reason
