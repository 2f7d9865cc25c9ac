"""Small files as people met them, in `tests/cases`: what is right of each stands beside it in `expected.json`.

Each file has `runs`: `options` of a build of the folder, the `exit` code, what it `says` and `does not say`, how many
`studies` are listed, and what is known of some `instances`: values of their metadata, digests of binary values and of
the pixels of frames, colours at some points of pictures, words of their notes.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import imagecodecs
import numpy as np
import numpy.typing as npt

from tests.support.command import run
from tests.support.multipart import unwrap_part
from tests.support.places import REPOSITORY

CASES: Final = REPOSITORY / "tests" / "cases"
_TOLERANCE: Final = 20  # of a colour that went through JPEG


def case_names() -> list[str]:
    """The names of all cases."""
    return sorted(path.parent.name for path in CASES.glob("*/expected.json"))


def problems_of(name: str, scratch: Path) -> list[str]:
    """Build a case, and say what is other than it should be."""
    expected = json.loads((CASES / name / "expected.json").read_text())
    runs = enumerate(expected["runs"])
    return [problem for number, wanted in runs for problem in _check_run(CASES / name, scratch / f"{number}", wanted)]


def _check_run(case: Path, scratch: Path, wanted: Mapping[str, Any]) -> Iterator[str]:
    scratch.mkdir()
    tree, report = scratch / "tree", scratch / "report.json"
    done = run(
        "build", case, tree, "--workers", "0", "--rendered", "always", "--report", report, *wanted.get("options", ())
    )
    said = done.stdout + done.stderr
    if done.returncode != wanted.get("exit", 0):
        yield f"exit code {done.returncode}: {said}"
    yield from (f"not said: {part!r} in {said}" for part in wanted.get("says", ()) if part not in said)
    yield from (f"said: {part!r}" for part in wanted.get("does not say", ()) if part in said)
    if "studies" in wanted:
        yield from _check_list(json.loads((tree / "studies" / "index.json").read_text()), wanted["studies"]["count"])
    published = {
        json.loads(path.read_text())[0]["00080018"]["Value"][0]: path.parent
        for path in tree.glob("studies/*/series/*/instances/*/metadata")
    }
    notes: dict[str, str] = {}
    for entry in json.loads(report.read_text())["notes"]:
        notes[entry["instance"]] = notes.get(entry["instance"], "") + " ".join(entry["notes"])
    for instance in wanted.get("instances", ()):
        uid = next(iter(published), "") if instance["uid"] == "*" else instance["uid"]
        if uid in published:
            yield from _check_instance(published[uid], instance, notes.get(uid, ""))
        else:
            yield f"not published: {uid}"


def _check_list(records: list[dict[str, Any]], count: int) -> Iterator[str]:
    if len(records) != count:
        yield f"{len(records)} studies are listed"
    for record in records:
        nulls = [tag for tag, element in record.items() if "null" in json.dumps(element.get("Value", []))]
        yield from (f"{tag} in the list of studies has a null" for tag in nulls)


def _check_instance(folder: Path, wanted: Mapping[str, Any], notes: str) -> Iterator[str]:
    text = (folder / "metadata").read_text()
    (metadata,) = json.loads(text)
    yield from (f"no {name}" for name in wanted.get("objects", ()) if not (folder / name).exists())
    yield from (f"{name} is there" for name in wanted.get("no objects", ()) if (folder / name).exists())
    yield from (f"{tag} is in the metadata" for tag in wanted.get("absent", ()) if f'"{tag}"' in text)
    yield from _check_metadata(folder, metadata, wanted)
    for number in wanted.get("codestreams", ()):
        if (folder / "frames" / str(number)).read_bytes()[:2] != b"\xff\x4f":
            yield f"frame {number} is no codestream"
    for frame in wanted.get("frames", ()):
        pixels = _pixels(folder / "frames" / str(frame["frame"]), frame)
        if hashlib.sha256(pixels.tobytes()).hexdigest() != frame["sha256"]:
            yield f"frame {frame['frame']} has other pixels than the source"
    for name, key in (("frames/1", "frame near"), ("rendered", "rendered near")):
        if key in wanted:
            yield from _check_colours(folder / name, wanted[key])
    yield from (f"no note with {part!r}: {notes!r}" for part in wanted.get("noted", ()) if part not in notes)
    yield from (f"a note with {part!r}: {notes!r}" for part in wanted.get("not noted", ()) if part in notes)


def _check_metadata(folder: Path, metadata: Mapping[str, Any], wanted: Mapping[str, Any]) -> Iterator[str]:
    for tag, value in wanted.get("metadata", {}).items():
        if metadata.get(tag, {}).get("Value") != value:
            yield f"{tag} is {metadata.get(tag)}, not {value}"
    for tag, least in wanted.get("at least", {}).items():
        if metadata[tag]["Value"][0] < least:
            yield f"{tag} is {metadata[tag]}, less than {least}"
    for tag, digest in (wanted.get("binary", {}) | wanted.get("bulk", {})).items():
        if hashlib.sha256(_binary(folder, metadata, tag)).hexdigest() != digest:
            yield f"{tag} holds other bytes"


def _binary(folder: Path, metadata: Mapping[str, Any], tag: str) -> bytes:
    element = metadata.get(tag, {})
    if "BulkDataURI" in element:
        return (folder / str(element["BulkDataURI"])).read_bytes()
    return base64.b64decode(element.get("InlineBinary", ""))


def _payload(path: Path) -> bytes:
    data = path.read_bytes()
    return unwrap_part(data) if data.startswith(b"--") else data


def _pixels(path: Path, frame: Mapping[str, Any]) -> npt.NDArray[Any]:
    data = _payload(path)
    if data[:2] == b"\xff\x4f":
        pixels = imagecodecs.jpeg2k_decode(data)
    else:
        pixels = np.frombuffer(data, frame["dtype"])[: int(np.prod(frame["shape"]))]
    return np.ascontiguousarray(pixels.astype(np.dtype(frame["dtype"]).newbyteorder("<")))


def _check_colours(path: Path, points: list[list[Any]]) -> Iterator[str]:
    data = _payload(path)
    pixels = imagecodecs.jpeg2k_decode(data) if data[:2] == b"\xff\x4f" else imagecodecs.jpeg8_decode(data)
    for row, column, colour in points:
        found = pixels[int(row * pixels.shape[0]), int(column * pixels.shape[1])].tolist()
        if max(abs(a - b) for a, b in zip(found, colour, strict=True)) > _TOLERANCE:
            yield f"{path.name}: {found} where {colour} is right"
