"""The arrows of the house: who may import whom, held by reading the source."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

# Imports go to the same rank or below.
RANKS = {
    "amounts": 0,  # numbers with their nouns
    "errors": 0,
    "classes": 0,
    "class_colors": 0,
    "outputs": 0,  # where they may go
    "surroundings": 0,  # runs before anything else is loaded
    "untrusted": 0,  # text that others wrote
    "disk": 0,
    "replacement": 0,  # of files, whatever is in them
    "geo": 1,
    "tiling": 2,
    "models": 2,
    "metrics": 2,
    "crf": 2,
    "vector": 2,
    "pairing": 2,  # names of files that belong together, for training and for use cases
    "training": 3,
    "dense": 3,
    "report": 3,
    "evaluation": 3,  # a noun, which reports show
}
USE_CASE = 4  # any module right below landseg that is not listed
TORCH = {"torch", "torchvision", "timm", "segmentation_models_pytorch"}
RASTERS = {"rasterio", "geopandas", "pyogrio", "pyproj", "fiona", "osgeo"}
HEAVY = TORCH | RASTERS | {"matplotlib", "PIL", "pandas", "shapely", "scipy"}
FACE = "landseg/__init__.py"
LIGHT = ("landseg/__init__.py", "landseg/errors.py", "landseg/classes.py", "landseg/runtime/surroundings.py")


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


def rank(parts: tuple[str, ...]) -> int:
    """How high in the house a module of landseg stands."""
    room = parts[1] if len(parts) > 1 else "__init__"
    return 0 if room in ("__init__", "__version__") else RANKS.get(room, USE_CASE)


def library_faults(path: str, tree: ast.Module) -> Iterator[str]:
    """What a module of landseg imports and must not."""
    parts = tuple(Path(path).with_suffix("").parts)
    room, package = parts[1], parts[:-1]
    for name in imports(tree, package):
        text = ".".join(name)
        if name[0] == "cli" or name[:2] == ("landseg", "cli"):
            yield f"{path} imports {text}: the library never imports the command line"
        elif path == FACE:  # names what every room offers, for type checkers: test_face.py holds that it stays light
            continue
        elif name[0] == "landseg" and rank(name) > rank(parts):
            yield f"{path} imports {text}: arrows run down only"
        if room in ("geo", "metrics") and name[0] in TORCH:
            yield f"{path} imports {text}: {room} knows no torch"
        if room == "models" and (name[0] in RASTERS or name[:2] == ("landseg", "geo")):
            yield f"{path} imports {text}: models know no rasters and no coordinates"
        if path != "landseg/models/networks/backbones.py" and name[0] in ("segmentation_models_pytorch", "timm"):
            yield f"{path} imports {text}: only models/backbones.py does"
    if path != "landseg/geo/rasters/raster.py" and opens_rasters(tree):
        yield f"{path} opens rasters: only geo/raster.py does"


def command_faults(path: str, tree: ast.Module) -> Iterator[str]:
    """What a module of the command line imports and must not."""
    for name in imports(tree, ("landseg", "cli")):
        if name[0] == "cli":
            yield f"{path} imports {'.'.join(name)}: there is no global module cli"
    absolute = (n for n in ast.walk(tree) if isinstance(n, ast.ImportFrom) and not n.level)
    if any((node.module or "").startswith("landseg.cli") for node in absolute):
        yield f"{path} imports landseg.cli by name: modules of cli/ import each other relatively"
    if opens_rasters(tree):
        yield f"{path} opens rasters: only geo/raster.py does"


def faults(root: Path) -> list[str]:
    """Every breach of the arrows in the tree below `root`, as sentences."""
    found = []
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


GOOD = {
    "landseg/__init__.py": "if TYPE_CHECKING:\n    from landseg.predict import predict",
    "landseg/predict.py": "import torch\nfrom landseg.geo.rasters.raster import Source\nfrom .tiling import windows",
    "landseg/geo/rasters/raster.py": "import rasterio\nfrom rasterio.vrt import WarpedVRT\nrasterio.open('a')",
    "landseg/geo/grid.py": "from .. import errors\nfrom ..classes import ClassMap\nimport rasterio",
    "landseg/models/networks/backbones.py": "import timm\nimport segmentation_models_pytorch",
    "cli/predict.py": "from . import run\ndef command():\n    import torch, landseg.predict",
    "cli/run.py": "import landseg.errors\nwith open('a') as f: pass",
}

BROKEN = {
    "library imports command line": ("landseg/geo/grid.py", "def f():\n    from landseg.cli import main"),
    "relative import of command line": ("landseg/predict.py", "from .cli.main import app"),
    "geo with torch": ("landseg/labels/polygons.py", "def f():\n    import torch.nn"),
    "metrics with torch": ("landseg/metrics/confusion.py", "from torch import Tensor"),
    "models with geo": ("landseg/models/card.py", "from ..geo.grid import Grid"),
    "models with geo as a name": ("landseg/models/card.py", "from landseg import geo"),
    "models with rasterio": ("landseg/models/card.py", "import rasterio"),
    "face with torch": ("landseg/__init__.py", "import torch"),
    "face with the command line": ("landseg/__init__.py", "def f():\n    from landseg.cli import main"),
    "geo upwards": ("landseg/geo/vectors/aoi.py", "from landseg.tiling.windows import Window"),
    "tiling upwards": ("landseg/tiling/windowed.py", "from landseg.predict import predict"),
    "rasterio.open elsewhere": ("landseg/geo/vectors/aoi.py", "import rasterio\nd = rasterio.open('a.tif')"),
    "imported open": ("landseg/geo/vectors/aoi.py", "from rasterio import open as look"),
    "WarpedVRT elsewhere": ("landseg/report/preview.py", "import rasterio.vrt as v\nv.WarpedVRT(1)"),
    "rasterio.open in a command": ("cli/info.py", "def f():\n    import rasterio\n    rasterio.open('a')"),
    "timm elsewhere": ("landseg/models/networks/fcn.py", "import timm"),
    "smp in a use case": ("landseg/train.py", "from segmentation_models_pytorch import Unet"),
    "utils": ("landseg/geo/utils.py", ""),
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


def test_sound_tree_passes(tmp_path: Path) -> None:
    assert_house(plant(tmp_path, GOOD))


@pytest.mark.parametrize("name", BROKEN)
def test_broken_tree_fails(tmp_path: Path, name: str) -> None:
    path, text = BROKEN[name]
    with pytest.raises(AssertionError):
        assert_house(plant(tmp_path, GOOD | {path: text}))
