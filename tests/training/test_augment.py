"""Augmentation: image, labels and validity move together; colours change by what is valid alone."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from landseg.classes import IGNORE_INDEX
from landseg.errors import TrainingError
from landseg.training.augment import NONE, AugmentOptions, augment
from landseg.training.crops import Crop

OPTIONS = {
    "flips": replace(NONE, flips=True),
    "turns": replace(NONE, turns=True),
    "color": replace(NONE, color=1.0),
    "strong": replace(NONE, color=2.0),
    "gain": replace(NONE, gain=0.1),
    "haze": replace(NONE, haze=1.0),
    "noise": replace(NONE, noise=1.0),
    "all": AugmentOptions(),
}


def patches(bands: int, seed: int, side: int = 16) -> Crop:
    """Four grey steps in blocks; the target is the step, and one block is invalid."""
    steps = np.random.default_rng(seed).integers(0, 4, (side // 4, side // 4))
    target = np.kron(steps, np.ones((4, 4))).astype(np.uint8)
    pixels = np.stack([target * 50 + 20 + band for band in range(bands)]).astype(np.uint8)
    valid = np.ones((side, side), bool)
    valid[:4, 4:8] = False
    target[~valid] = IGNORE_INDEX
    pixels[:, ~valid] = 255
    return Crop(torch.from_numpy(pixels), torch.from_numpy(valid), {"class": torch.from_numpy(target)}, "x")


def assert_aligned(before: Crop, after: Crop) -> None:
    """Pixels of one label still are of one tone, and no other label's pixels are; labels are as many as before."""
    assert torch.equal(after.valid, after.labels["class"] != IGNORE_INDEX)
    assert torch.equal(before.labels["class"].flatten().bincount(), after.labels["class"].flatten().bincount())
    tone = after.pixels.mean(0)
    labels = sorted(after.labels["class"][after.valid].unique().tolist())
    tones = [tone[after.labels["class"] == label] for label in labels]
    spans = [(each.min(), each.max()) for each in tones]
    for (_, high), (low, _) in pairwise(spans):
        assert high < low, spans


@given(name=st.sampled_from(sorted(OPTIONS)), bands=st.sampled_from([1, 3, 4, 7]), seed=st.integers(0, 2**32))
def test_labels_stay_on_their_pixels_under_every_change(name: str, bands: int, seed: int) -> None:
    crop = patches(bands, seed)
    quiet = (
        replace(OPTIONS[name], noise=0.0) if name == "all" else OPTIONS[name]
    )  # noise blurs tones; it moves nothing
    changed = augment(crop, np.random.default_rng(seed), quiet)
    assert changed.pixels.dtype == torch.float32 and changed.name == "x"
    if name != "noise":
        assert_aligned(crop, changed)
    else:
        assert torch.equal(changed.labels["class"], crop.labels["class"]) and torch.equal(changed.valid, crop.valid)


@pytest.mark.parametrize("part", ["pixels", "labels", "valid"])
def test_twin_what_is_turned_alone_is_seen(part: str) -> None:
    crop = patches(3, 1)
    if part == "labels":
        turned = replace(crop, labels={"class": torch.rot90(crop.labels["class"], dims=(-2, -1))})
    else:
        turned = replace(crop, **{part: torch.rot90(getattr(crop, part), dims=(-2, -1))})
    with pytest.raises(AssertionError):
        assert_aligned(crop, augment(turned, np.random.default_rng(0), NONE))


def labels_of(crop: Crop, seed: int, options: AugmentOptions) -> tuple[int, ...]:
    return tuple(augment(crop, np.random.default_rng(seed), options).labels["class"].flatten().tolist())


def test_all_symmetries_of_the_square_occur_and_nothing_else() -> None:
    mark = torch.arange(16).reshape(4, 4).to(torch.uint8)
    crop = Crop(mark[None], mark >= 0, {"class": mark})
    both = replace(NONE, flips=True, turns=True)
    seen = {labels_of(crop, n, both) for n in range(100)}
    expected = {
        tuple(square.flatten().tolist())
        for turns in range(4)
        for square in (torch.rot90(mark, turns), torch.rot90(mark, turns).flip(-1))
    }
    assert seen == expected and len(seen) == 8
    for options, count in ((OPTIONS["flips"], 2), (OPTIONS["turns"], 4), (NONE, 1)):
        found = {labels_of(crop, n, options) for n in range(60)}
        assert len(found) == count


@pytest.mark.parametrize("name", sorted(OPTIONS))
@pytest.mark.parametrize("bands", [1, 3, 5])
def test_invalid_pixels_do_not_count(name: str, bands: int) -> None:
    crop = patches(bands, 3)
    other = replace(crop, pixels=torch.where(crop.valid, crop.pixels, torch.tensor(0, dtype=torch.uint8)))
    for seed in range(10):
        one, two = (augment(each, np.random.default_rng(seed), OPTIONS[name]) for each in (crop, other))
        assert torch.equal(one.pixels[:, one.valid], two.pixels[:, two.valid])


@pytest.mark.parametrize("name", ["color", "haze", "noise"])
def test_twin_what_is_said_to_be_valid_does_count(name: str) -> None:
    crop = patches(3, 3)
    counted = replace(crop, valid=torch.ones_like(crop.valid))
    one, two = (augment(each, np.random.default_rng(1), OPTIONS[name]) for each in (crop, counted))
    assert not torch.equal(one.pixels[:, crop.valid], two.pixels[:, crop.valid])


def test_crops_without_a_valid_pixel_stay_finite() -> None:
    nothing = {"class": torch.full((8, 8), 255, dtype=torch.uint8)}
    crop = Crop(torch.zeros(3, 8, 8), torch.zeros(8, 8, dtype=torch.bool), nothing)
    for seed in range(20):
        assert torch.isfinite(augment(crop, np.random.default_rng(seed)).pixels).all()


def light(name: str, bands: int = 3, seeds: int = 40) -> list[tuple[torch.Tensor, torch.Tensor]]:
    crop = patches(bands, 2)
    shown = crop.pixels[:, crop.valid].float()
    return [
        (shown, augment(crop, np.random.default_rng(n), OPTIONS[name]).pixels[:, crop.valid]) for n in range(seeds)
    ]


def test_each_change_does_what_it_is_called() -> None:
    for before, after in light("haze"):
        assert (after >= before - 1e-3).all() and after.max() <= before.max() + 1e-3  # lifted towards the brightest
        lift = (after - before).mean(0)
        assert lift[before[0].argmin()] > lift[before[0].argmax()]
    ratios = torch.cat([after.mean(1) / before.mean(1) for before, after in light("gain")])
    assert 0.05 < ratios.std() < 0.15 and abs(ratios.mean() - 1) < 0.05
    brightness = torch.tensor([float(after.mean() / before.mean()) for before, after in light("color")])
    assert 0.59 < brightness.min() < 0.75 and 1.15 < brightness.max() < 1.31
    for before, after in light("noise"):
        assert 0.015 < (after - before).std() / before.std() < 0.13
    stronger = torch.tensor([float(after.mean() / before.mean()) for before, after in light("strong")])
    assert stronger.std() > 1.5 * brightness.std()
    for before, after in light("color", bands=1):
        assert after.shape == before.shape


def test_the_crop_itself_is_not_changed() -> None:
    crop = patches(3, 4)
    kept = Crop(crop.pixels.clone(), crop.valid.clone(), {"class": crop.labels["class"].clone()})
    floats = replace(crop, pixels=crop.pixels.float())
    for seed in range(10):
        augment(crop, np.random.default_rng(seed))
        augment(floats, np.random.default_rng(seed))
    assert torch.equal(crop.pixels, kept.pixels) and torch.equal(floats.pixels, kept.pixels.float())
    assert torch.equal(crop.labels["class"], kept.labels["class"])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"haze": 1.2}, "haze is a share"),
        ({"noise": -0.1}, "noise is a share"),
        ({"color": 3.0}, "color is a strength"),
        ({"gain": 0.9}, "gain is a spread"),
    ],
)
def test_options_that_make_no_sense(options: dict[str, float], message: str) -> None:
    with pytest.raises(TrainingError, match=message):
        AugmentOptions(**options)  # type: ignore[arg-type]
