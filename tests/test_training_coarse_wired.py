"""Coarse labels from the command line to the weights: where they lie, what they teach, what is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import nn
from typer.testing import CliRunner

from landseg.classes import IGNORE_INDEX, ClassMap
from landseg.errors import TrainingError
from landseg.geo.grid import Rect
from landseg.models.bundle import load_model
from landseg.training import augment as augmentation
from landseg.training.augment import NONE, AugmentOptions, augment
from landseg.training.batches import Batch, Batches
from landseg.training.census import remarks, take_census
from landseg.training.coarse_options import CoarseOptions, share_of
from landseg.training.coarse_sources import counted
from landseg.training.coarse_statistics import JointStatistics
from landseg.training.crops import Crop, read_crop
from landseg.training.derived import Masked, in_memory
from landseg.training.fit import FitOptions, Scaling, fit
from landseg.training.losses import LabelSets
from landseg.training.objective import LossOptions, objective
from landseg.training.parts import moved, part_of
from landseg.training.plain import PlainData
from landseg.training.recipe import Recipe
from landseg.training.sampler import CropSampler, SamplingOptions
from landseg.training.scene import ArrayScene, RasterScene, Scene
from landseg.training.settings import Settings
from landseg.training.sources import open_scenes
from landseg.training.split import SplitOptions, split
from tests.conftest import HALF_METRE

COARSE = ClassMap.from_json([{"value": 21, "name": "mostly dark"}, {"value": 24, "name": "mostly bright"}])
NAMES = ("dark", "bright")
BLOCK = 16


def scene_of(target: NDArray[np.uint8], coarse: NDArray[np.uint8] | None, name: str = "s", **more: int) -> ArrayScene:
    """A scene whose pixels are its target times ten; what is IGNORE_INDEX has no data."""
    valid = target != IGNORE_INDEX
    return ArrayScene(name, (target[None] * 10.0).astype(np.float32), valid, target, coarse=coarse, **more)


def patchwork(seed: int, edge: int = 96) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Fine and coarse classes: a quarter of each "mostly dark" block of 16 is bright, three of each bright one."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 2, (edge // BLOCK,) * 2).repeat(BLOCK, 0).repeat(BLOCK, 1)
    tone = rng.random((edge // 2,) * 2).repeat(2, 0).repeat(2, 1) < np.where(coarse == 1, 0.75, 0.25)
    return tone.astype(np.uint8), coarse.astype(np.uint8)


# ---- where they lie ------------------------------------------------------------------------------------------------


def labels_agree(seed: int, factor: float, at: tuple[int, int]) -> bool:
    """Whether coarse labels that equal the fine ones do so in a crop, wherever, at any size and however turned."""
    target = np.random.default_rng(seed).integers(0, 3, (20, 24)).repeat(3, 0).repeat(3, 1).astype(np.uint8)
    target[:7, :9] = IGNORE_INDEX  # no data there, and so no coarse label either
    coarse = np.where(target == IGNORE_INDEX, 1, target).astype(np.uint8)
    crop = read_crop(scene_of(target, coarse), Rect(*at, 32, 32), factor=factor)
    crop = augment(crop, np.random.default_rng(seed), AugmentOptions())
    return crop.coarse is not None and torch.equal(crop.coarse, crop.target)


@given(st.integers(0, 99), st.sampled_from([0.37, 0.5, 1.0, 1.31, 2.0]), st.tuples(*[st.integers(-20, 90)] * 2))
def test_coarse_labels_go_where_fine_ones_go(seed: int, factor: float, at: tuple[int, int]) -> None:
    assert labels_agree(seed, factor, at)


def test_twin_coarse_labels_that_stay_behind_are_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    turned = augmentation._turned

    def broken(crop: Crop, angle: int, mirrored: bool) -> Crop:
        return replace(turned(crop, angle, mirrored), coarse=crop.coarse)

    assert all(labels_agree(seed, 1.0, (10, 10)) for seed in range(8))
    monkeypatch.setattr(augmentation, "_turned", broken)
    assert not all(labels_agree(seed, 1.0, (10, 10)) for seed in range(8))


def test_a_batch_carries_them_to_wherever_it_goes() -> None:
    fine, coarse = patchwork(1)
    scenes = [scene_of(fine, coarse, "with"), scene_of(fine, None, "without")]
    options = SamplingOptions(crop=32, batch=8)
    batch = Batches(CropSampler(scenes, options), options=NONE)[0]
    assert batch.coarse is not None and batch.coarse.shape == batch.target.shape
    there = torch.tensor([name.startswith("with at") for name in batch.names])
    assert 0 < there.sum() < 8
    assert (batch.coarse[~there] == IGNORE_INDEX).all() and (batch.coarse[there] < 2).all()
    part = part_of(batch, 1, 2)
    assert isinstance(part, Batch) and part.coarse is not None and torch.equal(part.coarse, batch.coarse[1::2])
    there_too = moved(batch.to("cpu"), torch.device("meta"))
    assert isinstance(there_too, Batch) and there_too.coarse is not None and there_too.coarse.is_meta
    assert Batches(CropSampler(scenes[1:], options), options=NONE)[0].coarse is None


def test_scenes_with_coarse_labels_alone_are_drawn_where_these_lie() -> None:
    unknown = np.full((512, 768), IGNORE_INDEX, np.uint8)
    coarse = unknown.copy()
    coarse[:, :256] = 1
    alone = ArrayScene("alone", np.ones((1, 512, 768), np.float32), unknown == 255, unknown, coarse=coarse)
    fine = scene_of(*patchwork(2), "fine")
    census = take_census([alone, fine])
    assert census[0].cells.tolist() == [[0, 0], [1, 0]] and not census[0].spots
    assert (census[0].labelled, census[0].known, census[1].coarse_alone) == (0, 512 * 256, 0)
    assert remarks([alone, fine], census, NAMES) == ["1 of 2 scenes are learned from coarse labels alone: alone"]
    anywhere = CropSampler([alone, fine], SamplingOptions(crop=32, balanced=0))
    crops = [anywhere.draw(0, index) for index in range(40)]
    assert {crop.name.split()[0] for crop in crops} == {"alone", "fine"}
    assert all(
        (crop.coarse == 1).any() for crop in crops if crop.name.startswith("alone") and crop.coarse is not None
    )
    even = CropSampler([alone, fine], SamplingOptions(crop=32, balanced=1))
    assert {even.draw(0, index).name.split()[0] for index in range(40)} == {"fine"}
    nothing = replace(alone, coarse=None)
    with pytest.raises(TrainingError, match="none of the 1 scenes has a labelled pixel"):
        take_census([nothing])


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
    assert isinstance(made.learned[0], Masked) and (made.learned[0].read_coarse(scenes[0].rect) < 2).any()

    class Telling(Masked):
        def read_coarse(self, rect: Rect) -> NDArray[np.uint8]:
            return self.scene.read_coarse(rect)

    telling = Telling(scenes[0], made.learned[0].mask)
    assert not kept_ground_is_unseen(telling, made.kept[0])
    (held,) = in_memory(made.learned[:1], 1)
    assert kept_ground_is_unseen(held, made.kept[0])


# ---- what they teach -----------------------------------------------------------------------------------------------


def test_statistics_are_counted_where_both_are_known() -> None:
    fine, coarse = patchwork(4, 320)
    half = fine.copy()
    half[:, 160:] = IGNORE_INDEX
    scenes = [scene_of(half, coarse, "a", side=BLOCK), scene_of(fine, None, "b")]
    found = counted(scenes, COARSE, NAMES)
    assert np.allclose(found.mean, [[0.75, 0.25], [0.25, 0.75]], atol=0.03)
    assert found.note == f"estimated from {320 * 160} pixels with both labels, in squares of 16 pixels"
    nowhere = scene_of(np.full_like(fine, IGNORE_INDEX), coarse, "c")
    with pytest.raises(TrainingError, match=r"no pixel has both a fine and a coarse label.*give the statis"):
        counted([nowhere, scenes[1]], COARSE, NAMES)


def accuracy_after(statistics: JointStatistics, folder: Path) -> float:
    """Of a network that saw coarse labels alone, on fine ones of another scene."""
    fine, coarse = patchwork(5)
    learned = replace(scene_of(fine, coarse, "learned"), target=np.full_like(fine, IGNORE_INDEX))
    census = take_census([learned])
    sampler = CropSampler([learned], SamplingOptions(crop=32, batch=4), census=census)
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(1, 8, 1), nn.ReLU(), nn.Conv2d(8, 2, 1))
    options = FitOptions(steps=60, learning_rate=0.05, ema=0.5, workers=0, precision="fp32", warmup=0.1)
    loss = objective(LossOptions(), LabelSets.of(2), census, (statistics, 1 / 40))
    batches = Batches(sampler, options=NONE)
    trained = fit(network, batches, loss, Scaling((5.0,), (5.0,)), options=options, folder=folder, quiet=True)
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


# ---- from the command line -----------------------------------------------------------------------------------------

CLASSES = '[[classes]]\nvalue = 1\nname = "dark"\n[[classes]]\nvalue = 2\nname = "bright"\n'
TABLE = (
    "value,name,weight,mean bright,spread bright,mean dark,spread dark\n"
    "21,mostly dark,1,0.25,0.1,0.75,0.1\n24,mostly bright,1,0.75,0.1,0.25,0.1\n"
)
EAST = 64  # columns from one image to the next


@pytest.fixture
def data(tmp_path: Path, write_raster: Callable[..., Path]) -> Path:
    """Three images beside one another, two with labels; a coarse raster over the last two and more, in 8 m pixels."""
    for folder in ("images", "labels"):
        (tmp_path / folder).mkdir()
    fine, coarse = patchwork(7, 192)
    for number, name in enumerate("abc"):
        here = (slice(0, 64), slice(EAST * number, EAST * (number + 1)))
        place = HALF_METRE @ Affine.translation(EAST * number, 0)
        image = np.where(fine[here] == 1, 220, 30).astype(np.uint8)
        write_raster(image.repeat(1, 0), f"images/{name}.tif", transform=place)
        if name != "c":
            write_raster(fine[here] + 1, f"labels/{name}.tif", transform=place, nodata=0)
    values = np.where(coarse[::BLOCK, ::BLOCK] == 1, 24, 21).astype(np.uint8)
    place = HALF_METRE @ Affine.translation(EAST, 0) @ Affine.scale(BLOCK)
    write_raster(values[:, EAST // BLOCK :], "nlcd.tif", transform=place, nodata=0)
    (tmp_path / "classes.toml").write_text(CLASSES)
    (tmp_path / "table.csv").write_text(TABLE)
    return tmp_path


def recipe_in(data: Path, **more: object) -> Recipe:
    plain = PlainData((str(data / "images"),), (str(data / "labels"),), classes=data / "classes.toml")
    plain = replace(plain, coarse=(str(data / "nlcd.tif"),))
    return Settings(coarse=more, split={"by": "none"}).recipe(plain, None, name="m")


def test_a_raster_on_its_own_grid_lies_under_the_images_that_it_covers(data: Path) -> None:
    opened = open_scenes(recipe_in(data), Path())
    assert [scene.coarse_side for scene in opened.scenes] == [None, BLOCK, BLOCK]
    assert opened.coarse is not None and opened.coarse.values == (21, 24)
    _, coarse = patchwork(7, 192)
    scene = opened.scenes[2]
    assert isinstance(scene, RasterScene)
    assert (scene.read_coarse(scene.rect) == coarse[:64, 2 * EAST :]).all()
    assert (scene.read(scene.rect)[2] == IGNORE_INDEX).all()
    with pytest.raises(AssertionError):  # the twin: a pixel beside
        assert (scene.read_coarse(scene.rect) == coarse[:64, 2 * EAST - 1 : -1]).all()
    held = scene.in_memory()
    assert held.coarse is not None and (held.coarse == scene.read_coarse(scene.rect)).all()
    assert scene.bytes == 64 * 64 * 4 and held.coarse_side == BLOCK


def test_a_folder_holds_one_raster_for_each_image(data: Path, write_raster: Callable[..., Path]) -> None:
    (data / "coarse").mkdir()
    here = HALF_METRE @ Affine.scale(BLOCK)
    write_raster(np.full((4, 4), 24, np.uint8), "coarse/a_labels.tif", transform=here)
    plain = PlainData((str(data / "images"),), (str(data / "labels"),), classes=data / "classes.toml")
    plain = replace(plain, coarse=(str(data / "coarse"),))
    opened = open_scenes(Settings().recipe(plain, None, name="m"), Path())
    assert [scene.coarse_side for scene in opened.scenes] == [BLOCK, None, None]
    (data / "coarse" / "a_labels.tif").rename(data / "coarse" / "z.tif")
    with pytest.raises(TrainingError, match=r"none of the 3 images of source 'images' has coarse labels in .*coarse"):
        open_scenes(Settings().recipe(plain, None, name="m"), Path())


def test_a_recipe_takes_coarse_labels_for_sources_that_have_none(data: Path) -> None:
    recipe_in(data, share=0.1).write(data / "recipe.toml")
    text = (data / "recipe.toml").read_text()
    assert 'nlcd.tif"' in text and "share = 0.1" in text
    bare = "\n".join(line for line in text.splitlines() if "nlcd" not in line and line != "coarse = [")
    (data / "bare.toml").write_text(bare.replace('tif",\n]\n', 'tif"]\n'))
    settings = Settings(coarse={"table": str(data / "table.csv"), "share": share_of("1/20")})
    given = PlainData((str(data / "recipe.toml"),), coarse=("other.tif",))
    recipe = settings.recipe(given, None, name="m")
    assert recipe.sources[0].coarse == (str(data / "nlcd.tif"),)  # its own stay
    assert recipe.coarse == CoarseOptions(table=str(data / "table.csv"), share=0.05)
    statistics = open_scenes(recipe, Path()).statistics
    assert statistics is not None and statistics.classes == NAMES and statistics.mean[0, 0] == 0.75


def run(data: Path, *arguments: str) -> tuple[int, str, str]:
    from landseg.cli.main import app

    always = ["--arch", "fcn32s", "--encoder", "resnet18", "--encoder-weights", "none", "--steps", "2", "--json"]
    always += ["--crop", "32", "--batch", "2", "--set", "fit.workers=0", "-o", str(data / "m.safetensors")]
    files = ("images", "labels", "images/a.tif")
    places = [str(data / one) if one in files or one[-4:] in (".tif", ".csv") else one for one in arguments]
    result = CliRunner().invoke(app, ["train", *places, *always, "--classes", str(data / "classes.toml")])
    return result.exit_code, result.stdout, result.stderr


BOTH = ("images", "labels", "--coarse", "nlcd.tif")


def test_the_command_learns_from_both_and_the_card_says_so(data: Path) -> None:
    code, out, told = run(data, *BOTH, "--coarse-share", "1/10", "--split", "none")
    assert code == 0, told
    assert json.loads(out)["scenes"] == 3
    assert "1 of 3 scenes are learned from coarse labels alone: c" in told
    assert "coarse labels: joint statistics estimated from 4096 pixels with both labels, in squares of 16 pix" in told
    training = load_model(data / "m.safetensors").card.training
    assert training is not None
    said = training.options["coarse"]
    assert said["sources"] == ["nlcd.tif"] and said["share"] == 0.1
    assert said["statistics"]["classes"] == ["dark", "bright"] and len(said["statistics"]["coarse"]) == 2
    assert str(data) not in json.dumps(said)


def test_images_with_coarse_labels_alone_are_enough_with_a_table(data: Path) -> None:
    code, _, told = run(data, "images", "--coarse", "nlcd.tif", "--coarse-table", "table.csv")
    assert code == 0, told
    assert "2 of 3 scenes are learned from coarse labels alone" in told and "from the table table.csv" in told


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["images", "labels", "--coarse", "far.tif"], "none of the 3 images of source 'images' has coarse labels"),
        (["images", "labels", "--coarse", "no.tif"], "no.tif: no such file or folder"),
        ([*BOTH, "--coarse-table", "short.csv"], "values without a class: 24 ("),
        ([*BOTH, "--coarse-table", "gone.csv"], "gone.csv cannot be read"),
        ([*BOTH, "--keep-out", "b"], "no pixel has both a fine and a coarse"),
        ([*BOTH, "--keep-out", "[bc]"], "no scene that is learned has coarse"),
        ([*BOTH, "--coarse-share", "1/0"], "--coarse-share 1/0: expected a share"),
        ([*BOTH, "--coarse-share", "3"], "is between 0 and 1, such as 1/40, got 3"),
        (["images", "labels", "--coarse-table", "table.csv"], "1 of 3 images have no labels in"),
        (["images/a.tif", "labels", "--coarse-table", "table.csv"], "no source has any: name them by --coarse"),
        (["images", "--coarse", "nlcd.tif"], "no pixel has both a fine and a coarse label"),
    ],
)
def test_what_does_not_go_is_said_in_one_sentence(
    data: Path, arguments: list[str], says: str, write_raster: Callable[..., Path]
) -> None:
    write_raster(np.full((4, 4), 24, np.uint8), "far.tif", transform=HALF_METRE @ Affine.translation(9e4, 9e4))
    (data / "short.csv").write_text("".join(TABLE.splitlines(keepends=True)[:2]))
    code, out, told = run(data, *arguments)
    assert (code, out) == (1, "")
    (sentence,) = [line for line in told.splitlines() if line.startswith("landseg: ")]
    assert says in sentence
    assert "Traceback" not in told and not (data / "m.safetensors").exists()
