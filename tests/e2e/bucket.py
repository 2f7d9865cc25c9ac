"""An archive in a bucket that browsers may read: `python -m tests.e2e.bucket FOLDER SOURCES`.

Starts SeaweedFS with its data in FOLDER, builds SOURCES into a new bucket, prints the address of the archive, and ends
when standard input does.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Final

from tests.support.public_bucket import open_to_all
from tests.support.s3_server import S3Server, set_environment

_PREFIX: Final = "published"


def main(folder: Path, sources: Path) -> None:
    set_environment()
    server = S3Server(folder)
    server.start()
    try:
        bucket = server.make_bucket()
        open_to_all(bucket, _PREFIX)
        command = [
            str(Path(sys.executable).with_name("stillframe")),
            "build",
            str(sources),
            f"s3://{bucket.name}/{_PREFIX}",
        ]
        subprocess.run(
            [*command, "--endpoint-url", server.endpoint_url], check=True, stdout=subprocess.DEVNULL,
            stderr=sys.stderr,
        )  # fmt: skip
        print(f"{server.endpoint_url}/{bucket.name}/{_PREFIX}", flush=True)
        sys.stdin.read()
    finally:
        server.stop()


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
