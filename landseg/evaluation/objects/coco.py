"""COCO's files: results against ground truth, with masks."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Container
from pathlib import Path
from typing import Any

import numpy as np

from landseg.errors import ClassError, RasterError
from landseg.evaluation.objects.masks import area_of, read_mask, shared_by
from landseg.evaluation.objects.pair import ObjectImage, ObjectPair
from landseg.evaluation.options import EvaluateOptions
from landseg.metrics.overlaps import Floats, Ints, Overlaps
from landseg.metrics.overlaps import objects as made_objects
from landseg.text.untrusted import brief

_LEAST = 1e-9  # the area of a mask without a pixel, which shares none
_HEAD = 4096  # characters by which a file is recognised


def is_coco(path: str) -> bool:
    """Return whether a file is one of COCO: a list of results, or an object with annotations."""
    if not path.lower().endswith(".json"):
        return False
    try:
        with Path(path).open(encoding="utf-8") as file:
            head = file.read(_HEAD).lstrip()
            if not head.startswith("{"):
                return head.startswith("[")
            return '"FeatureCollection"' not in head and '"annotations"' in head + file.read()
    except (OSError, UnicodeDecodeError):
        return False


def holds_keypoints(path: str) -> bool:
    """Return whether a file holds COCO's results of keypoints: its first entry has some, and no mask."""
    try:
        with Path(path).open(encoding="utf-8") as file:
            head = file.read(1 << 16).lstrip()
    except (OSError, UnicodeDecodeError):
        return False
    entry = head[: head.find("}")]
    return head.startswith("[") and '"keypoints"' in entry and '"segmentation"' not in entry


def pair_coco(prediction: str, target: str, options: EvaluateOptions) -> ObjectPair:
    """Return the objects of COCO's results and ground truth; areas and limits of detections are COCO's.

    Raises:
        ClassError: a file that is no such file, or results of images that the ground truth does not have.
        RasterError: a file that cannot be read.
    """
    found, true = (
        read_json(path) if is_coco(path) or not Path(path).exists() else None for path in (prediction, target)
    )
    if not isinstance(found, list) or not isinstance(true, dict):
        raise ClassError(
            f"expected COCO's results (a list) and then its ground truth (images, annotations, categories), got "
            f"{prediction} and {target}"
        )
    if options.aoi is not None or options.areas:
        raise ClassError("--aoi and --areas mean nothing for COCO's files, which have no place on the ground")
    try:
        return _pair(found, true, prediction)
    except (KeyError, TypeError, ValueError) as error:
        raise ClassError(
            f"{prediction} and {target}: an entry lacks a field or holds another type: {error}"
        ) from error


def _pair(found: list[Any], true: dict[str, Any], name: str) -> ObjectPair:
    sizes = {one["id"]: (int(one["height"]), int(one["width"])) for one in true["images"]}
    categories = sorted(true["categories"], key=lambda one: one["id"])
    index = {one["id"]: at for at, one in enumerate(categories)}
    sides = by_image(true["annotations"], found, sizes, name)
    images = [
        _image(sides[0][key], sides[1][key], sizes[key], index, number) for number, key in enumerate(sorted(sizes))
    ]
    return ObjectPair(
        images=tuple(images),
        classes=tuple(str(one.get("name", one["id"])) for one in categories),
        scored=True,
        unit="px",
        block=1.0,
        block_text="an image each",
        coco=True,
        notes=("areas, and limits of 1, 10 and 100 detections an image, are COCO's",),
    )


def by_image(
    annotations: list[Any], results: list[Any], images: Container[Any], name: str
) -> tuple[dict[Any, list[Any]], dict[Any, list[Any]]]:
    """Return the annotations and the results of each image by its id.

    Raises:
        ClassError: results of an image that the ground truth does not have.
    """
    true: dict[Any, list[Any]] = defaultdict(list)
    found: dict[Any, list[Any]] = defaultdict(list)
    for side, entries in ((true, annotations), (found, results)):
        for one in entries:
            side[one["image_id"]].append(one)
    if strange := sorted(str(one) for one in found if one not in images):
        raise ClassError(f"{name} has results of image {strange[0]}, which the ground truth does not have")
    return true, found


def scores_of(results: list[Any]) -> Floats:
    """Return the scores (D,) of results.

    Raises:
        ClassError: one is not from 0 to 1.
    """
    scores = np.array([float(one["score"]) for one in results])
    right = (scores >= 0) & (scores <= 1)
    if not right.all():
        raise ClassError(f"a result has the score {scores[~right][0]:g}: expected scores from 0 to 1")
    return scores


def _image(
    true: list[Any], found: list[Any], size: tuple[int, int], index: dict[Any, int], number: int
) -> ObjectImage:
    found = [one for one in found if one["category_id"] in index]
    masks = [[_mask(one, size) for one in side] for side in (true, found)]
    pixels = [np.array([area_of(mask) for mask in side], np.float64) for side in masks]
    scores = scores_of(found)
    crowd = np.array([bool(one.get("iscrowd", 0)) for one in true], bool)
    kinds = [np.array([index[one["category_id"]] for one in side], np.int64) for side in (true, found)]
    size_of = np.array([float(one.get("area", px)) for one, px in zip(true, pixels[0], strict=True)])
    true_index, found_index, shared = _shared(masks, kinds)
    overlaps = Overlaps(
        made_objects(np.maximum(pixels[0], _LEAST), size=size_of, ignored=crowd),
        made_objects(np.maximum(pixels[1], _LEAST), size=pixels[1]),
        true_index,
        found_index,
        shared.astype(np.float64),
    )
    return ObjectImage(overlaps, scores, kinds[0], kinds[1], number)


def _shared(masks: list[list[Ints]], kinds: list[Ints]) -> tuple[Ints, Ints, Ints]:
    """Return the pairs of one class that share pixels: indices of truth and results, and the number of pixels."""
    rows = []
    for kind in np.intersect1d(kinds[0], kinds[1]).tolist():
        for t in np.flatnonzero(kinds[0] == kind).tolist():
            for d in np.flatnonzero(kinds[1] == kind).tolist():
                if both := shared_by(masks[0][t], masks[1][d]):
                    rows.append((t, d, both))
    table = np.array(rows, np.int64).reshape(-1, 3)
    return table[:, 0], table[:, 1], table[:, 2]


def _mask(one: Any, size: tuple[int, int]) -> Ints:
    if "segmentation" not in one:
        raise ClassError(f"the entry {brief(one)} has no segmentation: only masks are compared")
    return read_mask(one["segmentation"], *size)


def read_json(path: str) -> Any:
    """Return what a file of JSON holds.

    Raises:
        RasterError: it cannot be read.
        ClassError: it is no JSON.
    """
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise RasterError(f"{path} cannot be read: {error.strerror or error}") from error
    except ValueError as error:
        raise ClassError(f"{path} is no JSON: {error}") from error
