"""The use case behind `landseg compare`: several predictions, one truth, and how sure their differences are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from landseg.comparison import Pair, open_pair
from landseg.errors import ClassError
from landseg.evaluate import count
from landseg.evaluation import Evaluation
from landseg.geo.address import label
from landseg.geo.aligned import open_labels
from landseg.geo.truth import ClassRaster
from landseg.metrics import figures
from landseg.metrics.blocks import Blocks, Statistic, differences
from landseg.summary import EvaluateOptions, summary


@dataclass(frozen=True)
class Difference:
    """How much a prediction is above the first, and the 95 % interval of that, by blocks drawn for both at once.

    Where 0 lies inside the interval, the truth at hand does not tell which of the two is better.
    """

    difference: float
    low: float
    high: float


@dataclass(frozen=True)
class Compared:
    """Several predictions against one truth.

    Attributes:
        evaluations: one a prediction, in the order given.
        mean_iou: for every prediction but the first.
        pixel_accuracy: the same.
        iou: the same for each class, by its name.
    """

    evaluations: tuple[Evaluation, ...]
    mean_iou: tuple[Difference, ...]
    pixel_accuracy: tuple[Difference, ...]
    iou: tuple[dict[str, Difference], ...]

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {
            "evaluations": [one.to_json() for one in self.evaluations],
            "left_out": dict(self.evaluations[0].left_out),
            "differences": [
                {
                    "mean_iou": vars(mean),
                    "pixel_accuracy": vars(accuracy),
                    "iou": {name: vars(one) for name, one in classes.items()},
                }
                for mean, accuracy, classes in zip(self.mean_iou, self.pixel_accuracy, self.iou, strict=True)
            ],
        }


def compare(
    target: str | Sequence[str],
    predictions: Sequence[str],
    options: EvaluateOptions | None = None,
    *,
    quiet: bool = True,
) -> Compared:
    """Evaluate several predictions against one truth, on the grid of the first.

    Args:
        target: label rasters, or a vector file.
        predictions: two or more class rasters with the same classes; each is brought onto the first one's grid as
            labels are.
        options: as for one.
        quiet: show no progress on standard error.

    Raises:
        LandsegError: one sentence: what was expected, what was found, what to do.
    """
    options = options or EvaluateOptions()
    if len(predictions) < 2:
        raise ClassError("one prediction has nothing to be compared with: name two or more")
    targets = [target] if isinstance(target, str) else list(target)
    first = open_pair(predictions[0], targets, options.naming)
    pairs = [first]
    try:
        for path in predictions[1:]:
            pairs.append(_beside(first, path))
        tallies = [
            count([pair], options, names=(label(path), label(targets[0])), quiet=quiet)
            for pair, path in zip(pairs, predictions, strict=True)
        ]
        found = [
            summary([pair], tally, options, names=(label(path), label(targets[0])))
            for pair, tally, path in zip(pairs, tallies, predictions, strict=True)
        ]
    finally:
        for number, pair in enumerate(pairs):
            if number:
                pair.prediction.close()
        first.close()
    blocks = [tally.blocks for tally in tallies]
    names = first.prediction.classes.names
    means, accuracies, ious = (
        _differences(blocks, statistic, options)
        for statistic in (figures.mean_iou, figures.pixel_accuracy, figures.iou)
    )
    further = range(len(predictions) - 1)
    return Compared(
        tuple(found),
        tuple(_difference(means, i) for i in further),
        tuple(_difference(accuracies, i) for i in further),
        tuple({name: _difference(ious, i, k) for k, name in enumerate(names)} for i in further),
    )


def _beside(first: Pair, path: str) -> Pair:
    """Another prediction on the grid, and with the truth, of the first."""
    labels = open_labels(path, first.grid, table=first.prediction.classes, truth=False)
    return replace(first, prediction=ClassRaster(labels, first.prediction.classes), probs=None, tags={})


def _differences(blocks: Sequence[Blocks], statistic: Statistic, options: EvaluateOptions) -> tuple[Any, Any]:
    """Differences (P - 1, ...) and their intervals (P - 1, 2, ...); intervals of a single block mean nothing: nan."""
    if len(blocks[0]) > 1 and options.samples:
        return differences(blocks, statistic, count=options.samples, seed=options.seed)
    points = np.stack([np.asarray(statistic(one.table()[None].astype(np.float64)))[0] for one in blocks])
    further = points[1:] - points[0]
    return further, np.full((len(further), 2, *further.shape[1:]), np.nan)


def _difference(found: tuple[Any, Any], index: int, *at: int) -> Difference:
    values, ends = (np.asarray(part[index]) for part in found)
    return Difference(float(values[at]), float(ends[(0, *at)]), float(ends[(1, *at)]))
