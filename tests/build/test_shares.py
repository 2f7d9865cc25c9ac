from __future__ import annotations

from collections.abc import Callable

import pytest

from stillframe.build.shard import Shard
from stillframe.build.shares import Elsewheres, Share, own_lines
from stillframe.dicom.assigned_uids import assigned_uid
from stillframe.dicom.uids import InstanceUIDs
from stillframe.errors import UsageError
from stillframe.source.inputs import Elsewhere, Header, InputRef, Item, Rejected, Skipped
from stillframe.source.manifest import Listed

STUDIES = [f"1.2.{number}" for number in range(40)]
SHARDS = [Shard(number, 4) for number in range(1, 5)]


def header(study: str, named: str = "") -> Header:
    return Header(InputRef(path=f"{study}.dcm", study=named), InstanceUIDs(study, f"{study}.1", f"{study}.1.1"), "", "")


def allow(_: str) -> str:
    return ""


def test_an_input_is_taken_by_the_shard_of_its_study() -> None:
    headers = [header(study) for study in STUDIES]
    shares = [Share(shard) for shard in SHARDS]
    taken = [[share.of_scanned(item.source, item) for item in headers] for share in shares]
    for number, item in enumerate(headers):
        assert [of_shard[number] for of_shard in taken if of_shard[number] is not None] == [item]
    assert sum(share.elsewhere.inputs for share in shares) == 3 * len(headers)


def test_what_has_no_study_is_told_of_by_one_shard() -> None:
    """Whether the search or the scan finds it out."""
    met: list[Item] = [Rejected(path=f"{number}.zip", reason="damaged") for number in range(40)]
    met += [Skipped(f"{number}.txt", "the same file") for number in range(40)]
    told = [item for shard in SHARDS for item in Share(shard).of_found(met)]
    assert sorted(map(str, told)) == sorted(map(str, met))
    sources = [InputRef(path=f"{number}.txt") for number in range(40)]
    scanned = [
        Share(shard).of_scanned(source, Skipped(source.path, "not DICOM")) for shard in SHARDS for source in sources
    ]
    assert sum(item is not None for item in scanned) == len(sources)


def test_inputs_are_read_by_all_shards_and_lines_of_others_are_counted() -> None:
    share = Share(Shard(1, 4))
    inputs: list[Item] = [InputRef(path="a"), Elsewhere("m, line 1"), InputRef(path="b"), Elsewhere("m, line 2")]
    assert list(share.of_found(inputs)) == [InputRef(path="a"), InputRef(path="b")]
    assert share.elsewhere == Elsewheres(inputs=0, lines=2)
    assert share.as_json()["shard"] == {"number": 1, "of": 4, "inOtherShards": {"inputs": 0, "manifestLines": 2}}
    assert Share().as_json() == {}


def test_lines_of_a_study_are_followed_by_its_shard() -> None:
    lines = [Listed(f"s3://b/{study}/", f"m, line {number}", study) for number, study in enumerate(STUDIES, 1)]
    followed = [list(own_lines(lines, shard, allow, assign_uids=False)) for shard in SHARDS]
    for number, line in enumerate(lines):
        assert [of_shard[number] for of_shard in followed].count(line) == 1
        assert [of_shard[number] for of_shard in followed].count(Elsewhere(line.line)) == 3


def test_lines_without_a_study_are_followed_by_all_shards() -> None:
    lines: list[Listed | Rejected] = [Listed("s3://b/x/", "m, line 1"), Rejected(path="m, line 2", reason="no command")]
    for shard in SHARDS:
        assert list(own_lines(lines, shard, allow, assign_uids=False)) == lines


def test_what_a_manifest_gives_a_study_for_is_told_of_by_that_study_s_shard() -> None:
    """No other shard knows of it."""
    for study in STUDIES:
        (shard,) = [shard for shard in SHARDS if shard.holds(study)]
        source = InputRef(path=f"{study}.txt", study=study)
        for scanned in (Skipped(source.path, "not DICOM"), Rejected(path=source.path, reason="damaged")):
            assert Share(shard).of_scanned(source, scanned) == scanned
        met: list[Item] = [Rejected.of(source, "damaged"), Skipped("b", "a pipe", study=study)]
        assert list(Share(shard).of_found(met)) == met


@pytest.mark.parametrize("shard", [Shard(), *SHARDS])
def test_an_input_of_another_study_than_the_manifest_gives_is_rejected(shard: Shard) -> None:
    """In a job that is not split, too, so that both come to the same."""
    item = header("1.2.3", named="1.2.4")
    result = Share(shard).of_scanned(item.source, item)
    assert isinstance(result, Rejected)
    assert result.reason == "its Study Instance UID is not the one that the manifest gives: 1.2.4"
    assert (result.study, result.instance) == ("1.2.3", "1.2.3.1.1")
    same = header("1.2.3", named="1.2.3")
    assert Share().of_scanned(same.source, same) == same


def test_a_study_that_gets_another_uid_is_split_by_that() -> None:
    named = Listed("s3://b/x/", "m, line 1", "patient 7")
    (shard,) = [shard for shard in SHARDS if shard.holds(assigned_uid("patient 7"))]
    (line,) = own_lines([named], shard, allow, assign_uids=True)
    assert isinstance(line, Listed)
    assert line.study == assigned_uid("patient 7")


def refuse(location: str) -> str:
    if location == "broken":
        raise UsageError("expected s3://bucket/prefix: broken")
    return "source and destination overlap" if location == "tree" else ""


@pytest.mark.parametrize(
    ("location", "reason"),
    [("tree", "source and destination overlap"), ("broken", "expected s3://bucket/prefix: broken")],
)
def test_a_line_that_may_be_no_source_is_rejected(location: str, reason: str) -> None:
    judge: Callable[[str], str] = refuse
    lines = own_lines([Listed(location, "m, line 7"), Listed("in", "m, line 8")], Shard(), judge, assign_uids=False)
    assert list(lines) == [Rejected(path="m, line 7", reason=reason), Listed("in", "m, line 8")]


def test_one_shard_of_one_is_reported_as_a_shard() -> None:
    """Scripts that count shards look for it."""
    others = {"inputs": 0, "manifestLines": 0}
    assert Share(Shard(1, 1)).as_json() == {"shard": {"number": 1, "of": 1, "inOtherShards": others}}
    assert Share().as_json() == {}
