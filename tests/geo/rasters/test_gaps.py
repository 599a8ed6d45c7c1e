"""Where no member of a mosaic lies there is no data, whoever made it: GDAL's zeros there are nothing."""

import json
import logging
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import pytest
import rasterio
import shapely
from affine import Affine
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rasterio.shutil import copy
from rasterio.vrt import WarpedVRT

import landseg.geo.rasters.raster as raster_module
from landseg.errors import RasterError
from landseg.geo.grid import Rect
from landseg.geo.rasters.gaps import Presence
from landseg.geo.rasters.mosaic import open_source
from landseg.geo.rasters.raster import RasterFile
from landseg.report.raster_facts import raster_facts
from landseg.vector.classraster import ClassRaster

WHERE = Affine(1, 0, 500_000, 0, -1, 5_400_000)
UTM = "EPSG:32633"
GEO = f"<SRS>{UTM}</SRS><GeoTransform>500000,1,0,5400000,0,-1</GeoTransform>"
Tile = Callable[..., Path]


@pytest.fixture
def tile(tmp_path: Path) -> Tile:
    """Writes pixels (C, H, W) without a zero, their corner `left`, `down` pixels from the common one."""

    def write(name: str, shape: tuple[int, int, int] = (3, 20, 20), *, left: float = 0, down: float = 0) -> Path:
        count, height, width = shape
        size = {"count": count, "height": height, "width": width, "dtype": "uint8", "driver": "GTiff"}
        place = {"crs": UTM, "transform": WHERE @ Affine.translation(left, down)}
        path = tmp_path / name
        with rasterio.open(path, "w", **size, **place) as raster:
            raster.write(np.random.default_rng(len(name)).integers(1, 250, shape, np.uint8))
        return path

    return write


def box(tag: str, left: float, top: float, width: float, height: float) -> str:
    return f'<{tag} xOff="{left!r}" yOff="{top!r}" xSize="{width!r}" ySize="{height!r}"/>'


def source(name: Any, *inside: str, band: int = 1, kind: str = "SimpleSource") -> str:
    file = f'<SourceFilename relativeToVRT="1">{name}</SourceFilename><SourceBand>{band}</SourceBand>'
    return f"<{kind}>{file}{''.join(inside)}</{kind}>"


def vrt(path: Path, width: int, height: int, *bands: str, inside: str = "") -> Path:
    """A virtual raster of bands that are each a string of sources."""
    start = '<VRTRasterBand dataType="Byte" band="{}">'
    each = "".join(f"{start.format(n)}{inside}{text}</VRTRasterBand>" for n, text in enumerate(bands, 1))
    path.write_text(f'<VRTDataset rasterXSize="{width}" rasterYSize="{height}">{GEO}{each}</VRTDataset>')
    return path


def two_with_a_gap(tile: Tile, folder: Path, *, inside: str = "") -> Path:
    """20 columns of a, 10 of nothing, 20 of b."""
    tile("a.tif")
    tile("b.tif", left=30)
    bands = [
        source("a.tif", box("SrcRect", 0, 0, 20, 20), box("DstRect", 0, 0, 20, 20), band=n)
        + source("b.tif", box("SrcRect", 0, 0, 20, 20), box("DstRect", 30, 0, 20, 20), band=n)
        for n in (1, 2, 3)
    ]
    return vrt(folder / "gap.vrt", 50, 20, *bands, inside=inside)


def assert_only_members(path: Any) -> None:
    """Members hold no zero: where there is one, there is no member, and there must be no data."""
    with open_source(path) as opened:
        pixels, valid = opened.read(opened.grid.rect)
        there = (pixels != 0).all(axis=0)
        assert not there.all(), "the raster has no gap: this tests nothing"
        np.testing.assert_array_equal(valid, there)
        middle = Rect(3, 5, opened.grid.height - 4, opened.grid.width - 9)
        np.testing.assert_array_equal(opened.read(middle)[1], there[middle.slices])


@pytest.fixture
def blind(monkeypatch: pytest.MonkeyPatch) -> None:
    """The broken twin: nobody looks for gaps."""
    monkeypatch.setattr(raster_module, "MOSAICS", ())


def test_a_gap_between_members_is_no_data(tile: Tile, tmp_path: Path) -> None:
    path = two_with_a_gap(tile, tmp_path)
    assert_only_members(path)
    with open_source(path) as one, open_source([tmp_path / "a.tif", tmp_path / "b.tif"]) as other:
        found, wanted = one.read(one.grid.rect), other.read(other.grid.rect)
    assert one.grid.same_as(other.grid)
    np.testing.assert_array_equal(found[1], wanted[1])
    np.testing.assert_array_equal(np.where(found[1], found[0], 0), np.where(wanted[1], wanted[0], 0))


def test_without_the_look_for_gaps_zeros_would_be_data(tile: Tile, tmp_path: Path, blind: None) -> None:
    with pytest.raises(AssertionError, match="not equal"):
        assert_only_members(two_with_a_gap(tile, tmp_path))


def test_masks_pictures_and_class_rasters_see_the_gap_too(tile: Tile, tmp_path: Path) -> None:
    path = two_with_a_gap(tile, tmp_path)
    there = np.r_[np.ones(20, bool), np.zeros(10, bool), np.ones(20, bool)]
    file = RasterFile(path)
    assert (file.validity.mask(2, Rect(4, 0, 9, 50)) == there).all()
    _, valid = file.read_reduced([1, 2, 3], Rect(0, 0, 20, 50), (4, 10), resampling="nearest")
    assert (valid == there[2::5]).all()
    file.close()
    assert raster_facts(path)["validity"] == "the members' places, which are 80 % of it"
    one = vrt(tmp_path / "classes.vrt", 50, 20, source("a.tif"))
    with ClassRaster(one) as raster:
        assert raster._valid(Rect(0, 0, 1, 50), np.zeros((1, 50), np.uint8)).sum() == 20


def test_a_declared_nodata_value_or_mask_rules_as_before(tile: Tile, tmp_path: Path, blind: None) -> None:
    declared = "<NoDataValue>0</NoDataValue>"
    assert_only_members(two_with_a_gap(tile, tmp_path, inside=declared))  # though nobody looks for gaps


def test_with_a_nodata_value_a_band_alone_may_be_empty(tile: Tile, tmp_path: Path) -> None:
    """Unsigned zeros in one band of several are data where 0 is declared: gaps change nothing there."""
    tile("a.tif", (1, 20, 20))
    tile("b.tif", (1, 20, 10))
    sources = (source("a.tif"), source("b.tif"))
    with open_source(vrt(tmp_path / "one.vrt", 20, 20, *sources, inside="<NoDataValue>0</NoDataValue>")) as opened:
        assert opened.read(opened.grid.rect)[1].all()
    with open_source(vrt(tmp_path / "two.vrt", 20, 20, *sources)) as opened:
        assert (opened.read(opened.grid.rect)[1].sum(axis=1) == 10).all()
    with open_source(tmp_path / "two.vrt", bands=[1]) as opened:
        assert opened.read(opened.grid.rect)[1].all()


def test_a_nodata_value_that_no_pixel_can_have_does_not_rule(tile: Tile, tmp_path: Path) -> None:
    assert_only_members(two_with_a_gap(tile, tmp_path, inside="<NoDataValue>-9999</NoDataValue>"))


def test_hidden_nodata_values_and_alpha(tile: Tile, tmp_path: Path) -> None:
    hidden = "<NoDataValue>0</NoDataValue><HideNoDataValue>1</HideNoDataValue>"
    assert_only_members(two_with_a_gap(tile, tmp_path, inside=hidden))


def test_members_without_a_gap_cost_nothing(tile: Tile, tmp_path: Path) -> None:
    tile("a.tif")
    size = '<SourceProperties RasterXSize="20" RasterYSize="20" DataType="Byte" BlockXSize="20" BlockYSize="20"/>'
    parts = "".join(
        source("a.tif", size, box("SrcRect", 0, 0, 20, 20), box("DstRect", left, top, 20, 20))
        for top in range(0, 200, 20)
        for left in range(0, 300, 20)
    )
    file = RasterFile(vrt(tmp_path / "full.vrt", 300, 200, parts))
    assert file.validity.presence == (None,) and not file.validity.gaps
    file.close()
    last = parts.rindex("<SimpleSource>")
    file = RasterFile(vrt(tmp_path / "less.vrt", 300, 200, parts[:last]))
    assert file.validity.gaps
    assert not file.validity.covered([1], Rect(180, 280, 20, 20)).any()
    assert file.validity.covered([1], Rect(0, 0, 180, 300)).all()
    file.close()


START = st.floats(-6, 30).map(lambda x: round(x * 4) / 4 + 0.01)
SIZE = st.floats(0.1, 25)
PLACES = st.lists(st.tuples(START, START, SIZE, SIZE, START, START, SIZE, SIZE, st.booleans()), max_size=4)


def rectangles(places: Sequence[tuple[Any, ...]]) -> str:
    known = '<SourceProperties RasterXSize="20" RasterYSize="20" DataType="Byte" BlockXSize="20" BlockYSize="20"/>'
    return "".join(
        source("a.tif", known if told else "", box("SrcRect", *numbers[:4]), box("DstRect", *numbers[4:]))
        for *numbers, told in places
    )


@settings(max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(places=PLACES, whole=st.booleans())
def test_any_rectangles_cover_what_gdal_fills(tile: Tile, tmp_path: Path, places: Any, whole: bool) -> None:
    """Fractions of pixels, parts outside the source or the target, scaled and overlapping ones, and none at all."""
    tile("a.tif", (1, 20, 20))
    text = rectangles(places) + (source("a.tif") if whole else "")
    with open_source(vrt(tmp_path / "any.vrt", 40, 30, text)) as opened:
        pixels, valid = opened.read(opened.grid.rect)
        np.testing.assert_array_equal(valid, pixels[0] != 0)


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(places=PLACES.filter(len), left=st.integers(-5, 20), top=st.integers(-5, 20))
def test_what_a_virtual_member_leaves_open_is_open(
    tile: Tile, tmp_path: Path, places: Any, left: int, top: int
) -> None:
    tile("a.tif", (1, 20, 20))
    vrt(tmp_path / "inner.vrt", 40, 30, rectangles(places))
    text = source("inner.vrt", box("SrcRect", 3, 2, 30, 25), box("DstRect", left, top, 30, 25))
    with open_source(vrt(tmp_path / "outer.vrt", 60, 50, text)) as opened:
        pixels, valid = opened.read(opened.grid.rect)
        np.testing.assert_array_equal(valid, pixels[0] != 0)


def test_a_virtual_member_of_another_size(tile: Tile, tmp_path: Path) -> None:
    two_with_a_gap(tile, tmp_path)
    text = source("gap.vrt", box("SrcRect", 0, 0, 50, 20), box("DstRect", 10, 5, 100, 40))
    assert_only_members(vrt(tmp_path / "twice.vrt", 120, 50, text))


@pytest.mark.parametrize("crs", ["EPSG:4326", "EPSG:3035"])
def test_outside_the_source_of_a_warped_raster(tile: Tile, tmp_path: Path, crs: str) -> None:
    path = tile("a.tif", (1, 200, 300), left=200_000)
    with rasterio.open(path) as raster, WarpedVRT(raster, crs=crs) as warped:
        copy(warped, tmp_path / "warped.vrt", driver="VRT")
    with open_source(tmp_path / "warped.vrt") as opened:
        pixels, valid = opened.read(opened.grid.rect)
    assert not pixels[0].all()
    assert not (valid & (pixels[0] == 0)).any()
    assert (~valid & (pixels[0] != 0)).sum() < 100  # GDAL rounds in the member's favour along the edge


@pytest.mark.parametrize("how", [{"add_alpha": True}, {"nodata": 0}])
def test_a_warp_that_says_where_it_has_data_is_believed(tile: Tile, tmp_path: Path, how: dict[str, Any]) -> None:
    path = tile("a.tif", (1, 200, 300), left=200_000)
    with rasterio.open(path) as raster, WarpedVRT(raster, crs="EPSG:3035", **how) as warped:
        copy(warped, tmp_path / "warped.vrt", driver="VRT")
    with open_source(tmp_path / "warped.vrt") as opened:
        pixels, valid = opened.read(opened.grid.rect)
        assert not opened.file.validity.gaps  # type: ignore[attr-defined]
    np.testing.assert_array_equal(valid, pixels[0] != 0)


def test_a_warped_mosaic_keeps_its_gap(tile: Tile, tmp_path: Path) -> None:
    path = two_with_a_gap(tile, tmp_path)
    with rasterio.open(path) as raster, WarpedVRT(raster, crs="EPSG:4326") as warped:
        copy(warped, tmp_path / "warped.vrt", driver="VRT")
    with open_source(tmp_path / "warped.vrt") as opened:
        pixels, valid = opened.read(opened.grid.rect)
    inside = valid[opened.grid.height // 2]
    assert 8 <= (np.diff(np.flatnonzero(inside)) - 1).max() <= 14
    assert not (valid & (pixels == 0).all(axis=0)).any()


def test_a_warp_with_a_cutline_says_that_gaps_cannot_be_told(tile: Tile, tmp_path: Path, heard: list[str]) -> None:
    path = tile("a.tif", (1, 20, 20))
    with rasterio.open(path) as raster, WarpedVRT(raster, crs="EPSG:4326") as warped:
        copy(warped, tmp_path / "warped.vrt", driver="VRT")
    cut = "<Cutline>POLYGON ((1 1,9 1,9 9,1 1))</Cutline><BandList>"
    (tmp_path / "cut.vrt").write_text((tmp_path / "warped.vrt").read_text().replace("<BandList>", cut))
    RasterFile(tmp_path / "warped.vrt").close()
    assert heard == []
    RasterFile(tmp_path / "cut.vrt").close()
    assert len(heard) == 1 and "cut.vrt is warped in a way that does not say where it has no data" in heard[0]


def items(folder: Path, places: dict[str, tuple[int, int]]) -> Path:
    """A STAC item collection of tiles of 20 x 20 pixels."""
    features = []
    for name, (left, down) in places.items():
        x, y = WHERE @ (left, down)
        asset = {"href": os.fspath(folder / f"{name}.tif"), "type": "image/tiff", "proj:epsg": 32633}
        asset |= {"proj:shape": [20, 20], "proj:transform": [1, 0, x, 0, -1, y], "proj:bbox": [x, y - 20, x + 20, y]}
        stac = {"type": "Feature", "stac_version": "1.0.0", "stac_extensions": [], "id": name, "collection": "c"}
        features.append({**stac, "geometry": None, "properties": {"proj:epsg": 32633}, "assets": {"image": asset}})
        features[-1]["stac_extensions"] = ["https://stac-extensions.github.io/projection/v1.0.0/schema.json"]
        features[-1]["links"] = []
    path = folder / "items.json"
    whole = {"type": "FeatureCollection", "stac_version": "1.0.0", "features": features, "links": []}
    path.write_text(json.dumps(whole))
    return path


def test_a_collection_of_stac_items_is_what_its_files_are_as_a_mosaic(tile: Tile, tmp_path: Path) -> None:
    tile("a.tif")
    tile("b.tif", left=30, down=7)
    path = items(tmp_path, {"a": (0, 0), "b": (30, 7)})
    for name in (path, f'STACIT:"{path}":collection=c,asset=image'):
        assert_only_members(name)
        with open_source(name) as one, open_source([tmp_path / "a.tif", tmp_path / "b.tif"]) as other:
            assert one.grid.same_as(other.grid)
            np.testing.assert_array_equal(one.read(one.grid.rect)[1], other.read(other.grid.rect)[1])


def test_stac_items_without_the_look_for_gaps(tile: Tile, tmp_path: Path, blind: None) -> None:
    tile("a.tif")
    tile("b.tif", left=30, down=7)
    with pytest.raises(AssertionError, match="not equal"):
        assert_only_members(items(tmp_path, {"a": (0, 0), "b": (30, 7)}))


def test_a_virtual_raster_of_itself_is_refused(tile: Tile, tmp_path: Path) -> None:
    one, two = tmp_path / "one.vrt", tmp_path / "two.vrt"
    vrt(one, 20, 20, source("two.vrt"))
    vrt(two, 20, 20, source("one.vrt"))
    with pytest.raises(RasterError, match=r"one\.vrt is a member of its own"):
        RasterFile(one)


def test_documents_and_archives_have_gaps_too(tile: Tile, tmp_path: Path) -> None:
    text = two_with_a_gap(tile, tmp_path).read_text()
    assert_only_members(text.replace('relativeToVRT="1">', f">{tmp_path}/"))


def test_many_members_are_quick(tile: Tile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only members under a window are looked at."""
    tile("a.tif", (1, 20, 20))
    parts = "".join(
        source("a.tif", box("SrcRect", 0, 0, 20, 20), box("DstRect", 25 * column, 25 * row, 20, 20))
        for row in range(50)
        for column in range(50)
    )
    file = RasterFile(vrt(tmp_path / "many.vrt", 1250, 1250, parts))
    presence: Any = file.validity.presence[0]
    assert isinstance(presence, Presence) and not presence._placed
    assert file.validity.covered([1], Rect(500, 500, 50, 50)).sum() == 4 * 400
    assert len(presence._placed) == 4
    file.close()


def test_no_word_of_gaps_in_the_log(tile: Tile, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        RasterFile(two_with_a_gap(tile, tmp_path)).close()
    assert not caplog.records


def tile_index(path: Path, files: Sequence[Path], *, crs: str = UTM) -> Path:
    """A vector file with the footprint and the name of each file."""
    boxes, names = [], []
    for file in files:
        with rasterio.open(file) as raster:
            boxes.append(shapely.box(*raster.bounds))
        names.append(os.fspath(file))
    geopandas.GeoDataFrame({"location": names}, geometry=boxes, crs=UTM).to_crs(crs).to_file(path)
    return path


@pytest.mark.parametrize("kind", ["idx.gti.gpkg", "GTI:idx.gpkg", "x.gti"])
def test_a_tile_index_has_gaps(tile: Tile, tmp_path: Path, kind: str) -> None:
    files = [tile("a.tif"), tile("b.tif", left=30, down=7)]
    index = tile_index(tmp_path / ("idx.gpkg" if kind == "x.gti" else kind.removeprefix("GTI:")), files)
    name = f"GTI:{index}" if kind.startswith("GTI:") else os.fspath(index)
    if kind == "x.gti":
        name = os.fspath(tmp_path / kind)
        size = "<ResX>1</ResX><ResY>1</ResY>"
        inside = f"<IndexDataset>{index}</IndexDataset><IndexLayer>idx</IndexLayer>{size}"
        Path(name).write_text(f"<GDALTileIndexDataset>{inside}</GDALTileIndexDataset>")
    assert_only_members(name)
    with open_source(name) as one, open_source(files) as other:
        np.testing.assert_array_equal(one.read(one.grid.rect)[1], other.read(other.grid.rect)[1])


def test_a_tile_index_without_the_look_for_gaps(tile: Tile, tmp_path: Path, blind: None) -> None:
    index = tile_index(tmp_path / "idx.gti.gpkg", [tile("a.tif"), tile("b.tif", left=30)])
    with pytest.raises(AssertionError, match="not equal"):
        assert_only_members(index)


def test_a_tile_index_that_lacks_a_file_is_refused(tile: Tile, tmp_path: Path) -> None:
    """GDAL reads zeros in its place, and says nothing."""
    files = [tile("a.tif"), tile("b.tif", left=30, down=7)]
    index = tile_index(tmp_path / "idx.gti.gpkg", files)
    RasterFile(index).close()
    files[1].unlink()
    with pytest.raises(RasterError, match=r"idx\.gti\.gpkg: cannot read its member .*b\.tif: expected a file"):
        RasterFile(index)
    with rasterio.open(index) as raster:
        assert (raster.read(1, window=((8, 26), (31, 49))) == 0).all()  # what the refusal is for


@pytest.mark.parametrize("how", ["nodata", "mask"])
def test_what_a_source_does_not_give_is_no_data(tile: Tile, tmp_path: Path, how: str) -> None:
    """A source's own nodata value or mask, where the virtual raster declares none."""
    tile("a.tif", (1, 20, 20))
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True), rasterio.open(tmp_path / "a.tif", "r+") as raster:
        pixels = raster.read()
        pixels[:, 4:9, 3:11] = 255
        raster.write(pixels)
        if how == "mask":
            raster.write_mask(pixels[0] != 255)
    option = "<NODATA>255</NODATA>" if how == "nodata" else "<UseMaskBand>true</UseMaskBand>"
    text = source("a.tif", box("SrcRect", 0, 0, 20, 20), box("DstRect", 5, 5, 40, 40), option, kind="ComplexSource")
    path = vrt(tmp_path / "hole.vrt", 50, 50, text)
    assert_only_members(path)
    file = RasterFile(path)
    small = file.validity.covered([1], Rect(0, 0, 50, 50), (10, 10))
    assert (small == file.validity.covered([1], Rect(0, 0, 50, 50))[2::5, 2::5]).all()
    file.close()
    text = source("hole.vrt", box("SrcRect", 0, 0, 50, 50), box("DstRect", 2, 3, 50, 50))
    assert_only_members(vrt(tmp_path / "outer.vrt", 60, 60, text))


@pytest.fixture
def linked(tile: Tile, tmp_path: Path) -> Path:
    """data/scene.vrt with its tiles below it, links to the file and to the folder, and what lacks a member."""
    for folder in ("data/tiles", "link"):
        (tmp_path / folder).mkdir(parents=True)
    tile("data/tiles/a.tif", (1, 20, 20))
    vrt(tmp_path / "data/scene.vrt", 30, 20, source("tiles/a.tif"))
    (tmp_path / "link/scene.vrt").symlink_to("../data/scene.vrt")
    (tmp_path / "link/twice.vrt").symlink_to("scene.vrt")
    (tmp_path / "folder").symlink_to("data")
    vrt(tmp_path / "nested.vrt", 30, 20, source("link/scene.vrt"))
    return tmp_path


def assert_links_are_followed(folder: Path) -> None:
    for name in ("data/scene.vrt", "link/scene.vrt", "link/twice.vrt", "folder/scene.vrt", "nested.vrt"):
        assert_only_members(folder / name)


def test_members_of_a_link_lie_beside_what_it_leads_to(linked: Path) -> None:
    assert_links_are_followed(linked)


def test_a_look_beside_the_link_would_miss_them(linked: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Path, "is_symlink", lambda path: False)
    with pytest.raises(RasterError, match=r"cannot read its member .*link/tiles/a\.tif"):
        assert_links_are_followed(linked)


def test_what_lacks_a_member_names_it(linked: Path) -> None:
    with rasterio.open(linked / "data/tiles/a.tif") as raster, WarpedVRT(raster, crs="EPSG:3857") as warped:
        copy(warped, linked / "warped.vrt", driver="VRT")
    text = (linked / "warped.vrt").read_text()
    (linked / "warped.vrt").write_text(text.replace("a.tif", "gone.tif"))
    vrt(linked / "data/broken.vrt", 30, 20, source("tiles/gone.tif"))
    vrt(linked / "outer.vrt", 30, 20, source("data/broken.vrt"))
    (linked / "link/broken.vrt").symlink_to("../data/broken.vrt")
    for name in ("warped.vrt", "data/broken.vrt", "outer.vrt", "link/broken.vrt"):
        with pytest.raises(
            RasterError, match=rf"{Path(name).name}: cannot read its member .*gone\.tif: expected a file"
        ):
            RasterFile(linked / name)
    vrt(linked / "data/upper.vrt", 30, 20, source("tiles/A.TIF"))
    with pytest.raises(RasterError, match=r"member .*A\.TIF: .* correct its name in the .vrt: there is a\.tif"):
        RasterFile(linked / "data/upper.vrt")
