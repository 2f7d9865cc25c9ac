"""The next attempt finds unchanged what the one before changed: only its report tells caches of that."""

from __future__ import annotations

import json
from typing import Any

import pytest

from stillframe.build.earlier_report import take_over
from stillframe.build.report import Report
from stillframe.build.results import Built, Outcome
from stillframe.dicom.uids import InstanceUIDs
from stillframe.errors import InputError
from stillframe.source.inputs import InputRef

KEY = "studies/1.2/series/1.2.1/instances/1.2.1.1/frames/{}"


def earlier(failure: str, **members: Any) -> list[str]:
    report = Report(failure=failure)
    report.root_of = {"1.2": "h2x"}.__getitem__
    uids = InstanceUIDs("1.2", "1.2.1", "1.2.1.1")
    changed = (KEY.format(1), KEY.format(2))
    report.add(Built(source=InputRef(path="a"), uids=uids, outcome=Outcome.REPLACED, changed=changed))
    report.add_missing("b")
    return [*json.dumps(report.as_json() | members)]


def test_changes_of_an_attempt_that_failed_stay_with_their_root() -> None:
    report = Report()
    report.add_changed(KEY.format(3))
    take_over(report, earlier("the bucket is gone"))
    assert [*report.changed] == [KEY.format(1), KEY.format(2), KEY.format(3)]
    assert report.as_json()["roots"] == {"1.2": "h2x"}
    assert report.as_json()["summary"]["replaced"] == 0, "counts are of one attempt"


def test_so_do_those_that_cloudfront_was_not_told() -> None:
    report = Report()
    take_over(report, earlier("", invalidation={"paths": ["/x"], "ids": [], "failure": "no right"}))
    assert len(report.changed) == 2


def test_an_attempt_that_ended_well_is_over() -> None:
    report = Report()
    take_over(report, earlier("", invalidation={"paths": ["/x"], "ids": ["I2"]}))
    take_over(report, ["{}"])
    assert (len(report.changed), report.roots) == (0, {})


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "it ends where a value has to stand"),
        ('{"failure": {"reason": "x"}, "changed": [7]}', "it is no report of a build"),
        ('{"failure": {"reason": "x"}, "changed": ["/etc"]}', "what is no key"),
        ('{"failure": {"reason": "x"}, "roots": "x"}', "it is no report of a build"),
    ],
)
def test_what_is_no_report_is_refused(text: str, reason: str) -> None:
    report = Report()
    with pytest.raises(InputError, match=reason):
        take_over(report, [text])
    assert len(report.changed) == 0
