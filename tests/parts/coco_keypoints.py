"""People of COCO's kind, made at random, in its files, and their figures by pycocotools."""

from __future__ import annotations

import contextlib
import io
from dataclasses import dataclass
from typing import Any

import numpy as np
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from landseg.metrics.oks import Keypoints

IMAGES, CLASSES = 5, 2


@dataclass
class People:
    """One class of an image: truth, prediction and scores."""

    true: Keypoints
    found: Keypoints
    scores: np.ndarray


def people(seed: int, keypoints: int, most: int) -> People:
    """Return objects of all sizes, near copies as detections; some hidden, some crowds, equal scores, and ties."""
    rng = np.random.default_rng(seed)
    count = int(rng.integers(0, most))
    size = rng.choice([12.0, 40.0, 150.0], (count, 1, 1))
    place = rng.integers(0, 200, (count, 1, 2)) + rng.random((count, keypoints, 2)) * size
    if count > 2:
        place[1] = place[0]  # an equal OKS with both
    visible = rng.random((count, keypoints)) < 0.7
    visible[rng.random(count) < 0.15] = False
    copies = np.repeat(np.arange(count), 2)
    noise = (
        rng.normal(0, 1, (len(copies), keypoints, 2))
        * size[copies]
        * rng.choice([0.02, 0.1, 0.4], (len(copies), 1, 1))
    )
    found = np.concatenate([place[copies] + noise, rng.random((int(rng.integers(0, 4)), keypoints, 2)) * 200])
    found = found[rng.random(len(found)) < 0.85]
    area = (size.reshape(-1) ** 2) * rng.choice([0.5, 1.0], count)
    true = Keypoints.of(place, visible=visible, area=area, crowd=rng.random(count) < 0.15)
    return People(true, Keypoints.of(found), rng.integers(1, 8, len(found)) / 8)


def classes_of(seed: int, keypoints: int) -> dict[int, list[People]]:
    return {
        k: [people(seed * 100 + k * IMAGES + i, keypoints, (30, 3, 1, 8, 5)[i]) for i in range(IMAGES)]
        for k in range(CLASSES)
    }


def flat(points: np.ndarray, visible: np.ndarray) -> list[float]:
    return np.column_stack([points, np.where(visible, 2, 0)]).reshape(-1).tolist()


def coco_files(classes: dict[int, list[People]]) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Return ground truth and results of COCO's format."""
    true: list[dict[str, Any]] = []
    found: list[dict[str, Any]] = []
    for k, scenes in classes.items():
        for i, one in enumerate(scenes):
            base = {"image_id": i + 1, "category_id": k + 1}
            for t in range(len(one.true)):
                side = one.true
                more = {
                    "keypoints": flat(side.place[t], side.visible[t]),
                    "num_keypoints": int(side.visible[t].sum()),
                    "area": float(side.area[t]),
                    "bbox": side.box[t].tolist(),
                    "iscrowd": int(side.crowd[t]),
                }
                true.append({**base, **more, "id": len(true) + 1})
            for d in range(len(one.found)):
                points = flat(one.found.place[d], one.found.visible[d])
                found.append({**base, "keypoints": points, "score": float(one.scores[d])})
    truth = {
        "images": [{"id": i + 1, "height": 400, "width": 400} for i in range(IMAGES)],
        "categories": [{"id": k + 1} for k in classes],
        "annotations": true,
        "info": {},
    }
    return truth, found


def by_pycocotools(classes: dict[int, list[People]], sigmas: np.ndarray) -> tuple[np.ndarray, dict[Any, np.ndarray]]:
    """Return the ten figures of pycocotools, and its similarities (D, T) by image and class."""
    dataset, found = coco_files(classes)
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO()
        truth.dataset = dataset
        truth.createIndex()
        run = COCOeval(truth, truth.loadRes(found), "keypoints")
        run.params.kpt_oks_sigmas = sigmas
        run.evaluate()
        run.accumulate()
        run.summarize()
    return np.where(run.stats < 0, np.nan, run.stats), run.ious
