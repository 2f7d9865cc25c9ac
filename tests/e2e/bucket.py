"""An archive in a bucket that browsers may read: `python -m tests.e2e.bucket FOLDER SOURCES [VIEWER]`.

Starts SeaweedFS with its data in FOLDER, builds SOURCES into a new bucket, lays a site with VIEWER beside, prints the
address of the archive, and ends when standard input does.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Final

from tests.support.public_bucket import open_to_all
from tests.support.s3_server import S3Server, set_environment

_PREFIX: Final = "published"


def main(folder: Path, sources: Path, viewer: Path | None = None) -> None:
    set_environment()
    server = S3Server(folder)
    server.start()
    try:
        bucket = server.make_bucket()
        open_to_all(bucket, _PREFIX)
        archive = f"s3://{bucket.name}/{_PREFIX}"
        _stillframe("build", sources, archive, "--endpoint-url", server.endpoint_url)
        if viewer is not None:
            _stillframe("site", archive, "--viewer", viewer, "--endpoint-url", server.endpoint_url)
        print(f"{server.endpoint_url}/{bucket.name}/{_PREFIX}", flush=True)
        sys.stdin.read()
    finally:
        server.stop()


def _stillframe(*arguments: str | Path) -> None:
    command = [Path(sys.executable).with_name("stillframe"), *arguments]
    subprocess.run(list(map(str, command)), check=True, stdout=subprocess.DEVNULL, stderr=sys.stderr)


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
