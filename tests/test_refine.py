"""refine, end to end: against the CRF on arrays, windows against the whole, what takes part, what is refused."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from affine import Affine

from landseg.areas import areas
from landseg.classes import ClassMap
from landseg.crf import fast
from landseg.crf.inputs import Evidence
from landseg.errors import BandError, ClassError, GridError, LandsegError, OutputError, PlanError, ResumeError
from landseg.geo.grid import Grid
from landseg.geo.tags import CLASSES
from landseg.labels.probabilities import ProbsFile
from landseg.output.outputs import Outputs
from landseg.predict import predict
from landseg.refine import refine
from tests.parts.predicting import MODEL, QUICK, noise
from tests.parts.refining import (
    ASKED,
    SMALL,
    TABLE,
    Array,
    Write,
    files,
    read,
    scene,
    stop_at,
    values,
    whole,
)

NEEDED = fast.halo(SMALL, bands=3)


@pytest.mark.parametrize("window", ["auto", 2 * NEEDED + 21])
def test_files_give_what_arrays_give(window: Any, write_raster: Write, tmp_path: Path) -> None:
    image, probs = scene()
    out, refined = tmp_path / "o.tif", tmp_path / "p.tif"
    made = refine(
        *files(write_raster, image, probs),
        out,
        **ASKED,
        window=window,
        halo="exact",
        probs=refined,
        probs_dtype="float32",
    )
    assert made.mode == "exact" and (made.windows == 1) == (window == "auto")
    np.testing.assert_array_equal(read(out)[0], values(whole(image, probs)))
    assert np.abs(read(refined) - whole(image, probs)).max() <= 1e-6
    assert made.changed == pytest.approx((whole(image, probs).argmax(0) != probs.argmax(0)).mean())
    assert made.files == (out, refined) and made.disagreement is None


def assert_same_in_any_window(write: Write, folder: Path, **how: Any) -> None:
    both = files(write, *scene(70, 80))
    maps = []
    for number, window in enumerate((200, 2 * NEEDED + 19, 2 * NEEDED + 30)):
        refine(*both, folder / f"{number}.tif", **ASKED, **how, window=window)
        maps.append(read(folder / f"{number}.tif"))
    assert all(np.array_equal(maps[0], other) for other in maps[1:])


def test_the_result_does_not_depend_on_the_window(write_raster: Write, tmp_path: Path) -> None:
    assert_same_in_any_window(write_raster, tmp_path, halo="exact")


def test_twin_with_too_small_a_halo_it_does(write_raster: Write, tmp_path: Path) -> None:
    with pytest.raises(AssertionError):
        assert_same_in_any_window(write_raster, tmp_path, halo=0)


def test_memory_is_that_of_a_window_and_cores_are_written_as_they_finish(
    write_raster: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[str, int]] = []

    def noted(what: str, real: Callable[..., Any], place: int) -> Callable[..., Any]:
        def call(*given: Any) -> Any:
            seen.append((what, given[place].area))
            return real(*given)

        return call

    monkeypatch.setattr(Evidence, "read", noted("read", Evidence.read, 1))
    monkeypatch.setattr(Outputs, "write", noted("write", Outputs.write, 2))
    refine(*files(write_raster, *scene(300, 60)), tmp_path / "o.tif", **ASKED, window=64, halo="exact")
    assert max(area for _, area in seen) <= 64 * 64 and len(seen) >= 20
    assert [what for what, _ in seen] == ["read", "write"] * (len(seen) // 2)


def holes() -> tuple[Array, Array]:
    """Where probabilities, and where imagery, hold no data."""
    without, unseen = np.zeros((90, 100), bool), np.zeros((90, 100), bool)
    without[20:34, 30:61], unseen[50:58, 10:90] = True, True
    return without, unseen


def test_nodata_takes_no_part_and_stays(write_raster: Write, tmp_path: Path) -> None:
    image, probs = scene()
    without, unseen = holes()
    probs[:, without] = np.nan
    probs_path, _ = files(write_raster, image, probs)
    maps = []
    for number, dirt in enumerate((0, 255)):
        dirty = np.where(without | unseen, np.uint8(dirt), image)
        path = write_raster(dirty, f"i{number}.tif", valid=~unseen)
        made = refine(probs_path, path, tmp_path / f"{number}.tif", **ASKED, probs=tmp_path / f"p{number}.tif")
        maps.append(read(tmp_path / f"{number}.tif")[0])
    np.testing.assert_array_equal(maps[0], maps[1])
    assert ((maps[0] == 0) == without).all()
    kept = unseen & ~without
    np.testing.assert_array_equal(maps[0][kept], values(probs)[kept])
    assert made.unseen == pytest.approx(kept.sum() / (~without).sum())
    expected = whole(image, probs, valid=~(without | unseen))
    np.testing.assert_array_equal(maps[0][~without], values(expected)[~without])
    with rasterio.open(tmp_path / "p1.tif") as raster:
        np.testing.assert_array_equal(raster.dataset_mask() == 0, without)
        assert raster.scales == (1 / 255,) * 3 and raster.descriptions == ("roof", "land", "water")


def test_twin_dirt_that_counts_as_data_changes_the_map(write_raster: Write, tmp_path: Path) -> None:
    image, probs = scene()
    unseen = holes()[1]
    probs_path, _ = files(write_raster, image, probs)
    maps = []
    for number, dirt in enumerate((0, 255)):
        half = np.where(unseen & (np.arange(100) % 2 == 0), np.uint8(dirt), image)
        refine(probs_path, write_raster(half, f"i{number}.tif"), tmp_path / f"{number}.tif", **ASKED)
        maps.append(read(tmp_path / f"{number}.tif"))
    assert not np.array_equal(*maps)


def test_the_output_is_what_predict_writes(write_raster: Write, tmp_path: Path) -> None:
    source = write_raster(noise(60, 70), nodata=0)
    before, probs, after = (tmp_path / name for name in ("a.tif", "p.tif", "b.tif"))
    predict(source, before, model=MODEL, probs=probs, **QUICK)
    refine(probs, source, after, **ASKED)
    with rasterio.open(before) as old, rasterio.open(after) as new:
        assert old.profile == new.profile and old.colormap(1) == new.colormap(1) and old.nodata == new.nodata
        assert old.descriptions == new.descriptions and old.tags(ns="IMAGE_STRUCTURE") == new.tags(
            ns="IMAGE_STRUCTURE"
        )
        tags, made = old.tags(), new.tags()
        assert [made[f"LANDSEG_{name}"] for name in ("MODEL", "MODEL_HASH")] == ["small", MODEL.hash]
        assert made["LANDSEG_PROBS_COMMAND"] == tags["LANDSEG_COMMAND"]
        assert made["LANDSEG_REFINED"].startswith("dense CRF, 2 updates") and made["LANDSEG_MODE"] == "exact"
        assert "--bilateral-bands 12" in made["LANDSEG_COMMAND"]
        assert ClassMap.from_json(json.loads(made[CLASSES])) == MODEL.card.classes
    for name in ("{}.tif.aux.xml", "{}.qml"):
        assert (tmp_path / name.format("a")).read_bytes() == (tmp_path / name.format("b")).read_bytes()
    assert not np.array_equal(read(before), read(after))


def test_a_raster_without_a_class_table(
    write_raster: Write, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    image, probs = scene()
    bare, image_path = write_raster(probs, "bare.tif", descriptions=("a", "b", "c")), write_raster(image, "i.tif")
    with caplog.at_level(logging.WARNING):
        refine(bare, image_path, tmp_path / "o.tif", **ASKED)
    assert "holds no class table: its classes get the values 1 to 3" in caplog.text
    np.testing.assert_array_equal(read(tmp_path / "o.tif")[0], 1 + whole(image, probs).argmax(0))
    with ProbsFile(bare) as found:
        assert found.classes.names == ("a", "b", "c") and not found.has_class_table
    monkeypatch.setattr("landseg.inference.refine_run.read_card", lambda _: MODEL.card)
    refine(bare, image_path, tmp_path / "m.tif", model="small", **ASKED)
    np.testing.assert_array_equal(read(tmp_path / "m.tif")[0], values(whole(image, probs)))


def degrees(height: int, width: int) -> Affine:
    """Pixels of a hundred-thousandth of a degree at 60 degrees north: about half as wide as high."""
    return Affine(1e-5, 0, 10, 0, -1e-5, 60 + height * 0.5e-5)


@pytest.mark.parametrize("crs", ["EPSG:4326", "EPSG:32633"])
def test_widths_in_metres_are_metres_on_the_ground(crs: str, write_raster: Write, tmp_path: Path) -> None:
    image, probs = scene()
    transform = degrees(90, 100) if crs == "EPSG:4326" else Affine(0.5, 0, 500_000, 0, -1.0, 5_400_000)
    size = Grid(rasterio.crs.CRS.from_string(crs), transform, 100, 90).pixel_size_m
    assert size is not None
    assert size == pytest.approx((1.114, 0.558) if crs == "EPSG:4326" else (1.0, 0.5), rel=2e-3)
    both = files(write_raster, image, probs, crs=crs, transform=transform)
    refine(*both, tmp_path / "m.tif", **ASKED, units="metres")
    expected = values(whole(image, probs, pixel_size=size))
    np.testing.assert_array_equal(read(tmp_path / "m.tif")[0], expected)
    refine(*both, tmp_path / "p.tif", **ASKED)  # twin: pixels are another unit
    assert not np.array_equal(read(tmp_path / "p.tif")[0], expected)


def test_widths_of_bands_follow_imagery_of_other_depths(write_raster: Write, tmp_path: Path) -> None:
    image, probs = scene()
    asked = {**ASKED, "bilateral_bands": "auto"}
    maps = []
    for number, scale in enumerate((8, 128)):  # powers of 2: the same floats
        both = files(write_raster, image.astype("uint16") * scale, probs)
        made = refine(*both, tmp_path / f"{number}.tif", **asked)
        maps.append(read(tmp_path / f"{number}.tif"))
        assert made.crf is not None
        spread = image.reshape(3, -1).std(1) * scale
        assert made.crf.bilateral_bands == pytest.approx(tuple(8 / 50 * spread), rel=0.1)
    np.testing.assert_array_equal(*maps)
    refine(*both, tmp_path / "raw.tif", **{**asked, "bilateral_bands": "8"})  # twin: raw numbers do not follow
    assert not np.array_equal(read(tmp_path / "raw.tif"), maps[1])
    made = refine(
        *files(write_raster, image, probs), tmp_path / "8.tif", **asked, preset="deeplab-v2", overwrite=True
    )
    assert made.crf is not None and made.crf.bilateral_bands == (3.0, 3.0, 3.0) and made.crf.iterations == 2


def test_a_short_halo_is_said_and_measured(
    write_raster: Write, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    both = files(write_raster, *scene(150, 140))
    with caplog.at_level(logging.INFO):
        short = refine(*both, tmp_path / "0.tif", **ASKED, window=50, halo=0)
    assert short.mode == "approximate" and short.disagreement is not None and short.disagreement > 0
    assert f"in place of the exact {NEEDED} px" in caplog.text and "get another class" in caplog.text
    auto = refine(*both, tmp_path / "a.tif", **ASKED, window=50)
    assert auto.mode == "approximate" and (auto.halo, auto.exact_halo) == (8, NEEDED)
    assert auto.disagreement is not None and auto.disagreement < short.disagreement
    with rasterio.open(tmp_path / "0.tif") as raster:
        assert float(raster.tags()["LANDSEG_DISAGREEMENT"]) == pytest.approx(short.disagreement, abs=1e-6)
    one = refine(*both, tmp_path / "1.tif", **ASKED, halo=0)
    assert (one.windows, one.mode, one.disagreement) == (1, "exact", None)


def test_imagery_as_a_mosaic_and_on_a_larger_raster(write_raster: Write, tmp_path: Path) -> None:
    image, probs = scene()
    around = np.pad(image, ((0, 0), (5, 9), (7, 3)), constant_values=200)
    half = Affine(0.5, 0, 500_000, 0, -0.5, 5_400_000)
    probs_path, _ = files(write_raster, image, probs)
    large = write_raster(around, "large.tif", transform=half @ Affine.translation(-7, -5))
    left = write_raster(image[:, :, :44], "left.tif")
    right = write_raster(image[:, :, 44:], "right.tif", transform=half @ Affine.translation(44, 0))
    for number, images in enumerate(([large], [left, right], [right, left])):
        made = refine(probs_path, images, tmp_path / f"{number}.tif", **ASKED)
        assert made.unseen == 0
        np.testing.assert_array_equal(read(tmp_path / f"{number}.tif")[0], values(whole(image, probs)))
    assert refine(probs_path, left, tmp_path / "l.tif", **ASKED).unseen == pytest.approx(0.56)


class Killed(Exception):
    """In place of a kill."""


@pytest.mark.parametrize("error", [Killed(), KeyboardInterrupt(), MemoryError()])
def test_a_stopped_run_resumes_to_the_same_bytes(
    error: BaseException, write_raster: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    both = files(write_raster, *scene(150, 140))
    asked = {**ASKED, "window": 60, "halo": "exact"}
    straight = refine(*both, tmp_path / "s.tif", **asked)
    before = set(tmp_path.iterdir())
    with monkeypatch.context() as patch:
        stop_at(patch, 4, error)
        with pytest.raises(type(error)):
            refine(*both, tmp_path / "o.tif", **asked, probs=tmp_path / "p.tif")
    assert not list(tmp_path.glob("[op].*"))
    with pytest.raises(ResumeError, match="halo was 18, is now 19"):
        refine(*both, tmp_path / "o.tif", **{**asked, "halo": 19}, probs=tmp_path / "p.tif", resume=True)
    with monkeypatch.context() as patch:
        stop_at(patch, straight.windows - 4, Killed())  # no window is computed twice
        made = refine(*both, tmp_path / "o.tif", **asked, probs=tmp_path / "p.tif", resume=True)
    assert (made.changed, made.windows) == (straight.changed, straight.windows)
    np.testing.assert_array_equal(read(tmp_path / "o.tif"), read(tmp_path / "s.tif"))
    again = refine(*both, tmp_path / "o.tif", **asked, probs=tmp_path / "p.tif", resume=True)
    assert again.skipped and again.mode == "exact" and again.halo == NEEDED
    assert made.areas == straight.areas == again.areas == areas(tmp_path / "o.tif", quiet=True).whole.classes
    names = {path.name for path in set(tmp_path.iterdir()) - before}
    assert names == {"o.tif", "o.qml", "o.tif.aux.xml", "p.tif"}


def test_a_stopped_run_starts_again_from_nothing(
    write_raster: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    both = files(write_raster, *scene())
    before = set(tmp_path.iterdir())
    asked = {**ASKED, "window": 60, "halo": "exact"}
    with monkeypatch.context() as patch:
        stop_at(patch, 0, KeyboardInterrupt())
        with pytest.raises(KeyboardInterrupt):
            refine(*both, tmp_path / "o.tif", **asked)
    assert set(tmp_path.iterdir()) == before  # nothing was committed, nothing is left
    with monkeypatch.context() as patch:
        stop_at(patch, 2, Killed())
        with pytest.raises(Killed):
            refine(*both, tmp_path / "o.tif", **asked)
    refine(*both, tmp_path / "o.tif", **{**asked, "iterations": 1})
    refine(*both, tmp_path / "n.tif", **{**asked, "iterations": 1})
    np.testing.assert_array_equal(read(tmp_path / "o.tif"), read(tmp_path / "n.tif"))
    assert not list(tmp_path.glob(".*"))


def test_existing_files_and_inputs_are_spared(write_raster: Write, tmp_path: Path) -> None:
    probs, image = files(write_raster, *scene(20, 20))
    kept = {path: path.read_bytes() for path in (probs, image)}
    for output, more, sentence in (
        (probs, {}, "is an input of this run"),
        (image, {}, "is an input of this run"),
        (tmp_path / "o.tif", {"probs": probs}, "is an input of this run"),
        (tmp_path / "o.tif", {"probs": tmp_path / "o.tif"}, "named for two outputs"),
        (tmp_path / "o.png", {}, r"a GeoTIFF ends in .tif or .tiff, got 'o.png': use o\.tif"),
        (tmp_path / "no" / "o.tif", {}, "has no folder"),
    ):
        with pytest.raises(OutputError, match=sentence):
            refine(probs, image, output, **ASKED, **more, overwrite=True)
    out = tmp_path / "o.tif"
    out.write_bytes(b"mine")
    with pytest.raises(OutputError, match="exists"):
        refine(probs, image, out, **ASKED)
    assert out.read_bytes() == b"mine" and all(path.read_bytes() == was for path, was in kept.items())
    refine(probs, image, out, **ASKED, overwrite=True)
    assert set(np.unique(read(out))) <= {1, 2, 5}


BAD = (
    *("class raster", "one float band", "logits", "percent", "16 bits", "elsewhere", "no CRS", "missing band"),
    *("widths", "no file", "no image", "classes", "window", "memory"),
)


def bad_inputs(write: Write) -> dict[str, tuple[Path, Path, dict[str, Any], type[LandsegError], str]]:
    image, probs = scene(30, 40)
    good, seen = files(write, image, probs)
    logits = write(np.log(probs), "logits.tif")
    shares = write((probs * 100).astype("uint8"), "percent.tif")
    far = Affine(0.5, 0, 600_000, 0, -0.5, 5_400_000)
    return {
        "class raster": (write(image[0], "map.tif"), seen, {}, BandError, "looks like a map of classes"),
        "one float band": (write(probs[0], "one.tif"), seen, {}, BandError, "says nothing of other classes"),
        "logits": (logits, seen, {}, BandError, r"row 0, column 0 some are below 0; are they logits\?"),
        "percent": (shares, seen, {}, BandError, "they sum to 0.3"),
        "16 bits": (write((probs * 9999).astype("uint16"), "w.tif"), seen, {}, BandError, "holds uint16 pixels"),
        "elsewhere": (good, write(image, "far.tif", transform=far), {}, GridError, "does not overlap probs.tif"),
        "no CRS": (good, write(image, "bare.tif", crs=None), {}, GridError, "has no CRS, probs.tif has EPSG:32633"),
        "missing band": (good, seen, {"bands": [1, 4]}, BandError, "has 3 bands, but band 4 was asked for"),
        "widths": (good, seen, {"bilateral_bands": "8,8"}, BandError, "widths for 2 bands and the image has 3"),
        "no file": (good.with_name("no.tif"), seen, {}, LandsegError, "no such file"),
        "no image": (good, seen.with_name("no.tif"), {}, LandsegError, "no such file"),
        "classes": (good, seen, {"model": "two"}, ClassError, "a band for each"),
        "window": (good, seen, {"window": 16, "halo": "exact"}, PlanError, "keeps no core between halos of 18 px"),
        "memory": (good, seen, {"memory": 640}, PlanError, "keeps no core"),
    }


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_one_sentence_and_leaves_nothing(
    name: str, write_raster: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    probs, image, more, kind, sentence = bad_inputs(write_raster)[name]
    table = ClassMap.from_json(TABLE[:2])
    monkeypatch.setattr("landseg.inference.refine_run.read_card", lambda _: type("Card", (), {"classes": table}))
    before = set(tmp_path.iterdir())
    with pytest.raises(kind, match=sentence) as caught:
        refine(probs, image, tmp_path / "o.tif", **{**ASKED, **more})
    assert set(tmp_path.iterdir()) == before and "\n" not in str(caught.value)
