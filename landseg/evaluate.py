"""The use case behind `landseg evaluate`: a class raster against the truth, in numbers that say how sure they are."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, fields, replace
from os import PathLike
from pathlib import Path
from typing import Any

from landseg.comparison import Pair, Seen, open_pair, tally
from landseg.errormap import ErrorMaps
from landseg.errors import ClassError, GridError, OutputError
from landseg.evaluation import Evaluation
from landseg.geo.distance import row_spacings, square
from landseg.geo.grid import Rect
from landseg.geo.pixel_areas import PixelAreas, differ
from landseg.geo.rasters.address import file_name, file_names, label
from landseg.geo.seams import Borders
from landseg.geo.vectors.names import file_of
from landseg.labels.left_out import Reason
from landseg.labels.pairing import IMAGES, PROBS, beside, files_in, named, same_name
from landseg.output.checks import check_targets
from landseg.report.text import check_csv_path, csv_text
from landseg.runtime.disk import check_local, claimed, disk_errors, sync_file
from landseg.runtime.progress import Progress
from landseg.runtime.replacement import Part, publish
from landseg.summary import OPTIONS, EvaluateOptions, common_metres, summary
from landseg.tally import Labels, Measures, Tally
from landseg.text.amounts import counted, first_of
from landseg.text.options import refuse_unknown

Files = str | PathLike[str] | Sequence[str | PathLike[str]]
Images = Sequence[Sequence[str]]
"""The imagery of each pair; empty lists where there is none."""


@dataclass(frozen=True)
class Products:
    """What an evaluation leaves besides its figures; None leaves it out.

    Attributes:
        csv: the table of classes.
        report: one HTML file to look at.
        image: for the report's map, the imagery that was predicted; for several predictions a folder, or several,
            named as the predictions are.
        errors: a class raster of where the prediction is wrong, or a folder with one for each.
        overwrite: replace files that exist.
    """

    csv: Path | None = None
    report: Path | None = None
    image: str | Sequence[str] | None = None
    errors: str | Path | None = None
    overwrite: bool = False


def evaluate(
    prediction: Files,
    target: Files,
    options: EvaluateOptions | None = None,
    products: Products | None = None,
    *,
    quiet: bool = True,
    **more: Any,
) -> Evaluation:
    """Compare class rasters with the truth.

    Args:
        prediction: a class raster, several, or a folder of them: paths, or datasets that rasterio has open.
        target: label rasters on any grid, a folder of them, or a vector file.
        options: how.
        products: files to write.
        quiet: show no progress on standard error.
        **more: the command's options by name, in place of those of ``options`` and ``products``: ``csv``, ``report``,
            ``image``, ``errors``, ``overwrite``, and what `EvaluateOptions.with_options` takes.

    Raises:
        LandsegError: one sentence: what was expected, what was found, what to do.
    """
    prediction, target = file_names(prediction), file_names(target)
    options, products = _by_name(options or EvaluateOptions(), products or Products(), more)
    _check(products)
    pairs = open_pairs(prediction, target, options)
    try:
        images, remarks = _images(pairs, products)
        read = [path for one in images for path in one]
        read += [] if options.naming.classes is None else [str(options.naming.classes)]
        check_not_read((products.csv, products.report), pairs, *read)
        names = (named(prediction), named(target))
        with ExitStack() as stack:
            errors = None
            if products.errors is not None:
                maps = ErrorMaps(str(products.errors), pairs, overwrite=products.overwrite)
                errors = stack.enter_context(maps)
            counted = count(pairs, options, names=names, quiet=quiet, seen=None if errors is None else errors.add)
            found = summary(pairs, counted, options, names=names)
            found = replace(found, notes=(*found.notes, *remarks, *_unused(pairs, target)))
            parts = [] if errors is None else errors.built()
            parts += [text_part(stack, *text) for text in _texts(pairs, found, images, products)]
            if parts:
                publish(parts)
            if errors is not None:
                errors.published()
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
    beyond = sum(pair.grid.rect.area for pair in pairs) - sum(region.area for region in regions)
    counted.left_out.add(Reason.OUTSIDE_AOI, beyond)
    if strange:
        raise ClassError("; ".join(strange))
    if not counted.blocks.table().any():
        raise ClassError(
            f"no labelled pixel of {names[1]} lies on {names[0]}: check the area of interest, the ignored values, "
            "and that the two belong together"
        )
    return counted


def _by_name(
    options: EvaluateOptions, products: Products, more: Mapping[str, Any]
) -> tuple[EvaluateOptions, Products]:
    """Options and products with some by name in place of theirs."""
    own = [one.name for one in fields(Products)]
    refuse_unknown(more, [*own, *OPTIONS], of="evaluate")
    files = {name: more[name] for name in own if name in more}
    for name in ("csv", "report"):
        if files.get(name) is not None:
            files[name] = Path(file_name(files[name]))
    if files.get("image") is not None:
        files["image"] = file_names(files["image"])
    if files.get("errors") is not None:
        files["errors"] = file_name(files["errors"])
    others = {name: value for name, value in more.items() if name not in own}
    return options.with_options(others), replace(products, **files)


def _check(products: Products) -> None:
    """Refuses, before any work, what could not be written after it.

    Raises:
        OutputError: a file that exists, or has no folder.
    """
    check_text_files(products.csv, products.report, overwrite=products.overwrite)
    if products.image and products.report is None:
        raise OutputError("--image is for the map of a report; name one with --report FILE.html")
    if products.errors is not None:
        check_local(products.errors)


def check_text_files(csv: Path | None, report: Path | None, *, overwrite: bool = False) -> None:
    """Refuse a table or a report that could not be written, before any work.

    Raises:
        OutputError: a file that exists, has no folder or another's name, or is no .html.
    """
    from landseg.report.html import check_report_path

    if report is not None:
        check_report_path(report, overwrite=overwrite)
    if csv is not None:
        check_csv_path(csv, overwrite=overwrite)
    check_targets([], [path for path in (csv, report) if path is not None], [])


def check_not_read(outputs: Sequence[Path | None], pairs: Sequence[Pair], *others: str | Path) -> None:
    """Refuse to write a file over one that is read.

    Args:
        outputs: files that will be written; None for what was not asked for.
        pairs: predictions and their truth.
        others: further files that are read.

    Raises:
        OutputError: an output is one of them.
    """
    read = [path for pair in pairs for path in (*pair.prediction.paths, *pair.truth.paths)]
    read += [pair.probs.source.file.path for pair in pairs if pair.probs is not None]
    files = [file_of(path) for path in (*read, *others)]
    check_targets([], [path for path in outputs if path is not None], files)


def _images(pairs: Sequence[Pair], products: Products) -> tuple[Images, list[str]]:
    """The imagery of each pair, known to fit, and sentences about it."""
    found = beside(
        [pair.prediction.paths[0] for pair in pairs], products.image or None, option="--image", endings=IMAGES
    )
    if products.image:
        from landseg.scenes import check_images

        return found, check_images(pairs, found)
    return found, []


def _texts(
    pairs: Sequence[Pair], found: Evaluation, images: Images, products: Products
) -> Iterator[tuple[Path, str]]:
    """Each file of text that was asked for, and what it says."""
    if products.report is not None:
        from landseg.report.html import report_html
        from landseg.scenes import SceneMaps

        maps, shown = SceneMaps(pairs, found, images), found
        if len(maps) < len(pairs):
            left_out = (
                f"the map has the {counted(len(maps), 'scene')} "
                f"with the worst windows; the figures are over all {len(pairs)}"
            )
            shown = replace(found, notes=(*found.notes, left_out))
        yield products.report, report_html(shown, maps)
    if products.csv is not None:
        yield products.csv, csv_text(found)


def text_part(stack: ExitStack, path: Path, text: str) -> Part:
    """Return a file of text, complete in a work folder that lasts as long as the stack."""
    place = stack.enter_context(claimed(path)) / path.name
    with disk_errors(path):
        place.write_bytes(text.encode())
    sync_file(place, called=path)
    return Part(path, ((place, path),))


def open_pairs(prediction: str | Sequence[str], target: str | Sequence[str], options: EvaluateOptions) -> list[Pair]:
    """Open every predicted raster with the truth that belongs to it.

    One target goes with all predictions. Several go with each prediction that they overlap; where there is nothing
    to tell that by, with the prediction of the same name (but for endings such as _labels or -mask).

    Raises:
        LandsegError: a file cannot be opened, or a prediction has no truth.
    """
    ours, theirs = files_in(prediction), files_in(target)
    probs = beside(ours, options.probs or None, option="--probs", endings=PROBS, most=1)
    pairs: list[Pair] = []
    try:
        for path, own in zip(ours, probs, strict=True):
            chosen = theirs if len(theirs) == 1 else same_name(path, theirs)
            pairs.append(open_pair(path, chosen or theirs, options.naming, probs=own[0] if own else None))
            if pairs[-1].prediction.classes != pairs[0].prediction.classes:
                raise ClassError(f"{label(path)} has other classes than {label(ours[0])}; evaluate them one by one")
    except BaseException:
        for pair in pairs:
            pair.close()
        raise
    return pairs


def _unused(pairs: Sequence[Pair], target: str | Sequence[str]) -> list[str]:
    """Return a sentence about label rasters that no prediction was held against; none where all were."""
    every, read = files_in(target), {path for pair in pairs for path in pair.truth.paths}
    unused = [label(path) for path in every if path not in read]
    if len(every) == 1 or not unused:
        return []
    belongs, counts = ("belongs", "counts") if len(unused) == 1 else ("belong", "count")
    many = f"{counted(len(unused), 'label raster')} {belongs} to no prediction and {counts} for nothing"
    return [f"{many}: {first_of(unused)}"]


def _measures(pairs: Sequence[Pair], options: EvaluateOptions) -> Measures:
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
    borders = Borders.read(pairs[0].tags, grid.shape) if len(pairs) == 1 else None
    return Measures(
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
