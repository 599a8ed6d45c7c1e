"""Data of PROJ and GDAL that other programs leave in the environment, kept from libraries of another version.

PostGIS, QGIS or OSGeo4W set PROJ_LIB, PROJ_DATA and GDAL_DATA for the libraries that they bring along. Those in the
wheels of rasterio and pyogrio follow such variables, find data of another version or none, and then know no
coordinate system. Imports nothing heavy: this runs before those libraries are loaded.
"""

from __future__ import annotations

import importlib.util
import logging
import os
import sys
from collections.abc import Iterator, MutableMapping
from contextlib import closing, suppress
from pathlib import Path

_PROJ = ("PROJ_DATA", "PROJ_LIB")
_WHEELS = ("rasterio", "pyogrio")
_PLUGINS = (".so", ".dylib", ".dll")

_log = logging.getLogger(__name__)


def settle(environ: MutableMapping[str, str] = os.environ) -> list[str]:
    """Remove from the environment what names data of another version than the wheels', and return a sentence on each.

    Without data in the wheels (libraries of the system, of conda) everything stays.
    """
    sentences = [*_foreign_proj(environ), *_foreign_gdal(environ)]
    if sentences:
        _log.warning("%s", "; ".join(sentences))
    return sentences


def _foreign_proj(environ: MutableMapping[str, str]) -> Iterator[str]:
    """Remove the variables that name a folder without a proj.db that fits the wheels'; yield a sentence on them."""
    named = {name: environ[name] for name in _PROJ if environ.get(name)}
    if not named:
        return
    own = [folder for wheel in _WHEELS if (folder := _data_of(wheel, "proj_data")) is not None]
    layouts = [layout for folder in own if (layout := _layout(folder)) is not None]
    if not layouts:
        return
    wanted, found = max(layouts), {name: _layout(Path(value)) for name, value in named.items()}
    foreign = [name for name in named if not _fits(found[name], wanted)]
    for name in foreign:
        del environ[name]
    if foreign:
        what = " and ".join(f"{name}={named[name]} ({_called(found[name])})" for name in foreign)
        yield f"{what} was left out: the libraries here need layout {wanted[0]}.{wanted[1]} and bring their own data"
    if "rasterio" in sys.modules and not any(name in environ for name in _PROJ):
        with suppress(Exception):  # it has read the variables already; where it keeps to them, reading fails
            sys.modules["rasterio"]._env.set_proj_data_search_path(os.fspath(own[0]))


def _foreign_gdal(environ: MutableMapping[str, str]) -> Iterator[str]:
    """Remove the variables that name data or plugins of another GDAL; yield a sentence on each."""
    if not (environ.get("GDAL_DATA") or environ.get("GDAL_DRIVER_PATH")):
        return
    own = _data_of("rasterio", "gdal_data")
    if own is None:
        return
    value = environ.get("GDAL_DATA")
    if value and not _same_files(own, Path(value)):
        del environ["GDAL_DATA"]
        yield f"GDAL_DATA={value} was left out: it is of another GDAL, and the libraries here bring their own"
    value = environ.get("GDAL_DRIVER_PATH")
    if value and any(_has_plugins(Path(folder)) for folder in value.split(os.pathsep)):
        del environ["GDAL_DRIVER_PATH"]
        yield f"GDAL_DRIVER_PATH={value} was left out: its plugins were made for another GDAL"


def _data_of(wheel: str, folder: str) -> Path | None:
    """Return the folder of data inside a package; None where it has none."""
    spec = importlib.util.find_spec(wheel)
    if spec is None or spec.origin is None:
        return None
    found = Path(spec.origin).parent / folder
    return found if found.is_dir() else None


def _layout(folder: Path) -> tuple[int, int] | None:
    """Return the version of the tables in a folder's proj.db; None without one, or for several folders."""
    import sqlite3

    file = folder / "proj.db"
    try:
        if not file.is_file():
            return None
        with closing(sqlite3.connect(f"{file.resolve().as_uri()}?mode=ro&immutable=1", uri=True)) as tables:
            rows = dict(tables.execute("SELECT key, value FROM metadata WHERE key LIKE 'DATABASE.LAYOUT.VERSION.%'"))
        return int(rows["DATABASE.LAYOUT.VERSION.MAJOR"]), int(rows["DATABASE.LAYOUT.VERSION.MINOR"])
    except (sqlite3.Error, KeyError, ValueError, OSError):
        return None


def _fits(found: tuple[int, int] | None, wanted: tuple[int, int]) -> bool:
    """Return True if PROJ takes a layout in place of its own: of the same major version, and no older."""
    return found is not None and found[0] == wanted[0] and found[1] >= wanted[1]


def _called(found: tuple[int, int] | None) -> str:
    return "no proj.db" if found is None else f"a proj.db of layout {found[0]}.{found[1]}"


def _same_files(own: Path, other: Path) -> bool:
    """Return True if every file of one folder is in the other too, at the same size."""
    try:
        return all(
            (other / file.name).stat().st_size == file.stat().st_size for file in own.iterdir() if file.is_file()
        )
    except (OSError, ValueError):
        return False


def _has_plugins(folder: Path) -> bool:
    try:
        names = [file.name.lower() for file in folder.iterdir()]
    except (OSError, ValueError):
        return False
    return any(name.startswith(("gdal_", "ogr_")) and name.endswith(_PLUGINS) for name in names)
