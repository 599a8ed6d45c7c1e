"""The attributes of polygons as a table: only where it was asked for, with a point in place of each outline."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas
import pytest
import shapely
from typer.testing import CliRunner

from landseg.cli.main import app
from landseg.errors import OutputError, VectorError
from landseg.export import export
from tests.parts.vector import GRIDS, blocky, read, write_classes

pytestmark = pytest.mark.usefixtures("quick_disk")


@pytest.fixture
def town(tmp_path: Path, rng: Any) -> Path:
    return write_classes(tmp_path / "town.tif", GRIDS["north-up"], blocky(rng, GRIDS["north-up"]))


def check_points(table: Any, polygons: Any) -> None:
    """Each row is a polygon's, and its point lies inside it."""
    assert list(table.columns) == ["X", "Y", *(name for name in polygons.columns if name != "geometry")]
    for column in table.columns[2:]:
        assert table[column].tolist() == pytest.approx(polygons[column].tolist()) or column == "name"
    assert shapely.contains_xy(polygons.geometry.to_numpy(), table.X, table.Y).all()


@pytest.mark.parametrize("dissolve", [False, True])
def test_a_row_is_a_polygon_with_a_point_inside(town: Path, tmp_path: Path, dissolve: bool) -> None:
    done = export(town, tmp_path / "town.csv", attributes=True, dissolve=dissolve, quiet=True)
    export(town, tmp_path / "town.gpkg", dissolve=dissolve, quiet=True)
    table, polygons = pandas.read_csv(tmp_path / "town.csv"), read(tmp_path / "town.gpkg")
    check_points(table, polygons)
    assert table.name.tolist() == polygons.name.tolist() and done.features == len(table) and done.format == "table"
    with pytest.raises(AssertionError):  # twin: the middle of the box is not always inside
        boxes = shapely.bounds(polygons.geometry.to_numpy())
        check_points(table.assign(X=boxes[:, [0, 2]].mean(1), Y=boxes[:, [1, 3]].mean(1)), polygons)
    assert sorted(entry.name for entry in tmp_path.iterdir() if entry.stem == "town") == [
        "town.csv", "town.gpkg", "town.qml", "town.tif",
    ]  # fmt: skip


def test_points_of_a_class_are_a_table_of_their_own(town: Path, tmp_path: Path) -> None:
    export(town, tmp_path / "a.csv", centroids="building", by_class_files=True, quiet=True)
    assert sorted(entry.name for entry in tmp_path.glob("a*")) == [
        "a_building.csv",
        "a_building_points.csv",
        "a_road.csv",
    ]
    points = pandas.read_csv(tmp_path / "a_building_points.csv")
    assert {"X", "Y", "area_m2", "diameter_m"} <= set(points.columns) and np.isfinite(points.X).all() and len(points)


def test_a_table_is_written_only_where_it_was_asked_for(town: Path, tmp_path: Path) -> None:
    for name in ("a.csv", "a.xlsx"):
        with pytest.raises(VectorError, match=rf"{name}: a table holds no polygons; `landseg areas MAP -o {name}`"):
            export(town, tmp_path / name, quiet=True)
    refusals: dict[str, dict[str, Any]] = {
        "a.xlsx: a table holds no polygons": {"attributes": True},
        "a.gpkg: --attributes writes a table": {"attributes": True},
        "a.csv: a table holds no lines": {"centroids": "road", "centerlines": "road"},
    }
    for sentence, options in refusals.items():
        with pytest.raises(VectorError, match=sentence.replace(".", r"\.")):
            export(town, tmp_path / sentence.partition(":")[0], quiet=True, **options)
    assert not list(tmp_path.glob("a.*"))
    (tmp_path / "a.csv").write_text("mine")
    with pytest.raises(OutputError, match=r"a\.csv exists"):
        export(town, tmp_path / "a.csv", attributes=True, quiet=True)


def test_the_command(town: Path, tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["export", str(town), str(tmp_path / "a.csv"), "--attributes"])
    assert result.exit_code == 0 and ", table, EPSG:32633" in result.stdout
    result = CliRunner().invoke(app, ["export", str(town), str(tmp_path / "b.csv")])
    assert result.exit_code == 1 and "`landseg areas MAP -o b.csv`" in result.stderr
    assert "`landseg export MAP OUT.csv --attributes` those of each polygon" in result.stderr
