"""A real nginx with the configuration that is rendered for it."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from stillframe.hosting.nginx import NginxSettings, find_module, render_nginx, script_file
from tests.support.serving import Client

PROGRAM = shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin") or ""

needs_nginx = pytest.mark.skipif(
    not PROGRAM or not Path(find_module()).is_file(),
    reason="nginx and its njs module (Debian: nginx, libnginx-mod-http-js) are not both installed",
)


@contextlib.contextmanager
def nginx(state: Path, port: int, tree: Path, root_path: str = "/dicomweb", service_url: str = "") -> Iterator[Client]:
    """nginx on a free port, stopped at the end; as root its workers stay root, to read the test's folders."""
    state.mkdir()
    settings = NginxSettings(
        tree=tree.resolve(),
        script=script_file(),
        module=find_module(),
        port=port,
        root_path=root_path,
        service_url=service_url,
    )
    (state / "nginx.conf").write_text(render_nginx(settings))
    directives = "daemon off;"
    if os.geteuid() == 0:
        directives += " user root;"
    with (state / "log").open("wb") as log:
        server = subprocess.Popen([PROGRAM, "-p", state, "-c", "nginx.conf", "-g", directives], stderr=log)
        try:
            client = Client(port)
            deadline = time.monotonic() + 60
            while not _answers(client):
                assert server.poll() is None, (state / "log").read_text()
                assert time.monotonic() < deadline, "nginx did not start"
                time.sleep(0.05)
            yield client
        finally:
            server.terminate()
            server.wait(20)


def _answers(client: Client) -> bool:
    try:
        client("/", "OPTIONS")
    except OSError:
        return False
    return True


def free_port() -> int:
    """A port that nobody listens on; there is a fixture of that name for single tests."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port
