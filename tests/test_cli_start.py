"""The command line answers `--help` without the heavy libraries."""

import subprocess
import sys
import time

import pytest

from landseg.cli.main import app

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


def assert_light(arguments: list[str], *, before: str = "") -> str:
    """The help text, after checking that showing it loaded nothing heavy."""
    code = PROBE.format(arguments=arguments, heavy=HEAVY, before=before)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
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


def test_help_lists_every_command() -> None:
    text = assert_light(["--help"])
    assert [name for name in commands() if name not in text] == []


def test_help_is_quick() -> None:
    """Well under a second; the bound is loose since a busy machine is no fault of the code."""
    began = time.perf_counter()
    assert_light(["--help"])
    assert time.perf_counter() - began < 5
