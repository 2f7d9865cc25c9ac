"""Names and IDs of patients stay in an archive's documents: none is printed, reported, or part of a request's head."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stillframe.store.s3_client import Bucket
from stillframe.store.s3_requests import iter_pages
from tests.support import command
from tests.support.dicom_files import ROOT, encapsulated, image, noise, to_bytes, write
from tests.support.faulty_proxy import Fault, FaultyProxy, Request

NAME, OTHER_NAME = "Quetzalcoatl^Xiuhtecuhtli", "Nezahualcoyotl^Itzcoatl"
NUMBER, OTHER_NUMBER = "QX-9311750", "NZ-5507214"
LONG_NUMBER = f"{NUMBER}-{'8' * 70}"  # an invalid value, of which libraries like to warn
SECRETS = ("quetzal", "xiuhtec", "nezahual", "itzcoatl", "9311750", "5507214")


def write_inputs(folder: Path) -> Path:
    """Inputs in every role: published, noted, duplicate, conflicting, rejected for several reasons, passed over."""
    patient: dict[str, Any] = {"PatientName": NAME, "PatientID": NUMBER}
    for number in (1, 2):
        write(folder, f"a{number}.dcm", image(number, **patient))
    write(folder, "b-duplicate.dcm", image(1, **patient))
    write(folder, "b-like-it.dcm", image(1, SeriesDescription="again", **patient))
    write(folder, "c-conflict.dcm", image(2, noise(99), **patient))
    write(folder, "d-noted.dcm", image(4, noise(4, bits=16), BitsStored=12, HighBit=11, **patient))
    write(folder, "e-frames.dcm", image(5, NumberOfFrames=9, **patient))
    write(folder, "f-broken.dcm", encapsulated([b"\xff\xd8broken"], "1.2.840.10008.1.2.4.50", number=6, **patient))
    write(folder, "g-other.dcm", image(7, PatientName=OTHER_NAME, PatientID=OTHER_NUMBER))
    write(folder, "h-other-name.dcm", image(8, PatientName=OTHER_NAME, PatientID=NUMBER))
    write(folder, "i-no-uid.dcm", image(9, StudyInstanceUID="", **patient))
    long = image(10, StudyInstanceUID=f"{ROOT}.7", PatientName=NAME)
    whole = to_bytes(long)
    (folder / "j-cut.dcm").write_bytes(whole[: len(whole) * 2 // 3])
    start = whole.index(b"\x10\x00\x20\x00LO")
    value = LONG_NUMBER.encode() + b" " * (len(LONG_NUMBER) % 2)
    (folder / "k-long.dcm").write_bytes(
        whole[: start + 6] + len(value).to_bytes(2, "little") + value + whole[start + 8 + whole[start + 6] :]
    )
    (folder / "l.txt").write_text(f"{NAME} {NUMBER}")
    whole_object = image(11, np.zeros((4, 4), "u1"), StudyInstanceUID=f"{ROOT}.8", **patient)
    for keyword in ("PixelData", "Rows", "Columns"):
        delattr(whole_object, keyword)
    write(folder, "m-whole.dcm", whole_object)
    return folder


def check(text: str) -> None:
    assert [secret for secret in SECRETS if secret in text.lower()] == []


def run(source: Path, destination: str, report: Path, *options: str) -> tuple[int, str]:
    secret = "no one knows " * 3
    done = command.run("build", source, destination, "--report", report, *options, STILLFRAME_SECRET=secret)
    text = done.stdout + done.stderr + (report.read_text() if report.exists() else "")
    return done.returncode, text


def check_roles(report: Path) -> None:
    told = json.loads(report.read_text())
    assert told["summary"]["published"] > 3
    assert told["summary"]["duplicate"] == 2
    assert len(told["notes"]) > 0
    assert len(told["rejected"]) > 5
    assert len(told["passedOver"]) == 1


@pytest.mark.slow
@pytest.mark.parametrize("workers", ["0", "1"])
def test_builds_into_a_folder_tell_no_names(tmp_path: Path, workers: str) -> None:
    source = write_inputs(tmp_path / "in")
    report = tmp_path / "report.json"
    code, text = run(source, str(tmp_path / "tree"), report, "--workers", workers)
    assert code == 2
    check(text)
    check_roles(report)
    check("\n".join(str(path) for path in (tmp_path / "tree").rglob("*")))


@pytest.mark.parametrize("options", [(), ("--unlisted",)])
def test_builds_into_a_bucket_tell_no_names(bucket: Bucket, tmp_path: Path, options: tuple[str, ...]) -> None:
    """Nor does a store that fails half way through hear or cause one."""
    source = write_inputs(tmp_path / "in")
    report = tmp_path / "report.json"
    with FaultyProxy(bucket.settings.endpoint_url) as proxy:
        place = ("--endpoint-url", proxy.endpoint_url, "--workers", "1", *options)
        code, text = run(source, f"s3://{bucket.name}/archive", report, *place)
        assert code == 2
        check(text)
        check_roles(report)
        first = len(proxy.requests) * 5 // 4  # while instances are published

        def fail(number: int, request: Request) -> Fault | None:
            return Fault.ERROR if number >= first else None

        proxy.plan = fail
        code, text = run(source, f"s3://{bucket.name}/again", report, *place, "--patience", "0.1")
        assert code == 1
        check(text)
        assert json.loads(report.read_text())["failure"]["notPublished"]
        for request in proxy.requests:
            check(request.head.decode("latin-1"))
    keys = [item["Key"] for page in iter_pages(bucket, "", 60.0) for item in page["Contents"]]
    assert any("/frames/" in key for key in keys)
    check("\n".join(keys))
