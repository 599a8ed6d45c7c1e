"""The files that a run of `predict` makes: class raster and further layers, and from them polygons and a preview."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from landseg.classes import ClassMap
from landseg.errors import OutputError
from landseg.geo.rasters.source import Source
from landseg.geo.tags import qml_path
from landseg.inference.options import PredictOptions
from landseg.output.layer import Layer
from landseg.output.outputs import Outputs
from landseg.output.styles import raster_qml, style_for
from landseg.output.vector_formats import FORMATS, refuse_table, vector_format
from landseg.runtime.disk import disk_errors
from landseg.runtime.target_checks import check_local, check_suffix
from landseg.vector.exporter import polygonize

DrawPreview = Callable[[Source, Path, ClassMap, Path], None]
"""A function that draws a source and its finished class raster, to a file."""


@dataclass(frozen=True)
class Products:
    """The files of one run.

    Attributes:
        output: the class raster.
        classes: the model's.
        options: with the paths of the further files.
        draw_preview: draws the preview; None where a run makes none.
    """

    output: Path
    classes: ClassMap
    options: PredictOptions
    draw_preview: DrawPreview | None = None

    def check(self) -> None:
        """Raise OutputError or VectorError if a file's name does not fit its content."""
        polygons, picture = self.options.path("polygons"), self.options.path("preview")
        if polygons is not None:
            refuse_table(polygons)
            vector_format(polygons)
        if picture is not None:
            check_suffix(picture, (".png",), kind="a preview")

    @cached_property
    def layers(self) -> tuple[Layer, ...]:
        """The rasters, the class raster first."""
        classes, options = self.classes, self.options
        layers = [Layer.of_classes("classes", self.output, classes)]
        probs, confidence, logits = (options.path(name) for name in ("probs", "confidence", "logits"))
        if probs is not None:
            layers.append(Layer.of_probs("probs", probs, classes, dtype=options.probs_dtype))
        if confidence is not None:
            layers.append(Layer("confidence", confidence, "uint8", scale=1 / 255, mask=True))
        if logits is not None:
            names = classes.names
            layers.append(Layer("logits", logits, "float32", len(classes), nodata=float("nan"), band_names=names))
        return tuple(layers)

    @property
    def extras(self) -> dict[Path, list[Path]]:
        """The further files, each with the files of an older one (a shapefile's index, say) that go with it."""
        polygons, picture = self.options.path("polygons"), self.options.path("preview")
        extras = {} if polygons is None else {polygons: vector_format(polygons).stale_files(polygons)}
        return extras if picture is None else {**extras, picture: []}

    def write_extras(self, outputs: Outputs, source: Source) -> None:
        """Write polygons and preview, from the finished class raster."""
        polygons, picture = self.options.path("polygons"), self.options.path("preview")
        if polygons is not None:
            place = outputs.extra(polygons)
            sure = None if self.options.confidence is None else outputs.layer_reader("confidence")
            polygonize(outputs.layer_reader("classes"), place, self.classes, called=polygons, confidence=sure)
            self._write_style(polygons, place)
        if picture is not None:
            assert self.draw_preview is not None, "a run that makes a preview is given the function that draws it"
            self.draw_preview(source, outputs.layer_reader("classes"), self.classes, outputs.extra(picture))

    def _write_style(self, polygons: Path, place: Path) -> None:
        """Write the polygons' style beside them where they wait; a user's own style stays, unless --overwrite."""
        qml = vector_format(polygons).qml_path(polygons)
        if qml is None:
            return
        # The map's own palette is in it too, where both have one style file.
        shared = raster_qml(self.classes) if qml == qml_path(self.output) else None
        text = style_for(qml, self.classes.classes, replace=self.options.overwrite, existing=shared)
        if text is not None:
            with disk_errors(qml):
                place.with_name(qml.name).write_text(text, encoding="utf-8")


def check_map_name(output: Path) -> None:
    """Raise OutputError if the name of a map is not that of a GeoTIFF; the sentence holds the name to use."""
    suffix = output.suffix.lower()
    if suffix in (".tif", ".tiff"):
        return
    check_local(output)
    if not suffix:
        raise OutputError(f"-o {output}: write {output}.tif for one map, or {output}/ for a map of each in a folder")
    form = next((form for form in FORMATS if output.name.lower().endswith(form.suffixes)), None)
    stem = output.stem if form is None else form.stem(output)
    also = "--preview" if suffix == ".png" else "--polygons" if form is not None else None
    more = "" if also is None else f" {also} {output}"
    raise OutputError(f"-o {output}: the map is a GeoTIFF; write -o {output.with_name(stem)}.tif{more}")
