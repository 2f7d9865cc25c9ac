"""An archive in a bucket that browsers may read: `python -m tests.e2e.bucket FOLDER SOURCES`.

Starts SeaweedFS with its data in FOLDER, builds SOURCES into a new bucket, prints the address of the archive, and ends
when standard input does.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Final

from tests.support.s3_server import S3Server, set_environment

_BUCKET: Final = "archive"
_PREFIX: Final = "published"
# Everyone may read objects of the archive, and list nothing.
_READERS: Final = {"name": "anonymous", "actions": [f"Read:{_BUCKET}/{_PREFIX}/*"]}
_CORS: Final = {
    "CORSRules": [
        {
            "AllowedOrigins": ["*"],
            "AllowedMethods": ["GET", "HEAD"],
            "AllowedHeaders": ["*"],
            "ExposeHeaders": ["Content-Range", "Content-Length", "ETag", "Accept-Ranges"],
        }
    ]
}


def main(folder: Path, sources: Path) -> None:
    set_environment()
    server = S3Server(folder, identities=[_READERS])
    server.start()
    try:
        client = server.make_bucket(name=_BUCKET).client
        client.put_bucket_cors(Bucket=_BUCKET, CORSConfiguration=_CORS)
        command = [
            str(Path(sys.executable).with_name("stillframe")),
            "build",
            str(sources),
            f"s3://{_BUCKET}/{_PREFIX}",
        ]
        subprocess.run(
            [*command, "--endpoint-url", server.endpoint_url], check=True, stdout=subprocess.DEVNULL,
            stderr=sys.stderr,
        )  # fmt: skip
        print(f"{server.endpoint_url}/{_BUCKET}/{_PREFIX}", flush=True)
        sys.stdin.read()
    finally:
        server.stop()


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
