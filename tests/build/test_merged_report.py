from __future__ import annotations

import json
import math
from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stillframe.build.merged_report import MergedReport
from stillframe.build.report import Report
from stillframe.build.results import Built, Outcome
from stillframe.build.shard import Shard
from stillframe.build.shares import Share
from stillframe.dicom.uids import InstanceUIDs
from stillframe.plain_text import plain_json
from stillframe.source.inputs import InputRef, Rejected, Skipped


def report_of(
    *, shard: Shard | None = None, studies: Iterable[str] = (), rejected: Iterable[str] = (), failure: str = ""
) -> Report:
    report = Report(share=Share(shard) if shard else Share(), failure=failure)
    for path in rejected:
        report.add(Rejected(path=path, reason="damaged"))
    for study in studies:
        uids = InstanceUIDs(study, f"{study}.1", f"{study}.1.1")
        key = f"studies/{study}/series/{study}.1/instances/{study}.1.1/frames/1"
        report.add(
            Built(source=InputRef(path=f"{study}.dcm"), uids=uids, outcome=Outcome.PUBLISHED, frames=2, changed=(key,))
        )
    return report


def merge(*reports: Report) -> MergedReport:
    merged = MergedReport()
    for number, report in enumerate(reports, 1):
        merged.add(f"{number}.json", [json.dumps(report.as_json())])
    return merged


def written(merged: MergedReport) -> dict[str, Any]:
    """The merged report as others read it."""
    report: dict[str, Any] = json.loads("".join(plain_json(merged.as_document())))
    return report


def test_counts_are_added_and_lists_are_joined_in_order() -> None:
    first = report_of(shard=Shard(1, 2), studies=["1.2", "1.4"], rejected=["z"])
    second = report_of(shard=Shard(2, 2), studies=["1.3"], rejected=["a"])
    second.pass_over(Skipped("b", "not DICOM"))
    first.seconds, second.seconds = 3.0, 5.0
    first.stages["encode"], second.stages["encode"] = 1.5, 2.25
    merged = merge(first, second)
    report = written(merged)
    assert report["studies"] == ["1.2", "1.3", "1.4"]
    assert [entry["path"] for entry in report["rejected"]] == ["a", "z"]
    assert report["passedOver"] == [{"path": "b", "reason": "not DICOM"}]
    assert report["changed"] == sorted(report["changed"])
    assert len(report["changed"]) == 3
    summary = report["summary"]
    assert (summary["published"], summary["frames"], summary["rejected"], summary["studies"]) == (3, 6, 2, 3)
    assert summary["seconds"] == 5.0, "shards run side by side"
    assert summary["cpuSeconds"] == {"encode": 3.75}
    assert report["shards"] == {"of": 2, "reports": 2}
    assert "failure" not in report
    assert merged.exit_code == 2


@pytest.mark.parametrize(
    ("numbers", "code", "reason"),
    [
        ([1, 2, 3], 0, ""),
        ([1, 3], 1, "no report of shard 2 of 3"),
        ([2], 1, "no report of shards 1, 3 of 3"),
        ([1, 2, 3, 2], 1, "the report 4.json cannot be used: it is of shard 2, as 2.json is"),
        ([], 1, "there are no reports"),
    ],
)
def test_a_shard_that_is_missing_is_told(numbers: list[int], code: int, reason: str) -> None:
    merged = merge(*(report_of(shard=Shard(number, 3), studies=[f"1.{number}"]) for number in numbers))
    assert (merged.exit_code, merged.failure) == (code, reason)


def test_a_shard_that_could_not_finish_is_told_with_what_is_left() -> None:
    first = report_of(shard=Shard(1, 2), failure="the bucket is gone")
    for path in ("b.dcm", "a.dcm"):
        first.add_missing(path)
    first.add_unlisted(InstanceUIDs("1.2", "1.2.1", "1.2.1.1"))
    merged = merge(first, report_of(shard=Shard(2, 2), rejected=["x"]))
    assert merged.exit_code == 1
    assert written(merged)["failure"] == {
        "reason": "shard 1: the bucket is gone",
        "notPublished": ["a.dcm", "b.dcm"],
        "notListed": [{"study": "1.2", "series": "1.2.1", "instance": "1.2.1.1"}],
    }


PLAIN = '{"version": 1, "summary": {"published": 1}'
NO_REPORTS = [
    "", '{"version": 1, "summary": {"publ', "[]", "7", '{"version": 2, "summary": {"published": 1}}', '{"version": 1}',
    PLAIN + ', "dryRun": {}}', PLAIN + ', "x": [7]}', PLAIN + ', "shard": {}}', PLAIN + ', "rejected": [{"path": 7}]}',
    '{"version": 1, "stillframe": "0", "command": "delete", "summary": {"studies": 1}}',
]  # fmt: skip


@pytest.mark.parametrize("text", NO_REPORTS)
def test_what_is_no_report_counts_as_a_job_that_did_not_finish(text: str) -> None:
    """Nothing of it is taken in."""
    merged = merge(report_of(studies=["1.2"]))
    merged.add("broken.json", [text])
    assert merged.exit_code == 1
    assert merged.failure.startswith("the report broken.json cannot be used: ")
    assert written(merged)["studies"] == ["1.2"]
    assert written(merged)["rejected"] == []


def test_reports_of_whole_jobs_merge_but_not_with_those_of_shards() -> None:
    whole = merge(report_of(studies=["1.2"]), report_of(studies=["1.2", "1.3"]))
    assert whole.exit_code == 0
    assert whole.numbers["studies"] == 2
    assert whole.numbers["published"] == 3
    assert "shards" not in written(whole)
    mixed = merge(report_of(studies=["1.2"]), report_of(shard=Shard(1, 2)))
    assert "it is of shard 1 of 2, 1.json is of a whole job" in mixed.failure
    assert "others are of 2 shards" in merge(report_of(shard=Shard(1, 2)), report_of(shard=Shard(1, 3))).failure


def test_a_report_that_is_refused_leaves_the_others_as_they_are() -> None:
    """One of a whole job among shards, say, which none of those that follow is measured by."""
    shards = [report_of(shard=Shard(number, 3), studies=[f"1.{number}"]) for number in (1, 2, 3)]
    merged = merge(shards[0], report_of(studies=["1.9"]), shards[1], report_of(shard=Shard(1, 4)), *shards[2:])
    assert merged.failure == (
        "the report 2.json cannot be used: it is of a whole job, others are of shards; "
        "the report 4.json cannot be used: it is of shard 1 of 4, others are of 3 shards"
    )
    assert written(merged)["studies"] == ["1.1", "1.2", "1.3"]
    assert merged.numbers["published"] == 3


IDS = {"study": "1.2", "series": "1.2.1", "instance": "1.2.1.1"}


@pytest.mark.parametrize(
    ("members", "reason"),
    [
        ({"summary": {"published": "1e999"}}, "the published of its summary is no count"),
        ({"summary": {"published": math.inf}}, "the published of its summary is no count"),
        ({"summary": {"published": -1}}, "the published of its summary is no count"),
        ({"summary": {"published": True}}, "the published of its summary is no count"),
        ({"summary": {"published": 1 << 70}}, "the published of its summary is no count"),
        ({"summary": {"published": 1, "seconds": math.inf}}, "the seconds of its summary is no time"),
        ({"summary": {"published": 1, "seconds": math.nan}}, "the seconds of its summary is no time"),
        ({"summary": {"published": 1, "cpuSeconds": {"scan": math.inf}}}, "the cpuSeconds of its summary is no time"),
        ({"summary": {"published": 1, "cpuSeconds": [1]}}, "its cpuSeconds are of another kind"),
        ({"rejected": [{"path": "a"}]}, "an entry of rejected has no text as its reason"),
        ({"rejected": [{"path": "a", "reason": "b", "study": 1}]}, "an entry of rejected has no text as its study"),
        ({"rejected": {"a": "b"}}, "an entry of rejected is of another kind"),
        ({"rejected": "a"}, "its rejected are no list"),
        ({"passedOver": [{"reason": "a"}]}, "an entry of passedOver has no text as its path"),
        ({"notes": [{"path": "a"} | IDS]}, "an entry of notes has no text as its outcome"),
        ({"changed": ["studies/1.2/../../x"]}, "an entry of changed is no key"),
        ({"changed": [1]}, "an entry of changed is of another kind"),
        ({"studies": [["1.2"]]}, "an entry of studies is of another kind"),
        ({"roots": ["h2x"]}, "an entry of roots is of another kind"),
        ({"failure": "a"}, "it is no report of a build"),
        ({"failure": {"reason": 7}}, "its failure"),
        ({"failure": {"notPublished": ["a"]}}, "no reason for that"),
        ({"failure": {"reason": "a", "notListed": [{"study": "1.2"}]}}, "has no text as its series"),
        ({"shard": {"number": 1, "of": 10**30}}, "its shard is none"),
        ({"shard": {"number": 0, "of": 0}}, "its shard is none"),
        ({"shard": {"number": 3, "of": 2}}, "its shard is none"),
        ({"shard": {"number": 1.0, "of": 2}}, "its shard is none"),
        ({"shard": 1}, "its shard is none"),
    ],
)
def test_nothing_of_a_damaged_report_is_counted(members: dict[str, Any], reason: str) -> None:
    entries = {"studies": ["1.9"], "notes": [{"path": "p", "outcome": "published", "notes": []} | IDS]}
    merged = merge(report_of(studies=["1.2"]))
    merged.add("damaged.json", [json.dumps(entries | {"version": 1, "summary": {"published": 7}} | members)])
    assert merged.exit_code == 1
    assert merged.failure.startswith("the report damaged.json cannot be used: ")
    assert reason in merged.failure
    assert merged.numbers["published"] == 1
    assert (written(merged)["studies"], written(merged)["notes"]) == (["1.2"], [])
    assert len(list(merged.changed())) == 1


def test_a_number_beyond_all_numbers_is_refused() -> None:
    """JSON has no infinity, but Python reads one."""
    merged = merge(report_of(studies=["1.2"]))
    merged.add("damaged.json", ['{"version": 1, "summary": {"published": 1, "seconds": 1e999}}'])
    assert "the seconds of its summary is no time" in merged.failure
    assert written(merged)["summary"]["seconds"] == 0


def test_what_caches_have_to_drop_is_told_with_its_root() -> None:
    unlisted = report_of(shard=Shard(1, 1), studies=["1.2"])
    unlisted.root_of = {"1.2": "h2x"}.__getitem__
    assert list(merge(unlisted).changed()) == [("h2x", "studies/1.2/series/1.2.1/instances/1.2.1.1/frames/1")]
    assert written(merge(unlisted))["roots"] == {"1.2": "h2x"}


@given(st.lists(st.text(max_size=5), max_size=6), st.lists(st.text(max_size=5), max_size=6))
def test_paths_come_in_the_order_of_one_report(first: list[str], second: list[str]) -> None:
    """Whatever they are: names of files need not be text."""
    merged = written(merge(report_of(rejected=first), report_of(rejected=second)))["rejected"]
    assert [entry["path"] for entry in merged] == sorted([*first, *second])
