"""The use case behind `landseg evaluate`: a class raster against the truth, in numbers that say how sure they are."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, fields, replace
from os import PathLike
from pathlib import Path
from typing import Any

from landseg.errors import OutputError
from landseg.evaluation.error_map import ErrorMaps
from landseg.evaluation.figures import OPTIONS, EvaluateOptions, build_evaluation
from landseg.evaluation.pair import Pair
from landseg.evaluation.pairs import check_not_read, count, open_pairs, unused_targets
from landseg.evaluation.result import Evaluation
from landseg.geo.rasters.address import file_name, file_names
from landseg.labels.pairing import IMAGES, files_named_like, named
from landseg.report.files import check_text_files, text_part
from landseg.report.text import csv_text
from landseg.runtime.replacement import publish
from landseg.runtime.target_checks import check_local
from landseg.text.amounts import counted
from landseg.text.options import refuse_unknown

Files = str | PathLike[str] | Sequence[str | PathLike[str]]
Images = Sequence[Sequence[str]]
"""The imagery of each pair; empty lists where there is none."""


@dataclass(frozen=True)
class EvaluationFiles:
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
    products: EvaluationFiles | None = None,
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
    options, products = _by_name(options or EvaluateOptions(), products or EvaluationFiles(), more)
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
            found = build_evaluation(pairs, counted, options, names=names)
            found = replace(found, notes=(*found.notes, *remarks, *unused_targets(pairs, target)))
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


def _by_name(
    options: EvaluateOptions, products: EvaluationFiles, more: Mapping[str, Any]
) -> tuple[EvaluateOptions, EvaluationFiles]:
    """Options and products with some by name in place of theirs."""
    own = [one.name for one in fields(EvaluationFiles)]
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


def _check(products: EvaluationFiles) -> None:
    """Refuses, before any work, what could not be written after it.

    Raises:
        OutputError: a file that exists, or has no folder.
    """
    check_text_files(products.csv, products.report, overwrite=products.overwrite)
    if products.image and products.report is None:
        raise OutputError("--image is for the map of a report; name one with --report FILE.html")
    if products.errors is not None:
        check_local(products.errors)


def _images(pairs: Sequence[Pair], products: EvaluationFiles) -> tuple[Images, list[str]]:
    """The imagery of each pair, known to fit, and sentences about it."""
    found = files_named_like(
        [pair.prediction.paths[0] for pair in pairs], products.image or None, option="--image", endings=IMAGES
    )
    if products.image:
        from landseg.report.html.scene_maps import check_images

        return found, check_images(pairs, found)
    return found, []


def _texts(
    pairs: Sequence[Pair], found: Evaluation, images: Images, products: EvaluationFiles
) -> Iterator[tuple[Path, str]]:
    """Each file of text that was asked for, and what it says."""
    if products.report is not None:
        from landseg.report.html.report import report_html
        from landseg.report.html.scene_maps import SceneMaps

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
