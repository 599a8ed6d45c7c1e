"""Vector files as labels: one for all images, or one for each, paired by name."""

from __future__ import annotations

from pathlib import Path

import pytest

from landseg.errors import TrainingError
from landseg.labels.image_lists import items_of, pair, with_polygons
from landseg.labels.polygon_files import PolygonFiles, images_and_labels
from tests.parts.files import touch


def found(folder: Path, *labels: str, polygons: bool = False) -> list[str | None]:
    """The label file of each image of a folder ``i``, by its name from the folder on."""
    items = pair(str(folder / "i"), [str(folder / name) for name in labels], polygons=polygons)
    own = [item.labels or item.polygons for item in items]
    return [None if path is None else str(path.relative_to(folder)) for path in own]


@pytest.mark.parametrize("labels", [("v",), ("v/*.gpkg",), ("v/b.gpkg", "v/a_labels.gpkg"), ("**/*.gpkg",)])
def test_vector_files_label_the_images_of_their_names(tmp_path: Path, labels: tuple[str, ...]) -> None:
    touch(tmp_path, "i/a.tif", "i/b.tif", "v/a_labels.gpkg", "v/b.gpkg", "v/c.gpkg", "v/notes.txt", "v/.hidden.gpkg")
    assert found(tmp_path, *labels) == ["v/a_labels.gpkg", "v/b.gpkg"]
    items = pair(str(tmp_path / "i"), [str(tmp_path / name) for name in labels])
    assert all(item.labels is None and item.polygons is not None for item in items)


def test_files_lie_beside_their_images(tmp_path: Path) -> None:
    touch(tmp_path, "i/a.tif", "i/b.tif", "i/a.gpkg", "i/b.gpkg", "i/classes.json", "i/LICENSE")
    assert found(tmp_path, "i", polygons=True) == found(tmp_path, "i/*.gpkg") == ["i/a.gpkg", "i/b.gpkg"]


def test_a_layer_is_named_for_every_file(tmp_path: Path) -> None:
    touch(tmp_path, "i/a.tif", "i/b.tif", "v/a.gpkg", "v/b.gpkg")
    for name in ("v:fields", "v/*.gpkg:fields"):
        assert found(tmp_path, name, polygons=True) == ["v/a.gpkg:fields", "v/b.gpkg:fields"]


def test_what_meant_rasters_before_still_does(tmp_path: Path) -> None:
    """A folder of both means rasters unless an option asks for polygons; one file labels all images."""
    touch(tmp_path, "i/a.tif", "i/b.tif", "l/a.png", "l/b.png", "l/a.gpkg", "l/b.gpkg")
    assert found(tmp_path, "l") == ["l/a.png", "l/b.png"]
    assert found(tmp_path, "l", polygons=True) == ["l/a.gpkg", "l/b.gpkg"]
    assert found(tmp_path, "l/a.gpkg") == ["l/a.gpkg"] * 2
    assert found(tmp_path, "gone.gpkg") == ["gone.gpkg"] * 2  # the sentence is that of who reads it
    assert found(tmp_path, "l/*.png", polygons=True) == ["l/a.png", "l/b.png"]


def test_a_folder_of_images_and_vector_files_says_how_to_mean_these(tmp_path: Path) -> None:
    touch(tmp_path, "i/a.tif", "i/b.tif", "i/a.gpkg", "i/b.gpkg")
    with pytest.raises(
        TrainingError, match=r"2 of 2 images have no labels .*vector files are there too, such as .*a\.gp"
    ):
        found(tmp_path, "i")
    with pytest.raises(TrainingError, match=r"no labels .* or the like$"):  # Twin: there are none.
        touch(tmp_path, "l/x.tif")
        found(tmp_path, "l")


def test_a_folder_of_one_shapefile_is_one_file(tmp_path: Path) -> None:
    touch(tmp_path, "i/a.tif", "i/b.tif", "v/roofs.shp", "v/roofs.dbf", "v/roofs.shx")
    assert found(tmp_path, "v") == ["v", "v"]
    touch(tmp_path, "v/a.shp", "v/b.shp")
    assert found(tmp_path, "v") == ["v/a.shp", "v/b.shp"]


@pytest.mark.parametrize(
    ("files", "labels", "message"),
    [
        (
            ["v/b.gpkg"],
            ["v"],
            r"1 of 2 images has no vector file in .*/v: .*i/a\.tif; expected a\.gpkg or .* all: .*/v/b\.gpkg$",
        ),
        (
            ["v/a.gpkg", "v/a.fgb", "v/b.fgb"],
            ["v"],
            r"1 image has several vector files: .*a\.tif \(.*a.fgb, .*a\.g",
        ),
        (["v/x.txt"], ["v"], "holds no rasters"),
        (["v/x.txt"], ["v/*.gpkg"], "no file matches it"),
        (
            ["v/a.gpkg", "v/b.gpkg", "j/a.tif"],
            ["v"],
            "1 vector file belongs to several images of one name: .*rename",
        ),
    ],
)
def test_misfits_are_one_sentence(tmp_path: Path, files: list[str], labels: list[str], message: str) -> None:
    touch(tmp_path, "i/a.tif", "i/b.tif", *files)
    with pytest.raises(TrainingError, match=message):
        pair(f"{tmp_path}/[ij]/*.tif", [str(tmp_path / name) for name in labels])


def test_a_list_takes_vector_files_after_it(tmp_path: Path) -> None:
    touch(tmp_path, "i/a.tif", "v/a.gpkg")
    (tmp_path / "list.csv").write_text("image,labels\ni/a.tif,v/a.gpkg\n")
    with pytest.raises(TrainingError, match=r"the list names vector files as labels: .*a\.gpkg; .*files go after it"):
        pair(str(tmp_path / "list.csv"))
    (item,) = pair(str(tmp_path / "list.csv"), str(tmp_path / "v/*.gpkg"))
    assert item.labels is None and item.polygons == tmp_path / "v/a.gpkg"


def test_images_may_go_without_where_they_have_other_labels(tmp_path: Path) -> None:
    touch(tmp_path, "i/a.tif", "i/b.tif", "v/b.gpkg")
    files, images = PolygonFiles.named([str(tmp_path / "v")]), items_of(str(tmp_path / "i"))
    assert files is not None and not files.shared
    found = with_polygons(images, files, where_possible=True)
    assert [item.polygons for item in found] == [None, tmp_path / "v/b.gpkg"]
    with pytest.raises(TrainingError, match="1 of 2 images has no vector file"):  # Twin.
        with_polygons(images, files)


def test_a_command_line_ends_in_vector_files() -> None:
    """A shell that expands '*.gpkg' names each; a list of images is no label, and the first path is an image."""
    assert images_and_labels(["i", "a.gpkg", "b.geojson"]) == (["i"], ["a.gpkg", "b.geojson"])
    assert images_and_labels(["a.parquet", "b.parquet", "c.gpkg"]) == (["a.parquet", "b.parquet"], ["c.gpkg"])
    assert images_and_labels(["a.gpkg", "b.gpkg"]) == (["a.gpkg"], ["b.gpkg"])
    assert images_and_labels(["a.tif", "b.gpkg", "l"]) == (["a.tif", "b.gpkg"], ["l"])
    assert images_and_labels(["i"]) == (["i"], [])


def test_polygons_are_called_as_their_file_or_folder(tmp_path: Path) -> None:
    touch(tmp_path, "parcels/a.gpkg", "parcels/b.gpkg", "parcels/deep/c.gpkg")
    names = ("parcels", "parcels/*.gpkg", "parcels/**/*.gpkg", "parcels/a.gpkg", "parcels/a.gpkg:roofs")
    named = [PolygonFiles.named([str(tmp_path / name)]) for name in names]
    assert [files and files.title for files in named] == ["parcels", "parcels", "parcels", "a", "roofs"]
