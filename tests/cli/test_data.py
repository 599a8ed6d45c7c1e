"""`landseg data`: on the samples that ship."""

from pathlib import Path

import pytest

from tests.parts.data_facts import facts, run


def test_polygons_in_words(sample_tiles: Path, tmp_path: Path) -> None:
    tiles, drawn = sample_tiles / "buildings/tiles", sample_tiles / "buildings/buildings.gpkg"
    sheet = tmp_path / "sheet.png"
    result = run("data", tiles, drawn, "--background", "land", "--sheet", sheet, "--split", "file")
    assert result.exit_code == 0, result.output
    for part in (
        "8 images, 8 of them labelled",
        "EPSG:3857",
        "0.132 m",
        "3 of uint8",
        "buildings",
        "hectares",
        "split: 6 scenes learned, 2 kept",
        "nothing is wrong with them",
        "sheet.png: the scenes",
    ):
        assert part in result.stdout, result.stdout
    assert sheet.stat().st_size > 100_000
    again = run("data", tiles, drawn, "--sheet", sheet)
    assert again.exit_code == 1 and "--overwrite" in again.stderr


def test_label_rasters_in_json(sample_tiles: Path) -> None:
    scenes = sample_tiles / "landcover/val"
    found = facts(scenes, scenes, "--classes", sample_tiles / "landcover/classes.toml")
    assert found["images"] == found["labelled"] > 0
    assert [one["name"] for one in found["classes"]] == ["building", "land", "road", "vegetation", "water"]
    assert abs(sum(one["share"] for one in found["classes"]) - 1) < 1e-9
    assert found["files"][0]["crs"] is None and found["split"] is None
    assert [row["band"] for row in found["bands"]] == [1, 2, 3]


def test_images_alone(sample_tiles: Path) -> None:
    found = facts(sample_tiles / "trees/train")
    assert found["labelled"] == 0 and found["classes"] == []
    assert any(one["kind"] == "unlabelled" for one in found["findings"])


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (("nowhere",), 1, "nowhere"),
        (("{tiles}", "nowhere"), 1, "nowhere does not exist"),
        (("{tiles}", "{drawn}", "--split", "luck"), 1, "expected file, block"),
        (("{tiles}", "{drawn}", "--gap", "4"), 2, "go with --split"),
        (("{tiles}", "{drawn}", "--class-field", "sort"), 1, "has no column 'sort'"),
        (("{tiles}", "{drawn}", "--split", "block", "--block", "wide"), 1, "expected pixels or metres"),
    ],
)
def test_refusals(sample_tiles: Path, arguments: tuple[str, ...], code: int, sentence: str) -> None:
    places = {"tiles": sample_tiles / "buildings/tiles", "drawn": sample_tiles / "buildings/buildings.gpkg"}
    result = run("data", *(argument.format(**places) for argument in arguments))
    assert result.exit_code == code and not result.stdout
    assert sentence in " ".join(result.stderr.replace("│", " ").split()), result.stderr
    assert "Traceback" not in result.stderr
