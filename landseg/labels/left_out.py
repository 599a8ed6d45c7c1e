"""LeftOut: numbers of pixels that did not count, by reason."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray


class Reason(StrEnum):
    """The reason for which a pixel did not count: the first that holds. The value is the key in JSON."""

    OUTSIDE_AOI = "outside_aoi"
    OUTSIDE_LABELS = "outside_labels"
    NO_DATA = "no_data"
    IGNORED = "ignored"
    UNDECIDED = "undecided"
    UNWANTED = "unwanted_classes"
    NO_IMAGERY = "no_imagery"
    NO_PROBABILITIES = "no_probabilities"


_WORDS = {
    Reason.OUTSIDE_AOI: "outside the area of interest",
    Reason.OUTSIDE_LABELS: "where no labels lie",
    Reason.NO_DATA: "that are nodata or masked in the class raster",
    Reason.IGNORED: "of ignored values",
    Reason.UNDECIDED: "that the index leaves open",
    Reason.UNWANTED: "of classes that are not wanted",
    Reason.NO_IMAGERY: "labelled, without data in the imagery",
    Reason.NO_PROBABILITIES: "labelled, without probabilities",
}

Masks = Mapping[Reason, NDArray[np.bool_]]
"""The pixels (h, w) at which each reason holds, no two at one pixel; reasons that hold nowhere may be absent."""


@dataclass
class LeftOut:
    """Numbers of pixels that did not count, by reason.

    >>> left_out = LeftOut()
    >>> left_out.add(Reason.IGNORED, 1200)
    >>> left_out.line(), left_out.to_json()
    ('left out: 1,200 px of ignored values', {'ignored': 1200})
    """

    pixels: Counter[Reason] = field(default_factory=Counter)

    def __bool__(self) -> bool:
        return any(self.pixels.values())

    @property
    def total(self) -> int:
        """Number of all these pixels."""
        return sum(self.pixels.values())

    def add(self, reason: Reason, pixels: int) -> None:
        """Count pixels of one reason."""
        if pixels:
            self.pixels[reason] += int(pixels)

    def add_masks(self, masks: Masks) -> None:
        """Count the pixels of each reason's mask."""
        for reason, mask in masks.items():
            self.add(reason, int(np.count_nonzero(mask)))

    def merge(self, other: LeftOut) -> None:
        """Add the counts of another."""
        self.pixels.update(other.pixels)

    def to_json(self) -> dict[str, int]:
        """Return pixels by reason, without reasons that do not occur."""
        return {reason.value: self.pixels[reason] for reason in Reason if self.pixels[reason]}

    def line(self) -> str | None:
        """Return one sentence with every reason and its pixels; None where nothing was left out."""
        parts = [f"{self.pixels[reason]:,} px {_WORDS[reason]}" for reason in Reason if self.pixels[reason]]
        return f"left out: {', '.join(parts)}" if parts else None


def left_out_line(counts: Mapping[str, int]) -> str | None:
    """Return the sentence of `LeftOut.line` for the counts of `LeftOut.to_json`."""
    return LeftOut(Counter({Reason(key): pixels for key, pixels in counts.items()})).line()


def known_under(masks: Masks, shape: tuple[int, int]) -> NDArray[np.bool_]:
    """Return the pixels (h, w) at which no reason holds."""
    unknown = np.zeros(shape, np.bool_)
    for mask in masks.values():
        unknown |= mask
    return ~unknown


def parts_of(masks: Masks, part: Any, inside: NDArray[np.bool_] | None) -> Masks:
    """Return the masks under a part of their rectangle, and outside an area of interest that reason alone.

    Args:
        masks: by reason, (h, w).
        part: slices of the part.
        inside: (h, w) of the whole rectangle, True in the area of interest; None: there is none.
    """
    cut = {reason: mask[part] for reason, mask in masks.items()}
    if inside is None:
        return cut
    here = inside[part]
    return {Reason.OUTSIDE_AOI: ~here, **{reason: mask & here for reason, mask in cut.items()}}
