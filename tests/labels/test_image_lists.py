"""Images and labels found and paired; misfits in one sentence."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import geopandas
import pytest
from shapely.geometry import box

from landseg.errors import TrainingError, VectorError
from landseg.labels.image_lists import Item, find_images, pair, scene_names
from landseg.labels.polygons import PolygonLabels
from tests.parts.files import names, touch
from tests.parts.places import UTM
from tests.parts.zarr import zarr

# --- which files there are, and which belong together -----------------------------------------------------------


def test_images_are_named_by_folder_glob_file_or_list(tmp_path: Path) -> None:
    touch(tmp_path, "b.tif", "a.jpg", "a_labels.png", "notes.txt", "lonely_mask.png", "deep/c.tif")
    assert names(find_images(str(tmp_path))) == ["a.jpg", "b.tif", "lonely_mask.png"]  # no image of its own: an image
    assert names(find_images(f"{tmp_path}/**/*.tif")) == ["b.tif", "c.tif"]
    assert names(find_images([str(tmp_path / "a_labels.png"), str(tmp_path), str(tmp_path / "b.tif")])) == [
        "a_labels.png",  # named one by one: somebody means it
        "a.jpg",
        "b.tif",
        "lonely_mask.png",
    ]
    (tmp_path / "list.csv").write_text("image,labels,split\nb.tif,lonely_mask.png,train\ndeep/c.tif,,val\n")
    assert names(find_images(str(tmp_path / "list.csv"))) == ["b.tif", "c.tif"]
    with pytest.raises(TrainingError, match=r"1 of 2 images has no labels in their list: .*c\.tif"):
        pair(str(tmp_path / "list.csv"))
    (tmp_path / "list.csv").write_text("path,label,split\nb.tif,lonely_mask.png,train\n")
    assert pair(str(tmp_path / "list.csv")) == [Item(tmp_path / "b.tif", tmp_path / "lonely_mask.png", "train")]


@pytest.mark.parametrize("ending", ["_labels.png", "-mask.tif", "_gt.png", ".png", "_label.tif"])
def test_labels_are_paired_by_stem(tmp_path: Path, ending: str) -> None:
    touch(tmp_path, "images/a.tif", "images/ab.tif", f"labels/a{ending}", f"labels/ab{ending}", "labels/c_labels.png")
    found = pair(str(tmp_path / "images"), str(tmp_path / "labels"))
    assert [(i.image.name, i.labels and i.labels.name) for i in found] == [
        ("a.tif", f"a{ending}"),
        ("ab.tif", f"ab{ending}"),
    ]
    beside = tmp_path / "images"
    if ending != ".png":
        touch(beside, f"a{ending}", f"ab{ending}")
        assert [i.labels for i in pair(str(beside), str(beside))] == [beside / f"a{ending}", beside / f"ab{ending}"]


def in_two_forms(folder: Path) -> list[Item]:
    """What is paired where images, labels and a list write one name in the two forms of its accents."""
    one, other = (unicodedata.normalize(form, "Zürich") for form in ("NFC", "NFD"))
    touch(folder, f"images/{one}.tif", "images/b.tif", f"labels/{other}_labels.png", "labels/b.png")
    (folder / "list.csv").write_text(f"image,labels\nimages/{other}.tif,labels/{one}_labels.png\n")
    listed = pair(str(folder / "list.csv"))
    assert listed == [Item(folder / f"images/{one}.tif", folder / f"labels/{other}_labels.png")]
    touch(folder, f"both/{one}.tif", f"both/{other}_mask.png")
    assert [image.suffix for image in find_images(str(folder / "both"))] == [".tif"]
    return pair(str(folder / "images"), str(folder / "labels"))


def test_names_in_either_form_of_accents_pair(tmp_path: Path) -> None:
    found = in_two_forms(tmp_path)
    assert [item.labels and item.labels.suffix for item in found] == [".png", ".png"]


def test_without_composed_accents_they_would_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("landseg.geo.rasters.address.composed", str)
    with pytest.raises(TrainingError, match="lists 2 files that are not there"):
        in_two_forms(tmp_path)


def test_a_folder_that_is_one_raster_is_one_image(tmp_path: Path) -> None:
    store = zarr(tmp_path / "images" / "scene.zarr")
    touch(tmp_path, "labels/scene_labels.png")
    assert find_images(str(store)) == find_images(str(tmp_path / "images")) == [store]
    assert pair(str(store), str(tmp_path / "labels")) == [Item(store, tmp_path / "labels" / "scene_labels.png")]


def test_an_image_may_have_an_ending_of_its_own(tmp_path: Path) -> None:
    touch(tmp_path, "x_image.tif", "x_mask.tif")
    assert pair(str(tmp_path), str(tmp_path)) == [Item(tmp_path / "x_image.tif", tmp_path / "x_mask.tif")]


def test_a_vector_file_labels_all_images(tmp_path: Path) -> None:
    touch(tmp_path, "a.tif", "b.tif")
    vector = tmp_path / "v.gpkg"
    assert pair(str(tmp_path), str(vector)) == [Item(tmp_path / name, polygons=vector) for name in ("a.tif", "b.tif")]


@pytest.mark.parametrize(
    ("files", "labels", "message"),
    [
        (["i/a.tif", "i/b.tif", "i/c.tif", "l/c.png"], "l", r"2 of 3 images have no labels in .*a\.tif, .*b\.tif;"),
        (["i/a.tif", "l/a_labels.png", "l/a_labels.tif"], "l", r"1 image has several label .*a\.tif \(.*keep one"),
        (["i/a.tif", "l"], "l", "no such file or folder"),
        (["i/a.tif", "l/x.txt"], "l", "holds no rasters"),
        (["i/a.txt", "l/a.png"], "l", "holds no rasters"),
    ],
)  # fmt: skip
def test_what_does_not_pair_is_told_all_at_once(tmp_path: Path, files: list[str], labels: str, message: str) -> None:
    touch(tmp_path, *[name for name in files if "." in name])
    with pytest.raises(TrainingError, match=message):
        pair(str(tmp_path / "i"), str(tmp_path / labels))


def test_images_of_one_name_do_not_share_labels(tmp_path: Path) -> None:
    touch(tmp_path, "east/1.tif", "west/1.tif", "labels/1.png")
    images = [str(tmp_path / "east"), str(tmp_path / "west")]
    with pytest.raises(TrainingError, match=r"1 label raster belongs to several images of one name: .*CSV"):
        pair(images, str(tmp_path / "labels"))
    assert scene_names(find_images(images)) == ["east/1", "west/1"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("picture\na.tif\n", "has the columns picture; expected one called image or path"),
        ("", "has the columns none"),
        ("image\nno.tif\nnay.tif\n", r"lists 2 files that are not there: .*no\.tif, .*nay\.tif"),
        (None, "cannot be read"),
    ],
)
def test_bad_lists(tmp_path: Path, text: str | None, message: str) -> None:
    if text is not None:
        (tmp_path / "list.csv").write_text(text)
    with pytest.raises(TrainingError, match=message):
        find_images(str(tmp_path / "list.csv"))


def test_geoparquet_says_what_it_needs_or_reads(tmp_path: Path) -> None:
    path = tmp_path / "v.parquet"
    frame = geopandas.GeoDataFrame({"image": ["a.tif"], "split": ["val"]}, geometry=[box(0, 0, 1, 1)], crs=UTM)
    touch(tmp_path, "a.tif")
    try:
        import pyarrow  # noqa: F401
    except ImportError:
        path.touch()
        with pytest.raises(VectorError, match="GeoParquet is read by pyarrow; install it"):
            find_images(str(path))
        return
    frame.to_parquet(path)
    assert find_images(str(path)) == [tmp_path / "a.tif"]
    assert PolygonLabels(path, "split").names == ["val"]
