"""Alpha bands: opacity says where there is data, near infrared under that name does not."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from rasterio.enums import ColorInterp

from landseg.errors import BandError, RasterError
from landseg.evaluate import evaluate
from landseg.geo.grid import Rect
from landseg.geo.rasters.mosaic import open_source
from landseg.geo.rasters.opacity import is_opacity, misnamed_alpha_text
from landseg.geo.rasters.source import FileSource
from landseg.inference.match import match_raster, mute_warnings
from landseg.models.card import Band
from landseg.predict import predict
from landseg.refine import refine
from landseg.report.imagery import Imagery
from landseg.report.raster_facts import raster_facts
from landseg.training.declared_tags import alpha_warnings
from landseg.training.overrides import Overrides
from landseg.training.recipe_from_files import DataFiles
from landseg.verify import verify
from tests.parts.predicting import noise, small_model

Write = Callable[..., Path]
SHAPE = (300, 400)
RGBA = {"photometric": "RGB", "alpha": "yes"}
FOUR = tuple(Band(name, name, 100.0, 60.0) for name in ("red", "green", "blue", "nir"))


def opaque() -> NDArray[np.uint8]:
    alpha = np.full(SHAPE, 255, np.uint8)
    alpha[:, :90] = 0
    return alpha


def feathered(width: int = 40) -> NDArray[np.uint8]:
    """Soft edges, as warped and blended mosaics have them: every value occurs, on a small part."""
    rows, columns = np.indices(SHAPE)
    edge = np.minimum(np.minimum(rows, SHAPE[0] - 1 - rows), np.minimum(columns, SHAPE[1] - 1 - columns))
    return (edge / width * 255).clip(0, 255).astype(np.uint8)


def infrared() -> NDArray[np.uint8]:
    """Values as NAIP has them: nearly all in between, some 0 in shadows and water."""
    values = np.random.default_rng(3).normal(120, 40, SHAPE).clip(1, 255).astype(np.uint8)
    values[40:60, 100:140] = 0
    return values


def judged(alpha: NDArray[np.generic], block: tuple[int, int] = (64, 64)) -> bool:
    return is_opacity(lambda rect: alpha[rect.slices], alpha.shape, block)


@pytest.mark.parametrize(
    ("alpha", "expected"),
    [
        (opaque(), True),
        (np.full(SHAPE, 255, np.uint8), True),
        (np.zeros(SHAPE, np.uint8), True),
        (feathered(), True),
        ((opaque() // 255).astype(np.uint16), True),
        (opaque().astype(np.uint16) * 257, True),
        (np.clip(opaque().astype(np.int16) - np.indices(SHAPE).sum(0) % 4, 0, 255).astype(np.uint8), True),
        ((feathered() / np.float32(255)), True),
        (infrared(), False),
        ((infrared() * np.uint16(20)), False),
        (np.where(np.indices(SHAPE)[1] < 320, 0, infrared()), False),
    ],
    ids=[
        "0 or 255", "255", "0", "feathered", "0 or 1", "0 or 65535", "lossy", "float", "infrared",
        "infrared of 16 bits", "infrared beside a wide collar",
    ],
)  # fmt: skip
def test_what_opacity_is(alpha: NDArray[np.generic], expected: bool) -> None:
    assert judged(alpha) == judged(alpha, (1, SHAPE[1])) == expected


def test_of_a_large_raster_little_is_read() -> None:
    seen: list[Rect] = []

    def read(rect: Rect) -> NDArray[np.uint8]:
        seen.append(rect)
        return np.full(rect.shape, 255, np.uint8)

    assert is_opacity(read, (100_000, 80_000), (512, 512))
    assert len(seen) == 16 and sum(rect.area for rect in seen) == 16 * 128**2
    assert max(rect.top for rect in seen) > 80_000 and max(rect.left for rect in seen) > 60_000


def test_what_cannot_be_read_is_left_to_who_reads_it() -> None:
    def read(rect: Rect) -> NDArray[np.uint8]:
        raise RasterError("damaged")

    assert is_opacity(read, SHAPE, (64, 64))


def four_bands(write: Write, alpha: NDArray[np.uint8], name: str = "four.tif") -> Path:
    return write(np.concatenate([noise(*SHAPE), alpha[None]]), name, **RGBA)


@pytest.mark.parametrize(("alpha", "masks"), [(opaque(), True), (feathered(), True), (infrared(), False)])
def test_opacity_alone_is_a_mask(alpha: NDArray[np.uint8], masks: bool, write_raster: Write) -> None:
    with FileSource(four_bands(write_raster, alpha)) as source:
        assert source.file.info.colorinterp[3] == ColorInterp.alpha.name and source.band_numbers == (1, 2, 3)
        assert (alpha == 0).any() and source.may_lack_data == masks
        expected = alpha > 0 if masks else np.ones(SHAPE, bool)
        assert (source.read(source.grid.rect)[1] == expected).all()
        assert bool(source.remarks) != masks
        colors = Imagery(source).colors(source.grid.rect, (SHAPE[0] // 2, SHAPE[1] // 2))
        assert (colors[..., 3] > 0).all() != masks, "pictures show what is read"
        hole = colors[22:28, 52:68, :3]  # where near infrared is 0: neither black nor empty
        assert masks or hole.mean() > 80


def test_the_answer_does_not_depend_on_what_is_read(write_raster: Write) -> None:
    path = four_bands(write_raster, infrared())
    with FileSource(path) as source:
        pieces = [source.read(Rect(top, 0, 50, SHAPE[1]))[1] for top in range(0, SHAPE[0], 50)]
        assert np.concatenate(pieces).all()


def test_an_alpha_band_that_is_named_is_a_band(write_raster: Write) -> None:
    alpha = infrared()
    with open_source(four_bands(write_raster, alpha), bands=[1, 2, 3, 4]) as source:
        pixels, valid = source.read(source.grid.rect)
        assert (pixels[3] == alpha).all() and valid.all() and not source.remarks


def test_a_mosaic_and_a_stack_say_it_once(write_raster: Write) -> None:
    paths = [four_bands(write_raster, infrared(), name) for name in ("a.tif", "b.tif")]
    for stack in (False, True):
        with open_source(paths, stack=stack) as source:
            assert len(source.remarks) == 1 and source.read(source.grid.rect)[1].all()


def test_a_model_of_four_bands_is_told_the_way_out(write_raster: Write) -> None:
    path, card = four_bands(write_raster, infrared()), replace(small_model().card, bands=FOUR)
    with pytest.raises(BandError, match=r"raster has 3.*band 4 is called alpha.*--bands 1,2,3,4"):
        match_raster(path, card)
    with match_raster(path, card, bands=(1, 2, 3, 4)) as matched:
        assert matched.network.count == 4 and not matched.warnings
    clear = four_bands(write_raster, opaque(), "clear.tif")
    with pytest.raises(BandError) as refused:
        match_raster(clear, card)
    assert "alpha" not in str(refused.value), "opacity is no fourth band"


@pytest.mark.parametrize(("alpha", "times"), [(infrared(), 1), (opaque(), 0)])
def test_it_is_said_once(
    alpha: NDArray[np.uint8], times: int, write_raster: Write, tmp_path: Path, heard: Sequence[str]
) -> None:
    path = four_bands(write_raster, alpha)
    made = predict(path, tmp_path / "map.tif", model=small_model(), device="cpu")
    assert len(made.to_json()["warnings"]) == times
    assert len([line for line in heard if "called alpha" in line]) == times
    with FileSource(tmp_path / "map.tif") as source:
        assert source.read(source.grid.rect)[1].all() == bool(times), "near infrared of 0 is no hole in the map"
    checked = verify(path, model=small_model(), size=64, window=64, device="cpu")
    assert len(checked.to_json()["warnings"]) == times
    assert len([line for line in heard if "called alpha" in line]) == 2 * times


def test_who_learns_from_it_is_told(write_raster: Write, tmp_path: Path) -> None:
    labels = np.ones(SHAPE, np.uint8)
    for folder in ("images", "labels"):
        (tmp_path / folder).mkdir()
    for name in ("a", "b"):
        four_bands(write_raster, infrared(), f"images/{name}.tif")
        write_raster(labels, f"labels/{name}.tif")
    (tmp_path / "classes.toml").write_text('[[classes]]\nvalue = 1\nname = "land"\ncolor = [9, 9, 9]\n')
    data = {"labels": ("labels",), "classes": tmp_path / "classes.toml", "folder": tmp_path}
    recipe = Overrides().recipe(DataFiles(("images",), **data), None, name="m")
    (text,) = alpha_warnings(recipe, tmp_path)
    assert text.startswith("a.tif, b.tif: band 4 is called alpha") and "--bands 1,2,3,4" in text
    recipe = Overrides().recipe(DataFiles(("images",), bands=(1, 2, 3, 4), **data), None, name="m")
    assert len(recipe.bands) == 4 and alpha_warnings(recipe, tmp_path) == []


def test_what_a_training_said_is_not_said_again(write_raster: Write, tmp_path: Path, heard: Sequence[str]) -> None:
    path = four_bands(write_raster, infrared())
    mute_warnings(path)
    made = predict(path, tmp_path / "map.tif", model=small_model(), device="cpu")
    assert not [line for line in heard if "called alpha" in line] and len(made.warnings) == 1


def test_evaluate_notes_it_of_its_imagery(write_raster: Write, tmp_path: Path) -> None:
    labels = write_raster(np.ones(SHAPE, np.uint8), "map.tif")
    image = four_bands(write_raster, infrared())
    report: dict[str, Any] = {"report": tmp_path / "r.html", "image": [str(image)]}
    (tmp_path / "classes.toml").write_text('[[classes]]\nvalue = 1\nname = "land"\ncolor = [9, 9, 9]\n')
    naming: dict[str, Any] = {"classes": tmp_path / "classes.toml"}
    plain: dict[str, Any] = {**naming, "boundary": None, "tolerance": None, "samples": 0}
    found = evaluate(str(labels), str(labels), **plain, **report)
    assert [note for note in found.notes if "called alpha" in note] == [f"four.tif: {misnamed_alpha_text(4, 4)}"]


def test_refine_says_it(write_raster: Write, tmp_path: Path, heard: Sequence[str]) -> None:
    probs = np.full((2, *SHAPE), 0.5, np.float32)
    files = write_raster(probs, "probs.tif", nodata=float("nan")), four_bands(write_raster, infrared())
    made = refine(*files, tmp_path / "out.tif", iterations=1, quiet=True)
    text = misnamed_alpha_text(4, 4)
    assert made.to_json()["warnings"] == [text] and f"four.tif: {text}" in heard
    assert made.unseen == 0, "near infrared of 0 hides nothing"


def test_info_says_it(write_raster: Write) -> None:
    facts = raster_facts(four_bands(write_raster, infrared()))
    assert facts["validity"].startswith("none declared") and facts["warnings"] == [misnamed_alpha_text(4, 4)]
    facts = raster_facts(four_bands(write_raster, opaque()))
    assert facts["validity"] == "alpha band" and facts["warnings"] == []


def test_a_batch_says_it_once(write_raster: Write, tmp_path: Path, heard: Sequence[str]) -> None:
    paths = [four_bands(write_raster, infrared(), name) for name in ("a.tif", "b.tif")]
    done = predict(paths, f"{tmp_path}/maps/", model=small_model(), device="cpu")
    assert [len(one["warnings"]) for one in done.to_json()["predictions"]] == [1, 1]
    assert len([line for line in heard if "called alpha" in line]) == 1
