"""Options by name: those that type checkers know are those that functions take, and mypy refuses all others."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import fields
from pathlib import Path
from types import UnionType
from typing import Any, Unpack, get_args, get_origin, get_type_hints, is_typeddict

import pytest

from landseg.areas import areas
from landseg.calibrate import calibrate
from landseg.compare import compare
from landseg.crf.options import RefineOptions
from landseg.data import inspect_data
from landseg.errors import LandsegError, TrainingError
from landseg.evaluate import evaluate
from landseg.evaluation.area_options import AreasOptions
from landseg.evaluation.options import CalibrateOptions, CompareOptions, EvaluateOptions
from landseg.export import export
from landseg.inference.options import PredictOptions, VerifyOptions
from landseg.labels.options import LabelOptions
from landseg.labels.rasterize_options import RasterizeOptions
from landseg.predict import predict
from landseg.rasterize import rasterize
from landseg.refine import refine
from landseg.scenes.inspect_options import InspectOptions
from landseg.train import train
from landseg.training.run_options import RunOptions
from landseg.vector.export_options import ExportOptions
from landseg.verify import verify
from tools.docs.option_tables import annotations_of

ROOT = Path(__file__).resolve().parent.parent
VERBS: dict[str, tuple[Callable[..., Any], type, set[str]]] = {
    "evaluate": (evaluate, EvaluateOptions, set()),
    "compare": (compare, CompareOptions, {"probs", "image", "errors", "ids", "radius"}),  # of a single prediction
    "calibrate": (calibrate, CalibrateOptions, set()),
    "inspect_data": (inspect_data, InspectOptions, set()),
    "train": (train, RunOptions, set()),
    "predict": (predict, PredictOptions, set()),
    "verify": (verify, VerifyOptions, set()),
    "refine": (refine, RefineOptions, set()),
    "export": (export, ExportOptions, set()),
    "rasterize": (rasterize, RasterizeOptions, set()),
    "areas": (areas, AreasOptions, set()),
}


def keywords_of(function: Callable[..., Any]) -> dict[str, Any]:
    """The names and types of the options that type checkers know of a function."""
    hint = annotations_of(function)["options"]
    assert get_origin(hint) is Unpack
    (declared,) = get_args(hint)
    assert is_typeddict(declared)
    return get_type_hints(declared)


def members(hint: Any) -> list[type]:
    """The classes of a type, without what they hold."""
    parts = get_args(hint) if isinstance(hint, UnionType) or get_origin(hint) is not None else ()
    if isinstance(hint, UnionType) or str(get_origin(hint)) == "typing.Union":
        return [one for part in parts for one in members(part)]
    return [get_origin(hint) or hint]


def accepts(keyword: Any, field: Any) -> bool:
    """Whether a value of a field's type may be passed for a keyword."""
    wide = [*members(keyword), *((int,) if float in members(keyword) else ())]
    return all(any(issubclass(one, other) for other in wide) for one in members(field))


@pytest.mark.parametrize("verb", VERBS)
def test_keywords_are_the_options(verb: str) -> None:
    function, options, left_out = VERBS[verb]
    keywords, hints = keywords_of(function), get_type_hints(options)
    assert set(keywords) == {field.name for field in fields(options)} - left_out
    assert [name for name, hint in keywords.items() if not accepts(hint, hints[name])] == []
    defaults = {field.name: field.default for field in fields(options)}
    assert [name for name, hint in keywords.items() if not accepts(hint, type(defaults[name]))] == []


def test_twin_other_types_are_not_accepted() -> None:
    assert accepts(str | None, str) and accepts(float | None, int | None) and accepts(Sequence[int] | int, tuple[int])
    assert not accepts(str, str | None) and not accepts(int, float) and not accepts(str | Path, Sequence[str])


@pytest.mark.parametrize("options", [EvaluateOptions, CompareOptions, CalibrateOptions, InspectOptions])
def test_values_are_read_as_on_the_command_line(options: type[LabelOptions]) -> None:
    made = options.of({"classes": "c.toml", "ignore": 3}, verb="x")
    assert made == options(classes=Path("c.toml"), ignore=(3,))
    assert options.of({}, verb="x") == options()
    with pytest.raises(LandsegError, match="x has no option 'clases': did you mean classes"):
        options.of({"clases": "c.toml"}, verb="x")


def test_options_of_a_split_need_one() -> None:
    with pytest.raises(TrainingError, match="--block goes with a split"):
        inspect_data("images", block="10px")
    found = InspectOptions.of({"split": "block", "block": "10m"}, verb="x").split_options()
    assert found is not None and (found.block_m, found.block_px) == (10, None)


GOOD = """
from pathlib import Path
import landseg

found: (
    landseg.Evaluation | landseg.KeypointEvaluation | landseg.ObjectEvaluation | landseg.PanopticEvaluation
    | landseg.PointEvaluation
) = landseg.evaluate(
    "map.tif", [Path("a.tif"), "b.tif"], classes="c.toml", ignore=[3], class_field=None, background=None, buffer=1,
    label_colors=False, aoi=(0, 0, 1, 1), workers=1, overwrite=True, quiet=True, boundary="3px", tolerance=None,
    block=64, samples=0, seed=1, csv="a.csv", report=Path("a.html"), probs="p.tif", image=["i.tif"], errors="e.tif",
    areas=(50, 500), score=0.5, ids=("i.tif", Path("t.tif")), radius="6m",
)
landseg.compare(["a.tif", "b.tif"], Path("t.tif"), samples=10, tolerance="2m", csv=None, quiet=False).to_json()
landseg.calibrate("p.tif", "t.tif", "out.safetensors", model="m.safetensors", aoi="a.gpkg").temperature.is_integer()
landseg.train("images", "labels", "m.safetensors", steps=3, crop=64, option={"rates": [1]}, quiet=True).to_json()
model = landseg.load_model("m.safetensors")
made = landseg.predict(
    [Path("a.tif"), "b.tif"], "o.tif", model=model, finished=lambda result, number, count: print(result.status),
    bands=[3, 2, 1], stack=True, stored_values=True, resolution=0.5, source_resolution=1, engine="windows",
    window=(512, 256), halo="exact", batch=2, tta="flips", device="cpu", precision="fp32", workers=2, threads=None,
    memory=2048, quiet=False, aoi=(0, 0, 1, 1), sparse=True, probs="p.tif", probs_dtype="float32", confidence=None,
    logits=Path("l.tif"), polygons="p.gpkg", preview="p.png", resume=True, overwrite=True, dry_run=True,
    instances=Path("i.tif"), score=0.3, min_area=4, holes=1.5, regularize=True, simplify=0.2,
)
if isinstance(made, landseg.Prediction):
    print(made.output.name, made.areas[0].hectares)
checked: landseg.Verification = landseg.verify("a.tif", model="m.safetensors", size=(250, 200), window=64, halo=4)
refined: landseg.Refinement = landseg.refine(
    "p.tif", ["a.tif"], "o.tif", bands=(1, 2), stored_values=False, model=None, probs="q.tif", probs_dtype="uint8",
    preset="moderate", iterations=3, bilateral_weight=4, bilateral_xy=12.0, bilateral_bands=(8, 8), spatial_weight=3,
    spatial_xy=1, units="pixels", halo=10, window="auto", memory=3072, resume=False, overwrite=True, quiet=True,
)
shapes: landseg.Export = landseg.export(
    Path("o.tif"), "o.gpkg", classes=["road", 2], aoi="a.gpkg", crs="EPSG:4326", dissolve=True, by_class_files=True,
    connectivity=8, majority=3, sieve=4, min_area=5, simplify=0.5, smooth=True, regularize="building",
    right_angle_tolerance=1, centerlines=["road"], spur=5.0, centroids=[1], confidence="c.tif", attributes=False,
    geodesic=True, overwrite=True, quiet=False,
)
burnt: landseg.Rasterization = landseg.rasterize(
    "o.gpkg", "b.tif", like=None, resolution=0.5, bounds=(0, 0, 1, 1), crs="EPSG:3857", class_field="kind",
    classes=Path("c.toml"), all_touched=True, buffer=2, crs_units=False, overwrite=True, quiet=True,
)
landseg.rasterize("o.gpkg", "b.tif", resolution=(0.5, 1))
counted: landseg.Areas = landseg.areas(
    "o.tif", "a.csv", by="zones.gpkg:parcels", by_field="name", classes="road,water", overwrite=True, quiet=False
)
described: landseg.Description = landseg.describe("a.tif", model=model, stored_values=True)
field: landseg.FieldReport = landseg.effective_field(model, draw="f.png", over="a.tif", at=(3, 4), overwrite=True)
landseg.view(["a.tif", Path("o.tif")], port=8000).serve_forever()
print(described["kind"], [one.to_json() for one in (made, checked, refined, shapes, burnt, counted, field)])
"""
BAD = {
    'landseg.predict("a.tif", "o.tif", polygon="p.gpkg")': "polygon",
    'landseg.predict("a.tif", "o.tif", window=0.5)': "window",
    'landseg.predict("a.tif", "o.tif", "m.safetensors")': "predict",
    'landseg.verify("a.tif", probs="p.tif")': "probs",
    'landseg.refine("p.tif", "a.tif", "o.tif", iterations="5")': "iterations",
    'landseg.export("o.tif", "o.gpkg", smoth=True)': "smoth",
    'landseg.export("o.tif", "o.gpkg", min_area="5 m2")': "min_area",
    'landseg.rasterize("o.gpkg", "b.tif", buffer_m=2)': "buffer_m",
    'landseg.areas("o.tif", by=3)': "by",
    'landseg.describe("o.tif", stored_values="no")': "describe",
    'landseg.evaluate("a.tif", "t.tif", reprot="r.html")': "reprot",
    'landseg.evaluate("a.tif", "t.tif", samples="many")': "samples",
    'landseg.evaluate(3, "t.tif")': "evaluate",
    'landseg.compare(["a.tif", "b.tif"], "t.tif", probs="p.tif")': "probs",
    'landseg.calibrate("p.tif", "t.tif", overwrite="yes")': "overwrite",
    'landseg.train("i", "l", "m.safetensors", step=3)': "train",
    'landseg.train("i", "l", "m.safetensors", crop="64px")': "train",
}


@pytest.mark.slow  # a minute without mypy's cache
def test_mypy_takes_every_option_and_refuses_others(tmp_path: Path) -> None:
    (tmp_path / "good.py").write_text(GOOD)
    (tmp_path / "bad.py").write_text("import landseg\n" + "\n".join(BAD))
    line = [sys.executable, "-m", "mypy", "--config-file", str(ROOT / "pyproject.toml"), "--no-error-summary"]
    done = subprocess.run(
        [*line, *(str(tmp_path / name) for name in ("good.py", "bad.py"))], capture_output=True, text=True, cwd=ROOT
    )
    errors = [line for line in done.stdout.splitlines() if ": error: " in line]
    assert [line for line in errors if "good.py" in line] == [], done.stdout
    for number, (call, word) in enumerate(BAD.items(), 2):
        found = [line for line in errors if f"bad.py:{number}:" in line]
        assert found and any(word in line for line in found), (call, done.stdout, done.stderr)
