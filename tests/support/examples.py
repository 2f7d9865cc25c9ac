"""How many examples a property is tried with: all of them, or a tenth in the quick run."""

from __future__ import annotations

import os
from typing import Final

from hypothesis import HealthCheck, settings

FAST: Final = "fast"
_SHARE: Final = {"ci": 1.0, FAST: 0.1}
SAME_FOLDER: Final = (HealthCheck.too_slow, HealthCheck.function_scoped_fixture)
"""What is not a mistake where examples write the same files in one folder, one after the other."""
_PROFILE: Final = os.environ.get("STILLFRAME_EXAMPLES", "ci")


def load_profile() -> None:
    """Set what holds for every property. No deadlines: a busy machine must not fail a test."""
    for name in _SHARE:
        settings.register_profile(
            name, max_examples=examples(100, name), deadline=None, suppress_health_check=[HealthCheck.too_slow]
        )
    settings.load_profile(_PROFILE)


def examples(count: int, profile: str = _PROFILE) -> int:
    """The number of examples where a property needs another than 100."""
    return max(5, round(count * _SHARE[profile]))
