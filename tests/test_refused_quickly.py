"""What a command refuses, it refuses before torch is imported: arguments and files come first."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from affine import Affine

from tests.parts.places import HALF_METRE

PROGRAM = textwrap.dedent("""
    import json, sys
    from typer.testing import CliRunner
    from landseg.cli.main import app

    for arguments in json.loads(sys.argv[1]):
        done = CliRunner().invoke(app, arguments)
        heavy = [name for name in ("torch", "lightning") if name in sys.modules]
        print(json.dumps([done.exit_code, done.stderr, heavy]))
""")


def tried(commands: list[list[str]], folder: Path) -> list[tuple[int, str, list[str]]]:
    """Exit status, standard error and the heavy modules that were there by then, of each command in one process."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, json.dumps(commands)], cwd=folder, capture_output=True, text=True, check=True
    )
    return [tuple(json.loads(line)) for line in done.stdout.splitlines()]


@pytest.fixture
def folder(tmp_path: Path, write_raster: Any) -> Path:
    write_raster(np.full((3, 40, 50), 90, np.uint8), "scene.tif")
    write_raster(np.full((2, 40, 50), 90, np.uint8), "two.tif")
    far = HALF_METRE @ Affine.translation(4000, 3000)
    write_raster(np.full((3, 40, 50), 90, np.uint8), "far.tif", transform=far)
    for name in ("there.tif", "scene_labels.tif"):
        write_raster(np.full((40, 50), 1, np.uint8), name)
    (tmp_path / "bad.safetensors").write_bytes(b"nothing")
    (tmp_path / "there.safetensors").write_bytes(b"nothing")
    (tmp_path / "bad.toml").write_text("[model")
    return tmp_path


REFUSED: dict[str, str] = {
    "predict missing.tif -o o.tif": "missing.tif: no such file",
    "predict missing.tif other.tif -o maps/": "missing.tif: no such file",
    "predict scene.tif -o there.tif": "there.tif exists",
    "predict scene.tif -o scene.tif --overwrite": "scene.tif",
    "predict scene.tif -o nowhere/o.tif": "nowhere",
    "predict scene.tif -o map": "write map.tif for one map",
    "predict scene.tif -o o.tif --log scene.tif": "is an input or output of this run",
    "predict scene.tif far.tif -o o.tif": "--sparse",
    "predict scene.tif -o o.tif --polygons x.abc": "x.abc",
    "predict scene.tif -o o.tif --model missing.safetensors": "no model 'missing.safetensors'",
    "predict scene.tif -o o.tif --model bad.safetensors": "bad.safetensors",
    "predict scene.tif -o o.tif --window huge": "HEIGHTxWIDTH",
    "predict scene.tif -o o.tif --bands 1,2": "--bands names 2",
    "predict scene.tif -o o.tif --bands red": "expected numbers",
    "predict scene.tif -o o.tif --precision int8": "precision 'int8' is unknown; use auto, fp32, bf16, fp16",
    "predict scene.tif -o o.tif --tta turn": "tta 'turn' is unknown; use none, flips or d4",
    "predict scene.tif -o o.tif --tta d4 --engine stream": "use --engine auto or windows, or leave out --tta",
    "predict scene.tif -o o.tif --device tpu": "device 'tpu' is unknown",
    "predict scene.tif -o o.tif --resolution -1": "positive number of metres",
    "predict scene.tif -o o.tif --aoi missing.gpkg": "missing.gpkg",
    "predict two.tif -o o.tif": "has 2",
    "verify missing.tif": "missing.tif: no such file",
    "verify two.tif": "has 2",
    "verify scene.tif --model missing.safetensors": "no model 'missing.safetensors'",
    "verify scene.tif --size 0": "1 pixel or more",
    "info missing.tif": "missing.tif",
    "info missing.safetensors --receptive-field": "missing.safetensors",
    "refine missing.tif scene.tif -o o.tif": "missing.tif: no such file",
    "evaluate missing.tif there.tif": "missing.tif: no such file",
    "compare missing.tif other.tif there.tif": "no such file",
    "calibrate missing.tif there.tif": "missing.tif: no such file",
    "export missing.tif o.gpkg": "missing.tif: no such file",
    "areas missing.tif": "missing.tif: no such file",
    "areas there.tif -o areas.txt": "a table of areas ends in .csv",
    "areas there.tif --by missing.gpkg": "missing.gpkg",
    "rasterize missing.gpkg o.tif --like scene.tif": "missing.gpkg",
    "view missing.tif": "missing.tif: no such file",
    "data missing": "missing: no such file or folder",
    "train missing there.tif -o m.safetensors": "missing: no such file or folder",
    "train missing.toml -o m.safetensors": "recipe missing.toml cannot be read",
    "train bad.toml -o m.safetensors": "recipe bad.toml is not valid TOML",
    "train scene.tif scene_labels.tif -o m.safetensors --config missing.toml": "recipe missing.toml cannot be read",
    "train scene.tif scene_labels.tif -o m.safetensors --init missing.safetensors": "no model 'missing.safetensors'",
    "train scene.tif scene_labels.tif -o there.safetensors": "there.safetensors exists",
    "train scene.tif scene_labels.tif -o m.tif": "a model file ends in .safetensors",
    "train scene.tif scene_labels.tif -o nowhere/m.safetensors": "nowhere/m.safetensors has no folder",
}


def test_nothing_heavy_is_imported_to_refuse(folder: Path) -> None:
    before = sorted(folder.iterdir())
    commands = [line.split() for line in REFUSED]
    wrong = []
    for line, (code, said, heavy) in zip(REFUSED, tried(commands, folder), strict=True):
        words = " ".join(said.split())
        if (code, heavy) != (1, []) or REFUSED[line] not in words or "fault in landseg" in words:
            wrong.append((line, code, said, heavy))
    assert wrong == []
    made = {"maps"}  # the folder that was asked for
    assert [path for path in folder.iterdir() if path not in before and path.name not in made] == []


def test_wrong_usage_is_quick_too(folder: Path) -> None:
    commands = [
        ["predict", "scene.tif"],
        ["predict", "--nothing"],
        ["train", "x", "-o", "m.safetensors", "--steps", "a"],
    ]
    assert [(code, heavy) for code, _, heavy in tried(commands, folder)] == [(2, [])] * 3


def test_a_look_at_data_imports_nothing_heavy(folder: Path) -> None:
    """Also where it asks what training would refuse."""
    ((code, said, heavy),) = tried([["data", "scene.tif", "scene_labels.tif"]], folder)
    assert (code, heavy) == (0, []), said


def test_twin_a_run_that_can_begin_imports_it(folder: Path) -> None:
    ((code, said, heavy),) = tried([["predict", "scene.tif", "-o", "o.tif", "--dry-run"]], folder)
    assert code == 0 and "torch" in heavy, said
