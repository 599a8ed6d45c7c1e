"""The use case behind `landseg evaluate`: a class raster against the truth, in numbers that say how sure they are."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

from landseg.comparison import Pair, open_pair, tally
from landseg.errors import ClassError, OutputError, RasterError
from landseg.evaluation import Evaluation
from landseg.geo.address import label
from landseg.summary import EvaluateOptions, summary
from landseg.tally import Measures, Tally

_STEMS = ("_labels", "-labels", "_label", "-label", "_mask", "-mask", "_truth", "-truth", "_gt", "-gt")
_RASTERS = (".tif", ".tiff", ".png", ".vrt")


def evaluate(
    prediction: str | Sequence[str],
    target: str | Sequence[str],
    options: EvaluateOptions | None = None,
    *,
    progress: Callable[[int], None] | None = None,
) -> Evaluation:
    """Compare class rasters with the truth.

    Args:
        prediction: a class raster, several, or a folder of them.
        target: label rasters on any grid, a folder of them, or a vector file.
        options: how.
        progress: told the number of pixels after every strip.

    Raises:
        LandsegError: one sentence: what was expected, what was found, what to do.
    """
    options = options or EvaluateOptions()
    pairs = open_pairs(prediction, target, options)
    try:
        return evaluate_pairs(pairs, options, names=(_named(prediction), _named(target)), progress=progress)[0]
    finally:
        for pair in pairs:
            pair.close()


def evaluate_pairs(
    pairs: Sequence[Pair],
    options: EvaluateOptions,
    *,
    names: tuple[str, str],
    progress: Callable[[int], None] | None = None,
) -> tuple[Evaluation, Tally]:
    """The same for what is open already, with the counts behind the figures.

    Raises:
        ClassError: values without a class, or nothing that is labelled.
    """
    measures = _measures(pairs, options)
    report = None if progress is None else lambda part: progress(int(part.area.mapped.sum()))
    counted, strange = tally(pairs, measures, workers=options.workers, progress=report)
    if strange:
        raise ClassError("; ".join(strange))
    if not counted.blocks.table().any():
        raise ClassError(
            f"no labelled pixel of {names[1]} lies on {names[0]}: check the area of interest, the ignored values, "
            "and that the two belong together"
        )
    return summary(pairs, counted, options, names=names), counted


def open_pairs(prediction: str | Sequence[str], target: str | Sequence[str], options: EvaluateOptions) -> list[Pair]:
    """Open every predicted raster with the truth that belongs to it.

    One target goes with all predictions. Several go with each prediction that they overlap; where there is nothing
    to tell that by, with the prediction of the same name (but for endings such as _labels or -mask).

    Raises:
        LandsegError: a file cannot be opened, or a prediction has no truth.
    """
    ours, theirs = _files(prediction), _files(target)
    if options.probs is not None and len(ours) > 1:
        raise OutputError("--probs goes with one prediction; evaluate them one by one")
    pairs: list[Pair] = []
    try:
        for path in ours:
            chosen = theirs if len(theirs) == 1 else _same_name(path, theirs)
            pairs.append(open_pair(path, chosen or theirs, options.naming, probs=options.probs))
            if pairs[-1].prediction.classes != pairs[0].prediction.classes:
                raise ClassError(f"{label(path)} has other classes than {label(ours[0])}; evaluate them one by one")
    except BaseException:
        for pair in pairs:
            pair.close()
        raise
    return pairs


def _measures(pairs: Sequence[Pair], options: EvaluateOptions) -> Measures:
    grid = pairs[0].grid
    metres = grid.resolution_m
    tolerance = options.tolerance
    spacing = (1.0, 1.0) if metres is None else (metres, metres)
    if tolerance is not None:
        tolerance.pixels(grid)  # refuses metres where there are none
    return Measures(
        classes=len(pairs[0].prediction.classes),
        block=options.block.pixels(grid),
        distance=None if options.boundary is None else options.boundary.pixels(grid),
        tolerance=None if tolerance is None else tolerance.value * (1.0 if tolerance.metres else spacing[0]),
        spacing=spacing,
        borders=_borders(pairs[0].tags) if len(pairs) == 1 else None,
        confidences=any(pair.probs is not None for pair in pairs),
    )


def _borders(tags: dict[str, str]) -> tuple[list[int], list[int]] | None:
    """Where the windows of a prediction met, from its tag; None where it does not say."""
    try:
        found = json.loads(tags["LANDSEG_BORDERS"])
        rows, columns = [int(v) for v in found["rows"]], [int(v) for v in found["columns"]]
    except (KeyError, ValueError, TypeError):
        return None
    return (rows, columns) if rows or columns else None


def _files(paths: str | Sequence[str]) -> list[str]:
    """Files as named, or the rasters in a folder."""
    many = [paths] if isinstance(paths, str) else list(paths)
    found: list[str] = []
    for path in many:
        folder = Path(path)
        if not folder.is_dir():
            found.append(path)
            continue
        rasters = sorted(
            str(file) for file in folder.iterdir() if file.suffix.lower() in (".tif", ".tiff", ".png", ".vrt")
        )
        if not rasters:
            raise RasterError(f"{path} holds no rasters; expected files that end in .tif, .png or .vrt")
        found += rasters
    if not found:
        raise RasterError("no raster given: name at least one")
    return found


def _same_name(path: str, others: Sequence[str]) -> list[str]:
    """Those of the same stem, endings such as _labels aside."""

    def stem(name: str) -> str:
        plain = Path(name).stem
        for ending in _STEMS:
            plain = plain.removesuffix(ending)
        return plain

    return [other for other in others if stem(other) == stem(path)]


def _named(paths: str | Sequence[str]) -> str:
    many = [paths] if isinstance(paths, str) else list(paths)
    return label(many[0]) + (f" and {len(many) - 1} more" if len(many) > 1 else "")
