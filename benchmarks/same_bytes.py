"""Whether every output of the commands is, byte for byte, that of the committed list.

    python benchmarks/same_bytes.py                  compare with benchmarks/same_bytes.json
    python benchmarks/same_bytes.py --write          put the digests of this machine into the list
    python benchmarks/same_bytes.py --only export    the cases of these names, and what they read
    python benchmarks/same_bytes.py --keep FOLDER    leave the outputs there, to look at those that differ

Runs the commands on crops of sample_tiles/ with one thread in a temporary folder, and takes digests of each file that
they write and of what they print (digests.py). A run killed in the middle and resumed has to give the files of a run
that was left alone. Arithmetic differs between processors and between versions of libraries, so the list has a set of
digests for each machine, by a fingerprint. It drives the command line alone, so it lasts while the code is rebuilt.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import platform
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.digests import Parts, digest, digest_file, digest_json, plain_text

ROOT = Path(__file__).resolve().parent.parent
TILES = ROOT / "sample_tiles"
LIST = ROOT / "benchmarks" / "same_bytes.json"
LANDSEG = Path(sys.executable).parent / "landseg"
CHANGED = 1_700_000_000  # the time of change of all that is read, which goes into tags
ENVIRONMENT = {
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "TZ": "UTC",
    "LC_ALL": "C.UTF-8",
    "COLUMNS": "120",
    "OGR_CURRENT_DATE": "2026-01-01T00:00:00.000Z",  # for the dates that GDAL writes into GeoPackages
    "SOURCE_DATE_EPOCH": "1767225600",
}
NOT_COMPARED = ("tfevents", "last.pt")  # names and contents hold times
PREFIXES = ("avx", "amx", "fma", "f16c", "sse4", "asimd", "sve", "bf16", "i8mm")  # of processor flags for arithmetic
LIBRARIES = ("torch", "onnxruntime", "numpy", "scipy", "scikit-learn", "pyarrow", "pillow", "matplotlib")

Digests = dict[str, Parts]
"""Digests of the parts of each file, by its path below the temporary folder."""


@dataclass(frozen=True)
class Case:
    """A command of landseg whose outputs are compared.

    Attributes:
        name: the folder of its outputs; in the arguments, ``@`` stands for that folder.
        arguments: the command line after ``landseg``, as words.
        whole: the name of a case of the same arguments. This one is killed at its second line of progress and then
            run again with ``--resume``, and has to have the files of that case.
    """

    name: str
    arguments: str
    whole: str | None = None

    def words(self) -> list[str]:
        """Return the command line."""
        return [str(LANDSEG), *(word.replace("@", self.name) for word in self.arguments.split())]


COMMANDS = {
    "stream": """predict in/scene.tif -o @/map.tif --engine stream --precision fp32 --probs @/probs.tif
        --confidence @/confidence.tif --logits @/logits.tif --polygons @/map.gpkg --preview @/map.png --json""",
    "windows": """predict in/scene.tif -o @/map.tif --engine windows --window 256 --precision fp32 --probs @/probs.tif
        --confidence @/confidence.tif --logits @/logits.tif --polygons @/map.gpkg --preview @/map.png --json""",
    "tall": "predict in/tall.tif -o @/map.tif --engine stream --precision fp32 --probs @/probs.tif --json",
    "predict-auto": "predict in/town.tif -o @/town.tif --probs @/probs.tif --json",
    "predict-tta": """predict in/left.tif -o @/map.tif --tta flips --aoi in/area.geojson --precision fp32
        --probs @/probs.tif --probs-dtype float32 --json""",
    "predict-folder": "predict in/left.tif in/right.tif -o @/ --precision fp32 --json-lines",
    "predict-mosaic": """predict in/left.tif in/right.tif -o @/map.tif --precision fp32
        --polygons @/map.geojson --json""",
    "predict-s2": """predict in/s2.tif -o @/map.tif -m landcover-s2 --source-resolution 5 --precision fp32
        --logits @/logits.tif --json""",
    "predict-dry": "predict in/scene.tif -o @/map.tif --precision fp32 --dry-run --json",
    "refine": "refine stream/probs.tif in/scene.tif -o @/map.tif --probs @/probs.tif --json",
    "refine-windows": """refine stream/probs.tif in/scene.tif -o @/map.tif --probs @/probs.tif --probs-dtype float32
        --window 256 --halo 32 --preset deeplab-v2 --iterations 3 --bilateral-xy 20 --json""",
    "export-gpkg": """export stream/map.tif @/all.gpkg --simplify 0.5 --min-area 1 --regularize building
        --confidence stream/confidence.tif --centerlines road --centroids building --json""",
    "export-geojson": "export stream/map.tif @/all.geojson --sieve 9 --smooth --crs EPSG:4326 --json",
    "export-shp": "export stream/map.tif @/all.shp --majority 3 --connectivity 8 --dissolve --json",
    "export-zip": "export stream/map.tif @/all.shp.zip --classes building,road --geodesic --json",
    "export-parquet": "export stream/map.tif @/all.parquet --min-area 2 --json",
    "export-fgb": "export stream/map.tif @/all.fgb --simplify 0.3 --aoi in/area.geojson --json",
    "export-classes": "export stream/map.tif @/all.gpkg --by-class-files --json",
    "export-csv": "export stream/map.tif @/all.csv --attributes --json",
    "rasterize": """rasterize in/samples.geojson @/like.tif --like in/scene.tif --class-field class
        --classes in/classes.toml --json""",
    "rasterize-grid": "rasterize in/buildings.gpkg @/grid.tif --resolution 1 --all-touched --json",
    "rasterize-export": "rasterize export-gpkg/all.gpkg @/again.tif --like stream/map.tif --json",
    "evaluate": """evaluate stream/map.tif in/samples.geojson --class-field class --classes in/classes.toml
        --probs stream/probs.tif --report @/report.html --image in/scene.tif --csv @/classes.csv
        --errors @/errors.tif --json""",
    "evaluate-raster": """evaluate predict-auto/town.tif in/town_labels.tif --classes in/classes.toml --boundary 2px
        --tolerance none --samples 200 --report @/report.html --json""",
    "evaluate-text": "evaluate predict-auto/town.tif in/town_labels.tif --classes in/classes.toml",
    "compare": """compare stream/map.tif windows/map.tif refine/map.tif in/samples.geojson --class-field class
        --classes in/classes.toml --csv @/figures.csv --report @/report.html --json""",
    "calibrate": """calibrate predict-auto/probs.tif in/town_labels.tif --classes in/classes.toml
        -o @/model.safetensors --json""",
    "areas": "areas stream/map.tif --by in/samples.geojson -o @/areas.csv --json",
    "areas-xlsx": "areas stream/map.tif -o @/areas.xlsx",
    "areas-json": "areas stream/map.tif --classes building,road -o @/areas.json --json",
    "verify": "verify in/scene.tif --size 256 --engine stream --json",
    "verify-windows": "verify in/scene.tif --size 256 --engine windows --window 128 --json",
    "info-raster": "info stream/map.tif --json",
    "info-text": "info in/scene.tif",
    "info-model": "info landcover-rgb --receptive-field --draw @/field.png --json",
    "models": "models --json",
    "networks": "models --networks --json",
    "data": """data in/town.tif in/town_labels.tif --classes in/classes.toml --split block --sheet @/sheet.png
        --json""",
    "data-points": "data in/trees.tif in/trees.geojson --buffer 1.5",
    "train": """train in/town.tif in/town_labels.tif --classes in/classes.toml -o @/net.safetensors --steps 12
        --crop 96 --batch 2 --split block --seed 1 --json""",
    "train-points": """train in/trees.tif in/trees.geojson --buffer 1.5 --background other -o @/net.safetensors
        --steps 3 --crop 64 --batch 2 --arch fpn --encoder resnet18 --encoder-weights none --no-pixel-classifier
        --json""",
    "train-forest": """train in/town.tif in/town_labels.tif --classes in/classes.toml -o @/forest.safetensors
        --arch pixel-forest --split block --seed 1 --json""",
    "predict-trained": "predict in/town.tif -m train/net.safetensors -o @/map.tif --json",
}
RESUMED = ("tall", "windows")
"""Commands that also run killed and resumed."""
CASES = (
    *(Case(name, arguments) for name, arguments in COMMANDS.items()),
    *(Case(f"{name}-resumed", COMMANDS[name], whole=name) for name in RESUMED),
)


def main() -> None:
    """Compare, or write the list."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help="put the digests of this machine into the list")
    parser.add_argument("--only", nargs="+", default=[], metavar="NAME", help="cases whose names start so")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="leave the outputs in this new folder")
    args = parser.parse_args()
    if args.write and args.only:
        parser.error("--write takes all cases; leave --only out")
    machine = machine_state()
    name = fingerprint(machine)
    known = json.loads(LIST.read_text(encoding="utf-8")) if LIST.exists() else {}
    if not args.write and name not in known:
        print(f"{LIST.name} has no digests for this machine, {name}; write them at a commit whose outputs are right: "
              "python benchmarks/same_bytes.py --write")  # fmt: skip
        raise SystemExit(1)
    cases = chosen(CASES, args.only)
    if not cases:
        parser.error(f"no case starts with {', '.join(args.only)}; the names are {', '.join(COMMANDS)}")
    with tempfile.TemporaryDirectory() as scratch:
        folder = args.keep or Path(scratch)
        folder.mkdir(parents=True, exist_ok=args.keep is None)
        found, unlike = run_all(cases, folder)
    if args.write and not unlike:
        known[name] = {"machine": machine, "digests": found}
        LIST.write_text(json.dumps(known, indent=1, sort_keys=True) + "\n", encoding="utf-8")
        print(f"{len(found)} outputs of {len(cases)} commands are in {LIST.name} as {name}")
        return
    names = {case.name for case in cases}
    expected = {} if args.write else known[name]["digests"]
    expected = {path: parts for path, parts in expected.items() if path.split("/")[0] in names}
    differences = [*unlike, *([] if args.write else compare(expected, found))]
    print(*differences, sep="\n", end="\n" if differences else "")
    print(f"{len(found)} outputs of {len(cases)} commands, {len(differences)} differences from {LIST.name}, {name}")
    raise SystemExit(1 if differences else 0)


def chosen(cases: Sequence[Case], starts: Sequence[str]) -> list[Case]:
    """Return the cases whose names start with one of ``starts``, with those whose outputs they read; all if none."""
    names = {case.name for case in cases if not starts or case.name.startswith(tuple(starts))}
    for case in reversed(cases):
        if case.name in names:
            read = {word.split("/")[0] for word in case.arguments.split() if "/" in word}
            names |= read | {case.whole or case.name}
    return [case for case in cases if case.name in names]


def run_all(cases: Sequence[Case], folder: Path) -> tuple[Digests, list[str]]:
    """Run the commands in ``folder``; return the digests, and what differs between a resumed and a whole run."""
    make_inputs(folder / "in")
    found: Digests = {}
    unlike: list[str] = []
    for case in cases:
        start = time.monotonic()
        (folder / case.name).mkdir()
        printed = run_killed(case, folder) if case.whole else run(case.words(), folder)
        own = {f"{case.name}/{path}": parts for path, parts in digest_folder(folder / case.name)}
        as_json = "--json" in case.arguments
        own[f"{case.name}/stdout"] = {"printed": digest_json(printed) if as_json else digest(plain_text(printed))}
        found |= own
        if case.whole:
            lines = compare(_of_case(found, case.whole), _of_case(found, case.name))
            unlike += [f"{case.name}/{line}, from {case.whole}" for line in lines]
        for path in (folder / case.name).rglob("*"):  # later commands put the time of what they read into a tag
            os.utime(path, (CHANGED, CHANGED))
        print(f"{time.monotonic() - start:6.1f} s  {case.name}", file=sys.stderr)
    return found, unlike


def run(words: Sequence[str], folder: Path) -> str:
    """Run a command to its end and return its standard output; exit if it fails."""
    return _run(words, folder).stdout


def _run(words: Sequence[str], folder: Path) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(words, cwd=folder, env=environment(), capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"exit code {done.returncode} of {' '.join(words)}\n{done.stderr}")
    return done


def run_killed(case: Case, folder: Path) -> str:
    """Kill a command once work is on disk, resume it, and return the standard output of the second run."""
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    with subprocess.Popen(case.words(), cwd=folder, env=environment(), **quiet) as process:
        while process.poll() is None and not committed(folder / case.name):
            time.sleep(0.002)
        process.send_signal(signal.SIGKILL)
    if process.returncode != -signal.SIGKILL:
        raise SystemExit(f"{case.name}: exit code {process.returncode} before it could be killed; use a larger scene")
    if list(digest_folder(folder / case.name)):
        raise SystemExit(f"{case.name}: the killed run left files in sight")
    return _run([*case.words(), "--resume"], folder).stdout


def committed(folder: Path) -> bool:
    """Return True if a journal below a folder has a first step of work: behind the run's description and its plan."""
    return any(path.read_bytes().count(b"\n") > 2 for path in folder.rglob("journal"))


def digest_folder(folder: Path) -> Iterator[tuple[str, Parts]]:
    """Yield the path below ``folder`` and the digests of each file that is not hidden."""
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder)
        hidden = any(part.startswith(".") for part in name.parts)
        if path.is_file() and not hidden and not any(text in path.name for text in NOT_COMPARED):
            yield name.as_posix(), digest_file(path)


def compare(expected: Digests, found: Digests) -> list[str]:
    """Return a line for each file, or part of a file, that is missing, new or different."""
    lines = [f"{path}: missing" for path in expected if path not in found]
    lines += [f"{path}: not in the list" for path in found if path not in expected]
    for path in expected.keys() & found.keys():
        old, new = expected[path], found[path]
        parts = [part for part in sorted(old.keys() | new.keys()) if old.get(part) != new.get(part)]
        lines += [f"{path}: other {', '.join(parts)}"] if parts else []
    return sorted(lines)


def environment() -> dict[str, str]:
    """Return the environment of the commands: one thread, a fixed date, none of the user's settings."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LD_LIBRARY_PATH", "TMPDIR") if name in os.environ}
    return {**kept, **ENVIRONMENT}


def machine_state() -> dict[str, Any]:
    """Return what the arithmetic depends on: processor, its flags, and the versions of libraries."""
    import pyogrio
    import pyproj
    import rasterio
    import shapely

    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    cpu = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines)}
    flags = (cpu.get("flags") or cpu.get("Features") or "").split()
    gdal = f"{rasterio.__gdal_version__}, {'.'.join(map(str, pyogrio.__gdal_version__))}"
    return {
        "processor": " ".join(filter(None, (cpu.get(key) for key in ("model name", "cpu family", "model")))),
        "architecture": platform.machine(),
        "flags": sorted(flag for flag in flags if flag.startswith(PREFIXES)),
        "python": ".".join(platform.python_version_tuple()[:2]),
        "gdal": gdal,
        "geos": shapely.geos_version_string,
        "proj": pyproj.proj_version_str,
        **{name: version(name) for name in LIBRARIES},
    }


def fingerprint(machine: dict[str, Any]) -> str:
    """Return eight hexadecimal digits for a machine."""
    return hashlib.sha256(json.dumps(machine, sort_keys=True).encode()).hexdigest()[:8]


def make_inputs(folder: Path) -> None:
    """Write the inputs into ``folder``: crops of the sample tiles, copies of labels, an area; all of one age."""
    folder.mkdir()
    crop(TILES / "banepa_scene.tif", folder / "scene.tif", (720, 240, 576, 448))
    crop(TILES / "banepa_scene.tif", folder / "tall.tif", (720, 240, 256, 896))
    crop(TILES / "banepa_scene.tif", folder / "left.tif", (720, 240, 160, 192))
    crop(TILES / "banepa_scene.tif", folder / "right.tif", (880, 240, 160, 192))
    for name in ("town", "town_labels"):
        source = TILES / "landcover" / "train" / f"tile2_part5{'_labels.png' if 'labels' in name else '.jpg'}"
        crop(source, folder / f"{name}.tif", (96, 96, 320, 320))
    crop(TILES / "sentinel2" / "s2_086.jpg", folder / "s2.tif", (300, 100, 320, 320))
    tree = TILES / "trees" / "train" / "riverside_2020_16"
    for source, name in (
        (tree.with_suffix(".tif"), "trees.tif"),
        (tree.with_suffix(".geojson"), "trees.geojson"),
        (TILES / "banepa_scene_samples.geojson", "samples.geojson"),
        (TILES / "landcover" / "classes.toml", "classes.toml"),
        (TILES / "buildings" / "buildings.gpkg", "buildings.gpkg"),
    ):
        (folder / name).write_bytes(source.read_bytes())
    left, top, pixel = 9520568.67, 3202752.09, 0.1492910708693671
    ring = [(20, 15), (140, 30), (120, 170), (30, 150), (20, 15)]
    area = {"type": "Polygon", "coordinates": [[(left + pixel * x, top - pixel * y) for x, y in ring]]}
    crs = {"type": "name", "properties": {"name": "urn:ogc:def:crs:EPSG::3857"}}
    features = [{"type": "Feature", "properties": {}, "geometry": area}]
    text = json.dumps({"type": "FeatureCollection", "crs": crs, "features": features})
    (folder / "area.geojson").write_text(text, encoding="utf-8")
    for path in folder.iterdir():
        os.utime(path, (CHANGED, CHANGED))


def crop(source: Path, target: Path, window: tuple[int, int, int, int]) -> None:
    """Write the window (column, row, width, height) of a raster as a GeoTIFF with small blocks."""
    import warnings

    import rasterio
    from rasterio.errors import NotGeoreferencedWarning
    from rasterio.windows import Window

    warnings.simplefilter("ignore", NotGeoreferencedWarning)
    with rasterio.open(source) as raster:
        part = Window(*window)
        profile = {"driver": "GTiff", "dtype": raster.dtypes[0], "count": raster.count, "compress": "deflate"}
        size = {"width": window[2], "height": window[3], "tiled": True, "blockxsize": 128, "blockysize": 128}
        place = {"crs": raster.crs, "transform": raster.window_transform(part)} if raster.crs else {}
        with rasterio.open(target, "w", **profile, **size, **place) as out:
            out.write(raster.read(window=part))


def _of_case(digests: Digests, name: str) -> Digests:
    """Return the digests of a case's files by their paths in its folder; what is printed names that folder."""
    paths = {path: path.removeprefix(f"{name}/") for path in digests if path.startswith(f"{name}/")}
    return {paths[path]: digests[path] for path in paths if paths[path] != "stdout"}


if __name__ == "__main__":
    main()
