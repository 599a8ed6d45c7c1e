"""PolygonFiles: the vector files that labels name, one for all images or one for each."""

from __future__ import annotations

import glob
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from landseg.geo.rasters.address import as_on_disk
from landseg.geo.rasters.raster import opens
from landseg.geo.vectors.names import PARQUET, is_there, is_vector, split_layer, stem_of
from landseg.labels.pairing import IMAGERY, rasters_in
from landseg.text.amounts import shorten_list

_UNCLEAR = (".json", ".zip")
"""Suffixes of vector files that in a folder may be anything: these are named by a glob, or one by one."""


@dataclass(frozen=True)
class PolygonFiles:
    """Vector files as labels of images.

    Attributes:
        names: files, or layers of them, ``FILE:LAYER``.
        shared: one file labels all images; otherwise each file labels the image of its name.
        said: the words of a user that mean them, for sentences.
    """

    names: tuple[str, ...]
    shared: bool
    said: str

    @classmethod
    def named(cls, names: Sequence[str], *, asked: bool = False) -> PolygonFiles | None:
        """Return the vector files that the names of labels mean; None where these mean rasters.

        A single vector file, or a folder with one shapefile and no raster, labels all images. Several files, and
        those of folders and globs, label the images of their names. After a folder or a glob, ``:LAYER`` names the
        layer of each.

        Args:
            names: files, folders or globs.
            asked: folders and globs of both rasters and vector files mean the latter.
        """
        if len(names) == 1 and (_is_file(names[0]) or _is_shapefile(names[0])):
            return cls((names[0],), True, names[0])
        contents = [_contents(name) for name in names]
        found = [file for vectors, _ in contents for file in vectors]
        if not found or (not asked and any(others for _, others in contents)):
            return None
        return cls(tuple(dict.fromkeys(found)), False, shorten_list(names))

    @property
    def described(self) -> str:
        """The words of the user and what they mean, as the beginning of a sentence."""
        return f"{self.said} is a vector file" if self.shared else f"the labels {self.said} are vector files"

    @property
    def title(self) -> str:
        """The name for all their polygons: that of the file or layer, or of the folder that holds several files."""
        if self.shared:
            return stem_of(self.names[0])
        folders = [os.path.dirname(os.path.abspath(split_layer(name)[0])) for name in self.names]
        return os.path.basename(os.path.commonpath(folders)) or stem_of(self.names[0])


def images_and_labels(paths: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return the images and the labels among paths: labels are the last path, or all vector files at the end.

    The first path is an image in any case. GeoParquet before the last path is a list of images.

    >>> images_and_labels(["a.tif", "b.tif", "a.gpkg", "b.gpkg"]), images_and_labels(["a.tif", "labels"])
    ((['a.tif', 'b.tif'], ['a.gpkg', 'b.gpkg']), (['a.tif'], ['labels']))
    """
    first = max(1, len(paths) - 1)
    while first > 1 and _ends_a_list(paths[first - 1]) and is_vector(paths[-1]):
        first -= 1
    return list(paths[:first]), list(paths[first:])


def _ends_a_list(path: str) -> bool:
    return is_vector(path) and Path(path).suffix.lower() not in PARQUET


def _is_file(name: str) -> bool:
    """Return whether a name is that of one vector file, which need not be there."""
    return is_vector(name) and (is_there(name) or not glob.has_magic(split_layer(name)[0]))


def _is_shapefile(name: str) -> bool:
    """Return whether a folder holds one shapefile and no raster, so that it is read as that file."""
    folder = Path(name)
    if not folder.is_dir() or opens(folder):
        return False
    vectors, others = _contents(name)
    return [Path(file).suffix.lower() for file in vectors] == [".shp"] and not others


def _contents(name: str) -> tuple[list[str], bool]:
    """Return the vector files that a name means, sorted, and whether it means others as well."""
    if _is_file(name):
        return [name], False
    file, layer = split_layer(name)
    place = as_on_disk(Path(file))
    if place.is_dir() and not opens(place):
        there = sorted(path for path in place.iterdir() if not path.name.startswith("."))
        vectors = [path for path in there if is_vector(path) and path.suffix.lower() not in _UNCLEAR]
        others = bool(rasters_in(place, IMAGERY))
    else:
        there = [] if place.exists() else sorted(map(Path, glob.glob(file, recursive=True)))
        vectors = [path for path in there if is_vector(path)]
        others = len(vectors) < len(there) or place.exists()
    return [str(path) if layer is None else f"{path}:{layer}" for path in vectors], others
