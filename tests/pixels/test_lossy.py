from __future__ import annotations

from typing import Any

import pytest

from stillframe.codec.facts import FrameFacts
from stillframe.dicom.syntaxes import transfer_syntax
from stillframe.options import Lossy
from stillframe.pixels.lossy import (
    LOSSY,
    METHOD,
    RATIO,
    Treatment,
    choices_like,
    loss_method,
    lossy_changes,
    treat_lossy,
    with_history,
)
from tests.support.dicom_files import jpeg

OURS = lossy_changes("ISO_15444_1", 1000, 81)


def history(methods: list[str], ratios: list[float]) -> dict[str, Any]:
    return {tag: {"Value": values} for tag, values in ((METHOD, methods), (RATIO, ratios)) if values}


def test_a_step_names_its_method_and_its_ratio() -> None:
    assert {tag: element["Value"] for tag, element in OURS.items()} == {
        LOSSY: ["01"],
        RATIO: [12.3],
        METHOD: ["ISO_15444_1"],
    }
    assert METHOD not in lossy_changes("", 1000, 81)


@pytest.mark.parametrize(
    ("methods", "ratios", "expected_methods", "expected_ratios"),
    [
        ([], [], ["ISO_15444_1"], [12.3]),
        (["ISO_15444_1"], [20], ["ISO_15444_1"], [20]),
        (["ISO_15444_1"], [], ["ISO_15444_1"], [12.3]),
        (["ISO_10918_1"], [5], ["ISO_10918_1", "ISO_15444_1"], [5, 12.3]),
        (["ISO_10918_1", "ISO_15444_1"], [5], ["ISO_10918_1", "ISO_15444_1"], [5, 12.3]),
        (["ISO_15444_1", "ISO_10918_1"], [5], ["ISO_15444_1", "ISO_10918_1"], [5]),
        (["ISO_10918_1"], [], ["ISO_10918_1", "ISO_15444_1"], []),
        ([], [7], ["ISO_15444_1"], [7]),
    ],
)
def test_it_is_added_once_to_those_before_it(
    methods: list[str], ratios: list[float], expected_methods: list[str], expected_ratios: list[float]
) -> None:
    merged = with_history(OURS, history(methods, ratios))
    assert merged[LOSSY]["Value"] == ["01"]
    assert merged[METHOD]["Value"] == expected_methods
    assert merged.get(RATIO, {}).get("Value", []) == expected_ratios


def test_changes_of_frames_without_loss_stay_as_they_are() -> None:
    changes = {"00280004": {"vr": "CS", "Value": ["YBR_RCT"]}}
    assert with_history(changes, history(["ISO_10918_1"], [5])) == changes


def facts(number: int, precision: int = 8, *, recompressed: bool = False) -> FrameFacts:
    return FrameFacts(
        width=1, height=1, samples=1, precision=precision, lossless=False, recompressed=recompressed,
        syntax=transfer_syntax(jpeg(number)),
    )  # fmt: skip


KEEP, RESTORE, TRANSCODE = Treatment
TREATED = [
    *((facts(number), (KEEP, KEEP, TRANSCODE)) for number in (50, 51, 81, 91, 203)),
    *((facts(number), (TRANSCODE, KEEP, TRANSCODE)) for number in (110, 111, 112)),
    *((facts(number, recompressed=True), (RESTORE, KEEP, TRANSCODE)) for number in (110, 111, 112)),
]


@pytest.mark.parametrize(("frame", "treatments"), TREATED)
def test_what_becomes_of_lossy_frames(frame: FrameFacts, treatments: tuple[Treatment, ...]) -> None:
    """Viewers decode all but JPEG XL."""
    assert [treat_lossy(choice, frame) for choice in (Lossy.AUTO, Lossy.KEEP, Lossy.TRANSCODE)] == list(treatments)
    for choice in Lossy:
        alike = choices_like(choice, frame)
        assert choice in alike
        assert {treat_lossy(other, frame) for other in alike} == {treat_lossy(choice, frame)}
        assert {treat_lossy(other, frame) for other in set(Lossy) - alike}.isdisjoint({treat_lossy(choice, frame)})


def test_the_loss_of_a_recompressed_image_is_that_of_jpeg() -> None:
    assert loss_method(facts(112)) == "ISO_18181_1"
    assert {loss_method(facts(number, recompressed=True)) for number in (110, 111, 112)} == {"ISO_10918_1"}


@pytest.mark.parametrize(
    ("frame", "treatment"),
    [
        # As tried in OHIF 3.13.2: JPEG ignores the sign, as do 8 bits of JPEG 2000; HTJ2K wraps what overshoots.
        (facts(50), TRANSCODE),
        (facts(51, 12), TRANSCODE),
        (facts(81), KEEP),
        (facts(81, 12), KEEP),
        (facts(91), TRANSCODE),
        (facts(91, 9), KEEP),
        (facts(91, 16), KEEP),
        (facts(203), TRANSCODE),
        (facts(203, 12), TRANSCODE),
        (facts(203, 16), KEEP),
        (facts(112, 12), TRANSCODE),
    ],
)
def test_signed_frames_are_kept_where_viewers_know_the_sign(frame: FrameFacts, treatment: Treatment) -> None:
    assert treat_lossy(Lossy.AUTO, frame, signed=True) is treatment
    assert treat_lossy(Lossy.KEEP, frame, signed=True) is KEEP
    assert treat_lossy(Lossy.TRANSCODE, frame, signed=True) is TRANSCODE
    expected = {Lossy.AUTO, Lossy.KEEP if treatment is KEEP else Lossy.TRANSCODE}
    assert choices_like(Lossy.AUTO, frame, signed=True) == expected
