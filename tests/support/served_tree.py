"""A small tree of made bytes, for what serves trees: every kind of object, and what is none."""

from __future__ import annotations

import json
from pathlib import Path

JPHC = "image/jphc; transfer-syntax=1.2.840.10008.1.2.4.202"


SERIES = "studies/1.2/series/1.3"


INSTANCE = f"{SERIES}/instances/1.4"


FRAME = bytes.fromhex("ff4fff51") + bytes(range(256)) * 16


NATIVE = (
    b"--b0\r\nContent-Type: application/octet-stream; transfer-syntax=1.2.840.10008.1.2.1\r\n\r\n"
    + bytes(64)
    + b"\r\n--b0--\r\n"
)


STUDY = {
    "00080020": {"vr": "DA", "Value": ["20240229"]},
    "00080061": {"vr": "CS", "Value": ["CT", "SEG"]},
    "00100010": {"vr": "PN", "Value": [{"Alphabetic": "<script>alert(1)</script>^A & B"}]},
    "0020000D": {"vr": "UI", "Value": ["1.2"]},
    "00201206": {"vr": "IS", "Value": [1]},
    "00201208": {"vr": "IS", "Value": [7]},
}


HOSTILE_STUDY = {"0020000D": {"vr": "UI", "Value": ['"><img src=x>']}}


TREE: dict[str, bytes] = {
    "studies/index.json": json.dumps([STUDY, HOSTILE_STUDY, {}, None]).encode(),
    "studies/1.2/series/index.json": b"[]",
    "studies/1.2/instances": b"[]",
    "studies/1.2/metadata": b"[]",
    f"{SERIES}/instances/index.json": b"[{}]",
    f"{SERIES}/metadata": b"[]",
    f"{SERIES}/frame-index": b'{"version": 1}',
    f"{SERIES}/thumbnail": b"\xff\xd8\xff\xe0",
    f"{INSTANCE}/index.dcm": bytes(128) + b"DICM",
    f"{INSTANCE}/metadata": b"[]",
    f"{INSTANCE}/frames/1": FRAME,
    f"{INSTANCE}/frames/2": NATIVE,
    f"{INSTANCE}/frames/3": b"",
    f"{INSTANCE}/reduced/2/frames/1": FRAME[:100],
    f"{INSTANCE}/bulkdata/00420011": b"",
    f"{INSTANCE}/rendered": b"%PDF-1.7\n",
    "secret": b"beside the tree",
    "studies/notes.txt": b"not an object of the layout",
}


def write_tree(folder: Path, tree: dict[str, bytes]) -> None:
    for path, data in tree.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(data)
