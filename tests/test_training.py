"""Losses, crops and augmentation: each on arrays small enough to check by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from landseg.classes import IGNORE_INDEX
from landseg.errors import TrainingError
from landseg.geo.grid import Rect
from landseg.training.augment import augment
from landseg.training.fit import Scaling
from landseg.training.losses import LabelSets, partial_cross_entropy
from landseg.training.scenes import Crop, CropSampler, Scene, read_crop


def test_single_labels_give_softmax_cross_entropy() -> None:
    logits, target = torch.randn(2, 4, 5, 6), torch.randint(0, 4, (2, 5, 6))
    target[0, :2] = IGNORE_INDEX
    ours = partial_cross_entropy(logits, target, LabelSets.of(4))
    assert torch.allclose(ours, F.cross_entropy(logits, target, ignore_index=IGNORE_INDEX))


def test_a_set_is_scored_by_the_sum_of_its_probabilities() -> None:
    sets = LabelSets.of(3, [[1, 2]])
    logits = torch.tensor([1.0, 2.0, -1.0]).view(1, 3, 1, 1)
    loss = partial_cross_entropy(logits, torch.tensor([[[3]]]), sets)
    assert torch.allclose(loss, -logits.softmax(1)[0, 1:].sum().log())


@pytest.mark.parametrize(("members", "sign"), [([1, 2], 1), ([0], -1)], ids=["not class 0", "only class 0"])
def test_a_partial_label_moves_the_one_class_that_it_knows(members: list[int], sign: int) -> None:
    sets = LabelSets.of(3, [members])
    logits = torch.tensor([0.0, 2.0, -1.0]).view(1, 3, 1, 1).requires_grad_()
    partial_cross_entropy(logits, torch.tensor([[[3]]]), sets).backward()
    assert logits.grad is not None
    known, first, second = logits.grad.flatten().tolist()
    assert sign * known > 0 and (first, second) == (0, 0)


def test_the_commonest_mistake_a_full_gradient_would_move_the_others() -> None:
    logits = torch.tensor([0.0, 2.0, -1.0]).view(1, 3, 1, 1).requires_grad_()
    partial_cross_entropy(logits, torch.tensor([[[0]]]), LabelSets.of(3)).backward()
    assert logits.grad is not None and (logits.grad.flatten()[1:] > 0).all()


def test_only_ignored_pixels_give_zero_and_no_nan_gradient() -> None:
    logits = torch.randn(1, 2, 3, 3, requires_grad=True)
    loss = partial_cross_entropy(logits, torch.full((1, 3, 3), IGNORE_INDEX), LabelSets.of(2))
    loss.backward()
    assert loss == 0 and logits.grad is not None and (logits.grad == 0).all()


def _scene(height: int = 40, width: int = 60, **options: object) -> Scene:
    """Pixels that name their place, and a target that is 1 in the right third."""
    rows, columns = np.mgrid[0:height, 0:width]
    target = (columns >= width * 2 // 3).astype(np.uint8)
    pixels = np.stack([rows, columns, rows + columns]).astype(np.uint8)
    return Scene("s", pixels, np.ones(target.shape, bool), target, **options)  # type: ignore[arg-type]


@given(top=st.integers(-10, 35), left=st.integers(-10, 55), size=st.integers(1, 30))
def test_a_crop_shows_its_place_and_ignores_what_lies_outside(top: int, left: int, size: int) -> None:
    scene = _scene()
    crop = read_crop(scene, Rect(top, left, size, size), size)
    for y in range(0, size, 7):
        for x in range(0, size, 7):
            inside = 0 <= top + y < 40 and 0 <= left + x < 60
            assert bool(crop.valid[y, x]) == inside
            expected = scene.target[top + y, left + x] if inside else IGNORE_INDEX
            assert crop.target[y, x] == expected
            assert not inside or crop.pixels[:2, y, x].tolist() == [top + y, left + x]


def test_shrunk_labels_take_the_commonest_and_stay_in_place() -> None:
    target = np.zeros((8, 8), np.uint8)
    target[:, 4:] = 1
    target[0, 0] = 2  # one pixel of sixteen
    scene = Scene("s", np.zeros((1, 8, 8), np.uint8), np.ones((8, 8), bool), target)
    assert read_crop(scene, Rect(0, 0, 8, 8), 2).target.tolist() == [[0, 1], [0, 1]]


def _check_resized_ramp(resize: object) -> None:
    scene = _scene()
    crop = read_crop(scene, Rect(4, 8, 32, 32), 16)
    columns = crop.pixels[1, 8] if resize is None else resize(scene)  # type: ignore[operator]
    # Pixel x of the crop covers source columns 8 + 2x and 9 + 2x, whose mean is 8.5 + 2x.
    assert torch.allclose(columns[3:-3], 8.5 + 2.0 * torch.arange(16)[3:-3], atol=0.02)


def test_resized_imagery_does_not_shift() -> None:
    _check_resized_ramp(None)


def test_twin_biased_nearest_resizing_shifts() -> None:
    def nearest(scene: Scene) -> Tensor:
        part = torch.from_numpy(scene.pixels[1:2, 4:36, 8:40].astype(np.float32))
        return F.interpolate(part[None], (16, 16), mode="nearest")[0, 0, 8]

    with pytest.raises(AssertionError):
        _check_resized_ramp(nearest)


def test_rare_labels_are_drawn_about_as_often_as_common_ones() -> None:
    scene = _scene(200, 200)
    scene.target[:] = 0
    scene.target[90:96, 90:96] = 1
    sampler = CropSampler([scene], size=8, seed=0)
    seen = sum(bool((sampler.draw().target == 1).any()) for _ in range(200))
    assert 30 <= seen <= 120  # a quarter of the draws aim at it; by area alone it would be about one


def test_same_seed_same_crops_and_no_label_is_an_error() -> None:
    first, second = (CropSampler([_scene(zoom=(0.5, 2.0))], size=16, seed=5) for _ in range(2))
    for _ in range(5):
        a, b = first.draw(), second.draw()
        assert torch.equal(a.pixels, b.pixels) and torch.equal(a.target, b.target)
    unlabelled = _scene()
    unlabelled.target[:] = IGNORE_INDEX
    with pytest.raises(TrainingError, match="labelled pixel"):
        CropSampler([unlabelled], size=8, seed=0)


@pytest.mark.parametrize("seed", range(8))
def test_augmentation_moves_pixels_validity_and_target_together(seed: int) -> None:
    mark = torch.zeros(16, 16)
    mark[2, 5] = 1
    crop = Crop(mark[None].repeat(3, 1, 1) * 200, mark == 0, (mark * 7).to(torch.uint8))
    out = augment(crop, np.random.default_rng(seed))
    spot = int(out.pixels.sum(0).argmax())
    assert out.target.flatten()[spot] == 7 and not out.valid.flatten()[spot]
    assert torch.isfinite(out.pixels).all()


def test_no_data_is_the_mean_to_the_network() -> None:
    pixels = torch.full((1, 1, 1, 2), 9.0)
    scaled = Scaling((5.0,), (2.0,)).apply(pixels, torch.tensor([[[True, False]]]))
    assert scaled.flatten().tolist() == [2.0, 0.0]
