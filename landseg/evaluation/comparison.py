"""Several predictions on the grids of the first: opened with one truth, counted, and their differences estimated."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from landseg.errors import ClassError, RasterError
from landseg.evaluation.figures import build_evaluation
from landseg.evaluation.options import CompareOptions
from landseg.evaluation.pair import Pair, open_by_name
from landseg.evaluation.pairs import count, open_pairs
from landseg.evaluation.result import Comparison, Difference
from landseg.geo.rasters.address import label
from landseg.geo.rasters.raster import RasterFile
from landseg.geo.vectors.names import is_vector
from landseg.labels.pairing import files_in, named, same_name, stem_of
from landseg.metrics import figures
from landseg.metrics.bootstrap import Blocks, Statistic, differences

_ORDER = "landseg compare PREDICTION... TARGET"


def refuse_other_order(predictions: Sequence[str], target: Sequence[str]) -> None:
    """Raise ClassError if the truth stands among the predictions, or a prediction in the place of the truth."""
    for path in predictions:
        if is_vector(path):
            raise ClassError(f"{label(path)} is a vector file, expected a prediction; the truth comes last: {_ORDER}")
    first = target[0] if is_vector(target[0]) else files_in(target)[0]
    if is_vector(first):
        return
    file = RasterFile(first)
    file.close()
    if (made := file.info.tags.get("LANDSEG_MODEL")) is not None:
        raise ClassError(
            f"{label(first)} was predicted by landseg (model {made}), expected the truth, which comes last: {_ORDER}"
        )


def open_predictions(
    predictions: Sequence[str], target: Sequence[str], options: CompareOptions, stack: ExitStack
) -> list[list[Pair]]:
    """Return the scenes of each prediction with their truth, in the order of the first one's; the stack closes them.

    Raises:
        LandsegError: as `open_pairs`, or a prediction that lacks a scene.
    """
    first = open_pairs([predictions[0]], target, options, stack)
    opened = [first]
    for path in predictions[1:]:
        pairs = []
        for pair, file in zip(first, _counterparts(path, predictions[0], first), strict=True):
            theirs = open_by_name([file], pair.grid, pair.prediction.classes, options, truth=False)
            pairs.append(replace(pair, prediction=theirs, probs=None, tags={}))
            stack.callback(theirs.close)
        opened.append(pairs)
    return opened


def _counterparts(path: str, first: str, pairs: Sequence[Pair]) -> list[str]:
    """Return the raster of a prediction for each scene of the first one: by name, or the only one for the only one.

    Raises:
        RasterError: a scene that one of the two lacks, or has twice.
    """
    files, scenes = files_in(path), [pair.prediction.paths[0] for pair in pairs]
    if len(files) == len(scenes) == 1:
        return files
    found = [[file for file in files if stem_of(file) == stem_of(label(scene))] for scene in scenes]
    found = [own or same_name(scene, files) for scene, own in zip(scenes, found, strict=True)]
    for scene, own in zip(scenes, found, strict=True):
        if len(own) != 1:
            there = ", ".join(Path(one).name for one in own[:3]) or "none"
            raise RasterError(
                f"{label(path)}: expected one raster named as {Path(scene).name} of {label(first)} is, got {there}; "
                "compare predictions of the same scenes"
            )
    chosen = [own[0] for own in found]
    if others := [file for file in files if file not in chosen]:
        raise RasterError(
            f"{label(first)} has no raster named as {Path(others[0]).name} of {label(path)} is; compare predictions "
            "of the same scenes"
        )
    return chosen


def count_predictions(
    opened: Sequence[Sequence[Pair]], options: CompareOptions, *, predictions: Sequence[str], target: Sequence[str]
) -> Comparison:
    """Return the evaluation of each prediction, and the differences of all but the first to the first.

    Args:
        opened: the scenes of each prediction, as `open_predictions` returns them.
        options: the figures to measure.
        predictions: names of the predictions.
        target: names of the truth's files.
    """
    names = [(label(path), named(target)) for path in predictions]
    counts = [count(pairs, options, names=own) for pairs, own in zip(opened, names, strict=True)]
    evaluations = [
        build_evaluation(pairs, own_counts, options, names=own)
        for pairs, own_counts, own in zip(opened, counts, names, strict=True)
    ]
    blocks = [one.blocks for one in counts]
    classes = opened[0][0].prediction.classes.names
    means, accuracies, ious = (
        _differences(blocks, statistic, options)
        for statistic in (figures.mean_iou, figures.pixel_accuracy, figures.iou)
    )
    others = range(len(predictions) - 1)
    return Comparison(
        tuple(evaluations),
        tuple(_difference(means, i) for i in others),
        tuple(_difference(accuracies, i) for i in others),
        tuple({name: _difference(ious, i, k) for k, name in enumerate(classes)} for i in others),
    )


def _differences(blocks: Sequence[Blocks], statistic: Statistic, options: CompareOptions) -> tuple[Any, Any]:
    """Return differences (P - 1, ...) and their intervals (P - 1, 2, ...), which are nan for a single block."""
    if len(blocks[0]) > 1 and options.samples:
        return differences(blocks, statistic, count=options.samples, seed=options.seed)
    points = np.stack([np.asarray(statistic(one.table()[None].astype(np.float64)))[0] for one in blocks])
    values = points[1:] - points[0]
    return values, np.full((len(values), 2, *values.shape[1:]), np.nan)


def _difference(found: tuple[Any, Any], index: int, *at: int) -> Difference:
    values, ends = (np.asarray(part[index]) for part in found)
    return Difference(float(values[at]), float(ends[(0, *at)]), float(ends[(1, *at)]))
