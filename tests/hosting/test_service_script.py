"""service.js: what pages learn from it, as a browser would."""

from __future__ import annotations

import json
import shutil
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stillframe.hosting.service_script import named_root, service_script, service_script_beside

needs_node = pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed")


@needs_node
@pytest.mark.parametrize(
    ("script", "url", "root"),
    [
        (service_script(), "http://host/bucket/some/prefix/service.js", "http://host/bucket/some/prefix"),
        (service_script(), "http://host/service.js?v=1#a", "http://host"),
        (
            service_script("https://images.example.org/dicomweb"),
            "http://host/service.js",
            "https://images.example.org/dicomweb",
        ),
        (service_script_beside("/dicomweb/"), "https://host:8443/service.js", "https://host:8443/dicomweb"),
        (service_script_beside("/"), "https://host/service.js", "https://host"),
    ],
)
def test_pages_learn_where_the_service_is(script: str, url: str, root: str) -> None:
    code = f"""
        globalThis.window = {{}};
        globalThis.document = {{ currentScript: {{ src: {json.dumps(url)} }} }};
        {script}
        process.stdout.write(window.stillframe.root);
    """
    done = subprocess.run(["node", "-e", code], capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == (root, "")


@given(st.text(min_size=1))
def test_a_named_root_is_read_again(root: str) -> None:
    assert named_root(service_script(root)) == root


@pytest.mark.parametrize(
    "script", [service_script(), service_script_beside("/dicomweb/"), "", "window.stillframe = 1;"]
)
def test_other_scripts_name_none(script: str) -> None:
    assert named_root(script) == ""
