"""`landseg evaluate`: a class raster against the truth, in figures with their intervals."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import replace
from typing import TYPE_CHECKING, Unpack

from landseg.errors import OutputError
from landseg.geo.rasters.address import Files, file_names

if TYPE_CHECKING:
    from landseg.evaluation.options import EvaluateKeywords
    from landseg.evaluation.result import Evaluation

__all__ = ["evaluate"]


def evaluate(prediction: Files, target: Files, **options: Unpack[EvaluateKeywords]) -> Evaluation:
    """Measure how well class rasters agree with the truth.

    Args:
        prediction: a class raster, several, or a folder of them: paths, or datasets that rasterio has open.
        target: the truth: label rasters on any grid, a folder of them, or a vector file.
        **options: the fields of `landseg.evaluation.options.EvaluateOptions`, by name.

    Raises:
        LandsegError: one sentence: what was expected, what was found, what to do.
    """
    from landseg.evaluation.error_map import ErrorMaps
    from landseg.evaluation.figures import build_evaluation
    from landseg.evaluation.options import EvaluateOptions
    from landseg.evaluation.pairs import check_not_read, count, open_pairs, unused_targets
    from landseg.labels.pairing import named
    from landseg.report.figures_csv import csv_text
    from landseg.report.files import check_text_files, text_part
    from landseg.report.html.scene_maps import evaluation_html, find_images
    from landseg.runtime.replacement import publish
    from landseg.runtime.target_checks import check_local

    ours, truth, wanted = file_names(prediction), file_names(target), EvaluateOptions.of(options, verb="evaluate")
    check_text_files(wanted.csv, wanted.report, overwrite=wanted.overwrite)
    if wanted.image and wanted.report is None:
        raise OutputError("--image is for the map of a report; name one with --report FILE.html")
    if wanted.errors is not None:
        check_local(wanted.errors)
    names = (named(ours), named(truth))
    with ExitStack() as stack:
        pairs = open_pairs(ours, truth, wanted, stack)
        images, remarks = find_images(pairs, wanted.image)
        check_not_read((wanted.csv, wanted.report), pairs, wanted.classes, *(path for one in images for path in one))
        errors = None
        if wanted.errors is not None:
            errors = stack.enter_context(ErrorMaps(wanted.errors, pairs, overwrite=wanted.overwrite))
        counts = count(pairs, wanted, names=names, on_strip=None if errors is None else errors.add)
        found = build_evaluation(pairs, counts, wanted, names=names)
        found = replace(found, notes=(*found.notes, *remarks, *unused_targets(pairs, truth)))
        parts = [] if errors is None else errors.built()
        if wanted.report is not None:
            parts.append(text_part(stack, wanted.report, evaluation_html(pairs, found, images)))
        if wanted.csv is not None:
            parts.append(text_part(stack, wanted.csv, csv_text(found)))
        if parts:
            publish(parts)
        if errors is not None:
            errors.published()
    return found
