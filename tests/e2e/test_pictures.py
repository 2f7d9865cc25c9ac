"""Pictures that are expected, and how drawn ones are compared with them."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from tests.e2e.cards import colour_card, grey_card
from tests.e2e.rendering import GRID, grid, window


@pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed")
def test_only_the_right_picture_is_taken_for_right() -> None:
    tests = Path(__file__).with_name("pictures.test.mjs")
    done = subprocess.run(["node", "--test", str(tests)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("shape", [(GRID, GRID), (2 * GRID, 5 * GRID)])
def test_cells_are_the_means_of_whole_pixels(shape: tuple[int, int]) -> None:
    image = np.random.default_rng(1).random((*shape, 3)) * 255
    blocks = image.reshape(GRID, shape[0] // GRID, GRID, shape[1] // GRID, 3).mean(axis=(1, 3))
    assert np.abs(np.array(grid(image)) - blocks).max() <= 0.005 + 1e-9  # two digits


@pytest.mark.parametrize("shape", [(5, 7), (96, 127), (31, 200)])
def test_pixels_count_by_the_part_that_lies_in_a_cell(shape: tuple[int, int]) -> None:
    """The mean of the cells is that of the image, and a slope stays one."""
    image = np.repeat(np.arange(shape[1]) * 1.0, 3).reshape(1, shape[1], 3).repeat(shape[0], axis=0)
    cells = np.array(grid(image))
    assert abs(cells.mean() - image.mean()) < 0.01
    assert (np.diff(cells[0, :, 0]) >= 0).all()


@pytest.mark.parametrize(
    ("function", "value", "light"),
    [
        # PS3.3 C.11.2.1.2.1, note 4: of centre 0 and width 100, -50 is black and 49 white.
        (None, -50, 0), (None, 49, 1), ("LINEAR", -0.5, 0.5), ("LINEAR", 49.5, 1),
        ("LINEAR_EXACT", -50, 0), ("LINEAR_EXACT", 50, 1), ("LINEAR_EXACT", 25, 0.75),
        ("SIGMOID", 0, 0.5), ("SIGMOID", 25, 0.7310585786),
    ],
)  # fmt: skip
def test_windows_are_those_of_the_standard(function: str | None, value: float, light: float) -> None:
    assert window(np.array([[value]]), 0, 100, function)[0, 0] == pytest.approx(light)


def test_a_card_turned_or_mirrored_is_another() -> None:
    for card in (grey_card(96, 96), colour_card(96, 96) / 255.0):
        for other in (card[::-1], card[:, ::-1], np.rot90(card), np.swapaxes(card, 0, 1)):
            assert np.abs(card - other).mean() > 0.05
