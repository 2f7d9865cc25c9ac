from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stillframe.source.inputs import Rejected
from stillframe.source.manifest import Listed, is_like_header, parse_manifest

UID = "1.3.6.1.4.1.14519.5.2.1"


def parsed(text: str) -> list[Listed | Rejected]:
    return list(parse_manifest("m", text.splitlines(keepends=True)))


def locations(text: str) -> list[str]:
    return [line.location for line in parsed(text) if isinstance(line, Listed)]


def reasons(text: str) -> dict[str, str]:
    return {line.path: line.reason for line in parsed(text) if isinstance(line, Rejected)}


def test_lines_are_sources() -> None:
    text = "# scans of May\n\n  /data/may/  \r\ns3://bucket/prefix/*\ns3://bucket/a.dcm\na folder/with, commas\n"
    assert parsed(text) == [
        Listed("/data/may/", "m, line 3"),
        Listed("s3://bucket/prefix/", "m, line 4"),
        Listed("s3://bucket/a.dcm", "m, line 5"),
        Listed("a folder/with, commas", "m, line 6"),
    ]


def test_commands_of_s5cmd_name_their_source() -> None:
    """As the portal of the Imaging Data Commons writes them, and as idc-index does."""
    text = (
        "# s5cmd --no-sign-request --endpoint-url https://s3.amazonaws.com run manifest.s5cmd\n"
        "cp s3://idc-open-data/6079cc3b-4b0f-41ec-bdbb-c6e754e88229/* .\n"
        'sync s3://idc-open-data/a1e77e5c/* "/data/a folder"\n'
        "cp --show-progress --if-size-differ -c 5 --part-size=50 's3://idc-open-data/b b/*' .\n"
        "s5cmd --no-sign-request --numworkers 8 cp s3://idc-open-data/c/x.dcm ./c/\n"
        "cp 's3://idc-open-data/*' .\n"
        "cp s3://idc-open-data/d/ .\n"
        "cp --raw 's3://idc-open-data/what?.dcm' .\n"
        "cp /data/x.dcm s3://elsewhere/\n"
    )
    assert parsed(text) == [
        Listed("s3://idc-open-data/6079cc3b-4b0f-41ec-bdbb-c6e754e88229/", "m, line 2"),
        Listed("s3://idc-open-data/a1e77e5c/", "m, line 3"),
        Listed("s3://idc-open-data/b b/", "m, line 4"),
        Listed("s3://idc-open-data/c/x.dcm", "m, line 5", alone=True),
        Listed("s3://idc-open-data/", "m, line 6"),
        Listed("s3://idc-open-data/d/", "m, line 7"),
        Listed("s3://idc-open-data/what?.dcm", "m, line 8", alone=True),
        Listed("/data/x.dcm", "m, line 9"),
    ]


@pytest.mark.parametrize(
    ("command", "reason"),
    [
        ("cp s3://b/2020*/x.dcm .", "a wildcard is read at the end of a prefix only"),
        ("cp s3://b/2020* .", "a wildcard is read at the end of a prefix only"),
        ("cp s3://b/?/* .", "a wildcard is read at the end of a prefix only"),
        ("cp --exclude '*.txt' s3://b/a/* .", "--exclude chooses among the objects"),
        ("cp --version-id=7 s3://b/a .", "--version-id chooses among the objects"),
        ("s5cmd rm s3://b/a/*", "rm is not read; cp and sync are"),
        ("cp 's3://b/a/* .", "No closing quotation"),
        ("cp --flatten", "it names none"),
    ],
)
def test_what_is_no_such_command_is_rejected_by_its_line(command: str, reason: str) -> None:
    text = f"s3://b/first\n{command}\t\ns3://b/last\n"
    assert locations(text) == ["s3://b/first", "s3://b/last"]
    ((line, said),) = reasons(text).items()
    assert line == "m, line 2"
    assert reason in said


def test_a_table_names_series_and_their_studies() -> None:
    """The columns of idc-index, in any order, quoted or not, with lines ends of any kind."""
    text = (
        "\ufeffcollection_id,PatientID,StudyInstanceUID,SeriesInstanceUID,SeriesDescription,series_aws_url\r\n"
        f'nlst,P1,{UID}.1,{UID}.1.1,"lung, 2 mm",s3://idc-open-data/uuid-1/*\r\n'
        "\r\n"
        "# a remark\r\n"
        f'nlst,P1,{UID}.2,{UID}.2.1,"a ""large"" one","s3://idc-open-data/uuid-2/*"\r\n'
        f"nlst,P1,,{UID}.3.1,,s3://idc-open-data/uuid-3/\r\n"
    )
    assert parsed(text) == [
        Listed("s3://idc-open-data/uuid-1/", "m, line 2", f"{UID}.1"),
        Listed("s3://idc-open-data/uuid-2/", "m, line 5", f"{UID}.2"),
        Listed("s3://idc-open-data/uuid-3/", "m, line 6"),
    ]


@pytest.mark.parametrize("delimiter", [",", "\t", ";"])
def test_a_table_without_urls_has_buckets_and_uuids(delimiter: str) -> None:
    """Which newer versions of the index have in their place."""
    rows = [["crdc_series_uuid", "StudyInstanceUID", "aws_bucket"], ["u-1", f"{UID}.1", "b"], ["u-2", f"{UID}.2", ""]]
    text = "\n".join(delimiter.join(row) for row in rows)
    assert parsed(text) == [
        Listed("s3://b/u-1/", "m, line 2", f"{UID}.1"),
        Rejected(path="m, line 3", reason="its row names no source"),
    ]


def test_a_table_of_one_column_is_a_table() -> None:
    assert locations("series_aws_url\ns3://b/u/*\n") == ["s3://b/u/"]


def test_a_table_that_names_no_sources_is_rejected_once() -> None:
    text = f"PatientID,StudyInstanceUID\nP1,{UID}\nP2,{UID}\n"
    assert list(reasons(text)) == ["m, line 1"]
    assert "no column series_aws_url" in reasons(text)["m, line 1"]


@pytest.mark.parametrize(
    ("line", "like"),
    [
        ("a;b", True),
        ("Patient ID, url", True),
        ("name\turl", True),
        ("scan.dcm", False),
        ("a folder/with, commas", False),
        ("1;2", False),
        ("a;;b", False),
        ("", False),
    ],
)
def test_a_line_is_told_that_may_be_the_header_of_another_table(line: str, like: bool) -> None:
    assert is_like_header(line) == like


def test_a_damaged_row_is_rejected_and_the_others_are_read() -> None:
    text = f"series_aws_url,StudyInstanceUID\ns3://b/1/*\ns3://b/2/*,{UID},x\ns3://b/*/x,{UID}\ns3://b/4/*,{UID}\n"
    assert locations(text) == ["s3://b/4/"]
    assert list(reasons(text)) == ["m, line 2", "m, line 3", "m, line 4"]
    assert reasons(text)["m, line 2"] == "its row has 1 values, the header row 2"


@pytest.mark.parametrize("delimiter", [",", "\t", ";"])
def test_a_quotation_mark_that_nobody_closes_takes_in_its_line_alone(delimiter: str) -> None:
    """As a parser of CSV reads it, it makes one value of the rest of the table."""
    rows = ["s3://b/1/* 1", 's3://b/2/* "x', "s3://b/3/* 3", 's3://b/4/* "x"y', '"s3://b/5/*" "5"', 's3://b/6/* "6']
    text = "\n".join(["series_aws_url name", *rows]).replace(" ", delimiter)
    assert locations(text) == ["s3://b/1/", "s3://b/3/", "s3://b/5/"]
    assert list(reasons(text)) == ["m, line 3", "m, line 5", "m, line 7"]
    assert all("a quotation mark is not closed within the line" in reason for reason in reasons(text).values())


def test_a_row_over_two_lines_is_rejected_and_so_is_its_rest() -> None:
    text = f'series_aws_url,StudyInstanceUID,name\ns3://b/1/*,{UID},"over\ntwo lines"\ns3://b/2/*,{UID},x\n'
    assert locations(text) == ["s3://b/2/"]
    assert list(reasons(text)) == ["m, line 2", "m, line 3"]


def test_names_that_nothing_can_have_are_rejected() -> None:
    """Only their lines are: what asks for them would fail in a way that ends the job."""
    long = "s3://b/" + "é" * 512
    text = f"/data/a\0b\ncp '/data/\0' .\ns3://b/a\udcff\n{long}\n{long}x\n/data/\udcff\n" + "s\0c\0"
    assert locations(text) == [long, "/data/\udcff"]
    said = reasons(text)
    assert list(said) == [f"m, line {number}" for number in (1, 2, 3, 5, 7)]
    assert all("NUL" in said[f"m, line {number}"] for number in (1, 2, 7))
    assert "text in UTF-8" in said["m, line 3"]
    assert "at most 1024 bytes" in said["m, line 5"]


def test_a_manifest_is_read_as_it_is_asked_for() -> None:
    taken: list[int] = []

    def lines() -> object:
        for number in range(1_000_000):
            taken.append(number)
            yield f"cp s3://b/{number}/* .\n"

    sources = parse_manifest("m", lines())  # type: ignore[arg-type]
    assert [next(sources) for _ in range(3)][2] == Listed("s3://b/2/", "m, line 3")
    assert len(taken) <= 4


@given(st.text(max_size=300))
def test_any_text_gives_sources_and_reasons(text: str) -> None:
    """Every line comes to something or says nothing, and no line ends the others."""
    found = list(parse_manifest("m", text.splitlines(keepends=True)))
    assert all(line.path if isinstance(line, Rejected) else line.line.startswith("m, line ") for line in found)
    assert len(found) <= len(text.splitlines())
