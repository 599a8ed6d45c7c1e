"""Pairing of files by name: predictions, and the truth, imagery and probabilities of each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from landseg.errors import RasterError
from landseg.geo.rasters.address import as_on_disk, composed, label
from landseg.geo.rasters.raster import opens
from landseg.geo.vectors.names import is_vector
from landseg.runtime.replacement import refuse_unfinished_in
from landseg.text.amounts import counted, shorten_list

RASTERS = (".tif", ".tiff", ".png", ".vrt")
IMAGERY = (*RASTERS, ".jp2", ".img", ".jpg", ".jpeg")
LABELS = ("_labels", "-labels", "_label", "-label", "_mask", "-mask", "_truth", "-truth", "_gt", "-gt")
"""Endings of a label raster's stem that its image's stem lacks; below, the endings of other files."""
PROBS = ("_probs", "-probs", "_probabilities", "-probabilities")
IDS = ("_ids", "-ids", "_instances", "-instances", "_instance", "-instance", "_objects", "-objects")
IMAGES = ("_image", "-image", "_img", "-img", "_rgb", "-rgb")
Paths = str | Sequence[str]


def files_in(paths: Paths, suffixes: Sequence[str] = RASTERS) -> list[str]:
    """Return the named files, and the rasters in named folders, sorted.

    Raises:
        RasterError: a folder without rasters, or no path at all.
    """
    found: list[str] = []
    for path in _several(paths):
        if is_vector(path) or not is_folder_of_rasters(path):
            found.append(path)
            continue
        refuse_unfinished_in(Path(path), RasterError)
        rasters = rasters_in(as_on_disk(Path(path)), suffixes)
        if not rasters:
            raise RasterError(f"{path} holds no rasters; expected files that end in {', '.join(suffixes)}")
        found += map(str, rasters)
    if not found:
        raise RasterError("no raster given: name at least one")
    return found


def rasters_in(folder: Path, suffixes: Sequence[str]) -> list[Path]:
    """Return the rasters directly in a folder, sorted: files by their suffixes, and folders that are one raster each.

    Hidden files are left out.
    """
    there = [file for file in folder.iterdir() if not file.name.startswith(".")]
    return sorted(p for p in there if p.suffix.lower() in suffixes or (p.suffix and p.is_dir() and opens(p)))


def is_folder_of_rasters(path: str) -> bool:
    """Return whether a path is a folder that is not itself one raster, such as a Zarr store."""
    folder = as_on_disk(Path(path))
    return folder.is_dir() and not opens(folder)


def same_name(path: str, others: Sequence[str], endings: Sequence[str] = LABELS) -> list[str]:
    """Return the files of the same stem, endings aside; where any of them has such an ending, only those that have.

    Names that differ in the form of their accents alone are the same.

    >>> same_name("maps/a.tif", ["a.tif", "a_labels.tif", "b_labels.tif"]), same_name("a.tif", ["x/a.png"])
    (['a_labels.tif'], ['x/a.png'])
    """
    wanted = plain_stem(label(path), (*LABELS, *PROBS))
    found = [other for other in others if wanted in (plain_stem(label(other), endings), stem_of(other))]
    return [other for other in found if stem_of(other) != plain_stem(label(other), endings)] or found


def plain_stem(path: str | Path, endings: Sequence[str] = LABELS) -> str:
    """Return the stem of a file without some endings, its accents composed.

    >>> plain_stem("a/tile_7-mask.png"), plain_stem(Path("tile_7.tif"))
    ('tile_7', 'tile_7')
    """
    plain = stem_of(path)
    for ending in endings:
        plain = plain.removesuffix(ending)
    return plain


def stem_of(path: str | Path) -> str:
    """Return the stem of a file with its accents composed, so that stems can be compared."""
    return composed(Path(path).stem)


def named_twice(names: Sequence[str]) -> str | None:
    """Return the first name that comes twice, whatever the form of its accents; None where all names differ."""
    count = Counter(map(composed, names))
    return next((name for name in names if count[composed(name)] > 1), None)


def files_named_like(
    predictions: Sequence[str], paths: Paths | None, *, option: str, endings: Sequence[str], most: int | None = None
) -> list[list[str]]:
    """Return for every prediction the rasters that belong to it; empty lists where no raster is named at all.

    A single prediction takes all rasters that are named one by one. Otherwise, and from a folder, each prediction
    takes the raster of its own name (but for ``endings``).

    Args:
        predictions: files.
        paths: rasters, or folders of them.
        option: the command line's option, for sentences.
        endings: endings that may follow the prediction's name.
        most: number of rasters that a single prediction may have; None: any number.

    Raises:
        RasterError: a prediction has no raster, or too many.
    """
    if paths is None or not list(_several(paths)):
        return [[] for _ in predictions]
    others = files_in(paths, IMAGERY)
    if len(predictions) == 1 and not any(map(is_folder_of_rasters, _several(paths))):
        if most is not None and len(others) > most:
            raise RasterError(f"{option} names {counted(len(others), 'raster')} for one prediction; name one")
        return [others]
    found = [same_name(path, others, endings) for path in predictions]
    for path, own in zip(predictions, found, strict=True):
        if len(own) != 1:
            there = ", ".join(label(one) for one in own[:3]) or "none"
            raise RasterError(
                f"{option}: expected one raster named as {Path(label(path)).name} is, got {there}; "
                "name one for each prediction, or a folder of them"
            )
    return found


def scene_names(paths: Sequence[str]) -> tuple[str, ...]:
    """Return a name for each raster: that of the file, and of its folder where two files have one name.

    >>> scene_names(["maps/a.tif", "maps/b.tif"]), scene_names(["x/map.tif", "y/map.tif"])
    (('a.tif', 'b.tif'), ('x/map.tif', 'y/map.tif'))
    """
    plain = [Path(label(path)) for path in paths]
    twice = Counter(composed(path.name) for path in plain)
    return tuple("/".join(path.parts[-2:]) if twice[composed(path.name)] > 1 else path.name for path in plain)


def named(paths: Paths) -> str:
    """Return the named paths for a sentence: the first, and the number of the others."""
    return shorten_list([label(path) for path in _several(paths)], 1)


def _several(paths: Paths) -> list[str]:
    return [paths] if isinstance(paths, str) else list(paths)
