"""The command line answers `--help` without the heavy libraries."""

import subprocess
import sys
import time
from pathlib import Path

import pytest

from landseg.cli.main import app

ROOT = Path(__file__).resolve().parents[2]

HEAVY = (
    "torch",
    "torchvision",
    "timm",
    "segmentation_models_pytorch",
    "rasterio",
    "geopandas",
    "pyogrio",
    "pandas",
    "lightning",
    "tensorboard",
    "matplotlib",
    "PIL",
)

# Runs the program in a fresh interpreter and prints, after it ended, which heavy modules it left loaded.
PROBE = """
import sys
{before}
from landseg.cli.main import main
sys.argv = ["landseg", *{arguments!r}]
try:
    main()
except SystemExit as end:
    assert not end.code, end.code
print("LOADED", sorted(set({heavy!r}) & set(sys.modules)))
"""


def commands() -> list[str]:
    return [item.name or item.callback.__name__ for item in app.registered_commands if item.callback]


def assert_light(arguments: list[str], *, before: str = "", heavy: tuple[str, ...] = HEAVY) -> str:
    """What a command prints, after checking that this loaded nothing heavy."""
    code = PROBE.format(arguments=arguments, heavy=heavy, before=before)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    text, _, loaded = done.stdout.rpartition("LOADED")
    assert loaded.strip() == "[]", f"landseg {' '.join(arguments)} loads {loaded.strip()}"
    return text


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], *([name, "--help"] for name in commands())])
def test_help_is_light(arguments: list[str]) -> None:
    text = assert_light(arguments)
    assert "landseg" in text


def test_heavy_start_is_caught() -> None:
    with pytest.raises(AssertionError, match="loads"):
        assert_light(["--help"], before="import rasterio")


# What is asked often and computes nothing: models and networks need no rasters either, a raster needs no tables.
ANSWERS = {
    "models": HEAVY,
    "models --json": HEAVY,
    "models --networks": HEAVY,
    "models --networks --json": HEAVY,
    "info landcover-rgb": HEAVY,
    "info landcover-rgb --json": HEAVY,
    "info sample_tiles/banepa_scene.tif": tuple(name for name in HEAVY if name != "rasterio"),
    "info sample_tiles/landcover/val/tile8_part4_labels.png": tuple(name for name in HEAVY if name != "rasterio"),
}


@pytest.mark.parametrize("command", ANSWERS)
def test_what_computes_nothing_loads_no_network(command: str) -> None:
    assert assert_light(command.split(), heavy=ANSWERS[command]).strip()


def test_a_network_that_is_loaded_is_caught() -> None:
    with pytest.raises(AssertionError, match=r"loads .*torch"):
        assert_light(["models", "--networks"], before="import landseg.models.networks.build")


def test_help_lists_every_command() -> None:
    text = assert_light(["--help"])
    assert [name for name in commands() if name not in text] == []


def test_help_is_quick() -> None:
    """Well under a second; the bound is loose since a busy machine is no fault of the code."""
    began = time.perf_counter()
    assert_light(["--help"])
    assert time.perf_counter() - began < 5
