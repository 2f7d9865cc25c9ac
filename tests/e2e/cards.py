"""The pictures that samples hold: scenes without symmetry, so that one turned, mirrored or shifted is another."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

type Plane = npt.NDArray[np.float64]


def grey_card(rows: int, columns: int, turn: float = 0.0) -> Plane:
    """Brightness from 0 to 1, rows x columns: a slope, a bright disc at the upper left, a dark bar at the lower right.

    `turn` from 0 to 1 moves disc and bar, so that each frame of several is told from the others.
    """
    y, x = np.mgrid[0.5:rows, 0.5:columns]
    y, x = y / rows, x / columns
    scene: Plane = 0.25 + 0.25 * x + 0.15 * y
    disc = (x - 0.3 - 0.15 * turn) ** 2 + (y - 0.28 - 0.1 * turn) ** 2 < 0.17**2
    scene[disc] = 1.0
    scene[(x > 0.55) & (x < 0.92) & (y > 0.6 - 0.2 * turn) & (y < 0.78 - 0.2 * turn)] = 0.0
    scene[(x > 0.12) & (x < 0.3) & (y > 0.7) & (y < 0.92)] = 0.8
    return scene


def grey_levels(rows: int, columns: int, low: float, high: float, turn: float = 0.0) -> npt.NDArray[np.int64]:
    """The card in whole numbers from `low` to `high`."""
    return np.rint(low + grey_card(rows, columns, turn) * (high - low)).astype(np.int64)


def colour_card(rows: int, columns: int, turn: float = 0.0, largest: int = 255) -> npt.NDArray[Any]:
    """RGB, rows x columns x 3, from 0 to `largest`: the card under fields of strong colours."""
    light = grey_card(rows, columns, turn)
    y, x = np.mgrid[0.5:rows, 0.5:columns]
    y, x = y / rows, x / columns
    tint = np.stack([0.4 + 0.6 * x, 0.9 - 0.7 * y, 0.2 + 0.8 * np.abs(y - x)], axis=-1)
    tint[(x < 0.5) & (y < 0.5)] = [1.0, 0.15, 0.1]
    tint[(x > 0.6) & (y < 0.3)] = [0.1, 0.2, 1.0]
    tint[(x < 0.35) & (y > 0.6)] = [0.1, 0.9, 0.2]
    levels = np.rint(largest * np.clip(0.15 + light, 0, 1)[..., None] * tint)
    card: npt.NDArray[Any] = levels.astype("u1" if largest < 256 else "u2")
    return card
