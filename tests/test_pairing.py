"""Which files belong together."""

from pathlib import Path

import pytest

from landseg.errors import RasterError
from landseg.pairing import IMAGES, LABELS, PROBS, beside, files_in, named, same_name, scene_names


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
        return beside(predictions, paths, option="--x", endings=PROBS, most=most)

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
