"""Labelled pixels for a pixel forest: what the network will see there, of every class, the same for a seed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from landseg.classes import IGNORE_INDEX
from landseg.dense.losses import LabelSets
from landseg.errors import TrainingError
from landseg.geo.grid import Rect
from landseg.models.networks.pixel_forest import PixelForest
from landseg.scenes.label_counts import count_labels
from landseg.scenes.scene import ArrayScene
from landseg.training import labelled_pixels as module
from landseg.training.batches import Scaling
from landseg.training.labelled_pixels import PixelData, Pixels, draw_pixels
from landseg.training.pixel_forest import grow, weights

SCALING = Scaling((100.0, 90.0), (40.0, 30.0))
FOREST = PixelForest(2, classes=3, windows=(3, 5))


def scene(height: int = 70, width: int = 300, seed: int = 0) -> ArrayScene:
    """Two bands whose sum says the class, some pixels without data and some without a label."""
    dice = np.random.default_rng(seed)
    target = np.zeros((height, width), np.uint8)
    target[:, width // 2 :] = 1
    target[: height // 4] = 2
    pixels = dice.normal(50, 5, (2, height, width)) + 40 * target
    target[dice.random(target.shape) < 0.3] = IGNORE_INDEX
    valid = dice.random(target.shape) > 0.02
    return ArrayScene(f"s{seed}", pixels.astype(np.uint8), valid, np.where(valid, target, np.uint8(IGNORE_INDEX)))


def data(*scenes: ArrayScene, sets: LabelSets | None = None, **options: Any) -> PixelData:
    return PixelData(scenes, count_labels(scenes), sets or LabelSets.of(3), SCALING, **options)


def rows(features: NDArray[np.float32]) -> set[bytes]:
    return {row.tobytes() for row in features}


def whole(one: ArrayScene, features: torch.nn.Module) -> NDArray[np.float32]:
    """(pixels, F) of a whole scene, as the network sees it."""
    pixels, valid = torch.from_numpy(one.pixels)[None].float(), torch.from_numpy(one.valid)[None]
    found: NDArray[np.float32] = features(SCALING.apply(pixels, valid))[0].flatten(1).t().numpy()
    return found


def test_every_labelled_pixel_is_drawn_with_what_the_network_sees_in_the_whole_raster() -> None:
    """Cells of 256 pixels are read one by one: at their edges the context is there, at the raster's its own."""
    one = scene()
    drawn = draw_pixels(data(one), FOREST.features, most=10**6)
    for index in range(3):
        expected = rows(whole(one, FOREST.features)[(one.target == index).ravel()])
        assert rows(drawn.features[drawn.target == index]) == expected
        assert len(expected) == drawn.labelled[index]


def test_twin_without_context_pixels_at_the_edges_of_cells_are_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FOREST.features, "reach", 0)
    one = scene()
    drawn = draw_pixels(data(one), FOREST.features, most=10**6)
    assert not rows(drawn.features) <= rows(whole(one, FOREST.features))


def test_classes_are_drawn_evenly_and_the_same_for_a_seed() -> None:
    first, same, other = (draw_pixels(data(scene()), FOREST.features, most=600, seed=n) for n in (1, 1, 2))
    assert np.bincount(first.target).tolist() == [200, 200, 200]
    assert (first.features == same.features).all() and not (first.features == other.features).all()


def test_a_rare_class_is_drawn_whole_and_what_it_leaves_goes_to_others() -> None:
    one = scene()
    one.target[one.target == 2] = IGNORE_INDEX
    one.target[0, :40] = np.where(one.valid[0, :40], 2, IGNORE_INDEX)
    drawn = draw_pixels(data(one), FOREST.features, most=600)
    rare = int((one.target == 2).sum())
    assert np.bincount(drawn.target).tolist() == [(600 - rare) // 2, 600 - rare - (600 - rare) // 2, rare]


def test_labels_of_several_classes_are_left_out() -> None:
    """Target 3 admits classes 0 and 1; target 4 class 2 alone."""
    one = scene()
    one.target[one.target == 0] = 3
    one.target[one.target == 2] = 4
    drawn = draw_pixels(data(one, sets=LabelSets.of(3, [(0, 1), (2,)])), FOREST.features, most=600)
    assert np.bincount(drawn.target, minlength=3).tolist() == [0, 300, 300]
    one.target[:] = 3
    with pytest.raises(TrainingError, match="names one class"):
        draw_pixels(data(one, sets=LabelSets.of(3, [(0, 1)])), FOREST.features, most=600)


def test_of_many_cells_some_of_each_class_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MOST_CELLS", 6)
    one = scene(260, 1500)
    read: list[Rect] = []
    original = module._read

    def counted(data: PixelData, number: int, cell: Rect, features: torch.nn.Module) -> Any:
        read.append(cell)
        return original(data, number, cell, features)

    monkeypatch.setattr(module, "_read", counted)
    drawn = draw_pixels(data(one), FOREST.features, most=600)
    assert len(read) <= 6 < 12
    assert (np.bincount(drawn.target, minlength=3) > 0).all()


def test_weights_are_between_those_of_pixels_and_of_classes() -> None:
    pixels = Pixels(np.zeros((4, 1), np.float32), np.array([0, 0, 0, 1], np.uint8), np.array([1600, 100, 0]))
    weight = weights(pixels)
    assert weight[:3].sum() / weight[3] == pytest.approx(2)
    assert weight.mean() == pytest.approx(1)


def test_a_grown_forest_tells_the_classes_apart_and_is_the_same_for_a_seed() -> None:
    like = PixelForest(2, classes=3, trees=4, leaves=16, windows=(3,))
    (network, _), (same, _), (other, _) = (grow(data(scene()), like, most=2000, seed=n) for n in (0, 0, 1))
    unseen = scene(seed=9)
    found = network.forest(torch.from_numpy(whole(unseen, network.features).T.copy())[None, :, None])[0, :, 0].argmax(
        0
    )
    known = unseen.target.ravel() != IGNORE_INDEX
    assert (found.numpy() == unseen.target.ravel())[known].mean() > 0.95
    states = [one.forest.state_dict() for one in (network, same, other)]
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])
    assert not torch.equal(states[0]["threshold"][:5], states[2]["threshold"][:5])


def test_at_another_resolution_pixels_are_those_of_the_resampled_scene() -> None:
    """Twice as large pixels of a scene that is even over 2 x 2 are its own."""
    one = scene(32, 40)
    target = np.where(one.valid, one.target, IGNORE_INDEX).astype(np.uint8)
    target[target == IGNORE_INDEX] = 1
    large = ArrayScene(
        "large",
        one.pixels.repeat(2, 1).repeat(2, 2),
        np.ones((64, 80), bool),
        target.repeat(2, 0).repeat(2, 1),
        stated=1.0,
    )
    drawn = draw_pixels(data(large, resolution_m=2.0), FOREST.features, most=10**6)
    small = ArrayScene("small", one.pixels, np.ones((32, 40), bool), target)
    expected = whole(small, FOREST.features)
    assert len(drawn.target) == expected.shape[0]
    order = [np.lexsort(np.round(part, 2).T) for part in (drawn.features, expected)]
    assert np.abs(drawn.features[order[0]][:, :2] - expected[order[1]][:, :2]).max() < 0.05
