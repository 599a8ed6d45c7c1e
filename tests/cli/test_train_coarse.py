"""`landseg train --coarse`: which raster lies under which image, a card that tells, and sentences for bad input."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from affine import Affine
from typer.testing import CliRunner

from landseg.classes import IGNORE_INDEX
from landseg.errors import TrainingError
from landseg.models.file import load_model
from landseg.scenes.scene import RasterScene
from landseg.training.coarse.options import CoarseOptions, share_of
from landseg.training.coarse.sources import resolve_statistics
from landseg.training.coarse.statistics import JointStatistics
from landseg.training.overrides import Overrides
from landseg.training.recipe import Recipe
from landseg.training.recipe_from_files import DataFiles
from landseg.training.sources import open_scenes
from tests.parts.coarse import BLOCK, patchwork
from tests.parts.places import HALF_METRE

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
    plain = DataFiles((str(data / "images"),), (str(data / "labels"),), classes=data / "classes.toml")
    plain = replace(plain, coarse=(str(data / "nlcd.tif"),))
    return Overrides(coarse=more, split={"by": "none"}).recipe(plain, None, name="m")


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
    plain = DataFiles((str(data / "images"),), (str(data / "labels"),), classes=data / "classes.toml")
    plain = replace(plain, coarse=(str(data / "coarse"),))
    opened = open_scenes(Overrides().recipe(plain, None, name="m"), Path())
    assert [scene.coarse_side for scene in opened.scenes] == [BLOCK, None, None]
    (data / "coarse" / "a_labels.tif").rename(data / "coarse" / "z.tif")
    with pytest.raises(TrainingError, match=r"none of the 3 images of source 'images' has coarse labels in .*coarse"):
        open_scenes(Overrides().recipe(plain, None, name="m"), Path())


def test_a_recipe_takes_coarse_labels_for_sources_that_have_none(data: Path) -> None:
    recipe_in(data, share=0.1).write(data / "recipe.toml")
    text = (data / "recipe.toml").read_text()
    assert 'nlcd.tif"' in text and "share = 0.1" in text
    bare = "\n".join(line for line in text.splitlines() if "nlcd" not in line and line != "coarse = [")
    (data / "bare.toml").write_text(bare.replace('tif",\n]\n', 'tif"]\n'))
    settings = Overrides(coarse={"table": str(data / "table.csv"), "share": share_of("1/20")})
    given = DataFiles((str(data / "recipe.toml"),), coarse=("other.tif",))
    recipe = settings.recipe(given, None, name="m")
    assert recipe.sources[0].coarse == (str(data / "nlcd.tif"),)  # its own stay
    assert recipe.coarse == CoarseOptions(table=str(data / "table.csv"), share=0.05)
    statistics = open_scenes(recipe, Path()).statistics
    assert statistics is not None and statistics.classes == ("dark", "bright") and statistics.mean[0, 0] == 0.75


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
    assert "1 of 3 scenes is learned from coarse labels alone: c" in told
    assert "coarse labels: joint statistics estimated from 4,096 pixels with both labels, in squares of 16" in told
    training = load_model(data / "m.safetensors").card.training
    assert training is not None
    said = training.options["coarse"]
    assert said["sources"] == ["nlcd.tif"] and said["share"] == 0.1
    assert said["statistics"]["classes"] == ["dark", "bright"] and len(said["statistics"]["coarse"]) == 2
    assert str(data) not in json.dumps(said)


def statistics_of(recipe: Recipe, lines: list[str]) -> JointStatistics:
    opened = open_scenes(recipe, Path())
    found = resolve_statistics(
        opened.scenes, opened.coarse, None, specs=recipe.sources, classes=("dark", "bright"), report=lines.append
    )
    assert found is not None
    return found


def test_rasters_on_the_images_own_pixels_are_told_how_wide_a_label_is(
    data: Path, write_raster: Callable[..., Path]
) -> None:
    (data / "coarse").mkdir()
    _, coarse = patchwork(7, 192)
    write_raster((coarse[:64, :64] * 3 + 21).astype(np.uint8), "coarse/a.tif", crs=None)
    recipe = recipe_in(data)
    (source,) = recipe.sources
    recipe = replace(recipe, sources=(replace(source, coarse=str(data / "coarse")),))
    assert [scene.coarse_side for scene in open_scenes(recipe, Path()).scenes] == [1, None, None]
    lines: list[str] = []
    as_fine = statistics_of(recipe, lines)
    assert "say how many of them a label is wide (--set coarse.side=30)" in lines[0]
    recipe = replace(recipe, coarse=CoarseOptions(side=BLOCK))
    told = statistics_of(recipe, lines)
    assert lines[2].endswith("in squares of 16 pixels")
    assert np.allclose(told.mean, as_fine.mean) and told.spread.max() < as_fine.spread.min()


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
        (["images", "labels", "--coarse-table", "table.csv"], "1 of 3 images has no labels in"),
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
