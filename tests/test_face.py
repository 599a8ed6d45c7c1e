"""The Python face: public names, what importing them costs, sources by path or dataset, and the README's lines."""

from __future__ import annotations

import ast
import json
import math
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import is_dataclass
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import pytest
import rasterio
from rasterio.io import MemoryFile
from rasterio.vrt import WarpedVRT

import landseg
from landseg.errors import ClassError, GridError, LandsegError, ModelError, RasterError
from landseg.geo.rasters.address import file_name, file_names
from landseg.metrics.calibration import Reliability, ReliabilityBin
from tests.parts.class_rasters import write
from tests.parts.commands import run
from tests.parts.labelled import SHAPE, image, place, write_scenes
from tests.parts.labelled import write as write_raster
from tests.parts.predicting import MODEL
from tests.parts.small_runs import SMALL

ROOT = Path(__file__).resolve().parent.parent
HEAVY = ("torch", "rasterio", "geopandas", "numpy", "pandas")
COMMANDS = (
    "areas", "calibrate", "compare", "describe", "evaluate", "export", "inspect_data", "predict", "rasterize",
    "refine", "train", "verify", "view",
)  # fmt: skip
PIXELS = np.zeros((3, 8, 9), np.uint8)


def test_importing_landseg_imports_nothing_heavy() -> None:
    code = f"dir(landseg); import sys; print([name for name in {HEAVY!r} if name in sys.modules])"

    def loaded(before: str) -> str:
        line = [sys.executable, "-c", f"import landseg; {before}; {code}"]
        return subprocess.run(line, capture_output=True, text=True, check=True).stdout

    shown = loaded(f"print({', '.join(f'landseg.{name}' for name in COMMANDS)})")
    assert shown.count("<function ") == len(COMMANDS) and shown.splitlines()[-1] == "[]"
    found = loaded("landseg.Evaluation")
    assert "numpy" in found and "torch" not in found  # twin: a name of a room that needs libraries


@pytest.mark.parametrize("first", ["import landseg.evaluate", "import landseg", "from landseg.train import train"])
def test_commands_are_functions_whatever_is_imported_first(first: str) -> None:
    code = (
        f"{first}\nimport landseg\nfrom landseg import evaluate\nfrom landseg.evaluate import evaluate as same\n"
        "assert landseg.evaluate is evaluate is same and callable(same)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_every_public_name_is_there_and_known_to_type_checkers() -> None:
    for name in landseg.__all__:
        found = getattr(landseg, name)
        assert name == "__version__" or found.__name__ == name
    tree = ast.parse((ROOT / "landseg" / "__init__.py").read_text())
    imported = {
        alias.name: node.module
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("landseg.")
        for alias in node.names
        if alias.asname is None
    }
    assert set(imported) == set(landseg.__all__) - {"__version__"}
    assert all(imported[name] == home for name, home in landseg._HOMES.items())
    assert set(landseg.__all__) <= set(dir(landseg))
    with pytest.raises(AttributeError, match="no attribute 'prediction_of'"):
        landseg.prediction_of  # noqa: B018


def test_a_model_says_what_it_is_in_a_line() -> None:
    text = repr(MODEL)
    assert text.count("\n") == 0 and len(text) < 300 and "Conv" not in text
    card = MODEL.card
    assert all(word in text for word in (card.name, card.arch, *card.classes.names, *(b.name for b in card.bands)))
    assert repr(landseg.load_model("landcover-s2")).endswith(
        "bands red, green, blue; classes built-up, vegetation, water, runs at 10 m>"
    )


NO_RESULTS = ("Error", "Model", "Map", "Class", "Card", "Band", "Viewer")
RESULTS = [name for name in landseg.__all__ if name[0].isupper() and not name.endswith(NO_RESULTS)]


@pytest.mark.parametrize("noun", RESULTS)
def test_a_result_is_frozen_and_becomes_json(noun: str) -> None:
    kind = getattr(landseg, noun)
    assert is_dataclass(kind) and kind.__dataclass_params__.frozen
    assert callable(kind.to_json) and not hasattr(kind, "lines")  # lines of text are the command's
    assert "__repr__" in vars(kind) and not kind.__dataclass_params__.repr  # not that of all fields


EMPTY_BIN = Reliability((ReliabilityBin(0.0, 1.0, 0, math.nan, math.nan),), 0.25)


def test_results_are_seen_in_a_line_and_in_a_notebook(tmp_path: Path) -> None:
    names = {1: "<b>road</b>", 2: "water " * 60}
    table = [{"value": value, "name": name.strip()} for value, name in names.items()]
    values = np.full((40, 60), 1, np.uint8)
    values[:, 30:] = 2
    source = write_raster(tmp_path / "map.tif", values, at=place(0))
    (tmp_path / "t.json").write_text(json.dumps(table))
    shapes = landseg.export(source, tmp_path / "map.gpkg", classes=tmp_path / "t.json")
    counted = landseg.areas(source, classes=tmp_path / "t.json")
    rows = counted.whole.classes
    made = [
        shapes,
        counted,
        landseg.rasterize(shapes.output, tmp_path / "b.tif", like=source),
        landseg.Prediction(tmp_path / "o.tif", pixels=2400, mode="exact", areas=rows),
        landseg.Prediction(tmp_path / "o.tif", skipped=True),
        landseg.Predictions((landseg.Prediction(tmp_path / "o.tif", areas=rows),) * 20, {"<b>.tif": "no raster"}),
        landseg.Refinement(tmp_path / "o.tif", mode="exact", changed=0.1, areas=rows),
        landseg.Verification(1e-6, 1e-7, 0.0, 0.0, True, (0, 0, 9, 9), 81, "fp32"),
        landseg.Calibration("p.tif", "<b>.tif", 1.5, 1.5, 9, 9, False, EMPTY_BIN, EMPTY_BIN),
        landseg.effective_field(MODEL),
        landseg.describe(source),
        landseg.describe("landcover-s2"),
    ]
    for result in made:
        text = repr(result)
        assert text.startswith(f"<{type(result).__name__} ") and text.endswith(">")
        assert "\n" not in text and len(text) < 300
        json.dumps(result.to_json(), allow_nan=False)
        if (page := result._repr_html_()) is not None:
            assert page.startswith("<table>") and "<b>" not in page and page.count("<tr>") == page.count("</tr>") > 1
    assert made[4]._repr_html_() is None  # then a notebook shows the line
    assert "&lt;b&gt;road&lt;/b&gt;" in counted._repr_html_()
    assert f"{rows[0].hectares:.4g}" in repr(counted) and "&lt;b&gt;.tif" in made[5]._repr_html_()


def test_sources_are_paths_or_open_datasets(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tif", np.ones((4, 5), np.uint8))
    with rasterio.open(path) as dataset:
        assert file_name(dataset) == path and file_names([dataset, Path(path)]) == [path, path]
        with WarpedVRT(dataset, crs="EPSG:4326") as warped, pytest.raises(RasterError, match="a WarpedVRT, "):
            file_name(warped)
    with MemoryFile(Path(path).read_bytes()) as memory:
        with memory.open() as dataset:
            assert file_name(dataset).startswith("/vsimem/")
        with pytest.raises(RasterError, match="a MemoryFile, which is no file"):
            file_name(memory)
    with rasterio.open(path, "r+") as dataset, pytest.raises(RasterError, match="is open for writing: close it"):
        file_name(dataset)
    with pytest.raises(RasterError, match=r"expected the path of a file, got an int: give text or a pathlib\.Path"):
        file_names(3)
    with pytest.raises(RasterError, match="got None: give text"):
        file_name(None)
    with pytest.raises(RasterError, match=r"a GeoDataFrame: write it to a file \(to_file\)"):
        file_names(geopandas.GeoDataFrame())


def test_an_open_dataset_is_evaluated_as_its_file(tmp_path: Path) -> None:
    ours = write(tmp_path / "map.tif", np.array([[1, 1, 2, 2], [1, 2, 2, 0]], np.uint8), model="m")
    truth = write(tmp_path / "truth.tif", np.array([[1, 1, 2, 1], [1, 1, 0, 2]], np.uint8))
    plain = landseg.evaluate(ours, truth, samples=0).to_json()
    with rasterio.open(ours) as dataset, rasterio.open(truth) as other:
        assert landseg.evaluate(dataset, other, samples=0).to_json() == plain
    with MemoryFile(Path(ours).read_bytes()) as memory, memory.open() as dataset:
        found = landseg.evaluate(dataset, Path(truth), samples=0).to_json()
    assert found["confusion"] == plain["confusion"]


@pytest.mark.parametrize("nothing", ["", b"scene.tif", 3])
def test_what_names_no_file_is_refused(nothing: Any) -> None:
    with pytest.raises(RasterError, match=r"expected the path of a file, got an? "):
        file_names(nothing)


def test_a_network_without_a_card_is_no_model(tmp_path: Path) -> None:
    source = write_raster(tmp_path / "scene.tif", PIXELS, at=place(0))
    for other in (MODEL.network, MODEL.card, 3):
        with pytest.raises(ModelError, match=f"a {type(other).__name__} is no model: expected a model file, .* or"):
            landseg.predict(source, tmp_path / "o.tif", model=other)  # type: ignore[arg-type]


def test_what_is_saved_is_a_network_and_a_card(tmp_path: Path) -> None:
    for network, card in ((MODEL, MODEL.card), (MODEL.network, "card")):
        with pytest.raises(ModelError, match=f"got a {type(network).__name__} and a {type(card).__name__}"):
            landseg.save_model(tmp_path / "m.safetensors", network, card)  # type: ignore[arg-type]
    assert landseg.save_model(tmp_path / "m.safetensors", MODEL.network, MODEL.card).is_file()


def test_a_pixel_is_a_column_and_a_row(tmp_path: Path) -> None:
    source = write_raster(tmp_path / "scene.tif", PIXELS, at=place(0))
    for at in ("x", (1,), (0.5, 1)):
        with pytest.raises(GridError, match="expected the column and the row of a pixel"):
            landseg.effective_field(MODEL, over=source, at=at)  # type: ignore[arg-type]


def test_classes_that_are_no_list_are_refused(tmp_path: Path) -> None:
    source = write_raster(tmp_path / "map.tif", PIXELS[0] + 1, at=place(0))
    with pytest.raises(ClassError, match="expected names of classes"):
        landseg.areas(source, classes=3)  # type: ignore[arg-type]


def test_the_server_says_where_it_is(tmp_path: Path) -> None:
    viewer = landseg.view(write_raster(tmp_path / "scene.tif", PIXELS, at=place(0)))
    viewer.server_close()
    assert repr(viewer) == f"<Viewer http://127.0.0.1:{viewer.port}/, 1 raster>"


ENTRIES: dict[str, Callable[[Any, Path], object]] = {
    "predict": lambda source, out: landseg.predict(source, out / "o.tif", model=MODEL),
    "several": lambda source, out: landseg.predict([source, source], out / "maps/", model=MODEL),
    "verify": lambda source, out: landseg.verify(source, model=MODEL),
    "refine": lambda source, out: landseg.refine(source, source, out / "o.tif"),
    "evaluate": lambda source, out: landseg.evaluate(source, source),
    "compare": lambda source, out: landseg.compare([source, source], source),
    "calibrate": lambda source, out: landseg.calibrate(source, source),
    "areas": lambda source, out: landseg.areas(source, out / "o.csv"),
    "export": lambda source, out: landseg.export(source, out / "o.gpkg"),
    "rasterize": lambda source, out: landseg.rasterize(source, out / "o.tif"),
    "train": lambda source, out: landseg.train(source, source, out / "m.safetensors"),
    "describe": lambda source, out: landseg.describe(source),
    "inspect_data": lambda source, out: landseg.inspect_data(source),
    "effective_field": lambda source, out: landseg.effective_field(MODEL, over=source, draw=out / "o.png"),
    "view": lambda source, out: landseg.view(source),
}


@pytest.mark.parametrize("entry", ENTRIES)
def test_arrays_are_refused_with_what_to_give(entry: str, tmp_path: Path) -> None:
    with pytest.raises(LandsegError, match=r"got an array of 3x8x9 \(numpy\).*write it to a GeoTIFF .* its path"):
        ENTRIES[entry](PIXELS, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_evaluate_writes_what_the_command_writes(tmp_path: Path) -> None:
    ours = write(tmp_path / "map.tif", np.random.default_rng(0).integers(1, 4, (40, 50)).astype(np.uint8), model="m")
    truth = write(tmp_path / "truth.tif", np.random.default_rng(1).integers(1, 4, (40, 50)).astype(np.uint8))
    how = ("--boundary", "none", "--tolerance", "2px", "--samples", 0, "--ignore", 3)
    code, _, err = run("evaluate", ours, truth, *how, "--csv", tmp_path / "a.csv", "--report", tmp_path / "a.html")
    assert code == 0, err
    files = {"csv": tmp_path / "b.csv", "report": str(tmp_path / "b.html")}
    landseg.evaluate(Path(ours), Path(truth), **files, boundary="none", tolerance="2px", samples=0, ignore=3)
    for suffix in ("csv", "html"):
        assert (tmp_path / f"a.{suffix}").read_bytes() == (tmp_path / f"b.{suffix}").read_bytes()
    landseg.evaluate(Path(ours), Path(truth), csv=tmp_path / "c.csv", boundary="none", tolerance="2px", samples=0)
    assert (tmp_path / "c.csv").read_bytes() != (tmp_path / "a.csv").read_bytes()  # twin: 3 counts
    with pytest.raises(LandsegError, match="evaluate has no option 'reprot': did you mean report"):
        landseg.evaluate(ours, truth, reprot="x.html")
    with pytest.raises(LandsegError, match=r"b\.html exists"):
        landseg.evaluate(ours, truth, **files)
    twice = landseg.compare([ours, Path(ours)], truth, csv=tmp_path / "d.csv", report=tmp_path / "d.html", samples=0)
    assert twice.mean_iou[0].difference == 0 and (tmp_path / "d.html").stat().st_size > 5000


def test_the_readme_is_true(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its lines of Python run as they stand, but for the length of the training."""
    write_scenes(tmp_path)
    write_raster(tmp_path / "scene.tif", image(), at=place(0))
    write_raster(tmp_path / "truth.tif", np.random.default_rng(0).integers(1, 6, SHAPE).astype(np.uint8), at=place(0))
    monkeypatch.chdir(tmp_path)
    (code,) = re.findall(r"^From Python:\n\n```python\n(.*?)^```", (ROOT / "README.md").read_text(), re.M | re.S)
    assert 'time_budget="30m"' in code
    exec(code.replace('time_budget="30m"', "**SMALL"), {"SMALL": SMALL})
    for name in ("landcover.tif", "landcover.gpkg", "report.html", "classes.csv", "town.safetensors"):
        assert (tmp_path / name).stat().st_size > 0, name
    assert "<Model town: fcn32s on" in capsys.readouterr().out
