"""Batches: the same for a step whoever asks, and ready for a loader."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch.utils.data import DataLoader, Sampler

from landseg.classes import IGNORE_INDEX
from landseg.geo.grid import Rect
from landseg.scenes.scene import ArrayScene
from landseg.training import augment as augmentation
from landseg.training.augment import NONE, AugmentOptions
from landseg.training.batches import Batch, Batches
from landseg.training.crops import Crop
from landseg.training.sampler import CropSampler, SamplingOptions


def scenes() -> list[ArrayScene]:
    rng = np.random.default_rng(0)
    made = []
    for name in "ab":
        pixels = rng.integers(0, 255, (3, 90, 120)).astype(np.uint8)
        target = (pixels[0] > 127).astype(np.uint8)
        made.append(ArrayScene(name, pixels, np.ones((90, 120), bool), target, zoom=(0.7, 2.0)))
    return made


def batches(seed: int = 3, options: AugmentOptions | None = None) -> Batches:
    return Batches(CropSampler(scenes(), SamplingOptions(crop=24, batch=4), seed=seed), steps=6, options=options)


def same(one: Batch, other: Batch) -> bool:
    pairs = ((one.pixels, other.pixels), (one.valid, other.valid), (one.targets["class"], other.targets["class"]))
    return all(torch.equal(a, b) for a, b in pairs) and one.names == other.names


def test_shapes_and_names() -> None:
    batch = batches()[2]
    assert batch.pixels.shape == (4, 3, 24, 24) and batch.pixels.dtype == torch.float32
    assert batch.valid.shape == (4, 24, 24) and batch.valid.dtype == torch.bool
    assert batch.targets["class"].shape == (4, 24, 24) and batch.targets["class"].dtype == torch.uint8
    assert len(batch.names) == 4 and all(name[0] in "ab" and "at rows " in name for name in batch.names)
    assert same(batch.to("cpu"), batch) and len(batches()) == 6
    for step in (-1, 6):
        with pytest.raises(IndexError, match=f"step {step} of 6"):
            batches()[step]


def test_a_batch_is_a_function_of_seed_and_step() -> None:
    one, other = batches(), batches()
    for step in range(6):
        other[5 - step]  # asked in another order, and before
        assert same(one[step], other[step])
    assert not same(one[0], one[1]) and not same(one[0], batches(seed=4)[0])  # twins
    plain = batches(options=NONE)[0]
    assert plain.names == one[0].names and not torch.equal(
        plain.pixels, one[0].pixels
    )  # augmentation has its own dice
    assert torch.equal(plain.pixels, plain.pixels.round())


class From(Sampler[int]):
    def __init__(self, first: int) -> None:
        self.first = first

    def __iter__(self):  # type: ignore[no-untyped-def]
        return iter(range(self.first, 6))


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded, use of fork:DeprecationWarning")
@pytest.mark.parametrize("workers", [0, 2])
def test_a_loader_that_starts_in_the_middle_goes_on_as_if_undisturbed(workers: int) -> None:
    data = batches()
    undisturbed = [data[step] for step in range(6)]
    resumed = list(DataLoader(data, batch_size=None, sampler=From(3), num_workers=workers))
    assert len(resumed) == 3 and all(same(a, b) for a, b in zip(undisturbed[3:], resumed, strict=True))
    assert not same(resumed[0], undisturbed[0])


@dataclass(frozen=True)
class WithObjects(ArrayScene):
    """A scene whose objects have numbers: a hundred thousand more than their class, -1 where that is unknown."""

    @property
    def label_maps(self) -> tuple[str, ...]:
        return "class", "instance"

    def read_map(self, name: str, rect: Rect) -> NDArray[Any]:
        assert name == "instance"
        return numbers(self.target[rect.slices])


def numbers(target: NDArray[Any]) -> NDArray[np.int32]:
    return np.where(target == IGNORE_INDEX, -1, target.astype(np.int32) + 100_000).astype(np.int32)


def with_objects() -> list[ArrayScene]:
    rng = np.random.default_rng(3)
    target = np.kron(rng.integers(0, 5, (12, 16)), np.ones((8, 8), int)).astype(np.uint8)
    target[:9, :9] = IGNORE_INDEX
    made = WithObjects("c", target[None], np.ones(target.shape, bool), target, zoom=(0.4, 2.0))
    return [made, *scenes()[:1]]


def test_every_label_map_goes_with_its_crop_at_any_size() -> None:
    some = [replace(scene, pixels=scene.pixels[:1]) for scene in with_objects()]
    found = Batches(CropSampler(some, SamplingOptions(crop=24, batch=4), seed=2), steps=8)
    kinds: set[str] = set()
    for batch in found:
        assert batch.targets["instance"].dtype == torch.int32 and set(batch.targets) == {"class", "instance"}
        for number, name in enumerate(batch.names):
            kinds.add(name[0])
            target, instance = (batch.targets[one][number].numpy() for one in ("class", "instance"))
            expected = numbers(target) if name.startswith("c at") else np.full(target.shape, -1)
            np.testing.assert_array_equal(instance, expected)
    assert kinds == {"a", "c"}


def test_twin_a_map_that_stays_behind_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    turned = augmentation._turned

    def broken(crop: Crop, angle: int, mirrored: bool) -> Crop:
        made = turned(crop, angle, mirrored)
        kept = {name: labels for name, labels in crop.labels.items() if name == "instance"}
        return replace(made, labels={**made.labels, **kept})

    monkeypatch.setattr(augmentation, "_turned", broken)
    with pytest.raises(AssertionError):
        test_every_label_map_goes_with_its_crop_at_any_size()
