"""Trees as older versions of the format had them, made of trees of today."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import Any

from blake3 import blake3

from stillframe.jpeg_comment import comment_of, with_comment
from stillframe.layout import key_of_path
from tests.support.trees import contents

OBJECTS = re.compile(r";objects=.*")


def make_older(tree: Path, version: int, *, leave_out: str = "", lossy: str = "") -> None:
    """Make a tree one of an older version: pictures counted with the rest of an instance, thumbnails without a comment.

    It has thumbnails of every instance or none. `leave_out` is a tag that the version did not publish, `lossy` the
    choice that its records name.
    """
    if version >= 4:
        _rename_version(tree, version, leave_out)
        return
    for path, data in contents(tree).items():
        if path.endswith("/thumbnail"):
            (tree / path).write_bytes(without_comment(data))
    records = {
        folder.name: older_record(tree, folder, version, leave_out, lossy)
        for folder in tree.rglob("instances/*")
        if (folder / "metadata").exists()
    }
    for document in tree.rglob("metadata"):
        datasets = read_metadata(document, leave_out)
        for dataset in datasets:
            dataset[options_tag(dataset)]["Value"] = [records[dataset["00080018"]["Value"][0]]]
        document.write_bytes(dumps(datasets))


def _rename_version(tree: Path, version: int, leave_out: str) -> None:
    """Have records and thumbnails name an older version, since which nothing is counted in another way."""
    for path in tree.rglob("metadata"):
        text = dumps(read_metadata(path, leave_out)).decode()
        path.write_text(re.sub("format=[0-9]+;", f"format={version};", text))
    for path in tree.rglob("thumbnail"):
        image = path.read_bytes()
        if told := comment_of(image):
            renamed = re.sub("format=[0-9]+ ", f"format={version} ", told)
            path.write_bytes(with_comment(without_comment(image), renamed))


def without_comment(image: bytes) -> bytes:
    """A JPEG image without its first COM segment (ISO/IEC 10918-1 B.2.4.5); as it is if it has none."""
    before, marker, rest = image.partition(b"\xff\xfe")
    return before + rest[int.from_bytes(rest[:2]) :] if marker and b"STILLFRAME" in rest[:16] else image


def older_record(tree: Path, folder: Path, version: int, leave_out: str, lossy: str) -> str:
    """What an instance's record said, as docs/format.md had it before pictures were counted apart."""
    (metadata,) = read_metadata(folder / "metadata", leave_out)
    files = [path for path in folder.rglob("*") if path.is_file() and path != folder / "metadata"]
    objects, size = len(files), sum(path.stat().st_size for path in files)
    options: str = OBJECTS.sub("", metadata[options_tag(metadata)]["Value"][0])
    assert "thumbnails=series" not in options
    options = re.sub("^format=[0-9]+;", f"format={version};", options)
    options = options.replace("thumbnails=instances", "thumbnails=yes").replace("thumbnails=none", "thumbnails=no")
    options = re.sub(";lossy=[a-z,]+", f";lossy={lossy}", options) if lossy else options
    return f"{options};objects={objects};bytes={size};sha256={older_digest(tree, folder, metadata)}"


def older_digest(tree: Path, folder: Path, metadata: dict[str, Any]) -> str:
    """The SHA-256 of all objects of an instance, as docs/format.md has the digest of them."""
    block = options_tag(metadata)[:6]
    plain = {tag: item for tag, item in metadata.items() if not tag.startswith(block) and tag != f"009900{block[4:]}"}
    whole = hashlib.sha256()
    files = [path for path in folder.rglob("*") if path.is_file()]
    for key, path in sorted((key_of_path(str(path.relative_to(tree))), path) for path in files):
        data = dumps([plain]) if path == folder / "metadata" else path.read_bytes()
        whole.update(key.encode() + b"\0" + hashlib.sha256(data).digest())
    return whole.hexdigest()


def make_digests_older(tree: Path, source: Path) -> None:
    """Have the records of a tree without pictures name SHA-256 digests, as records did before BLAKE3."""
    inputs = [path.read_bytes() for path in source.rglob("*") if path.is_file()]
    replaced = {
        f"blake3:{blake3(data).hexdigest()}".encode(): f"sha256:{hashlib.sha256(data).hexdigest()}".encode()
        for data in inputs
    }
    for folder in tree.rglob("instances/*"):
        if (folder / "metadata").exists():
            (metadata,) = read_metadata(folder / "metadata", "")
            (digest,) = re.findall("blake3=[0-9a-f]{64}", metadata[options_tag(metadata)]["Value"][0])
            replaced[digest.encode()] = f"sha256={older_digest(tree, folder, metadata)}".encode()
    for path, data in contents(tree).items():
        (tree / path).write_bytes(re.sub(rb"blake3[:=][0-9a-f]{64}", lambda found: replaced[found[0]], data))


def read_metadata(path: Path, leave_out: str) -> list[dict[str, Any]]:
    return [
        {tag: element for tag, element in dataset.items() if tag != leave_out}
        for dataset in json.loads(path.read_bytes())
    ]


def options_tag(dataset: dict[str, Any]) -> str:
    (tag,) = [tag for tag in dataset if re.fullmatch("0099..02", tag)]
    return tag


def dumps(datasets: list[dict[str, Any]]) -> bytes:
    return json.dumps(datasets, separators=(",", ":"), ensure_ascii=False).encode()
