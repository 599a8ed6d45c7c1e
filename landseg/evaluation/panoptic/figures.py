"""The figures of panoptic maps, and the sentences about them."""

from __future__ import annotations

import math

from landseg.evaluation.options import EvaluateOptions
from landseg.evaluation.panoptic.pair import PanopticPair
from landseg.evaluation.panoptic.result import ESTIMATED, PanopticClass, PanopticEvaluation
from landseg.metrics.overlaps import Floats
from landseg.text.amounts import shorten_list

NO_PRODUCT = "the mean of PQ is not the mean of SQ times the mean of RQ: that holds within a class alone"


def evaluate_panoptic(pair: PanopticPair, options: EvaluateOptions, *, names: tuple[str, str]) -> PanopticEvaluation:
    """Return the evaluation of panoptic maps.

    Args:
        pair: prediction and truth, counted.
        options: of the bootstrap.
        names: of prediction and truth.
    """
    found = pair.panoptic.compute()
    of_groups, of_classes = pair.panoptic.intervals(count=options.samples, seed=options.seed)
    each = zip(pair.classes, pair.panoptic.things.tolist(), found.classes, strict=True)
    classes = tuple(
        PanopticClass(name, thing, figures, {key: _ends(of_classes[key][:, index]) for key in ESTIMATED})
        for index, (name, thing, figures) in enumerate(each)
    )
    outlines = pair.outlines
    return PanopticEvaluation(
        prediction=names[0],
        target=names[1],
        groups=found.groups,
        classes=classes,
        intervals={key: {group: _ends(ends) for group, ends in of_groups[key].items()} for key in ESTIMATED},
        images=len(pair.panoptic.images),
        unit=pair.unit,
        boundary=pair.boundary_text,
        border_distance=math.nan if outlines is None else outlines.median(),
        border_reach=math.nan if outlines is None else outlines.reach,
        border_unit=pair.outline_unit,
        notes=(NO_PRODUCT, *pair.notes, *_notes(pair, classes, options)),
    )


def _ends(both: Floats) -> tuple[float, float]:
    return float(both[0]), float(both[1])


def _notes(pair: PanopticPair, classes: tuple[PanopticClass, ...], options: EvaluateOptions) -> list[str]:
    """Return the sentences about classes without segments and about the intervals."""
    notes = []
    if bare := [one.name for one in classes if math.isnan(one.figures.pq)]:
        notes.append(f"without a segment on either side, and in no mean: {shorten_list(bare, 8)}")
    if not options.samples:
        return notes
    if not any(math.isfinite(one.intervals["pq"][0]) for one in classes):
        notes.append(f"no intervals: all segments lie in one block ({pair.block_text})")
    elif pair.panoptic.block is None:
        notes.append(f"95 % intervals by a bootstrap of blocks, {pair.block_text}")
    else:
        notes.append(
            f"95 % intervals of things by a bootstrap of blocks of {pair.block_text}; stuff has none, since a class "
            "of it is one segment"
        )
    return notes
