"""PanopticPair: the segments of prediction and truth, counted, and what a reader of the figures has to know."""

from __future__ import annotations

from dataclasses import dataclass

from landseg.metrics.matched_outlines import MatchedOutlines
from landseg.metrics.panoptic import Panoptic


@dataclass(frozen=True)
class PanopticPair:
    """Panoptic maps and their truth, with what their segments share.

    Attributes:
        panoptic: the counts of all images.
        classes: names, by index.
        unit: of sizes: "m2" or "px".
        block_text: the blocks of the bootstrap, for people.
        boundary_text: width of the bands of the boundary PQ; None where they were not measured.
        outlines: the distances of matched outlines of things; None where they were not measured.
        outline_unit: of these: "m" or "px".
        notes: sentences that a reader of the figures needs.
    """

    panoptic: Panoptic
    classes: tuple[str, ...]
    unit: str
    block_text: str
    boundary_text: str | None = None
    outlines: MatchedOutlines | None = None
    outline_unit: str = "px"
    notes: tuple[str, ...] = ()
