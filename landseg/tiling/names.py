"""The names of test-time augmentations, which are checked before torch is imported."""

from __future__ import annotations

from landseg.errors import PlanError

VIEWS = {"none": 1, "flips": 4, "d4": 8}
"""The test-time augmentations, each with the number of views that it takes the mean of."""


def check_tta(name: str) -> None:
    """Raise PlanError if there is no test-time augmentation of this name."""
    if name not in VIEWS:
        raise PlanError(f"tta {name!r} is unknown; use {', '.join(list(VIEWS)[:-1])} or {list(VIEWS)[-1]}")
