"""The twelve figures of COCO: equal to those of pycocotools, on random masks with crowds and equal scores."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from pycocotools import mask as rle
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from landseg.metrics.detection import Detection
from tests.parts.objects import Scene, random_scene

Classes = dict[int, list[Scene]]
CLASSES, IMAGES, SIZE = 2, 6, 280


def _scenes(seed: int) -> Classes:
    """Return six images of two classes, some of them empty; the first has more than ten detections."""
    first = seed * 100
    return {
        k: [random_scene(first + k * IMAGES + i, size=SIZE, most=(12, 3, 1, 8, 5, 9)[i]) for i in range(IMAGES)]
        for k in range(CLASSES)
    }


def _encoded(mask: np.ndarray) -> dict[str, object]:
    return dict(rle.encode(np.asfortranarray(mask.astype(np.uint8))))


def by_pycocotools(classes: Classes) -> np.ndarray:
    true, found = [], []
    for k, scenes in classes.items():
        for i, scene in enumerate(scenes):
            base = {"image_id": i + 1, "category_id": k + 1}
            for mask, crowd in zip(scene.true, scene.crowd, strict=True):
                more = {"segmentation": _encoded(mask), "area": float(mask.sum()), "iscrowd": int(crowd)}
                true.append({**base, **more, "id": len(true) + 1, "bbox": [0, 0, 1, 1]})
            for mask, score in zip(scene.found, scene.scores, strict=True):
                found.append({**base, "segmentation": _encoded(mask), "score": float(score)})
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO()
        truth.dataset = {
            "images": [{"id": i + 1, "height": SIZE, "width": SIZE} for i in range(IMAGES)],
            "categories": [{"id": k + 1} for k in classes],
            "annotations": true,
            "info": {},
        }
        truth.createIndex()
        run = COCOeval(truth, truth.loadRes(found), "segm")
        run.evaluate()
        run.accumulate()
        run.summarize()
    return np.where(run.stats < 0, np.nan, run.stats)


def by_landseg(classes: Classes, change: Callable[[Scene], Scene] = lambda one: one) -> np.ndarray:
    """Return the twelve figures, each the mean over the classes that have one."""
    figures = []
    for scenes in classes.values():
        detection = Detection.coco()
        for i in reversed(range(IMAGES)):  # no order of updates shows
            scene = change(scenes[i])
            detection.update(scene.overlaps(), scene.scores, raster=i)
        figures.append(detection.compute().coco())
    table = np.array(figures)
    some = np.isfinite(table).any(0)
    means = np.full(12, np.nan)
    means[some] = np.nanmean(table[:, some], axis=0)
    return means


@pytest.mark.parametrize("seed", range(12))
def test_the_twelve_figures_are_those_of_pycocotools(seed: int) -> None:
    scenes = _scenes(seed)
    np.testing.assert_allclose(by_landseg(scenes), by_pycocotools(scenes), rtol=0, atol=1e-12)


def test_the_scenes_have_what_the_rules_are_about() -> None:
    scenes = [scene for seed in range(12) for some in _scenes(seed).values() for scene in some]
    assert sum(scene.crowd.sum() for scene in scenes) > 20
    assert max(len(scene.scores) for scene in scenes) > 10  # the limit of 10 cuts
    assert sum(len(scene.scores) - len(set(scene.scores)) for scene in scenes) > 100
    areas = np.concatenate([one.sum((1, 2)) for scene in scenes for one in (scene.true, scene.found)])
    assert min(np.histogram(areas, [0, 32**2, 96**2, np.inf])[0]) > 20


def _no_crowds(scene: Scene) -> Scene:
    return replace(scene, crowd=np.zeros_like(scene.crowd))


def _backwards(scene: Scene) -> Scene:
    return replace(scene, found=scene.found[::-1], scores=scene.scores[::-1])


@pytest.mark.parametrize("change", [_no_crowds, _backwards])
def test_twin_without_a_rule_they_are_not(change: Callable[[Scene], Scene]) -> None:
    scenes = _scenes(0)
    with pytest.raises(AssertionError):
        np.testing.assert_allclose(by_landseg(scenes, change), by_pycocotools(scenes), rtol=0, atol=1e-12)


def test_more_than_a_hundred_detections_are_cut() -> None:
    rng = np.random.default_rng(0)
    true = np.zeros((130, SIZE, SIZE), bool)
    for k in range(130):
        true[k, k // 12 * 13 : k // 12 * 13 + 8, k % 12 * 13 : k % 12 * 13 + 8] = True
    scene = Scene(true, np.roll(true, 1, 2), np.zeros(130, bool), rng.random(130))
    none = Scene(true[:0], true[:0], np.zeros(0, bool), np.zeros(0))
    scenes = {0: [scene] + [none] * (IMAGES - 1)}
    got = by_landseg(scenes)
    np.testing.assert_allclose(got, by_pycocotools(scenes), rtol=0, atol=1e-12)
    assert got[8] < 100 / 130
    unlimited = Detection()
    unlimited.update(scene.overlaps(), scene.scores)
    assert unlimited.compute().ar > got[8]  # twin: without a limit
