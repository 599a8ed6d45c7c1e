"""Which files belong together."""

import unicodedata
from pathlib import Path

import pytest

from landseg.errors import RasterError
from landseg.geo.rasters.address import as_on_disk
from landseg.labels import pairing
from landseg.labels.pairing import (
    IMAGES,
    LABELS,
    PROBS,
    files_in,
    files_named_like,
    is_folder_of_rasters,
    named,
    named_twice,
    same_name,
    scene_names,
)
from tests.parts.zarr import zarr


def test_labels_imagery_and_probabilities_of_one_folder() -> None:
    """In one folder each finds its own."""
    others = ["f/a.tif", "f/a_labels.tif", "f/a_probs.tif", "f/ab.tif", "f/b_labels.tif"]
    assert same_name("maps/a.tif", others, LABELS) == ["f/a_labels.tif"]
    assert same_name("maps/a.tif", others, PROBS) == ["f/a_probs.tif"]
    assert same_name("maps/a.tif", others, IMAGES) == ["f/a.tif"]
    assert same_name("maps/c.tif", others) == []


def test_files_are_named_or_in_folders(tmp_path: Path) -> None:
    for name in ("b.tif", "a.PNG", "c.jpg", "notes.txt"):
        (tmp_path / name).touch()
    assert files_in(["x.tif", str(tmp_path)]) == ["x.tif", str(tmp_path / "a.PNG"), str(tmp_path / "b.tif")]
    (tmp_path / "empty").mkdir()
    with pytest.raises(RasterError, match=r"holds no rasters; expected files that end in .tif"):
        files_in(str(tmp_path / "empty"))
    with pytest.raises(RasterError, match="name at least one"):
        files_in([])


def test_one_prediction_takes_what_is_named_and_more_take_their_own(tmp_path: Path) -> None:
    def find(predictions: list[str], paths: list[str] | None, most: int | None = None) -> list[list[str]]:
        return files_named_like(predictions, paths, option="--x", endings=PROBS, most=most)

    assert find(["a.tif", "b.tif"], None) == [[], []]
    assert find(["a.tif"], ["p.tif", "q.tif"]) == [["p.tif", "q.tif"]]
    with pytest.raises(RasterError, match="--x names 2 rasters for one prediction; name one"):
        find(["a.tif"], ["p.tif", "q.tif"], 1)
    assert find(["m/a.tif", "m/b.tif"], ["p/b.tif", "p/a_probs.tif"]) == [["p/a_probs.tif"], ["p/b.tif"]]
    with pytest.raises(RasterError, match=r"expected one raster named as b.tif is, got p/b.tif, q/b.tif"):
        find(["m/a.tif", "m/b.tif"], ["p/a.tif", "p/b.tif", "q/b.tif"])
    for name in ("a.tif", "b.tif"):
        (tmp_path / name).touch()
    assert find(["m/b.tif"], [str(tmp_path)]) == [[str(tmp_path / "b.tif")]]
    with pytest.raises(RasterError, match=r"named as c.tif is, got none"):
        find(["m/c.tif"], [str(tmp_path)])


def test_names_for_people() -> None:
    assert scene_names(["m/a.tif", "n/a.tif", "n/b.tif"]) == ("m/a.tif", "n/a.tif", "b.tif")
    assert named(["m/a.tif", "b.tif", "c.tif"]) == "m/a.tif and 2 more" and named("m") == "m"


def test_names_in_either_form_of_accents_are_one() -> None:
    one, other = (unicodedata.normalize(form, "Zürich") for form in ("NFC", "NFD"))
    assert one != other
    assert same_name(f"maps/{one}.tif", [f"t/{other}_labels.tif", "t/b.tif"]) == [f"t/{other}_labels.tif"]
    found = files_named_like(
        [f"m/{other}.tif", "m/b.tif"], [f"p/{one}_probs.tif", "p/b.tif"], option="--x", endings=PROBS
    )
    assert found == [[f"p/{one}_probs.tif"], ["p/b.tif"]]
    assert scene_names([f"m/{one}.tif", f"n/{other}.tif"]) == (f"m/{one}.tif", f"n/{other}.tif")
    assert named_twice([one, "b", other]) == one and named_twice([one, "b"]) is None


def test_accents_that_are_not_composed_would_not_pair(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pairing, "composed", str)
    with pytest.raises(AssertionError):
        test_names_in_either_form_of_accents_are_one()


def test_a_folder_is_found_in_either_form(tmp_path: Path) -> None:
    one, other = (unicodedata.normalize(form, "Zürich/Höfe") for form in ("NFC", "NFD"))
    (tmp_path / other).mkdir(parents=True)
    (tmp_path / other / "a.tif").touch()
    (tmp_path / other / "._a.tif").touch()  # which macOS leaves on other systems' disks
    assert as_on_disk(tmp_path / one) == tmp_path / other
    assert as_on_disk(tmp_path / "no" / one) == tmp_path / "no" / one
    assert files_in(str(tmp_path / one)) == [str(tmp_path / other / "a.tif")]


def test_a_folder_that_is_one_raster_is_that_raster(tmp_path: Path) -> None:
    store = zarr(tmp_path / "z" / "scene.zarr")
    assert files_in([str(store)]) == [str(store)]
    assert files_in([str(tmp_path / "z")]) == [str(store)]
    assert not is_folder_of_rasters(str(store)) and is_folder_of_rasters(str(tmp_path / "z"))
    assert files_named_like(["a.tif"], str(store), option="--x", endings=PROBS) == [[str(store)]]
