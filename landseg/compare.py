"""`landseg compare`: several predictions, one truth, and the intervals of their differences."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING, Unpack

from landseg.errors import ClassError
from landseg.geo.rasters.address import File, Files, file_names

if TYPE_CHECKING:
    from landseg.evaluation.objects.result import ObjectComparison
    from landseg.evaluation.options import CompareKeywords, CompareOptions
    from landseg.evaluation.result import Comparison

__all__ = ["compare"]


def compare(
    predictions: Sequence[File], target: Files, **options: Unpack[CompareKeywords]
) -> Comparison | ObjectComparison:
    """Measure several predictions against one truth, and their differences to the first.

    Args:
        predictions: two or more: class rasters, or folders of them whose files belong together by name, as paths or
            datasets that rasterio has open. Each is brought onto the first one's grids as labels are. Or objects,
            as for `evaluate`.
        target: the truth: label rasters, a folder of them, or a vector file. Of objects as for `evaluate`.
        **options: the fields of `landseg.evaluation.options.CompareOptions`, by name.

    Raises:
        LandsegError: one sentence: what was expected, what was found, what to do.
    """
    from landseg.evaluation.comparison import count_predictions, open_predictions, refuse_other_order
    from landseg.evaluation.objects.sides import are_objects
    from landseg.evaluation.options import CompareOptions
    from landseg.evaluation.pairs import check_not_read
    from landseg.evaluation.panoptic.sides import refuse_panoptic
    from landseg.evaluation.points.sides import refuse_points
    from landseg.report.comparison import comparison_csv
    from landseg.report.files import check_text_files, text_part
    from landseg.report.html.comparison import comparison_html
    from landseg.runtime.replacement import publish

    maps, truth, wanted = file_names(predictions), file_names(target), CompareOptions.of(options, verb="compare")
    check_text_files(wanted.csv, wanted.report, overwrite=wanted.overwrite)
    if len(maps) < 2:
        raise ClassError("one prediction has nothing to be compared with: name two or more, then the truth")
    refuse_panoptic([*maps, *truth], wanted)
    refuse_points(maps)
    if are_objects(maps, truth, wanted):
        return _compare_objects(maps, truth, wanted)
    refuse_other_order(maps, truth)
    with ExitStack() as stack:
        opened = open_predictions(maps, truth, wanted, stack)
        check_not_read((wanted.csv, wanted.report), [pair for pairs in opened for pair in pairs], wanted.classes)
        found = count_predictions(opened, wanted, predictions=maps, target=truth)
        texts = [] if wanted.report is None else [(wanted.report, comparison_html(found))]
        texts += [] if wanted.csv is None else [(wanted.csv, comparison_csv(found))]
        if parts := [text_part(stack, *text) for text in texts]:
            publish(parts)
    return found


def _compare_objects(predictions: Sequence[str], target: Sequence[str], wanted: CompareOptions) -> ObjectComparison:
    """Measure several predictions of objects against one truth; see `compare`."""
    from landseg.errors import OutputError
    from landseg.evaluation.objects.comparison import compare_objects
    from landseg.evaluation.objects.sides import files_read
    from landseg.report.files import text_part
    from landseg.report.object_figures import object_comparison_csv
    from landseg.runtime.replacement import publish
    from landseg.runtime.target_checks import refuse_inputs

    if wanted.report is not None:
        raise OutputError(
            "--report of compare is for class rasters: evaluate each prediction of objects with --report"
        )
    if wanted.csv is not None:
        refuse_inputs([wanted.csv], files_read([*predictions, *target]))
    found = compare_objects(predictions, target, wanted)
    if wanted.csv is not None:
        with ExitStack() as stack:
            publish([text_part(stack, wanted.csv, object_comparison_csv(found))])
    return found
