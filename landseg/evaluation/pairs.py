"""Pairs of predictions and truths: opened, counted over all of them, and their files kept from being written."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from landseg.errors import ClassError, GridError
from landseg.evaluation.counts import EvaluationCounts, Labels, MeasureOptions
from landseg.evaluation.figures import common_metres
from landseg.evaluation.options import EvaluateOptions
from landseg.evaluation.pair import OnStrip, Pair, count_pairs, open_pair
from landseg.geo.distance import row_spacings, square
from landseg.geo.grid import Rect
from landseg.geo.pixel_areas import PixelAreas, differ
from landseg.geo.rasters.address import label
from landseg.geo.seams import Seams
from landseg.geo.vectors.names import file_of
from landseg.labels.left_out import Reason
from landseg.labels.pairing import PROBS, files_in, files_named_like, same_name
from landseg.runtime.progress import Progress
from landseg.runtime.target_checks import refuse_inputs
from landseg.text.amounts import counted, shorten_list


def count(
    pairs: Sequence[Pair],
    options: EvaluateOptions,
    *,
    names: tuple[str, str],
    on_strip: OnStrip | None = None,
) -> EvaluationCounts:
    """Return the counts of all figures that are measured, over all pairs.

    Args:
        pairs: at least one.
        options: the figures, and how many threads count.
        names: of prediction and truth, for messages.
        on_strip: called with each strip, see `count_pairs`.

    Raises:
        ClassError: values without a class, or nothing that is labelled.
    """
    regions = [pair.grid.rect if pair.aoi is None else pair.aoi.rect for pair in pairs]
    with Progress(sum(region.area for region in regions), quiet=options.quiet) as progress:

        def strip(number: int, core: Rect, truth: Labels, predicted: Labels) -> None:
            if on_strip is not None:
                on_strip(number, core, truth, predicted)
            progress.add(core.area)

        counts, unmapped = count_pairs(pairs, _measures(pairs, options), workers=options.workers, on_strip=strip)
    beyond = sum(pair.grid.rect.area for pair in pairs) - sum(region.area for region in regions)
    counts.left_out.add(Reason.OUTSIDE_AOI, beyond)
    if unmapped:
        raise ClassError("; ".join(unmapped))
    if not counts.blocks.table().any():
        raise ClassError(
            f"no labelled pixel of {names[1]} lies on {names[0]}: check the area of interest, the ignored values, "
            "and that the two belong together"
        )
    return counts


def check_not_read(outputs: Sequence[Path | None], pairs: Sequence[Pair], *others: str | Path | None) -> None:
    """Refuse to write a file over one that is read.

    Args:
        outputs: files that will be written; None for a file that is not written.
        pairs: predictions and their truth.
        others: further files that are read; None for a file that was not named.

    Raises:
        OutputError: an output is one of them.
    """
    read = [path for pair in pairs for path in (*pair.prediction.paths, *pair.truth.paths)]
    read += [pair.probs.source.file.path for pair in pairs if pair.probs is not None]
    files = [file_of(path) for path in (*read, *others) if path is not None]
    refuse_inputs([path for path in outputs if path is not None], files)


def open_pairs(
    prediction: Sequence[str], target: Sequence[str], options: EvaluateOptions, stack: ExitStack
) -> list[Pair]:
    """Return every predicted raster with its truth, opened; the stack closes them.

    One target goes with all predictions. Several go with each prediction that they overlap; where there is nothing
    to tell that by, with the prediction of the same name (but for endings such as _labels or -mask).

    Raises:
        LandsegError: a file cannot be opened, or a prediction has no truth.
    """
    rasters, truths = files_in(prediction), files_in(target)
    probs = files_named_like(rasters, options.probs or None, option="--probs", endings=PROBS, most=1)
    pairs: list[Pair] = []
    for path, own in zip(rasters, probs, strict=True):
        chosen = truths if len(truths) == 1 else same_name(path, truths)
        pairs.append(open_pair(path, chosen or truths, options, probs=own[0] if own else None))
        stack.callback(pairs[-1].close)
        if pairs[-1].prediction.classes != pairs[0].prediction.classes:
            raise ClassError(f"{label(path)} has other classes than {label(rasters[0])}; evaluate them one by one")
    return pairs


def unused_targets(pairs: Sequence[Pair], target: str | Sequence[str]) -> list[str]:
    """Return a sentence about label rasters that no prediction was held against; none where all were."""
    every, read = files_in(target), {path for pair in pairs for path in pair.truth.paths}
    unused = [label(path) for path in every if path not in read]
    if len(every) == 1 or not unused:
        return []
    belongs, counts = ("belongs", "counts") if len(unused) == 1 else ("belong", "count")
    many = f"{counted(len(unused), 'label raster')} {belongs} to no prediction and {counts} for nothing"
    return [f"{many}: {shorten_list(unused, 4)}"]


def _measures(pairs: Sequence[Pair], options: EvaluateOptions) -> MeasureOptions:
    grid = pairs[0].grid
    metres = common_metres(pairs)
    tolerance = options.tolerance
    edges = grid.pixel_size_m
    spacing = (1.0, 1.0) if metres is None else (metres, metres)
    bands: tuple[tuple[int, tuple[float, float]], ...] = ()
    if metres is not None and edges is not None and tolerance is not None and tolerance.metres:
        spacing = spacing if square(edges) else edges
        bands = row_spacings(grid) if len(pairs) == 1 else ()
    areas = tuple(PixelAreas(pair.grid) for pair in pairs) if metres is not None else ()
    areas = areas if differ(areas) else ()
    if (
        metres is None
        and len(pairs) > 1
        and any(d and d.metres for d in (options.boundary, tolerance, options.block))
    ):
        raise GridError(
            "distances in metres need scenes whose pixels are of one size; give them in pixels, such as 3px"
        )
    if tolerance is not None:
        tolerance.pixels(grid)  # refuses metres where there are none
    borders = Seams.read(pairs[0].tags, grid.shape) if len(pairs) == 1 else None
    return MeasureOptions(
        classes=len(pairs[0].prediction.classes),
        block=options.block.pixels(grid),
        distance=None if options.boundary is None else options.boundary.pixels_each_way(grid),
        tolerance=None if tolerance is None else tolerance.value * (1.0 if tolerance.metres else spacing[0]),
        spacing=spacing,
        bands=bands,
        areas=areas,
        area_unit=max((one.unit for one in areas), default=1.0),
        borders=(borders.rows, borders.columns) if borders else None,
        confidences=any(pair.probs is not None for pair in pairs),
        prob_bands=next((len(pair.bands) for pair in pairs if pair.bands), None),
    )
