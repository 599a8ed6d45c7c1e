"""Class rasters whose tables number the same classes differently: matched by name."""

import json
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

import geopandas
import numpy as np
import pytest
import rasterio
import shapely

import landseg
from landseg.classes import ClassMap, LandClass
from landseg.errors import ClassError
from landseg.geo.tags import CLASSES
from landseg.labels.legend import class_tag
from landseg.labels.numbering import numbered_as
from landseg.text.results import json_values
from tests.parts.commands import run

Write = Callable[..., Path]
NAMES = ("building", "land", "road")
OURS = ClassMap(tuple(LandClass(v, n, (v, 0, 0)) for v, n in zip((1, 2, 3), NAMES, strict=True)))
TURNED = ClassMap(tuple(LandClass(v, n, (v, 0, 0)) for v, n in zip((3, 1, 2), NAMES, strict=True)))
RNG = np.random.default_rng(0)
INDICES = RNG.integers(0, 3, (64, 48))


def written(write_raster: Write, table: ClassMap, indices: np.ndarray, name: str) -> str:  # type: ignore[type-arg]
    values = table.to_values(indices.astype(np.uint8))
    path = write_raster(values[None], name, nodata=0)
    with rasterio.open(path, "r+") as file:
        file.update_tags(**{CLASSES: class_tag(table)})
    return str(path)


@pytest.fixture
def files(write_raster: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    monkeypatch.chdir(tmp_path)
    wrong = np.where(RNG.random(INDICES.shape) < 0.25, (INDICES + 1) % 3, INDICES)
    return {
        "map": written(write_raster, OURS, wrong, "map.tif"),
        "turned": written(write_raster, TURNED, wrong, "turned.tif"),
        "truth": written(write_raster, OURS, INDICES, "truth.tif"),
        "turned truth": written(write_raster, TURNED, INDICES, "turned_truth.tif"),
    }


def assert_by_name(files: dict[str, str]) -> None:
    plain = landseg.evaluate(files["map"], files["truth"], boundary=None)
    turned = landseg.evaluate(files["map"], files["turned truth"], boundary=None)
    assert plain.pixel_accuracy == pytest.approx(0.75, abs=0.03)
    assert turned.confusion.tolist() == plain.confusion.tolist()
    assert any("matched by name" in note for note in turned.notes)
    assert not any("matched by name" in note for note in plain.notes)


def test_truth_of_another_numbering(files: dict[str, str]) -> None:
    assert_by_name(files)


def test_twin_matching_by_value_is_caught(files: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(import_module("landseg.evaluation.pair"), "table_for", lambda paths, classes: classes)
    with pytest.raises(AssertionError):
        assert_by_name(files)


def test_a_compared_map_of_another_numbering(files: dict[str, str]) -> None:
    found = landseg.compare([files["map"], files["turned"]], files["truth"])
    one, two = found.evaluations
    assert one.confusion.tolist() == two.confusion.tolist() and found.mean_iou[0].difference == 0


def test_a_table_of_the_users_goes_by_value(files: dict[str, str]) -> None:
    Path("classes.json").write_text(json.dumps(OURS.to_json()))
    found = landseg.evaluate(files["map"], files["turned truth"], classes="classes.json", boundary=None)
    assert found.pixel_accuracy < 0.3


def test_ignored_values_of_two_numberings_are_refused(files: dict[str, str]) -> None:
    code, out, err = run("evaluate", files["map"], files["turned truth"], "--ignore", "2")
    assert code == 1 and not out and "--ignore names values" in err and "--classes" in err


def test_labels_of_two_numberings_are_not_one_truth(files: dict[str, str]) -> None:
    with pytest.raises(ClassError, match="give other values to the same classes"):
        landseg.evaluate([files["map"]], [files["truth"], files["turned truth"]])


def test_other_names_for_a_value_are_told(write_raster: Write, files: dict[str, str], heard: list[str]) -> None:
    ground = ClassMap((OURS.classes[0], LandClass(2, "ground", (0, 1, 0)), OURS.classes[2]))
    landseg.evaluate(files["map"], written(write_raster, ground, INDICES, "ground.tif"), boundary=None)
    assert [line for line in heard if "value 2 is ground there and land here" in line]
    heard.clear()
    landseg.evaluate(files["map"], files["truth"], boundary=None)
    assert not heard


def test_numbers_of_names_that_one_table_lacks() -> None:
    theirs = ClassMap((LandClass(4, "Road", (0, 0, 0)), LandClass(1, "water", (0, 0, 1))), ignore=(2,))
    made = numbered_as(OURS, theirs)
    assert made.names == NAMES and made.values[2] == 4
    assert not {*made.values[:2]} & {1, 2, 4} and made.ignore == (2,)
    assert numbered_as(OURS, OURS) is OURS


def test_truth_without_a_prediction_is_told(files: dict[str, str]) -> None:
    for folder, names in (("maps", "a"), ("labels", "abc")):
        Path(folder).mkdir()
        for name in names:
            Path(folder, f"{name}.tif").write_bytes(Path(files["map" if folder == "maps" else "truth"]).read_bytes())
    found = landseg.evaluate("maps", "labels", boundary=None)
    assert [note for note in found.notes if note.startswith("2 label rasters belong to no prediction and count for")]
    Path("labels/b.tif").unlink()
    Path("labels/c.tif").unlink()
    assert not [note for note in landseg.evaluate("maps", "labels", boundary=None).notes if "belong" in note]


def test_the_command_and_the_function_compare_alike(files: dict[str, str]) -> None:
    code, out, _ = run("compare", files["map"], files["turned"], files["truth"], "--json")
    assert code == 0
    assert json.loads(out) == json_values(landseg.compare([files["map"], files["turned"]], files["truth"]).to_json())


def test_polygons_of_one_class_beside_the_background(write_raster: Write, tmp_path: Path) -> None:
    two = ClassMap((LandClass(1, "roof", (200, 0, 0)), LandClass(2, "ground", (0, 200, 0))))
    indices = np.ones((40, 50), np.uint8)
    indices[10:20, 5:30] = 0
    path = written(write_raster, two, indices, "map.tif")
    roof = shapely.box(500_000 + 2.5, 5_400_000 - 10, 500_000 + 15, 5_400_000 - 5)
    geopandas.GeoDataFrame(geometry=[roof], crs="EPSG:32633").to_file(tmp_path / "roofs.gpkg")
    found = landseg.evaluate(path, tmp_path / "roofs.gpkg", background="ground", boundary=None)
    assert found.pixel_accuracy == 1 and found.confusion.sum() == 2000 and found.confusion[0].sum() == 250
    code, _, err = run("evaluate", path, str(tmp_path / "roofs.gpkg"))
    assert code == 1 and "say which column names the class, --class-field" in err
