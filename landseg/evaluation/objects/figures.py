"""The figures of objects: by class, their means, and the sentences about them."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import Any

import numpy as np

from landseg.evaluation.objects.pair import ObjectPair
from landseg.evaluation.objects.result import COUNTS, MEANS, ObjectClass, ObjectEvaluation
from landseg.evaluation.options import EvaluateOptions
from landseg.metrics.detection import Detection
from landseg.text.amounts import counted

_RANKED = ("ap", "ap50", "ap75", "ar", "boundary_ap", "best_f1", "best_score")


def evaluate_objects(
    pair: ObjectPair, options: EvaluateOptions, *, names: tuple[str, str]
) -> tuple[ObjectEvaluation, list[Detection]]:
    """Return the evaluation of overlaid objects, and what its figures were made of, by class.

    Args:
        pair: prediction and truth.
        options: score, areas and the bootstrap.
        names: of prediction and truth.
    """
    detections = pair.detections(options.areas)
    classes = [_class(name, one, pair, options) for name, one in zip(pair.classes, detections, strict=True)]
    table = [asdict(one.figures) for one in classes]
    counts = {name: sum(row[name] for row in table) for name in COUNTS}
    means = {name: mean_of([row[name] for row in table]) for name in MEANS}
    coco = None
    if pair.coco:
        each = np.array([one.figures.coco() for one in classes])
        coco = tuple(mean_of(column.tolist()) for column in each.T)
    made = ObjectEvaluation(
        prediction=names[0],
        target=names[1],
        classes=tuple(classes),
        means=means,
        counts=counts,
        unit=pair.unit,
        areas=detections[0].areas,
        score=options.score,
        scored=pair.scored,
        boundary=pair.boundary_text,
        coco=coco,
    )
    return replace(made, notes=(*pair.notes, *_notes(pair, made, options))), detections


def _class(name: str, one: Detection, pair: ObjectPair, options: EvaluateOptions) -> ObjectClass:
    figures = one.compute(options.score)
    ends = one.intervals(options.score, count=options.samples, seed=options.seed) if options.samples else {}
    if not pair.scored:
        nothing = tuple(float("nan") for _ in figures.ap_by_area)
        none: dict[str, Any] = dict.fromkeys(_RANKED, float("nan"))
        figures = replace(figures, **none, ap_by_area=nothing, ar_by_area=nothing)
        ends = {key: value for key, value in ends.items() if key not in _RANKED}
    return ObjectClass(name, figures, {key: (float(low), float(high)) for key, (low, high) in ends.items()})


def mean_of(values: list[float]) -> float:
    """Return the mean of the values that mean anything; nan without any."""
    some = [value for value in values if value == value]
    return float(np.mean(some)) if some else float("nan")


def _notes(pair: ObjectPair, made: ObjectEvaluation, options: EvaluateOptions) -> list[str]:
    """Return the sentences that a reader of the figures needs."""
    notes = []
    if not made.counts["true_count"]:
        notes.append("the truth holds no object that counts: no figure but the counts means anything")
    if not pair.scored:
        notes.append("the prediction has no scores, so AP is not given: name polygons with a column score")
    if ignored := sum(int(image.overlaps.true.ignored.sum()) for image in pair.images):
        is_are = "is a crowd and is" if ignored == 1 else "are crowds and are"
        why = (
            is_are
            if pair.coco
            else f"{'lies' if ignored == 1 else 'lie'} by less than half inside and "
            + ("is" if ignored == 1 else "are")
        )
        notes.append(f"{counted(ignored, 'object')} of the truth {why} ignored")
    if pair.boundary_text is None and options.boundary is not None and not pair.coco:
        notes.append("boundary AP of polygons needs a width in metres: --boundary 0.5m")
    if options.samples:
        ends = [one.intervals.get("f1", (float("nan"),) * 2)[0] for one in made.classes]
        if all(end != end for end in ends):
            notes.append(f"no intervals: all objects lie in one block of {pair.block_text}")
        else:
            notes.append(f"95 % intervals by a bootstrap of blocks of {pair.block_text}")
    bare = [one.name for one in made.classes if not one.figures.true_count]
    if bare and made.counts["true_count"]:
        notes.append(f"without truth, and in no mean: {', '.join(bare)}")
    return notes
