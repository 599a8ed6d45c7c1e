"""Logits in memory instead of files, for regions small enough: of checks and tests."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from landseg.geo.grid import Rect
from landseg.tiling.windowed import Job, stream


def collect(job: Job, region: Rect, classes: int) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Return the logits (K, h, w) of a region, NaN where no window was valid, and the validity (h, w)."""
    sink = _Memory(classes, region.shape)
    stream(replace(job, encode=_as_they_are, origin=(region.top, region.left)), sink)
    return sink.logits, sink.valid


def _as_they_are(finished: Any) -> dict[str, NDArray[Any] | None]:
    return {"logits": None if finished.logits is None else np.array(finished.logits)}


class _Memory:
    def __init__(self, classes: int, shape: tuple[int, int]) -> None:
        self.logits = np.full((classes, *shape), np.nan, np.float32)
        self.valid = np.zeros(shape, np.bool_)

    def write(
        self, name: str, rect: Rect, pixels: NDArray[Any] | None, valid: NDArray[np.bool_] | None = None
    ) -> None:
        if pixels is not None:
            self.logits[(slice(None), *rect.slices)] = pixels
        if valid is not None:
            self.valid[rect.slices] = valid

    def commit(self, step: str) -> None:
        pass
