"""The use case behind `landseg compare`: several predictions, one truth, and how sure their differences are."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from landseg.errors import ClassError, RasterError
from landseg.evaluation.figures import EvaluateOptions, build_evaluation
from landseg.evaluation.pair import Pair, open_by_name
from landseg.evaluation.pairs import check_not_read, count, open_pairs
from landseg.evaluation.result import Compared, Difference
from landseg.geo.rasters.address import Files, file_name, file_names, label
from landseg.geo.rasters.raster import RasterFile
from landseg.geo.vectors.names import is_vector
from landseg.labels.pairing import files_in, named, same_name, stem_of
from landseg.metrics import figures
from landseg.metrics.bootstrap import Blocks, Statistic, differences
from landseg.report.compared import comparison_csv
from landseg.report.files import check_text_files, text_part
from landseg.runtime.replacement import publish

__all__ = ["Compared", "Difference", "compare"]

_ORDER = "landseg compare PREDICTION... TARGET"


def compare(
    predictions: Sequence[Any],
    target: Files,
    options: EvaluateOptions | None = None,
    *,
    csv: str | Path | None = None,
    report: str | Path | None = None,
    overwrite: bool = False,
    quiet: bool = True,
    **more: Any,
) -> Compared:
    """Evaluate several predictions against one truth, on the grids of the first.

    Args:
        predictions: two or more: class rasters, or folders of them whose files belong together by name, as paths or
            datasets that rasterio has open. Each is brought onto the first one's grids as labels are.
        target: label rasters, a folder of them, or a vector file.
        options: as for one.
        csv: a table to write, a row for each figure of each prediction.
        report: one HTML file to write.
        overwrite: replace files that exist.
        quiet: show no progress on standard error.
        **more: options by name, see `EvaluateOptions.with_options`.

    Raises:
        LandsegError: one sentence: what was expected, what was found, what to do.
    """
    ours, truth = file_names(predictions), file_names(target)
    wanted = replace((options or EvaluateOptions(boundary=None, tolerance=None)).with_options(more), probs=None)
    table, page = (None if path is None else Path(file_name(path)) for path in (csv, report))
    check_text_files(table, page, overwrite=overwrite)
    if len(ours) < 2:
        raise ClassError("one prediction has nothing to be compared with: name two or more, then the truth")
    _refuse_other_order(ours, truth)
    with ExitStack() as stack:
        everyone = _opened(ours, truth, wanted, stack)
        tables = [] if wanted.naming.classes is None else [wanted.naming.classes]
        check_not_read((table, page), [pair for pairs in everyone for pair in pairs], *tables)
        found = _compared(ours, truth, everyone, wanted, quiet=quiet)
        texts = [] if page is None else [(page, _page(found))]
        texts += [] if table is None else [(table, comparison_csv(found))]
        if parts := [text_part(stack, *text) for text in texts]:
            publish(parts)
    return found


def _refuse_other_order(predictions: Sequence[str], target: Sequence[str]) -> None:
    """Refuse the truth among the predictions, and a prediction in its place.

    Raises:
        ClassError: a vector file among the predictions, or a truth that landseg predicted.
    """
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


def _opened(
    predictions: Sequence[str], target: Sequence[str], options: EvaluateOptions, stack: ExitStack
) -> list[list[Pair]]:
    """Open the scenes of every prediction with their truth, in the order of the first one's; the stack closes them.

    Raises:
        LandsegError: as `open_pairs`, or a prediction that lacks a scene.
    """
    first = open_pairs([predictions[0]], target, options)
    for pair in first:
        stack.callback(pair.close)
    everyone = [first]
    for path in predictions[1:]:
        pairs = []
        for pair, file in zip(first, _counterparts(path, predictions[0], first), strict=True):
            theirs = open_by_name([file], pair.grid, pair.prediction.classes, options.naming, truth=False)
            pairs.append(replace(pair, prediction=theirs, probs=None, tags={}))
            stack.callback(pairs[-1].prediction.close)
        everyone.append(pairs)
    return everyone


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


def _compared(
    predictions: Sequence[str],
    target: Sequence[str],
    everyone: Sequence[Sequence[Pair]],
    options: EvaluateOptions,
    *,
    quiet: bool,
) -> Compared:
    """Count every prediction, and read off figures and differences."""
    names = [(label(path), named(target)) for path in predictions]
    tallies = [count(pairs, options, names=own, quiet=quiet) for pairs, own in zip(everyone, names, strict=True)]
    found = [
        build_evaluation(pairs, tally, options, names=own)
        for pairs, tally, own in zip(everyone, tallies, names, strict=True)
    ]
    blocks = [tally.blocks for tally in tallies]
    classes = everyone[0][0].prediction.classes.names
    means, accuracies, ious = (
        _differences(blocks, statistic, options)
        for statistic in (figures.mean_iou, figures.pixel_accuracy, figures.iou)
    )
    further = range(len(predictions) - 1)
    return Compared(
        tuple(found),
        tuple(_difference(means, i) for i in further),
        tuple(_difference(accuracies, i) for i in further),
        tuple({name: _difference(ious, i, k) for k, name in enumerate(classes)} for i in further),
    )


def _page(found: Compared) -> str:
    from landseg.report.html.compared import comparison_html

    return comparison_html(found)


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
