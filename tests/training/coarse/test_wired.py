"""Coarse labels from scenes to weights: they lie where fine ones do, stay hidden where these are, and teach."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from rasterio.crs import CRS
from torch import nn

from landseg.classes import IGNORE_INDEX, ClassMap, LandClass
from landseg.dense.losses import LabelSets
from landseg.dense.objective import LossOptions
from landseg.dense.semantic import Semantic
from landseg.errors import TrainingError
from landseg.geo.grid import Grid, Rect
from landseg.scenes.label_counts import count_labels, remarks
from landseg.scenes.scene import ArrayScene, Scene
from landseg.scenes.split import SplitOptions, split
from landseg.scenes.views import MaskedScene, in_memory
from landseg.training import augment as augmentation
from landseg.training.augment import NONE, AugmentOptions, augment
from landseg.training.batches import Batch, Batches, Scaling, moved, part_of
from landseg.training.coarse.sources import count_statistics
from landseg.training.coarse.statistics import JointStatistics
from landseg.training.crops import Crop, read_crop
from landseg.training.fit_options import FitOptions
from landseg.training.loop.fit import fit
from landseg.training.loop.run import Feedback, Lesson
from landseg.training.objective import objective
from landseg.training.sampler import CropSampler, SamplingOptions
from tests.parts.coarse import BLOCK, patchwork
from tests.parts.places import HALF_METRE, UTM

COARSE = ClassMap.from_json([{"value": 21, "name": "mostly dark"}, {"value": 24, "name": "mostly bright"}])
NAMES = ("dark", "bright")


def scene_of(target: NDArray[np.uint8], coarse: NDArray[np.uint8] | None, name: str = "s", **more: int) -> ArrayScene:
    """A scene whose pixels are its target times ten; what is IGNORE_INDEX has no data."""
    valid = target != IGNORE_INDEX
    return ArrayScene(name, (target[None] * 10.0).astype(np.float32), valid, target, coarse=coarse, **more)


# ---- where they lie ------------------------------------------------------------------------------------------------


def labels_agree(seed: int, factor: float, at: tuple[int, int]) -> bool:
    """Whether coarse labels that equal the fine ones do so in a crop, wherever, at any size and however turned."""
    target = np.random.default_rng(seed).integers(0, 3, (20, 24)).repeat(3, 0).repeat(3, 1).astype(np.uint8)
    target[:7, :9] = IGNORE_INDEX  # no data there, and so no coarse label either
    coarse = np.where(target == IGNORE_INDEX, 1, target).astype(np.uint8)
    crop = read_crop(scene_of(target, coarse), Rect(*at, 32, 32), factor=factor)
    crop = augment(crop, np.random.default_rng(seed), AugmentOptions())
    return torch.equal(crop.labels["coarse"], crop.labels["class"])


@given(st.integers(0, 99), st.sampled_from([0.37, 0.5, 1.0, 1.31, 2.0]), st.tuples(*[st.integers(-20, 90)] * 2))
def test_coarse_labels_go_where_fine_ones_go(seed: int, factor: float, at: tuple[int, int]) -> None:
    assert labels_agree(seed, factor, at)


def test_twin_coarse_labels_that_stay_behind_are_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    turned = augmentation._turned

    def broken(crop: Crop, angle: int, mirrored: bool) -> Crop:
        made = turned(crop, angle, mirrored)
        return replace(made, labels={**made.labels, "coarse": crop.labels["coarse"]})

    assert all(labels_agree(seed, 1.0, (10, 10)) for seed in range(8))
    monkeypatch.setattr(augmentation, "_turned", broken)
    assert not all(labels_agree(seed, 1.0, (10, 10)) for seed in range(8))


def test_a_batch_carries_them_to_wherever_it_goes() -> None:
    fine, coarse = patchwork(1)
    scenes = [scene_of(fine, coarse, "with"), scene_of(fine, None, "without")]
    options = SamplingOptions(crop=32, batch=8)
    batch = Batches(CropSampler(scenes, options), options=NONE)[0]
    coarse_labels = batch.targets["coarse"]
    assert coarse_labels.shape == batch.targets["class"].shape
    there = torch.tensor([name.startswith("with at") for name in batch.names])
    assert 0 < there.sum() < 8
    assert (coarse_labels[~there] == IGNORE_INDEX).all() and (coarse_labels[there] < 2).all()
    part = part_of(batch, 1, 2)
    assert isinstance(part, Batch) and torch.equal(part.targets["coarse"], coarse_labels[1::2])
    there_too = moved(batch.to("cpu"), torch.device("meta"))
    assert isinstance(there_too, Batch) and there_too.targets["coarse"].is_meta
    assert set(Batches(CropSampler(scenes[1:], options), options=NONE)[0].targets) == {"class"}


def test_scenes_with_coarse_labels_alone_are_drawn_where_these_lie() -> None:
    unknown = np.full((512, 768), IGNORE_INDEX, np.uint8)
    coarse = unknown.copy()
    coarse[:, :256] = 1
    alone = ArrayScene("alone", np.ones((1, 512, 768), np.float32), unknown == 255, unknown, coarse=coarse)
    fine = scene_of(*patchwork(2), "fine")
    census = count_labels([alone, fine])
    assert census[0].cells.tolist() == [[0, 0], [1, 0]] and not census[0].spots
    assert (census[0].labelled, census[0].known, census[1].coarse_alone) == (0, 512 * 256, 0)
    assert remarks([alone, fine], census, NAMES) == ["1 of 2 scenes is learned from coarse labels alone: alone"]
    anywhere = CropSampler([alone, fine], SamplingOptions(crop=32, balanced=0))
    crops = [anywhere.draw(0, index) for index in range(40)]
    assert {crop.name.split()[0] for crop in crops} == {"alone", "fine"}
    assert all((crop.labels["coarse"] == 1).any() for crop in crops if crop.name.startswith("alone"))
    even = CropSampler([alone, fine], SamplingOptions(crop=32, balanced=1))
    assert {even.draw(0, index).name.split()[0] for index in range(40)} == {"fine"}
    nothing = replace(alone, coarse=None)
    with pytest.raises(TrainingError, match="no scene has a labelled pixel"):
        count_labels([nothing])


def kept_ground_is_unseen(learned: Scene, kept: Scene) -> bool:
    """Whether nothing is known, of either kind, to what is learned where the kept part lies."""
    there = kept.read(kept.rect)[2] != IGNORE_INDEX
    fine, coarse = learned.read(learned.rect)[2], learned.read_coarse(learned.rect)
    return bool(there.any()) and bool((fine[there] == IGNORE_INDEX).all() and (coarse[there] == IGNORE_INDEX).all())


def test_a_split_scene_does_not_tell_coarse_labels_of_what_is_kept() -> None:
    fine, coarse = patchwork(3)
    unknown = np.full_like(fine, IGNORE_INDEX)
    scenes = [scene_of(fine, coarse, "a"), replace(scene_of(fine, coarse, "b"), target=unknown)]
    made = split(scenes, SplitOptions(by="block", block_px=32, share=0.3), classes=NAMES)
    assert [scene.name for scene in made.learned] == ["a", "b"] and [scene.name for scene in made.kept] == ["a"]
    assert kept_ground_is_unseen(made.learned[0], made.kept[0])
    assert isinstance(made.learned[0], MaskedScene) and (made.learned[0].read_coarse(scenes[0].rect) < 2).any()

    class Telling(MaskedScene):
        def read_coarse(self, rect: Rect) -> NDArray[np.uint8]:
            return self.scene.read_coarse(rect)

    telling = Telling(scenes[0], made.learned[0].mask)
    assert not kept_ground_is_unseen(telling, made.kept[0])
    (held,) = in_memory(made.learned[:1], 1)
    assert kept_ground_is_unseen(held, made.kept[0])


def learned_beside(*, placed: bool) -> set[str]:
    """Of two pairs of scenes on one ground, each with one that has coarse labels alone: what is learned by file."""
    scenes: list[Scene] = []
    for number, place in enumerate("ab"):
        grid = Grid(CRS.from_user_input(UTM), HALF_METRE @ Affine.translation(500 * number, 0), 96, 96)
        fine, coarse = patchwork(number)
        one = replace(scene_of(fine, None, f"{place}_fine"), grid=grid if placed else None)
        unknown = np.full_like(fine, IGNORE_INDEX)
        other = replace(one, name=f"{place}_coarse", pixels=one.pixels + 1, target=unknown, coarse=coarse)
        scenes += [one, other]
    made = split(scenes, SplitOptions(by="file", share=0.5), classes=NAMES)
    (kept,) = made.kept
    return {"kept ground" if scene.name[0] == kept.name[0] else "other" for scene in made.learned}


def test_coarse_labels_of_a_file_that_is_kept_are_not_learned(monkeypatch: pytest.MonkeyPatch) -> None:
    assert learned_beside(placed=True) == {"other"}
    assert learned_beside(placed=False) == {"other"}  # pictures that are nearly the same are taken for one place
    monkeypatch.setattr("landseg.scenes.split.lookalikes", lambda *_: [])
    assert learned_beside(placed=False) == {"kept ground", "other"}  # the twin: nobody can know that it is one place


# ---- what they teach -----------------------------------------------------------------------------------------------


def test_statistics_are_counted_where_both_are_known() -> None:
    fine, coarse = patchwork(4, 320)
    half = fine.copy()
    half[:, 160:] = IGNORE_INDEX
    scenes = [scene_of(half, coarse, "a", side=BLOCK), scene_of(fine, None, "b")]
    found = count_statistics(scenes, COARSE, NAMES)
    assert np.allclose(found.mean, [[0.75, 0.25], [0.25, 0.75]], atol=0.03)
    assert found.note == f"estimated from {320 * 160:,} pixels with both labels, in squares of 16 pixels"
    nowhere = scene_of(np.full_like(fine, IGNORE_INDEX), coarse, "c")
    with pytest.raises(TrainingError, match=r"no pixel has both a fine and a coarse label.*give the statis"):
        count_statistics([nowhere, scenes[1]], COARSE, NAMES)


def accuracy_after(statistics: JointStatistics, folder: Path) -> float:
    """Of a network that saw coarse labels alone, on fine ones of another scene."""
    fine, coarse = patchwork(5)
    learned = replace(scene_of(fine, coarse, "learned"), target=np.full_like(fine, IGNORE_INDEX))
    census = count_labels([learned])
    sampler = CropSampler([learned], SamplingOptions(crop=32, batch=4), counts=census)
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(1, 8, 1), nn.ReLU(), nn.Conv2d(8, 2, 1))
    options = FitOptions(steps=60, learning_rate=0.05, ema=0.5, workers=0, precision="fp32", warmup=0.1)
    task = Semantic(ClassMap(tuple(LandClass(n, f"c{n}", (n, n, n)) for n in (1, 2))), {})
    loss = objective(task, LossOptions(), LabelSets.of(2), census, (statistics, 1 / 40))
    batches = Batches(sampler, options=NONE)
    trained = fit(
        network,
        Lesson(batches, loss, Scaling((5.0,), (5.0,))),
        options=options,
        folder=folder,
        feedback=Feedback(quiet=True),
    )
    truth, _ = patchwork(6)
    with torch.inference_mode():
        found = trained.eval()(torch.from_numpy(truth[None, None] * 2.0 - 1).float()).argmax(1)[0].numpy()
    return float((found == truth).mean())


def test_coarse_labels_alone_teach_which_pixels_are_bright(tmp_path: Path) -> None:
    """No block says which of its pixels are bright, and none is of one tone."""
    mean, spread = np.array([[0.75, 0.25], [0.25, 0.75]]), np.full((2, 2), 0.1)
    statistics = JointStatistics(COARSE, NAMES, mean, spread, np.ones(2))
    assert accuracy_after(statistics, tmp_path / "told") > 0.95
    swapped = replace(statistics, mean=mean[::-1])  # the twin: told the opposite, it learns the opposite
    assert accuracy_after(swapped, tmp_path / "mistold") < 0.05
