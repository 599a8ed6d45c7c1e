"""The figures of points: by class, their means, and the sentences about them."""

from __future__ import annotations

from dataclasses import asdict, replace

from landseg.evaluation.objects.figures import mean_of
from landseg.evaluation.options import EvaluateOptions
from landseg.evaluation.points.pair import PointPair
from landseg.evaluation.points.result import COUNTS, MEANS, PointClass, PointEvaluation
from landseg.metrics.points import PointDetection
from landseg.text.amounts import counted

_RANKED = ("ap", "best_f1", "best_score")
_NAN = float("nan")


def evaluate_points(pair: PointPair, options: EvaluateOptions, *, names: tuple[str, str]) -> PointEvaluation:
    """Return the evaluation of points.

    Args:
        pair: prediction and truth.
        options: radius, score and the bootstrap.
        names: of prediction and truth.
    """
    classes = [_class(name, one, pair, options) for name, one in zip(pair.classes, pair.detections, strict=True)]
    table = [asdict(one.figures) for one in classes]
    judged = [row for row in table if row["true_count"]]
    made = PointEvaluation(
        prediction=names[0],
        target=names[1],
        classes=tuple(classes),
        means={name: mean_of([row[name] for row in judged]) for name in MEANS},
        counts={name: sum(row[name] for row in table) for name in COUNTS},
        radius=options.radius,
        unit=pair.unit,
        block=pair.block_text,
        score=options.score,
        scored=pair.scored,
    )
    return replace(made, notes=(*pair.notes, *_notes(pair, made, options)))


def _class(name: str, one: PointDetection, pair: PointPair, options: EvaluateOptions) -> PointClass:
    figures = one.compute(options.score)
    ends = one.intervals(options.score, count=options.samples, seed=options.seed) if options.samples else {}
    if not pair.scored:
        figures = replace(figures, ap=_NAN, best_f1=_NAN, best_score=_NAN)
        ends = {key: value for key, value in ends.items() if key not in _RANKED}
    return PointClass(name, figures, {key: (float(low), float(high)) for key, (low, high) in ends.items()})


def _notes(pair: PointPair, made: PointEvaluation, options: EvaluateOptions) -> list[str]:
    """Return the sentences that a reader of the figures needs."""
    notes = []
    if not made.counts["true_count"]:
        where = "" if options.aoi is None else " in the area"
        notes.append(f"the truth holds no point{where}: no figure but the counts means anything")
    if not pair.scored:
        notes.append("the prediction has no scores, so AP is not given: name points with a column score")
    of_sides = made.counts["true_count"] + made.counts["found_count"] - 2 * made.counts["matched"]
    at_edge = of_sides - made.counts["missed"] - made.counts["invented"]
    if at_edge:
        near = f"{made.radius:g} {'m' if made.unit == 'm' else 'units'} of the area's border"
        is_are = "is" if at_edge == 1 else "are"
        notes.append(f"{counted(at_edge, 'point')} within {near} without a partner {is_are} ignored")
    if made.unit != "m":
        notes.append("without a CRS the radius and distances are in units of the coordinates")
    if options.samples:
        ends = [one.intervals.get("f1", (_NAN, _NAN))[0] for one in made.classes]
        if all(end != end for end in ends):
            notes.append(f"no intervals: all points lie in one block of {pair.block_text}")
        else:
            notes.append(f"95 % intervals by a bootstrap of blocks of {pair.block_text}")
    bare = [one.name for one in made.classes if not one.figures.true_count]
    if bare and made.counts["true_count"]:
        notes.append(f"without truth, and in no mean: {', '.join(bare)}")
    return notes
