"""`landseg export` of real class rasters: the demo's map, which the shipped model makes, and drawn land cover."""

from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as Xml

import numpy as np
import pyogrio
import pyproj
import pytest
import rasterio
import shapely
from affine import Affine
from rasterio.features import rasterize

from landseg.classes import ClassMap
from landseg.export import export
from landseg.geo.grid import Grid
from landseg.geo.rasters.raster import RasterFile
from landseg.labels.legend import read_class_table, read_legend
from landseg.predict import predict
from landseg.vector import classraster
from landseg.vector.export_options import Export
from landseg.vector.topology.rings import build_polygons
from landseg.vector.topology.trace import trace
from tests.parts.vector import UTM, read, write_classes

pytestmark = pytest.mark.usefixtures("quick_disk")

QUIET: dict[str, Any] = {"quiet": True}
SCENES = ["drawn", pytest.param("demo", marks=pytest.mark.slow)]
DRY = "9520461,3202600,9520660,3202787"  # the part of the demo that was flown throughout, in its CRS

Scene = Callable[[str], Path]


@pytest.fixture(scope="module")
def scene(sample_tiles: Path, tmp_path_factory: pytest.TempPathFactory) -> Scene:
    """A class raster: `drawn`, 400 x 500 pixels of Dubai's labels, or `demo`, the map of Banepa."""
    folder = tmp_path_factory.mktemp("scenes")

    def found(name: str) -> Path:
        path = folder / f"{name}.tif"
        if path.exists():
            return path
        if name == "demo":
            predict(sample_tiles / "banepa_scene.tif", path, quiet=True, device="cpu")
            return path
        table = read_class_table(sample_tiles / "landcover" / "classes.toml")
        with rasterio.open(sample_tiles / "landcover" / "train" / "tile3_part3_labels.png") as labels:
            values = labels.read(1)[:400, :500]
        grid = Grid(UTM, Affine(0.5, 0, 500_000, 0, -0.5, 5_400_000), 500, 400)
        return write_classes(path, grid, values, ClassMap(table.classes))

    return found


def values_of(path: Path) -> tuple[Any, Affine]:
    with rasterio.open(path) as file:
        return file.read(1), file.transform


def check_round_trip(frame: Any, values: Any, transform: Affine) -> None:
    """GDAL burns the polygons to what they were made from, to the pixel."""
    shapes = list(zip(frame.geometry, frame.value, strict=True))
    burnt = rasterize(shapes, values.shape, transform=transform, dtype="uint8")
    assert len(np.unique(values)) > 3
    assert np.array_equal(burnt, values)


@pytest.mark.parametrize("name", SCENES)
def test_a_real_scene_comes_back_to_the_pixel(scene: Scene, tmp_path: Path, name: str) -> None:
    values, transform = values_of(scene(name))
    export(scene(name), tmp_path / "p.fgb", **QUIET)
    frame = read(tmp_path / "p.fgb")
    check_round_trip(frame, values, transform)
    with pytest.raises(AssertionError):  # the twin: half a pixel to the side
        check_round_trip(frame, values, transform @ Affine.translation(0.6, 0))


def features(shapes: Any, values: Any) -> set[tuple[int, bytes]]:
    """What does not depend on the order of features, nor on where a ring begins."""
    texts = shapely.to_wkb(shapely.normalize(np.asarray(shapes)))
    return set(zip(np.asarray(values).tolist(), texts.tolist(), strict=True))


@pytest.mark.parametrize("name", SCENES)
def test_a_real_scene_gives_the_same_however_it_is_cut(
    scene: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    values, _ = values_of(scene(name))
    made = []
    for rows in (97, 300, 5000):
        monkeypatch.setattr(classraster, "STRIP_PIXELS", rows * values.shape[1])
        out = tmp_path / str(rows) / "p.fgb"
        out.parent.mkdir()
        export(scene(name), out, simplify=0.5, **QUIET)
        made.append(out.read_bytes())
    assert made[0] == made[1] == made[2]


@pytest.mark.parametrize("name", SCENES)
def test_twin_strips_made_into_polygons_one_by_one_are_caught(scene: Scene, tmp_path: Path, name: str) -> None:
    values, _ = values_of(scene(name))
    whole, cut = ([], []), ([], [])  # type: tuple[list[Any], list[Any]], tuple[list[Any], list[Any]]
    for found, rows in ((whole, len(values)), (cut, 97)):
        for top in range(0, len(values), rows):
            regions, arcs = trace([values[top : top + rows]], nodata=0, work=tmp_path)
            for part, shapes in build_polygons(regions, arcs, Affine.translation(0, top)):
                found[0].extend(shapes)
                found[1].extend(regions.value[part])
    for found in (whole, cut):  # the pixels alone do not tell
        burnt = rasterize(list(zip(*found, strict=True)), values.shape, dtype="uint8")
        assert np.array_equal(burnt, values)
    assert len(cut[0]) > len(whole[0])
    assert features(*cut) != features(*whole)


def rings(frame: Any) -> int:
    """How many rings all polygons together have outside: a gap would be one more."""
    return len(shapely.get_rings(shapely.get_parts(shapely.union_all(frame.geometry.to_numpy()))))


def check_coverage(frame: Any, area: float, *, moved: float = 0.0) -> None:
    """No overlaps, borders with the same corners on either side, `area` in all.

    ``moved`` is by how much the area may differ where polygons border on no data.
    """
    shapes = frame.geometry.to_numpy()
    assert shapely.is_valid(shapes).all()
    assert shapely.coverage_is_valid(shapes)
    assert shapely.is_empty(shapely.coverage_invalid_edges(shapes)).all()
    union, total = shapely.union_all(shapes).area, shapely.area(shapes).sum()
    assert union == pytest.approx(total, rel=1e-9)
    assert union == pytest.approx(area, rel=1e-9, abs=moved)


def check_changes(before: Export, after: Export) -> None:
    """Each class's change is that between both exports, and all of them is nothing."""
    for one, other in zip(before.classes, after.classes, strict=True):
        assert one.area_change_m2 is None and other.area_change_m2 is not None
        assert other.area - one.area == pytest.approx(other.area_change_m2, abs=1e-6 * one.area)
    assert any(abs(total.area_change or 0) > 1 for total in after.classes)


@pytest.mark.parametrize("options", [{"simplify": 0.5}, {"simplify": 0.5, "smooth": True}])
@pytest.mark.parametrize("name", SCENES)
def test_a_real_scene_stays_a_coverage(scene: Scene, tmp_path: Path, name: str, options: dict[str, Any]) -> None:
    """Without the smallest pieces: GEOS takes minutes for the 15,000 of the demo, most of them holes in one."""
    values, transform = values_of(scene(name))
    area = (values > 0).sum() * abs(transform.determinant)
    export(scene(name), tmp_path / "before.fgb", min_area=10, **QUIET)
    after = export(scene(name), tmp_path / "after.fgb", min_area=10, **options, **QUIET)
    check_changes(export(scene(name), tmp_path / "traced.fgb", **QUIET), after)
    plain, simple = read(tmp_path / "before.fgb"), read(tmp_path / "after.fgb")
    check_coverage(plain, area)
    outer = shapely.length(shapely.union_all(plain.geometry.to_numpy()))
    check_coverage(simple, area, moved=0.2 * outer)
    assert rings(simple) == rings(plain)
    corners = [len(shapely.get_coordinates(frame.geometry.to_numpy())) for frame in (plain, simple)]
    assert corners[1] < corners[0] * (0.8 if "smooth" in options else 0.5)
    plain["geometry"] = plain.geometry.simplify(0.5)
    with pytest.raises(AssertionError):  # the twin: each on its own
        check_coverage(plain, area, moved=0.2 * outer)
    assert rings(plain) > rings(simple)


@pytest.mark.slow
def test_where_all_was_flown_the_demo_keeps_its_area(scene: Scene, tmp_path: Path) -> None:
    plain = export(scene("demo"), tmp_path / "before.fgb", aoi=DRY, **QUIET)
    done = export(scene("demo"), tmp_path / "after.fgb", aoi=DRY, min_area=10, simplify=0.5, **QUIET)
    check_coverage(read(tmp_path / "after.fgb"), read(tmp_path / "before.fgb").geometry.area.sum())
    assert sum(total.area_change or 0 for total in done.classes) == pytest.approx(0, abs=0.01)
    assert sum(total.area for total in done.classes) == pytest.approx(sum(t.area for t in plain.classes), rel=1e-6)


def check_legend(path: Path, table: ClassMap, crs: pyproj.CRS) -> None:
    """A shapefile opens in its place, with names and colours for all that is in it."""
    assert path.with_suffix(".cpg").read_text() == "UTF-8"
    assert pyproj.CRS.from_wkt(path.with_suffix(".prj").read_text()).equals(crs, ignore_axis_order=True)
    info = pyogrio.read_info(path)
    assert info["encoding"] == "UTF-8" and info["geometry_type"] == "Polygon"
    assert list(info["fields"]) == ["id", "value", "name", "area_m2", "perimete_m"]
    frame = pyogrio.read_dataframe(path)
    assert info["features"] == len(frame) > 20 and frame.geometry.is_valid.all()
    assert frame.crs.to_epsg() == crs.to_epsg()
    names = dict(zip(table.values, table.names, strict=True))
    assert {value: name for value, name in zip(frame.value, frame.name, strict=True)}.items() <= names.items()
    renderer = Xml.parse(path.with_suffix(".qml")).getroot().find("renderer-v2")
    assert renderer is not None and renderer.get("attr") == "value"
    shown = {int(part.get("value", "")): part for part in renderer.iter("category")}
    symbols = {symbol.get("name"): symbol for symbol in renderer.iter("symbol")}
    for entry in table.classes:
        part = shown[entry.value]
        color = ",".join(map(str, entry.color))
        assert part.get("label") == entry.name and part.get("render") == "true"
        assert any((o.get("value") or "").startswith(color) for o in symbols[part.get("symbol")].iter("Option"))


@pytest.mark.parametrize("name", SCENES)
def test_a_shapefile_of_a_real_scene_is_ready_for_a_legend(scene: Scene, tmp_path: Path, name: str) -> None:
    raster = RasterFile(scene(name))
    table = read_legend(raster)
    raster.close()
    assert table is not None and table.names == ("building", "land", "road", "vegetation", "water")
    with rasterio.open(scene(name)) as file:
        crs = pyproj.CRS.from_wkt(file.crs.to_wkt())
    out = tmp_path / "town.shp"
    export(scene(name), out, min_area=5, **QUIET)
    check_legend(out, table, crs)
    others = ClassMap.from_json([{**entry, "color": [1, 2, 3]} for entry in table.to_json()["classes"]])
    with pytest.raises(AssertionError):  # the twin: somebody else's colours
        check_legend(out, others, crs)
