"""The record of a published instance: what stands where, and what is taken for one."""

from __future__ import annotations

import warnings

import pytest
from pydicom import Dataset

from stillframe import FORMAT_VERSION
from stillframe.archive.record import (
    Holding,
    Record,
    describe_options,
    notes_of,
    record_of,
    with_record,
    without_record,
)
from stillframe.dicom.json_convert import convert
from stillframe.dicom.json_model import JSONDataset, dumps
from stillframe.errors import InputError
from stillframe.options import BuildOptions, Lossy

DIGEST = f"sha256:{'0123456789abcdef' * 4}"
OTHER = f"sha256:{'fedcba9876543210' * 4}"


def test_a_record_takes_the_first_free_block() -> None:
    before: JSONDataset = {
        "00080005": {"vr": "CS"},
        "00990010": {"vr": "LO", "Value": ["ACME"]},
        "00991201": {"vr": "LO", "Value": ["an orphan"]},
        "7FE10010": {"vr": "OB"},
    }
    after = with_record(before, Record(DIGEST, "lossy=keep"))
    assert list(after) == ["00080005", "00990010", "00990011", "00991101", "00991102", "00991201", "7FE10010"]
    assert record_of(after) == Record(DIGEST, "lossy=keep")
    assert record_of(before) is None
    again = with_record(after, Record(OTHER))
    assert list(again) == list(after)
    assert record_of(again) == Record(OTHER)
    assert without_record(again) == before


def test_the_promised_objects_stand_behind_the_options() -> None:
    metadata = with_record({}, Record(DIGEST, "a=1;b=2", Holding(3, 4567)), ["one note", "another"])
    assert metadata["00991002"] == {"vr": "UC", "Value": ["a=1;b=2;objects=3;bytes=4567"]}
    assert record_of(metadata) == Record(DIGEST, "a=1;b=2", Holding(3, 4567))
    assert notes_of(metadata) == ("one note", "another")


def test_options_without_promised_objects_are_kept_as_they_are() -> None:
    assert Record.parse(DIGEST, "a=1;objects=3") == Record(DIGEST, "a=1;objects=3")
    assert Record.parse(DIGEST, "a=1;objects=3;bytes=x").promised is None


def test_a_record_in_a_source_is_not_taken_for_ours() -> None:
    published = dict(with_record({}, Record(DIGEST, "x")))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        source = Dataset.from_json(dumps(published).decode())
    source.PatientID = "1"
    assert list(without_record(convert(source).dataset)) == ["00080005", "00100020"]


def test_a_record_without_a_free_block() -> None:
    full: JSONDataset = {f"009900{block:02X}": {"vr": "LO", "Value": ["ACME"]} for block in range(0x10, 0x100)}
    with pytest.raises(InputError, match="0099"):
        with_record(full, Record(DIGEST, "x"))


def test_a_record_needs_review_if_only_its_format_is_another() -> None:
    now = describe_options(BuildOptions())
    assert now.startswith(f"format={FORMAT_VERSION};")
    before = Record(DIGEST, now.replace(f"format={FORMAT_VERSION};", "format=1;"))
    assert (before.version, before.needs_review(now)) == (1, True)
    assert not Record(DIGEST, now).needs_review(now)
    assert not Record(DIGEST, now.replace(f"format={FORMAT_VERSION};", "format=999999;")).needs_review(now)
    assert not before.needs_review(describe_options(BuildOptions(reduced=())))


def record_with(*choices: Lossy, version: int = FORMAT_VERSION) -> Record:
    options = describe_options(BuildOptions(), choices)
    return Record(DIGEST, options.replace(f"format={FORMAT_VERSION};", f"format={version};"))


def asked(choice: Lossy) -> str:
    return describe_options(BuildOptions(lossy=choice))


@pytest.mark.parametrize(
    ("choices", "text"),
    [
        ((Lossy.AUTO,), "lossy=auto"),
        ((Lossy.KEEP, Lossy.AUTO), "lossy=auto,keep"),
        ((Lossy.TRANSCODE, Lossy.AUTO), "lossy=auto,transcode"),
        (tuple(Lossy), "lossy=any"),
    ],
)
def test_a_record_names_all_choices_for_lossy_frames_by_which_it_is_the_same(
    choices: tuple[Lossy, ...], text: str
) -> None:
    record = record_with(*choices)
    assert text in record.options.split(";")
    assert {choice for choice in Lossy if record.fits(asked(choice))} == set(choices)
    assert not any(record.needs_review(asked(choice)) for choice in Lossy)
    assert not any(record.fits(describe_options(BuildOptions(lossy=choice, reduced=()))) for choice in Lossy)


@pytest.mark.parametrize(
    ("former", "reviewed"),
    [(Lossy.KEEP, {Lossy.AUTO, Lossy.KEEP}), (Lossy.TRANSCODE, {Lossy.TRANSCODE})],
)
def test_what_was_kept_by_the_former_default_is_reviewed_by_the_new_one(former: Lossy, reviewed: set[Lossy]) -> None:
    record = record_with(former, version=2)
    assert {choice for choice in Lossy if record.needs_review(asked(choice))} == reviewed
    assert not any(record.fits(asked(choice)) for choice in Lossy)


def test_a_record_of_another_choice_and_version_is_not_reviewed() -> None:
    """Since version 3 a record tells that another choice gives something else."""
    record = record_with(Lossy.KEEP)
    assert not record.needs_review(asked(Lossy.AUTO))
    assigned = describe_options(BuildOptions(lossy=Lossy.KEEP, assign_uids=True))
    assert record.needs_review(assigned)
    assert not record.needs_review(describe_options(BuildOptions(assign_uids=True)))
    assert Record(DIGEST, "odd").version == 0
