"""Scale and offset tags: what imagery declares its stored numbers to mean, from training to the map."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from typer.testing import CliRunner

import landseg.inference.match
from landseg.cli.main import app
from landseg.cli.predict import lines as predict_lines
from landseg.cli.refine import lines as refine_lines
from landseg.crf.inputs import Evidence
from landseg.data import inspect_data
from landseg.errors import BandError, ModelError, ResumeError, TrainingError
from landseg.geo.grid import Rect
from landseg.geo.rasters.bands import BandTable
from landseg.geo.rasters.mosaic import open_source
from landseg.geo.rasters.rescaled import RescaledSource
from landseg.geo.rasters.source import FileSource
from landseg.geo.rasters.value_tags import ValueTags, tags_text
from landseg.inference.match import match_raster
from landseg.labels.probabilities import ProbsFile
from landseg.models.card import Band
from landseg.models.file import Model, read_card
from landseg.models.mlm import mlm_fields
from landseg.predict import predict
from landseg.refine import refine
from landseg.report.raster_facts import raster_facts
from landseg.training.declared_tags import common_tags, with_declared_tags
from landseg.training.overrides import Overrides
from landseg.training.recipe import Recipe
from landseg.training.recipe import recipe_of as read_tables
from landseg.training.recipe_from_files import DataFiles
from landseg.training.sources import open_scenes
from landseg.verify import verify
from tests.parts.places import HALF_METRE
from tests.parts.predicting import QUICK, one, read, small_model
from tests.parts.sample_models import save_small_model

OLD, NEW, NONE = ValueTags(0.0001), ValueTags(0.0001, -0.1), ValueTags()


def reflectance(seed: int = 0, shape: tuple[int, int] = (60, 80), bands: int = 3) -> NDArray[np.uint16]:
    """Numbers of 10,000 a unit, as baseline 03.01 stored them."""
    rng = np.random.default_rng(seed)
    cells = rng.integers(100, 4000, (bands, -(-shape[0] // 10), -(-shape[1] // 10)))
    large = np.kron(cells, np.ones((1, 10, 10), int))[:, : shape[0], : shape[1]]
    return (large + rng.integers(0, 60, large.shape)).astype(np.uint16)


def tag(path: Path, tags: ValueTags | list[ValueTags]) -> Path:
    with rasterio.open(path, "r+") as file:
        each = tags if isinstance(tags, list) else [tags] * file.count
        file.scales, file.offsets = tuple(t.scale for t in each), tuple(t.offset for t in each)
    return path


@pytest.fixture
def scene(write_raster: Callable[..., Path]) -> Callable[..., Path]:
    """Writes the same reflectance as imagery of the given tags stores it."""

    def write(name: str, tags: ValueTags = OLD, *, add: int = 0, dtype: str = "uint16", **options: Any) -> Path:
        pixels = options.pop("pixels", None)
        pixels = reflectance() if pixels is None else pixels
        return tag(write_raster((pixels + add).astype(dtype), name, **options), tags)

    return write


def model(tags: ValueTags | None = OLD, *, bands: int = 3, mean: float = 1500.0, std: float = 1000.0) -> Model:
    """A small network that learned from imagery with these tags."""
    made = small_model(bands, dtype="uint16")
    declared = tags or NONE
    names = tuple(
        Band(band.name, band.common_name, mean, std, declared.scale, declared.offset) for band in made.card.bands
    )
    return Model(made.network, replace(made.card, bands=names), made.path, f"{made.hash} {tags}")


# --- the tags themselves


def test_in_words() -> None:
    assert ValueTags(0.0001, -0.1).text == "stored x 0.0001 - 0.1"
    assert ValueTags(2.0, 5).text == "stored x 2 + 5" and NONE.text == "no scale and offset"
    assert tags_text([OLD, NEW]) == "band 1 stored x 0.0001, band 2 stored x 0.0001 - 0.1"


@pytest.mark.parametrize("pair", [(0, 0), (float("nan"), 1), (1, float("inf")), (float("inf"), 0), (1, 0)])
def test_tags_that_mean_nothing_are_none(pair: tuple[float, float]) -> None:
    assert not ValueTags.of(*pair).declared and ValueTags.of(*pair) == NONE


def test_tags_that_were_stored_in_float32_are_the_same() -> None:
    assert NEW.same_as(ValueTags(float(np.float32(0.0001)), float(np.float32(-0.1))))
    assert not NEW.same_as(OLD) and not OLD.same_as(ValueTags(0.0000275)) and not OLD.same_as(NONE)
    assert not ValueTags(1.0, 273.15).same_as(NONE)


@given(
    scales=st.tuples(st.floats(1e-5, 10), st.floats(1e-5, 10)),
    offsets=st.tuples(st.floats(-300, 300), st.floats(-300, 300)),
    stored=st.integers(0, 65535),
)
def test_brought_over_numbers_mean_the_same(
    scales: tuple[float, float], offsets: tuple[float, float], stored: int
) -> None:
    have, want = (ValueTags(*pair) for pair in zip(scales, offsets, strict=True))
    factor, shift = have.onto(want)
    value, again = stored * have.scale + have.offset, (stored * factor + shift) * want.scale + want.offset
    assert again == pytest.approx(value, rel=1e-9, abs=1e-9 * (1 + abs(have.offset) + abs(want.offset)))


# --- reading


def test_a_source_is_read_as_other_imagery_stores_it(scene: Callable[..., Path]) -> None:
    before, after = scene("before.tif"), scene("after.tif", NEW, add=1000)
    with FileSource(before) as old, FileSource(after) as new:
        assert new.bands.value_tags == (NEW,) * 3 and old.fingerprint()["values"] == [[0.0001, 0.0]] * 3
        moved = RescaledSource(new, old.bands.value_tags)
        pixels, valid = moved.read(moved.grid.rect)
        assert moved.dtype == "float32" and moved.bands.value_tags == (OLD,) * 3 and valid.all()
        np.testing.assert_array_equal(pixels, old.read(old.grid.rect)[0])
        part = Rect(11, 7, 20, 30)
        np.testing.assert_array_equal(moved.read(part)[0], pixels[(slice(None), *part.slices)])


@pytest.mark.parametrize("factor", [0.6, 1.7, 3.0])
def test_resampling_comes_before_and_rounds_as_ever(scene: Callable[..., Path], factor: float) -> None:
    with FileSource(scene("b.tif")) as old, FileSource(scene("a.tif", NEW, add=1000)) as new:
        moved = RescaledSource(new, old.bands.value_tags).at_scale(factor)
        want = old.at_scale(factor)
        assert moved.grid == want.grid and moved.dtype == "float32"
        found, expected = (source.read(source.grid.rect)[0].astype(np.float64) for source in (moved, want))
        assert np.abs(found - expected).max() <= 1 and (found != expected).mean() < 0.002  # halves go either way
        assert (found == np.rint(found)).all()


def test_what_holds_data_is_decided_on_stored_numbers(scene: Callable[..., Path]) -> None:
    pixels = reflectance()
    pixels[:, :, :9] = 0
    with FileSource(scene("a.tif", NEW, pixels=pixels, nodata=0)) as source:
        moved = RescaledSource(source, (OLD,) * 3)
        found, valid = moved.read(moved.grid.rect)
        assert not valid[:, :9].any() and valid[:, 9:].all() and found.min() >= -1000


@pytest.mark.parametrize("dtype", ["int32", "float64"])
def test_numbers_that_float32_does_not_hold_become_float64(scene: Callable[..., Path], dtype: str) -> None:
    with FileSource(scene("a.tif", NEW, dtype=dtype)) as source:
        assert RescaledSource(source, (OLD,) * 3).dtype == "float64"


def test_an_undeclared_raster_says_nothing_of_it(scene: Callable[..., Path]) -> None:
    with FileSource(scene("a.tif", NONE)) as source:
        assert "values" not in source.fingerprint()
    assert BandTable((1, 2), (None,) * 2, ("gray",) * 2, ("uint8",) * 2, (None,) * 2, None).value_tags == (NONE,) * 2


# --- predicting


def mapped(sources: Path | list[Path], output: Path, loaded: Model, **options: Any) -> Any:
    return one(predict(sources, output, model=loaded, **{**QUICK, **options}))


def assert_old_and_new_agree(scene: Callable[..., Path], folder: Path, loaded: Model, **options: Any) -> Any:
    before, after = scene("before.tif"), scene("after.tif", NEW, add=1000)
    mapped(before, folder / "b.tif", loaded, **options)
    made = mapped(after, folder / "a.tif", loaded, **options)
    assert len(np.unique(read(folder / "b.tif"))) > 1, "a map of one class would agree with anything"
    np.testing.assert_array_equal(read(folder / "a.tif"), read(folder / "b.tif"))
    return made


WAYS = [{}, {"window": 48}, {"engine": "stream"}, {"resolution": 0.8}, {"resolution": 0.4}]


@pytest.mark.parametrize("options", WAYS)
def test_the_map_is_that_of_the_values(scene: Callable[..., Path], tmp_path: Path, options: dict[str, Any]) -> None:
    made = assert_old_and_new_agree(scene, tmp_path, model(), **options)
    said = "stored x 0.0001 - 0.1 brought over to the training's stored x 0.0001"
    assert made.scaling == said and made.to_json()["scaling"] == said
    assert f"scaling       {said}" in predict_lines(made)
    with rasterio.open(tmp_path / "a.tif") as file:
        assert file.tags()["LANDSEG_SCALING"] == said
    with rasterio.open(tmp_path / "b.tif") as file:
        assert file.tags()["LANDSEG_SCALING"] == "stored x 0.0001, as in training"


def test_the_check_notices_stored_numbers(
    scene: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Twin: without the bringing over, the maps of one place differ."""
    monkeypatch.setattr(landseg.inference.match, "with_tags", lambda source, tags, *, like: source)
    with pytest.raises(AssertionError):
        assert_old_and_new_agree(scene, tmp_path, model())


def test_stored_values_are_taken_as_they_are(scene: Callable[..., Path], tmp_path: Path) -> None:
    after, bare = scene("after.tif", NEW, add=1000), scene("bare.tif", NONE, add=1000)
    made = mapped(after, tmp_path / "a.tif", model(), stored_values=True)
    mapped(bare, tmp_path / "b.tif", model(None))
    np.testing.assert_array_equal(read(tmp_path / "a.tif"), read(tmp_path / "b.tif"))
    assert made.scaling == "stored numbers as they are: stored x 0.0001 - 0.1 here, stored x 0.0001 in training"
    with rasterio.open(tmp_path / "a.tif") as file:
        assert file.tags()["LANDSEG_COMMAND"].endswith("--stored-values")


def test_one_side_alone_is_refused_with_both_values(scene: Callable[..., Path], tmp_path: Path) -> None:
    bare, after = scene("bare.tif", NONE), scene("after.tif", NEW)
    cure = r"gdal_edit\.py -scale 0\.0001 -offset 0 bare\.tif.*--stored-values"
    with pytest.raises(BandError, match=rf"bare\.tif declares no scale and offset, .*stored x 0\.0001: .*{cure}"):
        mapped(bare, tmp_path / "o.tif", model())
    with pytest.raises(
        BandError, match=r"after\.tif declares stored x 0\.0001 - 0\.1, .*no scale and offset: .*--stored-values"
    ):
        mapped(after, tmp_path / "o.tif", model(None))
    assert not (tmp_path / "o.tif").exists()
    for path in (bare, after):
        mapped(path, tmp_path / "o.tif", model(), stored_values=True, overwrite=True)


def test_rasters_and_models_without_tags_are_as_they_were(scene: Callable[..., Path], tmp_path: Path) -> None:
    made = mapped(scene("bare.tif", NONE), tmp_path / "o.tif", model(None))
    assert made.scaling is None and not any(line.startswith("scaling") for line in predict_lines(made))
    with rasterio.open(tmp_path / "o.tif") as file:
        tags = file.tags()
    assert "LANDSEG_SCALING" not in tags and "values" not in tags["LANDSEG_MADE_WITH"]


def test_declared_values_need_no_particular_dtype(scene: Callable[..., Path], tmp_path: Path) -> None:
    """Reflectance in steps of 1/20000 as int16 and as uint16 of the training's steps: one map but for rounding."""
    pixels = reflectance() // 10 * 10
    halved = ValueTags(0.001)
    mapped(scene("b.tif", pixels=pixels), tmp_path / "b_map.tif", model())
    mapped(scene("h.tif", halved, pixels=pixels // 10, dtype="int16"), tmp_path / "h_map.tif", model())
    np.testing.assert_array_equal(read(tmp_path / "h_map.tif"), read(tmp_path / "b_map.tif"))
    with pytest.raises(BandError, match="reads uint16 pixels, the raster has int16"):
        mapped(scene("i.tif", NONE, dtype="int16"), tmp_path / "i_map.tif", model(None))
    with pytest.raises(BandError, match="reads uint16 pixels, the raster has int16"):
        mapped(tmp_path / "h.tif", tmp_path / "i_map.tif", model(), stored_values=True)


def test_bands_of_different_tags(write_raster: Callable[..., Path], tmp_path: Path) -> None:
    pixels = reflectance()
    plain = tag(write_raster(pixels, "plain.tif"), OLD)
    shifted = np.stack([pixels[0] + 500, pixels[1], pixels[2] + 1000]).astype(np.uint16)
    mixed = tag(write_raster(shifted, "mixed.tif"), [ValueTags(0.0001, -0.05), OLD, NEW])
    mapped(plain, tmp_path / "p.tif", model())
    made = mapped(mixed, tmp_path / "m.tif", model())
    np.testing.assert_array_equal(read(tmp_path / "m.tif"), read(tmp_path / "p.tif"))
    assert "band 1 stored x 0.0001 - 0.05, band 2 stored x 0.0001, band 3" in made.scaling


def test_bands_in_another_order_keep_their_own_tags(write_raster: Callable[..., Path], tmp_path: Path) -> None:
    pixels = reflectance()
    tag(write_raster(pixels, "plain.tif"), OLD)
    other = np.stack([pixels[2] + 1000, pixels[1], pixels[0]]).astype(np.uint16)
    tag(write_raster(other, "bgr.tif"), [NEW, OLD, OLD])
    mapped(tmp_path / "plain.tif", tmp_path / "p.tif", model())
    mapped(tmp_path / "bgr.tif", tmp_path / "m.tif", model(), bands=(3, 2, 1))
    np.testing.assert_array_equal(read(tmp_path / "m.tif"), read(tmp_path / "p.tif"))


def test_a_resumed_run_reads_the_same_numbers(scene: Callable[..., Path], tmp_path: Path) -> None:
    after, output = scene("after.tif", NEW, add=1000), tmp_path / "o.tif"
    mapped(after, output, model(), stored_values=True)
    assert mapped(after, output, model(), stored_values=True, resume=True).skipped
    assert mapped(after, output, model(), stored_values=True, resume=True).scaling.startswith(
        "stored numbers as they"
    )
    with pytest.raises(ResumeError):
        mapped(after, output, model(), resume=True)
    tag(after, OLD)
    with pytest.raises(ResumeError):
        mapped(after, output, model(), stored_values=True, resume=True)


def test_a_dry_run_says_what_becomes_of_them(scene: Callable[..., Path], tmp_path: Path) -> None:
    made = mapped(scene("after.tif", NEW, add=1000), tmp_path / "o.tif", model(), dry_run=True)
    assert any("brought over to the training's" in line for line in predict_lines(made))


# --- mosaics


def halves(scene: Callable[..., Path]) -> tuple[Path, Path]:
    pixels = reflectance()
    left = scene("left.tif", pixels=pixels[:, :, :40])
    beside = HALF_METRE @ Affine.translation(40, 0)
    right = scene("right.tif", NEW, add=1000, pixels=pixels[:, :, 40:], transform=beside)
    return left, right


def test_a_mosaic_of_old_and_new_is_one_of_values(scene: Callable[..., Path], tmp_path: Path) -> None:
    left, right = halves(scene)
    mapped(scene("whole.tif"), tmp_path / "w.tif", model())
    for order in ([left, right], [right, left]):
        made = mapped(order, tmp_path / "m.tif", model(), overwrite=True)
        np.testing.assert_array_equal(read(tmp_path / "m.tif"), read(tmp_path / "w.tif"))
        assert "right.tif" in made.scaling and "left.tif" in made.scaling and "brought over to" in made.scaling


def test_a_mosaic_of_stored_numbers_differs(scene: Callable[..., Path], tmp_path: Path) -> None:
    """Twin of the mosaic: what was read before shows a seam."""
    left, right = halves(scene)
    with open_source([left, right]) as values, open_source([left, right], stored_values=True) as stored:
        (found, valid), (raw, _) = (source.read(source.grid.rect) for source in (values, stored))
        np.testing.assert_array_equal(found, reflectance())
        assert valid.all() and values.dtype == "float32" and stored.dtype == "uint16"
        assert (raw[:, :, 40:] == reflectance()[:, :, 40:] + 1000).all()
        assert stored.notes == () and len(values.notes) == 1


def test_members_of_which_one_declares_nothing_are_refused(scene: Callable[..., Path]) -> None:
    left, _ = halves(scene)
    bare = scene("bare.tif", NONE, transform=HALF_METRE @ Affine.translation(40, 0))
    with pytest.raises(BandError, match=r"bare\.tif declares no scale and offset, left\.tif stored x 0\.0001"):
        open_source([left, bare])
    open_source([left, bare], stored_values=True).close()


def test_a_warped_member_is_brought_over_too(scene: Callable[..., Path]) -> None:
    pixels = np.full((3, 40, 40), 2000, np.uint16)
    left = scene("left.tif", pixels=pixels)
    turned = HALF_METRE @ Affine.translation(45, 3) @ Affine.rotation(20)
    right = scene("right.tif", NEW, add=1000, pixels=pixels, transform=turned)
    with open_source([left, right]) as source:
        found, valid = source.read(source.grid.rect)
        assert valid.sum() > 2000 and np.abs(found[:, valid] - 2000).max() < 0.01


def vrt(path: Path, members: list[Path], *, tags: ValueTags = NONE, more: str = "") -> Path:
    """What gdalbuildvrt writes over files in a row, each 40 columns wide."""
    bands = ""
    for band in (1, 2, 3):
        parts = "".join(
            f'<ComplexSource><SourceFilename relativeToVRT="1">{member.name}</SourceFilename>'
            f'<SourceBand>{band}</SourceBand>{more}<SrcRect xOff="0" yOff="0" xSize="40" ySize="60"/>'
            f'<DstRect xOff="{40 * number}" yOff="0" xSize="40" ySize="60"/></ComplexSource>'
            for number, member in enumerate(members)
        )
        said = f"<Offset>{tags.offset}</Offset><Scale>{tags.scale}</Scale>"
        bands += f'<VRTRasterBand dataType="UInt16" band="{band}">{said}{parts}</VRTRasterBand>'
    place = "500000.0, 0.5, 0.0, 5400000.0, 0.0, -0.5"
    path.write_text(
        f'<VRTDataset rasterXSize="{40 * len(members)}" rasterYSize="60"><SRS>EPSG:32633</SRS>'
        f"<GeoTransform>{place}</GeoTransform>{bands}</VRTDataset>"
    )
    return path


def test_a_vrt_that_mixes_old_and_new_is_refused(scene: Callable[..., Path], tmp_path: Path) -> None:
    left, right = halves(scene)
    mixed = vrt(tmp_path / "mixed.vrt", [left, right], tags=OLD)
    with pytest.raises(BandError, match=r"mixed\.vrt has members.*left\.tif declares .*, right\.tif stored.*- 0"):
        mapped(mixed, tmp_path / "o.tif", model())
    mapped(mixed, tmp_path / "o.tif", model(), stored_values=True)
    nested = vrt(tmp_path / "outer.vrt", [mixed, mixed], tags=OLD)
    nested.write_text(nested.read_text().replace("mixed.vrt", "left.tif", 1))
    with pytest.raises(BandError, match=r"mixed\.vrt has members"):
        mapped(nested, tmp_path / "p.tif", model())


def test_a_vrt_of_like_members_says_itself_what_they_mean(scene: Callable[..., Path], tmp_path: Path) -> None:
    left, _ = halves(scene)
    mapped(vrt(tmp_path / "like.vrt", [left, left], tags=OLD), tmp_path / "o.tif", model())
    other = vrt(tmp_path / "other.vrt", [left, left], tags=NEW)  # as gdal_translate -a_offset makes it
    assert "- 0.1 brought over" in str(mapped(other, tmp_path / "p.tif", model()).scaling)


def test_a_vrt_that_scales_itself_is_no_mixture(scene: Callable[..., Path], tmp_path: Path) -> None:
    left, right = halves(scene)
    scaled = "<ScaleOffset>0</ScaleOffset><ScaleRatio>1</ScaleRatio>"
    made = mapped(vrt(tmp_path / "s.vrt", [left, right], tags=OLD, more=scaled), tmp_path / "o.tif", model())
    assert len(np.unique(read(made.output))) > 1 and made.warnings == ()


# --- what else reads imagery


def test_verify_and_info_over_read_as_predict_does(scene: Callable[..., Path], tmp_path: Path) -> None:
    after, bare = scene("after.tif", NEW, add=1000), scene("bare.tif", NONE)
    assert verify(after, model=model(), size=40, memory=3072).exact
    with pytest.raises(BandError, match="--stored-values"):
        verify(bare, model=model(), size=40)
    assert verify(bare, model=model(), size=40, stored_values=True).exact
    with match_raster(after, model().card) as matched:
        assert matched.network.dtype == "float32" and matched.source.dtype == "uint16"


def test_refine_looks_at_values(scene: Callable[..., Path], tmp_path: Path) -> None:
    left, right = halves(scene)
    mapped([left, right], tmp_path / "o.tif", model(), probs=tmp_path / "p.tif")
    with ProbsFile(tmp_path / "p.tif") as probs:
        with Evidence(probs, [str(left), str(right)]) as evidence:
            found = evidence.read(Rect(0, 0, 60, 80))[1]
            np.testing.assert_array_equal(found, reflectance())
        with Evidence(probs, [str(left), str(right)], stored_values=True) as evidence:
            assert (evidence.read(Rect(0, 0, 60, 80))[1] != reflectance()).any()
        with pytest.raises(BandError, match="GDAL mixes them"):
            Evidence(probs, [str(vrt(tmp_path / "mixed.vrt", [left, right], tags=OLD))])
    made = refine(tmp_path / "p.tif", [left, right], tmp_path / "r.tif", quiet=True)
    assert made.scaling is not None and "right.tif" in made.scaling
    assert any(line.startswith("scaling") for line in refine_lines(made))
    again = refine(tmp_path / "p.tif", [left, right], tmp_path / "s.tif", quiet=True, stored_values=True)
    with rasterio.open(tmp_path / "s.tif") as file:
        assert again.scaling is None and file.tags()["LANDSEG_COMMAND"].endswith("--stored-values")


def saved(path: Path, tags: ValueTags) -> Path:
    """A model file with a card of these tags, for commands that read cards alone."""
    bands = tuple(Band(name, None, 1500.0, 900.0, tags.scale, tags.offset) for name in "abc")
    save_small_model(path, bands=bands, dtypes=("uint16",))
    return path


def test_the_card_holds_tags_where_there_are_any() -> None:
    assert Band("red", "red", 1.0, 2.0).to_json() == {"name": "red", "common_name": "red", "mean": 1.0, "std": 2.0}
    made = Band("red", "red", 1.0, 2.0, 0.0001, -0.1)
    assert Band.from_json(made.to_json()) == made and made.to_json()["offset"] == -0.1
    assert Band.from_json({"name": "b", "common_name": None, "mean": 1, "std": 2}) == Band("b", None, 1.0, 2.0)
    with pytest.raises(ModelError, match="scale other than 0"):
        Band("red", "red", 1.0, 2.0, 0.0)


def test_mlm_says_what_the_z_score_is_of() -> None:
    assert mlm_fields(model(NEW).card)["bands"][0] == {
        "name": "red", "eo:common_name": "red", "raster:scale": 0.0001, "raster:offset": -0.1,
    }  # fmt: skip
    assert mlm_fields(model(None).card)["bands"][0] == {"name": "red", "eo:common_name": "red"}


# --- data and training


TABLE = '[[classes]]\nvalue = 1\nname = "a"\n[[classes]]\nvalue = 2\nname = "b"\n'


@pytest.fixture
def labelled(
    scene: Callable[..., Path], write_raster: Callable[..., Path], tmp_path: Path
) -> Callable[..., DataFiles]:
    """Images of given tags beside their labels, as a user names them."""
    (tmp_path / "classes.toml").write_text(TABLE)

    def write(*kinds: tuple[str, ValueTags, int]) -> DataFiles:
        rows = ["image,labels"]
        for name, tags, add in kinds:
            image = scene(f"{name}.tif", tags, add=add)
            labels = write_raster((reflectance()[0] > 2000).astype(np.uint8) + 1, f"{name}_labels.tif", nodata=0)
            rows.append(f"{image},{labels}")
        (tmp_path / "list.csv").write_text("\n".join(rows) + "\n")
        return DataFiles((str(tmp_path / "list.csv"),), classes=tmp_path / "classes.toml")

    return write


def recipe_of(data: DataFiles, **sampling: Any) -> Recipe:
    return Overrides(sampling=sampling).recipe(data, None, name="m")


BOTH = (("before", OLD, 0), ("after", NEW, 1000))


@pytest.mark.parametrize("order", [BOTH, BOTH[::-1]])
def test_training_images_are_brought_over_to_the_first(
    labelled: Callable[..., DataFiles], order: tuple[tuple[str, ValueTags, int], ...]
) -> None:
    _, first, add = order[0]
    said: list[str] = []
    recipe = with_declared_tags(recipe_of(labelled(*order)), Path(), said.append)
    assert [band.tags for band in recipe.bands] == [first] * 3
    values = reflectance().astype(float) + add
    assert [band.mean for band in recipe.bands] == pytest.approx(values.mean((1, 2)).tolist(), abs=1e-3)
    assert [band.std for band in recipe.bands] == pytest.approx(values.std((1, 2)).tolist(), abs=1e-3)
    assert len(said) == 1 and order[1][0] in said[0] and "brought over to" in said[0]
    for one_scene in open_scenes(recipe, Path()).scenes:
        pixels, valid, _ = one_scene.read(one_scene.rect)
        assert valid.all()
        np.testing.assert_array_equal(pixels, reflectance() + float(add))


def test_training_on_stored_values(labelled: Callable[..., DataFiles]) -> None:
    """Twin of the one before: mean and pixels are those of the mixture."""
    said: list[str] = []
    recipe = with_declared_tags(recipe_of(labelled(*BOTH), stored_values=True), Path(), said.append)
    assert not said and [band.tags for band in recipe.bands] == [NONE] * 3
    assert recipe.bands[0].mean == pytest.approx(reflectance()[0].mean() + 500, abs=1e-3)
    pixels = open_scenes(recipe, Path()).scenes[1].read(Rect(0, 0, 9, 9))[0]
    np.testing.assert_array_equal(pixels, reflectance()[:, :9, :9] + 1000)
    assert recipe.table()["sampling"]["stored_values"] is True


def test_training_refuses_images_of_which_some_declare_nothing(labelled: Callable[..., DataFiles]) -> None:
    data = labelled(("before", OLD, 0), ("bare", NONE, 0))
    with pytest.raises(TrainingError, match=r"bare\.tif declares no scale and offset, .*before\.tif stored x 0\."):
        recipe_of(data)
    recipe = recipe_of(data, stored_values=True)
    with pytest.raises(TrainingError, match=r"bare\.tif declares no scale and offset"):
        with_declared_tags(Overrides(sampling={"stored_values": False}).recipe(data, None, name="m"), Path(), print)
    assert recipe.sampling.stored_values


def test_recipes_without_tags_are_written_as_before(labelled: Callable[..., DataFiles]) -> None:
    recipe = with_declared_tags(recipe_of(labelled(("bare", NONE, 0))), Path(), print)
    table = recipe.table()
    assert set(table["bands"][0]) == {"name", "mean", "std", "common_name"}
    assert "stored_values" not in table["sampling"]


def test_a_recipe_may_state_the_tags(labelled: Callable[..., DataFiles]) -> None:
    recipe = recipe_of(labelled(("after", NEW, 1000)))
    stated = replace(recipe, bands=tuple(replace(band, scale=0.0001, offset=0.0) for band in recipe.bands))
    made = with_declared_tags(stated, Path(), lambda line: None)
    assert [band.tags for band in made.bands] == [OLD] * 3
    np.testing.assert_array_equal(open_scenes(made, Path()).scenes[0].read(Rect(0, 0, 60, 80))[0], reflectance())


def test_an_index_is_of_values(labelled: Callable[..., DataFiles], tmp_path: Path) -> None:
    """NDVI labels of old and new imagery of one place are the same, though the new one's numbers are 1000 higher."""
    found = []
    for name, tags, add in BOTH:
        recipe = recipe_of(labelled((name, tags, add)))
        table = recipe.table()
        table["sources"] = [
            {"images": str(tmp_path / f"{name}.tif"), "ndvi": [0.1, 0.3], "partial_class": "a", "name": "n"}
        ]
        opened = open_scenes(with_declared_tags(read_tables(table, tmp_path), Path(), print), Path())
        found.append(opened.scenes[0].read(Rect(0, 0, 60, 80))[2])
    assert len(np.unique(found[0])) > 1
    np.testing.assert_array_equal(found[0], found[1])


def test_common_tags_of_no_tags() -> None:
    assert common_tags([]) is None and common_tags([], (OLD,)) == (OLD,)


def test_data_counts_values_as_training_does(labelled: Callable[..., DataFiles]) -> None:
    data = labelled(*BOTH)
    found = inspect_data(data.images, None, classes=data.classes)
    rows = {(row["band"], row["dtype"]): row for row in found.bands}
    recipe = recipe_of(data)
    for number, band in enumerate(recipe.bands, start=1):
        row = rows[number, "float32"]
        assert (row["mean"], row["std"]) == pytest.approx((band.mean, band.std), abs=1e-3)
    (said,) = [one_.text for one_ in found.findings if one_.kind == "scaling"]
    assert "1 of 2 images declares stored x 0.0001 - 0.1 (after)" in said and "brought over" in said
    assert found.to_json()["files"][1]["offset"] == [-0.1] * 3
    stored = inspect_data(data.images, None, classes=data.classes, stored_values=True)
    assert {row["dtype"] for row in stored.bands} == {"uint16"}
    assert not [one_ for one_ in stored.findings if one_.kind == "scaling"]


def test_data_tells_of_images_that_training_refuses(labelled: Callable[..., DataFiles]) -> None:
    data = labelled(("before", OLD, 0), ("bare", NONE, 0))
    found = inspect_data(data.images, None, classes=data.classes)
    (said,) = [one_.text for one_ in found.findings if one_.kind == "scaling"]
    assert "bare" in said and "training refuses to mix them" in said and "--stored-values" in said


def test_commands_show_what_is_declared(labelled: Callable[..., DataFiles], tmp_path: Path) -> None:
    labelled(*BOTH)

    def run(*arguments: str | Path) -> str:
        result = CliRunner().invoke(app, [str(argument) for argument in arguments])
        assert result.exit_code == 0, result.output
        return result.output

    after = tmp_path / "after.tif"
    assert "value = stored x 0.0001 - 0.1" in run("info", after)
    band = json.loads(run("info", after, "--json"))["bands"][0]
    assert (band["scale"], band["offset"]) == (0.0001, -0.1)
    assert "stored x 0.0001 (1), stored x 0.0001 - 0.1 (1)" in run("data", tmp_path / "list.csv", "--classes",
                                                                  tmp_path / "classes.toml")  # fmt: skip
    plain = raster_facts(tmp_path / "before_labels.tif")["bands"][0]
    assert set(plain) == {"number", "name", "dtype", "nodata", "color"}


def test_info_holds_tags_against_a_model(scene: Callable[..., Path], tmp_path: Path) -> None:
    path = saved(tmp_path / "m.safetensors", OLD)
    told = raster_facts(scene("after.tif", NEW), model=path)["model"]
    assert told["fits"] and "brought over" in told["scaling"]
    bare = scene("bare.tif", NONE)
    told = raster_facts(bare, model=path)["model"]
    assert not told["fits"] and "--stored-values" in told["reason"]
    assert raster_facts(bare, model=path, stored_values=True)["model"]["fits"]
    lines = ["info", str(bare), "--model", str(path), "--json"]
    for more, fits in (([], False), (["--stored-values"], True)):
        assert json.loads(CliRunner().invoke(app, [*lines, *more]).output)["model"]["fits"] is fits
    output = CliRunner().invoke(app, ["info", str(path)]).output
    assert "(stored - 1500) / 900, value = stored x 0.0001" in output


@pytest.mark.slow
def test_a_model_of_old_imagery_maps_new_imagery_alike(labelled: Callable[..., DataFiles], tmp_path: Path) -> None:
    """From end to end: learned before the offset came, used after, figures of a kept-out scene of either kind."""
    labelled(*BOTH, ("third", NEW, 1000))
    model_file = tmp_path / "m.safetensors"
    small = ["--arch", "fcn32s", "--encoder", "resnet18", "--encoder-weights", "none", "--steps", "8", "--crop", "32"]
    names = ["--classes", str(tmp_path / "classes.toml"), "--batch", "2", "--keep-out", "third", "--overwrite"]
    for more in ([], ["--stored-values"]):
        arguments = ["train", str(tmp_path / "list.csv"), *names, *small, "-o", str(model_file), *more]
        result = CliRunner().invoke(app, arguments)
        assert result.exit_code == 0, result.output
        declared = "scale" in read_card(model_file).bands[0].to_json()
        assert declared is (not more)
        if more:
            break
        for name in ("before", "after"):
            predict(tmp_path / f"{name}.tif", tmp_path / f"{name}_map.tif", model=model_file, **QUICK)
        np.testing.assert_array_equal(read(tmp_path / "after_map.tif"), read(tmp_path / "before_map.tif"))
