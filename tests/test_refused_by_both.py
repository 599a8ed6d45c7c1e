"""What `train` refuses of images and labels, `data` says before, by the same reason."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import pytest
import shapely

from landseg.training import refused as module
from tests.parts.labelled import image, labels, landseg, place, train, write, write_polygons, write_scenes

pytestmark = pytest.mark.usefixtures("quick_disk")
Arguments = list[Any]
IMAGES, LABELS, TABLE = "images", "labels", "classes.toml"


def polygons(folder: Path, **columns: Any) -> Arguments:
    return [folder / IMAGES, write_polygons(folder / "drawn.gpkg", **columns)]


def named(folder: Path) -> Arguments:
    return [*polygons(folder, kind="bright"), "--class-field", "kind"]


def without_class(folder: Path) -> Arguments:
    arguments = named(folder)
    frame = geopandas.read_file(folder / "drawn.gpkg")
    frame.loc[1, "kind"] = None
    frame.to_file(folder / "drawn.gpkg")
    return arguments


def points(folder: Path) -> Arguments:
    at = place(0) @ (5, 5)
    shapes = [shapely.Point(*at), shapely.Point(at[0] + 1, at[1])]
    geopandas.GeoDataFrame({"kind": ["a", "b"]}, geometry=shapes, crs="EPSG:32633").to_file(folder / "points.gpkg")
    return [folder / IMAGES, folder / "points.gpkg", "--class-field", "kind"]


def elsewhere(folder: Path) -> Arguments:
    geopandas.GeoDataFrame({"kind": ["a"]}, geometry=[shapely.box(10, 10, 20, 20)], crs="EPSG:32633").to_file(
        folder / "far.gpkg"
    )
    return [folder / IMAGES, folder / "far.gpkg", "--class-field", "kind"]


def rasters(folder: Path, *more: Any) -> Arguments:
    return [folder / IMAGES, folder / LABELS, "--classes", folder / TABLE, *more]


def changed(change: Callable[[Path], Any]) -> Callable[[Path], Arguments]:
    def made(folder: Path) -> Arguments:
        change(folder)
        return rasters(folder)

    return made


REFUSED: dict[str, tuple[Callable[[Path], Arguments], str]] = {
    "no class field": (lambda f: polygons(f, kind="bright"), "say which column names the class of each polygon"),
    "no such column": (lambda f: [*polygons(f, kind="a"), "--class-field", "sort"], "has no column 'sort'"),
    "no class": (without_class, "1 polygon has nothing in 'kind': give it a class"),
    "points": (points, "expected polygons, found Point (2) among 2 features"),
    "elsewhere": (elsewhere, "far.gpkg lies on any of the 3 images"),
    "not in the table": (
        lambda f: [*polygons(f, kind="pond"), "--class-field", "kind", "--classes", f / TABLE],
        "polygons without a class: pond (3); expected dark, bright",
    ),
    "several could be meant": (
        lambda f: [*polygons(f, kind="pond"), "--classes", f / TABLE],
        "dark, bright could all be meant by a polygon",
    ),
    "a background that is no class": (
        lambda f: [*named(f), "--background", "sea", "--classes", f / TABLE],
        "background 'sea' is no class",
    ),
    "no table": (lambda f: [f / IMAGES, f / LABELS], "has neither names nor a palette that say what its values mean"),
    "an image without labels": (
        changed(lambda f: (f / "labels/b_labels.tif").unlink()), "1 of 3 images has no labels in"
    ),
    "labels elsewhere": (
        changed(lambda f: write(f / "labels/b_labels.tif", labels(), at=place(7))),
        "labels that do not overlap their image",
    ),
    "labels of several bands": (
        changed(lambda f: write(f / "labels/b_labels.tif", np.stack([labels()] * 2), at=place(1))),
        "has 2 bands: expected a label raster with one band",
    ),
    "other bands": (
        changed(lambda f: write(f / "images/b.tif", image(1, bands=1), at=place(1))), "(1 of uint8)"
    ),
    "no image": (changed(lambda f: (f / "images/b.tif").write_text("no raster")), "b.tif"),
    "a field of rasters": (lambda f: rasters(f, "--class-field", "kind"), "--class-field"),
    "colours without a table": (lambda f: [f / IMAGES, f / LABELS, "--label-colors"], "needs the colours of the"),
}  # fmt: skip


def reason_of(result: Any) -> str:
    assert result.exit_code == 1 and not result.stdout, result.output
    return str(result.stderr.strip().splitlines()[-1].removeprefix("landseg: "))


def assert_both(folder: Path, arguments: Arguments, part: str) -> None:
    """Both commands refuse, or one of them says that the other does, for the same reason."""
    refused = reason_of(train(folder, *arguments))
    assert part in refused, refused
    looked = landseg("data", *arguments, "--json")
    if looked.exit_code:
        assert part in reason_of(looked)
        return
    told = [one["text"] for one in json.loads(looked.stdout)["findings"] if one["kind"] == "refused"]
    assert told == [f"train refuses these as they are: {refused}"]


@pytest.mark.parametrize("case", REFUSED)
def test_both_refuse_for_the_same_reason(tmp_path: Path, case: str) -> None:
    write_scenes(tmp_path)
    make, part = REFUSED[case]
    assert_both(tmp_path, make(tmp_path), part)


def test_twin_a_check_of_its_own_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_scenes(tmp_path)
    monkeypatch.setattr(module, "_check", lambda data, stored_values: None)
    make, part = REFUSED["no class field"]
    with pytest.raises(AssertionError):
        assert_both(tmp_path, make(tmp_path), part)


def test_what_train_takes_is_not_refused(tmp_path: Path) -> None:
    write_scenes(tmp_path)
    drawn = polygons(tmp_path, kind="bright")
    for arguments in (
        rasters(tmp_path),
        [*drawn, "--class-field", "kind"],
        [*drawn, "--background", "land"],
        [tmp_path / IMAGES],
    ):
        looked = landseg("data", *arguments, "--json")
        assert looked.exit_code == 0, looked.output
        assert "refused" not in {one["kind"] for one in json.loads(looked.stdout)["findings"]}
    assert "warning" not in landseg("data", *drawn, "--class-field", "kind").stderr


def test_the_reason_stands_first(tmp_path: Path) -> None:
    write_scenes(tmp_path)
    arguments = polygons(tmp_path, kind="bright")
    result = landseg("data", *arguments)
    assert result.exit_code == 0
    findings = result.stdout.split("\n\n")[-1].splitlines()
    assert findings[0].startswith("refused: train refuses these as they are: "), result.stdout
    assert "nothing is wrong" not in result.stdout
