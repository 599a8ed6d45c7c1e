"""Which files belong together: predictions, and the truth, imagery and probabilities of each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from landseg.errors import RasterError
from landseg.geo.address import label
from landseg.geo.vectorname import is_vector
from landseg.replacement import refuse_unfinished_in

RASTERS = (".tif", ".tiff", ".png", ".vrt")
IMAGERY = (*RASTERS, ".jp2", ".img", ".jpg", ".jpeg")
LABELS = ("_labels", "-labels", "_label", "-label", "_mask", "-mask", "_truth", "-truth", "_gt", "-gt")
"""Ends of a label raster's stem that its image's has not; then those of others."""
PROBS = ("_probs", "-probs", "_probabilities", "-probabilities")
IMAGES = ("_image", "-image", "_img", "-img", "_rgb", "-rgb")
Paths = str | Sequence[str]


def files_in(paths: Paths, suffixes: Sequence[str] = RASTERS) -> list[str]:
    """Files as named, and the rasters in folders, sorted.

    Raises:
        RasterError: a folder without rasters, or nothing named.
    """
    found: list[str] = []
    for path in _several(paths):
        folder = Path(path)
        if is_vector(path) or not folder.is_dir():
            found.append(path)
            continue
        refuse_unfinished_in(folder, RasterError)
        rasters = sorted(str(file) for file in folder.iterdir() if file.suffix.lower() in suffixes)
        if not rasters:
            raise RasterError(f"{path} holds no rasters; expected files that end in {', '.join(suffixes)}")
        found += rasters
    if not found:
        raise RasterError("no raster given: name at least one")
    return found


def same_name(path: str, others: Sequence[str], endings: Sequence[str] = LABELS) -> list[str]:
    """Those of the same stem, endings aside; where some of them have such an ending, only these.

    >>> same_name("maps/a.tif", ["a.tif", "a_labels.tif", "b_labels.tif"]), same_name("a.tif", ["x/a.png"])
    (['a_labels.tif'], ['x/a.png'])
    """
    wanted = plain_stem(label(path), (*LABELS, *PROBS))
    found = [other for other in others if wanted in (plain_stem(label(other), endings), Path(other).stem)]
    return [other for other in found if Path(other).stem != plain_stem(label(other), endings)] or found


def plain_stem(path: str | Path, endings: Sequence[str] = LABELS) -> str:
    """The stem of a file without some endings.

    >>> plain_stem("a/tile_7-mask.png"), plain_stem(Path("tile_7.tif"))
    ('tile_7', 'tile_7')
    """
    plain = Path(path).stem
    for ending in endings:
        plain = plain.removesuffix(ending)
    return plain


def beside(
    predictions: Sequence[str], paths: Paths | None, *, option: str, endings: Sequence[str], most: int | None = None
) -> list[list[str]]:
    """For every prediction the rasters that were named for it; empty lists where none were named at all.

    A single prediction takes all that are named one by one. Otherwise, and from a folder, each prediction takes the
    one of its own name (but for ``endings``).

    Args:
        predictions: files.
        paths: rasters, or folders of them.
        option: where they were named.
        endings: of names, that may follow the prediction's.
        most: rasters for a single prediction; None: any number.

    Raises:
        RasterError: a prediction has none, or too many.
    """
    if paths is None or not list(_several(paths)):
        return [[] for _ in predictions]
    others = files_in(paths, IMAGERY)
    if len(predictions) == 1 and not any(Path(path).is_dir() for path in _several(paths)):
        if most is not None and len(others) > most:
            raise RasterError(f"{option} names {len(others)} rasters for one prediction; name one")
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
    """A name for each raster: that of the file, and of its folder where two files have one name.

    >>> scene_names(["maps/a.tif", "maps/b.tif"]), scene_names(["x/map.tif", "y/map.tif"])
    (('a.tif', 'b.tif'), ('x/map.tif', 'y/map.tif'))
    """
    plain = [Path(label(path)) for path in paths]
    twice = Counter(path.name for path in plain)
    return tuple("/".join(path.parts[-2:]) if twice[path.name] > 1 else path.name for path in plain)


def named(paths: Paths) -> str:
    """What was named, for people: the first, and how many more."""
    many = _several(paths)
    return label(many[0]) + (f" and {len(many) - 1} more" if len(many) > 1 else "")


def _several(paths: Paths) -> list[str]:
    return [paths] if isinstance(paths, str) else list(paths)
