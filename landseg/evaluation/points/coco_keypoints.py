"""COCO's results of keypoints against their ground truth: the figures of pycocotools, by category."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from landseg.errors import ClassError
from landseg.evaluation.objects.coco import by_image, holds_keypoints, is_coco, read_json, scores_of
from landseg.evaluation.objects.figures import mean_of
from landseg.evaluation.objects.sides import refuse_given
from landseg.evaluation.options import EvaluateOptions
from landseg.evaluation.points.keypoint_result import MEANS, KeypointClass, KeypointEvaluation
from landseg.metrics.keypoints import KeypointDetection
from landseg.metrics.oks import COCO_SIGMAS, Keypoints, similarities
from landseg.metrics.overlaps import Floats
from landseg.text.amounts import counted

_OF_OTHERS = (
    "aoi", "classes", "ignore", "class_field", "background", "buffer", "label_colors", "probs", "errors", "areas",
    "report", "image", "radius",
)  # fmt: skip


@dataclass(frozen=True)
class _Category:
    """A category of the ground truth.

    Attributes:
        key: its id.
        name: its name.
        sigmas: (K,) of its keypoints.
    """

    key: Any
    name: str
    sigmas: Floats


def are_keypoints(prediction: Sequence[str], target: Sequence[str], options: EvaluateOptions) -> bool:
    """Return whether a prediction is COCO's results of keypoints.

    Raises:
        LandsegError: options that mean nothing for them, or several files.
    """
    if not any(is_coco(path) and holds_keypoints(path) for path in prediction):
        return False
    if len(prediction) > 1 or len(target) > 1:
        raise ClassError("COCO's files hold all their images: name one of results and one of ground truth")
    refuse_given(options, _OF_OTHERS, "other predictions, and these are COCO's keypoints")
    return True


def evaluate_keypoints(prediction: str, target: str, options: EvaluateOptions) -> KeypointEvaluation:
    """Return the evaluation of COCO's results of keypoints, in pixels of the images.

    The sigmas of a category are its field ``sigmas``, a share of the square root of an object's area for each
    keypoint; of a category with 17 keypoints those of COCO's people without it.

    Raises:
        ClassError: a file that is no such file, results of images that the ground truth does not have, or a category
            without sigmas.
        RasterError: a file that cannot be read.
    """
    found, true = read_json(prediction), read_json(target)
    if not isinstance(found, list) or not isinstance(true, dict):
        raise ClassError(
            f"expected COCO's results (a list) and then its ground truth (images, annotations, categories), got "
            f"{prediction} and {target}"
        )
    try:
        categories = [_category(one, target) for one in sorted(true["categories"], key=lambda one: one["id"])]
        keys = sorted(one["id"] for one in true["images"])
        images = by_image(true["annotations"], found, set(keys), prediction)
        made = [_detection(one, keys, *images) for one in categories if one is not None]
    except (KeyError, TypeError, ValueError) as error:
        raise ClassError(
            f"{prediction} and {target}: an entry lacks a field or holds another type: {error}"
        ) from error
    named = [one for one in categories if one is not None]
    if not named:
        raise ClassError(f"{target}: no category has keypoints: expected a list of their names, or of their sigmas")
    return _evaluation(list(zip(named, made, strict=True)), options, (prediction, target))


def _category(one: dict[str, Any], target: str) -> _Category | None:
    """Return a category; None for one without keypoints."""
    name, names = str(one.get("name", one["id"])), one.get("keypoints")
    if "sigmas" in one:
        sigmas = np.array(one["sigmas"], np.float64)
        wrong = names is not None and len(sigmas) != len(names)
        if wrong or sigmas.ndim != 1 or not (len(sigmas) and (sigmas > 0).all()):
            many = "keypoint" if names is None else counted(len(names), "keypoint")
            raise ClassError(
                f"{target}: the category {name} has sigmas that are not a number above 0 for each {many}"
            )
        return _Category(one["id"], name, sigmas)
    if names is None:
        return None
    if len(names) == len(COCO_SIGMAS):
        return _Category(one["id"], name, COCO_SIGMAS)
    raise ClassError(
        f"{target}: the category {name} has {counted(len(names), 'keypoint')} and no sigmas: expected 'sigmas', a "
        "share of the square root of an object's area for each keypoint (0.05, say); only COCO's 17 are known"
    )


def _detection(
    kind: _Category, keys: Sequence[Any], true: dict[Any, list[Any]], found: dict[Any, list[Any]]
) -> KeypointDetection:
    """Return the objects of a category in all images."""
    made = KeypointDetection.coco()
    for number, key in enumerate(keys):
        mine, theirs = ([one for one in side[key] if one["category_id"] == kind.key] for side in (true, found))
        pairs = similarities(_keypoints(mine, kind, truth=True), _keypoints(theirs, kind, truth=False), kind.sigmas)
        made.update(pairs, scores_of(theirs), raster=number)
    return made


def _keypoints(entries: list[Any], kind: _Category, *, truth: bool) -> Keypoints:
    """Return the keypoints of entries; those of results are all visible, and their areas those of their boxes."""
    count = len(kind.sigmas)
    for one in entries:
        if len(one["keypoints"]) != 3 * count:
            raise ClassError(
                f"an object of the category {kind.name} has {counted(len(one['keypoints']), 'number')} as keypoints: "
                f"expected x, y and visibility of {counted(count, 'keypoint')}"
            )
    numbers = np.array([one["keypoints"] for one in entries], np.float64).reshape(-1, count, 3)
    if not truth:
        return Keypoints.of(numbers[..., :2])
    return Keypoints.of(
        numbers[..., :2],
        visible=numbers[..., 2] > 0,
        area=[float(one["area"]) for one in entries],
        crowd=[bool(one.get("iscrowd", 0)) for one in entries],
        box=np.array([one["bbox"] for one in entries], np.float64).reshape(-1, 4),
    )


def _evaluation(
    made: list[tuple[_Category, KeypointDetection]], options: EvaluateOptions, names: tuple[str, str]
) -> KeypointEvaluation:
    """Return the figures of all categories, and their means over those with truth."""
    classes = []
    for kind, one in made:
        ends = one.intervals(options.score, count=options.samples, seed=options.seed) if options.samples else {}
        pairs = {key: (float(low), float(high)) for key, (low, high) in ends.items()}
        classes.append(KeypointClass(kind.name, one.compute(options.score), pairs))
    table = [asdict(one.figures) for one in classes]
    each = np.array([one.figures.coco() for one in classes])
    true = sum(row["true_count"] for row in table)
    notes = ["areas, and the limit of 20 detections an image, are COCO's; distances are in pixels"]
    if not true:
        notes.append("the truth holds no object that counts: no figure but the counts means anything")
    if options.samples:
        notes.append("95 % intervals by a bootstrap of images")
    return KeypointEvaluation(
        prediction=names[0],
        target=names[1],
        classes=tuple(classes),
        means={name: mean_of([row[name] for row in table]) for name in MEANS},
        coco=tuple(mean_of(column.tolist()) for column in each.T),
        score=options.score,
        notes=tuple(notes),
    )
