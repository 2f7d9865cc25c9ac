from __future__ import annotations

from typing import Any

import pytest

from stillframe.dicom.syntaxes import transfer_syntax
from stillframe.pixels.lossy import LOSSY, METHOD, RATIO, lossy_changes, with_history

OURS = lossy_changes(transfer_syntax("1.2.840.10008.1.2.4.91"), 1000, 81)


def history(methods: list[str], ratios: list[float]) -> dict[str, Any]:
    return {tag: {"Value": values} for tag, values in ((METHOD, methods), (RATIO, ratios)) if values}


def test_a_step_names_its_method_and_its_ratio() -> None:
    assert {tag: element["Value"] for tag, element in OURS.items()} == {
        LOSSY: ["01"],
        RATIO: [12.3],
        METHOD: ["ISO_15444_1"],
    }
    assert METHOD not in lossy_changes(transfer_syntax("1.2.3"), 1000, 81)


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
