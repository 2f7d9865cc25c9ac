"""An archive of two CT studies with its site on every kind of host: python first_picture_hosts.py OHIF_DIST

Prints one line of JSON: the URL of each site by the name of its host, and the studies. Runs until its standard input
ends.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from pydicom.uid import UID

from tests.support.dicom_files import ROOT, image
from tests.support.nginx_server import free_port, nginx
from tests.support.public_bucket import open_to_all
from tests.support.s3_server import S3Server, set_environment
from tests.support.serving import Client

_COMMAND = (sys.executable, "-m", "stillframe")
_SLICES = 40
_SIDE = 512


def main(dist: Path) -> None:
    set_environment()
    with tempfile.TemporaryDirectory(prefix="stillframe-hosts-") as name, contextlib.ExitStack() as stack:
        folder = Path(name)
        studies = [_write_study(folder / "dicom", number) for number in (1, 2)]
        tree = folder / "tree"
        _stillframe("build", folder / "dicom", tree)
        served = stack.enter_context(_serve(tree, dist))
        _stillframe("site", tree, "--viewer", dist)
        static = stack.enter_context(nginx(folder / "nginx", free_port(), tree))
        bucket = stack.enter_context(_bucket(folder, dist))
        sites = {"serve": f"http://127.0.0.1:{served}/", "nginx": f"http://127.0.0.1:{static.port}/", "bucket": bucket}
        sys.stdout.write(json.dumps({"sites": sites, "studies": studies}) + "\n")
        sys.stdout.flush()
        sys.stdin.read()


def _write_study(folder: Path, number: int) -> str:
    """A study of one CT series: a body with texture and noise, so that it compresses as one does."""
    folder.mkdir(exist_ok=True)
    study = f"{ROOT}.70.{number}"
    y, x = np.mgrid[:_SIDE, :_SIDE]
    inside = np.hypot(x - _SIDE / 2, 1.2 * (y - _SIDE / 2)) < 0.4 * _SIDE
    for slice_number in range(1, _SLICES + 1):
        noise = np.random.default_rng(slice_number).normal(0, 12, x.shape)
        body = 1064 + 60 * np.sin(x / 17 + slice_number / 3 + number) * np.cos(y / 23)
        uid = f"{study}.1.{slice_number}"
        made = image(
            slice_number, np.clip(np.where(inside, body, 24) + noise, 0, 4095).astype("u2"),
            StudyInstanceUID=study, SeriesInstanceUID=f"{study}.1", SOPInstanceUID=uid,
            FrameOfReferenceUID=f"{study}.2", RescaleSlope=1, RescaleIntercept=-1024,
            WindowCenter=40, WindowWidth=400, PixelSpacing=[0.7, 0.7],
            ImagePositionPatient=[0, 0, 2 * slice_number], ImageOrientationPatient=[1, 0, 0, 0, 1, 0],
        )  # fmt: skip
        made.file_meta.MediaStorageSOPInstanceUID = UID(uid)
        made.save_as(folder / f"{number}-{slice_number}.dcm")
    return study


def _stillframe(*arguments: str | Path) -> None:
    subprocess.run([*_COMMAND, *map(str, arguments)], check=True, stdout=sys.stderr)


@contextlib.contextmanager
def _serve(tree: Path, dist: Path) -> Iterator[int]:
    port = free_port()
    server = subprocess.Popen(
        [*_COMMAND, "serve", str(tree), "--viewer", str(dist), "--port", str(port)], stdout=subprocess.DEVNULL
    )
    try:
        while True:
            with contextlib.suppress(OSError):
                if Client(port)("/service.js").status == 200:
                    break
            assert server.poll() is None
            time.sleep(0.1)
        yield port
    finally:
        server.terminate()
        server.wait(20)


@contextlib.contextmanager
def _bucket(folder: Path, dist: Path) -> Iterator[str]:
    """The archive and its site in a bucket of SeaweedFS that everybody may read, below a prefix of its own."""
    server = S3Server(folder / "s3")
    (folder / "s3").mkdir()
    server.start()
    try:
        bucket = server.make_bucket()
        where = f"s3://{bucket.name}/some/archive"
        _stillframe("build", folder / "dicom", where, "--endpoint-url", server.endpoint_url)
        _stillframe("site", where, "--viewer", dist, "--endpoint-url", server.endpoint_url)
        open_to_all(bucket, "some/archive")
        yield f"{server.endpoint_url}/{bucket.name}/some/archive/"
    finally:
        server.stop()


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve())
