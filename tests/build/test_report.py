"""What reports take in and give back."""

from __future__ import annotations

import json

from stillframe.build.report import Report
from stillframe.build.report_entries import Group
from stillframe.build.results import Built, Outcome
from stillframe.dicom.uids import InstanceUIDs
from stillframe.plain_text import plain_json
from stillframe.source.inputs import InputRef, Rejected, Skipped

UIDS = [InstanceUIDs("1.2", f"1.2.{series}", f"1.2.{series}.1") for series in (10, 9)]


def filled() -> Report:
    report = Report()
    for uids, path in zip(UIDS, ("b", "a"), strict=True):
        report.add(Built(source=InputRef(path=path), uids=uids, outcome=Outcome.PUBLISHED, notes=("odd",)))
    report.add(Built(source=InputRef(path="c"), uids=UIDS[0], outcome=Outcome.DUPLICATE, changed=("k2", "k1", "k2")))
    report.add(Rejected(path="in/2", reason="7 frames need 14 bytes", study="1.2"))
    report.add(Rejected(path="in/1", reason="8 frames need 16 bytes"))
    report.add(Rejected(path="in/a.zip!3", reason="is encrypted"))
    report.pass_over(Skipped("x.txt", "not DICOM"))
    return report


def test_entries_come_in_order_of_their_paths() -> None:
    report = filled()
    assert [noted.source for noted in report.noted] == ["a", "b"]
    assert [(item.path, item.study) for item in report.rejected] == [("in/1", ""), ("in/2", "1.2"), ("in/a.zip!3", "")]
    assert (len(report.rejected), report.rejected[1].path) == (3, "in/2")
    assert [*report.changed] == ["k1", "k2"]
    assert ([*report.studies], len(report.series), report.exit_code) == (["1.2"], 2, 2)


def test_rejections_are_counted_by_reason_and_folder() -> None:
    report = filled()
    assert [*report.reasons] == [Group(2, "7 frames need 14 bytes", alike=False), Group(1, "is encrypted")]
    assert [*report.folders] == [Group(2, "in"), Group(1, "in/a.zip")]


def test_whoever_watches_hears_of_each_rejection() -> None:
    heard: list[str] = []
    Report(on_reject=heard.append).add(Rejected(path="a", reason="is encrypted"))
    assert heard == ["is encrypted"]


def test_a_report_is_written_as_it_would_be_from_memory() -> None:
    report = filled()
    report.failure = "no room"
    report.add_missing("later")
    report.add_unlisted(UIDS[0])
    text = "".join(plain_json(report.as_document()))
    assert text == json.dumps(report.as_json(), indent=2) + "\n"
    assert json.loads(text)["failure"] == {
        "reason": "no room",
        "notPublished": ["later"],
        "notListed": [{"study": "1.2", "series": "1.2.10", "instance": "1.2.10.1"}],
    }


def test_a_report_of_nothing_is_written_too() -> None:
    report = Report()
    assert "".join(plain_json(report.as_document())) == json.dumps(report.as_json(), indent=2) + "\n"
