"""The edge function in node: requests of viewers and of others, and the same judgement of keys as `layout` has."""

from __future__ import annotations

import json
import random
import shutil
import subprocess
from pathlib import Path

import pytest

from infra.embed import FOLDER
from stillframe.archive.roots import root_token
from stillframe.errors import LayoutError
from stillframe.layout import parse_key

_EDGE_TESTS = Path(__file__).resolve().parent / "edge"
_SEGMENTS = (
    "studies", "series", "instances", "frames", "reduced", "metadata", "thumbnail", "rendered", "bulkdata",
    "frame-index", "1.2.3", "1.2.34", "1", "2", "0", "01", "1.", ".1", "1..2", "00420011", "A", "", ".", "..",
    "index.json", "9" * 64, "9" * 65, "12345678901",
)  # fmt: skip

pytestmark = pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed")


def run_node(*arguments: str, given: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(["node", *arguments], input=given, capture_output=True, text=True, check=False)


@pytest.mark.slow
def test_requests_of_viewers_and_hostile_ones() -> None:
    done = run_node("--test", str(_EDGE_TESTS / "edge.test.mjs"))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "# pass 0" not in done.stdout


def test_the_function_takes_the_keys_that_the_layout_has() -> None:
    keys = [*_made_keys(random.Random(1), 20_000), *_proper_keys()]
    unlisted = [f"{root_token(bytes(16), '1.2')}/{key}" for key in _proper_keys()]
    script = f"""
        import {{ loadHandler, makeEvent }} from {json.dumps(str(_EDGE_TESTS / "load.mjs"))};
        import {{ readFileSync }} from 'node:fs';
        const handler = loadHandler({{ KeyPrefix: '' }});
        const uris = JSON.parse(readFileSync(0)).map((key) => handler(makeEvent('/dicomweb/' + key)).uri ?? null);
        process.stdout.write(JSON.stringify(uris));
    """
    done = run_node("--input-type=module", "-e", script, given=json.dumps(keys + unlisted))
    assert done.returncode == 0, done.stderr
    taken = [key for key, uri in zip(keys + unlisted, json.loads(done.stdout), strict=True) if uri is not None]
    expected = [*(key for key in keys if _is_key(key.removesuffix("/"))), *unlisted]
    assert taken == expected
    assert len(set(taken)) > 30


def test_it_fits_cloudfront_functions() -> None:
    code = (FOLDER / "edge.js").read_text()
    assert len(code.encode()) < 9 * 1024  # of 10 KB, with what CloudFormation fills in
    assert code.isascii()
    assert "`" not in code  # a template literal's values would be taken for CloudFormation's


def _is_key(key: str) -> bool:
    try:
        parse_key(key)
    except LayoutError:
        return False
    return True


def _made_keys(source: random.Random, count: int) -> list[str]:
    return ["/".join(["studies", *source.choices(_SEGMENTS, k=source.randint(0, 9))]) for _ in range(count)]


def _proper_keys() -> list[str]:
    instance = "studies/1.2/series/1.3/instances/1.4"
    leaves = ("frames/1", "reduced/2/frames/10", "bulkdata/00420011", "bulkdata/00081199/1/00420011", "rendered")
    return [
        *("studies", "studies/1.2/series", "studies/1.2/instances", "studies/1.2/metadata", "studies/1.2/thumbnail"),
        *(f"studies/1.2/series/1.3/{leaf}" for leaf in ("instances", "metadata", "thumbnail", "frame-index")),
        *(instance, f"{instance}/metadata", f"{instance}/thumbnail", *(f"{instance}/{leaf}" for leaf in leaves)),
    ]
