"""The table of start-up times in docs/dependencies.md.

    python benchmarks/start_up.py [--runs 5] [--write docs/dependencies.md]

Every command runs on 64 x 64 pixels of the sample scene, each time in a fresh process with one thread. Processor
seconds are user and system time together, the least of all runs: other programs on the machine change them less than
seconds by the clock.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import rasterio
from rasterio.windows import Window

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.pages import write_table

ROOT = Path(__file__).resolve().parent.parent
BEGIN = "<!-- table: python benchmarks/start_up.py -->"
HEAD = "| command | processor seconds | libraries that it loads |\n|---|---|---|"
LIBRARIES = (
    "rasterio", "pyproj", "shapely", "pyogrio", "geopandas", "pandas", "pyarrow", "PIL", "onnxruntime", "onnx",
    "torch", "torchvision", "timm", "segmentation_models_pytorch", "lightning",
)  # fmt: skip
# In this order: some read what others wrote.
COMMANDS = (
    "models",
    "info landcover-rgb",
    "info scene.tif",
    "predict scene.tif -o map.tif --probs probs.tif --precision bf16",
    "predict scene.tif -o map.tif --probs probs.tif --precision fp32",
    "verify scene.tif --size 64",
    "areas map.tif",
    "export map.tif zones.gpkg",
    "rasterize zones.gpkg truth.tif --like map.tif",
    "evaluate map.tif truth.tif",
    "compare map.tif map.tif truth.tif",
    "calibrate probs.tif truth.tif",
    "refine probs.tif scene.tif -o refined.tif",
    "data scene.tif truth.tif",
)
REPLACE = ("predict", "export", "rasterize", "refine")
PROGRAM = f"""
import resource, sys
try:
    if sys.argv[1:] == ["import", "torch"]:
        import torch
    else:
        from landseg.cli.main import main
        main()
except SystemExit as end:
    assert not end.code, end.code
used = resource.getrusage(resource.RUSAGE_SELF)
print("USED", used.ru_utime + used.ru_stime, *(name for name in {LIBRARIES!r} if name in sys.modules))
"""


def started(command: str, folder: Path) -> tuple[float, list[str]]:
    """Processor seconds of a command in a fresh process, and the libraries that were loaded at its end."""
    words = [*command.split(), *(["--overwrite"] if command.startswith(REPLACE) else [])]
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *words], cwd=folder, capture_output=True, text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    if done.returncode:
        raise SystemExit(f"landseg {command}: {done.stderr}")
    seconds, *libraries = done.stdout.rpartition("USED")[2].split()
    return float(seconds), libraries


def rows(runs: int, folder: Path) -> list[str]:
    """The lines of the table."""
    with rasterio.open(ROOT / "sample_tiles" / "banepa_scene.tif") as scene:
        window = Window(0, 0, 64, 64)
        profile = {"driver": "GTiff", "width": 64, "height": 64, "count": scene.count, "dtype": "uint8"}
        with rasterio.open(
            folder / "scene.tif", "w", crs=scene.crs, transform=scene.window_transform(window), **profile
        ) as crop:
            crop.write(scene.read(window=window))
    lines = []
    for command in ("import torch", *COMMANDS):
        found = [started(command, folder) for _ in range(runs)]
        shown = command if command == "import torch" else f"landseg {command}"
        python = " in Python, alone" if command == "import torch" else ""
        lines.append(f"| `{shown}`{python} | {min(found)[0]:.2f} | {', '.join(found[0][1]) or 'none'} |")
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--write", type=Path, help="the page whose table is to be replaced")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        lines = [*HEAD.splitlines(), *rows(chosen.runs, Path(folder))]
    print("\n".join(lines))
    if chosen.write is not None:
        write_table(chosen.write, BEGIN, lines)


if __name__ == "__main__":
    main()
