"""Class rasters with rasters of ids as panoptic maps: figures of the definition, strips, areas, refusals."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from affine import Affine

import landseg
from landseg.classes import ClassMap, LandClass
from landseg.errors import LandsegError
from landseg.evaluation.objects import rasters as object_rasters
from landseg.evaluation.options import EvaluateOptions
from landseg.evaluation.panoptic import rasters
from landseg.evaluation.panoptic.result import PanopticEvaluation
from landseg.evaluation.panoptic.sides import open_panoptic
from landseg.geo.pieces import cut
from landseg.labels.legend import class_tag
from tests.parts.commands import run
from tests.parts.panoptic_folders import NAMES, THINGS
from tests.parts.reference_panoptic import Side, mean, quality, random_pair

KINDS = enumerate(zip(NAMES, THINGS, strict=True), 1)
TABLE = ClassMap(tuple(LandClass(value, name, (9 * value, 0, 0), thing) for value, (name, thing) in KINDS))
CHOSEN = {"all": range(4), "things": (0, 2), "stuff": (1, 3)}
METRE = 2.0


def write(path: Path, values: Any, *, dtype: str, nodata: float, left: float = 0, **tags: str) -> Path:
    array = np.asarray(values).astype(dtype)
    with rasterio.open(
        path, "w", driver="GTiff", count=1, dtype=dtype, height=array.shape[0], width=array.shape[1], nodata=nodata,
        crs="EPSG:32633", transform=Affine(METRE, 0, 500_000 + left, 0, -METRE, 5_400_000),
    ) as file:  # fmt: skip
        file.write(array, 1)
        if "task" in tags:
            file.set_band_description(1, "instance")
        file.update_tags(**{f"LANDSEG_{key.upper()}": value for key, value in tags.items()})
    return path


def classes_of(side: Side) -> np.ndarray:
    """Return class values (h, w), 0 for void."""
    values = np.zeros(side.ids.shape, int)
    for one, kind, _ in side.segments:
        values[side.ids == one] = kind + 1
    return values


def ids_of(side: Side) -> np.ndarray:
    """Return ids (h, w) of things that are no crowd, 0 elsewhere."""
    own = [one for one, kind, crowd in side.segments if THINGS[kind] and not crowd]
    return np.where(np.isin(side.ids, own), side.ids, 0)


def write_pair(folder: Path, truth: Side, found: Side) -> tuple[list[Path], dict[str, Any]]:
    """Write a prediction and its truth, and return them with the options that name their ids."""
    paths = [
        write(folder / "map.tif", classes_of(found), dtype="uint8", nodata=0, classes=class_tag(TABLE), model="m"),
        write(folder / "truth.tif", classes_of(truth), dtype="uint8", nodata=0),
    ]
    ids = [
        write(folder / "ids.tif", ids_of(found), dtype="uint32", nodata=(1 << 32) - 1, task="instances"),
        write(folder / "true_ids.tif", ids_of(truth), dtype="uint16", nodata=0),
    ]
    return paths, {"ids": ids, "samples": 0, "boundary": None}


def evaluated(paths: list[Path], **options: Any) -> PanopticEvaluation:
    found = landseg.evaluate(*paths, **options)
    assert isinstance(found, PanopticEvaluation)
    return found


def joined_crowds(side: Side) -> Side:
    """Return a side with one crowd a class, as a raster of classes has it."""
    ids, rows, first = side.ids.copy(), [], dict[int, int]()
    for one, kind, crowd in side.segments:
        if crowd and kind in first:
            ids[ids == one] = first[kind]
            continue
        if crowd:
            first[kind] = one
        rows.append((one, kind, crowd))
    return Side(ids, rows)


def means(found: PanopticEvaluation) -> list[list[float]]:
    return [[getattr(found.groups[group], name) for group in CHOSEN] for name in ("pq", "sq", "rq")]


def by_definition(truth: Side, found: Side) -> list[list[float]]:
    sums = quality([(truth, found)], 4)
    return [[mean(sums[name], chosen) for chosen in CHOSEN.values()] for name in ("pq", "sq", "rq")]


@pytest.mark.parametrize("seed", range(6))
def test_figures_are_those_of_the_definition(tmp_path: Path, seed: int) -> None:
    truth, found = random_pair(seed, THINGS, height=30, width=41)
    truth = joined_crowds(truth)
    paths, options = write_pair(tmp_path, truth, found)
    np.testing.assert_allclose(means(evaluated(paths, **options)), by_definition(truth, found), rtol=0, atol=1e-12)
    moved = Side(np.roll(truth.ids, 2, 1), truth.segments)  # twin
    assert not np.allclose(means(evaluated(paths, **options)), by_definition(moved, found), equal_nan=True)


def test_strips_give_the_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths, options = write_pair(tmp_path, *random_pair(4, THINGS, height=60, width=41))
    options |= {"boundary": "2px"}
    whole = evaluated(paths, **options).to_json()
    monkeypatch.setattr(object_rasters, "strips", lambda region, halo: cut(region, 7))
    monkeypatch.setattr(rasters, "_EDGE", 11)
    assert evaluated(paths, **options, workers=3).to_json() == whole
    assert whole["panoptic"]["boundary_pq"]["all"] < whole["panoptic"]["pq"]["all"]
    own = open_panoptic(str(paths[0]), str(paths[1]), EvaluateOptions.of(options, verb="evaluate")).outlines
    monkeypatch.setattr(rasters, "grown", lambda core, halo, grid: core)
    twin = open_panoptic(str(paths[0]), str(paths[1]), EvaluateOptions.of(options, verb="evaluate")).outlines
    assert own is not None and twin is not None and (own.pieces != twin.pieces).any()  # without a halo


def squares(*rows: tuple[int, int, int, int], size: tuple[int, int] = (40, 60)) -> np.ndarray:
    """Return ids (h, w) of rectangles from top, left to bottom, right, numbered from 1."""
    ids = np.zeros(size, int)
    for number, (top, left, bottom, right) in enumerate(rows, 1):
        ids[top:bottom, left:right] = number
    return ids


def write_squares(folder: Path, true: np.ndarray, found: np.ndarray) -> tuple[list[Path], dict[str, Any]]:
    """Write fields, class 1, on water, class 2."""
    sides = []
    for ids in (true, found):
        rows = [(int(one), 0, False) for one in np.unique(ids[ids > 0])]
        sides.append(Side(np.where(ids > 0, ids, 99), [*rows, (99, 1, False)]))
    return write_pair(folder, *sides)


def test_fields_by_hand(tmp_path: Path) -> None:
    # Two truths in one prediction; one truth in two; one found 1 px = 2 m to the right; one invented.
    true = squares((0, 0, 10, 10), (0, 10, 10, 20), (20, 0, 30, 20), (20, 40, 30, 55))
    found = squares((0, 0, 10, 20), (20, 0, 30, 10), (20, 10, 30, 20), (20, 41, 30, 56), (0, 50, 5, 55))
    paths, options = write_squares(tmp_path, true, found)
    made = evaluated(paths, **options)
    field, water = made.classes[:2]
    f = field.figures
    assert (f.tp, f.fp, f.fn, f.merged, f.split, f.missed, f.invented) == (1, 4, 3, 2, 1, 0, 1)
    assert f.sq == pytest.approx(140 / 160) and f.pq == pytest.approx(140 / 160 / 4.5)
    assert (f.true_size, f.found_size) == pytest.approx((550 * METRE**2, 575 * METRE**2), rel=1e-2)
    assert f.matched_share == pytest.approx(150 / 550) and (f.precision, f.recall) == (1 / 5, 1 / 4)
    assert water.figures.tp == 1 and math.isnan(made.classes[2].figures.pq)
    assert (made.border_distance, made.border_unit, made.unit) == (0.0, "m", "m2")  # long sides lie on each other
    assert "without a segment on either side, and in no mean: house, wood" in made.notes


def test_distance_of_borders(tmp_path: Path) -> None:
    true, found = squares((5, 5, 35, 45)), squares((8, 8, 38, 48))
    paths, options = write_squares(tmp_path, true, found)
    made = evaluated(paths, **options)
    assert made.border_distance == pytest.approx(3 * METRE, rel=1e-3)  # on the ground, each side is 3 px away
    moved = write_squares(tmp_path, true, true)
    assert evaluated(*moved[:1], **moved[1]).border_distance == 0


def test_the_area_of_interest(tmp_path: Path) -> None:
    true = squares((0, 0, 10, 10), (0, 20, 10, 30), (0, 40, 10, 50))
    found = squares((0, 0, 10, 10), (0, 22, 10, 30), (0, 40, 10, 60))
    paths, options = write_squares(tmp_path, true, found)
    # The second truth lies by half in it, the third by less: it is void, and so is what is predicted there.
    area = (500_000, 5_400_000 - 80, 500_000 + 2 * 44, 5_400_000)
    made = evaluated(paths, **options, aoi=area)
    f = made.classes[0].figures
    assert (f.tp, f.fp, f.fn) == (2, 0, 0) and f.sq == pytest.approx((1 + 0.8) / 2)
    assert made.classes[1].figures.pq == pytest.approx((44 * 40 - 100 - 100 - 40) / (44 * 40 - 100 - 80 - 40))
    assert "1 object of the truth lies by less than half in the area of interest and is void" in made.notes
    whole = evaluated(paths, **options).classes[0].figures
    assert (whole.tp, whole.fp, whole.fn) == (2, 1, 1)
    with pytest.raises(LandsegError, match=r"AOI .* lies outside the raster"):
        evaluated(paths, **options, aoi=(600_000, 5_300_000, 600_100, 5_300_100))
    write(paths[1], np.where(np.arange(60) < 40, 0, classes_of(Side(true, [(1, 0, False)]))), dtype="uint8", nodata=0)
    with pytest.raises(LandsegError, match=r"no labelled pixel of truth\.tif lies on map\.tif: check the area"):
        evaluated(paths, **options)


def test_things_without_ids_are_a_crowd_in_the_truth_and_void_in_the_prediction(tmp_path: Path) -> None:
    true = squares((0, 0, 10, 10), (20, 20, 30, 40))
    found = squares((0, 0, 10, 10), (20, 22, 30, 30), (20, 32, 30, 40), (0, 40, 6, 46))
    paths, options = write_squares(tmp_path, true, found)
    write(Path(options["ids"][1]), np.where(true == 2, 0, true), dtype="uint16", nodata=0)
    made = evaluated(paths, **options)
    f = made.classes[0].figures
    assert (f.tp, f.fp, f.fn) == (1, 1, 0)  # those in the crowd are not judged
    assert any("truth.tif: 200 px of things have no id (field) and are a crowd" in note for note in made.notes)
    write(Path(options["ids"][0]), np.where(found == 1, 0, found), dtype="uint32", nodata=(1 << 32) - 1)
    made = evaluated(paths, **options)
    f = made.classes[0].figures
    assert (f.tp, f.fp, f.fn) == (0, 1, 1)
    assert any("map.tif: 100 px of things have no id (field) and are void" in note for note in made.notes)


def test_a_truth_beside_the_map_by_whole_pixels(tmp_path: Path) -> None:
    true, found = squares((0, 0, 10, 10), (20, 20, 30, 40)), squares((0, 0, 10, 10), (20, 20, 30, 40))
    paths, options = write_squares(tmp_path, true, found)
    kinds = np.where(true > 0, 1, 2)[:, 10:]
    write(paths[1], kinds, dtype="uint8", nodata=0, left=20)
    write(Path(options["ids"][1]), true[:, 10:], dtype="uint16", nodata=0, left=20)
    f = evaluated(paths, **options).classes[0].figures
    assert (f.tp, f.fp, f.fn) == (1, 0, 0)  # where there is no truth nothing is judged


IDS, TRUE_IDS = "ids.tif", "true_ids.tif"


def _set(name: str, value: int, *, dtype: str = "uint32", where: Any = np.s_[:3, 50:]) -> Callable[[Path], Any]:
    def change(folder: Path) -> None:
        with rasterio.open(folder / name, "r+") as file:
            values = file.read(1)
            values[where] = value
            file.write(values, 1)

    return change


def _coarser(folder: Path) -> None:
    with rasterio.open(folder / "truth.tif", "r+") as file:
        file.transform = Affine(METRE, 0, 500_000.5, 0, -METRE, 5_400_000)


def _all_stuff(folder: Path) -> None:
    table = ClassMap(tuple(LandClass(one.value, one.name, one.color) for one in TABLE.classes))
    with rasterio.open(folder / "map.tif", "r+") as file:
        file.update_tags(LANDSEG_CLASSES=class_tag(table))


BAD: dict[str, tuple[Callable[[Path], Any], str]] = {
    "ids of stuff": (
        _set(IDS, 7),
        r"map\.tif: id 7 lies on pixels of water, which is stuff: expected ids on classes",
    ),
    "ids of stuff in the truth": (_set(TRUE_IDS, 7), r"truth\.tif: id 7 lies on pixels of water, which is stuff"),
    "an id of two classes": (
        _set("map.tif", 3, where=np.s_[:3, :3]),
        r"map\.tif: id 1 lies on pixels of several classes \(1: field, house\): expected one class for each id",
    ),
    "an id of two classes in the truth": (
        _set("truth.tif", 3, where=np.s_[:3, :3]),
        r"truth\.tif: id 1 lies on pixels of several classes \(1: field, house\)",
    ),
    "truth without ids": (
        _set(TRUE_IDS, 0, where=np.s_[:]),
        r"truth\.tif has pixels of field, which is a class of things, and none of them has an id: name the raster",
    ),
    "prediction without ids": (_set(IDS, 0, where=np.s_[:]), r"map\.tif has pixels of field, which is a class of"),
    "another grid": (_coarser, r"truth\.tif lies on another grid than .*map\.tif: panoptic maps are compared pixel"),
    "no things": (
        _all_stuff,
        r"no class of map\.tif is one of things \(field, water, house, wood\): set thing =",
    ),
    "a value without a class": (_set("truth.tif", 9), r"truth\.tif has"),
    "no file": (lambda p: (p / IDS).unlink(), r"ids\.tif"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_a_sentence(tmp_path: Path, name: str) -> None:
    true = squares((0, 0, 10, 10), (20, 20, 30, 40))
    paths, options = write_squares(tmp_path, true, true)
    change, sentence = BAD[name]
    change(tmp_path)
    with pytest.raises(LandsegError, match=sentence):
        evaluated(paths, **options)


def test_files_of_the_wrong_kind(tmp_path: Path) -> None:
    true = squares((0, 0, 10, 10))
    paths, options = write_squares(tmp_path, true, true)
    ids = options["ids"]
    with pytest.raises(
        LandsegError, match="expected two rasters of ids, that of the prediction and that of the truth"
    ):
        evaluated(paths, **options | {"ids": ids[:1]})
    with pytest.raises(LandsegError, match="holds the ids of objects, not classes"):
        evaluated([ids[0], paths[1]], **options)
    with pytest.raises(LandsegError, match=r"fields\.gpkg is a vector file: make rasters of its classes and ids"):
        evaluated([paths[0], tmp_path / "fields.gpkg"], **options)
    with pytest.raises(LandsegError, match="is a folder: with --ids name one class raster on each side"):
        evaluated([tmp_path, paths[1]], **options)
    with pytest.raises(LandsegError, match="--score is for other predictions, and these are panoptic maps"):
        evaluated(paths, **options, score=0.5)
    with pytest.raises(LandsegError, match="compare does not take panoptic maps"):
        landseg.compare(paths, paths[1], ids=ids)  # type: ignore[call-arg]


def test_intervals_are_of_things_alone(tmp_path: Path) -> None:
    true = squares((0, 0, 10, 10), (0, 20, 10, 30), (20, 0, 30, 10), (20, 40, 30, 50))
    paths, options = write_squares(tmp_path, true, np.where(true == 4, 0, true))
    made = evaluated(paths, **options | {"samples": 200, "block": "12px"})
    low, high = made.intervals["pq"]["things"]
    assert low < made.groups["things"].pq < high == 1
    assert math.isnan(made.intervals["pq"]["all"][0]) and math.isnan(made.classes[1].intervals["pq"][0])
    assert any("95 % intervals of things by a bootstrap of blocks of 12 px; stuff has none" in n for n in made.notes)


def test_the_command(tmp_path: Path) -> None:
    true = squares((0, 0, 10, 10), (20, 20, 30, 40))
    paths, options = write_squares(tmp_path, true, np.where(true == 2, 0, true))
    code, out, _ = run("evaluate", *paths, "--ids", *options["ids"], "--csv", tmp_path / "a.csv", "--json")
    made = json.loads(out)
    assert code == 0 and made["panoptic"]["pq"]["things"] == pytest.approx(1 / 1.5)
    assert made["classes"][0]["merged"] == 0 and made["border_distance"] == 0 and (tmp_path / "a.csv").exists()
    code, out, _ = run("evaluate", *paths, "--ids", *options["ids"])
    assert code == 0 and "share of the truth's area in matched objects: 0.333" in out
    assert "borders of matched objects: 0 m apart in the median" in out and "bands of 3 px" in out
    assert "objects at IoU above 0.5: precision 1.000, recall 0.500, F1 0.667" in out
    code, out, err = run("evaluate", *paths, "--ids", options["ids"][0])
    assert code == 2 and not out
    _set(IDS, 7)(tmp_path)
    code, out, err = run("evaluate", *paths, "--ids", *options["ids"], "--csv", tmp_path / "b.csv")
    assert code == 1 and not out and "which is stuff" in err and not (tmp_path / "b.csv").exists()
    code, _, err = run("evaluate", *paths, "--ids", *options["ids"], "--csv", options["ids"][1], "--overwrite")
    assert code == 1 and "true_ids.tif" in err
