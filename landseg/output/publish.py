"""Finished files of a run, built in the hidden work folders from which they are put in place."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from landseg.errors import OutputError
from landseg.geo.grid import Grid, Rect
from landseg.geo.tags import aux_path, qml_path
from landseg.output.cog import BLOCK, check_cog, parts_text, raw_text, vrt_text, write_cog
from landseg.output.layer import Layer
from landseg.output.overviews import write_overviews
from landseg.output.styles import aux_text, raster_qml
from landseg.runtime.disk import RECORD, disk_errors, sync_file, sync_folder, work_folder
from landseg.runtime.replacement import Move


def raw_path(layer: Layer) -> Path:
    """Return the path of the raw pixels of a layer."""
    return work_folder(layer.path) / f"{layer.raw_name}.raw"


def write_vrt(
    layer: Layer,
    grid: Grid,
    tags: Mapping[str, str],
    parts: Sequence[Rect] | None = None,
    overviews: Sequence[tuple[Path, tuple[int, int]]] = (),
) -> Path:
    """Write a raster file that shows the raw pixels of a layer, as written so far, on their grid; return its path.

    Of a raster that is filled in `parts` alone it shows no data elsewhere, and reads nothing there. It has the
    `overviews` whose raw files are given, with their (height, width).
    """
    path = work_folder(layer.path) / f"{layer.raw_name}.vrt"
    raw = raw_path(layer).name
    with disk_errors(path):
        if parts is None:
            for file, shape in overviews:
                file.with_suffix(".vrt").write_text(raw_text(layer, shape, file.name), encoding="utf-8")
            names = [file.with_suffix(".vrt").name for file, _ in overviews]
            path.write_text(vrt_text(layer, grid, raw, tags, names), encoding="utf-8")
        else:
            plain = path.with_name("raw.vrt" if not layer.scratch else f"{layer.raw_name}-raw.vrt")
            plain.write_text(raw_text(layer, grid.shape, raw), encoding="utf-8")
            path.write_text(parts_text(layer, grid, plain.name, tags, parts), encoding="utf-8")
    return path


def build_layer(layer: Layer, grid: Grid, tags: Mapping[str, str], parts: Sequence[Rect] | None = None) -> list[Move]:
    """Build a layer's COG and companion files, durable and checked; return the renames to do, the raster's last.

    Raises:
        OutputError: the disk is full, or the COG does not read back.
    """
    cog = work_folder(layer.path) / layer.path.name
    overviews = write_overviews(layer, grid, raw_path(layer), block=BLOCK) if parts is None else []
    write_cog(write_vrt(layer, grid, tags, parts, overviews), cog, layer, grid, sparse=parts is not None)
    for file, _ in overviews:
        file.unlink()
        file.with_suffix(".vrt").unlink()
    check_cog(cog, layer, grid)
    sync_file(cog)
    aux_path(cog).unlink(missing_ok=True)  # GDAL's own, which says less than landseg's
    sidecars = {}
    if layer.classes:
        sidecars = {aux_path: aux_text(layer.classes), qml_path: raster_qml(layer.classes)}
    moves = []
    for place, text in sidecars.items():
        with disk_errors(layer.path):
            place(cog).write_text(text, encoding="utf-8")
        sync_file(place(cog))
        moves.append((place(cog), place(layer.path)))
    return [*moves, (cog, layer.path)]


def build_extra(extra: Path, folder: Path) -> list[Move]:
    """Return the renames of an extra file and of all files in the folder that it waits in, durable, its own last.

    An extra that is a folder is renamed as a whole.

    Raises:
        OutputError: it was never written.
    """
    if (made := folder / extra.name).is_dir():
        for file in made.iterdir():
            sync_file(file, called=extra / file.name)
        sync_folder(made)
        return [(made, extra)]
    found = folder.iterdir() if folder.is_dir() else ()
    files = [file for file in found if file.is_file() and file.name != RECORD]
    files.sort(key=lambda file: (file.name == extra.name, file.name))
    if not files or files[-1].name != extra.name:
        raise OutputError(f"{extra} was to be written but is not there; run again with --resume")
    for file in files:
        sync_file(file)
    return [(file, extra.with_name(file.name)) for file in files]
