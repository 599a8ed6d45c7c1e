"""The use case behind `landseg evaluate`: a class raster against the truth, in numbers that say how sure they are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from landseg.comparison import Pair, Seen, open_pair, tally
from landseg.errormap import ErrorMap
from landseg.errors import ClassError, OutputError, RasterError
from landseg.evaluation import Evaluation
from landseg.geo.address import label
from landseg.geo.borders import Borders
from landseg.geo.grid import Rect
from landseg.geo.source import open_source
from landseg.report.text import check_csv_path, write_csv
from landseg.summary import EvaluateOptions, summary
from landseg.tally import Labels, Measures, Tally
from landseg.tiling.progress import Progress

_ENDINGS = ("labels", "label", "mask", "truth", "gt", "probs")
_STEMS = tuple(between + ending for ending in _ENDINGS for between in "_-")
_RASTERS = (".tif", ".tiff", ".png", ".vrt")


@dataclass(frozen=True)
class Products:
    """What an evaluation leaves besides its figures; None leaves it out.

    Attributes:
        csv: the table of classes.
        report: one HTML file to look at.
        image: for the report's map, the imagery that was predicted.
        errors: a class raster of where the prediction is wrong.
        overwrite: replace files that exist.
    """

    csv: Path | None = None
    report: Path | None = None
    image: str | None = None
    errors: Path | None = None
    overwrite: bool = False


def evaluate(
    prediction: str | Sequence[str],
    target: str | Sequence[str],
    options: EvaluateOptions | None = None,
    products: Products | None = None,
    *,
    quiet: bool = True,
) -> Evaluation:
    """Compare class rasters with the truth.

    Args:
        prediction: a class raster, several, or a folder of them.
        target: label rasters on any grid, a folder of them, or a vector file.
        options: how.
        products: files to write.
        quiet: show no progress on standard error.

    Raises:
        LandsegError: one sentence: what was expected, what was found, what to do.
    """
    options, products = options or EvaluateOptions(), products or Products()
    _check(products)
    pairs = open_pairs(prediction, target, options)
    try:
        if len(pairs) > 1 and (products.report or products.errors):
            raise OutputError("a report and an error raster go with one prediction; evaluate them one by one")
        found = _evaluated(pairs, options, products, names=(named(prediction), named(target)), quiet=quiet)
        if products.csv is not None:
            write_csv(found, products.csv, overwrite=products.overwrite)
        if products.report is not None:
            _write_report(pairs[0], found, products)
    finally:
        for pair in pairs:
            pair.close()
    return found


def count(
    pairs: Sequence[Pair],
    options: EvaluateOptions,
    *,
    names: tuple[str, str],
    quiet: bool = True,
    seen: Seen | None = None,
) -> Tally:
    """Count what is measured, over all pairs.

    Raises:
        ClassError: values without a class, or nothing that is labelled.
    """
    regions = [pair.grid.rect if pair.aoi is None else pair.aoi.rect for pair in pairs]
    with Progress(sum(region.area for region in regions), quiet=quiet) as progress:

        def strip(number: int, core: Rect, truth: Labels, predicted: Labels) -> None:
            if seen is not None:
                seen(number, core, truth, predicted)
            progress.add(core.area)

        counted, strange = tally(pairs, _measures(pairs, options), workers=options.workers, seen=strip)
    if strange:
        raise ClassError("; ".join(strange))
    if not counted.blocks.table().any():
        raise ClassError(
            f"no labelled pixel of {names[1]} lies on {names[0]}: check the area of interest, the ignored values, "
            "and that the two belong together"
        )
    return counted


def _evaluated(
    pairs: Sequence[Pair], options: EvaluateOptions, products: Products, *, names: tuple[str, str], quiet: bool
) -> Evaluation:
    if products.errors is None:
        return summary(pairs, count(pairs, options, names=names, quiet=quiet), options, names=names)
    with ErrorMap(products.errors, pairs[0], overwrite=products.overwrite) as errors:

        def seen(_: int, core: Rect, truth: Labels, predicted: Labels) -> None:
            errors.add(core, truth, predicted)

        found = summary(pairs, count(pairs, options, names=names, quiet=quiet, seen=seen), options, names=names)
        errors.finish()
    return found


def _check(products: Products) -> None:
    """Refuses, before any work, what could not be written after it.

    Raises:
        OutputError: a file that exists, or has no folder.
    """
    from landseg.report.html import check_report_path

    if products.report is not None:
        check_report_path(products.report, overwrite=products.overwrite)
    elif products.image is not None:
        raise OutputError("--image is for the map of a report; name one with --report FILE.html")
    if products.csv is not None:
        check_csv_path(products.csv, overwrite=products.overwrite)


def _write_report(pair: Pair, found: Evaluation, products: Products) -> None:
    from landseg.report.html import write_report
    from landseg.report.overviews import by_majority, read_layers

    assert products.report is not None
    image = None if products.image is None else open_source(products.image)
    try:
        layers = read_layers(
            pair.grid,
            prediction=by_majority(lambda rect: pair.read(rect)[1]),
            truth=by_majority(lambda rect: pair.read(rect)[0]),
            image=image,
            worst=[one.rect for one in found.worst],
        )
    finally:
        if image is not None:
            image.close()
    write_report(products.report, found, layers, overwrite=products.overwrite)


def open_pairs(prediction: str | Sequence[str], target: str | Sequence[str], options: EvaluateOptions) -> list[Pair]:
    """Open every predicted raster with the truth that belongs to it.

    One target goes with all predictions. Several go with each prediction that they overlap; where there is nothing
    to tell that by, with the prediction of the same name (but for endings such as _labels or -mask).

    Raises:
        LandsegError: a file cannot be opened, or a prediction has no truth.
    """
    ours, theirs = rasters_in(prediction), rasters_in(target)
    if options.probs is not None and len(ours) > 1:
        raise OutputError("--probs goes with one prediction; evaluate them one by one")
    pairs: list[Pair] = []
    try:
        for path in ours:
            chosen = theirs if len(theirs) == 1 else same_name(path, theirs)
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
    borders = Borders.read(pairs[0].tags, grid.shape) if len(pairs) == 1 else None
    return Measures(
        classes=len(pairs[0].prediction.classes),
        block=options.block.pixels(grid),
        distance=None if options.boundary is None else options.boundary.pixels(grid),
        tolerance=None if tolerance is None else tolerance.value * (1.0 if tolerance.metres else spacing[0]),
        spacing=spacing,
        borders=(borders.rows, borders.columns) if borders else None,
        confidences=any(pair.probs is not None for pair in pairs),
    )


def rasters_in(paths: str | Sequence[str]) -> list[str]:
    """Files as named, or the rasters in a folder."""
    many = [paths] if isinstance(paths, str) else list(paths)
    found: list[str] = []
    for path in many:
        folder = Path(path)
        if not folder.is_dir():
            found.append(path)
            continue
        rasters = sorted(str(file) for file in folder.iterdir() if file.suffix.lower() in _RASTERS)
        if not rasters:
            raise RasterError(f"{path} holds no rasters; expected files that end in .tif, .png or .vrt")
        found += rasters
    if not found:
        raise RasterError("no raster given: name at least one")
    return found


def same_name(path: str, others: Sequence[str]) -> list[str]:
    """Those of the same stem, endings such as _labels aside."""

    def stem(name: str) -> str:
        plain = Path(name).stem
        for ending in _STEMS:
            plain = plain.removesuffix(ending)
        return plain

    return [other for other in others if stem(other) == stem(path)]


def named(paths: str | Sequence[str]) -> str:
    """One file's name, or the first one's and how many more there are."""
    many = [paths] if isinstance(paths, str) else list(paths)
    return label(many[0]) + (f" and {len(many) - 1} more" if len(many) > 1 else "")
