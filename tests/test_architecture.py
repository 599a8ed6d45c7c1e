"""The arrows of the house: who may import whom, held by reading the source."""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

# The whole table of arrows: the rooms that each room imports, deferred imports counted. A room is a folder; the
# files of the root are the commands, and these two.
ROOMS: dict[str, str] = {
    "errors": "",
    "text": "errors",
    "classes": "errors text",
    "runtime": "errors text",
    "geo": "classes errors text",
    "geo.rasters": "errors geo runtime text",
    "geo.vectors": "errors geo runtime text",
    "metrics": "classes",
    "models.layers": "errors",
    "models.graph": "errors models.layers runtime",
    "models.networks": "errors models.graph models.layers text",
    "models": "classes errors models.graph models.networks runtime text",
    "labels": "classes errors geo geo.rasters geo.vectors runtime text",
    "output": "classes errors geo geo.rasters runtime text",
    "tiling": "errors geo models.layers runtime text",
    "tiling.rows": "errors geo models.graph models.layers runtime tiling",
    "tiling.compiled": "errors geo models.graph runtime tiling",
    "dense": "classes errors geo labels metrics models models.graph models.layers output runtime text tiling vector "
    "vector.topology",
    "dense.keypoints": "dense errors geo metrics text",
    "crf": "classes errors geo geo.rasters labels text tiling",
    "vector.topology": "geo",
    "vector": "classes errors geo geo.rasters geo.vectors labels output runtime text vector.topology",
    "inference": "classes crf dense errors geo geo.rasters geo.vectors labels models models.graph output runtime "
    "text tiling tiling.compiled tiling.rows vector",
    "scenes": "classes dense errors geo geo.rasters geo.vectors labels text",
    "evaluation": "classes errors geo geo.rasters geo.vectors labels metrics models output runtime text vector",
    "evaluation.objects": "errors evaluation geo geo.rasters geo.vectors labels metrics runtime text",
    "evaluation.panoptic": "classes errors evaluation evaluation.objects geo geo.rasters geo.vectors labels metrics "
    "runtime text",
    "evaluation.points": "errors evaluation evaluation.objects geo geo.rasters geo.vectors labels metrics text",
    "training.coarse": "classes dense errors geo geo.rasters labels scenes text",
    "report": "classes errors evaluation evaluation.objects evaluation.panoptic evaluation.points geo "
    "geo.rasters inference labels models models.graph output runtime scenes text tiling vector",
    "report.html": "classes errors evaluation evaluation.objects geo geo.rasters labels metrics report text",
    "report.viewer": "errors geo geo.rasters report report.html text",
    "training": "classes dense errors geo geo.rasters geo.vectors inference labels models models.graph "
    "models.networks output runtime scenes text training.coarse",
    "training.loop": "classes dense errors geo models models.networks report runtime scenes text training",
}
COMMANDS = (
    "areas", "calibrate", "compare", "data", "evaluate", "export", "info", "predict", "rasterize", "refine", "train",
    "verify", "view",
)  # fmt: skip
NOT_FOR_COMMANDS = {"vector.topology", "models.layers"}  # rooms that the root's files leave to other rooms
MAY_NAME_TORCH = ("landseg/runtime/device.py", "landseg/runtime/fused.py", "landseg/runtime/live_bytes.py")
NO_TORCH = (
    "geo", "metrics", "text", "labels", "output", "vector", "crf", "evaluation", "report", "runtime", "inference",
)  # fmt: skip
TORCH = {"torch", "torchvision", "timm", "segmentation_models_pytorch"}
RASTERS = {"rasterio", "geopandas", "pyogrio", "pyproj", "fiona", "osgeo"}
HEAVY = TORCH | RASTERS | {"matplotlib", "PIL", "pandas", "shapely", "scipy"}
FACE = "landseg/__init__.py"
LIGHT = (
    "landseg/__init__.py", "landseg/errors.py", "landseg/classes.py", "landseg/runtime/surroundings.py",
    "landseg/geo/rasters/address.py", *(f"landseg/{name}.py" for name in COMMANDS),
)  # fmt: skip


def imports(tree: ast.AST, module: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    """Every name that `tree` imports, absolute and split at the dots; `module` is the importer's package."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (tuple(alias.name.split(".")) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = module[: len(module) - node.level + 1] if node.level else ()
            parts = (*base, *(node.module.split(".") if node.module else ()))
            yield from ((*parts, alias.name) for alias in node.names)


def top_level(tree: ast.Module) -> ast.Module:
    """The part of a module that runs when it is imported: everything but the bodies of functions."""

    class Strip(ast.NodeTransformer):
        def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
            return None

        visit_AsyncFunctionDef = visit_FunctionDef  # type: ignore[assignment]

    return Strip().visit(ast.parse(ast.unparse(tree)))


def opens_rasters(tree: ast.AST) -> bool:
    """True where rasterio's ways to open a file are named, however they are imported."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and node.attr in ("open", "WarpedVRT"):
            owner = ast.unparse(node.value)
            if owner in ("rasterio", "rasterio.vrt", "vrt", "rasterio.io") or node.attr == "WarpedVRT":
                return True
        if (
            isinstance(node, ast.ImportFrom)
            and (node.module or "").startswith("rasterio")
            and any(alias.name in ("open", "WarpedVRT") for alias in node.names)
        ):
            return True
    return False


def room_of(module: tuple[str, ...]) -> str | None:
    """Return the room of a module: its folder, "errors" or "classes"; "" for a command, None for the face."""
    inner = module[1:]
    if not inner or inner == ("__init__",):
        return None
    if len(inner) == 1:
        return inner[0] if inner[0] in ROOMS else ""
    return ".".join(inner[:-1])


def modules_below(root: Path) -> dict[tuple[str, ...], Path]:
    """Return the file of every module below `root`/landseg, by its dotted name split at the dots."""
    return {file.relative_to(root).with_suffix("").parts: file for file in sorted((root / "landseg").rglob("*.py"))}


def imported_modules(
    module: tuple[str, ...], tree: ast.Module, known: dict[tuple[str, ...], Path]
) -> Iterator[tuple[str, ...]]:
    """Yield the modules of landseg that a module imports, wherever in it."""
    for name in imports(tree, module[:-1]):
        if name in known:
            yield name
        elif name[:-1] in known:
            yield name[:-1]


def arrow_faults(root: Path) -> Iterator[str]:
    """Yield arrows that the table does not have, arrows of the table that no import draws, and circles of files."""
    known = modules_below(root)
    graph: dict[tuple[str, ...], set[tuple[str, ...]]] = {}
    drawn: set[tuple[str, str]] = set()
    for module, file in known.items():
        here = room_of(module)
        if module[-1] == "__init__":
            continue
        if here == "" and module[1] not in COMMANDS:
            yield f"landseg/{module[1]}.py is no command: give it a room"
        if here and here not in ROOMS:
            yield f"{'.'.join(module)} lies in a room that the table does not have"
            continue
        graph[module] = set(imported_modules(module, ast.parse(file.read_text()), known)) - {module}
        for other in graph[module]:
            there = room_of(other)
            if there is None or here == there != "":
                continue
            if here == "":
                if there == "" or there in NOT_FOR_COMMANDS:
                    yield f"{'.'.join(module)} imports {'.'.join(other)}: a command imports rooms, and not this one"
            elif there not in ROOMS[here or ""].split():
                yield f"{'.'.join(module)} imports {'.'.join(other)}: the table has no arrow {here} -> {there}"
            else:
                drawn.add((here or "", there))
    there_are = {room_of(module) for module in graph}
    for room, others in ROOMS.items():
        if room in there_are:
            yield from (f"no import draws {room} -> {to}" for to in others.split() if (room, to) not in drawn)
    yield from (f"{' <-> '.join('.'.join(one) for one in circle)} form a circle" for circle in circles(graph))


def circles(graph: dict[tuple[str, ...], set[tuple[str, ...]]]) -> list[list[tuple[str, ...]]]:
    """Return what is left of a graph when nodes that lead nowhere are taken away again and again: its circles."""
    left = {node: set(to) & set(graph) for node, to in graph.items()}
    while ends := [node for node, to in left.items() if not to]:
        for node in ends:
            del left[node]
        for to in left.values():
            to.difference_update(ends)
    return [sorted(left)] if left else []


def library_faults(path: str, tree: ast.Module) -> Iterator[str]:
    """Yield what a module of landseg imports and must not, whatever the arrows."""
    parts = tuple(Path(path).with_suffix("").parts)
    room, package = parts[1], parts[:-1]
    for name in imports(tree, package):
        text = ".".join(name)
        if name[0] == "cli" or name[:2] == ("landseg", "cli"):
            yield f"{path} imports {text}: the library never imports the command line"
        elif path == FACE:  # names what every room offers, for type checkers: test_face.py holds that it stays light
            continue
        if room in NO_TORCH and name[0] in TORCH and path not in MAY_NAME_TORCH:
            yield f"{path} imports {text}: {room} knows no torch"
        if room == "models" and (name[0] in RASTERS or name[:2] == ("landseg", "geo")):
            yield f"{path} imports {text}: models know no rasters and no coordinates"
        if path != "landseg/models/networks/backbones.py" and name[0] in ("segmentation_models_pytorch", "timm"):
            yield f"{path} imports {text}: only models/networks/backbones.py does"
    if path != "landseg/geo/rasters/raster.py" and opens_rasters(tree):
        yield f"{path} opens rasters: only geo/rasters/raster.py does"


def command_faults(path: str, tree: ast.Module) -> Iterator[str]:
    """What a module of the command line imports and must not."""
    for name in imports(tree, ("landseg", "cli")):
        if name[0] == "cli":
            yield f"{path} imports {'.'.join(name)}: there is no global module cli"
    absolute = (n for n in ast.walk(tree) if isinstance(n, ast.ImportFrom) and not n.level)
    if any((node.module or "").startswith("landseg.cli") for node in absolute):
        yield f"{path} imports landseg.cli by name: modules of cli/ import each other relatively"
    if opens_rasters(tree):
        yield f"{path} opens rasters: only geo/rasters/raster.py does"


def faults(root: Path) -> list[str]:
    """Every breach of the arrows in the tree below `root`, as sentences."""
    found = list(arrow_faults(root))
    for folder, check in (("landseg", library_faults), ("cli", command_faults)):
        for file in sorted((root / folder).rglob("*.py")):
            path = file.relative_to(root).as_posix()
            tree = ast.parse(file.read_text())
            found += check(path, tree)
            if file.name in ("utils.py", "util.py", "helpers.py", "common.py", "misc.py"):
                found.append(f"{path}: a name that says nothing; put its content where it is used")
            if folder == "cli" or path in LIGHT:
                heavy = {name[0] for name in imports(top_level(tree), ("landseg", folder))} & HEAVY
                found += [f"{path} imports {name} when it loads: do it inside a function" for name in heavy]
    return found


def assert_house(root: Path) -> None:
    assert faults(root) == []


def test_house() -> None:
    assert len(list((ROOT / "landseg").rglob("*.py"))) > 10
    assert_house(ROOT)
    assert len(list((ROOT / "landseg").glob("*.py"))) <= 16


def test_the_table_has_no_circle() -> None:
    table = {(room,): {(to,) for to in others.split()} for room, others in ROOMS.items()}
    assert circles(table) == []
    assert circles(table | {("errors",): {("training",)}}) != []


GOOD = {
    "landseg/__init__.py": "if TYPE_CHECKING:\n    from landseg.predict import predict",
    "landseg/errors.py": "",
    "landseg/predict.py": "from .tiling import windows\ndef f():\n    import torch, landseg.geo.rasters.raster",
    "landseg/geo/rasters/raster.py": "import rasterio\nfrom rasterio.vrt import WarpedVRT\nrasterio.open('a')",
    "landseg/tiling/windows.py": "",
    "landseg/models/networks/backbones.py": "import timm\nimport segmentation_models_pytorch",
    "landseg/metrics/figures.py": "import numpy",
    "landseg/metrics/area.py": "from landseg.metrics import figures",
    "cli/predict.py": "from . import run\ndef command():\n    import torch, landseg.predict",
    "cli/run.py": "import landseg.errors\nwith open('a') as f: pass",
}
IN_THE_GOOD = {"geo.rasters": "", "tiling": "", "models.networks": "", "metrics": "", "errors": ""}
"""The arrows between the rooms of `GOOD`: none."""

BROKEN = {
    "library imports command line": ("landseg/geo/rasters/grid.py", "def f():\n    from landseg.cli import main"),
    "relative import of command line": ("landseg/predict.py", "from .cli.main import app"),
    "geo with torch": ("landseg/geo/rasters/bands.py", "def f():\n    import torch.nn"),
    "metrics with torch": ("landseg/metrics/confusion.py", "from torch import Tensor"),
    "models with geo": ("landseg/models/networks/fcn.py", "from ...geo.rasters.raster import RasterFile"),
    "models with geo as a name": ("landseg/models/networks/fcn.py", "from landseg import geo"),
    "models with rasterio": ("landseg/models/networks/fcn.py", "import rasterio"),
    "face with torch": ("landseg/__init__.py", "import torch"),
    "face with the command line": ("landseg/__init__.py", "def f():\n    from landseg.cli import main"),
    "an arrow that the table lacks": ("landseg/geo/rasters/aoi.py", "from landseg.tiling.windows import Window"),
    "a deferred arrow": ("landseg/geo/rasters/aoi.py", "def f():\n    from landseg.tiling import windows"),
    "a room that imports a command": ("landseg/tiling/stream.py", "from landseg.predict import predict"),
    "a command that imports a command": ("landseg/train.py", "def f():\n    from landseg.predict import predict"),
    "no command in the root": ("landseg/tally.py", ""),
    "a room without a place in the table": ("landseg/stuff/thing.py", ""),
    "a circle of files in one room": ("landseg/metrics/figures.py", "def f():\n    from landseg.metrics import area"),
    "rasterio.open elsewhere": ("landseg/geo/rasters/aoi.py", "import rasterio\nd = rasterio.open('a.tif')"),
    "imported open": ("landseg/geo/rasters/aoi.py", "from rasterio import open as look"),
    "WarpedVRT elsewhere": ("landseg/metrics/preview.py", "import rasterio.vrt as v\nv.WarpedVRT(1)"),
    "rasterio.open in a command": ("cli/info.py", "def f():\n    import rasterio\n    rasterio.open('a')"),
    "timm elsewhere": ("landseg/models/networks/fcn.py", "import timm"),
    "a heavy command of the library": ("landseg/train.py", "import torch"),
    "smp in a use case": ("landseg/train.py", "from segmentation_models_pytorch import Unet"),
    "utils": ("landseg/metrics/utils.py", ""),
    "heavy command": ("cli/info.py", "from rasterio.crs import CRS"),
    "heavy errors": ("landseg/errors.py", "try:\n    import torch\nexcept ImportError:\n    pass"),
    "command by its installed name": ("cli/info.py", "from landseg.cli import run"),
    "global cli": ("cli/info.py", "from cli import run"),
}


def plant(root: Path, files: dict[str, str]) -> Path:
    for path, text in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)
    return root


def test_sound_tree_passes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.modules[__name__], "ROOMS", IN_THE_GOOD)
    assert_house(plant(tmp_path, GOOD))


@pytest.mark.parametrize("name", BROKEN)
def test_broken_tree_fails(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.modules[__name__], "ROOMS", IN_THE_GOOD)
    path, text = BROKEN[name]
    found = faults(plant(tmp_path, GOOD | {path: text}))
    assert found and all(path[:-3].replace("/", ".") in one.replace("/", ".") for one in found), found


def test_an_arrow_that_no_import_draws_is_struck_from_the_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.modules[__name__], "ROOMS", IN_THE_GOOD | {"metrics": "tiling"})
    assert faults(plant(tmp_path, GOOD)) == ["no import draws metrics -> tiling"]
