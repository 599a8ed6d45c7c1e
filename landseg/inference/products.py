"""The files that a run of `predict` makes: the layers and further files of the model's task."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

from landseg.classes import ClassMap
from landseg.dense.panoptic_files import FOLDER, PANOPTIC
from landseg.dense.task import Request, Task
from landseg.errors import OutputError
from landseg.geo.rasters.source import Source
from landseg.inference.options import FILES, OBJECT_FILES, OBJECTS, PANOPTIC_TILE, PredictOptions
from landseg.output.extra_folder import ExtraFolder
from landseg.output.layer import Layer
from landseg.output.outputs import Outputs
from landseg.output.vector_formats import FORMATS, refuse_table, vector_format
from landseg.runtime.progress import Shown
from landseg.runtime.target_checks import check_local, check_suffix

DrawPreview = Callable[[Source, Path, ClassMap, Path, Path | None], None]
"""A function that draws a source, its finished class raster and the raster of objects if there is one, to a file."""


@dataclass(frozen=True)
class Products:
    """The files of one run.

    Attributes:
        output: the main raster, or of a model with objects the vector file of these.
        task: the model's.
        options: with the paths of the further files.
        draw_preview: draws the preview; None where a run makes none.
    """

    output: Path
    task: Task
    options: PredictOptions
    draw_preview: DrawPreview | None = None

    @cached_property
    def request(self) -> Request:
        """The files by the names of their options."""
        options = self.options
        files = {name: path for name in FILES if (path := options.path(name)) is not None}
        if not is_map_name(self.output):
            files["polygons"] = self.output
        return Request(
            self.output,
            files,
            options.probs_dtype,
            options.overwrite,
            shaping=options.shaping,
            panoptic_tile=int(options.panoptic_tile),
        )

    def check(self) -> None:
        """Raise OutputError or VectorError if the task makes no such file, or its name does not fit its content."""
        self._check_objects()
        for name in self.request.files:
            if name not in self.task.files:
                makes = ", ".join(f"--{one}" for one in self.task.files) or "no further file"
                raise OutputError(
                    f"--{name}: the model's task is {self.task.name}, which takes {makes}: leave out --{name}"
                )
        polygons, picture = self.request.files.get("polygons"), self.options.path("preview")
        if (second := self.options.path("polygons")) not in (None, polygons):
            raise OutputError(
                f"-o {self.output} is the file of polygons, and --polygons {second} another: write one of them, or "
                f"-o {self.output.with_suffix('.tif')} for a map beside polygons"
            )
        if polygons is not None:
            refuse_table(polygons)
            vector_format(polygons)
        if picture is not None:
            check_suffix(picture, (".png",), kind="a preview")

    def _check_objects(self) -> None:
        """Raise OutputError if an option is about objects, or their polygons, where none are written."""
        options, files = self.options, self.request.files
        about = [name for name, key in OBJECTS.items() if key in options.objects]
        asked = [name for name in ("instances", "panoptic") if name in files]
        strays = [f"--{name.replace('_', '-')}" for name in (*asked, *about, *options.shaping)]
        if not self.task.has_map:
            strange = [name for name in about if OBJECTS[name] not in self.task.options]
            if odd := [f"--{name.replace('_', '-')}" for name in (*asked, *strange, *options.shaping)]:
                raise OutputError(
                    f"{odd[0]}: the model finds {self.task.found_by}, which have no such option: leave out "
                    f"{', '.join(odd)}"
                )
            return
        if strays and "instances" not in self.task.files:
            raise OutputError(
                f"{strays[0]}: the model has no class of things and finds no objects: leave out {', '.join(strays)}"
            )
        if options.shaping and "polygons" not in files:
            raise OutputError(
                f"{strays[-1]} is about the polygons of objects: add --polygons FILE.gpkg, or leave it out"
            )
        if options.panoptic_tile != PANOPTIC_TILE and "panoptic" not in files:
            raise OutputError("--panoptic-tile is about COCO's panoptic format: add --panoptic DIR, or leave it out")
        if about and not set(OBJECT_FILES) & set(files):
            raise OutputError(
                f"--{about[0].replace('_', '-')} is about objects and none are written: add --instances FILE.tif or "
                "--polygons FILE.gpkg"
            )

    @property
    def grouping(self) -> dict[str, Any]:
        """The options that decide which objects there are, by their names in the card; {} where none are written.

        Those that are not given have the card's values.
        """
        files = set(self.request.files)
        written = not self.task.has_map or ("instances" in self.task.files and set(OBJECT_FILES) & files)
        own = self.task.options
        return {key: own[key] for key in OBJECTS.values() if key in own} if written else {}

    @cached_property
    def layers(self) -> tuple[Layer, ...]:
        """The rasters, the main one first, and scratch layers that become no file."""
        return tuple(self.task.layers(self.request))

    @property
    def extras(self) -> dict[Path, list[Path]]:
        """The further files, each with the files of an older one (a shapefile's index, say) that go with it."""
        rasters = {layer.name for layer in self.layers}
        extras = {name: path for name, path in self.request.files.items() if name not in rasters}
        return {
            path: vector_format(path).stale_files(path) if name == "polygons" else [] for name, path in extras.items()
        }

    @property
    def extra_folders(self) -> dict[Path, ExtraFolder]:
        """The further files that are folders, with what they hold."""
        folder = self.request.files.get(PANOPTIC)
        return {} if folder is None else {folder: FOLDER}

    def finish(self, outputs: Outputs, source: Source, *, shown: Shown) -> dict[str, int]:
        """Write the late layers and the further files, of the layers that are complete; return what was counted."""
        request, draw = replace(self.request, shown=shown), self.draw_preview
        if draw is not None:
            request = replace(request, draw_preview=partial(draw, source))
        return dict(self.task.finish(outputs, request))


def is_map_name(output: Path) -> bool:
    """Return whether the name of an output is that of a GeoTIFF."""
    return output.suffix.lower() in (".tif", ".tiff")


def check_map_name(output: Path, task: Task) -> None:
    """Raise OutputError if the name of an output is neither that of a GeoTIFF nor, with things, of a vector file.

    The sentence holds the name to use.
    """
    suffix = output.suffix.lower()
    if is_map_name(output) and task.has_map:
        return
    check_local(output)
    if not task.has_map and (is_map_name(output) or not suffix):
        raise OutputError(
            f"-o {output}: the model finds {task.found_by}, which are a vector file: write "
            f"-o {output.with_suffix('.gpkg')}"
        )
    form = next((form for form in FORMATS if output.name.lower().endswith(form.suffixes)), None)
    if form is not None and ("instances" in task.files or not task.has_map):
        return
    if not suffix:
        raise OutputError(f"-o {output}: write {output}.tif for one map, or {output}/ for a map of each in a folder")
    stem = output.stem if form is None else form.stem(output)
    also = "--preview" if suffix == ".png" else "--polygons" if form is not None else None
    more = "" if also is None else f" {also} {output}"
    raise OutputError(f"-o {output}: the map is a GeoTIFF; write -o {output.with_name(stem)}.tif{more}")
