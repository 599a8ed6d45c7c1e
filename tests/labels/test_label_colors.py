"""Label rasters of several bands: refused everywhere, or read as pictures in the colours of the class table."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import landseg.labels.label_colors
from landseg.classes import COLOR, ClassMap
from landseg.errors import BandError, ClassError, TrainingError
from landseg.geo.grid import Rect
from landseg.labels.label_colors import IGNORED, colors_of, label_source
from landseg.training.recipe import SourceSpec, read_recipe
from tests.parts.labelled import NETWORK, QUICK, place, write
from tests.parts.left_out import found, run

Write = Callable[..., Path]
CLASSES = ClassMap.from_json(
    [
        {"value": 4, "name": "void", "color": [0, 0, 0]},
        {"value": 7, "name": "water", "color": [0, 0, 255]},
        {"value": 9, "name": "road", "color": [255, 0, 255]},
    ]
)
SHAPE = (48, 64)
TOML = "".join(
    f'[[classes]]\nvalue = {one.value}\nname = "{one.name}"\ncolor = {list(one.color)}\n' for one in CLASSES.classes
)


def values() -> NDArray[np.uint8]:
    """Water left, road right, void in 5 x 4 px."""
    made = np.full(SHAPE, 7, np.uint8)
    made[:, 30:] = 9
    made[:5, :4] = 4
    return made


def painted(labels: NDArray[np.uint8], alpha: bool = False) -> NDArray[np.uint8]:
    """(3 or 4, H, W): the colours of class values; transparent in the last row."""
    table = np.zeros((256, 3), np.uint8)
    table[list(CLASSES.values)] = CLASSES.colors
    bands = table[labels].transpose(2, 0, 1)
    if not alpha:
        return bands
    opaque = np.full((1, *labels.shape), 255, np.uint8)
    opaque[:, -1] = 0
    return np.concatenate([bands, opaque])


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for number, name in enumerate("abc"):
        at = place(number)
        pixels = np.random.default_rng(number).integers(1, 255, (3, *SHAPE)).astype(np.uint8)
        write(tmp_path / f"images/{name}.tif", pixels, at=at)
        write(tmp_path / f"painted/{name}.tif", painted(values()), at=at, photometric="RGB")
        write(tmp_path / f"plain/{name}.tif", values(), at=at)
    write(tmp_path / "probs.tif", np.full((3, *SHAPE), 1 / 3, np.float32), at=place(0))
    (tmp_path / "table.toml").write_text(TOML)
    return tmp_path


# --- refused ------------------------------------------------------------------------------------------------------

TRAIN = (*NETWORK, *QUICK, "--keep-out", "c")


@pytest.mark.parametrize(
    "command",
    [
        ("evaluate", "plain/a.tif", "painted/a.tif"),
        ("compare", "plain/a.tif", "plain/b.tif", "painted/a.tif"),
        ("calibrate", "probs.tif", "painted/a.tif"),
        ("train", "images", "painted", "-o", "m.safetensors", *TRAIN),
    ],
)
def test_several_bands_are_refused_with_how_to_read_them(folder: Path, command: tuple[str, ...]) -> None:
    code, _, err = run(*command, "--classes", "table.toml")
    assert code == 1
    assert (
        "has 3 bands: expected a label raster with one band of class values; its colours are those of the class"
        in err
    )
    assert "read it with --label-colors" in err


def test_other_commands_refuse_them_too(folder: Path) -> None:
    code, out, _ = run("data", "images", "painted", "--classes", "table.toml")
    said = "has 3 bands: expected a label raster with one band of class values"
    assert code == 0 and sum(said in line for line in out.splitlines() if line.startswith("labels: ")) == 3
    assert (
        sum(said in line for line in out.splitlines() if line.startswith("refused: ")) == 1
    )  # that is train's reason
    code, _, err = run("evaluate", "painted/a.tif", "plain/a.tif", "--classes", "table.toml")
    assert code == 1 and err.strip().endswith(
        "a.tif has 3 bands: expected a class raster with one band of class values; choose or make that band "
        "(gdal_translate -b 1)"
    )
    code, _, err = run("compare", "plain/a.tif", "painted/a.tif", "plain/a.tif", "--classes", "table.toml")
    assert code == 1 and "has 3 bands: expected a class raster" in err
    assert run("export", "painted/a.tif", "x.fgb", "--classes", "table.toml")[0] == 1
    code, _, err = run(
        "train",
        "images",
        "plain",
        "--classes",
        "table.toml",
        "-o",
        "m.safetensors",
        *TRAIN,
        "--coarse",
        "painted/a.tif",
    )
    assert code == 1 and "a.tif has 3 bands: expected a label raster with one band" in err
    code, _, err = run("train", "images", "painted", "-o", "m.safetensors", *TRAIN)
    assert code == 1 and not Path("m.safetensors").exists()


@pytest.mark.parametrize(
    ("bands", "text"),
    [
        (np.stack([values() // 9 * 255] * 3), r"its bands are all equal, with the values 0, 255: keep one"),
        (painted(values())[[1, 2, 0]], "if it is a picture of classes, give each its colour in the class table"),
        (painted(values())[:2].astype(np.uint16), r"choose or make that band \(gdal_translate -b 1\)$"),
        (np.zeros((5, 8, 8), np.uint8), r"has 5 bands: .*choose or make that band \(gdal_translate -b 1\)$"),
    ],
)
def test_the_sentence_fits_what_the_bands_hold(write_raster: Write, bands: Any, text: str) -> None:
    path = write_raster(bands, "a.tif")
    with pytest.raises(BandError, match=text):
        label_source(path, table=CLASSES)


def test_an_alpha_band_is_no_second_band_of_labels(write_raster: Write) -> None:
    both = np.stack([values(), np.full(SHAPE, 255, np.uint8)])
    both[1, 0] = 0
    with label_source(write_raster(both, "a.tif", alpha="YES")) as source:
        found, valid = source.read(source.grid.rect)
    assert source.count == 1 and (found[0] == values()).all() and valid.sum() == 47 * 64


# --- read ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("alpha", ["NO", "YES", "UNSPECIFIED"])
def test_colours_become_the_values_of_their_classes(write_raster: Write, alpha: str) -> None:
    bands = painted(values(), alpha != "NO")
    options = {} if alpha == "NO" else {"alpha": alpha}
    path = write_raster(bands, "a.tif", photometric="RGB", **options)
    with label_source(path, colors=colors_of(CLASSES)) as source:
        found, valid = source.read(source.grid.rect)
        part, _ = source.read(Rect(3, 2, 10, 40))
    assert (found[0] == values()).all() and (part[0] == values()[3:13, 2:42]).all()
    assert valid.sum() == SHAPE[0] * SHAPE[1] - (0 if alpha == "NO" else SHAPE[1])


def test_colours_of_no_class_are_counted_and_told_as_colours(folder: Path) -> None:
    bands = painted(values())
    bands[:, 10, :3] = np.array([[254], [0], [255]])
    bands[:, 11, :2] = np.array([[1], [2], [3]])
    write(folder / "odd/a.tif", bands, at=place(0), photometric="RGB")
    how = ("--classes", "table.toml", "--label-colors")
    told = (
        r"colours without a class: #fe00ff (3 px), #010203 (2 px); expected #000000 void, #0000ff water, #ff00ff road"
    )
    for command in (("evaluate", "plain/a.tif", "odd/a.tif"), ("calibrate", "probs.tif", "odd/a.tif")):
        code, _, err = run(*command, *how)
        assert code == 1 and told in err and "JPEG" in err
    code, out, _ = run("data", "images/a.tif", "odd", *how)
    assert code == 0 and "values: values without a class in 1 file: #fe00ff (3 px), #010203 (2 px)" in out
    code, _, err = run(
        "train", "images/a.tif", "odd", *how, "-o", "m.safetensors", *NETWORK, *QUICK, "--split", "none"
    )
    assert code == 1 and told in err
    with pytest.raises(ClassError, match=r"#fe00ff \(1 px\)"):
        CLASSES.to_indices(np.array([COLOR - 0xFE00FF]))
    assert "16777217 (1 px)" in CLASSES.unmapped_text({(1 << 24) + 1: 1})  # twin: large numbers are no colours


@pytest.mark.parametrize("command", ["evaluate", "compare", "data", "train", "calibrate"])
def test_a_picture_says_what_its_values_would(folder: Path, command: str) -> None:
    """The same figures, pixel for pixel, with a class that is ignored by its value."""
    about: dict[str, Callable[[str], tuple[object, ...]]] = {
        "evaluate": lambda labels: ("plain/b.tif", f"{labels}/b.tif", "--samples", 0),
        "compare": lambda labels: ("plain/a.tif", "plain/a.tif", f"{labels}/a.tif", "--samples", 0),
        "data": lambda labels: ("images", labels),
        "train": lambda labels: ("images", labels, "-o", f"{labels}.safetensors", *TRAIN),
        "calibrate": lambda labels: ("confident.tif", f"{labels}/a.tif"),
    }
    first = np.linspace(0.2, 0.7, 48 * 64, dtype=np.float32).reshape(SHAPE)
    write(folder / "confident.tif", np.stack([first, 0.9 - first, np.full_like(first, 0.1)]), at=place(0))
    how = ("--classes", "table.toml", "--ignore", 4)
    plain = found(command, *about[command]("plain"), *how)
    picture = found(command, *about[command]("painted"), *how, "--label-colors")
    text = json.dumps(picture).replace("painted", "plain")
    assert plain == json.loads(text)
    # Twin: without --ignore the class is one like the others, in both.
    also = found(command, *about[command]("painted"), "--classes", "table.toml", "--label-colors", *_over(command))
    assert also["left_out"] == {} != plain["left_out"]


def _over(command: str) -> tuple[str, ...]:
    return ("--overwrite",) if command == "train" else ()


def test_a_recipe_names_pictures_and_keeps_what_they_ignore(folder: Path) -> None:
    code, _, err = run(
        "train",
        "images",
        "painted",
        "--classes",
        "table.toml",
        "--ignore",
        4,
        "--label-colors",
        "-o",
        "m.safetensors",
        *TRAIN,
    )
    assert code == 0, err
    (source,) = read_recipe(folder / "m.run/train.toml").sources
    assert source.label_colors and source.ignored_colors == ((0, 0, 0),)
    # Twin: a recipe without pictures says nothing of them.
    code, _, err = run("train", "images", "plain", "--classes", "table.toml", "-o", "n.safetensors", *TRAIN)
    assert code == 0 and "colors" not in (folder / "n.run/train.toml").read_text()
    for wrong, text in (
        ({"polygons": "v.gpkg", "label_colors": True}, "label_colors goes with label rasters"),
        ({"labels": "l", "values": {"1": "a"}, "label_colors": True}, "label_colors goes with label rasters"),
        ({"labels": "l", "ignored_colors": ((0, 0, 0),)}, "ignored_colors goes with label_colors"),
    ):
        with pytest.raises(TrainingError, match=text):
            SourceSpec("i", **wrong)  # type: ignore[arg-type]


def test_palette_images_hold_values_either_way(tmp_path: Path) -> None:
    palette = {one.value: (*one.color, 255) for one in CLASSES.classes}
    right = write(tmp_path / "p.png", values(), colors=palette)
    for colors in (None, colors_of(CLASSES)):
        with label_source(right, colors=colors) as source:
            assert (source.read(source.grid.rect)[0][0] == values()).all()
    # Twin: colours that contradict the values; read either way they would be wrong for somebody.
    swapped = write(tmp_path / "q.png", values(), colors=palette | {7: palette[9], 9: palette[7]})
    with pytest.raises(ClassError, match=r"value 7 has the colour of 9, #ff00ff; convert it .*-expand rgb"):
        label_source(swapped, colors=colors_of(CLASSES))


def test_what_is_no_picture_is_refused(folder: Path, write_raster: Write) -> None:
    colors = colors_of(CLASSES)
    with pytest.raises(BandError, match="has 1 band of uint8: expected a picture with red, green and blue of 8 bits"):
        label_source(folder / "plain/a.tif", colors=colors)
    with pytest.raises(BandError, match="has 3 bands of uint16: expected a picture"):
        label_source(write_raster(painted(values()).astype(np.uint16), "deep.tif"), colors=colors)
    twice = ClassMap.from_json([{"value": v, "name": f"c{v}", "color": [1, 2, 3]} for v in (1, 2)])
    with pytest.raises(ClassError, match=r"the classes c1 and c2 have one colour, #010203"):
        colors_of(twice)
    with pytest.raises(ClassError, match=r"#0000ff is ignored and that of a class"):
        colors_of(CLASSES, [(0, 0, 255)])
    assert colors_of(CLASSES, [(1, 1, 1)])[1, 1, 1] == IGNORED
    code, _, err = run("data", "images", "painted", "--label-colors")
    assert code == 1 and "--label-colors needs the colours of the classes: name their table with --classes" in err
    code, _, err = run("train", "images", "painted", "--label-colors", "-o", "m.safetensors")
    assert code == 1 and "--label-colors needs the colours of the classes" in err
    (folder / "v.geojson").write_text('{"type": "FeatureCollection", "features": []}')
    for command in (("evaluate", "plain/a.tif", "v.geojson"), ("data", "images", "v.geojson")):
        code, _, err = run(*command, "--label-colors", "--class-field", "k", "--classes", "table.toml")
        assert code == 1 and "--label-colors is for label rasters; v.geojson is a vector file: leave it out" in err


def test_finer_pictures_take_the_commonest_colour_and_never_mix(write_raster: Write) -> None:
    from affine import Affine

    from landseg.geo.grid import Grid
    from landseg.labels.raster_labels import open_labels

    fine = np.full((16, 16), 7, np.uint8)
    fine[:, 5:] = 9  # 2 x 2 px under one of the grid: columns 4 and 5 differ
    path = write_raster(painted(fine), "f.tif", crs="EPSG:32633", transform=Affine(0.25, 0, 5e5, 0, -0.25, 5.4e6))
    with label_source(path, colors=colors_of(CLASSES)) as source:
        crs = source.grid.crs
    labels = open_labels(path, Grid(crs, Affine(0.5, 0, 5e5, 0, -0.5, 5.4e6), 8, 8), colors=colors_of(CLASSES))
    read, valid = labels.read_known(Rect(0, 0, 8, 8))
    labels.source.close()
    assert valid.all() and set(np.unique(read)) == {7, 9} and (read[:, :2] == 7).all() and (read[:, 3:] == 9).all()


def test_twin_band_one_alone_would_be_taken(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What evaluate did: the first band of the picture, 0 and 255, of which nothing is a class."""
    source = landseg.labels.label_colors.open_source
    monkeypatch.setattr(landseg.labels.label_colors, "open_source", lambda paths: source(paths, bands=[1]))
    code, _, err = run("evaluate", "plain/a.tif", "painted/a.tif", "--classes", "table.toml")
    assert code == 1 and "has 3 bands" not in err
