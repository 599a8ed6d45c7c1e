"""`landseg evaluate`: class rasters, objects, points or panoptic maps against the truth, with intervals."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Unpack

from landseg.errors import OutputError
from landseg.geo.rasters.address import Files, file_names

if TYPE_CHECKING:
    from landseg.evaluation.objects.result import ObjectEvaluation
    from landseg.evaluation.options import EvaluateKeywords, EvaluateOptions
    from landseg.evaluation.panoptic.result import PanopticEvaluation
    from landseg.evaluation.points.keypoint_result import KeypointEvaluation
    from landseg.evaluation.points.result import PointEvaluation
    from landseg.evaluation.result import Evaluation

__all__ = ["evaluate"]


def evaluate(
    prediction: Files, target: Files, **options: Unpack[EvaluateKeywords]
) -> Evaluation | KeypointEvaluation | ObjectEvaluation | PanopticEvaluation | PointEvaluation:
    """Measure how well class rasters, objects, points or panoptic maps agree with the truth.

    Args:
        prediction: a class raster, several, or a folder of them: paths, or datasets that rasterio has open. Or
            objects: a vector file, a raster of ids, or COCO's results. Or points: a vector file of points. Or
            objects with keypoints: COCO's results. Or panoptic maps: a folder in COCO's format, or a class raster
            whose ids are in the option ``ids``.
        target: the truth: label rasters on any grid, a folder of them, or a vector file. Of objects: a vector file,
            a raster of ids, or COCO's ground truth. Of points and panoptic maps: as the prediction.
        **options: the fields of `landseg.evaluation.options.EvaluateOptions`, by name.

    Raises:
        LandsegError: one sentence: what was expected, what was found, what to do.
    """
    from landseg.evaluation.error_map import ErrorMaps
    from landseg.evaluation.figures import build_evaluation
    from landseg.evaluation.objects.sides import are_objects
    from landseg.evaluation.options import EvaluateOptions
    from landseg.evaluation.pairs import check_not_read, count, open_pairs, unused_targets
    from landseg.evaluation.panoptic.sides import are_panoptic
    from landseg.evaluation.points.coco_keypoints import are_keypoints
    from landseg.evaluation.points.sides import are_points
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
    if are_panoptic(ours, truth, wanted):
        return _evaluate_panoptic(ours[0], truth[0], wanted)
    if are_keypoints(ours, truth, wanted):
        return _evaluate_keypoints(ours[0], truth[0], wanted)
    if are_points(ours, truth, wanted):
        return _evaluate_points(ours, truth, wanted)
    if are_objects(ours, truth, wanted):
        return _evaluate_objects(ours, truth, wanted)
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


def _evaluate_objects(prediction: list[str], target: list[str], wanted: EvaluateOptions) -> ObjectEvaluation:
    """Measure how well objects agree with the truth; see `evaluate`."""
    from landseg.evaluation.objects.figures import evaluate_objects
    from landseg.evaluation.objects.sides import files_read, open_objects
    from landseg.labels.pairing import named
    from landseg.report.files import text_part
    from landseg.report.html.objects import object_html
    from landseg.report.object_figures import objects_csv
    from landseg.runtime.replacement import publish
    from landseg.runtime.target_checks import refuse_inputs

    outputs = [path for path in (wanted.csv, wanted.report) if path is not None]
    refuse_inputs(outputs, files_read([*prediction, *target, *(wanted.image or [])]))
    pair = open_objects(prediction, target, wanted)
    found, detections = evaluate_objects(pair, wanted, names=(named(prediction), named(target)))
    with ExitStack() as stack:
        texts = [] if wanted.csv is None else [(wanted.csv, objects_csv(found))]
        texts += [] if wanted.report is None else [(wanted.report, object_html(pair, found, detections, wanted))]
        if parts := [text_part(stack, *text) for text in texts]:
            publish(parts)
    return found


def _evaluate_panoptic(prediction: str, target: str, wanted: EvaluateOptions) -> PanopticEvaluation:
    """Measure how well panoptic maps agree with the truth; see `evaluate`."""
    from landseg.evaluation.panoptic.figures import evaluate_panoptic
    from landseg.evaluation.panoptic.sides import open_panoptic
    from landseg.geo.rasters.address import label
    from landseg.report.files import text_part
    from landseg.report.panoptic_figures import panoptic_csv
    from landseg.runtime.replacement import publish

    pair = open_panoptic(prediction, target, wanted)
    found = evaluate_panoptic(pair, wanted, names=(label(prediction), label(target)))
    if wanted.csv is not None:
        with ExitStack() as stack:
            publish([text_part(stack, wanted.csv, panoptic_csv(found))])
    return found


def _evaluate_points(prediction: list[str], target: list[str], wanted: EvaluateOptions) -> PointEvaluation:
    """Measure how well points agree with the truth; see `evaluate`."""
    from landseg.evaluation.objects.sides import files_read
    from landseg.evaluation.points.figures import evaluate_points
    from landseg.evaluation.points.sides import open_points
    from landseg.labels.pairing import named
    from landseg.report.files import text_part
    from landseg.report.point_figures import points_csv
    from landseg.runtime.replacement import publish
    from landseg.runtime.target_checks import refuse_inputs

    refuse_inputs([] if wanted.csv is None else [wanted.csv], files_read([*prediction, *target]))
    pair = open_points(prediction, target, wanted)
    found = evaluate_points(pair, wanted, names=(named(prediction), named(target)))
    if wanted.csv is not None:
        with ExitStack() as stack:
            publish([text_part(stack, wanted.csv, points_csv(found))])
    return found


def _evaluate_keypoints(prediction: str, target: str, wanted: EvaluateOptions) -> KeypointEvaluation:
    """Measure how well objects with keypoints agree with the truth; see `evaluate`."""
    from landseg.evaluation.points.coco_keypoints import evaluate_keypoints
    from landseg.report.files import text_part
    from landseg.report.point_figures import keypoints_csv
    from landseg.runtime.replacement import publish
    from landseg.runtime.target_checks import refuse_inputs

    refuse_inputs([] if wanted.csv is None else [wanted.csv], [Path(prediction), Path(target)])
    found = evaluate_keypoints(prediction, target, wanted)
    if wanted.csv is not None:
        with ExitStack() as stack:
            publish([text_part(stack, wanted.csv, keypoints_csv(found))])
    return found
